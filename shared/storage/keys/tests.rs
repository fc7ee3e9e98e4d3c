//! Tests of keys.

use super::*;
use proptest::prelude::*;
use shared_domain::trail::position::{FeedPlace, Position};

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
        prop_assert_ne!(involved(&a, Part::Id, &value), involved(&b, Part::Id, &other));
        prop_assert_ne!(day(&a, 20_000), day(&b, 20_000));
    }

    #[test]
    fn a_days_marker_is_that_of_its_partition(tenant in tenants(), day in -10_000i64..1_000_000) {
        for (index, lane) in [(DayIndex::Occurred, Lane::Shown), (DayIndex::Recorded, Lane::Service)] {
            let key = DayMarker { index, lane, day }.key(&tenant);
            let partition = in_lane(&super::day(&tenant, day), lane);
            let marker = marker_of_partition(&partition, index);
            prop_assert_eq!(marker, Some(key.clone()));
            prop_assert_eq!(day_of_marker(&key[1]), Some(day));
        }
    }

    #[test]
    fn an_event_key_is_read_back(tenant in tenants(), id in ids()) {
        prop_assert_eq!(read_event(&event(&tenant, &id)), Some((tenant, id)));
    }

    #[test]
    fn positions_sort_as_their_text(a in 0i64..4_000_000_000_000, b in 0i64..4_000_000_000_000, x in ids(), y in ids()) {
        let (a, b) = (Position { at: Instant::from_millis(a), id: x }, Position { at: Instant::from_millis(b), id: y });
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        for late in [None, Some(0), Some(u64::MAX)] {
            let place = FeedPlace { position: a.clone(), late };
            prop_assert_eq!(place.to_string().parse::<FeedPlace>(), Ok(place));
        }
        prop_assert_eq!(a.to_string().parse::<Position>(), Ok(a));
    }
}
