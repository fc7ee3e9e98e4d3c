//! Records of the audit log.

use super::*;
use crate::trail::event::{ActorType, Outcome};

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
        (
            json!({"displayName": "Azure AD Identity Governance", "servicePrincipalId": "sp-2"}),
            true,
        ),
        (json!({"displayName": "MIM Service"}), true),
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
fn a_service_principal_that_got_a_role_is_the_subject() {
    let object = fixture(include_str!("../fixtures/app_role_service_principal.json"));
    let subject = json!({"type": "service", "id": "5d2c7b1a-77aa-4c35-8a0e-91d0c4b3a2f6", "name": "Payroll sync"});
    let parties = |object: &Value| {
        let event = event(object);
        assert_eq!(event.action.as_str(), "application.role_assignment.changed");
        let party = |party| serde_json::to_value(party).unwrap();
        (party(event.subject), event.target.unwrap().name.unwrap())
    };
    assert_eq!(parties(&object), (subject, "Microsoft Graph".to_owned()));
    assert_eq!(
        event(&object).message(),
        "admin@wingtiptoysonline.com changed a role assignment of application Microsoft Graph for Payroll sync."
    );
    // The principal stands first, and its name is that of the target.
    let mut turned = object.clone();
    turned["targetResources"].as_array_mut().unwrap().reverse();
    turned["targetResources"][0]["displayName"] = "Payroll sync".into();
    assert_eq!(parties(&turned), parties(&object));
    // The properties do not name it.
    let properties = turned["targetResources"][1]["modifiedProperties"].as_array_mut().unwrap();
    properties.retain(|it| !it["displayName"].as_str().unwrap().starts_with("ServicePrincipal"));
    assert_eq!(parties(&turned), parties(&object));
    let removed =
        json!({"activityDisplayName": "Remove app role assignment from service principal"});
    assert_eq!(detail(&event(&with(turned, removed)), "change"), "removed");
    // An application's role that its own service principal got.
    let mut own = object;
    own["targetResources"].as_array_mut().unwrap().pop();
    own["targetResources"][0]["id"] = "5d2c7b1a-77aa-4c35-8a0e-91d0c4b3a2f6".into();
    assert_eq!(parties(&own).1, "Microsoft Graph");
}

#[test]
fn a_group_without_properties_is_the_subject() {
    let mut object = with(
        audits()[1].clone(),
        json!({"activityDisplayName": "Add app role assignment to group"}),
    );
    object["targetResources"][0]["modifiedProperties"].as_array_mut().unwrap().truncate(2);
    object["targetResources"][1] = json!({"id": "g-1", "displayName": "Sales", "type": "Group"});
    assert_eq!(
        serde_json::to_value(event(&object).subject).unwrap(),
        json!({"type": "group", "id": "g-1", "name": "Sales"})
    );
}

#[test]
fn what_was_fulfilled_in_part_is_a_failure() {
    let partial =
        json!({"activityDisplayName": "Partially fulfill access package assignment request"});
    let event = event(&with(audits()[0].clone(), partial));
    assert_eq!(event.action.as_str(), "entitlement.fulfilled");
    assert_eq!(
        (event.outcome, event.reason.as_deref()),
        (Outcome::Failure, Some("Partially fulfill access package assignment request"))
    );
    assert_eq!(detail(&event, "partial"), &json!(true));
}

#[test]
fn an_event_has_the_category_and_activity_of_its_record() {
    for (object, category) in
        audits().iter().zip(["EntitlementManagement", "UserManagement", "GroupManagement"])
    {
        let event = event(object);
        assert_eq!(event.source_category.as_deref(), Some(category));
        assert_eq!(event.source_activity.as_deref(), object["activityDisplayName"].as_str());
    }
    let long = json!({"category": "é".repeat(300)});
    let event = event(&with(audits()[2].clone(), long));
    assert!(event.source_category.unwrap().len() <= 256);
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
fn an_id_that_no_event_can_have_is_replaced_by_one_made_of_it() {
    let id = |graph: &str| event(&with(audits()[0].clone(), json!({"id": graph}))).id.to_string();
    assert!(
        id("a b").starts_with("entra_audit_") && id("a b") == id("a b") && id("a b") != id("a c")
    );
    assert_eq!(id("a.b").len(), id(&"x".repeat(300)).len());
}
