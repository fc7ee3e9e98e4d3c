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
    assert_eq!(progress.begin(source, &connection, at(0)), None);
    let reading = progress.reading.clone().unwrap();
    assert_eq!(reading.since, at(0).minus(RETENTION));
    // A page later, a run that starts again goes on at the stored link.
    assert!(!progress.page_stored(source, link("next"), None, at(1), PACE));
    assert_eq!(progress.begin(source, &connection, at(50)), None);
    assert_eq!(progress.next_page(source), link("next"));
    assert!(!progress.page_stored(source, None, None, at(51), PACE));
    assert_eq!((progress.collected_until, progress.reading.clone()), (Some(at(0)), None));
    assert_eq!(progress.next_at, Some(at(111)));
    // The next reading begins before the time at which the last one began.
    progress.begin(source, &connection, at(200));
    assert_eq!(progress.reading.clone().unwrap().since, at(0).minus(OVERLAP));
    progress.complete(source, at(201), PACE);
    // From time to time it goes back further.
    let later = 6 * 3600;
    progress.begin(source, &connection, at(later));
    assert_eq!(progress.reading.unwrap().since, at(200).minus(LATEST));
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
    let connection = connection();
    let kept = RETENTION.as_secs() as i64;
    for (until, has_gap) in [(kept, false), (kept + 3600, true)] {
        let mut progress =
            SourceProgress { collected_until: Some(at(0)), ..SourceProgress::default() };
        let gap = progress.begin(Source::DirectoryAudits, &connection, at(until));
        let expected = has_gap.then(|| (at(0), at(3600)));
        assert_eq!(gap.map(|gap| (gap.from, gap.until)), expected);
        // Requests are kept for longer.
        let mut progress =
            SourceProgress { collected_until: Some(at(0)), ..SourceProgress::default() };
        assert_eq!(progress.begin(Source::Requests, &connection, at(until)), None);
    }
}

#[test]
fn an_expired_delta_link_begins_anew_and_is_a_gap() {
    let (source, connection) = (Source::Users, connection());
    let mut progress = SourceProgress::default();
    progress.begin(source, &connection, at(0));
    assert!(progress.next_page(source).unwrap().starts_with("/users/delta?"));
    // Nothing is compared with the first collection.
    assert!(!progress.page_stored(source, None, link("delta-1"), at(1), PACE));
    progress.begin(source, &connection, at(60));
    assert_eq!(progress.next_page(source), link("delta-1"));
    let gap = progress.link_refused(source, at(61)).unwrap();
    assert_eq!((gap.from, gap.until), (at(0), at(61)));
    progress.begin(source, &connection, at(62));
    assert!(progress.next_page(source).unwrap().starts_with("/users/delta?"));
    // A link that is refused while the whole collection is read is no further gap.
    assert_eq!(progress.link_refused(source, at(63)), None);
    progress.begin(source, &connection, at(64));
    assert!(progress.page_stored(source, None, link("delta-2"), at(65), PACE));
    assert!(progress.compares() && progress.collected_until == Some(at(0)));
    progress.complete(source, at(66), PACE);
    assert_eq!(progress.collected_until, Some(at(64)));
    assert!(!progress.compares());
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
    assert_eq!(fail(&mut progress, Some(1_000_000), 0), 3600);
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
        (0..4).filter_map(|turn| progress.next_due(at(0), turn)).collect()
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
    assert_eq!((progress.next_due(at(0), 0), progress.due_at()), (None, Some(at(30))));
}
