use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    identity::{people::alias, person::Person},
    trail::event::ActorType,
};

fn user(email: &str) -> Actor {
    Actor { kind: ActorType::User, id: None, name: None, email: Some(email.to_owned()) }
}

fn access() -> Access {
    let decision = json!({"verdict": "approved", "by": user("john@acme.example"), "at": "2026-11-22T00:00:00Z", "event": "e-2"});
    serde_json::from_value(json!({
        "id": "s:1", "kind": "session", "standing": "active", "approvals_needed": 1, "requester": user("mark@acme.example"),
        "subject": {"email": "eve@acme.example"}, "account": {"id": "9f9b"}, "decisions": [decision],
        "events": ["e-1", "e-2"], "recorded_until": "2026-11-22T00:00:00Z"
    }))
    .unwrap()
}

#[test]
fn a_review_is_by_somebody_who_had_no_part_in_it() {
    let person = Person {
        emails: vec!["john@acme.example".into(), "john.admin@acme.example".into()],
        ..Person::default()
    };
    let john = Arc::new(Configured::new("john", 1, person));
    let people = People(
        ["john@acme.example", "john.admin@acme.example"]
            .map(|name| (alias('e', name), john.clone()))
            .into(),
    );
    let named = |id: &str, email: &str| Party {
        id: Some(id.to_owned()).filter(|id| !id.is_empty()),
        email: Some(email.to_owned()),
        ..Party::default()
    };
    for (id, email, part) in [
        ("", "john@acme.example", Some("decided the request")),
        ("", "JOHN@acme.example", Some("decided the request")),
        ("", "john.admin@acme.example", Some("decided the request")),
        ("", "mark@acme.example", Some("requested it")),
        ("", "eve@acme.example", Some("is the person that it is for")),
        ("9f9b", "msp@acme.example", Some("is the owner of its account")),
        ("1234", "ann@acme.example", None),
    ] {
        assert_eq!(part_in_access(&access(), &named(id, email), &people), part, "{email}");
    }
}

#[test]
fn a_reviewed_policy_is_judged_by_nobody_it_names() {
    let policy = |approvers: Value| -> Policy {
        serde_json::from_value(
            json!({"id": "p", "requestors": {"all": true}, "approvals_needed": 1, "approvers": approvers}),
        )
        .unwrap()
    };
    let person = Person {
        emails: vec!["ann@acme.example".into()],
        groups: vec!["leads".into()],
        ..Person::default()
    };
    let known = Configured::new("ann", 1, person);
    let ann = Principal::known(&known);
    assert!(part_in_policy(&policy(json!({"users": ["Ann@acme.example"]})), &ann, &[]).is_some());
    assert!(part_in_policy(&policy(json!({"groups": ["leads"]})), &ann, &[]).is_some());
    assert_eq!(
        part_in_policy(
            &policy(json!({"users": ["john@acme.example"], "manager": true})),
            &ann,
            &[]
        ),
        None
    );
    assert_eq!(part_in_policy(&policy(json!({})), &ann, &[]), None);
}
