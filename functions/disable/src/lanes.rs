//! Lanes: the waiting windows of one tenant's directory, and the number processed concurrently. A
//! directory that is down does not block the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::{
    domain::{time::timestamp::Instant, trail::event::Tenant, windows::due::Due},
    platform::random,
    services::windows::Stored,
    storage::ReadError,
};

use crate::{end::WindowOutcome, retry_pause::BACKOFF};

/// Windows of one directory that are processed concurrently, initially and at most.
const NARROW: usize = 4;
const WIDE: usize = 32;

/// Maximum number of waiting windows of one directory in memory; the others are read again later.
pub(crate) const WAITING: usize = 2000;

/// Suffix of the lane and window for resolving an account, so that the end of a window never waits
/// for it.
pub(crate) const RESOLVES: &str = " resolves";

/// Suffix of the lane and window for work that only records events.
pub(crate) const TELLS: &str = " tells";

/// Suffix for moving requests to another window. It needs no directory and waits for none.
pub(crate) const MOVES: &str = " moves";

/// A waiting window.
pub(crate) struct Waiting {
    /// Its key until it is done.
    pub(crate) id: String,
    pub(crate) due_at: Instant,
    pub(crate) tenant: Tenant,
    pub(crate) stored: Stored,
}

/// The windows of one tenant's directory.
pub(crate) struct Lane {
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) at_work: usize,
    pub(crate) width: usize,
    /// Failures since the last success.
    pub(crate) failures: u32,
    /// The end of a pause after a failure.
    pub(crate) rests_until: Option<Instant>,
}

/// Adds a window to its directory's lane. Returns whether it is new there.
pub(crate) fn enqueue(
    lanes: &mut BTreeMap<String, Lane>,
    known: &mut BTreeSet<String>,
    now: Instant,
    tenant: Tenant,
    stored: Stored,
) -> bool {
    let Some(due_at) = stored.window.due_at() else { return false };
    // Work that only records events needs no directory and waits for none.
    let (key, id) = match stored.window.due(now.max(due_at)) {
        Due::Disable | Due::Resolve if stored.window.merged_into.is_some() => {
            (format!("{tenant}{MOVES}"), format!("{}{MOVES}", stored.window.id))
        }
        Due::Disable | Due::Later(_) | Due::Nothing => {
            (lane_of(&tenant, &stored), stored.window.id.clone())
        }
        Due::Resolve => (
            format!("{}{RESOLVES}", lane_of(&tenant, &stored)),
            format!("{}{RESOLVES}", stored.window.id),
        ),
        Due::Covered | Due::Overdue | Due::Confirmation(_) => {
            (format!("{tenant}{TELLS}"), format!("{}{TELLS}", stored.window.id))
        }
    };
    let lane = lanes.entry(key).or_default();
    if known.contains(&id) || lane.waiting.len() >= WAITING {
        return false;
    }
    known.insert(id.clone());
    let place = lane.waiting.partition_point(|waiting| waiting.due_at <= due_at);
    lane.waiting.insert(place, Waiting { id, due_at, tenant, stored });
    true
}

pub(crate) fn lane_of(tenant: &Tenant, stored: &Stored) -> String {
    format!("{tenant} {}", stored.window.directory_key)
}

impl Default for Lane {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), at_work: 0, width: NARROW, failures: 0, rests_until: None }
    }
}

impl Lane {
    /// The next window that may be processed.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Waiting> {
        let rests = self.rests_until.is_some_and(|until| now < until);
        let is_due = self.waiting.front().is_some_and(|waiting| waiting.due_at <= now);
        if rests || !is_due || self.at_work >= self.width {
            return None;
        }
        self.at_work += 1;
        self.waiting.pop_front()
    }

    /// Adapts the concurrency to the result: more after a success; one at a time after a failure
    /// that does not concern the account alone, with a pause in between.
    pub(crate) fn learn(&mut self, outcome: &Result<WindowOutcome, ReadError>, now: Instant) {
        match outcome {
            Ok(WindowOutcome::Disabled(_) | WindowOutcome::Resolved) => {
                self.width = (self.width + 1).clamp(NARROW, WIDE);
                self.failures = 0;
                self.rests_until = None;
            }
            Ok(WindowOutcome::Failed(failure) | WindowOutcome::Unresolved(failure))
                if !failure.is_about_account()
                    && !["forbidden", "refused"].contains(&failure.kind) =>
            {
                self.width = 1;
                self.failures += 1;
                let rest = BACKOFF.with_jitter(self.failures, failure.retry_after, random::up_to);
                self.rests_until = Some(now.plus(rest));
            }
            Ok(WindowOutcome::Paced(wait)) => self.rests_until = Some(now.plus(*wait)),
            Ok(
                WindowOutcome::Failed(_)
                | WindowOutcome::Unresolved(_)
                | WindowOutcome::Noted { .. }
                | WindowOutcome::Passed,
            )
            | Err(_) => {}
        }
    }
}
