//! What an event says about an access record, by its action.

use crate::trail::actions::{Action, EntitlementAction, JitAction, SessionAction};

/// Whether it asks for access.
pub fn is_request(action: &Action) -> bool {
    matches!(
        action,
        Action::Jit(JitAction::EntraAccountRequested)
            | Action::Session(SessionAction::Created)
            | Action::Entitlement(
                EntitlementAction::Requested | EntitlementAction::DirectlyAssigned
            )
    )
}

/// Whether it gives the access that was asked for.
pub fn is_grant(action: &Action) -> bool {
    matches!(
        action,
        Action::Session(SessionAction::Granted) | Action::Entitlement(EntitlementAction::Fulfilled)
    )
}
