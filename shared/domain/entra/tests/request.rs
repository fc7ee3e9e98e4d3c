//! Requests for access packages.

use super::*;
use crate::trail::event::{AskedWindow, Outcome};

#[test]
fn a_delivered_request_was_made_and_fulfilled() {
    let steps = events(&request());
    let package: Vec<_> =
        steps.iter().map(|event| (event.action.as_str(), event.occurred_at.to_string())).collect();
    assert_eq!(
        package,
        [
            ("entitlement.requested", "2026-10-01T08:20:02.623Z".to_owned()),
            ("entitlement.fulfilled", "2026-10-02T08:25:11.623Z".to_owned())
        ]
    );
    let [made, fulfilled] = steps.as_slice() else { panic!() };
    assert_eq!(made.id.as_str(), "entra_request_7999249e-249e-7999-9e24-99799e249979_requested");
    assert_eq!(made.justification.as_deref(), Some("Quarterly numbers"));
    assert_eq!(made.actor.email.as_deref(), Some("audry@wingtiptoysonline.com"));
    assert_eq!(detail(made, "schedule/duration"), "P365D");
    assert_eq!(
        fulfilled.subject.as_ref().and_then(|it| it.id.as_deref()),
        Some("728309ae-1a37-4937-9afe-e35d964db09b")
    );
    assert_eq!(
        fulfilled.window,
        Some(AskedWindow::Until("2027-10-02T08:25:11.623Z".parse().unwrap()))
    );
    assert_eq!(detail(fulfilled, "schedule/ends_at"), "2027-10-02T08:25:11.623Z");
    assert_eq!(detail(fulfilled, "assignment_id"), "2a353749-3749-2a35-4937-352a4937352a");
    assert_eq!(detail(fulfilled, "policy/name"), "All Users");
    assert!(
        steps.iter().all(
            |event| event.request_id.as_deref() == Some("7999249e-249e-7999-9e24-99799e249979")
        )
    );
}

#[test]
fn a_request_ends_as_its_state_says() {
    let ends = |object: Value| {
        events(&object).pop().map(|event| (event.action.to_string(), event.reason)).unwrap()
    };
    let state =
        |state: &str, status: &str| with(request(), json!({"state": state, "status": status}));
    for (object, action) in [
        (state("submitted", "Submitted"), "entitlement.requested"),
        (state("pendingApproval", "PendingApproval"), "entitlement.requested"),
        (state("delivering", "Delivering"), "entitlement.requested"),
        (state("scheduled", "Scheduled"), "entitlement.requested"),
        (state("Delivered", "Fulfilled"), "entitlement.fulfilled"),
        (state("partiallyDelivered", "PartiallyDelivered"), "entitlement.fulfilled"),
        (state("denied", "Denied"), "entitlement.denied"),
        (state("denied", "Approval timed out"), "entitlement.timed_out"),
        (state("denied", "Expired"), "entitlement.timed_out"),
        (state("canceled", "Canceled"), "entitlement.canceled"),
        (state("deliveryFailed", "FulfillmentFailed"), "entitlement.failed"),
    ] {
        assert_eq!(ends(object.clone()).0, action, "{object}");
    }
    assert_eq!(
        ends(state("deliveryFailed", "The site is locked")).1.as_deref(),
        Some("The site is locked")
    );
    let of_type = |kind: &str| with(request(), json!({"requestType": kind}));
    let direct = events(&of_type("adminAdd"));
    assert_eq!(
        direct[0].message(),
        "an administrator directly assigned Audry Oliver to access package Access package for testing."
    );
    for (kind, reason) in [
        ("userRemove", "canceled by the user"),
        ("AdminRemove", "removed by an administrator"),
        ("systemRemove", "removed by entitlement management"),
    ] {
        assert_eq!(
            ends(of_type(kind)),
            ("entitlement.removed".to_owned(), Some(reason.to_owned())),
            "{kind}"
        );
        assert_eq!(events(&of_type(kind)).len(), 1);
        let reason = nothing(&with(of_type(kind), json!({"state": "delivering"})));
        assert!(reason.contains("not completed (state \"delivering\")"), "{reason}");
    }
}

