//! The work that is due for a window, and its time.

use std::time::Duration;

use crate::{
    time::timestamp::Instant,
    windows::window::{Window, WindowState},
};

/// How long after its end a window is overdue.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(300);
/// The same for activations in PIM: their end is confirmed by an import, which comes later than a
/// portal's event.
pub const IMPORTED_OVERDUE_AFTER: Duration = Duration::from_secs(3600);

/// The work that is due for a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing until that time.
    Later(Instant),
    /// Nothing: it is closed, or only the portal's confirmation is missing.
    Nothing,
    /// Claims have ended while others continue.
    Covered,
    /// The overdue end has to be recorded.
    Overdue,
    /// The account has to be looked up in the directory.
    Resolve,
    /// The account has to be disabled.
    Disable,
    /// The portal has to confirm that it disabled the account, until that time.
    Confirmation(Instant),
}

impl Window {
    /// The work that is due now.
    pub fn due(&self, now: Instant) -> Due {
        let Some(next) = self.next_end() else { return Due::Nothing };
        if now < next {
            return match self.resolve_at() {
                Some(at) if at <= now => Due::Resolve,
                Some(at) => Due::Later(at.min(next)),
                None => Due::Later(next),
            };
        }
        if self.claims.iter().any(|claim| claim.goes_on(now)) {
            return Due::Covered;
        }
        let overdue_at = next.plus(self.overdue_after());
        if now >= overdue_at && !self.is_next_overdue() {
            return Due::Overdue;
        }
        match (self.is_external(), self.not_before) {
            (false, Some(until)) if now < until => match self.resolve_at() {
                Some(at) if at <= now => Due::Resolve,
                Some(at) => Due::Later(at.min(until)),
                None => Due::Later(until),
            },
            (false, _) => Due::Disable,
            (true, _) => Due::Confirmation(overdue_at),
        }
    }

    /// How long after an end it is overdue.
    pub(super) fn overdue_after(&self) -> Duration {
        if self.is_of_pim() { IMPORTED_OVERDUE_AFTER } else { OVERDUE_AFTER }
    }

    /// Whether all its open requests are activations in PIM.
    pub(super) fn is_of_pim(&self) -> bool {
        let mut open = self.claims.iter().filter(|claim| !claim.is_done).peekable();
        open.peek().is_some() && open.all(|claim| claim.event.is_of_pim())
    }

    /// The next end that needs work. An overdue end of an external window needs none: only its
    /// portal can confirm it.
    fn next_end(&self) -> Option<Instant> {
        let open = self.claims.iter().filter(|claim| !claim.is_done).map(|claim| claim.ends_at);
        if self.is_external() && self.is_overdue {
            // Windows of earlier versions lack it: the earliest of their ends is the overdue one.
            let overdue_end = self.overdue_end.or_else(|| open.clone().min())?;
            return open.filter(|end| *end > overdue_end).min();
        }
        open.min()
    }

    /// Whether the next end is recorded as overdue. For an external window it never is.
    fn is_next_overdue(&self) -> bool {
        self.is_overdue && !self.is_external()
    }

    /// When the window is due; none for a closed one.
    pub fn due_at(&self) -> Option<Instant> {
        let next = self.next_end()?;
        let lease = self.lease.as_ref().map(|lease| lease.until);
        // However long a directory's Retry-After is, an overdue end is recorded in time.
        let told_by =
            if self.is_next_overdue() { None } else { Some(next.plus(self.overdue_after())) };
        let not_before =
            self.not_before.map(|until| told_by.map_or(until, |told_by| until.min(told_by)));
        let end = not_before.map_or(next, |until| until.max(next));
        let at = self.resolve_at().map_or(end, |resolve_at| resolve_at.min(end));
        Some(lease.map_or(at, |until| until.max(at)))
    }

    /// The end that is being processed: the latest one of the claims that have ended.
    pub fn planned_end(&self, now: Instant) -> Instant {
        let over = self.claims.iter().filter(|claim| claim.is_over(now));
        over.map(|claim| claim.ends_at).max().unwrap_or(now)
    }

    /// The index of the claim with that end.
    pub(super) fn ending(&self, now: Instant) -> usize {
        let over = self.claims.iter().enumerate().filter(|(_, claim)| claim.is_over(now));
        over.max_by_key(|(_, claim)| claim.ends_at)
            .map_or(self.claims.len() - 1, |(place, _)| place)
    }

    /// The state in API responses.
    pub fn state(&self, now: Instant) -> WindowState {
        let is_claimed = self.lease.as_ref().is_some_and(|lease| now < lease.until);
        let is_to_begin =
            self.claims.iter().filter(|claim| !claim.is_done).all(|claim| now < claim.starts_at);
        match (self.is_closed(), self.is_overdue) {
            (true, _) => WindowState::Closed,
            (false, true) => WindowState::Overdue,
            (false, false) if is_claimed => WindowState::Claimed,
            (false, false) if is_to_begin => WindowState::Scheduled,
            (false, false) => WindowState::Open,
        }
    }
}
