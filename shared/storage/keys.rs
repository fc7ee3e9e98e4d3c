//! Keys: the one place that builds or reads them.
//!
//! | item | pk | sk | index: partition / sort |
//! |---|---|---|---|
//! | event | `tenant#id` | | `by_time`: `day` `tenant#2026-11-22#0` / `at` `occurred_at#id` |
//! | | | | `by_recorded`: `recorded_day` `tenant#2026-11-22#0` / `recorded` `recorded_at#id` |
//! | | | | `by_actor`, `by_subject`: `<field>_key` `tenant#e:value#0` (e-mail, else `i:` id, else `n:` name) / `at` |
//! | | | | `by_account`, `by_target`: `<field>_key` `tenant#n:value#0` (name, else `i:` id, else `e:` e-mail) / `at` |
//! | | | | `by_session`: `session_key` `tenant#i:session#0`, of an event that names none `tenant#r:request_id#0` / `at` |
//! | document | `kind#tenant` | its id | `due`: `kind#0` / `due_at` a time, while something is to be done for it (streams, saved searches with a schedule); of a stream that rests or is worked on `stream_rests#0` |
//! | a document's other name | `kind_alias#tenant` | `e:value` | |
//! | window | `window#tenant` | its id | `due`: `due` `due#0` / `due_at` a time, while something is to be done for it |
//! | open window of an account | `window_open#tenant` | `account#directory`; of the directory's own id `id#directory#id`; of a name that windows may share `account#directory#window` | |
//! | open window of a session | `window_session#tenant` | `session#window` | |
//! | window that is neither closed nor overdue, in the list of those | `window_live#tenant` | its id; `~complete` where no window is missing in this list and the next | |
//! | window that is overdue, in the list of those | `window_overdue#tenant` | its id | |
//! | order to end windows | `window_order#tenant` | its id | `due`: `due` `window_orders` / `due_at` a time, until it is done |
//! | window that an order ended | `window_ended#tenant#its id` | the window's id | |
//! | whether a session has ended, for whatever opens a window of it later | `session_end#tenant` | session | |
//! | event whose window opens later | `booking#tenant` | its id | `due`: `due` `bookings` / `due_at` the time at which its window opens |
//! | tenant that has applications | `tenants` | tenant | |
//! | day on which a tenant has events | `days#tenant` | `occurred#0#2026-11-22` or `recorded#0#…`: index, lane, day | |
//! | whether each such day is marked | `days` | `complete` | |
//! | lease of the sweep | `lease` | `disable` | |
//! | export job | `export#tenant` | its id | `due`: `due` `exports` / `due_at` a time, while something is to be done for it |
//! | the job asked for by a key | `export_key#tenant` | `sub#key` | |
//! | who has places, of which a tenant has only so many | `places#tenant` | what takes them: `exports`, `scheduled_exports`, `stream`, `saved` | |
//! | run of a saved search | `saved_run#tenant#its id` | its time`#`the job's id | |
//! | projection | `access#tenant`, `finding#tenant`, `concern#tenant`, `day#tenant` | its key | `due`: `watch#0` / `due_at` a time, while it is to be looked at again |
//! | row of a day's figures | `day_row#tenant#2026-11` | `22#`its key | |
//! | review | `review#tenant` | its id | `due`: as a projection's, while it is open |
//! | item of a review | `review_item#tenant#review#place` | its id: of an access, of package`/`policy | |
//! | its place in a list | `access_list#tenant#list` | a time`#`its key | |
//! | lease of those that send alerts | `lease` | `alerts` | |
//! | alert to a channel | `alert#tenant` | its id, which begins with a time | `due`: `due` `alerts#tenant#channel` / `due_at` when it was queued, until it has left; to the channel as it was before a change `past_alerts#tenant#channel` / when it was tried last |
//! | queue of a channel | `alert_lane#tenant` | channel | `due`: `due` `alert_lanes` / `due_at` a time at which it is to be looked into |
//! | number of the last late event | `late#tenant` | `last` | |
//! | how far the feed may read | `late#tenant` | `gate` | |
//! | late event | `late#tenant` | `n#`its number | |
//! | the same by when it was recorded | `late_recorded#tenant` | `recorded_at#id` | |
//! | the deployment's own retention, as it was seen last | `deployment` | `retention` |
//! | what a directory may still be asked to write | `budget` | `entra:client#directory` | |
//!
//! A tenant holds no `#`, so a key of one can never be a key of another.
//! The last part is the lane. `0` holds what a listing shows; the service's own hidden events, of which every search adds one,
//! stand in lane `s`, where nobody has to read past them. More lanes can split a busy tenant from a coming day on without
//! moving what is there. Values are case-folded and say which attribute they hold. What stands first is what is asked for: people by
//! their e-mail, accounts and things by their name. Only the first can be asked of the index alone, since an event that has
//! both stands under the first.

