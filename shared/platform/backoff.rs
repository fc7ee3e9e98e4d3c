//! Pauses between retries of a call to another system.

use std::{fmt::Display, time::Duration};

use shared_domain::time::backoff::Backoff;
use tokio::time::{Instant as Deadline, sleep};

use crate::random;

/// Pauses between retries: exponential backoff with full jitter, so that callers that were
/// throttled together do not retry together (AWS Architecture Blog, "Exponential Backoff And
/// Jitter").
#[derive(Debug)]
pub struct Pauses {
    failures: u32,
    deadline: Deadline,
}

impl Pauses {
    const BACKOFF: Backoff =
        Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(2) };

    /// Allows retries until `deadline`.
    pub fn until(deadline: Deadline) -> Self {
        Self { failures: 0, deadline }
    }

    /// Waits before the next attempt. Returns false if there is no time left for one.
    pub async fn pause(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        let pause = random::up_to(Self::BACKOFF.after(self.failures));
        let fits = Deadline::now() + pause < self.deadline;
        if fits {
            sleep(pause).await;
        }
        fits
    }

    /// Waits before the next attempt at changing something that another request changed meanwhile.
    ///
    /// # Errors
    /// There is no time left for one.
    pub async fn after_conflict(&mut self, what: impl Display) -> Result<(), Unavailable> {
        if self.pause().await { Ok(()) } else { Err(contended(what)) }
    }
}

/// Other requests changed something at each attempt to change it.
pub fn contended(what: impl Display) -> Unavailable {
    Unavailable(format!("{what} was changed by other requests at each attempt"))
}

/// The storage did not answer within the time of the request.
#[derive(Debug, thiserror::Error)]
#[error("the storage did not respond in time: {0}")]
pub struct Unavailable(pub String);
