//! Accesses: what one person was given for a while, from the request to the proven end, as its events tell it.
//!
//! An access is a session of a portal, a request for a package, a request for an account, or a log-on to a computer. It is computed from the set of its events alone,
//! in the order they occurred, so that neither their order of arrival nor one that comes twice makes a difference.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    access::session::Story,
    findings::finding,
    text::case_folding::{fold, fold_identity},
    time::timestamp::Instant,
    trail::{
        actions,
        event::{Actor, ActorType, AskedWindow, Event, EventId, Outcome, Party, Policy, Recorded, Scope, Ticket},
    },
    windows::window,
};

/// The first uses of an access that are kept …
const FIRST_USES: usize = 400;
/// … and the last. What lies between is neither kept nor counted.
const LAST_USES: usize = 100;
/// The same for its steps. A portal that sends one session id for everything must not make an access that grows without end.
const FIRST_STEPS: usize = 200;
const LAST_STEPS: usize = 50;
/// The same for findings and reviews of it.
const FIRST_AFTERTHOUGHTS: usize = 100;
const LAST_AFTERTHOUGHTS: usize = 50;
/// The first decisions that are kept, and the last. A decision holds a reason, which is long.
const FIRST_DECISIONS: usize = 40;
const LAST_DECISIONS: usize = 20;
/// Most events that are kept of an access that outlived its first ones.
const MOST_CONTINUED: usize = 900;
/// Most roles of an access, and most findings.
const MOST_ROLES: usize = 100;
const MOST_FINDINGS: usize = 200;

/// Most targets of one access that are kept.
const MOST_TARGETS: usize = 50;

/// How much later than a first use a source may say that an access began.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// How long a log-on lasts where no log-off of that person, account and desktop is known.
pub const LOG_ON_LASTS: Duration = Duration::from_secs(12 * 3600);

/// The action by which somebody logs on to a computer …
pub const LOG_ON: &str = "computer.accessed";
/// … logs off or locks it …
pub const LOG_OFF: &str = "computer.left";
/// … and gets a code to log on to one that is offline.
pub const OFFLINE_CODE: &str = "computer.offline_code.retrieved";

/// Which access an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A session, by the source's id.
    Session(String),
    /// A request, by the source's id.
    Request(String),
    /// A request that has no id of its own, by the event that asked.
    Event(EventId),
    /// A log-on to a computer, by its event. No event says that it belongs to one.
    LogOn(EventId),
}

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

/// Why an access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its time ran out.
    Expired,
    /// Whoever it was for ended it.
    Canceled,
    /// An administrator ended it.
    Terminated,
    /// It was taken away, for a reason that its source tells.
    Removed,
    /// Another request went on with the account.
    Covered,
    /// The person logged off, or locked the computer.
    LoggedOff,
    /// No log-off is known; the access that explains the log-on ended.
    SessionEnded,
    /// No log-off is known, and no earlier end.
    #[serde(rename = "no_log_off_in_12_hours")]
    NoLogOff,
}

/// What explains a log-on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explained {
    /// An access that holds the account at that time, by its key.
    Access(String),
    /// An offline code, by its event.
    OfflineCode(EventId),
}

/// Who says that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The directory, asked again after the account was turned off.
    ReadBack,
    /// The portal that disabled the account.
    Portal,
    /// The source that keeps sessions or assignments.
    Source,
}

/// That an access is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// Since when that is known.
    pub at: Instant,
    /// By whom.
    pub by: Proof,
    /// The event that says so.
    pub event: EventId,
}

/// Yes or no of an approver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approved,
    /// No.
    Denied,
}

/// A decision about a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: Instant,
    /// Why, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The roles it is about; none where it is about all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The approval policy it was made under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The event that says so.
    pub event: EventId,
}

/// A step that may not follow what was told before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misfit {
    /// The event.
    pub event: EventId,
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

impl Key {
    /// The access that an event says it belongs to. Uses and ends of accounts mostly do not say it.
    pub fn of(event: &Event) -> Option<Self> {
        let text = |name: &str| event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str);
        let is_finding = event.id.is_services() && is_afterthought(event);
        if is_finding && let Some(access) = text("access") {
            return access.parse().ok();
        }
        if event.catalogued().is_some_and(actions::Action::is_hidden) && !is_finding {
            return None;
        }
        if let Some(session) = &event.session {
            return Some(Self::Session(session.id.clone()));
        }
        if let Some(request) = event.request() {
            return Some(Self::Request(request.into_owned()));
        }
        match event.action.as_str() {
            "entra.account.requested"
            | "entitlement.requested"
            | "entitlement.directly_assigned"
            | "entitlement.fulfilled" => Some(Self::Event(event.id.clone())),
            // What the service tells of a window names the event that opened it; what callers say of it is theirs.
            _ if event.id.is_services() => text("event").and_then(EventId::new).map(Self::Event),
            _ => None,
        }
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

/// Whether an event is what somebody thought of an access afterwards: a finding about it, or a decision in a review.
pub fn is_afterthought(event: &Event) -> bool {
    event.action.starts_with("finding.") || event.action == "review.decided"
}

/// Whether an event is a use of an access.
pub fn is_use(event: &Event) -> bool {
    const USES: [&str; 5] = [
        "access.used",
        "computer.accessed",
        "computer.left",
        "computer.offline_code.retrieved",
        "entra.credentials.accessed",
    ];
    USES.contains(&event.action.as_str()) && event.outcome == Outcome::Success
}

/// The folded names by which somebody or something may be named again.
pub fn names(party: &Party) -> Vec<String> {
    let mut names: Vec<String> = window::names(party).collect();
    names.dedup();
    names
}

/// The folded names by which a person may be named again: the name to show only where it is all there is, as others may have it too.
pub fn person_names(party: &Party) -> Vec<String> {
    let mut names: Vec<String> =
        [&party.email, &party.id].into_iter().flatten().map(|name| fold_identity(name)).collect();
    if names.is_empty() {
        names.extend(party.name.as_deref().map(fold_identity));
    }
    names.dedup();
    names
}

/// Everybody that an access names: who asked, whom it is for, who decided.
pub fn involved(access: &Access) -> Vec<Party> {
    let asked = access.requester.iter().map(party).chain(access.subject.clone());
    asked.chain(access.decisions.iter().map(|decision| party(&decision.by))).collect()
}

/// An actor as a party.
pub fn party(actor: &Actor) -> Party {
    Party { kind: None, id: actor.id.clone(), name: actor.name.clone(), email: actor.email.clone() }
}

impl Access {
    /// The access as its events tell it: its own, and others that name its account, of which it takes what falls into its time. None where
    /// none is its own.
    pub fn of(key: &Key, mut events: Vec<Recorded>) -> Option<Self> {
        events.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        events.dedup_by(|a, b| a.event.id == b.event.id);
        let left_out = thin_out(&mut events, Some(key));
        let (own, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|recorded| Key::of(&recorded.event).as_ref() == Some(key));
        // Somebody who goes on using it does not put off what is missing.
        let told = || own.iter().filter(|recorded| !is_afterthought(&recorded.event));
        let steps = told().filter(|it| !it.event.is_of_device()).map(|recorded| recorded.recorded_at).max();
        let recorded_until = steps.or_else(|| told().map(|recorded| recorded.recorded_at).max())?;
        let has = |prefix: &str| own.iter().any(|recorded| recorded.event.action.starts_with(prefix));
        // A removal or an extension that is told under a request of its own is about an assignment that has another.
        let is_step = |recorded: &Recorded| {
            let action = recorded.event.action.as_str();
            !is_afterthought(&recorded.event)
                && !recorded.event.id.is_services()
                && !matches!(action, "entitlement.removed" | "entitlement.extended")
        };
        if !own.iter().any(is_step) {
            return None;
        }
        let kind = match key {
            _ if has("entitlement.") => Kind::Package,
            _ if has("session.") => Kind::Session,
            _ if has("entra.account.requested") => Kind::Account,
            Key::Session(_) => Kind::Session,
            Key::Request(_) | Key::Event(_) => Kind::Account,
            Key::LogOn(_) => Kind::Computer,
        };
        let mut access = Self::empty(key, kind, left_out, recorded_until);
        own.iter().for_each(|recorded| access.take_facts(recorded));
        own.iter().for_each(|recorded| access.take_step(recorded));
        if kind == Kind::Session {
            access.follow_story(key, &own);
        }
        let mut taken: Vec<(Instant, EventId)> =
            own.iter().map(|it| (it.event.occurred_at, it.event.id.clone())).collect();
        for recorded in &others {
            if access.take_other(recorded) {
                taken.push((recorded.event.occurred_at, recorded.event.id.clone()));
            }
        }
        taken.sort();
        access.events = taken.into_iter().map(|(_, id)| id).collect();
        for recorded in own.iter().chain(&others) {
            access.take_use(recorded, Key::of(&recorded.event).as_ref() == Some(key));
        }
        access.conclude();
        Some(access)
    }

