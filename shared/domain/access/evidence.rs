//! The end of access and its verification.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{
        access_record::{Access, AccessStatus},
        session::StepProblem,
    },
    identity::matching::{is_same_person, party_of},
    time::timestamp::Instant,
    trail::event::{Event, EventId, Recorded, Scope},
};

/// Why access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its planned end was reached.
    Expired,
    /// The recipient ended it.
    Canceled,
    /// An administrator ended it.
    Terminated,
    /// It was removed, for a reason that its source states.
    Removed,
    /// Another request kept the account enabled.
    Covered,
    /// The person logged off or locked the computer.
    LoggedOff,
    /// No log-off is known; the access that explains the log-on ended.
    SessionEnded,
    /// No log-off and no earlier end are known.
    #[serde(rename = "no_log_off_in_12_hours")]
    NoLogOff,
}

/// The source that confirms the end of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EndProof")]
pub enum Proof {
    /// The directory, read after the account was disabled.
    ReadBack,
    /// The portal that disabled the account.
    Portal,
    /// The source that manages sessions or assignments.
    Source,
}

/// The proof that access has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EndVerified")]
pub struct Verified {
    /// When the end was proved.
    pub at: Instant,
    pub by: Proof,
    /// The id of the event that records it.
    pub event: EventId,
}

impl Access {
    /// Applies the event that the account was disabled and read back.
    pub(super) fn verify(&mut self, event: &Event, at: Instant) {
        if self.verified.as_ref().is_none_or(|known| known.by != Proof::ReadBack) {
            self.end_cause.get_or_insert(EndCause::Expired);
            self.ended_at = Some(at);
            self.verified = Some(Verified { at, by: Proof::ReadBack, event: event.id.clone() });
        }
        if self.granted_at.is_some() {
            self.standing = AccessStatus::Ended;
        }
    }

    /// Applies the portal's event that the account is disabled.
    pub(super) fn end_by_portal(&mut self, event: &Event) {
        let by = party_of(&event.actor);
        let is_its_own =
            self.requester.as_ref().is_some_and(|it| is_same_person(&party_of(it), &by))
                || self.subject.as_ref().is_some_and(|it| is_same_person(it, &by));
        let is_early = self.ends_at.is_some_and(|planned| event.occurred_at < planned);
        let cause = match (is_early, is_its_own) {
            (false, _) => EndCause::Expired,
            (true, true) => EndCause::Canceled,
            (true, false) => EndCause::Terminated,
        };
        self.end(event.occurred_at, cause, Proof::Portal, &event.id);
        if self.ended_at.is_some() {
            self.standing = AccessStatus::Ended;
        }
    }

    /// Records the end of access. If the account is in a directory of this service, only that
    /// directory can verify the end: the planned end moves to that time, and the account still has
    /// to be read back.
    pub(super) fn end(&mut self, at: Instant, cause: EndCause, by: Proof, event: &EventId) {
        self.end_cause.get_or_insert(cause);
        if self.is_external == Some(false) {
            self.ends_at = Some(self.ends_at.map_or(at, |planned| planned.min(at)));
            return;
        }
        self.ended_at.get_or_insert(at);
        self.verified.get_or_insert_with(|| Verified { at, by, event: event.clone() });
    }

    pub(super) fn end_session(&mut self, recorded: &Recorded, cause: EndCause) {
        let event = &recorded.event;
        let is_whole =
            event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
        if !is_whole || self.granted_at.is_none() {
            return;
        }
        let problem = self.misfits.iter().find(|it| it.event == event.id).map(|it| it.problem);
        // Whoever cancels another person's session terminates it.
        let cause = match problem {
            Some(StepProblem::NotByRequester) => EndCause::Terminated,
            Some(StepProblem::OutOfOrder | StepProblem::RoleNotRequested) | None => cause,
        };
        // The source may report an end again. The first one that fits is the cause.
        if problem.is_none() || self.end_cause.is_none() {
            self.end_cause = Some(cause);
        }
        self.end(event.occurred_at, cause, Proof::Source, &event.id);
    }
}
