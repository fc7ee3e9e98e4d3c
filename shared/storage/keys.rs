//! The only module that builds and parses keys.
//!
//! | item | pk | sk | index: partition / sort |
//! |---|---|---|---|
//! | event | `tenant#id` | | `by_time`: `day` `tenant#2026-11-22#0` / `at` `occurred_at#id` |
//! | | | | `by_recorded`: `recorded_day` `tenant#2026-11-22#0` / `recorded` `recorded_at#id` |
//! | | | | `by_actor`, `by_subject`: `<field>_key` `tenant#e:value#0` (e-mail, else `i:` id, else `n:` name) / `at` |
//! | | | | `by_account`, `by_target`: `<field>_key` `tenant#n:value#0` (name, else `i:` id, else `e:` e-mail) / `at` |
//! | | | | `by_session`: `session_key` `tenant#i:session#0`, of an event that names none `tenant#r:request_id#0` / `at` |
//! | document | `kind#tenant` | its id | `due`: `kind#0` / `due_at` a time, while it has work to do (streams, connections, saved searches with a schedule, review plans); `stream_rests#0` for a stream that rests or is being processed |
//! | alias of a document | `kind_alias#tenant` | `e:value` | |
//! | latest test of an application | `application_test#tenant` | the application's id | |
//! | user of a connection's directory | `collected_user#tenant#connection` | its id there | |
//! | group of a connection's directory | `collected_group#tenant#connection` | its id there | |
//! | window | `window#tenant` | its id | `due`: `due` `due#0` / `due_at` a time, while it has work to do |
//! | open window of an account | `window_open#tenant` | `account#directory`; `id#directory#id` for the directory's own id; `account#directory#window` for a name that windows may share | |
//! | open window of a session | `window_session#tenant` | `session#window` | |
//! | list entry of a window that is neither closed nor overdue | `window_live#tenant` | its id; `~complete` once this list and the next are complete | |
//! | list entry of an overdue window | `window_overdue#tenant` | its id | |
//! | order to end windows | `window_order#tenant` | its id | `due`: `due` `window_orders` / `due_at` a time, until it is done |
//! | window that an order ended | `window_ended#tenant#its id` | the window's id | |
//! | end of a session, for windows that are opened later | `session_end#tenant` | session | |
//! | event whose window opens later | `booking#tenant` | its id | `due`: `due` `bookings` / `due_at` the time at which its window opens |
//! | tenant that has applications | `tenants` | tenant | |
//! | day on which a tenant has events | `days#tenant` | `occurred#0#2026-11-22` or `recorded#0#…`: index, lane, day | |
//! | whether all such days are marked | `days` | `complete` | |
//! | lease for processing due windows | `lease` | `disable` | |
//! | export job | `export#tenant` | its id | `due`: `due` `exports` / `due_at` a time, while it has work to do |
//! | idempotency key of a job | `export_key#tenant` | `sub#key` | |
//! | limited places and their holders | `places#tenant` | the kind: `exports`, `scheduled_exports`, `stream`, `saved`, `review_plan` | |
//! | run of a saved search | `saved_run#tenant#its id` | its time`#`the job's id | |
//! | projection | `access#tenant`, `finding#tenant`, `concern#tenant`, `day#tenant` | its key | `due`: `watch#0` / `due_at` a time, while a refresh is due |
//! | row of a day's totals | `day_row#tenant#2026-11` | `22#`its key | |
//! | review | `review#tenant` | its id | `due`: as a projection's, while it is open |
//! | item of a review | `review_item#tenant#review#place` | its id: of an access, of package`/`policy | |
//! | its place in a list | `access_list#tenant#list` | a time`#`its key | |
//! | lease for sending alerts | `lease` | `alerts` | |
//! | alert to a channel | `alert#tenant` | its id, which begins with a time | `due`: `due` `alerts#tenant#channel` / `due_at` when it was queued, until it is sent; `past_alerts#tenant#channel` / time of the last attempt for a channel's earlier address |
//! | queue of a channel | `alert_lane#tenant` | channel | `due`: `due` `alert_lanes` / `due_at` when it is due |
//! | number of the last late event | `late#tenant` | `last` | |
//! | gate of the feed | `late#tenant` | `gate` | |
//! | late event | `late#tenant` | `n#`its number | |
//! | late event by recording time | `late_recorded#tenant` | `recorded_at#id` | |
//! | last known retention of the deployment | `deployment` | `retention` |
//! | rate limit of writes to a directory | `budget` | `entra:client#directory` | |
//!
//! A tenant contains no `#`, so keys of different tenants never collide. The last part of a
//! partition is the lane. Lane `0` has the events of normal listings. Lane `s` has the service's
//! own hidden events, of which each search adds one, so that listings need not skip them. More
//! lanes could split a busy tenant from a future day on without moving existing items. Values are
//! case-folded and start with the attribute they come from. A key uses the attribute that people
//! search by: the e-mail address of a person, the name of an account or thing. Only that attribute
//! can be searched through the index alone, because an event that has several is stored under the
//! first.

