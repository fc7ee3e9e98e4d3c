//! Objects from the documentation of Microsoft Graph, v1.0 and beta, and the events they become.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    configuration::access_package::eligibility::{Eligibility, Principal},
    trail::event::{ActorType, AskedWindow, Outcome, Tenant},
};

const NOW: &str = "2026-11-22T12:00:00.000Z";

fn told(object: &Value) -> Result<Told, Vec<FieldError>> {
    let tenant = Tenant::new("acme").unwrap();
    let intake = Intake {
        tenant: &tenant,
        now: NOW.parse().unwrap(),
        retention: Duration::from_secs(400 * 86_400),
    };
    read(&object.to_string(), &intake)
}

fn events(object: &Value) -> Vec<Event> {
    match told(object) {
        Ok(Told::Events(events)) => events,
        other => panic!("{object}: {other:?}"),
    }
}

fn event(object: &Value) -> Event {
    let mut events = events(object);
    assert_eq!(events.len(), 1, "{object}");
    events.remove(0)
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn audits() -> Vec<Value> {
    fixture(include_str!("fixtures/directory_audits.json"))["value"].as_array().unwrap().clone()
}

fn request() -> Value {
    fixture(include_str!("fixtures/request.json"))
}

fn assignment() -> Value {
    fixture(include_str!("fixtures/assignment.json"))
}

fn with(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// Asserts that the object is rejected at that place.
fn refused(object: &Value, pointer: &str, part: &str) {
    let errors = told(object).expect_err(&object.to_string());
    assert!(
        errors.iter().any(|error| error.pointer == pointer && error.detail.contains(part)),
        "{object}: {errors:?}"
    );
}

fn detail<'e>(event: &'e Event, pointer: &str) -> &'e Value {
    static NONE: Value = Value::Null;
    let (first, rest) = pointer
        .split_once('/')
        .map_or((pointer, String::new()), |(first, rest)| (first, format!("/{rest}")));
    event.details.as_ref().and_then(|details| details.get(first)?.pointer(&rest)).unwrap_or(&NONE)
}

#[test]
fn a_record_of_the_audit_log_is_an_event() {
    let event = event(&audits()[0]);
    assert_eq!(event.id.as_str(), "entra_audit_ELM_0f2b6d1c-5f5e-4c1a-9d1e-3d5f5a1c0a11_1_7001");
    assert_eq!(
        (event.action.as_str(), event.occurred_at.to_string().as_str()),
        ("entitlement.requested", "2026-10-01T08:20:02.721Z")
    );
    assert_eq!(
        event.message(),
        "audry@wingtiptoysonline.com requested access package Access package for testing."
    );
    assert_eq!(event.request_id.as_deref(), Some("7999249e-249e-7999-9e24-99799e249979"));
    assert_eq!(
        serde_json::to_value(&event.target).unwrap(),
        json!({"type": "package", "id": "114d3459-3459-114d-5934-4d1159344d11", "name": "Access package for testing"})
    );
    assert_eq!(event.subject, None);
    assert_eq!(event.source.as_ref().and_then(|source| source.ip.as_deref()), Some("127.0.0.1"));
    // The whole record and the result of the table.
    assert_eq!(detail(&event, "graph"), &audits()[0]);
    assert_eq!(detail(&event, "activity"), "User requests access package assignment");
    assert_eq!(detail(&event, "policy/id"), "87e1c7f7-c7f7-87e1-f7c7-e187f7c7e187");
}

