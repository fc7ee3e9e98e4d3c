//! Window: the time an account may stay enabled, and what is due when.
//!
//! A window belongs to one account of one directory. Each request that asks for the account is a claim on it, from a start to an end;
//! while one claim goes on, another's end disables nothing. Where no claim goes on any more the account is disabled and read
//! back, and only then is the window closed. Everything here is a decision about facts: `now` is a parameter, nothing is called.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    configuration::directory::Directory,
    identity::matching::names,
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::event::{EventId, Party, Tenant},
    windows::{
        account_names::key_of,
        claim::Claim,
        resolution::{Missing, Resolution, ResolvedAccount},
        window_event::{WindowEvent, WindowFact},
    },
};

/// The states that a window is shown in.
pub const STATES: [&str; 5] = ["scheduled", "open", "claimed", "overdue", "closed"];
/// Most names of a window beside its key.
const MOST_OTHER_NAMES: usize = 16;
/// How the items that find a window by its names are laid out.
pub const LAYOUT: u8 = 1;

/// The time an account may stay enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its id.
    pub id: String,
    /// Which directory the account is in; with the account it says which open window this is.
    pub directory_key: String,
    /// The directory as it was configured when the window was opened.
    pub directory: Directory,
    /// The application, where one is configured for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<OfApplication>,
    /// The account, as the first request names it. Its key, the first of its names, says which account of the directory it is.
    pub account: Party,
    /// The account of the directory that the window covers, once it has been found. From then on only its id counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedAccount>,
    /// The search for that account.
    #[serde(default)]
    pub resolution: Resolution,
    /// Names in requests by which the directory knows other accounts, folded. Those accounts are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_names: Vec<String>,
    /// The answers in a row that did not find the resolved account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The older window of the same account that took over its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// Whether its key means another account by now, which has a window of its own.
    #[serde(default)]
    pub is_key_lost: bool,
    /// How the items that find it by its names are laid out: see [`Window::other_names`]. Windows of earlier versions have 0.
    #[serde(default)]
    pub layout: u8,
    /// Whether a person closed it, without proof that the account is disabled.
    #[serde(default)]
    pub is_closed_by_hand: bool,
    /// The requests that ask for the account, the oldest first.
    pub claims: Vec<Claim>,
    /// How often it was tried to disable the account since the end that is being worked on.
    #[serde(default)]
    pub attempts: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// The kinds of failure that the trail already records for this end. Each kind is recorded once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_failures: Vec<String>,
    /// Whether the trail tells that the end is overdue.
    #[serde(default)]
    pub is_overdue: bool,
    /// The end that the trail records as overdue. An external window may have a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_end: Option<Instant>,
    /// Not before then, though it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
    /// Whoever works on its end has it until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The last end that was made true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// What a window keeps of its application, as it was configured when the window was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfApplication {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Which accounts are its own; no other is ever disabled.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Who is told when something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
}

/// Who works on a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub run: String,
    /// Until when nobody else takes it.
    pub until: Instant,
}

/// An end that was made true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When the account was seen to be disabled, or said to be by its portal.
    pub at: Instant,
    /// How long after the planned end.
    pub lateness_ms: i64,
}

impl Window {
    /// A window that nobody has asked for yet.
    pub fn new(
        id: String,
        directory_key: String,
        directory: Directory,
        application: Option<OfApplication>,
        account: Party,
    ) -> Self {
        Self {
            id,
            directory_key,
            directory,
            application,
            account,
            resolved: None,
            resolution: Resolution::default(),
            foreign_names: Vec::new(),
            missing: None,
            merged_into: None,
            is_key_lost: false,
            layout: LAYOUT,
            is_closed_by_hand: false,
            claims: Vec::new(),
            attempts: 0,
            failing: None,
            recorded_failures: Vec::new(),
            is_overdue: false,
            overdue_end: None,
            not_before: None,
            lease: None,
            ended: None,
        }
    }

    /// The id of the window that an event opens at `now`: ids sort by when they were opened.
    pub fn id_of(tenant: &Tenant, event: &EventId, now: Instant) -> String {
        let hash = EventId::of_service(tenant, "window", &[event.as_str()]);
        let at: String =
            now.to_string()[..19].chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{at}-{}", hash.as_str().rsplit('-').next().unwrap_or_default())
    }

    /// The key by which a request joins it.
    pub fn key(&self) -> String {
        key_of(&self.account)
    }

    /// The other names by which the end of its account may be reported. Names that mean other accounts are not among them, and their number is
    /// bounded, as each is an item of the transaction that closes the window.
    pub fn other_names(&self) -> Vec<String> {
        let key = self.key();
        let resolved = self
            .resolved
            .iter()
            .flat_map(|it| [&it.id, &it.name].into_iter().chain(&it.other_names));
        let of_claims = self
            .claims
            .iter()
            .filter(|claim| !claim.is_done)
            .filter_map(|claim| claim.account.as_ref());
        let all = names(&self.account)
            .into_iter()
            .chain(resolved.map(|name| fold_identity(name)))
            .chain(of_claims.flat_map(names));
        let mut other_names: Vec<String> = Vec::new();
        for name in all {
            let is_known =
                name == key || other_names.contains(&name) || self.foreign_names.contains(&name);
            if !is_known && other_names.len() < MOST_OTHER_NAMES {
                other_names.push(name);
            }
        }
        other_names
    }

