//! The order in which the events of an access record are processed.

use crate::{
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, JitAction, PlatformAction, SessionAction},
        event::{EventId, Recorded, Scope},
    },
};

/// The processing order: by time of occurrence; events of the same moment in the order of their
/// steps.
pub fn order_of(recorded: &Recorded) -> (Instant, u8, Instant, &EventId) {
    let step = match recorded.event.id.is_services() {
        true => 7,
        false => step_of(&recorded.event.action),
    };
    // The decision about a role comes before its effect on the whole session.
    let is_whole =
        recorded.event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
    let step = step * 2 + u8::from(step == 2 && is_whole);
    (recorded.event.occurred_at, step, recorded.recorded_at, &recorded.event.id)
}

/// The place of an action among the steps of one moment.
fn step_of(action: &Action) -> u8 {
    match *action {
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
        Action::Platform(PlatformAction::TicketCreated | PlatformAction::ApiKeyCreated) => 0,
        Action::Platform(PlatformAction::UserRemoved | PlatformAction::RolesRemoved) => 6,
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_comes_first_in_its_moment_and_what_is_removed_last() {
        for (word, step) in [
            ("ticket.created", 0),
            ("api_key.created", 0),
            ("session.created", 0),
            ("session.approved", 2),
            ("session.granted", 4),
            ("computer.accessed", 5),
            ("roles.assigned", 5),
            ("user.removed", 6),
            ("roles.removed", 6),
            ("entitlement.removed", 6),
        ] {
            assert_eq!(step_of(&Action::from(word)), step, "{word}");
        }
    }
}