#[test]
fn the_recipient_is_the_subject_of_what_was_fulfilled() {
    for activity in
        ["Fulfill access package assignment", "Fulfill access package assignment request"]
    {
        let object = with(audits()[0].clone(), json!({"activityDisplayName": activity}));
        let event = event(&object);
        assert_eq!(
            event.message(),
            "System assigned access package Access package for testing to Audry Oliver."
        );
        assert_eq!(
            event.subject.as_ref().and_then(|it| it.email.as_deref()),
            Some("audry@wingtiptoysonline.com")
        );
        assert_eq!(event.actor.kind, ActorType::System);
    }
    // If the record names the recipient, the other person in it is the actor.
    let mut object = with(
        audits()[0].clone(),
        json!({"activityDisplayName": "Fulfill access package assignment"}),
    );
    let targets = object["targetResources"].as_array_mut().unwrap();
    targets.push(
        json!({"id": "u-2", "type": "User", "userPrincipalName": "bob@wingtiptoysonline.com"}),
    );
    let event = event(&object);
    assert_eq!(
        event.message(),
        "audry@wingtiptoysonline.com assigned access package Access package for testing to bob@wingtiptoysonline.com."
    );
}

#[test]
fn a_failure_says_why() {
    let denied = json!({"result": "failure", "resultReason": "The package is gone"});
    let denied = event(&with(audits()[0].clone(), denied));
    assert_eq!(
        (denied.outcome, denied.reason.as_deref()),
        (Outcome::Failure, Some("The package is gone"))
    );
    let silent = event(&with(audits()[0].clone(), json!({"result": "timeout"})));
    assert_eq!(silent.outcome, Outcome::Failure);
    assert!(silent.reason.unwrap().contains("timeout"));
}

#[test]
fn a_removal_says_its_cause() {
    let user = |upn: &str| json!({"user": {"id": upn, "userPrincipalName": upn}});
    let removal = |activity: &str, initiator: Value| {
        let mut object = with(
            audits()[0].clone(),
            json!({"activityDisplayName": activity, "initiatedBy": initiator}),
        );
        let targets = object["targetResources"].as_array_mut().unwrap();
        targets.push(json!({"id": "audry@w.example", "type": "User", "userPrincipalName": "audry@w.example"}));
        let event = event(&object);
        assert_eq!(event.action.as_str(), "entitlement.removed");
        // What the reason says in words, a field says for programs.
        let cause = match event.reason.as_deref() {
            Some("canceled by the user") => "canceled",
            Some("expired") => "expired",
            _ => "removed",
        };
        assert_eq!(event.details.unwrap()["end_cause"], cause);
        event.reason.unwrap()
    };
    const PLAIN: &str = "Remove access package assignment";
    assert_eq!(removal(PLAIN, user("audry@w.example")), "canceled by the user");
    assert_eq!(removal(PLAIN, user("admin@w.example")), "removed by an administrator");
    assert_eq!(removal(PLAIN, json!({"app": {"displayName": "x"}})), "expired");
    assert_eq!(
        removal(
            "Administrator directly removes user access package assignment",
            user("admin@w.example")
        ),
        "removed by an administrator"
    );
    assert_eq!(
        removal("Entitlement Management removes access package assignment for user", Value::Null),
        "removed by entitlement management"
    );
}

#[test]
fn a_record_that_names_nobody_is_kept_whole_and_nobody_is_guessed() {
    let object = with(
        audits()[0].clone(),
        json!({"activityDisplayName": "Administrator directly assigns user to access package"}),
    );
    let event = event(&object);
    assert_eq!(event.action.as_str(), "directory.activity");
    assert!(detail(&event, "incomplete").as_str().unwrap().contains("recipient"), "{event:?}");
    assert_eq!(detail(&event, "graph"), &object);
    assert_eq!(event.request_id.as_deref(), Some("7999249e-249e-7999-9e24-99799e249979"));
}

#[test]
fn a_step_of_an_approval_is_about_its_request() {
    let user = json!({"id": "u-sam", "type": "User", "userPrincipalName": "sam@w.example"});
    let object = with(
        audits()[0].clone(),
        json!({
            "activityDisplayName": "Add approver to request approval", "category": "UserManagement", "initiatedBy": {},
            "targetResources": [{"id": "r-1", "type": "Request"}, user]
        }),
    );
    let event = event(&object);
    assert_eq!(
        event.message(),
        "System added an approver to the request for access package r-1. Approver: sam@w.example"
    );
    assert_eq!((event.request_id.as_deref(), event.subject.is_none()), (Some("r-1"), true));
}

