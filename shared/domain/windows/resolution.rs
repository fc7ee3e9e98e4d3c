//! The search for the account of the directory that the names in a window mean.

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

/// Most names of other accounts that a window keeps.
const MOST_FOREIGN_NAMES: usize = 16;
/// Tries that do not find the account before that is a finding: a portal may tell of an account before its directory has it everywhere.
const MISSED_TRIES: u32 = 4;
/// Answers in a row that do not find an account before it can count as gone.
const MISSED_ANSWERS: u32 = 4;

/// An account as its directory identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedAccount {
    /// The directory's own id. It outlives a rename.
    pub id: String,
    /// Its name when it was found.
    pub name: String,
    /// Its other names then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<String>,
    /// When it was found.
    pub at: Instant,
}

/// The search for the account that a window's names mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Tries so far that found no account.
    #[serde(default)]
    pub tries: u32,
    /// Answers in a row that knew no account of this name.
    #[serde(default)]
    pub misses: u32,
    /// The next try is not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
    /// Why the last try found none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// Kinds of refusal that have been raised as findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// How often it became a finding that the account is not found.
    #[serde(default)]
    pub raised: u32,
    /// Whether that finding stands.
    #[serde(default)]
    pub is_raised: bool,
    /// How often requests named different accounts.
    #[serde(default)]
    pub disagreements: u32,
}

/// Answers in a row that did not find the resolved account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When the first of them came.
    pub since: Instant,
    /// Their number.
    pub answers: u32,
}

/// A name in a request that means another account than the window's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignName {
    /// The request, by its place among the claims.
    pub claim: usize,
    /// The name, as the request gives it.
    pub name: String,
    /// The account it means, as the directory names it.
    pub account: String,
}

impl Window {
    /// When the directory has to be asked which account its names mean. None where that is known.
    pub fn resolve_at(&self) -> Option<Instant> {
        let is_new =
            |claim: &Claim| !claim.is_done && claim.account.is_some() && !claim.is_looked_up;
        let is_wanted =
            self.merged_into.is_some() || self.resolved.is_none() || self.claims.iter().any(is_new);
        let is_wanted = is_wanted && !self.is_external() && !self.is_closed();
        is_wanted.then(|| self.resolution.not_before.unwrap_or(Instant::from_millis(0)))
    }

    /// The directory says which account the window covers, and what it made of the requests at `looked_up`. Names that mean other accounts
    /// are a finding at once.
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

    /// The account was not found: it is looked for again at `again_at`. That it cannot be found is a finding, once.
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

    /// The directory did not find the resolved account.
    pub fn miss(&mut self, now: Instant) {
        let missing = self.missing.get_or_insert(Missing { since: now, answers: 0 });
        missing.answers += 1;
    }

    /// Whether the resolved account counts as gone: several answers in a row, spread over `spread` at least, did not find it.
    pub fn is_gone(&self, spread: Duration, now: Instant) -> bool {
        self.missing.is_some_and(|it| it.answers >= MISSED_ANSWERS && now >= it.since.plus(spread))
    }
}
