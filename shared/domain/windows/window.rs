//! An access window: the time for which an account may stay enabled, and the work that is due for
//! it.
//!
//! A window belongs to one account in one directory. Each request for the account is a claim with a
//! start and an end. While one claim continues, the end of another does not disable the account.
//! When no claim continues, the account is disabled and read back, and only then is the window
//! closed. This module only decides: `now` is a parameter, and it does no I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, VariantNames};

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

/// Maximum number of names of a window besides its key.
const MOST_OTHER_NAMES: usize = 16;
/// The format version of the items that find a window by its names.
pub const LAYOUT: u8 = 1;

/// The state of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum WindowState {
    /// No request has started.
    Scheduled,
    /// The account may be enabled.
    Open,
    /// The service is disabling the account now.
    Claimed,
    /// Its end is late.
    Overdue,
    /// The account is disabled and nothing remains to be done.
    Closed,
}

/// The time for which an account may stay enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub id: String,
    /// The directory of the account. Together with the account it identifies the open window.
    pub directory_key: String,
    /// The directory as it was configured when the window was opened.
    pub directory: Directory,
    /// The application, if one is configured for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<OfApplication>,
    /// The account as the first request names it. Its key, the first of its names, identifies the
    /// account in the directory.
    pub account: Party,
    /// The account in the directory, once it is resolved. From then on only its id counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedAccount>,
    #[serde(default)]
    pub resolution: Resolution,
    /// Folded names in requests that belong to other accounts in the directory. Those accounts are
    /// not touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_names: Vec<String>,
    /// The consecutive responses without the resolved account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The older window of the same account into which this one was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// Whether its key now belongs to another account, which has its own window.
    #[serde(default)]
    pub is_key_lost: bool,
    /// The format version of the items that find it by its names: see [`Window::other_names`]. It
    /// is 0 in windows of earlier versions.
    #[serde(default)]
    pub layout: u8,
    /// Whether a person closed it without verification that the account is disabled.
    #[serde(default)]
    pub is_closed_by_hand: bool,
    /// The requests for the account, the oldest first.
    pub claims: Vec<Claim>,
    /// Attempts to disable the account since the end that is being processed.
    #[serde(default)]
    pub attempts: u32,
    /// The error of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// The kinds of failure that are recorded for this end. Each kind is recorded once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_failures: Vec<String>,
    /// Whether the end is recorded as overdue.
    #[serde(default)]
    pub is_overdue: bool,
    /// The end that is recorded as overdue. An external window may have a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_end: Option<Instant>,
    /// The earliest time of the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The last completed end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// The data of its application, as it was configured when the window was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfApplication {
    pub id: String,
    pub name: String,
    /// The patterns of its accounts; other accounts are never disabled.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// The people responsible for findings about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
}

/// The lease of a run on a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub run: String,
    pub until: Instant,
}

/// A completed end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When the account was verified as disabled, or its portal confirmed it.
    pub at: Instant,
    /// The delay after the planned end.
    pub lateness_ms: i64,
}

impl Window {
    /// A window without requests.
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

    /// The id of the window that an event opens at `now`: ids sort by opening time.
    pub fn id_of(tenant: &Tenant, event: &EventId, now: Instant) -> String {
        let hash = EventId::of_service(tenant, "window", &[event.as_str()]);
        let at: String =
            now.to_string()[..19].chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{at}-{}", hash.as_str().rsplit('-').next().unwrap_or_default())
    }

    /// The key by which a request finds it.
    pub fn key(&self) -> String {
        key_of(&self.account)
    }

    /// The other names by which the end of its account may be reported. Names of other accounts are
    /// excluded. The number is limited, because each name is an item of the transaction that closes
    /// the window.
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

    /// Whether its account has that name.
    pub fn is_called(&self, name: &str) -> bool {
        (self.key() == name && !self.is_key_lost)
            || self.other_names().iter().any(|other| other == name)
    }

    /// Whether it needs no further work.
    pub fn is_closed(&self) -> bool {
        self.claims.iter().all(|claim| claim.is_done)
    }

    /// Whether another system disables its account.
    pub fn is_external(&self) -> bool {
        self.directory == Directory::External
    }

    /// When its first claim starts.
    pub fn starts_at(&self) -> Option<Instant> {
        self.claims.iter().map(|claim| claim.starts_at).min()
    }

    /// When its last claim ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.claims.iter().map(|claim| claim.ends_at).max()
    }

    pub fn sessions(&self) -> Vec<&str> {
        let mut sessions: Vec<_> =
            self.claims.iter().filter_map(|claim| claim.session.as_deref()).collect();
        sessions.dedup();
        sessions
    }

    /// Adds a claim and clears the failures of an earlier end. No claim is refused for lack of
    /// room: claims are folded instead.
    pub fn add(&mut self, claim: Claim, now: Instant) -> Vec<WindowEvent> {
        // The portal's missing confirmation is recorded as overdue, and no longer awaited.
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
        // A new request triggers another lookup in the directory.
        self.resolution.not_before = Some(now);
        self.begin_anew(now);
        [opened].into_iter().chain(folded).collect()
    }

    /// Resets the failures after a change of the end, and makes the run that processes the window
    /// check it again.
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

    /// The index of the last-ending claim that `which` selects, among those that have not ended.
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

    /// The indexes of its open claims, at most `most`.
    pub(super) fn open_places(&self, most: usize) -> Vec<usize> {
        let open = self.claims.iter().enumerate().filter(|(_, claim)| !claim.is_done);
        open.map(|(place, _)| place).take(most).collect()
    }

    /// The index of the claim to which new events belong: the one that ends last.
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

    /// Gives a run the lease.
    pub fn claim(&mut self, run: &str, until: Instant) {
        self.lease = Some(Lease { run: run.to_owned(), until });
        self.not_before = None;
    }

    /// Releases the lease, with the earliest time of the next attempt.
    pub fn leave(&mut self, until: Option<Instant>) {
        self.lease = None;
        self.not_before = until;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
