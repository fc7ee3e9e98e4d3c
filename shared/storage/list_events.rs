//! Lists events through an index. Listings, searches and the feed use the same reader.

use shared_domain::trail::search::{Order, Range};
use std::{collections::VecDeque, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Database, ReadError, TenantScope,
    attributes::text,
    dynamodb_json::{self, Key, Page},
    event_item,
    keys::{self, DayIndex, Lane},
    retry,
};
use shared_domain::{
    time::timestamp::Instant,
    trail::{event::Recorded, event_validation::MAX_AHEAD, position::Position},
};

/// Maximum number of partitions read concurrently. A range starts with one, which is usually
/// enough, and doubles while partitions have few events.
const AT_ONCE: usize = 32;
/// Maximum number of rows requested concurrently, to bound memory.
const ROWS_AT_ONCE: usize = 4096;
/// Maximum number of concurrent partitions when whole megabytes are read from each, to bound
/// memory.
const LARGE_AT_ONCE: usize = 4;
/// The same while days have hardly any events: ten quiet years are thousands of days.
const THIN_AT_ONCE: usize = 16;
/// Rows of a page when all are wanted. Pages in flight take several times their length in memory.
const ROWS_OF_ALL: i32 = 512;
/// A range of at most this many days is read without looking up which days have events.
const FEW_DAYS: i64 = 4;
/// Days with events that are looked up first, and afterwards. A page mostly ends within the first
/// ones.
const SOME_DAYS: i32 = 32;
const MANY_DAYS: i32 = 1000;
/// Fewer rows than this are hardly any.
const THIN: usize = 16;

/// Events that are checked before concurrent reads continue: a function has one thread.
const JUDGED_AT_ONCE: u64 = 64;

/// How far events may be ahead of our clock: the tolerance of ingestion and one minute between two
/// of our clocks.
const LATEST: Duration = MAX_AHEAD.saturating_add(Duration::from_secs(60));

/// How events are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    /// All events by time of occurrence; the index contains whole events.
    ByTime,
    /// All events by time of recording.
    ByRecorded,
    /// Those that involve somebody or something, by when they occurred.
    Involved {
        /// The index.
        name: &'static str,
        /// Its partition attribute.
        key: &'static str,
        /// The partition.
        partition: String,
    },
}

/// How much is read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// About this many events are wanted, and most of the events that are read.
    Items(usize),
    /// Few of the events that are read are wanted: pages are as large as DynamoDB allows.
    Megabytes,
    /// All events are wanted, by a consumer with little memory that takes longer for a row than the
    /// read does.
    All,
}

/// Events of a range, read in order on demand. Events that are added meanwhile do not shift later
/// ones.
pub struct Listing<'t> {
    lanes: Vec<InLane<'t>>,
    /// Events returned so far, shown or not.
    pub scanned: u64,
    /// The position of the last returned event.
    pub position: Option<Position>,
}

struct InLane<'t> {
    scope: &'t TenantScope<'t>,
    index: Index,
    /// The bounds of the sort key, both inclusive.
    low: String,
    high: String,
    order: Order,
    after: Option<Position>,
    pace: Pace,
    lane: Lane,
    /// Partitions of which nothing is read yet.
    partitions: VecDeque<String>,
    /// The first and last day after those, for an index by day.
    days: Option<(i64, i64)>,
    /// Number of days that have become partitions so far.
    days_read: usize,
    at_once: usize,
    /// Whether the last page had hardly any rows.
    is_thin: bool,
    /// Started reads of partitions, in order.
    ahead: VecDeque<Reading>,
    /// The rest of the current partition.
    rest: Option<Rest>,
    /// Keys of the next events, which are not read yet.
    keys: VecDeque<String>,
    ready: VecDeque<Recorded>,
    /// The next event, if it was looked at already.
    head: Option<(Position, Recorded)>,
}

/// A partition that is being read. Reading continues a page or two ahead of the checks, and stops
/// when the reader is dropped.
struct Reading {
    partition: String,
    pages: mpsc::Receiver<Result<Rows, ReadError>>,
    task: AbortOnDropHandle<()>,
}

