//! Which readings of the hour are known to be on record?

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use shared_domain::trail::event::EventId;

/// Most records of the hour that an execution remembers. Beyond them it asks the trail again.
const MOST_REMEMBERED: usize = 10_000;

/// The records of the hour that are known to be in the trail.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<(i64, HashSet<EventId>)>);

impl Remembered {
    /// Whether the record of the hour is there.
    pub fn has(&self, hour: i64, id: &EventId) -> bool {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.0 == hour && remembered.1.contains(id)
    }

    /// Remembers the record of the hour.
    pub fn add(&self, hour: i64, id: EventId) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.0 != hour || remembered.1.len() >= MOST_REMEMBERED {
            *remembered = (hour, HashSet::new());
        }
        remembered.1.insert(id);
    }
}
