//! Pauses that grow with the attempts that failed.

use std::time::Duration;

/// Each pause is twice the one before, from the first to the longest.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After one failure.
    pub first: Duration,
    /// However many failures there were.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after that many failures in a row.
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.longest.min(self.first.saturating_mul(2_u32.saturating_pow(doublings)))
    }

    /// The same, less up to its half, so that those that failed together do not come back together; and no shorter than
    /// the other side asks for. `jitter` gives a duration from zero to the one it is given.
    pub fn with_jitter(
        &self,
        failures: u32,
        asked: Option<Duration>,
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> Duration {
        let pause = self.after(failures);
        (pause - jitter(pause / 2)).max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(5) };
        let pauses = [0, 1, 2, 3, 4, u32::MAX].map(|failures| backoff.after(failures).as_secs());
        assert_eq!(pauses, [1, 1, 2, 4, 5, 5]);
    }

    #[test]
    fn jitter_takes_up_to_half_and_the_other_side_may_ask_for_more() {
        let backoff = Backoff { first: Duration::from_secs(4), longest: Duration::from_secs(8) };
        assert_eq!(backoff.with_jitter(2, None, |most| most), Duration::from_secs(4));
        assert_eq!(backoff.with_jitter(2, None, |_| Duration::ZERO), Duration::from_secs(8));
        let asked = Some(Duration::from_secs(60));
        assert_eq!(backoff.with_jitter(2, asked, |most| most), Duration::from_secs(60));
    }
}