use shared_domain::{
    configuration::document_kind::DocumentKind,
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

/// A part of a partition. A listing reads the lanes that it needs concurrently and merges their
/// events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Events in normal listings.
    Shown,
    /// The service's own events, which are hidden by default.
    Service,
}

impl Lane {
    pub fn of(event: &Event) -> Self {
        if event.action.is_hidden() { Self::Service } else { Self::Shown }
    }
}

pub fn in_lane(partition: &str, lane: Lane) -> String {
    let lane = match lane {
        Lane::Shown => '0',
        Lane::Service => 's',
    };
    format!("{partition}#{lane}")
}

/// The partition of one UTC day, numbered from 1970, without a lane.
pub fn day(tenant: &Tenant, day: i64) -> String {
    format!("{tenant}#{}", date(day))
}

fn date(day: i64) -> String {
    Instant::of_day(day).to_string()[..10].to_owned()
}

/// The partition of the state of day markers.
pub const DAYS: &str = "days";
/// Its only item.
pub const DAYS_COMPLETE: &str = "complete";

/// An index with one partition per day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayIndex {
    Occurred,
    Recorded,
}

/// A marker for a day on which a tenant has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayMarker {
    pub index: DayIndex,
    pub lane: Lane,
    /// The UTC day, numbered from 1970.
    pub day: i64,
}

