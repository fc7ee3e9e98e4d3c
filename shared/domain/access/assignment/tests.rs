//! Tests of assignments that several objects and records tell of.

use serde_json::json;

use super::*;
use crate::{
    identity::people::People,
    trail::{
        arbitrary::recorded,
        event::{EventId, Tenant},
        event_validation,
    },
};

fn at(minutes: i64) -> Instant {
    Instant::from_millis(1_795_307_160_000 + minutes * 60_000)
}

fn event(id: &str, action: &str, minutes: i64, more: Value) -> Recorded {
    let tenant = Tenant::new("acme").unwrap();
    let day = Duration::from_secs(86_400);
    let intake =
        event_validation::Intake { tenant: &tenant, now: at(0).plus(day), retention: day * 400 };
    let mut event = json!({
        "id": id, "action": action, "occurred_at": at(minutes), "actor": {"type": "system"},
        "subject": {"id": "u-1", "email": "audry@acme.example"}, "target": {"type": "package", "id": "p-1", "name": "Sales"}
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = crate::trail::arbitrary::event_id;
    recorded(event_validation::read(&event.to_string(), &intake, id).unwrap(), at(minutes))
}

fn requested(request: &str) -> Recorded {
    let more =
        json!({"request_id": request, "actor": {"type": "user", "email": "audry@acme.example"}});
    event(&format!("{request}-requested"), "entitlement.requested", 0, more)
}

fn fulfilled(request: &str, minutes: i64, details: Value) -> Recorded {
    let more = json!({"request_id": request, "details": details});
    event(&format!("{request}-fulfilled"), "entitlement.fulfilled", minutes, more)
}

fn assignment(id: &str, minutes: i64, until: i64) -> Recorded {
    let details = json!({
        "assignment_id": id, "policy": {"id": "pol-1", "name": "All users"},
        "schedule": {"starts_at": at(minutes), "ends_at": at(until)}
    });
    event(id, "entitlement.fulfilled", minutes, json!({ "details": details }))
}

/// A record of the log that names no request.
fn logged(id: &str, minutes: i64) -> Recorded {
    event(id, "entitlement.fulfilled", minutes, json!({}))
}

fn removed(minutes: i64) -> Recorded {
    event(
        &format!("removed-{minutes}"),
        "entitlement.removed",
        minutes,
        json!({"reason": "expired"}),
    )
}

fn access(key: &str, events: &[Recorded]) -> Access {
    Access::of(&key.parse().unwrap(), events.to_vec(), &People::default()).unwrap()
}

fn ids(access: &Access) -> Vec<&str> {
    access.events.iter().map(EventId::as_str).collect()
}

#[test]
fn a_request_contains_its_assignment_and_the_record_of_its_fulfilment() {
    // Named by the assignment's id, or not.
    for details in [json!({"assignment_id": "a-1"}), json!({})] {
        let events = [
            requested("r-1"),
            assignment("a-1", 9, 500),
            fulfilled("r-1", 10, details.clone()),
            logged("l-1", 11),
        ];
        let request = access("r:r-1", &events);
        assert_eq!(ids(&request), ["r-1-requested", "a-1", "r-1-fulfilled", "l-1"], "{details}");
        assert_eq!(request.policy.as_ref().map(|policy| policy.id.as_str()), Some("pol-1"));
        assert_eq!((request.starts_at, request.ends_at), (Some(at(9)), Some(at(500))));
        assert_eq!(request.assignment.as_deref(), Some("a-1"));
        // The others do not contain the request, so that only one record has all of it.
        let alone = access("r:assignment:a-1", &events);
        assert!(!ids(&alone).contains(&"r-1-requested"), "{:?}", alone.events);
        assert!(ids(&alone).contains(&"l-1"));
        assert_eq!(ids(&access("e:l-1", &events)), ["l-1"]);
    }
}

#[test]
fn another_assignment_of_the_package_is_not_the_one_of_the_request() {
    let details = json!({"assignment_id": "a-1"});
    let own = [requested("r-1"), fulfilled("r-1", 10, details)];
    let with = |other: Recorded| ids(&access("r:r-1", &[&own[..], &[other]].concat())).len();
    assert_eq!(with(assignment("a-2", 11, 500)), 2, "another id");
    assert_eq!(with(assignment("a-1", 11, 500)), 3);
    let ended = [requested("r-1"), fulfilled("r-1", 10, json!({})), removed(60)];
    let later =
        |minutes| ids(&access("r:r-1", &[&ended[..], &[logged("l", minutes)]].concat())).len();
    assert_eq!((later(50), later(61)), (4, 3), "after the end");
    let earlier =
        |minutes| ids(&access("r:r-1", &[&own[..], &[logged("l", minutes)]].concat())).len();
    assert_eq!((earlier(-1000), earlier(-1500)), (3, 2), "more than a day before");
}

#[test]
fn of_two_records_of_the_log_the_first_contains_the_second() {
    let events = [logged("l-1", 10), logged("l-2", 12)];
    assert_eq!(ids(&access("e:l-1", &events)), ["l-1", "l-2"]);
    assert_eq!(ids(&access("e:l-2", &events)), ["l-2"]);
}

#[test]
fn what_was_fulfilled_in_part_is_held() {
    let failed = |details: Value| {
        let more = json!({"request_id": "r-1", "outcome": "failure", "reason": "PartiallyDelivered", "details": details});
        access("r:r-1", &[requested("r-1"), event("f", "entitlement.fulfilled", 10, more)])
    };
    let partial = failed(json!({"partial": true, "schedule": {"ends_at": at(500)}}));
    assert_eq!((partial.standing, partial.ends_at), (AccessStatus::Active, Some(at(500))));
    assert_eq!(failed(json!({})).standing, AccessStatus::Requested);
}

#[test]
fn a_failed_removal_ends_nothing() {
    let more = json!({"request_id": "r-2", "outcome": "failure", "reason": "DeliveryFailed", "details": {"partial": true}});
    let events = [
        requested("r-1"),
        fulfilled("r-1", 10, json!({})),
        event("x", "entitlement.removed", 20, more),
    ];
    assert_eq!(access("r:r-1", &events).standing, AccessStatus::Active);
}
