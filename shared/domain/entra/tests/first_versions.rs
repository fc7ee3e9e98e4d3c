//! Records in the forms that the log had until 2018: those of Microsoft Graph's first beta, whose targets
//! have a type of their own, and those of the reporting API before it.

use super::*;
use crate::trail::event::{ActorType, Outcome};

fn records() -> Vec<Value> {
    let page = fixture(include_str!("../fixtures/directory_audits_first.json"));
    page["value"].as_array().unwrap().clone()
}

#[test]
fn the_type_of_a_target_is_its_kind() {
    let event = event(&records()[0]);
    assert_eq!(
        event.message(),
        "jdoe@wingtiptoysonline.com did: Add member to group on Lynda.com."
    );
    assert_eq!(event.target.unwrap().kind.as_deref(), Some("Group"));
    assert_eq!(event.subject.unwrap().email.as_deref(), Some("bob@wingtiptoysonline.com"));
    assert_eq!(event.reason.as_deref(), Some("Successfully added member to group"));
}

#[test]
fn members_with_other_names_are_read() {
    let event = event(&records()[1]);
    assert_eq!(
        event.message(),
        "admin@wingtiptoysonline.com changed a role assignment of application AWS Gateway API for bob@wingtiptoysonline.com."
    );
    assert_eq!(event.occurred_at.to_string(), "2026-10-04T21:21:00.000Z");
    assert_eq!(event.actor.id.as_deref(), Some("b1f7e5a6-5b6e-4f0c-8e8e-7c1c3a4b2d11"));
    assert_eq!(event.source.as_ref().unwrap().ip.as_deref(), Some("10.0.0.4"));
    assert_eq!(
        event.target.as_ref().unwrap().id.as_deref(),
        Some("ef7e527d-6c92-4234-8c6d-cf6fdfb57f95")
    );
    assert_eq!(
        (detail(&event, "role"), detail(&event, "via_package")),
        (&json!("Operator"), &json!(false))
    );
    assert_eq!(event.source_activity.as_deref(), Some("Add app role assignment grant to user."));
    assert_eq!(detail(&event, "graph"), &records()[1]);
}

#[test]
fn a_failure_and_an_application_as_the_actor_are_read() {
    let event = event(&records()[2]);
    assert_eq!(
        (event.outcome, event.reason.as_deref()),
        (Outcome::Failure, Some("The policy is gone"))
    );
    assert_eq!(
        (event.actor.kind, event.actor.name.as_deref()),
        (ActorType::Service, Some("Tokens"))
    );
}

#[test]
fn the_case_of_a_members_name_does_not_matter() {
    let upper: serde_json::Map<String, Value> = audits()[0]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key[..1].to_uppercase() + &key[1..], value.clone()))
        .collect();
    let (upper, lower) = (event(&Value::Object(upper)), event(&audits()[0]));
    assert_eq!((&upper.id, upper.message()), (&lower.id, lower.message()));
    assert_eq!(upper.source_category, lower.source_category);
}
