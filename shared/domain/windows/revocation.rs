//! What comes of the end of a window: covered, overdue, failed or disabled.

use std::time::Duration;

use crate::{
    time::timestamp::Instant,
    windows::{
        claim::Claim,
        due::OVERDUE_AFTER,
        window::Window,
        window_event::{OverdueCause, Revocation, WindowEvent, WindowFact},
        window_finding::WindowFinding,
    },
};

/// The kind of failure that a directory knows no such account.
pub const NOT_FOUND: &str = "not_found";
/// Most claims that one step covers: each takes an event and an item of its session, and a transaction takes a hundred.
const COVERED_AT_ONCE: usize = 20;
/// Most requests under other names that the trail tells of when their account is disabled.
pub(super) const MOST_OTHERS_TOLD: usize = 8;

/// What came of disabling an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It was enabled and now reads back as disabled.
    Now,
    /// It was disabled already.
    Before,
    /// It is not in the directory any more.
    Gone,
}

/// Why an account could not be disabled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind of failure; one kind is told once.
    pub kind: &'static str,
    /// What is wrong, for a person.
    pub detail: String,
    /// Whether somebody has to change something before it can work.
    pub is_refusal: bool,
    /// How long the directory asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Whether it is about this account alone, and neither the directory nor how this service reaches it.
    pub fn is_about_account(&self) -> bool {
        [NOT_FOUND, "ambiguous", "not_its_own", "not_disabled"].contains(&self.kind)
    }

    /// Whether another application's credentials for the same directory may do better.
    pub fn is_of_credentials(&self) -> bool {
        let kinds = [
            "secret",
            "secret_unavailable",
            "credentials",
            "unauthorized",
            "forbidden",
            "no_account_enabled",
            "configuration",
            "address",
            "throttled",
            "refused",
        ];
        kinds.contains(&self.kind)
    }
}

impl Window {
    /// Claims have ended while others go on: they are over, and nothing is disabled. Some are covered at a time; the rest stays due.
    pub fn cover(&mut self, now: Instant) -> Vec<WindowEvent> {
        let Some(by) =
            self.claims.iter().filter(|claim| claim.goes_on(now)).max_by_key(|claim| claim.ends_at)
        else {
            return Vec::new();
        };
        let (covered_by, until) = (by.event.clone(), by.ends_at);
        let mut events = Vec::new();
        let over = self.claims.iter().enumerate().filter(|(_, claim)| claim.is_over(now));
        let over: Vec<usize> = over.map(|(place, _)| place).take(COVERED_AT_ONCE).collect();
        for place in over {
            self.claims[place].is_done = true;
            let planned_end = self.claims[place].ends_at;
            let covered = WindowFact::Covered { planned_end, by: covered_by.clone(), until };
            events.push(WindowEvent::of_service(covered, place, now));
        }
        self.begin_anew(now);
        events
    }

    /// Its end is overdue: the trail tells it, once.
    pub fn overdue(&mut self, now: Instant) -> Vec<WindowEvent> {
        // One that ended only now is not: it is told by itself if nothing comes of it either.
        let is_late =
            |claim: &Claim| claim.is_over(now) && claim.ends_at.plus(OVERDUE_AFTER) <= now;
        let late = self.claims.iter().enumerate().filter(|(_, claim)| is_late(claim));
        let late = late
            .max_by_key(|(_, claim)| claim.ends_at)
            .map(|(place, claim)| (place, claim.ends_at));
        let (place, planned) = late.unwrap_or_else(|| (self.ending(now), self.planned_end(now)));
        self.is_overdue = true;
        self.overdue_end = Some(planned);
        let cause = match (&self.failing, self.is_external()) {
            (Some(failing), _) => OverdueCause::Failing(failing.clone()),
            (None, true) => OverdueCause::Unconfirmed,
            (None, false) => OverdueCause::NotAttempted,
        };
        let overdue = WindowFact::RevocationOverdue {
            planned_end: planned,
            attempts: self.attempts,
            cause: cause.clone(),
        };
        // Nobody but the portal could disable it, so what is missing is its word.
        let finding = match self.is_external() {
            true => WindowFinding::RemovalUnconfirmed(cause),
            false => WindowFinding::RevocationOverdue(cause),
        };
        vec![
            WindowEvent::of_service(overdue, place, now),
            WindowEvent::finding(finding, place, now),
        ]
    }

