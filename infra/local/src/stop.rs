//! Stopping the stack: first no new work is started, then running work can finish, then it is aborted.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a stop waits for running work.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shared with all background tasks.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// Cancelled when no new work may start.
    pub(crate) soon: CancellationToken,
    /// Cancelled when running work must abort.
    pub(crate) now: CancellationToken,
    /// All background tasks.
    pub(crate) tasks: TaskTracker,
}

impl Stop {
    /// Stops all tasks and waits for their end.
    pub(crate) async fn all(&self) {
        self.soon.cancel();
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "tasks still run {} seconds after the stop and are aborted",
                PATIENCE.as_secs()
            );
            self.now.cancel();
            self.tasks.wait().await;
        }
    }
}
