//! How far a connection is after each step.

use serde_json::json;

use super::*;
use crate::configuration::address_policy::Place;

const PACE: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> Instant {
    Instant::from_millis((1_764_000_000 + seconds) * 1000)
}

fn connection() -> Connection {
    let body = json!({
        "name": "Acme", "kind": "entra", "tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "client_id": "9f2a1f3c-53a0-4a8e-8a4e-6f1b7ad8ae11", "client_secret": "secretsmanager:graph"
    });
    Connection::read(&body.to_string(), Place::Deployed).unwrap()
}

fn link(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_reading_by_time_overlaps_the_one_before() {
    let (source, connection) = (Source::DirectoryAudits, connection());
    let mut progress = SourceProgress::default();
    progress.begin(source, &connection, at(0));
    let reading = progress.reading.clone().unwrap();
    assert_eq!(reading.since, at(0).minus(RETENTION));
    // A page later, a run that starts again goes on at the stored link.
    assert_eq!(progress.page_stored(source, link("next"), None, at(1), PACE), None);
    progress.begin(source, &connection, at(50));
    assert_eq!(progress.next_page(source), link("next"));
    assert_eq!(progress.page_stored(source, None, None, at(51), PACE), None);
    assert_eq!((progress.collected_until, progress.reading.clone()), (Some(at(0)), None));
    assert_eq!(progress.next_at, Some(at(111)));
    // The next reading begins before the time at which the last one began. What is history does not
    // move.
    progress.begin(source, &connection, at(200));
    assert_eq!(progress.first_began_at, Some(at(0)));
    let of_an_earlier_version =
        SourceProgress { collected_until: Some(at(0)), ..SourceProgress::default() };
    let mut continued = of_an_earlier_version;
    continued.begin(source, &connection, at(200));
    assert_eq!(continued.first_began_at, None);
    assert_eq!(progress.reading.clone().unwrap().since, at(0).minus(OVERLAP));
    progress.complete(source, at(201), PACE);
    // From time to time it goes back further: to what may have appeared since it last did.
    let later = 6 * 3600 + 500;
    progress.begin(source, &connection, at(later));
    assert_eq!(progress.reading.clone().unwrap().since, at(0).minus(LATEST));
    // A run that ends before such a reading is complete leaves it to the next one.
    assert_eq!(progress.looked_back_at, Some(at(0)));
    progress.complete(source, at(later + 1), PACE);
    assert_eq!(progress.looked_back_at, Some(at(later)));
}

#[test]
fn each_record_is_in_a_reading_after_it_appeared() {
    let (source, connection) = (Source::DirectoryAudits, connection());
    // Readings at irregular times, with a day and more without one.
    let mut progress = SourceProgress::default();
    let mut readings = Vec::new();
    let mut now = 0;
    for number in 0..400_i64 {
        progress.begin(source, &connection, at(now));
        readings.push((at(now), progress.reading.clone().unwrap().since));
        progress.complete(source, at(now + 1), PACE);
        now += 60 + number * 7919 % 4000 + if number % 90 == 89 { 100_000 } else { 0 };
    }
    for occurred in (0..now - 200_000).step_by(977) {
        for late in [0, 600, 7200, 40_000, 86_400] {
            let appeared = at(occurred + late);
            let is_read =
                |(began, since): &(Instant, Instant)| *began >= appeared && *since <= at(occurred);
            assert!(readings.iter().any(is_read), "{occurred}, {late} seconds late");
        }
    }
}

#[test]
fn requests_have_several_lists() {
    let (source, connection) = (Source::Requests, connection());
    let mut progress = SourceProgress::default();
    progress.begin(source, &connection, at(0));
    for part in ["createdDateTime", "completedDateTime"] {
        assert!(progress.next_page(source).unwrap().contains(part), "{part}");
        assert_eq!(progress.collected_until, None);
        progress.page_stored(source, None, None, at(1), PACE);
    }
    assert_eq!(progress.collected_until, Some(at(0)));
}

#[test]
fn what_the_audit_log_no_longer_has_is_a_gap() {
    let day = 86_400;
    let lost = |until: Option<i64>, oldest: Option<i64>, now: i64| {
        let collected_until = until.map(at);
        let progress = SourceProgress { collected_until, ..SourceProgress::default() };
        let gap = progress.lost_records(oldest.map(at), at(now));
        gap.map(|gap| (gap.from, gap.until, gap.reason.contains("no record older than 7 days")))
    };
    // A record that is older than seven days shows that the log is kept for 30 days.
    assert_eq!(lost(Some(0), Some(-5), 30 * day), None);
    assert_eq!(lost(Some(0), Some(-5), 30 * day + 3600), Some((at(0), at(3600), false)));
    // Without one, the log may be kept for seven.
    assert_eq!(lost(Some(0), None, 7 * day), None);
    assert_eq!(lost(Some(0), None, 8 * day), Some((at(0), at(day), true)));
    assert_eq!(lost(Some(0), Some(day + 1), 8 * day), Some((at(0), at(day), true)));
    // Nothing was collected before the first reading.
    assert_eq!(lost(None, None, 40 * day), None);
}

#[test]
fn an_expired_delta_link_begins_anew_and_is_a_gap() {
    let (source, connection) = (Source::Users, connection());
    let mut progress = SourceProgress::default();
    progress.begin(source, &connection, at(0));
    assert!(progress.next_page(source).unwrap().starts_with("/users/delta?"));
    // Nothing is compared with the first collection.
    assert_eq!(progress.page_stored(source, None, link("delta-1"), at(1), PACE), None);
    progress.begin(source, &connection, at(60));
    assert_eq!(progress.next_page(source), link("delta-1"));
    progress.link_refused();
    progress.begin(source, &connection, at(62));
    assert!(progress.next_page(source).unwrap().starts_with("/users/delta?"));
    // The same while the whole collection is read.
    progress.page_stored(source, link("next"), None, at(63), PACE);
    progress.link_refused();
    progress.begin(source, &connection, at(64));
    assert!(progress.next_page(source).unwrap().starts_with("/users/delta?"));
    assert_eq!(progress.page_stored(source, None, link("delta-2"), at(65), PACE), None);
    assert!(progress.compares() && progress.collected_until == Some(at(0)));
    // What happened from the last complete reading to the beginning of this one is not known.
    let gap = progress.complete(source, at(66), PACE).unwrap();
    assert_eq!((gap.from, gap.until), (at(0), at(64)));
    assert_eq!(progress.collected_until, Some(at(64)));
    assert!(!progress.compares());
}

#[test]
fn a_refused_next_page_does_not_give_up_the_delta_link() {
    let (source, connection) = (Source::Users, connection());
    let delta_link = link("delta-1");
    let mut progress = SourceProgress {
        collected_until: Some(at(0)),
        delta_link: delta_link.clone(),
        epoch: 1,
        ..SourceProgress::default()
    };
    for number in 0..=MOST_REFUSALS {
        let now = at(60 + i64::from(number));
        progress.begin(source, &connection, now);
        assert_eq!(progress.next_page(source), delta_link);
        progress.page_stored(source, link("next"), None, now, PACE);
        progress.link_refused();
        progress.failed("status 410", None, now, PACE, |_| Duration::ZERO);
        assert_eq!(progress.delta_link.is_some(), number < MOST_REFUSALS, "{number}");
    }
}

#[test]
fn a_source_that_was_not_chosen_for_a_while_goes_on_where_it_was() {
    let mut connection = connection();
    let mut progress = Progress::default().of(&connection, 1);
    let users = SourceProgress {
        first_began_at: Some(at(0)),
        collected_until: Some(at(50)),
        delta_link: link("delta-1"),
        epoch: 2,
        ..SourceProgress::default()
    };
    progress.sources.insert(Source::Users, users.clone());
    let all = std::mem::replace(&mut connection.collect, vec![Source::Groups]);
    let progress = progress.of(&connection, 2);
    assert_eq!(progress.sources.keys().collect::<Vec<_>>(), [&Source::Groups]);
    connection.collect = all;
    let progress = progress.of(&connection, 3);
    assert_eq!((&progress.sources[&Source::Users], progress.paused.len()), (&users, 0));
}

#[test]
fn a_connection_that_is_created_again_starts_anew_but_knows_what_was_collected() {
    let connection = connection();
    let mut progress = Progress::default().of(&connection, 1);
    let audits = SourceProgress {
        first_began_at: Some(at(0)),
        collected_until: Some(at(50)),
        looked_back_at: Some(at(40)),
        next_at: Some(at(900)),
        ..SourceProgress::default()
    };
    progress.sources.insert(Source::DirectoryAudits, audits);
    progress.restart();
    let mut progress = progress.of(&connection, 7);
    let audits = progress.sources.get_mut(&Source::DirectoryAudits).unwrap();
    let now = at(400 * 86_400);
    audits.begin(Source::DirectoryAudits, &connection, now);
    assert_eq!(audits.first_began_at, Some(at(0)));
    // As far back as it is configured, and at least to what it had.
    let first = now.minus(connection.since.duration());
    assert_eq!(audits.reading.as_ref().unwrap().since, first.min(at(50).minus(LATEST)));
    assert!(audits.lost_records(None, now).is_some());
}

#[test]
fn failures_wait_as_long_as_graph_asks_and_are_forgotten_after_a_page() {
    let mut progress = SourceProgress::default();
    progress.begin(Source::Users, &connection(), at(0));
    let fail = |progress: &mut SourceProgress, asked: Option<u64>, now| {
        let asked = asked.map(Duration::from_secs);
        progress.failed("status 429", asked, at(now), PACE, |_| Duration::ZERO);
        progress.next_at.unwrap().seconds() - at(now).seconds()
    };
    assert_eq!(fail(&mut progress, None, 0), 15);
    assert_eq!(fail(&mut progress, Some(100), 0), 100);
    assert_eq!(fail(&mut progress, Some(1_000_000), 0), 86_400);
    for _ in 0..10 {
        fail(&mut progress, None, 5);
    }
    assert_eq!(fail(&mut progress, None, 9), 900);
    assert_eq!(progress.failing_since, Some(at(0)));
    progress.page_stored(Source::Users, link("n"), None, at(10), PACE);
    assert_eq!((progress.attempts, &progress.error), (0, &None));
}

#[test]
fn another_directory_starts_anew_and_a_changed_connection_is_tried_at_once() {
    let mut connection = connection();
    let mut progress = Progress::default().of(&connection, 1);
    assert_eq!(progress.sources.len(), Source::ALL.len());
    let users = SourceProgress {
        collected_until: Some(at(0)),
        next_at: Some(at(900)),
        epoch: 1,
        ..SourceProgress::default()
    };
    progress.sources.insert(Source::Users, users);
    let same = progress.clone().of(&connection, 1).sources[&Source::Users].clone();
    assert_eq!((same.collected_until, same.next_at), (Some(at(0)), Some(at(900))));
    let changed = progress.clone().of(&connection, 2).sources[&Source::Users].clone();
    assert_eq!((changed.collected_until, changed.next_at), (Some(at(0)), None));
    connection.entra.tenant_id = "1".to_owned();
    let other = progress.clone().of(&connection, 3).sources[&Source::Users].clone();
    assert_eq!(other, SourceProgress { epoch: 1, ..SourceProgress::default() });
    connection.collect = vec![Source::Groups];
    assert_eq!(progress.of(&connection, 4).sources.len(), 1);
}

#[test]
fn sources_take_turns_and_users_wait_for_the_first_groups() {
    let connection = connection();
    let mut progress = Progress::default().of(&connection, 1);
    let order = |progress: &Progress| -> Vec<_> {
        let from = |turn| Progress { turn, ..progress.clone() };
        (0..4).filter_map(|turn| from(turn).next_due(at(0))).collect()
    };
    use Source::{Groups, Organisations, Packages, Requests, Users};
    assert_eq!(order(&progress), [Packages, Organisations, Groups, Requests]);
    assert_eq!(progress.due_at(), None);
    let groups = progress.sources.get_mut(&Groups).unwrap();
    groups.collected_until = Some(at(0));
    groups.next_at = Some(at(60));
    assert_eq!(order(&progress), [Packages, Organisations, Users, Users]);
    for source in progress.sources.values_mut() {
        source.next_at.get_or_insert(at(30));
    }
    assert_eq!((progress.next_due(at(0)), progress.due_at()), (None, Some(at(30))));
}
