//! Assignments of access packages.

use super::*;
use crate::trail::event::{AskedWindow, Outcome};

#[test]
fn a_step_within_the_retention_is_stored_though_an_earlier_one_is_not() {
    let schedule = json!({"startDateTime": "2025-09-01T00:00:00Z", "expiration": {"type": "afterDateTime", "endDateTime": "2026-11-20T00:00:00Z"}});
    let ended = json!({"state": "expired", "status": "Expired", "expiredDateTime": "2026-11-20T00:00:00Z", "schedule": schedule});
    let events = events(&with(assignment(), ended));
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["entitlement.removed"]);
}

#[test]
fn an_assignment_says_since_when_and_until_when() {
    let given = event(&assignment());
    assert_eq!(
        given.message(),
        "System assigned access package Access package for testing to Audry Oliver."
    );
    assert_eq!(given.occurred_at.to_string(), "2026-10-02T08:25:11.623Z");
    assert_eq!(given.window, Some(AskedWindow::Until("2027-10-02T08:25:11.623Z".parse().unwrap())));
    // An extended assignment is a new event and does not contradict the earlier one.
    let mut extended = assignment();
    extended["schedule"]["expiration"]["endDateTime"] = "2028-10-02T08:25:11.623Z".into();
    assert_ne!(event(&extended).id, given.id);
    let reason = nothing(&with(assignment(), json!({"state": "delivering"})));
    assert!(reason.contains("state \"delivering\""), "{reason}");
    let over = events(&with(
        assignment(),
        json!({"state": "expired", "expiredDateTime": "2026-11-01T00:00:00Z"}),
    ));
    assert_eq!(over[0].id, given.id);
    assert_eq!(
        (over[0].window.clone(), over[1].action.as_str()),
        (Some(AskedWindow::None), "entitlement.removed")
    );
    assert_eq!(over[1].reason.as_deref(), Some("ended before its planned end"));
    assert!(!contradicts(&over[0], &given));
    // Beta contains fewer members.
    let removed = event(&fixture(include_str!("../fixtures/assignment_beta.json")));
    assert_eq!(
        (removed.action.as_str(), removed.reason.as_deref()),
        ("entitlement.removed", Some("expired"))
    );
    assert_eq!(detail(&removed, "policy/id"), "63ebd106-8116-40e7-a0ab-01ae475d11bb");
}

#[test]
fn an_assignment_that_failed_or_was_delivered_in_part_is_a_failure() {
    let state = |state: &str, status: &str| {
        event(&with(assignment(), json!({"state": state, "status": status})))
    };
    let partial = state("partiallyDelivered", "PartiallyDelivered");
    assert_eq!(
        (partial.action.as_str(), partial.outcome, partial.reason.as_deref()),
        ("entitlement.fulfilled", Outcome::Failure, Some("PartiallyDelivered"))
    );
    assert_eq!((partial.window.clone(), detail(&partial, "partial")), (None, &json!(true)));
    // The rest follows: another event.
    assert_ne!(event(&assignment()).id, partial.id);
    let failed = state("deliveryFailed", "DeliveryFailed: The site is locked");
    assert_eq!(
        failed.message(),
        "The request for access package Access package for testing of Audry Oliver failed. Reason: DeliveryFailed: The site is locked"
    );
}
