//! Random numbers: jitter for retries, ids and run numbers. A simulation sets the seed, so that a
//! run can be repeated exactly.

use std::{cell::RefCell, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use shared_domain::trail::event::EventId;
use uuid::Uuid;

thread_local! {
    static CHANCE: RefCell<StdRng> = RefCell::new(StdRng::from_os_rng());
}

/// A random duration from zero to `longest`.
pub fn up_to(longest: Duration) -> Duration {
    CHANCE.with_borrow_mut(|chance| chance.random_range(Duration::ZERO..=longest))
}

/// A number that cannot be guessed.
pub fn number() -> u64 {
    CHANCE.with_borrow_mut(Rng::random)
}

/// A new event id (UUID version 7). Ids are ascending, so the events of one request keep their
/// order.
pub fn event_id() -> EventId {
    EventId::from(Uuid::now_v7())
}

/// Sets the seed of all random numbers on this thread, except [`event_id`].
pub fn seed(seed: u64) {
    CHANCE.set(StdRng::seed_from_u64(seed));
}