/// A page of a partition.
struct Rows {
    /// Events, if the index contains whole events. They take half the memory of their items.
    events: Vec<Recorded>,
    /// Otherwise their keys.
    keys: Vec<String>,
    /// The start of the next page, if there is one.
    next: Option<Key>,
}

/// The rest of the current partition.
enum Rest {
    /// Read on demand.
    Unread(String, Key),
    Reading(Reading),
}

impl TenantScope<'_> {
    pub fn list(&self, index: Index, range: Range, pace: Pace, lanes: &[Lane]) -> Listing<'_> {
        let lanes = lanes
            .iter()
            .map(|lane| self.list_lane(index.clone(), range.clone(), pace, *lane))
            .collect();
        Listing { lanes, scanned: 0, position: None }
    }

    fn list_lane(&self, index: Index, range: Range, pace: Pace, lane: Lane) -> InLane<'_> {
        let Self { now, settings, .. } = self;
        // Events past their retention are not read. An event cannot be recorded before it occurs,
        // except with a clock that is ahead.
        let mut since = range.since.max(now.minus(settings.reach(*now)).minus(LATEST));
        let mut until = range.until.min(now.plus(LATEST));
        if let Some(after) = &range.after {
            match range.order {
                Order::Descending => until = until.min(Instant::from_millis(after.at.millis() + 1)),
                Order::Ascending => since = since.max(after.at),
            }
        }
        let first = since.day_number();
        let last = if since < until {
            Instant::from_millis(until.millis() - 1).day_number()
        } else {
            first - 1
        };
        let (mut partitions, mut days) = (VecDeque::new(), None);
        if first <= last {
            match &index {
                Index::Involved { partition, .. } => {
                    partitions.push_back(keys::in_lane(partition, lane))
                }
                Index::ByTime | Index::ByRecorded => days = Some((first, last)),
            }
        }
        InLane {
            scope: self,
            index,
            // A sort key is a time, `#` and an id, so a time alone sorts before all events of its
            // millisecond.
            low: since.to_string(),
            high: until.to_string(),
            order: range.order,
            after: range.after,
            pace,
            lane,
            partitions,
            days,
            days_read: 0,
            at_once: 1,
            is_thin: false,
            ahead: VecDeque::new(),
            rest: None,
            keys: VecDeque::new(),
            ready: VecDeque::new(),
            head: None,
        }
    }
}

