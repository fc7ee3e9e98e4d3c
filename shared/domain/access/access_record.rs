//! Accesses: what one person was given for a while, from the request to the proven end, as its events tell it.
//!
//! An access is a session of a portal, a request for a package, a request for an account, or a log-on to a computer. It is computed from the set of its events alone,
//! in the order they occurred, so that neither their order of arrival nor one that comes twice makes a difference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    access::{
        access_key::Key,
        decision::Decision,
        evidence::{EndCause, Verified},
        log_on::Explained,
        timeline::{Misfit, TOLERANCE},
    },
    identity::matching::{is_same_thing, party_of, shares_name},
    time::timestamp::Instant,
    trail::event::{Actor, Event, EventId, Party, Ticket},
};

/// What kind of access it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A session with roles.
    Session,
    /// An assignment to an access package.
    Package,
    /// A privileged account that is enabled for a while.
    Account,
    /// A log-on to a computer.
    Computer,
}

/// Where an access stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Asked for.
    Requested,
    /// Approved, and not begun.
    Approved,
    /// An approver said no.
    Denied,
    /// Nobody decided in time.
    TimedOut,
    /// Taken back before it began.
    Canceled,
    /// It could not be given.
    Failed,
    /// It goes on.
    Active,
    /// It is over.
    Ended,
}

/// The policy it was asked for or approved under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnderPolicy {
    /// Its id.
    pub id: String,
    /// The package's version, where the source knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a review said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The review.
    pub review: String,
    /// What was decided.
    pub decision: String,
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: Instant,
}

/// How often a finding about the access was raised, updated and withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    /// The last round in which it was raised.
    pub raised: u32,
    /// The last round in which it was withdrawn.
    pub withdrawn: u32,
    /// How often it was updated in the last round.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub updates: u32,
    /// The evidence that its last event names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EventId>,
    /// Whether its last event says whom it is about.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_subject: bool,
}

impl Rounds {
    /// Whether the finding is raised and not withdrawn.
    pub fn is_open(&self) -> bool {
        self.raised > self.withdrawn
    }
}

/// One access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Its key, as text.
    pub id: String,
    /// What kind it is.
    pub kind: Kind,
    /// Where it stands.
    pub standing: Standing,
    /// The session, as its source calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The request, as its source calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The window that it opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Whether it is somebody else who disables the account at its end. None where it has no window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_external: Option<bool>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Actor>,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    /// The privileged identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// The thing accessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// Everything that its request and decisions name as accessed, `target` included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Party>,
    /// The roles asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The policy it was asked for or approved under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<UnderPolicy>,
    /// The assignment that came of it, as its source calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// Approvals each role needs.
    pub approvals_needed: u32,
    /// Whether an administrator gave it without being asked, or it needs no approval for another reason that its source tells.
    #[serde(default)]
    pub needs_no_approval: bool,
    /// Who decided what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Instant>,
    /// When the last approval that it needed was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Instant>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Instant>,
    /// The first use of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_used_at: Option<Instant>,
    /// The last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Instant>,
    /// How often it was used.
    #[serde(default)]
    pub uses: u32,
    /// Whether it was used more often than is counted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_uses: bool,
    /// Whether it has more steps than are kept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_steps: bool,
    /// From when on it was to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    /// Until when, extensions and early ends included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    /// When it was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_cause: Option<EndCause>,
    /// That it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// When it was decided that it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Instant>,
    /// Milliseconds by which it outlived its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness_ms: Option<i64>,
    /// What explains a log-on. None where no request is known, and for any other access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
    /// Steps that do not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misfits: Vec<Misfit>,
    /// Findings about it, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: BTreeMap<String, Rounds>,
    /// What reviews said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Reviewed>,
    /// All that tells of it, in the order it occurred.
    pub events: Vec<EventId>,
    /// Events that came and are still to be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<EventId>,
    /// When the last of that was recorded, findings apart.
    pub recorded_until: Instant,
}