    /// An access of which nothing is known but when that was recorded.
    fn empty(key: &Key, kind: Kind, left_out: LeftOut, recorded_until: Instant) -> Self {
        Self {
            id: key.to_string(),
            kind,
            standing: Standing::Requested,
            session: None,
            request_id: None,
            window: None,
            is_external: None,
            requester: None,
            subject: None,
            account: None,
            target: None,
            targets: Vec::new(),
            roles: Vec::new(),
            justification: None,
            ticket: None,
            policy: None,
            assignment: None,
            approvals_needed: 1,
            needs_no_approval: false,
            decisions: Vec::new(),
            asked_at: None,
            approved_at: None,
            granted_at: None,
            first_used_at: None,
            last_used_at: None,
            uses: 0,
            more_uses: left_out.uses,
            more_steps: left_out.steps,
            starts_at: None,
            ends_at: None,
            ended_at: None,
            end_cause: None,
            verified: None,
            closed_at: None,
            lateness_ms: None,
            explained: None,
            misfits: Vec::new(),
            findings: BTreeMap::new(),
            reviews: Vec::new(),
            events: Vec::new(),
            pending: Vec::new(),
            recorded_until,
        }
    }

    /// The access that a log-on is, with the log-off that ends it and what explains it, as far as they are known.
    pub fn of_log_on(recorded: &Recorded, left: Option<&Recorded>, explained: Option<Explained>) -> Self {
        let event = &recorded.event;
        let key = Key::LogOn(event.id.clone());
        let mut access = Self::empty(&key, Kind::Computer, LeftOut::default(), recorded.recorded_at);
        let at = event.occurred_at;
        access.standing = Standing::Active;
        access.session = event.session.as_ref().map(|session| session.id.clone());
        access.request_id = event.request_id.clone();
        access.subject = Some(party(&event.actor)).filter(|it| *it != Party::default());
        access.account = event.account.clone();
        access.target = event.target.clone();
        access.justification = event.justification.clone();
        access.ticket = event.ticket.clone();
        (access.granted_at, access.first_used_at, access.last_used_at) = (Some(at), Some(at), Some(at));
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

    fn end_log_on(&mut self, at: Instant, cause: EndCause) {
        (self.ended_at, self.end_cause, self.standing) = (Some(at), Some(cause), Standing::Ended);
    }

    /// A log-on with what its request says of it, and with its end, where no log-off is known: that of the request, or after twelve hours.
    pub fn complete(&mut self, request: Option<&Self>, now: Instant) {
        let Some(at) = self.granted_at.filter(|_| self.kind == Kind::Computer) else { return };
        if let Some(request) = request {
            self.session = self.session.take().or_else(|| request.session.clone());
            self.request_id = self.request_id.take().or_else(|| request.request_id.clone());
            self.requester = request.requester.clone();
            self.roles.clone_from(&request.roles);
            self.justification = self.justification.take().or_else(|| request.justification.clone());
            self.ticket = self.ticket.take().or_else(|| request.ticket.clone());
            self.decisions.clone_from(&request.decisions);
        }
        if self.ended_at.is_none() {
            let longest = (at.plus(LOG_ON_LASTS), EndCause::NoLogOff);
            let of_request = request.and_then(Self::until).filter(|until| *until > at && *until < longest.0);
            let (end, cause) = of_request.map_or(longest, |until| (until, EndCause::SessionEnded));
            if end <= now {
                self.end_log_on(end, cause);
            }
        }
    }

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

    /// The access with what came since, where its first events are past their retention and it cannot be computed from all of them any more.
    #[must_use]
    pub fn continued(&self, key: &Key, mut new: Vec<Recorded>) -> Self {
        new.retain(|recorded| !self.events.contains(&recorded.event.id));
        new.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        let mut access = Self { pending: Vec::new(), ..self.clone() };
        for recorded in &new {
            let is_own = Key::of(&recorded.event).as_ref() == Some(key);
            let is_taken = match is_own {
                true if is_afterthought(&recorded.event) => {
                    access.take_afterthought(&recorded.event);
                    true
                }
                true => {
                    access.take_step(recorded);
                    access.recorded_until = access.recorded_until.max(recorded.recorded_at);
                    true
                }
                false => access.take_other(recorded),
            };
            if is_taken {
                access.events.push(recorded.event.id.clone());
                access.take_use(recorded, is_own);
            }
        }
        if let Some(surplus) = access.events.len().checked_sub(MOST_CONTINUED) {
            access.events.drain(..surplus);
        }
        let ended = access.ended_at.is_some() && access.granted_at.is_some();
        access.standing = if ended { Standing::Ended } else { access.standing };
        access.conclude();
        access
    }

    /// What was asked, whichever event says it first.
    fn take_facts(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        if is_afterthought(event) {
            return self.take_afterthought(event);
        }
        // A use names the access that it belongs to, and says nothing of how that was planned or decided.
        if event.is_of_device() {
            if let Some(session) = &event.session {
                self.session.get_or_insert_with(|| session.id.clone());
            }
            self.request_id = self.request_id.take().or_else(|| event.request_id.clone());
            return;
        }
        let asks = matches!(
            event.action.as_str(),
            "session.created" | "entitlement.requested" | "entitlement.directly_assigned" | "entra.account.requested"
        );
        let is_role = event.session.as_ref().is_some_and(|session| session.scope == Scope::Role);
        let begins = matches!(event.action.as_str(), "session.granted" | "entitlement.fulfilled");
        if let Some(session) = &event.session {
            self.session.get_or_insert_with(|| session.id.clone());
            self.roles
                .extend(session.roles.iter().filter(|role| !self.roles.contains(role)).cloned().collect::<Vec<_>>());
            if !is_role && event.outcome == Outcome::Success {
                self.approvals_needed = session.approvals_needed.unwrap_or(self.approvals_needed);
                self.starts_at = session.starts_at.or(self.starts_at);
                self.ends_at = session.ends_at.or(self.ends_at);
            }
        }
        self.request_id = self.request_id.take().or_else(|| event.request_id.clone());
        if asks {
            if !is_role {
                self.asked_at.get_or_insert(event.occurred_at);
            }
            self.requester.get_or_insert_with(|| event.actor.clone());
            // What the request says counts more than what a later row repeats.
            self.justification = event.justification.clone().or(self.justification.take());
            self.target = event.target.clone().or(self.target.take());
        } else if !event.id.is_services() {
            self.justification = self.justification.take().or_else(|| event.justification.clone());
            self.target = self.target.take().or_else(|| of_it(event));
        }
        if !event.id.is_services()
            && !is_use(event)
            && let Some(target) = &event.target
            && self.targets.len() < MOST_TARGETS
            && !self.targets.contains(target)
        {
            self.targets.push(target.clone());
        }
        self.subject = self.subject.take().or_else(|| event.subject.clone());
        self.ticket = self.ticket.take().or_else(|| event.ticket.clone());
        if asks || begins {
            self.account = self.account.take().or_else(|| event.account.clone());
        }
        if begins && self.account.is_none() {
            self.account = Some(window::account_of(event)).filter(|account| *account != Party::default());
        }
        let told = |name: &str| event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str);
        if event.action == "window.opened" {
            self.window = self.window.take().or_else(|| told("window").map(str::to_owned));
            self.is_external = told("directory").map(|directory| directory.starts_with("external"));
        }
        if event.action == "window.merged" {
            self.window = told("merged_into").map(str::to_owned).or(self.window.take());
        }
        if event.action.starts_with("entitlement.") {
            let kept = event.details.as_ref().and_then(|details| details.get("policy"));
            let text = |name: &str| kept.and_then(|policy| policy[name].as_str()).map(str::to_owned);
            let told = event.policy.clone().map(|policy| (policy.id, Some(policy.version), None));
            let kept = text("id").map(|id| (id, None, text("name")));
            if let Some((id, version, name)) = told.or(kept) {
                self.policy.get_or_insert(UnderPolicy { id, version, name });
            }
            self.assignment = self.assignment.take().or_else(|| told_assignment(event));
        }
        if let Some(opened) = &recorded.opened {
            self.window.get_or_insert_with(|| opened.id.clone());
            self.starts_at = Some(self.starts_at.unwrap_or(opened.starts_at));
            self.ends_at = Some(self.ends_at.unwrap_or(opened.ends_at));
        }
    }