impl DayMarker {
    /// The marker's key. It sorts by day within index and lane.
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

/// The key of the marker for a partition that [`in_lane`] returned for a day.
pub fn marker_of_partition(partition: &str, index: DayIndex) -> Option<[String; 2]> {
    let mut parts = partition.split('#');
    let (tenant, date, lane) = (Tenant::new(parts.next()?)?, parts.next()?, parts.next()?);
    Some(marker(&tenant, index, lane, date))
}

/// The day in the sort key of a marker.
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
pub fn documents(kind: DocumentKind, tenant: &Tenant) -> String {
    format!("{}#{tenant}", kind.word)
}

/// The partition of the queue that contains a due document.
pub fn documents_due(kind: DocumentKind, tenant: &Tenant, id: &str) -> String {
    documents_due_in(kind, due_shard(&format!("{tenant}#{id}")))
}

/// One of the [`DUE_SHARDS`] partitions of that queue.
pub fn documents_due_in(kind: DocumentKind, shard: u64) -> String {
    format!("{}#{shard}", kind.word)
}

/// The partition of the queue of streams without an urgent due time: those that wait for events, or
/// are being processed.
pub fn stream_rests(tenant: &Tenant, id: &str) -> String {
    stream_rests_in(due_shard(&format!("{tenant}#{id}")))
}

/// One of the partitions of that queue.
pub fn stream_rests_in(shard: u64) -> String {
    format!("stream_rests#{shard}")
}

/// The partition of the latest tests of applications.
pub fn application_tests(tenant: &Tenant) -> String {
    format!("application_test#{tenant}")
}

/// The partition of the users that a connection has collected. A tenant contains no `#`, so a key
/// identifies one tenant and one connection.
pub fn collected_users(tenant: &Tenant, connection: &str) -> String {
    format!("collected_user#{tenant}#{connection}")
}

/// The partition of the groups that a connection has collected.
pub fn collected_groups(tenant: &Tenant, connection: &str) -> String {
    format!("collected_group#{tenant}#{connection}")
}

/// The partition of the aliases of documents.
pub fn aliases(kind: DocumentKind, tenant: &Tenant) -> String {
    format!("{}_alias#{tenant}", kind.word)
}

/// The partition of the tenants with directories to check.
pub const TENANTS: &str = "tenants";

/// The partition of a tenant's windows.
pub fn windows(tenant: &Tenant) -> String {
    format!("window#{tenant}")
}

/// The partition of the open windows of accounts.
pub fn open_windows(tenant: &Tenant) -> String {
    format!("window_open#{tenant}")
}

/// The start of its keys for an account. The rest contains no `#`, so a key identifies one account
/// and one directory.
pub fn account(account: &str) -> String {
    format!("{account}#")
}

/// The key of the open window of an account in a directory.
pub fn open_window(account: &str, directory: &str) -> String {
    format!("{}{directory}", self::account(account))
}

/// The same for the account's id in the directory. Ids are case-sensitive, and no name has this
/// form.
pub fn open_window_by_id(id: &str, directory: &str) -> String {
    format!("{}#id", open_window(id, directory))
}

/// The same for a name that several windows may share.
pub fn open_window_by_shared_name(name: &str, directory: &str, window: &str) -> String {
    format!("{}#{window}", open_window(name, directory))
}

/// The partition that lists windows that are neither closed nor overdue, by id.
pub fn live_windows(tenant: &Tenant) -> String {
    format!("window_live#{tenant}")
}

/// The key in that partition that marks this list and that of overdue windows as complete. It sorts
/// after all ids.
pub const ALL_ARE_LISTED: &str = "~complete";

/// The partition that lists the windows that are overdue, by their ids.
pub fn overdue_windows(tenant: &Tenant) -> String {
    format!("window_overdue#{tenant}")
}

/// The partition of the open windows of sessions.
pub fn session_windows(tenant: &Tenant) -> String {
    format!("window_session#{tenant}")
}

/// The start of its keys for a session. The rest, a window's id, contains no `#`.
pub fn session(session: &str) -> String {
    format!("{session}#")
}

/// The key of a session's open window.
pub fn session_window(session: &str, window: &str) -> String {
    format!("{}{window}", self::session(session))
}

/// The partition of a tenant's orders to end windows.
pub fn window_orders(tenant: &Tenant) -> String {
    format!("window_order#{tenant}")
}

/// The partition of the windows that an order ended.
pub fn windows_ended_by(tenant: &Tenant, order: &str) -> String {
    format!("window_ended#{tenant}#{order}")
}

/// The partition of the queue of orders.
pub const WINDOW_ORDERS_DUE: &str = "window_orders";

/// The partition of the ends of sessions.
pub fn session_ends(tenant: &Tenant) -> String {
    format!("session_end#{tenant}")
}

/// The partition of the events whose windows open later.
pub fn bookings(tenant: &Tenant) -> String {
    format!("booking#{tenant}")
}

/// The partition of the queue of bookings.
pub const BOOKINGS_DUE: &str = "bookings";

/// Number of partitions of the queue of due items. One partition accepts a thousand writes a
/// second.
pub const DUE_SHARDS: u64 = 4;

/// A partition of the queue of windows.
pub fn due(shard: u64) -> String {
    format!("due#{shard}")
}

/// The partition for a window. A tenant's windows are spread over all of them.
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

/// The place of a projection in a list.
pub fn list_place(at: Instant, key: &str) -> String {
    format!("{at}#{key}")
}

/// The time and the projection's key of a place in a list.
pub fn read_list_place(place: &str) -> Option<(Instant, &str)> {
    let (at, key) = place.split_once('#')?;
    Some((at.parse().ok()?, key))
}

/// The partition of a review's items that were collected together.
pub fn review_items(tenant: &Tenant, review: &str, place: &str) -> String {
    format!("review_item#{tenant}#{review}#{place}")
}

/// A partition of the queue of projections that are due for a refresh.
pub fn watch_due(shard: u64) -> String {
    format!("watch#{shard}")
}

/// The partition of a tenant's export jobs.
pub fn exports(tenant: &Tenant) -> String {
    format!("export#{tenant}")
}

/// The partition of the idempotency keys of jobs.
pub fn export_keys(tenant: &Tenant) -> String {
    format!("export_key#{tenant}")
}

/// The partition of a saved search's runs. A tenant contains no `#`, so a key identifies one tenant
/// and one id.
pub fn saved_runs(tenant: &Tenant, id: &str) -> String {
    format!("saved_run#{tenant}#{id}")
}

/// The key of a run: its planned time, and its job if there is one.
pub fn saved_run(at: Instant, job: Option<&str>) -> String {
    format!("{at}#{}", job.unwrap_or_default())
}

/// The partition of limited places and their holders.
pub fn places(tenant: &Tenant) -> String {
    format!("places#{tenant}")
}

/// The partition of the queue of jobs.
pub const EXPORTS_DUE: &str = "exports";

/// The partition of a tenant's alerts.
pub fn alerts(tenant: &Tenant) -> String {
    format!("alert#{tenant}")
}

/// The partition of the queue of all alerts in older versions.
pub const ALERTS_OF_OLD: &str = "alerts";

/// The partition with a day's totals, one for each month, and the prefix of the day's rows.
pub fn day_rows(tenant: &Tenant, day: i64) -> [String; 2] {
    let date = Instant::of_day(day).to_string();
    [format!("day_row#{tenant}#{}", &date[..7]), format!("{}#", &date[8..10])]
}

/// The partition of a tenant's late events.
pub fn late(tenant: &Tenant) -> String {
    format!("late#{tenant}")
}

/// The key of the number of the last late event.
pub const LATE_HEAD: &str = "last";

/// The key of the feed's gate.
pub const GATE: &str = "gate";

/// The key of a late event, by its number with 20 digits, as many as any number has.
pub fn late_entry(number: u64) -> String {
    format!("n#{number:020}")
}

pub fn read_late_entry(key: &str) -> Option<u64> {
    key.strip_prefix("n#")?.parse().ok()
}

/// The partition of a tenant's late events by recording time; the sort key is the position.
pub fn late_recorded(tenant: &Tenant) -> String {
    format!("late_recorded#{tenant}")
}

/// Who leads the sending of alerts.
pub const ALERTS_LEADER: &str = "alerts";
/// Who leads the ending of windows.
pub const WINDOWS_LEADER: &str = "disable";

/// The partition of the queue of alerts to a channel.
pub fn alerts_to(tenant: &Tenant, channel: &str) -> String {
    format!("alerts#{tenant}#{channel}")
}

/// The same for alerts to the channel's earlier address.
pub fn alerts_to_past(tenant: &Tenant, channel: &str) -> String {
    format!("past_alerts#{tenant}#{channel}")
}

/// The partition of the lanes of a tenant's channels.
pub fn alert_lanes(tenant: &Tenant) -> String {
    format!("alert_lane#{tenant}")
}

/// The partition of the queue of due lanes.
pub const ALERT_LANES_DUE: &str = "alert_lanes";

/// The partition of facts about the deployment.
pub const DEPLOYMENT: &str = "deployment";
/// The item with the deployment's retention.
pub const RETENTION: &str = "retention";

/// The partition of leases.
pub const LEASES: &str = "lease";

/// A person's key uses the first of these parts that the event has.
pub const PERSON: [Part; 3] = [Part::Email, Part::Id, Part::Name];
/// The same for things.
pub const THING: [Part; 3] = [Part::Name, Part::Id, Part::Email];

/// The part of a party that a key uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Email,
    Id,
    Name,
}

/// The partition of the events that involve a party whose `part` is `value`, without a lane.
pub fn involved(tenant: &Tenant, part: Part, value: &str) -> String {
    let letter = match part {
        Part::Email => 'e',
        Part::Id => 'i',
        Part::Name => 'n',
    };
    format!("{tenant}#{letter}:{}", fold(value))
}

/// The partition of the events with that request id and without a session, without a lane.
pub fn request(tenant: &Tenant, id: &str) -> String {
    format!("{tenant}#r:{}", fold(id))
}

/// The partition for a party of an event, by the first part in `order` that it has. None if it has
/// none.
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
mod tests;
