//! Resolving the account in the directory that a window's names refer to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    windows::{
        claim::Claim,
        revocation::{Failure, NOT_FOUND},
        window::Window,
        window_event::{WindowEvent, WindowFact},
        window_finding::WindowFinding,
    },
};

/// Maximum number of stored names of other accounts.
const MOST_FOREIGN_NAMES: usize = 16;
/// Attempts without a result before a finding: a portal may report an account before its directory
/// has replicated it.
const MISSED_TRIES: u32 = 4;
/// Consecutive responses without the account before it can count as gone.
const MISSED_ANSWERS: u32 = 4;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedAccount {
    /// The directory's own id, which survives a rename.
    pub id: String,
    /// Its name when it was resolved.
    pub name: String,
    /// Its other names at that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<String>,
    /// When it was resolved.
    pub at: Instant,
}

/// The state of resolving a window's account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Attempts that found no account.
    #[serde(default)]
    pub tries: u32,
    /// Consecutive responses without an account of this name.
    #[serde(default)]
    pub misses: u32,
    /// The earliest time of the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
    /// The error of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// Kinds of refusals with a finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// How often the finding about an unresolved account was raised.
    #[serde(default)]
    pub raised: u32,
    /// Whether that finding is open.
    #[serde(default)]
    pub is_raised: bool,
    /// How often requests named different accounts.
    #[serde(default)]
    pub disagreements: u32,
}

/// Consecutive responses without the resolved account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub since: Instant,
    pub answers: u32,
}

/// A name in a request that refers to another account than the window's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignName {
    /// The index of the claim.
    pub claim: usize,
    pub name: String,
    /// The account's name in the directory.
    pub account: String,
}

impl Window {
    /// When the names have to be looked up in the directory. None if they are resolved.
    pub fn resolve_at(&self) -> Option<Instant> {
        let is_new =
            |claim: &Claim| !claim.is_done && claim.account.is_some() && !claim.is_looked_up;
        let is_wanted =
            self.merged_into.is_some() || self.resolved.is_none() || self.claims.iter().any(is_new);
        let is_wanted = is_wanted && !self.is_external() && !self.is_closed();
        is_wanted.then(|| self.resolution.not_before.unwrap_or(Instant::from_millis(0)))
    }

    /// Applies the directory's result: the account of the window, and the names of the requests at
    /// `looked_up`. Names of other accounts are a finding at once.
    pub fn resolve(
        &mut self,
        account: ResolvedAccount,
        looked_up: &[usize],
        foreign: &[ForeignName],
        now: Instant,
    ) -> Vec<WindowEvent> {
        let place = self.current(now);
        let mut events = Vec::new();
        if self.resolution.is_raised {
            let withdrawn = WindowFact::ResolutionWithdrawn { round: self.resolution.raised };
            events.push(WindowEvent::of_service(withdrawn, place, now));
        }
        let Resolution { raised, mut disagreements, .. } = self.resolution;
        let replaced = self.resolved.as_ref().filter(|known| known.id != account.id);
        if let Some(old) = replaced {
            disagreements += 1;
            let finding = WindowFinding::AccountReplaced {
                old: old.clone(),
                new: account.clone(),
                round: disagreements,
            };
            events.push(WindowEvent::finding(finding, place, now));
            self.missing = None;
        }
        for place in looked_up {
            self.claims[*place].is_looked_up = true;
        }
        if !foreign.is_empty() {
            disagreements += 1;
            let mut requests: Vec<_> = foreign
                .iter()
                .filter_map(|it| Some(self.claims.get(it.claim)?.event.clone()))
                .collect();
            requests.dedup();
            let finding = WindowFinding::NamesDisagree {
                account: account.name.clone(),
                foreign: foreign.to_vec(),
                requests,
                round: disagreements,
            };
            events.push(WindowEvent::finding(finding, foreign[0].claim, now));
            let key = self.key();
            for name in foreign.iter().map(|it| fold_identity(&it.name)) {
                let is_known = name == key || self.foreign_names.contains(&name);
                if !is_known && self.foreign_names.len() < MOST_FOREIGN_NAMES {
                    self.foreign_names.push(name);
                }
            }
        }
        self.resolved = Some(account);
        self.resolution =
            Resolution { raised, disagreements, not_before: Some(now), ..Resolution::default() };
        events
    }

    /// Applies a failed lookup; the next one is at `again_at`. A failed lookup becomes a finding
    /// once.
    pub fn unresolved(
        &mut self,
        failure: &Failure,
        again_at: Instant,
        now: Instant,
    ) -> Vec<WindowEvent> {
        let place = self.current(now);
        let is_over = self.claims.iter().any(|claim| claim.is_over(now));
        let reason = format!("{}: {}", failure.kind, failure.detail);
        let resolution = &mut self.resolution;
        resolution.tries += 1;
        resolution.misses = if failure.kind == NOT_FOUND { resolution.misses + 1 } else { 0 };
        resolution.not_before = Some(again_at);
        resolution.failing = Some(reason.clone());
        if failure.is_about_account() {
            let is_early =
                failure.kind == NOT_FOUND && resolution.misses < MISSED_TRIES && !is_over;
            if resolution.is_raised || is_early {
                return Vec::new();
            }
            resolution.is_raised = true;
            resolution.raised += 1;
            let finding = WindowFinding::Unresolved { failure: reason, round: resolution.raised };
            return vec![WindowEvent::finding(finding, place, now)];
        }
        if failure.is_refusal && !resolution.refusals.iter().any(|kind| kind == failure.kind) {
            resolution.refusals.push(failure.kind.to_owned());
            let finding = WindowFinding::RevocationRefused { failure: reason };
            return vec![WindowEvent::finding(finding, place, now)];
        }
        Vec::new()
    }

    /// Applies a response without the resolved account.
    pub fn miss(&mut self, now: Instant) {
        let missing = self.missing.get_or_insert(Missing { since: now, answers: 0 });
        missing.answers += 1;
    }

    /// Whether the resolved account counts as gone: several consecutive responses within at least
    /// `spread` did not contain it.
    pub fn is_gone(&self, spread: Duration, now: Instant) -> bool {
        self.missing.is_some_and(|it| it.answers >= MISSED_ANSWERS && now >= it.since.plus(spread))
    }
}
