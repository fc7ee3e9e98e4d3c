//! Pauses between attempts at something that another system failed to do.

use std::time::Duration;

use tokio::time::{Instant as Deadline, sleep};

use crate::random;

/// Pauses between attempts: exponential with full jitter, so that callers who were throttled together do not come back
/// together. (AWS Architecture Blog, "Exponential Backoff And Jitter".)
#[derive(Debug)]
pub struct Pauses {
    attempts: u32,
    deadline: Deadline,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    /// Pauses until `deadline`.
    pub fn until(deadline: Deadline) -> Self {
        Self { attempts: 0, deadline }
    }

    /// Waits before the next attempt; false when there is no time left for one.
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

/// The storage did not answer in the time a request has.
#[derive(Debug, thiserror::Error)]
#[error("the storage did not answer in time: {0}")]
pub struct Unavailable(pub String);
