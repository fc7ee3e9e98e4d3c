//! The effect of an event on windows, from the event alone.

use crate::trail::{
    actions::{Action, EntitlementAction, JitAction, SessionAction},
    event::{AskedWindow, Event, Outcome, Scope},
};

/// The effect of an event on windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It requests an account.
    Opens,
    EndsSession,
    /// It removes a package from a person.
    RemovesPackage,
    /// It reports that an account is disabled.
    Disables,
    /// A person logged off a computer with an account.
    LogsOff,
}

/// The effect of an event on windows, from the event alone.
pub fn effect(event: &Event) -> Option<Effect> {
    let is_about_roles = event.session.as_ref().is_some_and(|session| session.scope == Scope::Role);
    let asks_for_none = event.window == Some(AskedWindow::None);
    if event.outcome == Outcome::Failure || is_about_roles || asks_for_none {
        return None;
    }
    let opens = || {
        let has_end =
            event.window.is_some() || event.session.as_ref().is_some_and(|it| it.ends_at.is_some());
        has_end.then_some(Effect::Opens)
    };
    match event.action {
        Action::Jit(action) => match action {
            JitAction::EntraAccountRequested => Some(Effect::Opens),
            JitAction::EntraAccountDisabled => Some(Effect::Disables),
            JitAction::ComputerLeft => Some(Effect::LogsOff),
            JitAction::ComputerAccessed
            | JitAction::ComputerOfflineCodeRetrieved
            | JitAction::EntraCredentialsAccessed
            | JitAction::AccessUsed => None,
        },
        Action::Session(step) => match step {
            SessionAction::Granted => opens(),
            SessionAction::Canceled
            | SessionAction::Terminated
            | SessionAction::Expired
            | SessionAction::Denied => event.session.is_some().then_some(Effect::EndsSession),
            SessionAction::Created | SessionAction::Approved | SessionAction::TimedOut => None,
        },
        Action::Entitlement(step) => match step {
            EntitlementAction::Fulfilled => opens(),
            EntitlementAction::Removed => Some(Effect::RemovesPackage),
            EntitlementAction::Requested
            | EntitlementAction::DirectlyAssigned
            | EntitlementAction::AutoApproved
            | EntitlementAction::ApprovalCreated
            | EntitlementAction::ApproverAdded
            | EntitlementAction::Approved
            | EntitlementAction::Ready
            | EntitlementAction::Denied
            | EntitlementAction::TimedOut
            | EntitlementAction::Canceled
            | EntitlementAction::Extended
            | EntitlementAction::Failed
            | EntitlementAction::Scheduled => None,
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
        | Action::Unknown(_) => None,
    }
}
