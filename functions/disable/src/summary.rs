//! What a run did, for its response, log and metrics.

use serde::Serialize;
use shared::{platform::metrics::Metric, storage::ReadError};

use crate::end::WindowOutcome;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub due: u64,
    /// Accounts that were disabled and verified.
    pub disabled: u64,
    /// Failed attempts and failed reads of the queue.
    pub failed: u64,
    /// Windows whose accounts could not be disabled so far.
    pub failing: u64,
    pub overdue: u64,
    /// Whether the run has read what is due.
    pub looked: bool,
    /// The longest delay of a disabled account after its planned end, in milliseconds.
    pub lateness_ms: u64,
}

impl Summary {
    /// The metrics of the run. One that could not read what is due gives no heartbeat.
    pub(crate) fn metrics(&self) -> [Metric; 7] {
        [
            Metric::count("Heartbeat", u64::from(self.looked)),
            Metric::count("Due", self.due),
            Metric::count("Disabled", self.disabled),
            Metric::count("Failed", self.failed),
            Metric::count("Failing", self.failing),
            Metric::count("Overdue", self.overdue),
            Metric::milliseconds("Lateness", self.lateness_ms),
        ]
    }

    pub(crate) fn count(&mut self, id: &str, outcome: Result<WindowOutcome, ReadError>) {
        match outcome {
            Ok(WindowOutcome::Disabled(lateness)) => {
                self.disabled += 1;
                self.lateness_ms =
                    self.lateness_ms.max(u64::try_from(lateness.as_millis()).unwrap_or(u64::MAX));
            }
            Ok(WindowOutcome::Failed(failure)) => {
                self.failed += 1;
                tracing::warn!(window = id, %failure, "window {id}: its account could not be disabled: {}: {failure}", failure.kind);
            }
            Ok(WindowOutcome::Noted { is_overdue: true }) => {
                tracing::error!(window = id, "window {id} is overdue: access may outlive it");
            }
            Ok(WindowOutcome::Unresolved(failure)) => {
                tracing::warn!(window = id, %failure, "window {id}: its account was not found: {}: {failure}", failure.kind);
            }
            Ok(
                WindowOutcome::Noted { is_overdue: false }
                | WindowOutcome::Resolved
                | WindowOutcome::Paced(_)
                | WindowOutcome::Passed,
            ) => {}
            Err(error) => {
                self.failed += 1;
                tracing::warn!(window = id, %error, "window {id}: the storage failed: {error}");
            }
        }
    }
}