#[test]
fn a_request_that_moved_on_reads_the_same_about_earlier_steps() {
    let pending = with(
        request(),
        json!({"state": "pendingApproval", "status": "PendingApproval", "completedDateTime": null, "assignment": null}),
    );
    let (before, after) = (events(&pending), events(&request()));
    assert_eq!((before.len(), after.len()), (1, 2));
    assert_eq!(before[0].digest(), after[0].digest());
    // Graph may change the status of a delivered request.
    let later = events(&with(request(), json!({"status": "Expired notification triggered"})));
    assert_eq!(later[1].digest(), after[1].digest());
}

#[test]
fn only_what_is_said_otherwise_contradicts() {
    let stored = &events(&request())[1];
    let again = |object: Value| contradicts(&events(&object)[1], stored);
    let requestor = |more: Value| {
        with(request(), json!({"requestor": with(request()["requestor"].clone(), more)}))
    };
    assert!(!again(request()));
    assert!(
        !again(requestor(
            json!({"displayName": "Audry Smith", "principalName": "smith@w.example"})
        )),
        "renamed"
    );
    assert!(!again(with(request(), json!({"assignment": null}))), "not expanded");
    let short = json!({"expiration": {"duration": "P365D", "type": "afterDuration"}});
    assert!(!again(with(request(), json!({"schedule": short}))), "what is null elsewhere left out");
    assert!(
        !again(with(request(), json!({"requestType": "UserAdd", "state": "Delivered"}))),
        "beta's words"
    );
    assert!(
        !again(with(request(), json!({"completedDateTime": "2026-10-02T08:25:11.6230000Z"}))),
        "beta's times"
    );
    assert!(again(requestor(json!({"objectId": "another"}))), "somebody else");
    assert!(
        again(with(request(), json!({"completedDateTime": "2026-10-03T00:00:00Z"}))),
        "another time"
    );
}

#[test]
fn history_opens_no_window() {
    let over =
        json!({"expiration": {"endDateTime": "2026-10-10T00:00:00Z", "type": "afterDateTime"}});
    assert_eq!(
        events(&with(request(), json!({"schedule": over})))[1].window,
        Some(AskedWindow::None)
    );
    let endless = json!({"expiration": {"type": "noExpiration"}});
    assert_eq!(events(&with(request(), json!({"schedule": endless})))[1].window, None);
    let far = json!({"expiration": {"endDateTime": "2099-10-10T00:00:00Z"}});
    assert_eq!(
        events(&with(request(), json!({"schedule": far})))[1].window,
        Some(AskedWindow::None)
    );
}

#[test]
fn a_request_of_beta_is_read_too() {
    let object = fixture(include_str!("../fixtures/request_beta.json"));
    let event = event(&object);
    assert_eq!(event.message(), "displayname@example.com requested access package Sales.");
    assert_eq!(event.justification.as_deref(), Some("Need access"));
    let delivered = with(
        object,
        json!({"requestState": "Delivered", "completedDate": "2026-10-26T22:55:11.623Z"}),
    );
    assert_eq!(events(&delivered)[1].action.as_str(), "entitlement.fulfilled");
}

#[test]
fn a_request_that_is_only_tried_tells_nothing() {
    assert!(nothing(&with(request(), json!({"isValidationOnly": true}))).contains("validation"));
}

