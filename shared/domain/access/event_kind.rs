//! Actions that request or grant access.

use crate::trail::actions::{Action, EntitlementAction, JitAction, SessionAction};

/// Whether the action requests access.
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

/// Whether the action grants the requested access.
pub fn is_grant(action: &Action) -> bool {
    matches!(
        action,
        Action::Session(SessionAction::Granted) | Action::Entitlement(EntitlementAction::Fulfilled)
    )
}