    fn take_afterthought(&mut self, event: &Event) {
        let detail = |name: &str| event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str);
        if event.action == "review.decided"
            && let (Some(review), Some(decision)) =
                (event.target.as_ref().and_then(|target| target.id.clone()), detail("decision"))
        {
            let (by, at, decision) = (event.actor.clone(), event.occurred_at, decision.to_owned());
            self.reviews.push(Reviewed { review, decision, by, at });
            return;
        }
        let Some(id) = event.target.as_ref().and_then(|target| target.id.as_ref()) else { return };
        let round = event.details.as_ref().and_then(|details| details.get("round")).and_then(Value::as_u64);
        let round = round.and_then(|round| u32::try_from(round).ok()).unwrap_or(1);
        let rounds = self.findings.entry(id.clone()).or_default();
        if event.action == "finding.withdrawn" {
            rounds.withdrawn = rounds.withdrawn.max(round);
            return;
        }
        // A disposition says nothing of the evidence.
        let Some(update) = finding::update_of(event) else { return };
        if (round, update) >= (rounds.raised, rounds.updates) {
            (rounds.raised, rounds.updates) = (round, update);
            rounds.evidence = finding::evidence_of(event);
            rounds.has_subject = event.subject.is_some();
        }
    }

    /// What happened, in the order it occurred.
    fn take_step(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let at = event.occurred_at;
        let detail = |name: &str| event.details.as_ref().and_then(|details| details.get(name));
        let time = |name: &str| detail(name).and_then(Value::as_str).and_then(|text| text.parse::<Instant>().ok());
        let failed = event.outcome == Outcome::Failure;
        match event.action.as_str() {
            "entra.account.requested" if failed => self.standing = self.standing.max(Standing::Failed),
            "entitlement.failed" => self.fits(recorded, Standing::Failed, |it| it <= Standing::Approved),
            // What was tried and failed changed nothing.
            _ if failed && event.action != "revocation.failed" => {}
            "entra.account.requested" => {
                self.granted_at.get_or_insert(self.starts_at.map_or(at, |starts| starts.max(at)));
                self.standing = Standing::Active;
                self.starts_at.get_or_insert(at);
            }
            "entitlement.directly_assigned" => self.needs_no_approval = true,
            "entitlement.auto_approved" => {
                self.decide(recorded, Verdict::Approved);
                self.fits(recorded, Standing::Approved, |it| it <= Standing::Approved);
            }
            "entitlement.approved" => {
                self.decide(recorded, Verdict::Approved);
                self.fits(recorded, Standing::Approved, |it| it <= Standing::Approved);
            }
            "entitlement.denied" => {
                self.decide(recorded, Verdict::Denied);
                self.fits(recorded, Standing::Denied, |it| it <= Standing::Denied);
            }
            "entitlement.timed_out" => {
                self.fits(recorded, Standing::TimedOut, |it| it <= Standing::Requested || it == Standing::TimedOut);
            }
            "entitlement.canceled" => {
                self.fits(recorded, Standing::Canceled, |it| it <= Standing::Approved || it == Standing::Canceled);
            }
            // Its own sentence: approved, or needs no approval.
            "entitlement.ready" => {
                self.needs_no_approval |= self.decisions.is_empty();
                self.fits(recorded, Standing::Approved, |it| it <= Standing::Approved);
            }
            "entitlement.fulfilled" => {
                let fits = |it| it <= Standing::Approved || it == Standing::Active || it == Standing::Failed;
                self.fits(recorded, Standing::Active, fits);
                self.granted_at.get_or_insert(at);
                self.starts_at.get_or_insert(at);
                let planned = planned_end(event);
                self.ends_at = self.ends_at.max(planned);
            }
            "entitlement.extended" => {
                self.ends_at = planned_end(event).or(self.ends_at);
                self.fits(recorded, Standing::Active, |it| it == Standing::Active);
            }
            "entitlement.removed" => {
                let begun = self.standing == Standing::Active || self.granted_at.is_some();
                self.end(at, cause_of(event, self.ends_at), Proof::Source, &event.id);
                let to = match (begun, self.ended_at) {
                    (true, Some(_)) => Standing::Ended,
                    (true, None) => Standing::Active,
                    (false, _) => Standing::Canceled,
                };
                self.fits(recorded, to, |it| it <= Standing::Approved || it == Standing::Active);
            }
            "session.approved" => self.decide(recorded, Verdict::Approved),
            "session.denied" => self.decide(recorded, Verdict::Denied),
            "session.granted" => {
                self.granted_at.get_or_insert(at);
                self.starts_at.get_or_insert(at);
            }
            "session.canceled" => self.end_session(recorded, EndCause::Canceled),
            "session.expired" => self.end_session(recorded, EndCause::Expired),
            "session.terminated" => self.end_session(recorded, EndCause::Terminated),
            // Its source made it longer than its application allows.
            "window.opened" if detail("asked_end").is_some() => {
                self.starts_at = self.starts_at.or(time("starts_at"));
                self.ends_at = time("ends_at").or(self.ends_at);
            }
            "window.opened" => {
                self.starts_at = self.starts_at.or(time("starts_at"));
                self.ends_at = self.ends_at.or(time("ends_at"));
            }
            "window.extended" => self.ends_at = time("new_end").or(self.ends_at),
            "window.ended" => {
                self.ends_at = time("new_end").or(self.ends_at);
                let by_itself = self.requester.as_ref().is_some_and(|it| is_same(&party(it), &party(&event.actor)));
                self.end_cause.get_or_insert(if by_itself { EndCause::Canceled } else { EndCause::Terminated });
            }
            // A person's word: it is over, and nothing proves it.
            window::CLOSED_BY_HAND => {
                self.ends_at = time("new_end").or(self.ends_at);
                self.end_cause.get_or_insert(EndCause::Terminated);
                self.ended_at = Some(at);
                self.standing = Standing::Ended;
            }
            "revocation.covered" => {
                self.end_cause = Some(EndCause::Covered);
                self.ended_at = self.ends_at.or(Some(at));
                self.standing = Standing::Ended;
            }
            "revocation.verified" => self.verify(event, time("actual_end").unwrap_or(at)),
            "entra.account.disabled" if !event.id.is_services() => self.end_by_portal(event),
            _ => {}
        }
    }

