//! How long to wait before an account is looked up or disabled again.

use std::time::Duration;

use shared::{domain::windows::revocation::Failure, platform::random};

/// The first pause before an end is tried again; each is twice the one before …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … until it is as long as this.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long to wait after so many tries.
pub(crate) fn pause(attempts: u32, failure: &Failure) -> Duration {
    pause_up_to(LONGEST_PAUSE, attempts, failure)
}

/// The same with another longest pause.
pub fn pause_up_to(most: Duration, attempts: u32, failure: &Failure) -> Duration {
    let longest = most.min(FIRST_PAUSE * 2_u32.saturating_pow(attempts.min(10)));
    // What somebody has to change first will hardly be changed within seconds.
    let longest = if failure.is_refusal { LONGEST_PAUSE } else { longest };
    let pause = longest / 2 + random::up_to(longest / 2);
    failure.retry_after.map_or(pause, |asked| asked.max(pause))
}