    /// Whether its account is called so.
    pub fn is_called(&self, name: &str) -> bool {
        (self.key() == name && !self.is_key_lost)
            || self.other_names().iter().any(|other| other == name)
    }

    /// Whether nothing is to be done for it any more.
    pub fn is_closed(&self) -> bool {
        self.claims.iter().all(|claim| claim.is_done)
    }

    /// Whether its account is disabled by somebody else.
    pub fn is_external(&self) -> bool {
        self.directory == Directory::External
    }

    /// When its first claim begins.
    pub fn starts_at(&self) -> Option<Instant> {
        self.claims.iter().map(|claim| claim.starts_at).min()
    }

    /// When its last claim ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.claims.iter().map(|claim| claim.ends_at).max()
    }

    /// Its sessions.
    pub fn sessions(&self) -> Vec<&str> {
        let mut sessions: Vec<_> =
            self.claims.iter().filter_map(|claim| claim.session.as_deref()).collect();
        sessions.dedup();
        sessions
    }

    /// Adds a claim. What stood in the way of an earlier end is forgotten with it. However many there are, none is refused: they fold.
    pub fn add(&mut self, claim: Claim, now: Instant) -> Vec<WindowEvent> {
        // Nobody waits any more for what its portal never said: the trail tells that it is overdue.
        if self.is_external() && self.is_overdue {
            for claim in &mut self.claims {
                claim.is_done |= claim.ends_at <= now;
            }
            self.forget_overdue();
        }
        let mut folded = Vec::new();
        self.make_room(1, &mut folded, now);
        self.claims.push(claim);
        let place = self.claims.len() - 1;
        let Claim { starts_at, ends_at, asked_end, .. } = self.claims[place];
        let opened = WindowFact::Opened { starts_at, ends_at, asked_end };
        let opened = WindowEvent::of_service(opened, place, now);
        // A new request is a reason to ask the directory again.
        self.resolution.not_before = Some(now);
        self.begin_anew(now);
        [opened].into_iter().chain(folded).collect()
    }

    /// Somebody changed when it ends: who works on it has to look again, and nothing that failed for another end counts.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.lease = None;
        if !self.claims.iter().any(|claim| claim.is_over(now)) {
            self.not_before = None;
            self.forget_failures();
            self.forget_overdue();
            self.missing = None;
        }
    }

    pub(super) fn forget_failures(&mut self) {
        self.attempts = 0;
        self.failing = None;
        self.recorded_failures.clear();
    }

    pub(super) fn forget_overdue(&mut self) {
        self.is_overdue = false;
        self.overdue_end = None;
    }

    /// Of the claims that `which` says and that have not ended, the one that ends last, by its place.
    pub(super) fn last_claim(&self, which: impl Fn(&Claim) -> bool, now: Instant) -> Option<usize> {
        let open = self
            .claims
            .iter()
            .enumerate()
            .filter(|(_, claim)| !claim.is_done && now < claim.ends_at);
        open.filter(|(_, claim)| which(claim))
            .max_by_key(|(_, claim)| claim.ends_at)
            .map(|(place, _)| place)
    }

    /// The places of its open requests, `most` at most.
    pub(super) fn open_places(&self, most: usize) -> Vec<usize> {
        let open = self.claims.iter().enumerate().filter(|(_, claim)| !claim.is_done);
        open.map(|(place, _)| place).take(most).collect()
    }

    /// The request that what is told now belongs to: the one that ends last.
    pub(super) fn current(&self, now: Instant) -> usize {
        self.last_claim(|_| true, now).unwrap_or_else(|| self.ending(now))
    }

    pub(super) fn close(&mut self, at: Instant, planned: Instant) {
        self.ended = Some(Ended { at, lateness_ms: (at.millis() - planned.millis()).max(0) });
        self.forget_failures();
        self.forget_overdue();
        self.not_before = None;
        self.lease = None;
        self.missing = None;
        self.resolution.failing = None;
    }

    /// A run takes it.
    pub fn claim(&mut self, run: &str, until: Instant) {
        self.lease = Some(Lease { run: run.to_owned(), until });
        self.not_before = None;
    }

    /// A run lets it go, until a time.
    pub fn leave(&mut self, until: Option<Instant>) {
        self.lease = None;
        self.not_before = until;
    }

    /// As it is answered.
    pub fn answered(&self, now: Instant) -> Value {
        let claims: Vec<_> = self
            .claims
            .iter()
            .map(|claim| {
                json!({
                    "event": claim.event, "account": claim.account, "subject": claim.subject, "target": claim.target,
                    "session": claim.session,
                    "starts_at": claim.starts_at, "ends_at": claim.ends_at,
                })
            })
            .collect();
        json!({
            "id": self.id,
            "directory": if self.is_external() { "external" } else { &self.directory_key },
            "account": self.account,
            "resolved": self.resolved.as_ref().map(|it| json!({"id": it.id, "name": it.name, "at": it.at})),
            "merged_into": self.merged_into,
            "closed_by_hand": self.is_closed_by_hand,
            "application": self.application.as_ref().map(|application| &application.id),
            "state": self.state(now),
            "starts_at": self.starts_at(),
            "ends_at": self.ends_at(),
            "ended_at": self.ended.as_ref().map(|ended| ended.at),
            "lateness_ms": self.ended.as_ref().map(|ended| ended.lateness_ms),
            "attempts": self.attempts,
            "failing": self.failing.as_ref().or(self.resolution.failing.as_ref()),
            "sessions": self.sessions(),
            "claims": claims,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
