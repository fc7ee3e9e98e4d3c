//! Tests of sessions.

use super::*;
use crate::trail::{arbitrary::recorded, event::Tenant, event_validation};
use proptest::prelude::*;
use serde_json::{Value, json};

fn story(rows: &[(&str, &str, Value)]) -> Story {
    Story::of("68", events(rows))
}

/// Rows one minute apart: action, actor (`System` or a name), session without its id; the
/// reason is in `session.reason`.
fn events(rows: &[(&str, &str, Value)]) -> Vec<Recorded> {
    let start: Instant = "2026-11-22T10:00:00Z".parse().unwrap();
    let tenant = Tenant::new("acme").unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let intake =
        event_validation::Intake { tenant: &tenant, now: start.plus(day), retention: day * 400 };
    rows.iter()
        .enumerate()
        .map(|(minute, (action, actor, session))| {
            let at = Instant::from_millis(start.millis() + minute as i64 * 60_000);
            let actor = if *actor == "System" { json!({"type": "system"}) } else { json!({"type": "user", "name": actor}) };
            let mut event = json!({"id": format!("e-{minute}"), "action": format!("session.{action}"), "occurred_at": at, "actor": actor, "session": session});
            event["session"]["id"] = json!("68");
            if let Some(reason) = event["session"].as_object_mut().unwrap().remove("reason") {
                event["reason"] = reason;
            }
            if *action == "created" {
                event["justification"] = json!("Correct a price");
            }
            recorded(event_validation::read(&event.to_string(), &intake, crate::trail::arbitrary::event_id).unwrap(), at)
        })
        .collect()
}

fn whole() -> Value {
    json!({"scope": "session", "roles": ["role1", "role3"]})
}

fn role(name: &str) -> Value {
    json!({"scope": "role", "roles": [name]})
}

fn misfits(story: &Story) -> Vec<&str> {
    story.timeline.iter().filter(|step| !step.fits).map(|step| step.event.as_str()).collect()
}

#[test]
fn a_session_that_nobody_decided_is_timed_out_whatever_says_so() {
    let asked = |ends_at: &str| {
        let mut whole = whole();
        whole["ends_at"] = json!(ends_at);
        whole
    };
    // Rows are one minute apart, starting at ten o'clock.
    let (ends_at, later) = ("2026-11-22T10:00:30Z", "2026-11-22T11:00:00Z");
    for rows in [
        vec![("timed_out", "System", whole())],
        vec![("expired", "System", whole())],
        vec![("timed_out", "System", whole()), ("expired", "System", whole())],
        vec![("expired", "System", whole()), ("timed_out", "System", whole())],
    ] {
        let story = story(&[vec![("created", "Mark", asked(ends_at))], rows.clone()].concat());
        assert_eq!(
            (story.state, misfits(&story)),
            (Some(RequestState::TimedOut), Vec::new()),
            "{rows:?}"
        );
    }
    // It cannot expire before its end, and cannot time out after a decision.
    let early = story(&[("created", "Mark", asked(later)), ("expired", "System", whole())]);
    assert_eq!((early.state, misfits(&early).len()), (Some(RequestState::Created), 1));
    let decided = story(&[
        ("created", "Mark", asked(later)),
        ("approved", "john", role("role1")),
        ("approved", "admin", role("role3")),
        ("timed_out", "System", whole()),
    ]);
    assert_eq!((decided.state, misfits(&decided).len()), (Some(RequestState::Approved), 1));
    // Without an event, the time alone decides.
    let undecided = story(&[("created", "Mark", asked(ends_at))]);
    let at = |text: &str| undecided.state_at(text.parse().unwrap());
    assert_eq!(
        (at("2026-11-22T10:00:29Z"), at(ends_at)),
        (Some(RequestState::Created), Some(RequestState::TimedOut))
    );
    assert_eq!(
        decided.state_at("2026-12-22T10:00:00Z".parse().unwrap()),
        Some(RequestState::Approved)
    );
}

