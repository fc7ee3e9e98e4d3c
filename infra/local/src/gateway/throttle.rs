//! The token bucket for throttling (429), filled at a rate up to a burst.

use std::{sync::Mutex, time::Instant};

use crate::plan::Throttle;

/// One bucket.
pub(crate) struct Bucket {
    limit: Throttle,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(limit: Throttle, now: Instant) -> Self {
        Self { limit, state: Mutex::new(State { tokens: limit.burst, at: now }) }
    }

    /// Takes a token, if one is available.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.tokens = (state.tokens + passed * self.limit.rate).min(self.limit.burst);
        state.at = now;
        let taken = state.tokens >= 1.0;
        if taken {
            state.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_bucket_allows_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(Throttle { rate: 2.0, burst: 3.0 }, start);
        let taken = |after: u64| bucket.take(start + Duration::from_millis(after));
        assert_eq!([0, 0, 0, 0].map(taken), [true, true, true, false]);
        assert_eq!([400, 500, 900, 1_000].map(taken), [false, true, false, true]);
        assert_eq!([60_000, 60_000, 60_000, 60_000].map(taken), [true, true, true, false]);
    }
}