    /// It could not be disabled: it is tried again at `again_at`. The trail records each kind of failure once, however they alternate.
    pub fn failed(
        &mut self,
        failure: &Failure,
        again_at: Instant,
        now: Instant,
    ) -> Vec<WindowEvent> {
        self.attempts += 1;
        if failure.kind != NOT_FOUND {
            self.missing = None;
        }
        self.leave(Some(again_at));
        let mut events = Vec::new();
        let reason = format!("{}: {}", failure.kind, failure.detail);
        let is_recorded = self.recorded_failures.iter().any(|kind| kind == failure.kind)
            // Windows that were stored before kinds were kept have the last one in its reason.
            || self.failing.as_deref().is_some_and(|last| last.split(':').next() == Some(failure.kind));
        if !is_recorded {
            let place = self.ending(now);
            let failed = WindowFact::RevocationFailed {
                planned_end: self.planned_end(now),
                attempts: self.attempts,
                failure: reason.clone(),
            };
            events.push(WindowEvent::of_service(failed, place, now));
            let is_raised = self.resolution.refusals.iter().any(|kind| kind == failure.kind);
            if failure.is_refusal && !is_raised {
                let refused = WindowFinding::RevocationRefused { failure: reason.clone() };
                events.push(WindowEvent::finding(refused, place, now));
            }
            self.recorded_failures.push(failure.kind.to_owned());
        }
        self.failing = Some(reason);
        events
    }

    /// The account is off, though a request came meanwhile that keeps its window open.
    pub fn disabled_inside(&mut self, now: Instant) -> Vec<WindowEvent> {
        let going = self.claims.iter().enumerate().filter(|(_, claim)| claim.goes_on(now));
        let Some((place, _)) = going.max_by_key(|(_, claim)| claim.ends_at) else {
            return Vec::new();
        };
        self.leave(None);
        vec![WindowEvent::finding(WindowFinding::DisabledInsideWindow, place, now)]
    }

    /// The account was disabled and read back: what has ended is over.
    pub fn disabled(&mut self, how: &Disabled, now: Instant) -> Vec<WindowEvent> {
        let planned = self.planned_end(now);
        let place = self.ending(now);
        let attempts = self.attempts + 1;
        // Requests that named the account otherwise cannot be found by what is told of this one.
        let mut others: Vec<usize> = Vec::new();
        for (other, claim) in self.claims.iter().enumerate() {
            let is_told = [place]
                .iter()
                .chain(&others)
                .any(|told| self.account_of(*told) == self.account_of(other));
            if claim.is_over(now) && !is_told && others.len() < MOST_OTHERS_TOLD {
                others.push(other);
            }
        }
        for claim in &mut self.claims {
            claim.is_done |= claim.ends_at <= now;
        }
        self.close(now, planned);
        let gone = *how == Disabled::Gone;
        let revocation = Revocation {
            planned_end: planned,
            actual_end: now,
            attempts,
            already_disabled: *how == Disabled::Before,
            gone,
        };
        let mut events = Vec::new();
        if !gone {
            let disabled = WindowFact::AccountDisabled(revocation);
            events.push(WindowEvent::of_service(disabled, place, now));
        }
        for place in [place].into_iter().chain(others) {
            let verified = WindowFact::RevocationVerified(revocation);
            events.push(WindowEvent::of_service(verified, place, now));
        }
        if gone {
            events.push(WindowEvent::finding(WindowFinding::AccountGone, place, now));
        } else {
            events.extend(self.disabled_inside(now));
        }
        events
    }
}
