use proptest::prelude::*;

use super::*;
use crate::access::access_record;

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

fn access() -> Access {
    serde_json::from_value(json!({
        "id": "s:1", "kind": "session", "standing": "active", "approvals_needed": 1, "subject": {"email": "eve@acme.example"},
        "account": {"id": "9f9b"}, "decisions": [], "events": ["e-1", "e-2"], "recorded_until": "2026-11-22T00:00:00Z"
    }))
    .unwrap()
}

#[test]
fn a_reviewed_access_has_changed_when_something_else_is_told_of_it() {
    let was = access_digest(&access());
    let mut thought = access();
    thought.findings.insert("f".into(), access_record::Rounds { raised: 1, ..Default::default() });
    thought.events.push(crate::trail::arbitrary::event_id());
    assert_eq!(access_digest(&thought), was);
    assert_ne!(access_digest(&Access { uses: 1, ..access() }), was);
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
}

#[test]
fn review_items_of_policies_never_share_an_id() {
    assert_ne!(policy_id("a/b", "c"), policy_id("a", "b/c"));
    assert_eq!(policy_id("sales", "staff"), "sales/staff");
}
