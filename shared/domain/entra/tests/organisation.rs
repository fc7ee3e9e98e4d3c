//! Connected organisations.

use super::*;

#[test]
fn a_connected_organization_is_read() {
    let object = fixture(include_str!("../fixtures/organisation.json"));
    let Ok(Content::Organisation(all)) = read_object(&object) else { panic!() };
    let organisation = all.onto(None);
    assert_eq!(organisation.domains, ["wingtiptoys.example"]);
    assert_eq!(organisation.internal_sponsors, ["7deff43e-1f17-44ef-9e5f-d516b0ba11d4"]);
    assert_eq!(organisation.created_at.unwrap().to_string(), "2020-05-13T15:18:04.810Z");
    assert_eq!(organisation.identity_sources.len(), 2);
    // Without expanded members the sponsors stay.
    let bare = json!({"@odata.type": "#microsoft.graph.connectedOrganization", "id": "x", "displayName": "W", "state": "proposed"});
    let Ok(Content::Organisation(bare)) = read_object(&bare) else { panic!() };
    let after = bare.onto(Some(organisation.clone()));
    assert_eq!(
        (after.internal_sponsors, after.domains),
        (organisation.internal_sponsors, organisation.domains)
    );
    assert_eq!(after.state, crate::configuration::organisation::OrganisationState::Proposed);
}
