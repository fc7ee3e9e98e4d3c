//! The order in which the events of an access record are processed.

use crate::{
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, JitAction, SessionAction},
        event::{EventId, Recorded, Scope},
    },
};

/// The processing order: by time of occurrence; events of the same moment in the order of their
/// steps.
pub fn order_of(recorded: &Recorded) -> (Instant, u8, Instant, &EventId) {
    let step = match recorded.event.action {
        _ if recorded.event.id.is_services() => 7,
        Action::Jit(action) => match action {
            JitAction::EntraAccountRequested => 0,
            JitAction::ComputerAccessed
            | JitAction::ComputerLeft
            | JitAction::ComputerOfflineCodeRetrieved
            | JitAction::EntraAccountDisabled
            | JitAction::EntraCredentialsAccessed
            | JitAction::AccessUsed => 5,
        },
        Action::Session(step) => match step {
            SessionAction::Created => 0,
            SessionAction::Approved | SessionAction::Denied => 2,
            SessionAction::Granted => 4,
            SessionAction::Canceled
            | SessionAction::Expired
            | SessionAction::Terminated
            | SessionAction::TimedOut => 6,
        },
        Action::Entitlement(step) => match step {
            EntitlementAction::Requested | EntitlementAction::DirectlyAssigned => 0,
            EntitlementAction::ApprovalCreated | EntitlementAction::ApproverAdded => 1,
            EntitlementAction::Approved
            | EntitlementAction::AutoApproved
            | EntitlementAction::Denied => 2,
            EntitlementAction::Ready | EntitlementAction::Scheduled => 3,
            EntitlementAction::Fulfilled => 4,
            EntitlementAction::Canceled
            | EntitlementAction::Removed
            | EntitlementAction::TimedOut
            | EntitlementAction::Failed => 6,
            EntitlementAction::Extended => 5,
        },
        Action::Platform(_)
        | Action::Directory(_)
        | Action::Window(_)
        | Action::Revocation(_)
        | Action::Export(_)
        | Action::Reading(_)
        | Action::Review(_)
        | Action::Finding(_)
        | Action::Configuration(_)
        | Action::Unknown(_) => 5,
    };
    // The decision about a role comes before its effect on the whole session.
    let is_whole =
        recorded.event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
    let step = step * 2 + u8::from(step == 2 && is_whole);
    (recorded.event.occurred_at, step, recorded.recorded_at, &recorded.event.id)
}
