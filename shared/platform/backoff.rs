//! Pauses between retries of a call to another system.

use std::time::Duration;

use tokio::time::{Instant as Deadline, sleep};

use crate::random;

/// Pauses between retries: exponential backoff with full jitter, so that callers that were
/// throttled together do not retry together (AWS Architecture Blog, "Exponential Backoff And
/// Jitter").
#[derive(Debug)]
pub struct Pauses {
    attempts: u32,
    deadline: Deadline,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    /// Allows retries until `deadline`.
    pub fn until(deadline: Deadline) -> Self {
        Self { attempts: 0, deadline }
    }

    /// Waits before the next attempt. Returns false if there is no time left for one.
    pub async fn pause(&mut self) -> bool {
        let longest = Self::LONGEST.min(Self::FIRST * 2u32.saturating_pow(self.attempts.min(10)));
        self.attempts += 1;
        let pause = random::up_to(longest);
        let fits = Deadline::now() + pause < self.deadline;
        if fits {
            sleep(pause).await;
        }
        fits
    }
}

/// The storage did not answer within the time of the request.
#[derive(Debug, thiserror::Error)]
#[error("the storage did not answer in time: {0}")]
pub struct Unavailable(pub String);