use crate::documents::Kind;
use shared_domain::{
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::event::{Event, EventId, Tenant},
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

/// Part of a partition: a listing reads the lanes it needs side by side and puts their events in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What a listing shows.
    Shown,
    /// The service's own events, hidden unless asked for.
    Service,
}

impl Lane {
    /// The lane that an event stands in.
    pub fn of(event: &Event) -> Self {
        if event.action.is_hidden() { Self::Service } else { Self::Shown }
    }
}

/// The partition of a lane.
pub fn in_lane(partition: &str, lane: Lane) -> String {
    let lane = match lane {
        Lane::Shown => '0',
        Lane::Service => 's',
    };
    format!("{partition}#{lane}")
}

/// One UTC day, by its number since 1970; each lane of it is a partition.
pub fn day(tenant: &Tenant, day: i64) -> String {
    format!("{tenant}#{}", date(day))
}

fn date(day: i64) -> String {
    Instant::of_day(day).to_string()[..10].to_owned()
}

/// The partition that says how far the days of the deployment's events are marked.
pub const DAYS: &str = "days";
/// The one item in it.
pub const DAYS_COMPLETE: &str = "complete";

/// An index whose partitions are days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayIndex {
    /// `by_time`.
    Occurred,
    /// `by_recorded`.
    Recorded,
}

/// What says that a tenant has events on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayMarker {
    /// In which index.
    pub index: DayIndex,
    /// In which lane of it.
    pub lane: Lane,
    /// The UTC day, by its number since 1970.
    pub day: i64,
}

impl DayMarker {
    /// The marker's key, which sorts by day within index and lane.
    pub fn key(self, tenant: &Tenant) -> [String; 2] {
        let partition = in_lane(&day(tenant, self.day), self.lane);
        marker(
            tenant,
            self.index,
            partition.rsplit('#').next().unwrap_or_default(),
            &date(self.day),
        )
    }
}

fn marker(tenant: &Tenant, index: DayIndex, lane: &str, date: &str) -> [String; 2] {
    let index = match index {
        DayIndex::Occurred => "occurred",
        DayIndex::Recorded => "recorded",
    };
    [format!("{DAYS}#{tenant}"), format!("{index}#{lane}#{date}")]
}

/// The key of the marker of a partition of that index, as [`in_lane`] makes them of days.
pub fn marker_of_partition(partition: &str, index: DayIndex) -> Option<[String; 2]> {
    let mut parts = partition.split('#');
    let (tenant, date, lane) = (Tenant::new(parts.next()?)?, parts.next()?, parts.next()?);
    Some(marker(&tenant, index, lane, date))
}

/// The day that the sort key of a marker names.
pub fn day_of_marker(sort_key: &str) -> Option<i64> {
    let (_, date) = sort_key.rsplit_once('#')?;
    Some(format!("{date}T00:00:00Z").parse::<Instant>().ok()?.day_number())
}

/// The tenant of a partition of the state table that holds what one tenant has of a kind.
pub fn tenant_of(pk: &str) -> Option<Tenant> {
    let (_, tenant) = pk.split_once('#')?;
    Tenant::new(tenant)
}

/// The partition of a tenant's documents of a kind, in the state table.
pub fn documents(kind: Kind, tenant: &Tenant) -> String {
    format!("{}#{tenant}", kind.as_ref())
}

/// The partition of the queue that a document stands in while something is to be done for it.
pub fn documents_due(kind: Kind, tenant: &Tenant, id: &str) -> String {
    documents_due_in(kind, due_shard(&format!("{tenant}#{id}")))
}

/// One of the partitions of that queue, of which there are [`DUE_SHARDS`].
pub fn documents_due_in(kind: Kind, shard: u64) -> String {
    format!("{}#{shard}", kind.as_ref())
}