    /// The account was turned off and read back.
    fn verify(&mut self, event: &Event, at: Instant) {
        if self.verified.as_ref().is_none_or(|known| known.by != Proof::ReadBack) {
            self.end_cause.get_or_insert(EndCause::Expired);
            self.ended_at = Some(at);
            self.verified = Some(Verified { at, by: Proof::ReadBack, event: event.id.clone() });
        }
        if self.granted_at.is_some() {
            self.standing = Standing::Ended;
        }
    }

    /// Its portal says that the account is disabled.
    fn end_by_portal(&mut self, event: &Event) {
        let by = party(&event.actor);
        let is_its_own = self.requester.as_ref().is_some_and(|it| is_same(&party(it), &by))
            || self.subject.as_ref().is_some_and(|it| is_same(it, &by));
        let is_early = self.ends_at.is_some_and(|planned| event.occurred_at < planned);
        let cause = match (is_early, is_its_own) {
            (false, _) => EndCause::Expired,
            (true, true) => EndCause::Canceled,
            (true, false) => EndCause::Terminated,
        };
        self.end(event.occurred_at, cause, Proof::Portal, &event.id);
        if self.ended_at.is_some() {
            self.standing = Standing::Ended;
        }
    }

    /// Somebody says that it is over. Where the account is in a directory of ours, only that directory says so: then its end is brought to
    /// that moment, and the account is still to be read back.
    fn end(&mut self, at: Instant, cause: EndCause, by: Proof, event: &EventId) {
        self.end_cause.get_or_insert(cause);
        if self.is_external == Some(false) {
            self.ends_at = Some(self.ends_at.map_or(at, |planned| planned.min(at)));
            return;
        }
        self.ended_at.get_or_insert(at);
        self.verified.get_or_insert_with(|| Verified { at, by, event: event.clone() });
    }

    fn end_session(&mut self, recorded: &Recorded, cause: EndCause) {
        let event = &recorded.event;
        let is_whole = event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
        if is_whole && self.granted_at.is_some() {
            self.end_cause = Some(cause);
            self.end(event.occurred_at, cause, Proof::Source, &event.id);
        }
    }

    fn decide(&mut self, recorded: &Recorded, verdict: Verdict) {
        let event = &recorded.event;
        let session = event.session.as_ref();
        self.decisions.push(Decision {
            verdict,
            by: event.actor.clone(),
            at: event.occurred_at,
            reason: event.reason.clone().or_else(|| event.justification.clone()),
            roles: session.filter(|it| it.scope == Scope::Role).map(|it| it.roles.clone()).unwrap_or_default(),
            policy: event.policy.clone(),
            event: event.id.clone(),
        });
        if self.kind != Kind::Session && verdict == Verdict::Approved {
            self.approved_at.get_or_insert(event.occurred_at);
        }
    }

    /// Takes a step of a package's request, or notes that it does not fit.
    fn fits(&mut self, recorded: &Recorded, to: Standing, may: impl FnOnce(Standing) -> bool) {
        let is_final = |standing| !matches!(standing, Standing::Requested | Standing::Approved | Standing::Active);
        if may(self.standing) {
            // What was tried again and worked has not failed.
            self.standing = if to == Standing::Active { to } else { self.standing.max(to) };
            self.closed_at = Some(recorded.event.occurred_at).filter(|_| is_final(to));
        } else {
            self.misfits.push(Misfit { event: recorded.event.id.clone() });
        }
    }

