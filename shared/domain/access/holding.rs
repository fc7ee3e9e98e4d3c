//! What one person holds of one package. The request, the assignment and a record of the source's log
//! may each have an access record; together they are one holding.

use std::cmp::Reverse;

use crate::access::{access_key::Key, access_record::Access};

impl Access {
    /// How much it knows of a holding, the most first: see [`Key::rank`].
    pub fn rank(&self) -> u8 {
        self.id.parse::<Key>().map_or(0, |key| key.rank())
    }
}

/// Joins what the access records of one holding say. The first by rank and time is the one that is
/// shown, with what only the others know.
pub fn joined(mut group: Vec<Access>) -> Option<Access> {
    group.sort_by_key(|access| Reverse((access.rank(), access.at(), access.id.clone())));
    let mut whole = group.pop()?;
    let is_alone = |access: &&Access| access.rank() == 1;
    // The assignment itself says when it ends. Otherwise the last end counts, and none is the latest.
    let of_assignment = group.iter().find(is_alone).and_then(|access| access.ends_at);
    let strongest = group.iter().filter(|access| access.rank() == whole.rank());
    let latest = strongest.fold(whole.ends_at, |known, access| known?.max(access.ends_at?).into());
    whole.ends_at = of_assignment.or(latest);
    for access in group.iter().rev() {
        whole.starts_at = [whole.starts_at, access.starts_at].into_iter().flatten().min();
        whole.policy = whole.policy.take().or_else(|| access.policy.clone());
        whole.assignment = whole.assignment.take().or_else(|| access.assignment.clone());
    }
    Some(whole)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        access::{
            access_record::{AccessKind, UnderPolicy},
            kept_events::LeftOut,
        },
        time::timestamp::Instant,
    };

    fn access(key: &Key, granted: i64, ends: Option<i64>) -> Access {
        let at = Instant::from_millis;
        let mut access = Access::empty(key, AccessKind::Package, LeftOut::default(), at(granted));
        access.granted_at = Some(at(granted));
        access.starts_at = Some(at(granted));
        access.ends_at = ends.map(at);
        access
    }

    fn request(id: &str) -> Key {
        Key::Request(id.to_owned())
    }

    #[test]
    fn the_request_is_shown_with_what_the_assignment_knows() {
        let policy = UnderPolicy { id: "all".to_owned(), version: None, name: None };
        let mut assignment = access(&Key::of_assignment("a"), 10, Some(90));
        assignment.policy = Some(policy.clone());
        let log = access(&"e:fulfilled".parse().unwrap(), 30, None);
        let whole = joined(vec![log, assignment, access(&request("r"), 20, None)]).unwrap();
        assert_eq!(whole.id, "r:r");
        assert_eq!(whole.policy, Some(policy));
        let millis = |at: Option<Instant>| at.map(Instant::millis);
        assert_eq!((millis(whole.starts_at), millis(whole.ends_at)), (Some(10), Some(90)));
    }

    #[test]
    fn the_first_of_two_requests_is_shown_until_the_last_end() {
        let until = |first: Option<i64>, second: Option<i64>| {
            let group = vec![access(&request("b"), 20, second), access(&request("a"), 10, first)];
            let whole = joined(group).unwrap();
            assert_eq!(whole.id, "r:a");
            whole.ends_at.map(Instant::millis)
        };
        assert_eq!(until(Some(50), Some(90)), Some(90));
        assert_eq!(until(Some(90), Some(50)), Some(90));
        assert_eq!(until(Some(50), None), None);
        assert!(joined(Vec::new()).is_none());
    }
}
