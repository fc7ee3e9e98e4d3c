//! Chance: pauses that differ, so that those who were held up together do not come back together. In a simulation it is made from
//! a seed, so that what happened once happens again.

use std::{cell::RefCell, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use shared_domain::trail::event::EventId;
use uuid::Uuid;

thread_local! {
    static CHANCE: RefCell<StdRng> = RefCell::new(StdRng::from_os_rng());
}

/// A duration from zero to `longest`.
pub fn up_to(longest: Duration) -> Duration {
    CHANCE.with_borrow_mut(|chance| chance.random_range(Duration::ZERO..=longest))
}

/// A number that nobody can guess.
pub fn number() -> u64 {
    CHANCE.with_borrow_mut(Rng::random)
}

/// A fresh event id. Those made within a millisecond count up, so events of one request keep their order.
pub fn event_id() -> EventId {
    EventId::from(Uuid::now_v7())
}

/// Makes all chance on this thread follow from `seed`.
pub fn seed(seed: u64) {
    CHANCE.set(StdRng::seed_from_u64(seed));
}
