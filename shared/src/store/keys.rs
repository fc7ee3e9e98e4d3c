//! Keys: the one place that builds or reads them.
//!
//! | item | pk | sk | index: partition / sort |
//! |---|---|---|---|
//! | event | `tenant#id` | | `by_time`: `day` `tenant#2026-11-22#0` / `at` `occurred_at#id` |
//! | | | | `by_recorded`: `recorded_day` `tenant#2026-11-22#0` / `recorded` `recorded_at#id` |
//! | | | | `by_actor`, `by_subject`, `by_account`, `by_target`: `<field>_key` `tenant#e:value#0` / `at` |
//! | | | | `by_session`: `session_key` `tenant#i:value#0` / `at` |
//!
//! A tenant holds no `#`, so everything before the first one is the tenant: a key of one can never be a key of another.
//! The last part is the shard, 0 from the first day, so that a busy tenant can be split from a coming day on without moving
//! what is there. Values are case-folded and say which attribute they hold: `e:` e-mail, else `i:` id, else `n:` name.

use crate::{
    event::{EventId, Tenant},
    folding::fold,
    instant::Instant,
};

/// An event's own key.
pub fn event(tenant: &Tenant, id: &EventId) -> String {
    format!("{tenant}#{id}")
}

/// The tenant and id of an event's key.
pub fn read_event(key: &str) -> Option<(Tenant, EventId)> {
    let (tenant, id) = key.split_once('#')?;
    Some((Tenant::new(tenant)?, EventId::new(id)?))
}

/// The partition of one UTC day, by its number since 1970.
pub fn day(tenant: &Tenant, day: i64) -> String {
    let date = Instant::of_day(day).to_string();
    format!("{tenant}#{}#0", &date[..10])
}

/// A place among events ordered by a time: the time, then the id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The time.
    pub at: Instant,
    /// The id, which decides between events of the same millisecond.
    pub id: EventId,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.at, self.id)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('#').ok_or(())?;
        Ok(Self { at: at.parse().map_err(|_| ())?, id: EventId::new(id).ok_or(())? })
    }
}

/// The partition of everything that involves one person or thing. None where it is not named at all.
pub fn involved(tenant: &Tenant, id: Option<&str>, name: Option<&str>, email: Option<&str>) -> Option<String> {
    let (kind, value) = match (email, id, name) {
        (Some(email), _, _) => ('e', email),
        (None, Some(id), _) => ('i', id),
        (None, None, Some(name)) => ('n', name),
        (None, None, None) => return None,
    };
    Some(format!("{tenant}#{kind}:{}#0", fold(value)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenants() -> impl Strategy<Value = Tenant> {
        "[A-Za-z0-9_-]{1,64}".prop_map(|name| Tenant::new(&name).unwrap())
    }

    fn ids() -> impl Strategy<Value = EventId> {
        "[A-Za-z0-9_-]{1,128}".prop_map(|id| EventId::new(&id).unwrap())
    }

    proptest! {
        #[test]
        fn keys_of_different_tenants_never_meet(a in tenants(), b in tenants(), value in "[#:a-z0-9]{0,20}", other in "[#:a-z0-9]{0,20}") {
            prop_assume!(a != b);
            prop_assert_ne!(involved(&a, Some(&value), None, None), involved(&b, Some(&other), None, None));
            prop_assert_ne!(day(&a, 20_000), day(&b, 20_000));
        }

        #[test]
        fn an_event_key_is_read_back(tenant in tenants(), id in ids()) {
            prop_assert_eq!(read_event(&event(&tenant, &id)), Some((tenant, id)));
        }

        #[test]
        fn positions_sort_as_their_text(a in 0i64..4_000_000_000_000, b in 0i64..4_000_000_000_000, x in ids(), y in ids()) {
            let (a, b) = (Position { at: Instant::from_millis(a), id: x }, Position { at: Instant::from_millis(b), id: y });
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().parse::<Position>(), Ok(a));
        }
    }
}
