//! Cache of the read accesses that are recorded for the current hour.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use shared_domain::trail::event::EventId;

/// Maximum number of cached records. Beyond it, the trail is read again.
const MOST_REMEMBERED: usize = 10_000;

/// The records of an hour that the trail is known to contain.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<(i64, HashSet<EventId>)>);

impl Remembered {
    pub fn has(&self, hour: i64, id: &EventId) -> bool {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.0 == hour && remembered.1.contains(id)
    }

    pub fn add(&self, hour: i64, id: EventId) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.0 != hour || remembered.1.len() >= MOST_REMEMBERED {
            *remembered = (hour, HashSet::new());
        }
        remembered.1.insert(id);
    }
}