impl Listing<'_> {
    pub fn order(&self) -> Order {
        self.lanes.first().map_or(Order::Descending, |lane| lane.order)
    }

    /// The next event; none at the end.
    pub async fn next(&mut self) -> Result<Option<Recorded>, ReadError> {
        loop {
            // The lane with the first next event.
            let mut first: Option<(usize, Position)> = None;
            for (place, lane) in self.lanes.iter_mut().enumerate() {
                let order = lane.order;
                let Some(position) = lane.peek().await? else { continue };
                let comes_first = first.as_ref().is_none_or(|(_, other)| match order {
                    Order::Descending => position > other,
                    Order::Ascending => position < other,
                });
                if comes_first {
                    first = Some((place, position.clone()));
                }
            }
            let Some((place, position)) = first else { return Ok(None) };
            let lane = &mut self.lanes[place];
            let Some((_, recorded)) = lane.head.take() else { continue };
            self.scanned += 1;
            if self.scanned.is_multiple_of(JUDGED_AT_ONCE) {
                tokio::task::yield_now().await;
            }
            let is_wanted = lane.is_beyond(&position) && lane.scope.shows(&recorded);
            self.position = Some(position);
            if is_wanted {
                return Ok(Some(recorded));
            }
        }
    }

    /// Whether more events follow, without reading them fully.
    pub async fn goes_on(&mut self) -> Result<bool, ReadError> {
        for lane in &mut self.lanes {
            if lane.head.is_some() || lane.has_rows().await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Rows {
    /// The content of an index page: whole events or keys.
    fn of(page: Page, is_whole: bool) -> Result<Self, ReadError> {
        let Page { items, next } = page;
        if is_whole {
            let events = items.into_iter().map(event_item::read).collect::<Result<_, _>>()?;
            return Ok(Self { events, keys: Vec::new(), next });
        }
        let keys = items.into_iter().filter_map(|mut row| event_item::key_of(&mut row)).collect();
        Ok(Self { events: Vec::new(), keys, next })
    }
}

impl InLane<'_> {
    /// The position of the next event; none at the end.
    async fn peek(&mut self) -> Result<Option<&Position>, ReadError> {
        while self.head.is_none() {
            if let Some(recorded) = self.ready.pop_front() {
                self.head = Some((self.position_of(&recorded), recorded));
            } else if !self.has_rows().await? {
                break;
            } else if !self.keys.is_empty() {
                self.ready = self.take_keys().await?;
            }
        }
        Ok(self.head.as_ref().map(|(position, _)| position))
    }

    fn position_of(&self, recorded: &Recorded) -> Position {
        let at = match self.index {
            Index::ByRecorded => recorded.recorded_at,
            Index::ByTime | Index::Involved { .. } => recorded.event.occurred_at,
        };
        Position { at, id: recorded.event.id.clone() }
    }

    fn is_beyond(&self, position: &Position) -> bool {
        self.after.as_ref().is_none_or(|after| match self.order {
            Order::Descending => position < after,
            Order::Ascending => position > after,
        })
    }

    /// Reads the events of the next keys, in order.
    async fn take_keys(&mut self) -> Result<VecDeque<Recorded>, ReadError> {
        let count = self.keys.len().min(crate::get_events::KEYS);
        let keys: Vec<_> = self.keys.drain(..count).collect();
        let mut found = self.scope.events_by_key(keys.clone()).await?;
        // An event that is in the index but not in the table has just expired.
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }

    /// Reads until there are rows; false at the end.
    async fn has_rows(&mut self) -> Result<bool, ReadError> {
        while self.ready.is_empty() && self.keys.is_empty() {
            let reading = match self.rest.take() {
                Some(Rest::Reading(reading)) => reading,
                Some(Rest::Unread(partition, next)) => self.read(partition, Some(next)),
                None => {
                    if self.ahead.is_empty() {
                        self.find_days().await?;
                        self.read_ahead();
                    }
                    let Some(reading) = self.ahead.pop_front() else { return Ok(false) };
                    reading
                }
            };
            let Reading { partition, mut pages, task } = reading;
            let Some(page) = pages.recv().await else {
                // The partition was read to its end, or the task panicked. A panic must not look
                // like an end.
                if let Err(panic) = task.await {
                    std::panic::resume_unwind(panic.into_panic());
                }
                continue;
            };
            let Rows { events, keys, next } = page?;
            self.is_thin = events.len() + keys.len() < THIN;
            self.ready.extend(events);
            self.keys.extend(keys);
            match self.pace {
                Pace::Items(_) => self.rest = next.map(|next| Rest::Unread(partition, next)),
                Pace::Megabytes | Pace::All => {
                    self.rest = Some(Rest::Reading(Reading { partition, pages, task }));
                    // All events are wanted, so further reads run while these rows are processed.
                    self.find_days().await?;
                    self.read_ahead();
                }
            }
        }
        Ok(true)
    }

    /// Adds partitions for the next days that may have events, once reads of all earlier ones are
    /// started.
    async fn find_days(&mut self) -> Result<(), ReadError> {
        while self.partitions.is_empty()
            && let Some((first, last)) = self.days.take()
        {
            // The newest days usually contain what a listing needs, and reading a few more costs
            // less than looking up which days have events.
            let count = last - first + 1;
            let today = self.scope.now.day_number();
            let (from, to) = match self.order {
                _ if count <= FEW_DAYS => (first, last),
                Order::Descending if last > today - 1 => (last - FEW_DAYS + 1, last),
                _ => (first, first - 1),
            };
            if from <= to {
                self.days = match self.order {
                    Order::Descending => Some((first, from - 1)),
                    Order::Ascending => Some((to + 1, last)),
                };
                self.add_days((from..=to).collect());
            } else {
                let index = match self.index {
                    Index::ByRecorded => DayIndex::Recorded,
                    Index::ByTime | Index::Involved { .. } => DayIndex::Occurred,
                };
                let limit = if self.days_read <= FEW_DAYS as usize { SOME_DAYS } else { MANY_DAYS };
                let found = self
                    .scope
                    .days_with_events((index, self.lane), (first, last), self.order, limit)
                    .await?;
                match found {
                    None => self.add_days((first..=last).collect()),
                    Some((days, goes_on)) => {
                        self.days = match (days.iter().min(), days.iter().max(), self.order) {
                            (Some(min), _, Order::Descending) if goes_on => Some((first, min - 1)),
                            (_, Some(max), Order::Ascending) if goes_on => Some((max + 1, last)),
                            _ => None,
                        };
                        self.add_days(days);
                    }
                }
            }
            self.days = self.days.filter(|(first, last)| first <= last);
        }
        Ok(())
    }

    fn add_days(&mut self, mut days: Vec<i64>) {
        days.sort_unstable();
        if self.order == Order::Descending {
            days.reverse();
        }
        self.days_read += days.len();
        let tenant = &self.scope.tenant;
        let partition = |day| keys::in_lane(&keys::day(tenant, day), self.lane);
        self.partitions.extend(days.into_iter().map(partition));
    }

    /// Starts reading the next partitions: one first, then doubling.
    fn read_ahead(&mut self) {
        let most = match self.pace {
            Pace::Megabytes if self.is_thin => THIN_AT_ONCE,
            Pace::Megabytes => LARGE_AT_ONCE,
            Pace::All if self.is_thin => LARGE_AT_ONCE,
            Pace::All => 1,
            Pace::Items(count) => (ROWS_AT_ONCE / (count + 1)).clamp(1, AT_ONCE),
        };
        while self.ahead.len() < self.at_once.min(most)
            && let Some(partition) = self.partitions.pop_front()
        {
            self.ahead.push_back(self.read(partition, None));
        }
        self.at_once = (self.at_once * 2).min(most);
    }

    /// Starts reading a partition: one page, or all of it in [`Pace::All`].
    fn read(&self, partition: String, start: Option<Key>) -> Reading {
        let (index, key, sort) = match &self.index {
            Index::ByTime => ("by_time", "day", "at"),
            Index::ByRecorded => ("by_recorded", "recorded_day", "recorded"),
            Index::Involved { name, key, .. } => (*name, *key, "at"),
        };
        let Database { client, events, .. } = self.scope.database;
        let call = client
            .query()
            .table_name(events)
            .index_name(index)
            .key_condition_expression("#partition = :partition AND #sort BETWEEN :low AND :high")
            .expression_attribute_names("#partition", key)
            .expression_attribute_names("#sort", sort)
            .expression_attribute_values(":partition", text(&partition))
            .expression_attribute_values(":low", text(&self.low))
            .expression_attribute_values(":high", text(&self.high))
            .scan_index_forward(self.order == Order::Ascending)
            .set_limit(match self.pace {
                // One more than wanted shows whether anything follows, and the row at which an
                // earlier page ended is read again. If a partition continues after that, few of its
                // events match, so the next page is as large as DynamoDB allows.
                Pace::Items(count) if start.is_none() => {
                    i32::try_from(count + 1 + usize::from(self.after.is_some())).ok()
                }
                Pace::Items(_) | Pace::Megabytes => None,
                Pace::All => Some(ROWS_OF_ALL),
            });
        let (deadline, pace, is_whole) =
            (self.scope.deadline, self.pace, self.index == Index::ByTime);
        let (sender, pages) = mpsc::channel(1);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut start = start;
            loop {
                // With little memory there is only one page in flight, not two.
                if pace == Pace::All && sender.reserve().await.is_err() {
                    break;
                }
                let call = call.clone().set_exclusive_start_key(start.take());
                let page = retry(deadline, || dynamodb_json::query(call.clone())).await;
                let rows = page.map_err(ReadError::from).and_then(|page| Rows::of(page, is_whole));
                start = rows.as_ref().ok().and_then(|rows| rows.next.clone());
                let is_wanted = sender.send(rows).await.is_ok();
                if start.is_none() || !is_wanted || matches!(pace, Pace::Items(_)) {
                    break;
                }
            }
        }));
        Reading { partition, pages, task }
    }
}