    /// The states of a session are those of its story, roles and all.
    fn follow_story(&mut self, key: &Key, own: &[Recorded]) {
        let told = own.iter().filter(|it| it.event.session.is_some() && !it.event.id.is_services());
        let story = Story::of(
            match key {
                Key::Session(id) | Key::Request(id) => id,
                Key::Event(id) | Key::LogOn(id) => id.as_str(),
            },
            told.cloned().collect(),
        );
        use actions::State;
        self.standing = match story.state {
            None | Some(State::Created) => Standing::Requested,
            Some(State::Approved) => Standing::Approved,
            Some(State::Denied) => Standing::Denied,
            Some(State::TimedOut) => Standing::TimedOut,
            Some(State::Granted) if self.ended_at.is_some() => Standing::Ended,
            Some(State::Granted) => Standing::Active,
            Some(State::Canceled | State::Expired | State::Terminated) if self.granted_at.is_none() => {
                Standing::Canceled
            }
            // Where the account is in a directory of ours, it goes on until that says that it is off.
            Some(State::Canceled | State::Expired | State::Terminated) if self.ended_at.is_none() => Standing::Active,
            Some(State::Canceled | State::Expired | State::Terminated) => Standing::Ended,
        };
        // Granted without what has to come before is granted all the same.
        if self.standing < Standing::Denied && self.granted_at.is_some() {
            self.standing = if self.ended_at.is_some() { Standing::Ended } else { Standing::Active };
        }
        self.needs_no_approval |= self.approvals_needed == 0;
        let approvals = self.decisions.iter().filter(|decision| decision.verdict == Verdict::Approved);
        // When as many different people as are needed had approved.
        let complete = |those: Vec<&Decision>| {
            let mut approvers: Vec<(Instant, Party)> = Vec::new();
            for decision in those {
                let by = party(&decision.by);
                if !approvers.iter().any(|(_, other)| is_same(other, &by)) {
                    approvers.push((decision.at, by));
                }
            }
            approvers.get((self.approvals_needed as usize).saturating_sub(1)).map(|(at, _)| *at)
        };
        self.approved_at = if story.roles.is_empty() {
            // A portal without roles approves the session as a whole.
            complete(approvals.filter(|decision| decision.roles.is_empty()).collect())
        } else {
            let of_role = |role: &crate::access::session::Role| {
                complete(approvals.clone().filter(|decision| decision.roles.contains(&role.role)).collect())
            };
            let times: Option<Vec<Instant>> = story.roles.iter().map(of_role).collect();
            times.and_then(|times| times.into_iter().max())
        };
        if matches!(self.standing, Standing::Denied | Standing::Canceled | Standing::TimedOut) {
            self.closed_at = story.timeline.iter().filter(|step| step.fits).map(|step| step.occurred_at).max();
        }
        let misfits = story.timeline.iter().filter(|step| !step.fits);
        self.misfits.extend(misfits.map(|step| Misfit { event: step.event.clone() }));
    }

    /// What an event says that names its account, or its package and holder; whether it is about this access.
    fn take_other(&mut self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let at = event.occurred_at;
        let has_begun = self.granted_at.is_some_and(|begun| begun.minus(TOLERANCE) <= at);
        if event.outcome == Outcome::Failure {
            return false;
        }
        if event.action.starts_with("entitlement.") {
            return self.take_assignment(recorded, has_begun);
        }
        if !self.is_account(event) {
            return false;
        }
        let told = |name: &str| event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str);
        match event.action.as_str() {
            "entra.account.disabled" if !event.id.is_services() => {
                if has_begun && self.ended_at.is_none() && self.is_external != Some(false) {
                    self.end_by_portal(event);
                    return true;
                }
                false
            }
            // One read-back ends every claim on the account that is over by then.
            "revocation.verified" => {
                let end = told("actual_end").and_then(|text| text.parse().ok()).unwrap_or(at);
                let is_its_own = self.window.is_some() && told("window") == self.window.as_deref();
                if is_its_own && self.ended_at.is_none() && self.ends_at.is_some_and(|ends| ends <= end) {
                    self.verify(event, end);
                    return true;
                }
                false
            }
            _ => is_use(event) && has_begun && self.holds(at),
        }
    }

    /// What is told of its assignment under another request, or under the assignment's own id.
    fn take_assignment(&mut self, recorded: &Recorded, has_begun: bool) -> bool {
        let event = &recorded.event;
        let is_named = self.assignment.is_some() && told_assignment(event) == self.assignment;
        let is_same_holder = match (&self.subject, &event.subject) {
            (Some(own), Some(other)) => is_same(own, other),
            _ => false,
        };
        let is_same_package = match (&self.target, of_it(event)) {
            (Some(own), Some(other)) => is_one(own, &other),
            _ => false,
        };
        if self.kind != Kind::Package || !has_begun || !(is_named || (is_same_holder && is_same_package)) {
            return false;
        }
        match event.action.as_str() {
            "entitlement.removed" if self.ended_at.is_none() => {
                let cause = cause_of(event, self.ends_at);
                self.end_cause = Some(cause);
                self.end(event.occurred_at, cause, Proof::Source, &event.id);
                if self.ended_at.is_some() {
                    self.standing = Standing::Ended;
                }
                true
            }
            "entitlement.extended" if self.ended_at.is_none() => {
                self.ends_at = planned_end(event).or(self.ends_at);
                true
            }
            // The assignment as it tells of itself.
            "entitlement.fulfilled" if is_named => {
                self.ends_at = self.ends_at.max(planned_end(event));
                true
            }
            _ => false,
        }
    }

    /// Whether the event names its account.
    pub fn is_account(&self, event: &Event) -> bool {
        let (Some(own), Some(other)) = (&self.account, &event.account) else { return false };
        let own = names(own);
        names(other).iter().any(|name| own.contains(name))
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

    fn take_use(&mut self, recorded: &Recorded, is_own: bool) {
        let event = &recorded.event;
        if !is_use(event) || !(is_own || self.events.contains(&event.id)) {
            return;
        }
        self.uses += 1;
        let at = event.occurred_at;
        self.first_used_at = Some(self.first_used_at.map_or(at, |first| first.min(at)));
        self.last_used_at = Some(self.last_used_at.map_or(at, |last| last.max(at)));
    }

    /// Adds what an earlier computation knew and this one cannot see any more, because very many events were left out.
    pub fn remember(&mut self, was: &Self) {
        self.more_uses |= was.more_uses;
        self.more_steps |= was.more_steps;
        for (id, known) in &was.findings {
            if self.findings.contains_key(id) || self.findings.len() < MOST_FINDINGS {
                let rounds = self.findings.entry(id.clone()).or_default();
                let withdrawn = rounds.withdrawn.max(known.withdrawn);
                if (known.raised, known.updates) > (rounds.raised, rounds.updates) {
                    rounds.clone_from(known);
                }
                rounds.withdrawn = withdrawn;
            }
        }
    }

    fn conclude(&mut self) {
        if self.decisions.len() > FIRST_DECISIONS + LAST_DECISIONS {
            let last = self.decisions.len() - LAST_DECISIONS;
            self.decisions.drain(FIRST_DECISIONS..last);
            self.more_steps = true;
        }
        self.roles.truncate(MOST_ROLES);
        self.misfits.truncate(FIRST_STEPS + LAST_STEPS);
        if self.subject.is_none() {
            self.subject = self.requester.as_ref().filter(|it| it.kind != ActorType::System).map(party);
        }
        if let (Some(ended), Some(planned)) = (self.ended_at, self.ends_at) {
            self.lateness_ms = Some((ended.millis() - planned.millis()).max(0));
        }
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
            Standing::Ended => {
                [self.ended_at, self.ends_at.filter(|_| self.ended_at.is_none())].into_iter().flatten().max()
            }
            Standing::Active => None,
            Standing::Requested | Standing::Approved => self.ends_at,
            // What was never given touches the time in which it was decided.
            Standing::Denied | Standing::TimedOut | Standing::Canceled | Standing::Failed => {
                let last = self.decisions.iter().map(|decision| decision.at).max().max(self.closed_at);
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
        asked().next().is_some() && !known.any(|it| is_one(it, target))
    }
}

/// The order in which events are followed: as they occurred; what a source tells of one moment, in the order of its steps.
pub fn order_of(recorded: &Recorded) -> (Instant, u8, Instant, &EventId) {
    let action = recorded.event.action.as_str();
    let step = match action.rsplit('.').next().unwrap_or_default() {
        "created" | "requested" | "directly_assigned" => 0,
        "approval_created" | "approver_added" => 1,
        "approved" | "auto_approved" | "denied" => 2,
        "ready" | "scheduled" => 3,
        "granted" | "fulfilled" => 4,
        _ if recorded.event.id.is_services() => 7,
        "canceled" | "expired" | "terminated" | "removed" | "timed_out" | "failed" => 6,
        _ => 5,
    };
    // A role's decision comes before what it means for the whole session.
    let is_whole = recorded.event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
    let step = step * 2 + u8::from(step == 2 && is_whole);
    (recorded.event.occurred_at, step, recorded.recorded_at, &recorded.event.id)
}

/// What was left out of very many events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Whether uses were.
    pub uses: bool,
    /// Whether steps were.
    pub steps: bool,
}