impl Access {
    /// What explains a log-on, in words. None for any other access.
    pub fn request_in_words(&self) -> Option<String> {
        let words = match &self.explained {
            _ if self.kind != Kind::Computer => return None,
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

    /// Everybody that it names: who asked, whom it is for, who decided.
    pub fn involved(&self) -> Vec<Party> {
        let asked = self.requester.iter().map(party_of).chain(self.subject.clone());
        asked.chain(self.decisions.iter().map(|decision| party_of(&decision.by))).collect()
    }

    /// Whether the event names its account.
    pub fn is_account(&self, event: &Event) -> bool {
        let (Some(own), Some(other)) = (&self.account, &event.account) else { return false };
        shares_name(own, other)
    }

    /// Whether it may be used at that moment.
    pub fn holds(&self, at: Instant) -> bool {
        let Some(begun) = self.granted_at else { return false };
        // A portal may tell a little late that it began.
        let begun = self.starts_at.map_or(begun, |starts| starts.max(begun)).minus(TOLERANCE);
        begun <= at && self.until().is_none_or(|until| at <= until)
    }

    /// Whether it had begun at that moment and was not gone: also after its planned end, until its removal is known.
    pub fn is_held(&self, at: Instant) -> bool {
        let Some(begun) = self.granted_at else { return false };
        let begun = match self.kind {
            Kind::Computer => begun,
            Kind::Session | Kind::Package | Kind::Account => {
                self.starts_at.map_or(begun, |starts| starts.max(begun)).minus(TOLERANCE)
            }
        };
        begun <= at && self.ended_at.is_none_or(|ended| at <= ended)
    }

    /// The moment from which on nobody may use it: its end, planned or early.
    pub fn until(&self) -> Option<Instant> {
        let early = self.ended_at.filter(|ended| self.ends_at.is_none_or(|ends| *ended < ends));
        early.or(self.ends_at)
    }

    /// How long it lasted, in milliseconds.
    pub fn duration_ms(&self) -> Option<i64> {
        let begun = self.granted_at?;
        self.ended_at.map(|ended| (ended.millis() - begun.millis()).max(0))
    }

    /// The time by which it is ordered among others: the first moment it touches.
    pub fn at(&self) -> Instant {
        self.span().0
    }

    /// The first moment it touches, and the last that is known of; none while it goes on without an end.
    pub fn span(&self) -> (Instant, Option<Instant>) {
        let times = [self.asked_at, self.granted_at, self.starts_at];
        let first = times.into_iter().flatten().min().unwrap_or(self.recorded_until);
        let last = match self.standing {
            Standing::Ended => [self.ended_at, self.ends_at.filter(|_| self.ended_at.is_none())]
                .into_iter()
                .flatten()
                .max(),
            Standing::Active => None,
            Standing::Requested | Standing::Approved => self.ends_at,
            // What was never given touches the time in which it was decided.
            Standing::Denied | Standing::TimedOut | Standing::Canceled | Standing::Failed => {
                let last =
                    self.decisions.iter().map(|decision| decision.at).max().max(self.closed_at);
                Some(last.unwrap_or(first).max(first))
            }
        };
        (first, last)
    }

    /// The last moment that is known of, by which its retention goes; none while it goes on. What nobody ever decides does not go on.
    pub fn known_until(&self) -> Option<Instant> {
        let (first, last) = self.span();
        let is_undecided = matches!(self.standing, Standing::Requested | Standing::Approved);
        last.or_else(|| is_undecided.then(|| self.recorded_until.max(first)))
    }

    /// Findings about it that stand.
    pub fn open_findings(&self) -> impl Iterator<Item = &str> {
        self.findings.iter().filter(|(_, rounds)| rounds.is_open()).map(|(id, _)| id.as_str())
    }

    /// Whether the access is the one that an event names as its own.
    pub fn is_named_by(&self, event: &Event) -> bool {
        Key::of(event).is_some_and(|key| key.to_string() == self.id)
    }

    /// Whether a use has a target that nothing of the access's request or decisions names. Where nothing names a target, every use fits.
    pub fn is_elsewhere(&self, event: &Event) -> bool {
        let Some(target) = &event.target else { return false };
        // Access that was stored before all its targets were.
        let asked = || self.targets.iter().chain(&self.target);
        // The credentials of an account are read under the account's own name.
        let mut known = asked().chain(&self.account);
        asked().next().is_some() && !known.any(|it| is_same_thing(it, target))
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
