//! The event about a finding.

use serde_json::Value;

use crate::{
    time::timestamp::Instant,
    trail::{
        actions::FindingAction,
        event::{Actor, Event, EventId, Party, Tenant},
    },
};

/// The event `action` about a finding. `version` distinguishes the events of one finding, so that a
/// retry writes each once. `about` sets the other parties of the event.
#[allow(clippy::too_many_arguments)]
pub fn finding_event(
    tenant: &Tenant,
    now: Instant,
    action: FindingAction,
    finding: &str,
    version: &[u32],
    why: &str,
    details: Value,
    about: impl FnOnce(&mut Event),
) -> Event {
    let version: Vec<String> = version.iter().map(ToString::to_string).collect();
    let parts: Vec<&str> =
        [finding].into_iter().chain(version.iter().map(String::as_str)).collect();
    let id = EventId::of_service(tenant, action, &parts);
    let mut event = Event::of_service(id, tenant, action, now, Actor::system());
    event.target = Some(Party {
        kind: Some("finding".into()),
        id: Some(finding.to_owned()),
        ..Party::default()
    });
    event.reason = Some(why.to_owned());
    event.details = details.as_object().cloned();
    about(&mut event);
    event
}
