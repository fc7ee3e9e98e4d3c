//! Access records. One access record covers one grant to one person, from the request to the
//! verified revocation.
//!
//! An access record is a portal session, a request for a package, a request for an account, or a
//! log-on to a computer. It is computed from the set of its events alone, in the order in which
//! they occurred, so the order of arrival and repeated events make no difference.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{
        access_key::Key,
        decision::Decision,
        evidence::{EndCause, Verified},
        log_on::Explained,
        timeline::{TOLERANCE, UnexpectedStep},
    },
    identity::matching::{is_same_thing, party_of, shares_name},
    time::timestamp::Instant,
    trail::event::{Actor, Event, EventId, Party, Ticket},
};

/// The kind of an access record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// A session with roles.
    Session,
    /// An assignment of an access package.
    Package,
    /// A privileged account that is enabled for a limited time.
    Account,
    /// A log-on to a computer.
    Computer,
}

/// The state of access.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AccessStatus {
    /// Requested, but not decided.
    Requested,
    /// Approved, but not started.
    Approved,
    /// An approver denied it.
    Denied,
    /// Nobody decided in time.
    TimedOut,
    /// Withdrawn before it started.
    Canceled,
    /// It could not be granted.
    Failed,
    /// It has started and not ended.
    Active,
    /// It has ended.
    Ended,
}

/// The policy under which access was requested or approved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnderPolicy {
    /// The id in the directory or portal that has the policy.
    pub id: String,
    /// The version of the package or policy, if the source states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The display name, if the source states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A decision about the access in a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccessReviewed")]
pub struct Reviewed {
    /// The id of the review.
    pub review: String,
    #[schemars(with = "crate::reviews::review_item::Decision")]
    pub decision: String,
    pub by: Actor,
    /// When the reviewer decided.
    pub at: Instant,
}

/// The rounds of a finding about the access: how often it was raised, updated and withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    pub raised: u32,
    pub withdrawn: u32,
    /// Number of updates in the last round.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub updates: u32,
    /// The evidence in its last event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EventId>,
    /// What is wrong, as its last event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether its last event names the person.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_subject: bool,
}

impl Rounds {
    /// Whether the finding is raised and not withdrawn.
    pub fn is_open(&self) -> bool {
        self.raised > self.withdrawn
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Its key as text.
    pub id: String,
    pub kind: AccessKind,
    pub standing: AccessStatus,
    /// The source's id of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The source's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The window that it opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Whether another system disables the account at its end. None if it has no window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_external: Option<bool>,
    /// Whether it is an activation in Entra's PIM: its account is the person's own, and PIM grants
    /// and removes the role itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_pim: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Actor>,
    /// The person it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// All targets that its request and decisions name, including `target`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Party>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The policy under which it was requested or approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<UnderPolicy>,
    /// The source's id of the resulting assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// Number of approvals that each role needs.
    pub approvals_needed: u32,
    /// Whether it needs no approval, because an administrator assigned it or for another reason
    /// that its source states.
    #[serde(default)]
    pub needs_no_approval: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Instant>,
    /// When the last necessary approval was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Instant>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_used_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Instant>,
    #[serde(default)]
    pub uses: u32,
    /// Whether there are more uses than are counted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_uses: bool,
    /// Whether there are more steps than are stored.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_steps: bool,
    /// The planned start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    /// The planned end, including extensions and early ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_cause: Option<EndCause>,
    /// The verification of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// When it was decided that it is not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Instant>,
    /// The delay of its end after the planned one, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness_ms: Option<i64>,
    /// The explanation of a log-on. None if no request is known, and for other kinds of access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
    /// Steps in the wrong order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misfits: Vec<UnexpectedStep>,
    /// The findings about it, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: BTreeMap<String, Rounds>,
    /// The decisions about it in reviews.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Reviewed>,
    /// Its events, in the order in which they occurred.
    pub events: Vec<EventId>,
    /// Events that are received but not processed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<EventId>,
    /// When the last of its events was recorded, except findings.
    pub recorded_until: Instant,
}

impl Access {
    /// The explanation of a log-on in words. None for other kinds of access.
    pub fn request_in_words(&self) -> Option<String> {
        let words = match &self.explained {
            _ if self.kind != AccessKind::Computer => return None,
            None => "no request known".to_owned(),
            Some(Explained::OfflineCode(event)) => format!("offline code {event}"),
            Some(Explained::Access(key)) => match key.parse() {
                Ok(Key::Session(id)) => format!("session {id}"),
                Ok(Key::Request(id)) => format!("request {id}"),
                Ok(Key::Event(id) | Key::LogOn(id)) => format!("request in event {id}"),
                Err(()) => format!("access {key}"),
            },
        };
        Some(words)
    }