#[test]
fn session_68_step_by_step() {
    use RequestState::{Approved, Canceled, Created, Granted};
    let mut granted = whole();
    granted["username"] = json!("mark_68");
    let rows = [
        ("created", "Mark", whole()),
        ("approved", "admin", role("role3")),
        ("approved", "john", role("role1")),
        ("approved", "System", whole()),
        ("granted", "System", granted.clone()),
        ("canceled", "Mark", granted),
    ];
    for (count, state, username) in [
        (1, Created, "TBD"),
        (2, Created, "TBD"),
        (3, Approved, "TBD"),
        (4, Approved, "TBD"),
        (5, Granted, "mark_68"),
        (6, Canceled, "mark_68"),
    ] {
        let story = story(&rows[..count]);
        assert_eq!(
            (story.state, story.username.as_str()),
            (Some(state), username),
            "after {count}"
        );
        assert_eq!(misfits(&story), Vec::<&str>::new());
    }
    let story = story(&rows);
    assert_eq!(
        (story.requester.as_deref(), story.justification.as_deref()),
        (Some("Mark"), Some("Correct a price"))
    );
    let decided: Vec<_> = story
        .roles
        .iter()
        .map(|role| (role.role.as_str(), role.decisions[0].by.as_str()))
        .collect();
    assert_eq!(decided, [("role1", "john"), ("role3", "admin")]);
}

#[test]
fn one_denied_role_denies_the_session_even_if_its_own_row_never_comes() {
    let denied = json!({"scope": "role", "roles": ["role1"], "reason": "not needed"});
    let story = story(&[
        ("created", "Mark", whole()),
        ("approved", "admin", role("role3")),
        ("denied", "john", denied),
        ("granted", "System", whole()),
    ]);
    assert_eq!(story.state, Some(RequestState::Denied));
    let roles: Vec<_> = story.roles.iter().map(|role| (role.role.as_str(), role.state)).collect();
    assert_eq!(roles, [("role1", RequestState::Denied), ("role3", RequestState::Approved)]);
    assert_eq!(story.roles[0].decisions[0].reason.as_deref(), Some("not needed"));
    assert_eq!(misfits(&story), ["e-3"], "granted after a denial");
}

#[test]
fn approvals_are_counted_by_person_and_may_be_none() {
    let needs = |count: u32| json!({"scope": "session", "roles": ["a"], "approvals_needed": count});
    let twice = story(&[
        ("created", "Mark", needs(2)),
        ("approved", "john", role("a")),
        ("approved", "john", role("a")),
    ]);
    assert_eq!(
        twice.state,
        Some(RequestState::Created),
        "one person approving twice is one approval"
    );
    let two = story(&[
        ("created", "Mark", needs(2)),
        ("approved", "john", role("a")),
        ("approved", "ann", role("a")),
    ]);
    assert_eq!(two.state, Some(RequestState::Approved));
    let none = story(&[
        ("created", "Mark", needs(0)),
        ("approved", "System", needs(0)),
        ("granted", "System", needs(0)),
    ]);
    assert_eq!((none.state, misfits(&none)), (Some(RequestState::Granted), vec![]));
    assert_eq!(none.roles[0].decisions[0].by, "System");
}

#[test]
fn a_step_that_does_not_fit_is_shown_and_changes_nothing() {
    let story = story(&[
        ("created", "Mark", whole()),
        ("approved", "System", whole()),
        ("granted", "System", whole()),
        ("canceled", "Mark", whole()),
        ("expired", "System", whole()),
        ("created", "Mark", whole()),
    ]);
    assert_eq!(story.state, Some(RequestState::Canceled));
    assert_eq!(misfits(&story), ["e-1", "e-2", "e-4", "e-5"]);
    assert_eq!(story.timeline.len(), 6);
}

proptest! {
    #[test]
    fn the_story_does_not_depend_on_the_order_of_arrival(order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle()) {
        let all = events(&[
            ("created", "Mark", whole()), ("approved", "admin", role("role3")), ("approved", "john", role("role1")),
            ("approved", "System", whole()), ("granted", "System", whole()), ("terminated", "root", whole()),
        ]);
        let shuffled = order.iter().map(|&place| all[place].clone()).collect();
        prop_assert_eq!(Story::of("68", shuffled), Story::of("68", all));
    }
}
