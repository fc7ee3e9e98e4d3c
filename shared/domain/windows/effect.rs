//! The effect of an event on windows, from the event alone.

use crate::trail::event::{AskedWindow, Event, Outcome, Scope};

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
    if event.outcome == Outcome::Failure || is_about_roles {
        return None;
    }
    match event.action.as_str() {
        _ if event.window == Some(AskedWindow::None) => None,
        "entra.account.requested" => Some(Effect::Opens),
        "session.granted" | "entitlement.fulfilled" => {
            let has_end = event.window.is_some()
                || event.session.as_ref().is_some_and(|it| it.ends_at.is_some());
            has_end.then_some(Effect::Opens)
        }
        "session.canceled" | "session.terminated" | "session.expired" | "session.denied" => {
            event.session.is_some().then_some(Effect::EndsSession)
        }
        "entitlement.removed" => Some(Effect::RemovesPackage),
        "entra.account.disabled" => Some(Effect::Disables),
        "computer.left" => Some(Effect::LogsOff),
        _ => None,
    }
}