/// The partition of the queue of streams that nobody has to come to on the second: those that wait for what is recorded, or are worked on.
pub fn stream_rests(tenant: &Tenant, id: &str) -> String {
    stream_rests_in(due_shard(&format!("{tenant}#{id}")))
}

/// One of the partitions of that queue.
pub fn stream_rests_in(shard: u64) -> String {
    format!("stream_rests#{shard}")
}

/// The partition of their other names.
pub fn aliases(kind: Kind, tenant: &Tenant) -> String {
    format!("{}_alias#{tenant}", kind.as_ref())
}

/// The partition that lists the tenants whose directories are looked after.
pub const TENANTS: &str = "tenants";

/// The partition of a tenant's windows.
pub fn windows(tenant: &Tenant) -> String {
    format!("window#{tenant}")
}

/// The partition that says which window of an account is open.
pub fn open_windows(tenant: &Tenant) -> String {
    format!("window_open#{tenant}")
}

/// How its keys begin for an account. What follows holds no `#`, so a key says one account and one directory.
pub fn account(account: &str) -> String {
    format!("{account}#")
}

/// The partition that lists the windows that are neither closed nor overdue, by their ids.
pub fn live_windows(tenant: &Tenant) -> String {
    format!("window_live#{tenant}")
}

/// The key in that partition which says that no window is missing there or among the overdue ones. It stands behind all ids.
pub const ALL_ARE_LISTED: &str = "~complete";

/// The partition that lists the windows that are overdue, by their ids.
pub fn overdue_windows(tenant: &Tenant) -> String {
    format!("window_overdue#{tenant}")
}

/// The partition that says which open windows a session has.
pub fn session_windows(tenant: &Tenant) -> String {
    format!("window_session#{tenant}")
}

/// How its keys begin for a session. What follows, a window's id, holds no `#`.
pub fn session(session: &str) -> String {
    format!("{session}#")
}

/// The partition of a tenant's orders to end windows.
pub fn window_orders(tenant: &Tenant) -> String {
    format!("window_order#{tenant}")
}

/// The partition that says which windows an order ended.
pub fn windows_ended_by(tenant: &Tenant, order: &str) -> String {
    format!("window_ended#{tenant}#{order}")
}

/// The partition of the queue that orders stand in.
pub const WINDOW_ORDERS_DUE: &str = "window_orders";

/// The partition that says which sessions have ended.
pub fn session_ends(tenant: &Tenant) -> String {
    format!("session_end#{tenant}")
}

/// The partition of the events whose windows open later.
pub fn bookings(tenant: &Tenant) -> String {
    format!("booking#{tenant}")
}

/// The partition of the queue that bookings stand in.
pub const BOOKINGS_DUE: &str = "bookings";

/// How many partitions the queue of what is due has. One takes a thousand writes a second.
pub const DUE_SHARDS: u64 = 4;

/// The partition of the queue that a window stands in.
pub fn due(shard: u64) -> String {
    format!("due#{shard}")
}

/// Which of them that is: a tenant's windows are spread over all.
pub fn due_shard(window: &str) -> u64 {
    window.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
        % DUE_SHARDS
}

/// The partition of a tenant's projections of a kind.
pub fn projections(kind: &str, tenant: &Tenant) -> String {
    format!("{kind}#{tenant}")
}

/// The partition of a list of them.
pub fn list(kind: &str, tenant: &Tenant, list: &str) -> String {
    format!("{kind}_list#{tenant}#{list}")
}

/// The partition of a review's items, of those that were gathered together.
pub fn review_items(tenant: &Tenant, review: &str, place: &str) -> String {
    format!("review_item#{tenant}#{review}#{place}")
}

/// The partition of the queue that a projection stands in while it is to be looked at again.
pub fn watch_due(shard: u64) -> String {
    format!("watch#{shard}")
}

/// The partition of a tenant's export jobs.
pub fn exports(tenant: &Tenant) -> String {
    format!("export#{tenant}")
}

/// The partition that says which job was asked for by which key.
pub fn export_keys(tenant: &Tenant) -> String {
    format!("export_key#{tenant}")
}

/// The partition of a saved search's runs. A tenant holds no `#`, so whatever an id holds, a key says one tenant and one id.
pub fn saved_runs(tenant: &Tenant, id: &str) -> String {
    format!("saved_run#{tenant}#{id}")
}

