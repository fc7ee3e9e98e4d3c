//! The result of a window's end: overdue, failed or disabled.

use std::time::Duration;

use crate::{
    time::timestamp::Instant,
    windows::{
        claim::Claim,
        window::Window,
        window_event::{OverdueCause, Revocation, WindowEvent, WindowFact},
        window_finding::WindowFinding,
    },
};

/// The kind of failure if a directory has no such account.
pub const NOT_FOUND: &str = "not_found";
/// Maximum number of requests with other names that are recorded when their account is disabled.
pub(super) const MOST_OTHERS_RECORDED: usize = 8;

/// The result of disabling an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It was enabled and is now read back as disabled.
    Now,
    Before,
    /// It no longer exists in the directory.
    Gone,
}

/// Why an account could not be disabled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// The kind of failure; each kind is recorded once.
    pub kind: &'static str,
    pub detail: String,
    /// Whether a person has to change something before a retry can succeed.
    pub is_refusal: bool,
    /// The directory's Retry-After.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Whether the failure concerns this account only, and not the directory or the connection to
    /// it.
    pub fn is_about_account(&self) -> bool {
        [NOT_FOUND, "ambiguous", "not_its_own", "not_disabled"].contains(&self.kind)
    }

    /// Whether the credentials of another application for the same directory may succeed.
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
    /// Records the overdue end, once.
    pub fn overdue(&mut self, now: Instant) -> Vec<WindowEvent> {
        // A claim that ended only now is not overdue; it is recorded later if necessary.
        let is_late =
            |claim: &Claim| claim.is_over(now) && claim.ends_at.plus(self.overdue_after()) <= now;
        let late = self.claims.iter().enumerate().filter(|(_, claim)| is_late(claim));
        let late = late
            .max_by_key(|(_, claim)| claim.ends_at)
            .map(|(place, claim)| (place, claim.ends_at));
        let (place, planned) = late.unwrap_or_else(|| (self.ending(now), self.planned_end(now)));
        self.is_overdue = true;
        self.overdue_end = Some(planned);
        let cause = match (&self.failing, self.is_external()) {
            (Some(failing), _) => OverdueCause::Failing(failing.clone()),
            (None, true) if self.is_of_pim() => OverdueCause::NotImported,
            (None, true) => OverdueCause::Unconfirmed,
            (None, false) => OverdueCause::NotAttempted,
        };
        let overdue = WindowFact::RevocationOverdue {
            planned_end: planned,
            attempts: self.attempts,
            cause: cause.clone(),
        };
        // Only the portal could disable the account, so its confirmation is missing.
        let finding = match self.is_external() {
            true => WindowFinding::RemovalUnconfirmed(cause),
            false => WindowFinding::RevocationOverdue(cause),
        };
        vec![
            WindowEvent::of_service(overdue, place, now),
            WindowEvent::finding(finding, place, now),
        ]
    }

    /// Applies a failed attempt; the next one is at `again_at`. Each kind of failure is recorded
    /// once, even if kinds alternate.
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
            // In windows of earlier versions, only the reason contains the kind of the last
            // failure.
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

    /// The account is disabled although a new request keeps its window open.
    pub fn disabled_inside(&mut self, now: Instant) -> Vec<WindowEvent> {
        let going = self.claims.iter().enumerate().filter(|(_, claim)| claim.goes_on(now));
        let Some((place, _)) = going.max_by_key(|(_, claim)| claim.ends_at) else {
            return Vec::new();
        };
        self.leave(None);
        vec![WindowEvent::finding(WindowFinding::DisabledInsideWindow, place, now)]
    }

    /// Applies that the account was disabled and verified: claims past their end are done.
    pub fn disabled(&mut self, how: &Disabled, now: Instant) -> Vec<WindowEvent> {
        let planned = self.planned_end(now);
        let place = self.ending(now);
        let attempts = self.attempts + 1;
        // Requests with other names for the account cannot be found by the events about this one.
        let mut others: Vec<usize> = Vec::new();
        for (other, claim) in self.claims.iter().enumerate() {
            let is_recorded = [place]
                .iter()
                .chain(&others)
                .any(|recorded| self.account_of(*recorded) == self.account_of(other));
            if claim.is_over(now) && !is_recorded && others.len() < MOST_OTHERS_RECORDED {
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