/// Leaves out what stands between the first and the last so many, of events in order: of uses, of steps (those of `own` and those of others
/// apart), of findings and reviews. Doing so again with more events comes to the same as doing so with all of them at once.
pub fn thin_out(events: &mut Vec<Recorded>, own: Option<&Key>) -> LeftOut {
    const BOUNDS: [(usize, usize); 4] = [
        (FIRST_USES, LAST_USES),
        (FIRST_STEPS, LAST_STEPS),
        (FIRST_STEPS, LAST_STEPS),
        (FIRST_AFTERTHOUGHTS, LAST_AFTERTHOUGHTS),
    ];
    let class = |event: &Event| match () {
        () if is_use(event) => 0,
        () if is_afterthought(event) => 3,
        () if own.is_none_or(|own| Key::of(event).as_ref() == Some(own)) => 1,
        () => 2,
    };
    let classes: Vec<usize> = events.iter().map(|recorded| class(&recorded.event)).collect();
    let mut counts = [0_usize; 4];
    classes.iter().for_each(|class| counts[*class] += 1);
    let left_out = |class: usize| BOUNDS[class].0..counts[class].saturating_sub(BOUNDS[class].1);
    let (mut numbers, mut classes) = ([0; 4], classes.into_iter());
    events.retain(|_| {
        let class = classes.next().unwrap_or_default();
        let is_kept = !left_out(class).contains(&numbers[class]);
        numbers[class] += 1;
        is_kept
    });
    LeftOut { uses: !left_out(0).is_empty(), steps: !left_out(1).is_empty() || !left_out(2).is_empty() }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What an event that asks for nothing says of the thing accessed. A decision may name the request it is about instead.
fn of_it(event: &Event) -> Option<Party> {
    event.target.clone().filter(|target| !is_use(event) && target.kind.as_deref() != Some("request"))
}

/// The end that an assignment's event plans: its session's, the window's, or as an import keeps its schedule.
fn planned_end(event: &Event) -> Option<Instant> {
    let asked = match event.window {
        Some(AskedWindow::Until(until)) => Some(until),
        Some(AskedWindow::None | AskedWindow::Duration(_)) | None => None,
    };
    let schedule = event.details.as_ref().and_then(|details| details.get("schedule"));
    let kept = schedule.and_then(|schedule| schedule["ends_at"].as_str()).and_then(|text| text.parse().ok());
    event.session.as_ref().and_then(|session| session.ends_at).or(asked).or(kept)
}

/// The assignment that an event of entitlement management is about, where it says so.
fn told_assignment(event: &Event) -> Option<String> {
    let details = event.details.as_ref().filter(|_| event.action.starts_with("entitlement."))?;
    details.get("assignment_id")?.as_str().map(str::to_owned)
}

/// Whether two name one thing: by id, else by any name.
pub fn is_one(a: &Party, b: &Party) -> bool {
    match (&a.id, &b.id) {
        (Some(a), Some(b)) => fold_identity(a) == fold_identity(b),
        _ => {
            let own = names(a);
            names(b).iter().any(|name| own.contains(name))
        }
    }
}

/// Whether two parties are the same somebody, as far as their own names say: by address or id, or by name where one of them has nothing else.
pub fn is_same(a: &Party, b: &Party) -> bool {
    let both = |a: &Option<String>, b: &Option<String>| match (a, b) {
        (Some(a), Some(b)) => Some(fold_identity(a) == fold_identity(b)),
        _ => None,
    };
    match (both(&a.id, &b.id), both(&a.email, &b.email)) {
        (Some(true), _) | (_, Some(true)) => true,
        (Some(false), _) | (_, Some(false)) => false,
        (None, None) => both(&a.name, &b.name).unwrap_or(false),
    }
}

/// Whether two parties are the same person, as far as their own names say. None where their names cannot be compared: one has an
/// address, the other a name to show. Unlike `is_same`, it does not take those for two people.
pub fn same_person(a: &Party, b: &Party) -> Option<bool> {
    let both = |a: &Option<String>, b: &Option<String>| match (a, b) {
        (Some(a), Some(b)) => Some(fold_identity(a) == fold_identity(b)),
        _ => None,
    };
    match (both(&a.id, &b.id), both(&a.email, &b.email)) {
        (Some(true), _) | (_, Some(true)) => return Some(true),
        (Some(false), _) | (_, Some(false)) => return Some(false),
        (None, None) => {}
    }
    // Some sources give the address, or what stands before its @, as a name or an id.
    let called = |party: &Party| -> Vec<String> {
        let names = [&party.id, &party.name, &party.email].into_iter().flatten().map(|name| fold_identity(name));
        let local = party.email.as_ref().and_then(|email| email.split_once('@')).map(|(local, _)| fold_identity(local));
        names.chain(local).collect()
    };
    let others = called(b);
    if called(a).iter().any(|name| others.contains(name)) {
        return Some(true);
    }
    let has_only_name = |party: &Party| party.id.is_none() && party.email.is_none();
    both(&a.name, &b.name).filter(|_| has_only_name(a) || has_only_name(b))
}

/// Which of three causes one activity stands for: expired, canceled by its user, removed by an administrator.
fn cause_of(event: &Event, planned: Option<Instant>) -> EndCause {
    let reason = event.reason.as_deref().map(fold).unwrap_or_default();
    let is_holder = event.subject.as_ref().is_some_and(|subject| is_same(subject, &party(&event.actor)));
    match () {
        () if reason.contains("expire") => EndCause::Expired,
        () if reason.contains("cancel") => EndCause::Canceled,
        () if reason.contains("remove") || reason.contains("admin") => EndCause::Removed,
        () if is_holder => EndCause::Canceled,
        () if planned.is_some_and(|planned| planned <= event.occurred_at) => EndCause::Expired,
        () => EndCause::Removed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::trail::{arbitrary::recorded, event::Tenant, event_validation};
    use proptest::prelude::*;
    use serde_json::json;

    fn at(minutes: i64) -> Instant {
        Instant::from_millis(1_795_307_160_000 + minutes * 60_000)
    }

    /// An event some minutes after the first, with more members.
    fn event(id: &str, action: &str, minutes: i64, actor: &str, more: Value) -> Recorded {
        let tenant = Tenant::new("acme").unwrap();
        let day = Duration::from_secs(86_400);
        let intake = event_validation::Intake { tenant: &tenant, now: at(0).plus(day), retention: day * 400 };
        let actor = if actor == "System" { json!({"type": "system"}) } else { json!({"type": "user", "email": actor}) };
        let mut event = json!({"id": id, "action": action, "occurred_at": at(minutes), "actor": actor});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        recorded(
            event_validation::read(&event.to_string(), &intake, crate::trail::arbitrary::event_id).unwrap(),
            at(minutes),
        )
    }

    fn session(step: &str, minutes: i64, actor: &str, more: Value) -> Recorded {
        let mut session = json!({"id": "s", "scope": "session"});
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let more = json!({"session": session, "target": {"name": "shop"}});
        event(
            &format!("{step}-{minutes}-{actor}").replace(['@', '.'], "-"),
            &format!("session.{step}"),
            minutes,
            actor,
            more,
        )
    }

    fn used(id: &str, minutes: i64) -> Recorded {
        event(
            id,
            "computer.accessed",
            minutes,
            "mark@acme.example",
            json!({"account": {"name": "u1"}, "target": {"name": "W11"}}),
        )
    }

    fn key() -> Key {
        Key::Session("s".to_owned())
    }

    fn whole_life() -> Vec<Recorded> {
        let times = json!({"starts_at": at(10), "ends_at": at(70), "username": "u1"});
        vec![
            session("created", 0, "mark@acme.example", json!({"starts_at": at(10), "ends_at": at(70)})),
            session("approved", 5, "john@acme.example", json!({})),
            session("granted", 10, "System", times),
            used("use-1", 20),
            used("use-2", 30),
            used("use-before", -5),
            used("use-after", 75),
            session("expired", 71, "System", json!({})),
        ]
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_makes_a_difference(order in Just((0..16usize).collect::<Vec<_>>()).prop_shuffle()) {
            let all = whole_life();
            let shuffled = order.iter().map(|place| all[place % 8].clone()).collect();
            prop_assert_eq!(Access::of(&key(), shuffled), Access::of(&key(), all));
        }
    }

    #[test]
    fn a_session_holds_its_account_from_its_grant_to_its_end() {
        let access = Access::of(&key(), whole_life()).unwrap();
        assert_eq!((access.uses, access.first_used_at, access.last_used_at), (2, Some(at(20)), Some(at(30))));
        assert_eq!((access.standing, access.end_cause), (Standing::Ended, Some(EndCause::Expired)));
        assert_eq!((access.lateness_ms, access.duration_ms()), (Some(60_000), Some(61 * 60_000)));
        let denied =
            vec![whole_life().remove(0), session("denied", 5, "john@acme.example", json!({})), used("use-1", 20)];
        let denied = Access::of(&key(), denied).unwrap();
        assert_eq!((denied.standing, denied.uses, denied.holds(at(20))), (Standing::Denied, 0, false));
    }

    #[test]
    fn it_is_approved_when_as_many_people_as_are_needed_have() {
        let asked = || session("created", 0, "mark@acme.example", json!({"approvals_needed": 2, "roles": ["a", "b"]}));
        let role = |who: &str, minutes: i64, roles: Value| {
            session("approved", minutes, who, json!({"scope": "role", "roles": roles}))
        };
        let approved_at = |rows: Vec<Recorded>| Access::of(&key(), rows).unwrap().approved_at;
        let (ann, bob, eve) = ("ann@x.example", "bob@x.example", "eve@x.example");
        assert_eq!(
            approved_at(vec![asked(), role(ann, 1, json!(["a", "b"])), role(ann, 2, json!(["a", "b"]))]),
            None,
            "twice the same"
        );
        let rows =
            || vec![asked(), role(ann, 1, json!(["a", "b"])), role(bob, 2, json!(["a"])), role(bob, 4, json!(["b"]))];
        assert_eq!(approved_at(rows()), Some(at(4)));
        assert_eq!(
            approved_at([rows(), vec![role(eve, 9, json!(["a", "b"]))]].concat()),
            Some(at(4)),
            "one more changes nothing"
        );
    }

    #[test]
    fn people_are_one_by_address_or_id_and_by_name_only_where_that_is_all() {
        let party = |id: Option<&str>, email: Option<&str>, name: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            Party { kind: None, id: text(id), name: text(name), email: text(email) }
        };
        let john = Some("John Smith");
        for (a, b, same) in [
            (party(Some("1"), Some("a@x"), None), party(Some("1"), Some("b@x"), None), true),
            (party(Some("1"), Some("a@x"), None), party(Some("2"), Some("A@X"), None), true),
            (party(Some("1"), None, john), party(Some("2"), None, john), false),
            (party(None, Some("a@x"), john), party(None, Some("b@x"), john), false),
            (party(None, None, john), party(None, None, Some("john smith")), true),
            (party(None, Some("a@x"), john), party(None, None, john), true),
            (Party::default(), Party::default(), false),
        ] {
            assert_eq!(is_same(&a, &b), same, "{a:?} {b:?}");
        }
        assert_eq!(person_names(&party(None, Some("A@x"), john)), ["a@x"]);
    }

    #[test]
    fn people_are_compared_only_by_names_of_one_kind() {
        let party = |id: &str, email: &str, name: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Party { kind: None, id: text(id), name: text(name), email: text(email) }
        };
        for (a, b, same) in [
            (party("1", "a@x", ""), party("1", "b@x", ""), Some(true)),
            (party("1", "a@x", ""), party("2", "A@X", ""), Some(true)),
            (party("1", "", "Ann"), party("2", "", "Ann"), Some(false)),
            (party("", "ann@x", ""), party("", "cy@x", ""), Some(false)),
            (party("", "ann@x", "Ann Smith"), party("", "", "ann"), Some(true)),
            (party("", "", "ann"), party("", "", "cy"), Some(false)),
            (party("", "ann@x", "Ann"), party("", "", "cy"), Some(false)),
            // An address says nothing of a name or an id.
            (party("", "ann@x", ""), party("", "", "Cy Young"), None),
            (party("", "ann@x", ""), party("17", "", ""), None),
            (party("17", "", "Ann Smith"), party("", "ann@x", "Smith, Ann"), None),
        ] {
            assert_eq!((same_person(&a, &b), same_person(&b, &a)), (same, same), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_log_on_lasts_until_its_log_off_its_request_or_twelve_hours() {
        let on = used("use-1", 20);
        let off = event(
            "off",
            LOG_OFF,
            50,
            "mark@acme.example",
            json!({"account": {"name": "u1"}, "target": {"name": "W11"}}),
        );
        let request = Access::of(&key(), whole_life()).unwrap();
        let explained = || Some(Explained::Access(request.id.clone()));
        let ended = |left: Option<&Recorded>, request: Option<&Access>, now: i64| {
            let mut access = Access::of_log_on(&on, left, explained());
            access.complete(request, at(now));
            (access.standing, access.ended_at, access.end_cause)
        };
        let over = |minutes: i64, cause: EndCause| (Standing::Ended, Some(at(minutes)), Some(cause));
        assert_eq!(ended(Some(&off), Some(&request), 60), over(50, EndCause::LoggedOff));
        assert_eq!(ended(None, Some(&request), 80), over(70, EndCause::SessionEnded));
        assert_eq!(ended(None, None, 20 + 720), over(20 + 720, EndCause::NoLogOff));
        assert_eq!(ended(None, None, 20 + 719), (Standing::Active, None, None));
        assert_eq!(ended(None, Some(&request), 60), (Standing::Active, None, None));
    }

    #[test]
    fn of_very_many_uses_the_first_and_the_last_are_kept() {
        let mut events = whole_life();
        events[2] = session("granted", 10, "System", json!({"username": "u1"}));
        events.remove(0);
        events.pop();
        events.extend((0..2000).map(|number| used(&format!("more-{number}"), 100 + number / 2)));
        let access = Access::of(&key(), events).unwrap();
        // One of the first was before it began.
        assert_eq!((access.uses, access.more_uses), (499, true));
        assert_eq!((access.first_used_at, access.last_used_at), (Some(at(20)), Some(at(1099))));
        assert!(access.events.iter().any(|id| id.as_str().starts_with("granted")), "steps are all kept");
    }

    #[test]
    fn of_very_many_steps_the_first_and_the_last_are_kept_however_they_came() {
        let approval = |number: i64| {
            let more = json!({"session": {"id": "s", "scope": "session"}, "reason": "r".repeat(2000), "target": {"name": "shop"}});
            event(&format!("{}-{number}", "long".repeat(30)), "session.approved", number / 3, "john@acme.example", more)
        };
        let all: Vec<Recorded> = (0..3600).map(approval).collect();
        let at_once = Access::of(&key(), all.clone()).unwrap();
        assert!(at_once.more_steps && at_once.events.len() == FIRST_STEPS + LAST_STEPS);
        assert!(serde_json::to_string(&at_once).unwrap().len() < 380_000, "an item holds it");
        // Batch by batch, the later ones first: each time what was kept and what came.
        let (mut kept, mut was) = (Vec::new(), None::<Access>);
        for batch in all.chunks(100).rev() {
            kept.extend(batch.iter().cloned());
            let mut access = Access::of(&key(), kept.clone()).unwrap();
            access.remember(was.as_ref().unwrap_or(&access.clone()));
            kept.retain(|recorded| access.events.contains(&recorded.event.id));
            was = Some(access);
        }
        assert_eq!(was, Some(at_once));
    }

    #[test]
    fn what_outlives_the_retention_of_its_first_events_still_ends() {
        let about = |id: &str, action: &str, minutes: i64| {
            let more = json!({"request_id": "r", "subject": {"email": "mark@acme.example"}, "target": {"type": "package", "name": "Sales"}, "window": false});
            let more = if action == "entitlement.fulfilled" {
                more
            } else {
                json!({"request_id": "r", "subject": more["subject"], "target": more["target"]})
            };
            event(id, action, minutes, "mark@acme.example", more)
        };
        let key = Key::Request("r".to_owned());
        let first = vec![about("a", "entitlement.requested", 0), about("b", "entitlement.fulfilled", 1)];
        let was = Access::of(&key, first).unwrap();
        let removed = about("c", "entitlement.removed", 500);
        assert_eq!(Access::of(&key, vec![removed.clone()]), None);
        let now = was.continued(&key, vec![removed.clone()]);
        assert_eq!((now.standing, now.ended_at, now.requester.is_some()), (Standing::Ended, Some(at(500)), true));
        assert_eq!(now.continued(&key, vec![removed]), now);
    }

    #[test]
    fn steps_of_one_moment_follow_as_they_must() {
        let rows = |step: &str, id: &str| {
            let mut recorded = session(step, 3, "john@acme.example", json!({}));
            recorded.event.id = EventId::new(id).unwrap();
            recorded
        };
        let access =
            Access::of(&key(), vec![rows("granted", "a"), rows("approved", "b"), rows("created", "c")]).unwrap();
        assert_eq!((access.standing, access.misfits.len()), (Standing::Active, 0));
    }
}