#[test]
fn a_removal_that_failed_or_was_half_done_is_a_failure() {
    let removal = |state: &str, status: Value| {
        let more = json!({"requestType": "adminRemove", "state": state, "status": status});
        event(&with(request(), more))
    };
    for (state, status, reason) in [
        (
            "deliveryFailed",
            json!("DeliveryFailed: The group is gone"),
            "DeliveryFailed: The group is gone",
        ),
        ("partiallyDelivered", json!("PartiallyDelivered"), "PartiallyDelivered"),
        ("denied", json!("Denied"), "Denied"),
        ("canceled", Value::Null, "canceled"),
    ] {
        let event = removal(state, status);
        assert_eq!(event.action.as_str(), "entitlement.removed", "{state}");
        assert_eq!((event.outcome, event.reason.as_deref()), (Outcome::Failure, Some(reason)));
        assert_eq!(detail(&event, "partial") == true, state == "partiallyDelivered");
        assert_eq!(detail(&event, "end_cause"), &Value::Null, "nothing has ended");
    }
    assert_eq!(
        removal("deliveryFailed", json!("DeliveryFailed: The group is gone")).message(),
        "an administrator failed to remove access package Access package for testing from Audry Oliver. Reason: DeliveryFailed: The group is gone"
    );
    // It is tried again and succeeds: a second event.
    assert_ne!(removal("partiallyDelivered", json!("x")).id, removal("delivered", json!("x")).id);
}

#[test]
fn access_that_was_delivered_in_part_is_a_failure_with_the_end_of_what_is_held() {
    let partial = json!({"state": "partiallyDelivered", "status": "PartiallyDelivered"});
    let partly = events(&with(request(), partial)).pop().unwrap();
    assert_eq!(
        (partly.action.as_str(), partly.outcome, partly.reason.as_deref()),
        ("entitlement.fulfilled", Outcome::Failure, Some("PartiallyDelivered"))
    );
    assert_eq!((partly.window.clone(), detail(&partly, "partial")), (None, &json!(true)));
    assert_eq!(detail(&partly, "schedule/ends_at"), "2027-10-02T08:25:11.623Z");
    // An earlier version stored it as a success.
    let stored = Event { outcome: Outcome::Success, reason: None, ..partly.clone() };
    assert!(!contradicts(&partly, &stored));
}

#[test]
fn a_request_of_an_unknown_type_is_kept_whole() {
    for kind in ["teleport", "notSpecified", "unknownFutureValue"] {
        let object = with(request(), json!({"requestType": kind}));
        let event = event(&object);
        assert_eq!(event.action.as_str(), "directory.activity");
        assert_eq!(
            event.message(),
            format!(
                "Microsoft Entra ID did: access package request of the type {kind:?} on Access package for testing."
            )
        );
        let mut whole = object.clone();
        whole.as_object_mut().unwrap().remove("@odata.type");
        assert_eq!(detail(&event, "graph"), &whole);
        assert!(detail(&event, "incomplete").as_str().unwrap().contains("userAdd"));
        assert_eq!(event.subject.unwrap().email.as_deref(), Some("audry@wingtiptoysonline.com"));
        assert_eq!(event.request_id.as_deref(), Some("7999249e-249e-7999-9e24-99799e249979"));
        assert_eq!(events(&object)[0].id, event.id);
    }
    // Each version of the object is an event, also without what other requests need.
    let bare =
        json!({"id": "r-1", "requestType": "teleport", "createdDateTime": "2026-10-01T00:00:00Z"});
    let (first, second) = (event(&bare), event(&with(bare, json!({"state": "delivered"}))));
    assert_ne!(first.id, second.id);
    // What does not fit is left out and named.
    let answers = json!([{"answer": "x".repeat(40_000)}]);
    let large = event(&with(request(), json!({"requestType": "teleport", "answers": answers})));
    assert_eq!(detail(&large, "graph_left_out"), &json!(["answers"]));
}

#[test]
fn texts_that_no_event_can_hold_are_cut_and_kept_whole() {
    let long = "é".repeat(3000);
    let made = &events(&with(request(), json!({"justification": long})))[0];
    let cut = made.justification.as_deref().unwrap();
    assert!(cut.len() <= 2048 && cut.starts_with("éé") && cut.ends_with('…'));
    assert_eq!(detail(made, "graph/justification"), &json!(long));
}
