//! Windows under thousands of steps of random failures, in virtual time. `SIMULATION_STEPS` sets the number of steps.

use std::time::Duration;

use tests::simulation::{self, Plan};

/// The number of steps without `SIMULATION_STEPS`.
const QUICK_STEPS: u64 = 10_000;

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        lasts: Duration::from_secs(1800),
        directories: 4,
        accounts: 6,
        has_trouble: true,
        outage: None,
        pause: Duration::from_secs(8),
    }
}

/// No account is disabled early or stays enabled, each end has one event, and every end is completed.
#[test]
fn every_window_ends_once_under_random_failures() {
    let wanted: u64 = std::env::var("SIMULATION_STEPS")
        .map_or(QUICK_STEPS, |text| text.parse().expect("a number"));
    let first: u64 =
        std::env::var("SIMULATION_SEED").map_or(1, |text| text.parse().expect("a number"));
    // The quick set has short runs, a long one those in which windows are renewed for half an hour.
    let lasts = Duration::from_secs(if wanted > QUICK_STEPS { 1800 } else { 600 });
    let (mut steps, mut seed) = (0, first);
    let (mut ends, mut killed, mut overdue, mut panicked, mut merged, mut ended_before) =
        (0, 0, 0, 0, 0, 0);
    let (mut disagreements, mut renamed, mut emptied) = (0, 0, 0);
    // A single seed may lack one kind of failure.
    while steps < wanted || seed < first + 2 {
        let outcome = simulation::run(Plan { lasts, ..plan(seed) });
        steps += outcome.steps;
        ends += outcome.disabled + outcome.covered;
        killed += outcome.killed;
        overdue += outcome.overdue;
        panicked += outcome.panicked;
        merged += outcome.merged;
        ended_before += outcome.ended_before;
        disagreements += outcome.disagreements;
        renamed += outcome.renamed;
        emptied += outcome.emptied;
        seed += 1;
    }
    eprintln!(
        "{} seeds, {steps} steps, {ends} ends, {killed} runs killed, {panicked} panics, {overdue} overdue; {renamed} accounts renamed, \
         {emptied} directories emptied, {disagreements} requests with names of two accounts, {merged} requests moved to an older window, \
         {ended_before} requests after their session's end",
        seed - first
    );
    assert!(
        [ends, killed, panicked, merged, renamed, disagreements].iter().all(|count| *count > 0)
    );
}

/// While one directory is down, windows in others end on time. Its own windows end as soon as it recovers.
#[test]
fn a_failing_directory_delays_no_other_and_is_retried_until_it_answers() {
    let hour = Duration::from_secs(3600);
    let plan = Plan {
        has_trouble: false,
        outage: Some((0, Duration::from_secs(300), hour)),
        lasts: hour,
        pause: Duration::from_secs(20),
        ..plan(7)
    };
    let outcome = simulation::run(plan);
    let (mut down, mut others) = (Vec::new(), Vec::new());
    for (directory, _, lateness) in outcome.lateness {
        if directory.starts_with("scim:d0.") { down.push(lateness) } else { others.push(lateness) }
    }
    let latest = |all: &[Duration]| all.iter().max().copied().unwrap_or_default();
    assert!(down.len() > 3 && others.len() > 20, "{} {}", down.len(), others.len());
    assert!(latest(&others) <= Duration::from_secs(3), "{:?}", latest(&others));
    // The outage is long enough for windows to become overdue. Which ones end during it is random.
    assert!(
        latest(&down) > Duration::from_secs(300),
        "windows of the failing directory end late: {:?}",
        latest(&down)
    );
    assert!(outcome.overdue > 0);
}
