//! Which user name of a session is shown: none is known before the session is granted.

use crate::trail::{
    actions::RequestState,
    event::{Outcome, Recorded, Scope, USERNAME_TBD},
};

impl Recorded {
    /// The displayed user name of the session: `TBD` until it is granted, whatever name was sent.
    pub fn session_username(&self) -> Option<&str> {
        let session = self.event.session.as_ref()?;
        match self.is_before_grant() {
            true if session.scope == Scope::Session || session.username.is_some() => {
                Some(USERNAME_TBD)
            }
            true => None,
            false => session.username.as_deref(),
        }
    }

    /// The user name that the source sent for a session that was not granted yet.
    pub fn sent_username(&self) -> Option<&str> {
        let session = self.event.session.as_ref().filter(|_| self.is_before_grant())?;
        session.username.as_deref()
    }

    /// Whether the event belongs to the time before its session was granted.
    fn is_before_grant(&self) -> bool {
        let state = self.event.action.definition().and_then(|action| action.state);
        match state {
            Some(
                RequestState::Created
                | RequestState::Approved
                | RequestState::Denied
                | RequestState::TimedOut,
            ) => true,
            Some(RequestState::Granted) => self.event.outcome == Outcome::Failure,
            Some(RequestState::Canceled | RequestState::Expired | RequestState::Terminated)
            | None => false,
        }
    }
}
