//! A log-on to a computer as an access record.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind, AccessStatus},
        evidence::EndCause,
        kept_events::LeftOut,
    },
    identity::matching::party_of,
    time::timestamp::Instant,
    trail::event::{EventId, Party, Recorded},
};

/// The duration of a log-on for which no log-off is known.
pub const LOG_ON_LASTS: Duration = Duration::from_secs(12 * 3600);

/// What explains a log-on to a computer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LogOnExplained")]
pub enum Explained {
    /// The id of the access record that covers the account at that time.
    Access(String),
    /// The id of the event of an offline code.
    OfflineCode(EventId),
}

impl Access {
    /// The access record of a log-on, with its log-off and explanation as far as they are known.
    pub fn of_log_on(
        recorded: &Recorded,
        left: Option<&Recorded>,
        explained: Option<Explained>,
    ) -> Self {
        let event = &recorded.event;
        let key = Key::LogOn(event.id.clone());
        let mut access =
            Self::empty(&key, AccessKind::Computer, LeftOut::default(), recorded.recorded_at);
        let at = event.occurred_at;
        access.standing = AccessStatus::Active;
        access.session = event.session.as_ref().map(|session| session.id.clone());
        access.request_id = event.request_id.clone();
        access.subject = Some(party_of(&event.actor)).filter(|it| *it != Party::default());
        access.account = event.account.clone();
        access.target = event.target.clone();
        access.justification = event.justification.clone();
        access.ticket = event.ticket.clone();
        (access.granted_at, access.first_used_at, access.last_used_at) =
            (Some(at), Some(at), Some(at));
        access.uses = 1;
        access.explained = explained;
        access.events.push(event.id.clone());
        if let Some(left) = left {
            access.recorded_until = access.recorded_until.max(left.recorded_at);
            access.events.push(left.event.id.clone());
            access.last_used_at = Some(left.event.occurred_at);
            access.end_log_on(left.event.occurred_at, EndCause::LoggedOff);
        }
        access
    }

    pub(super) fn end_log_on(&mut self, at: Instant, cause: EndCause) {
        (self.ended_at, self.end_cause, self.standing) =
            (Some(at), Some(cause), AccessStatus::Ended);
    }
}
