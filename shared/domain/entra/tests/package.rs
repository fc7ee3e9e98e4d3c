//! Access packages.

use super::*;
use crate::configuration::access_package::{
    Package, Requestors,
    eligibility::{Eligibility, Principal},
};

#[test]
fn a_package_is_read_with_its_policies_and_roles() {
    let Ok(Content::Package(imported)) =
        read_object(&fixture(include_str!("../fixtures/package.json")))
    else {
        panic!()
    };
    let package = imported.onto(None);
    assert_eq!(
        (imported.id.as_str(), package.name.as_str()),
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
    assert_eq!(direct.requestors, Requestors::default());
    let nobody = Principal::default();
    assert_eq!(external.approves(&nobody, &nobody, &[]), Eligibility::Unknown);
    // The document passes the validation of requests.
    let text = serde_json::to_string(&package).unwrap();
    assert_eq!(Package::read(&text).unwrap(), package);
}

#[test]
fn what_an_export_does_not_expand_stays_as_it_is() {
    let whole = fixture(include_str!("../fixtures/package.json"));
    let Ok(Content::Package(all)) = read_object(&whole) else { panic!() };
    let bare = json!({"id": whole["id"], "displayName": "Renamed", "isHidden": false, "description": null});
    let Ok(Content::Package(bare)) = read_object(&bare) else { panic!() };
    let package = bare.onto(Some(all.onto(None)));
    assert_eq!(
        (package.name.as_str(), package.policies.len(), package.resource_roles.len()),
        ("Renamed", 3, 1)
    );
    assert_eq!(package.description.as_deref(), Some("Sample access package"));
}

#[test]
fn a_package_of_beta_is_read_too() {
    let Ok(Content::Package(imported)) =
        read_object(&fixture(include_str!("../fixtures/package_beta.json")))
    else {
        panic!()
    };
    assert_eq!(
        serde_json::to_value(imported.onto(None)).unwrap(),
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
