//! How the stack ends: first nothing new is begun, then what runs may finish, then it is cut off.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long what runs may go on once the end was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Handed to everything that runs in the background.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// Cancelled when nothing new is to be begun.
    pub(crate) soon: CancellationToken,
    /// Cancelled when what still runs is to be cut off.
    pub(crate) now: CancellationToken,
    /// Everything that runs.
    pub(crate) tasks: TaskTracker,
}

impl Stop {
    /// Ends everything and waits until it has ended.
    pub(crate) async fn all(&self) {
        self.soon.cancel();
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "something still runs {} seconds after the end was asked for: cut off",
                PATIENCE.as_secs()
            );
            self.now.cancel();
            self.tasks.wait().await;
        }
    }
}
