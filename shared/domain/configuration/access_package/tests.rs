use super::*;
use serde_json::{Value, json};

#[test]
fn a_package_is_read_back() {
    let json = r#"{"name":"Sales","description":"CRM","catalog":"General","owners":["it@acme.example"],"resource_roles":[{"resource":{"id":"7b56","name":"CRM","type":"AadApplication"},"role":"Reader"}],"policies":[{"id":"p","name":"Staff","requestors":{"groups":["sales"]},"approvals_needed":1,"approvers":{"manager":true},"duration":"P365D"}]}"#;
    assert_eq!(serde_json::to_string(&Package::read(json).unwrap()).unwrap(), json);
    let least =
        Package::read(r#"{"name": "Sales", "policies": [{"id": "p", "requestors": {}}]}"#).unwrap();
    assert_eq!(least.policies[0].approvals_needed, 1);
}

#[test]
fn wrong_values_are_named() {
    let policy = |policy: Value| json!({"name": "x", "policies": [policy]});
    for (json, pointer, part) in [
        (json!({}), "/name", "required"),
        (json!({"name": "x", "owner": ["a"]}), "/owner", "owners"),
        (json!({"name": "x", "owners": vec!["a"; 11]}), "/owners", "0 to 10"),
        (json!({"name": "x", "policies": {}}), "/policies", "list"),
        (
            json!({"name": "x", "resource_roles": [{"resource": {}, "role": "r"}]}),
            "/resource_roles/0/resource/name",
            "required",
        ),
        (
            json!({"name": "x", "resource_roles": [{"resource": {"name": "r"}}]}),
            "/resource_roles/0/role",
            "required",
        ),
        (policy(json!({"requestors": {}})), "/policies/0/id", "required"),
        (policy(json!({"id": "p"})), "/policies/0/requestors", "required"),
        (
            policy(json!({"id": "p", "requestors": {"all": 1}})),
            "/policies/0/requestors/all",
            "true or false",
        ),
        (
            policy(json!({"id": "p", "requestors": {}, "approvals_needed": 51})),
            "/policies/0/approvals_needed",
            "0 to 50",
        ),
        (
            policy(json!({"id": "p", "requestors": {}, "duration": "P1Y"})),
            "/policies/0/duration",
            "ISO 8601",
        ),
        (
            policy(json!({"id": "p", "requestors": {}, "duration": "P4000D"})),
            "/policies/0/duration",
            "at most",
        ),
        (
            policy(json!({"id": "p", "requestors": {}, "approvers": {"boss": true}})),
            "/policies/0/approvers/boss",
            "no known field",
        ),
        (
            json!({"name": "x", "policies": [{"id": "p", "requestors": {}}, {"id": "p", "requestors": {}}]}),
            "/policies/1/id",
            "also the id of another policy",
        ),
    ] {
        let errors = Package::read(&json.to_string()).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{errors:?}"
        );
    }
}
