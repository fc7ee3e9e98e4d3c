//! The key of the access record to which an event belongs.

use serde_json::Value;

use crate::{
    access::kept_events::is_afterthought,
    trail::{
        actions::{Action, EntitlementAction, JitAction},
        event::{Event, EventId},
    },
};

/// The key of an access record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A session, by the source's id.
    Session(String),
    /// A request, by the source's id.
    Request(String),
    /// A request without an id of its own, by its event.
    Event(EventId),
    /// A log-on to a computer, by its event. Other events do not refer to it.
    LogOn(EventId),
}

/// The beginning of the request id for an assignment whose request is unknown.
const ASSIGNMENT: &str = "assignment:";

impl Key {
    /// The access record of an assignment whose request is unknown.
    pub fn of_assignment(id: &str) -> Self {
        Self::Request(format!("{ASSIGNMENT}{id}"))
    }

    /// How much the access record with this key knows of an assignment, the lowest first: its request
    /// with the decisions, the assignment alone, or one record of the source's log.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Request(id) if id.starts_with(ASSIGNMENT) => 1,
            Self::Session(_) | Self::Request(_) => 0,
            Self::Event(_) | Self::LogOn(_) => 2,
        }
    }

    /// The access record that an event names. Uses and ends of accounts usually name none.
    pub fn of(event: &Event) -> Option<Self> {
        let text = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        let is_finding = event.id.is_services() && is_afterthought(event);
        if is_finding && let Some(access) = text("access") {
            return access.parse().ok();
        }
        if event.action.is_hidden() && !is_finding {
            return None;
        }
        if let Some(session) = &event.session {
            return Some(Self::Session(session.id.clone()));
        }
        if let Some(request) = event.request() {
            return Some(Self::Request(request.into_owned()));
        }
        let asks_or_gives = matches!(
            event.action,
            Action::Jit(JitAction::EntraAccountRequested)
                | Action::Entitlement(
                    EntitlementAction::Requested
                        | EntitlementAction::DirectlyAssigned
                        | EntitlementAction::Fulfilled
                )
        );
        if asks_or_gives {
            return Some(Self::Event(event.id.clone()));
        }
        // The service's events about a window name the event that opened it. The same field in
        // a caller's event has no such meaning.
        text("event").filter(|_| event.id.is_services()).and_then(EventId::new).map(Self::Event)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(id) => write!(f, "s:{id}"),
            Self::Request(id) => write!(f, "r:{id}"),
            Self::Event(id) => write!(f, "e:{id}"),
            Self::LogOn(id) => write!(f, "c:{id}"),
        }
    }
}

impl std::str::FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_at_checked(2).ok_or(())? {
            ("s:", id) if !id.is_empty() => Ok(Self::Session(id.to_owned())),
            ("r:", id) if !id.is_empty() => Ok(Self::Request(id.to_owned())),
            ("e:", id) => EventId::new(id).map(Self::Event).ok_or(()),
            ("c:", id) => EventId::new(id).map(Self::LogOn).ok_or(()),
            _ => Err(()),
        }
    }
}
