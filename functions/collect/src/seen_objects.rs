//! Which objects this process has stored lately. Lists without a filter, and readings that overlap,
//! have the same objects again and again; each would cost a write that changes nothing.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// Objects after which older ones are forgotten.
const MOST: usize = 50_000;

/// A memory of objects by two hashes with random keys, which take 16 bytes each.
#[derive(Debug, Default)]
pub(crate) struct SeenObjects {
    keys: [RandomState; 2],
    seen: Mutex<[HashSet<[u64; 2]>; 2]>,
}

impl SeenObjects {
    fn key(&self, owner: &[&str], object: &str) -> [u64; 2] {
        [0, 1].map(|place| self.keys[place].hash_one((owner, object)))
    }

    /// Whether an object of this owner was stored as it is.
    pub(crate) fn has(&self, owner: &[&str], object: &str) -> bool {
        let key = self.key(owner, object);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().any(|seen| seen.contains(&key))
    }

    /// Remembers that an object was stored.
    pub(crate) fn add(&self, owner: &[&str], object: &str) {
        let key = self.key(owner, object);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let [recent, older] = &mut *seen;
        if recent.len() >= MOST {
            *older = std::mem::take(recent);
        }
        recent.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_to_its_owner_until_many_others_were_stored() {
        let seen = SeenObjects::default();
        seen.add(&["acme", "entra"], "{}");
        assert!(seen.has(&["acme", "entra"], "{}"));
        assert!(!seen.has(&["acme", "entra"], "{ }"));
        assert!(!seen.has(&["bolt", "entra"], "{}"));
        for number in 0..MOST {
            seen.add(&["acme"], &number.to_string());
        }
        assert!(seen.has(&["acme", "entra"], "{}"));
        for number in 0..=MOST {
            seen.add(&["bolt"], &number.to_string());
        }
        assert!(!seen.has(&["acme", "entra"], "{}"));
    }
}
