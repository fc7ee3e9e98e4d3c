use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    access::access_record, identity::people::alias, identity::person::Person,
    trail::event::ActorType,
};

fn item(id: &str) -> Item {
    Item { id: id.to_owned(), what: What::Access(String::new()), decided: None }
}

fn ids(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.id.clone()).collect()
}

proptest! {
    #[test]
    fn a_review_sample_does_not_depend_on_the_order(
        all in prop::collection::btree_set("[a-z]{1,6}", 0..60).prop_flat_map(|all| {
            let all: Vec<String> = all.into_iter().collect();
            (Just(all.clone()), Just(all).prop_shuffle())
        }),
        size in 1u32..40,
        seed in "[a-z0-9]{1,8}",
    ) {
        let sample = Sample { size, seed };
        let [a, b] = [&all.0, &all.1].map(|ids| sampled(ids.iter().map(|id| item(id)).collect(), Some(&sample)));
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(a.len(), all.0.len().min(size as usize));
        prop_assert!(a.is_sorted_by_key(|item| item.id.clone()));
    }
}

#[test]
fn a_review_sample_is_what_sha256sum_says() {
    // for i in a b c d; do echo "$(printf '2026-Q3\n%s' $i | sha256sum) $i"; done | sort
    let drawn = |size| {
        let sample = Sample { size, seed: "2026-Q3".to_owned() };
        ids(&sampled(["a", "b", "c", "d"].map(item).to_vec(), Some(&sample))).join("")
    };
    assert_eq!([drawn(1), drawn(2), drawn(3), drawn(9)], ["a", "ac", "acd", "abcd"]);
    assert_eq!(ids(&sampled(["b", "a"].map(item).to_vec(), None)), ["a", "b"]);
}

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
        ("", "mark@acme.example", Some("asked for it")),
        ("", "eve@acme.example", Some("is whom it is for")),
        ("9f9b", "msp@acme.example", Some("is whom its account belongs to")),
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

#[test]
fn a_reviewed_access_has_changed_when_something_else_is_told_of_it() {
    let was = told_of(&access());
    let mut thought = access();
    thought.findings.insert("f".into(), access_record::Rounds { raised: 1, ..Default::default() });
    thought.events.push(crate::trail::arbitrary::event_id());
    assert_eq!(told_of(&thought), was);
    assert_ne!(told_of(&Access { uses: 1, ..access() }), was);
}

#[test]
fn a_review_asked_for_is_read() {
    let json = r#"{"id": "q3", "name": "Q3", "of": "sessions", "since": "2026-07-01", "until": "2026-10-01", "tz": "Europe/Paris",
        "sample": {"size": 25, "seed": "2026-Q3"}, "due_at": "2026-11-01", "reviewers": ["ann@acme.example"]}"#;
    let (id, asked) = Asked::read(json, "UTC").unwrap();
    assert_eq!(
        (id.as_deref(), asked.since.to_string().as_str()),
        (Some("q3"), "2026-06-30T22:00:00.000Z")
    );
    assert_eq!(asked.sample.unwrap().size, 25);
    let with = |more: &str| {
        format!(
            r#"{{"name": "Q3", "of": "policies", "since": "2026-07-01", "until": "2026-10-01"{more}}}"#
        )
    };
    assert!(Asked::read(&with(""), "UTC").is_ok());
    for (json, pointer, part) in [
        (with(r#", "person": "ann""#), "/person", "nobody's"),
        (with(r#", "id": "a/b""#), "/id", "64"),
        (with(r#", "tz": "Mars""#), "/tz", "IANA"),
        (with(r#", "sample": {"size": 0, "seed": "x"}"#), "/sample/size", "from 1"),
        (with(r#", "sample": {"size": 5}"#), "/sample/seed", "required"),
        (with(r#", "due_at": "soon""#), "/due_at", "no time"),
        (with(r#", "reviewer": "x""#), "/reviewer", "reviewers"),
        (
            r#"{"name": "Q3", "of": "sessions", "since": "2026-07-01", "until": "2026-07-01"}"#
                .into(),
            "/until",
            "after",
        ),
        (
            r#"{"name": "Q3", "of": "all", "since": "2026-07-01", "until": "2026-08-01"}"#.into(),
            "/of",
            "policies",
        ),
        (r#"{"name": "Q3", "of": "sessions", "since": "2026-07-01"}"#.into(), "/until", "required"),
    ] {
        let errors = Asked::read(&json, "UTC").unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{errors:?}"
        );
    }
}

#[test]
fn a_review_decision_needs_its_reason() {
    let said = Said::read(r#"{"item": "s:1", "decision": "revoke", "reason": "He left"}"#).unwrap();
    assert_eq!(said.decision, Decision::Revoke);
    for (json, pointer) in [
        (r#"{"item": "s:1", "decision": "revoke"}"#, "/reason"),
        (r#"{"item": "s:1", "decision": "revoke", "reason": " "}"#, "/reason"),
        (r#"{"item": "s:1", "decision": "fine", "reason": "x"}"#, "/decision"),
        (r#"{"decision": "revoke", "reason": "x"}"#, "/item"),
    ] {
        assert_eq!(Said::read(json).unwrap_err()[0].pointer, pointer);
    }
    assert_eq!(read_sign_off("{}").unwrap(), None);
}

#[test]
fn review_items_of_policies_never_share_an_id() {
    assert_ne!(policy_id("a/b", "c"), policy_id("a", "b/c"));
    assert_eq!(policy_id("sales", "staff"), "sales/staff");
}
