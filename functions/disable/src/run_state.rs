//! What a run knows of the work that is due: its lanes, what is under way, and when it looks again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use shared::{
    domain::{time::timestamp::Instant, windows::window::Window},
    storage::{ReadError, lease::Due},
};
use tokio::time::Instant as Deadline;

use crate::{
    due_work::{DueWork, READING},
    end::WindowOutcome,
    lanes::{Lane, MOVES, RESOLVES, TELLS, Waiting, enqueue},
    summary::Summary,
};

/// How often a run looks for what has fallen due.
const LOOKS: Duration = Duration::from_secs(2);
/// Orders that are carried out concurrently.
const ORDERS: usize = 4;

/// What a run knows of the work that is due.
pub(crate) struct RunState {
    pub(crate) summary: Summary,
    /// Windows whose accounts could not be disabled so far.
    failing: BTreeSet<String>,
    overdue: BTreeSet<String>,
    lanes: BTreeMap<String, Lane>,
    /// What waits in a lane or is worked on.
    known: BTreeSet<String>,
    /// Orders that are being carried out.
    ordered: BTreeSet<String>,
    /// Whether no newer run has taken over.
    pub(crate) leads: bool,
    /// Whether it is being read what is due, and when it is to be read next.
    is_looking: bool,
    looks_at: Deadline,
    /// Whether a window ends soon enough for the run to stay.
    pub(crate) ends_soon: bool,
}

impl RunState {
    pub(crate) fn new() -> Self {
        Self {
            summary: Summary::default(),
            failing: BTreeSet::new(),
            overdue: BTreeSet::new(),
            lanes: BTreeMap::new(),
            known: BTreeSet::new(),
            ordered: BTreeSet::new(),
            leads: true,
            is_looking: false,
            looks_at: Deadline::now(),
            ends_soon: true,
        }
    }

    /// Whether it is time to read what is due; then it is being read.
    pub(crate) fn begin_look(&mut self) -> bool {
        let begins = self.ends_soon && !self.is_looking && Deadline::now() >= self.looks_at;
        self.is_looking |= begins;
        begins
    }

    /// The windows whose turn it is, each with its lane.
    pub(crate) fn take_due(&mut self, now: impl Fn() -> Instant) -> Vec<(String, Waiting)> {
        let mut taken = Vec::new();
        for (key, lane) in &mut self.lanes {
            while let Some(next) = lane.next(now()) {
                taken.push((key.clone(), next));
            }
        }
        taken
    }

    pub(crate) fn wakes_at(&self, now: Instant) -> Deadline {
        // If no window ends soon, there is no further read; only started work is completed.
        let next_look = (self.ends_soon && !self.is_looking).then_some(self.looks_at);
        wakes_at(&self.lanes, now, next_look)
    }

    /// Takes up what a look found. The answer is the orders that are to be carried out now.
    pub(crate) fn looked(&mut self, found: DueWork, goes_on: bool, now: Instant) -> Vec<Due> {
        self.is_looking = false;
        self.looks_at = Deadline::now() + LOOKS;
        self.leads = found.leads;
        self.summary.looked = true;
        for (tenant, stored) in found.due {
            let Window { id, failing, is_overdue, .. } = &stored.window;
            self.failing.extend(failing.as_ref().map(|_| id.clone()));
            self.overdue.extend(is_overdue.then(|| id.clone()));
            let is_new = enqueue(&mut self.lanes, &mut self.known, now, tenant, stored);
            self.summary.due += u64::from(is_new);
        }
        let mut orders = found.orders;
        orders.retain(|order| {
            let has_room = self.ordered.len() < ORDERS && goes_on && self.leads;
            has_room && order.at <= now && self.ordered.insert(key_of(order))
        });
        self.ends_soon = found.ends_soon || !self.known.is_empty() || !self.ordered.is_empty();
        orders
    }

    pub(crate) fn look_failed(&mut self) {
        self.summary.failed += 1;
        self.is_looking = false;
        self.looks_at = Deadline::now() + LOOKS;
    }

    pub(crate) fn order_done(&mut self, order: &Due, done: Result<(), ReadError>) {
        self.ordered.remove(&key_of(order));
        match done {
            // The windows that it ended are due, and the order may be in the queue again.
            Ok(()) => self.looks_at = Deadline::now(),
            // The order is still in the queue. The next regular read finds it.
            Err(error) => {
                let Due { tenant, id, .. } = order;
                tracing::warn!(%error, "the order {id} of {tenant} was not carried out, it is gone on with later: {error}");
                self.looks_at = self.looks_at.max(Deadline::now() + LOOKS);
            }
        }
        self.ends_soon = true;
    }

    pub(crate) fn window_done(
        &mut self,
        lane: &str,
        id: &str,
        outcome: Result<WindowOutcome, ReadError>,
        now: Instant,
    ) {
        self.known.remove(id);
        let id = [TELLS, RESOLVES, MOVES].iter().find_map(|it| id.strip_suffix(it)).unwrap_or(id);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.at_work -= 1;
            lane.learn(&outcome, now);
        }
        match &outcome {
            Ok(WindowOutcome::Disabled(_)) => {
                self.failing.remove(id);
                self.overdue.remove(id);
            }
            Ok(WindowOutcome::Failed(_)) => drop(self.failing.insert(id.to_owned())),
            Ok(WindowOutcome::Noted { is_overdue: true }) => {
                self.overdue.insert(id.to_owned());
            }
            _ => {}
        }
        self.summary.count(id, outcome);
    }

    pub(crate) fn into_summary(self) -> Summary {
        let (failing, overdue) = (self.failing.len() as u64, self.overdue.len() as u64);
        Summary { failing, overdue, ..self.summary }
    }
}

fn key_of(order: &Due) -> String {
    format!("{} {}", order.tenant, order.id)
}

/// When the next task has to start, if no running task finishes before.
fn wakes_at(lanes: &BTreeMap<String, Lane>, now: Instant, next_look: Option<Deadline>) -> Deadline {
    let next = lanes.values().filter(|lane| lane.at_work < lane.width).filter_map(|lane| {
        let due_at = lane.waiting.front()?.due_at;
        Some(lane.rests_until.map_or(due_at, |until| until.max(due_at)))
    });
    // One millisecond more, because the current millisecond has started already.
    let wait = next
        .min()
        .map(|at| Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0)));
    let next = wait.map(|wait| Deadline::now() + wait.max(Duration::from_millis(1)));
    let looks_at = next_look.unwrap_or_else(|| Deadline::now() + READING);
    next.map_or(looks_at, |next| next.min(looks_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_will_not_be_is_not_waited_for() {
        let (lanes, now) = (BTreeMap::new(), Instant::from_millis(0));
        let past = Deadline::now();
        assert_eq!(wakes_at(&lanes, now, Some(past)), past);
        assert!(
            wakes_at(&lanes, now, None) > past + READING / 2,
            "what is under way is waited for"
        );
    }
}