    /// The state at a time. A session that nobody has decided by its planned end has timed out, even
    /// without an event.
    pub fn status_at(&self, now: Instant) -> AccessStatus {
        let is_over = self.ends_at.is_some_and(|ends| ends <= now);
        let is_session = self.kind == AccessKind::Session && self.asked_at.is_some();
        match self.standing {
            AccessStatus::Requested if is_session && is_over => AccessStatus::TimedOut,
            standing => standing,
        }
    }

    /// The people that it names: requestor, recipient and approvers.
    pub fn involved(&self) -> Vec<Party> {
        let asked = self.requester.iter().map(party_of).chain(self.subject.clone());
        asked.chain(self.decisions.iter().map(|decision| party_of(&decision.by))).collect()
    }

    /// Whether the event names its account.
    pub fn is_account(&self, event: &Event) -> bool {
        let (Some(own), Some(other)) = (&self.account, &event.account) else { return false };
        shares_name(own, other)
    }

    /// Whether the access may be used at a time.
    pub fn holds(&self, at: Instant) -> bool {
        let Some(begun) = self.granted_at else { return false };
        // A portal may report the start with a small delay.
        let begun = self.starts_at.map_or(begun, |starts| starts.max(begun)).minus(TOLERANCE);
        begun <= at && self.until().is_none_or(|until| at <= until)
    }

    /// Whether the access had started at a time and had not ended. It lasts beyond its planned end
    /// until its removal is known.
    pub fn is_held(&self, at: Instant) -> bool {
        let Some(begun) = self.granted_at else { return false };
        let begun = match self.kind {
            AccessKind::Computer => begun,
            AccessKind::Session | AccessKind::Package | AccessKind::Account => {
                self.starts_at.map_or(begun, |starts| starts.max(begun)).minus(TOLERANCE)
            }
        };
        begun <= at && self.ended_at.is_none_or(|ended| at <= ended)
    }

    /// The time from which it may not be used: its planned or early end.
    pub fn until(&self) -> Option<Instant> {
        let early = self.ended_at.filter(|ended| self.ends_at.is_none_or(|ends| *ended < ends));
        early.or(self.ends_at)
    }

    /// Its duration in milliseconds.
    pub fn duration_ms(&self) -> Option<i64> {
        let begun = self.granted_at?;
        self.ended_at.map(|ended| (ended.millis() - begun.millis()).max(0))
    }

    /// The time by which access records are sorted: the start of their span.
    pub fn at(&self) -> Instant {
        self.span().0
    }

    /// The start and the last known time of the record; no end while the access continues without a
    /// planned end.
    pub fn span(&self) -> (Instant, Option<Instant>) {
        let times = [self.asked_at, self.granted_at, self.starts_at];
        let first = times.into_iter().flatten().min().unwrap_or(self.recorded_until);
        let last = match self.standing {
            AccessStatus::Ended => {
                [self.ended_at, self.ends_at.filter(|_| self.ended_at.is_none())]
                    .into_iter()
                    .flatten()
                    .max()
            }
            AccessStatus::Active => None,
            AccessStatus::Requested | AccessStatus::Approved => self.ends_at,
            // Access that was never granted spans the time until the decision.
            AccessStatus::Denied
            | AccessStatus::TimedOut
            | AccessStatus::Canceled
            | AccessStatus::Failed => {
                let last =
                    self.decisions.iter().map(|decision| decision.at).max().max(self.closed_at);
                Some(last.unwrap_or(first).max(first))
            }
        };
        (first, last)
    }

    /// The last known time of the record, which starts its retention; none while the access
    /// continues. A request that nobody decides does not continue.
    pub fn known_until(&self) -> Option<Instant> {
        let (first, last) = self.span();
        let is_undecided =
            matches!(self.standing, AccessStatus::Requested | AccessStatus::Approved);
        last.or_else(|| is_undecided.then(|| self.recorded_until.max(first)))
    }

    pub fn open_findings(&self) -> impl Iterator<Item = &str> {
        self.findings.iter().filter(|(_, rounds)| rounds.is_open()).map(|(id, _)| id.as_str())
    }

    /// Whether an event names this access record.
    pub fn is_named_by(&self, event: &Event) -> bool {
        Key::of(event).is_some_and(|key| key.to_string() == self.id)
    }

    /// Whether the target of a use is not named by the access record's request or decisions. False
    /// if nothing names a target.
    pub fn is_elsewhere(&self, event: &Event) -> bool {
        let Some(target) = &event.target else { return false };
        // Older access records were stored without the list of all targets.
        let asked = || self.targets.iter().chain(&self.target);
        // The credentials of an account are read under the account's own name.
        let mut known = asked().chain(&self.account);
        asked().next().is_some() && !known.any(|it| is_same_thing(it, target))
    }

    /// Whether a use of its account may be a use of this access. The account of a PIM activation is
    /// the person's own, so only a use of the role or group itself is.
    pub fn may_be_used_by(&self, event: &Event) -> bool {
        !(self.is_pim && self.is_elsewhere(event))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
