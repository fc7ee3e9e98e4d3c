//! Approvals of requests.

use super::*;

#[test]
fn an_approval_says_who_decided_and_why() {
    let object = fixture(include_str!("../fixtures/approval.json"));
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
    assert!(nothing(&pending).contains("no stage"));
}