#[test]
fn a_changed_application_role_says_whether_a_package_did_it() {
    let out_of_band = event(&audits()[1]);
    assert_eq!(out_of_band.action.as_str(), "application.role_assignment.changed");
    assert_eq!(
        out_of_band.message(),
        "admin@wingtiptoysonline.com changed a role assignment of application AWS Gateway API for bob@wingtiptoysonline.com."
    );
    assert_eq!(
        out_of_band.subject.as_ref().and_then(|it| it.email.as_deref()),
        Some("bob@wingtiptoysonline.com")
    );
    assert_eq!(
        (detail(&out_of_band, "via_package"), detail(&out_of_band, "role")),
        (&json!(false), &json!("Operator"))
    );
    for (app, via_package) in [
        (
            json!({"displayName": "Azure AD Identity Governance - User Management", "appId": null}),
            true,
        ),
        (json!({"displayName": "Azure AD Identity Governance - Entitlement Management"}), true),
        (json!({"displayName": "x", "appId": "810DCF14-1858-4bf2-8134-4c369fa3235b"}), true),
        // Any application can have that name.
        (
            json!({"displayName": "Azure AD Identity Governance - User Management", "appId": "11111111-1858-4bf2-8134-4c369fa3235b"}),
            false,
        ),
        (json!({"displayName": "Terraform", "servicePrincipalId": "sp-1"}), false),
    ] {
        let object = with(audits()[1].clone(), json!({"initiatedBy": {"user": null, "app": app}}));
        let event = event(&object);
        assert_eq!(detail(&event, "via_package"), &json!(via_package), "{app}");
        assert_eq!(event.actor.kind, ActorType::Service);
    }
}

#[test]
fn an_unknown_activity_is_kept_whole() {
    let event = event(&audits()[2]);
    assert_eq!(event.message(), "Self-service Group Management did: GroupLifecyclePolicies_Get.");
    assert_eq!(
        (event.action.as_str(), detail(&event, "category")),
        ("directory.activity", &json!("GroupManagement"))
    );
    assert_eq!(detail(&event, "graph"), &audits()[2]);
}

#[test]
fn what_details_cannot_hold_is_left_out_by_its_size_and_named() {
    let large = with(
        audits()[2].clone(),
        json!({"additionalDetails": [{"key": "k", "value": "x".repeat(40_000)}]}),
    );
    let event = event(&large);
    assert_eq!(detail(&event, "graph_left_out"), &json!(["additionalDetails"]));
    assert_eq!(detail(&event, "graph/correlationId"), "b662f17a-4e4d-4e1c-9248-cdec180024b2");
    assert!(
        serde_json::to_string(&event.details).unwrap().len()
            <= crate::trail::event_validation::MAX_DETAILS_BYTES
    );
}

#[test]
fn a_delivered_request_was_made_and_fulfilled() {
    let steps = events(&request());
    let told: Vec<_> =
        steps.iter().map(|event| (event.action.as_str(), event.occurred_at.to_string())).collect();
    assert_eq!(
        told,
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
        assert!(events(&with(of_type(kind), json!({"state": "delivering"}))).is_empty());
    }
}

