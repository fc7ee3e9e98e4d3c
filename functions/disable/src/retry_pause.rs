//! The pause before an account is looked up or disabled again.

use std::time::Duration;

use shared::{
    domain::{time::backoff::Backoff, windows::revocation::Failure},
    platform::random,
};

/// Pauses before an end is tried again.
pub const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// How long to wait before the next try, after that many before the one that failed.
pub(crate) fn pause(backoff: Backoff, attempts: u32, failure: &Failure) -> Duration {
    // A problem that needs a change by a person is hardly solved within seconds.
    let backoff = match failure.is_refusal {
        true => Backoff { first: BACKOFF.longest, longest: BACKOFF.longest },
        false => backoff,
    };
    backoff.with_jitter(attempts.saturating_add(1), failure.retry_after, random::up_to)
}
