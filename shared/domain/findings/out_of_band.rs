//! The rule about roles that are assigned outside of access packages.

use crate::{
    findings::checkpoints::{Violation, finding_id},
    trail::{
        actions::DirectoryAction,
        event::{Outcome, Recorded, Tenant},
    },
};

/// A change of a role assignment that was not made by an access package.
pub fn out_of_band(tenant: &Tenant, recorded: &Recorded) -> Option<Violation> {
    let event = &recorded.event;
    let via_package = event.details.as_ref().and_then(|details| details.get("via_package"));
    let is_one = event.action == DirectoryAction::ApplicationRoleAssignmentChanged
        && event.outcome == Outcome::Success
        && via_package.and_then(serde_json::Value::as_bool) == Some(false);
    let rule = "role_change.out_of_band";
    is_one.then(|| Violation {
        id: finding_id(tenant, rule, event.id.as_str()),
        rule,
        why: format!("{} changed a role assignment outside access packages", event.actor.shown()),
        evidence: vec![event.id.clone()],
        found_later: recorded.recorded_by.history,
    })
}