#[test]
fn a_request_that_moved_on_tells_the_same_of_what_it_told() {
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
fn a_request_of_beta_is_told_too() {
    let object = fixture(include_str!("fixtures/request_beta.json"));
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
    assert!(events(&with(assignment(), json!({"state": "delivering"}))).is_empty());
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
    let removed = event(&fixture(include_str!("fixtures/assignment_beta.json")));
    assert_eq!(
        (removed.action.as_str(), removed.reason.as_deref()),
        ("entitlement.removed", Some("expired"))
    );
    assert_eq!(detail(&removed, "policy/id"), "63ebd106-8116-40e7-a0ab-01ae475d11bb");
}

#[test]
fn an_approval_says_who_decided_and_why() {
    let object = fixture(include_str!("fixtures/approval.json"));
    let decided = event(&object);
    assert_eq!(decided.action.as_str(), "entitlement.approved");
    assert_eq!(decided.actor.email.as_deref(), Some("sam@wingtiptoysonline.com"));
    assert_eq!(decided.reason.as_deref(), Some("She closes the quarter"));
    assert_eq!(decided.request_id.as_deref(), Some("7999249e-249e-7999-9e24-99799e249979"));
    assert_eq!(
        detail(&decided, "stage"),
        &json!({"id": "d4fa4045-4716-436d-aec5-57b0a713f095", "name": "Manager"})
    );
    // Beta has steps and a list of reviewers.
    let mut stage = object["stages"][0].clone();
    stage["reviewedBy"] = json!([{"id": "u-sam", "displayName": "Sam"}]);
    stage["reviewResult"] = "Denied".into();
    let beta = json!({"id": "r-1", "steps": [stage]});
    assert_eq!(
        event(&beta).message(),
        "Sam denied access package assignment request r-1. Reason: She closes the quarter"
    );
    let pending = json!({"id": "r-1", "stages": [object["stages"][1]]});
    assert!(events(&pending).is_empty());
}

#[test]
fn a_package_is_told_with_its_policies_and_roles() {
    let Ok(Told::Package(told)) = told(&fixture(include_str!("fixtures/package.json"))) else {
        panic!()
    };
    let package = told.onto(None);
    assert_eq!(
        (told.id.as_str(), package.name.as_str()),
        ("114d3459-3459-114d-5934-4d1159344d11", "Access package for testing")
    );
    assert_eq!(
        serde_json::to_value(&package.resource_roles).unwrap(),
        json!([{"resource": {"id": "7b56ede0-9b58-40bd-b11e-b3d18fc32698", "name": "Sales team", "type": "AadGroup"}, "role": "Owner"}])
    );
    let [all, external, direct] = package.policies.as_slice() else { panic!() };
    assert!(
        all.requestors.all
            && all.approvals_needed == 0
            && all.duration.as_ref().unwrap().to_string() == "P365D"
    );
    assert!(
        external.requestors.configured_organisations
            && external.approvals_needed == 2
            && external.duration.is_none()
    );
    assert_eq!(
        serde_json::to_value(&external.approvers).unwrap(),
        json!({
            "users": ["7deff43e-1f17-44ef-9e5f-d516b0ba11d4", "46184453-e63b-4f20-86c2-c557ed5d5df9"],
            "groups": ["1623f912-5e86-41c2-af47-39dd67582b66"], "manager": true, "sponsors": true
        })
    );
    assert_eq!(direct.requestors, crate::configuration::access_package::Requestors::default());
    let nobody = Principal::default();
    assert_eq!(external.approves(&nobody, &nobody, &[]), Eligibility::Unknown);
    // The document passes the validation of requests.
    let text = serde_json::to_string(&package).unwrap();
    assert_eq!(crate::configuration::access_package::Package::read(&text).unwrap(), package);
}

#[test]
fn what_an_export_does_not_expand_stays_as_it_is() {
    let whole = fixture(include_str!("fixtures/package.json"));
    let Ok(Told::Package(all)) = told(&whole) else { panic!() };
    let bare = json!({"id": whole["id"], "displayName": "Renamed", "isHidden": false, "description": null});
    let Ok(Told::Package(bare)) = told(&bare) else { panic!() };
    let package = bare.onto(Some(all.onto(None)));
    assert_eq!(
        (package.name.as_str(), package.policies.len(), package.resource_roles.len()),
        ("Renamed", 3, 1)
    );
    assert_eq!(package.description.as_deref(), Some("Sample access package"));
}

#[test]
fn a_package_of_beta_is_told_too() {
    let Ok(Told::Package(told)) = told(&fixture(include_str!("fixtures/package_beta.json"))) else {
        panic!()
    };
    assert_eq!(
        serde_json::to_value(told.onto(None)).unwrap(),
        json!({
            "name": "Test Package 9-9", "description": "Test Package 9-9", "catalog": "32efb28c-9a7a-446c-986b-ca6528c6669d",
            "resource_roles": [{"resource": {"id": "7b56ede0", "name": "Marketing", "type": "AadGroup"}, "role": "Member"}],
            "policies": [{
                "id": "4540a08f-8ab5-43f6-a923-015275799197", "name": "Members of a group",
                "requestors": {"groups": ["1623f912-5e86-41c2-af47-39dd67582b66"]}, "approvals_needed": 1,
                "approvers": {"users": ["46184453-e63b-4f20-86c2-c557ed5d5df9"]}, "duration": "P90D"
            }]
        })
    );
}

#[test]
fn a_connected_organization_is_told() {
    let object = fixture(include_str!("fixtures/organisation.json"));
    let Ok(Told::Organisation(all)) = told(&object) else { panic!() };
    let organisation = all.onto(None);
    assert_eq!(organisation.domains, ["wingtiptoys.example"]);
    assert_eq!(organisation.internal_sponsors, ["7deff43e-1f17-44ef-9e5f-d516b0ba11d4"]);
    assert_eq!(organisation.created_at.unwrap().to_string(), "2020-05-13T15:18:04.810Z");
    assert_eq!(organisation.identity_sources.len(), 2);
    // Without expanded members the sponsors stay.
    let bare = json!({"@odata.type": "#microsoft.graph.connectedOrganization", "id": "x", "displayName": "W", "state": "proposed"});
    let Ok(Told::Organisation(bare)) = told(&bare) else { panic!() };
    let after = bare.onto(Some(organisation.clone()));
    assert_eq!(
        (after.internal_sponsors, after.domains),
        (organisation.internal_sponsors, organisation.domains)
    );
    assert_eq!(after.state, crate::configuration::organisation::State::Proposed);
}

#[test]
fn what_is_wrong_is_named_where_it_stands_in_the_object() {
    refused(&json!([]), "", "object");
    refused(&json!({"id": "x", "displayName": "y"}), "", "@odata.type");
    refused(
        &json!({"@odata.type": "#microsoft.graph.user", "id": "x"}),
        "/@odata.type",
        "directoryAudit",
    );
    refused(&json!({"id": "s", "reviewResult": "Approved"}), "", "$expand=stages");
    let audit = audits()[0].clone();
    refused(&with(audit.clone(), json!({"id": null})), "/id", "required");
    refused(
        &with(audit.clone(), json!({"activityDateTime": "yesterday"})),
        "/activityDateTime",
        "RFC 3339",
    );
    refused(
        &with(audit.clone(), json!({"activityDateTime": "2019-01-01T00:00:00Z"})),
        "/activityDateTime",
        "400 days",
    );
    refused(
        &with(audit.clone(), json!({"activityDisplayName": 7})),
        "/activityDisplayName",
        "string",
    );
    refused(&with(audit.clone(), json!({"targetResources": {}})), "/targetResources", "list");
    refused(&with(audit, json!({"targetResources": [1]})), "/targetResources/0", "object");
    refused(&with(request(), json!({"accessPackage": null})), "/accessPackage", "$expand");
    refused(&with(request(), json!({"requestor": null})), "/requestor", "$expand");
    refused(&with(request(), json!({"requestType": "teleport"})), "/requestType", "userAdd");
    refused(&with(request(), json!({"completedDateTime": null})), "/completedDateTime", "required");
    refused(
        &with(request(), json!({"createdDateTime": "2031-01-01T00:00:00Z"})),
        "/createdDateTime",
        "future",
    );
    refused(&with(assignment(), json!({"schedule": null})), "/schedule", "since when");
    let mut approval = fixture(include_str!("fixtures/approval.json"));
    approval["stages"][0]["reviewedBy"] = Value::Null;
    refused(&approval, "/stages/0/reviewedBy", "who decided");
    let mut package = fixture(include_str!("fixtures/package.json"));
    package["resourceRoleScopes"][0]["role"] = Value::Null;
    refused(&package, "/resourceRoleScopes/0/role", "$expand");
    let mut package = fixture(include_str!("fixtures/package.json"));
    package["assignmentPolicies"][0]["expiration"]["duration"] = "P1M".into();
    refused(&package, "/assignmentPolicies/0/expiration/duration", "ISO 8601");
}

#[test]
fn a_request_that_is_only_tried_tells_nothing() {
    assert!(events(&with(request(), json!({"isValidationOnly": true}))).is_empty());
}

#[test]
fn texts_that_no_event_can_hold_are_cut_and_kept_whole() {
    let long = "é".repeat(3000);
    let made = &events(&with(request(), json!({"justification": long})))[0];
    let cut = made.justification.as_deref().unwrap();
    assert!(cut.len() <= 2048 && cut.starts_with("éé") && cut.ends_with('…'));
    assert_eq!(detail(made, "graph/justification"), &json!(long));
}

/// The pointers of all values inside a value.
fn places(at: &str, value: &Value, places: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (strict_json::pointer_to(at, key), value)).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect()
        }
        _ => Vec::new(),
    };
    for (place, value) in inner {
        self::places(&place, value, places);
        places.push(place);
    }
}