/// A run's key among them: the time it is for, and the job that it made, if it made one.
pub fn saved_run(at: Instant, job: Option<&str>) -> String {
    format!("{at}#{}", job.unwrap_or_default())
}

/// The partition that says who has places, of which a tenant has only so many.
pub fn places(tenant: &Tenant) -> String {
    format!("places#{tenant}")
}

/// The partition of the queue that jobs stand in.
pub const EXPORTS_DUE: &str = "exports";

/// The partition of a tenant's alerts.
pub fn alerts(tenant: &Tenant) -> String {
    format!("alert#{tenant}")
}

/// The partition of the one queue in which older versions had the alerts to all channels.
pub const ALERTS_OF_OLD: &str = "alerts";

/// The partition of the figures of a day's month, and how the keys of the day's rows begin there.
pub fn day_rows(tenant: &Tenant, day: i64) -> [String; 2] {
    let date = Instant::of_day(day).to_string();
    [format!("day_row#{tenant}#{}", &date[..7]), format!("{}#", &date[8..10])]
}

/// The partition of a tenant's late events.
pub fn late(tenant: &Tenant) -> String {
    format!("late#{tenant}")
}

/// The key there of the number of the last.
pub const LATE_HEAD: &str = "last";

/// The key there of how far the feed may read.
pub const GATE: &str = "gate";

/// The key there of a late event, by its number; of twenty digits, as many as a number can have.
pub fn late_entry(number: u64) -> String {
    format!("n#{number:020}")
}

/// The number of that key.
pub fn read_late_entry(key: &str) -> Option<u64> {
    key.strip_prefix("n#")?.parse().ok()
}

/// The partition of a tenant's late events by when they were recorded; each stands at its position.
pub fn late_recorded(tenant: &Tenant) -> String {
    format!("late_recorded#{tenant}")
}

/// Who leads the sending of alerts.
pub const ALERTS_LEADER: &str = "alerts";
/// Who leads the ending of windows.
pub const WINDOWS_LEADER: &str = "disable";

/// The partition of the queue that the alerts to a channel stand in.
pub fn alerts_to(tenant: &Tenant, channel: &str) -> String {
    format!("alerts#{tenant}#{channel}")
}

/// The same for those that go to the channel as it was before a change.
pub fn alerts_to_past(tenant: &Tenant, channel: &str) -> String {
    format!("past_alerts#{tenant}#{channel}")
}

/// The partition of the queues of a tenant's channels.
pub fn alert_lanes(tenant: &Tenant) -> String {
    format!("alert_lane#{tenant}")
}

/// The partition that those queues stand in.
pub const ALERT_LANES_DUE: &str = "alert_lanes";

/// The partition of what the deployment itself is.
pub const DEPLOYMENT: &str = "deployment";
/// The item in it that holds the retention.
pub const RETENTION: &str = "retention";

/// The partition that says which run leads.
pub const LEASES: &str = "lease";

/// The attributes a person's key is made of, the first that is there. With each the letter that says so.
pub const PERSON: [Part; 3] = [Part::Email, Part::Id, Part::Name];
/// The attributes a thing's key is made of.
pub const THING: [Part; 3] = [Part::Name, Part::Id, Part::Email];

/// What a key of somebody or something is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The e-mail address.
    Email,
    /// The id.
    Id,
    /// The name.
    Name,
}

/// Everything that involves somebody or something whose `part` is `value`; each lane of it is a partition.
pub fn involved(tenant: &Tenant, part: Part, value: &str) -> String {
    let letter = match part {
        Part::Email => 'e',
        Part::Id => 'i',
        Part::Name => 'n',
    };
    format!("{tenant}#{letter}:{}", fold(value))
}

/// Everything that belongs to a request of that id and to no session; each lane of it is a partition.
pub fn request(tenant: &Tenant, id: &str) -> String {
    format!("{tenant}#r:{}", fold(id))
}

/// The same for what an event says of them, by the first of `order` that it says. None where it says none.
pub fn first_of(
    tenant: &Tenant,
    order: [Part; 3],
    id: &Option<String>,
    name: &Option<String>,
    email: &Option<String>,
) -> Option<String> {
    order.into_iter().find_map(|part| {
        let value = match part {
            Part::Email => email,
            Part::Id => id,
            Part::Name => name,
        };
        value.as_deref().map(|value| involved(tenant, part, value))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
}