#[test]
fn whatever_stands_in_a_member_an_object_is_taken_or_its_place_is_named() {
    let objects = [
        audits()[0].clone(),
        audits()[1].clone(),
        request(),
        fixture(include_str!("fixtures/request_beta.json")),
        assignment(),
        fixture(include_str!("fixtures/assignment_beta.json")),
        fixture(include_str!("fixtures/approval.json")),
        fixture(include_str!("fixtures/package.json")),
        fixture(include_str!("fixtures/package_beta.json")),
        fixture(include_str!("fixtures/organisation.json")),
    ];
    let values = [
        Value::Null,
        json!(true),
        json!(-7.5),
        json!(""),
        json!(" \u{200b}"),
        json!("x".repeat(5000)),
        json!("2026-10-01T00:00:00Z"),
        json!([]),
        json!([7]),
        json!({}),
    ];
    for object in &objects {
        let mut all = Vec::new();
        places("", object, &mut all);
        for (place, value) in
            all.iter().flat_map(|place| values.iter().map(move |value| (place, value)))
        {
            let mut changed = object.clone();
            *changed.pointer_mut(place).unwrap() = value.clone();
            let Err(errors) = told(&changed) else { continue };
            assert!(!errors.is_empty(), "{place} {value}");
            for FieldError { pointer, detail } in errors {
                // A missing member is reported inside the object that lacks it.
                let around = pointer.rsplit_once('/').map_or("", |(around, _)| around);
                assert!(
                    changed.pointer(around).is_some_and(|it| it.is_object() || it.is_array()),
                    "{place}: {pointer} {detail}"
                );
                assert!(!detail.is_empty());
            }
        }
    }
}

#[test]
fn an_id_that_no_event_can_have_is_replaced_by_one_made_of_it() {
    let id = |graph: &str| event(&with(audits()[0].clone(), json!({"id": graph}))).id.to_string();
    assert!(
        id("a b").starts_with("entra_audit_") && id("a b") == id("a b") && id("a b") != id("a c")
    );
    assert_eq!(id("a.b").len(), id(&"x".repeat(300)).len());
}
