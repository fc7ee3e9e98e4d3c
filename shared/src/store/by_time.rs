//! Which events occurred in this range, in order?

use std::{collections::VecDeque, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant as Deadline;

use crate::{
    event::{Recorded, Tenant},
    instant::Instant,
    intake::MAX_AHEAD,
    store::{
        Pauses, ReadError, Store,
        item::{self, Item},
        keys::{self, Position},
    },
};

/// Days read side by side at most. A range begins with one, which is mostly enough, and doubles while they are thin.
const DAYS_AT_ONCE: usize = 32;

/// How far ahead of our clock events can be: what intake lets in, and a minute by which two of our clocks may differ.
const LATEST: Duration = MAX_AHEAD.saturating_add(Duration::from_secs(60));

/// Which way a listing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    Descending,
    /// Oldest first.
    Ascending,
}

/// A range of `occurred_at`.
#[derive(Clone, Debug)]
pub struct Range {
    /// The first moment in it.
    pub since: Instant,
    /// The first moment after it.
    pub until: Instant,
    /// Which way it is read.
    pub order: Order,
    /// Where an earlier page ended: what follows it is read.
    pub after: Option<Position>,
}

/// Events of one range, read in order as far as they are wanted. Nothing added meanwhile shifts what is still to come.
pub struct ByTime<'s> {
    store: &'s Store,
    tenant: &'s Tenant,
    now: Instant,
    deadline: Deadline,
    /// The bounds of the sort key still to be read, both within it.
    low: String,
    high: String,
    order: Order,
    after: Option<Position>,
    days: VecDeque<i64>,
    ready: VecDeque<Item>,
    begun: VecDeque<Begun>,
    page: i32,
    at_once: usize,
    /// Items taken so far, shown or not.
    pub scanned: u64,
    /// Where the last item taken stands.
    pub position: Option<Position>,
}

/// A day of which a page was read.
struct Begun {
    day: i64,
    /// The page's items, until they are taken.
    items: Option<Vec<Item>>,
    /// Where the day goes on, if it does.
    next: Option<Item>,
}

impl Store {
    /// Reads the tenant's events of `range`, `page` items a call.
    pub fn events_by_time<'s>(
        &'s self,
        tenant: &'s Tenant,
        range: Range,
        page: i32,
        now: Instant,
        deadline: Deadline,
    ) -> ByTime<'s> {
        // What is past its retention is not even read.
        let mut since = range.since.max(now.minus(self.retention));
        let mut until = range.until.min(now.plus(LATEST));
        if let Some(after) = &range.after {
            match range.order {
                Order::Descending => until = until.min(Instant::from_millis(after.at.millis() + 1)),
                Order::Ascending => since = since.max(after.at),
            }
        }
        let first = since.day_number();
        let last = if since < until { Instant::from_millis(until.millis() - 1).day_number() } else { first - 1 };
        ByTime {
            store: self,
            tenant,
            now,
            deadline,
            // A sort key is a time, `#` and an id, so a bare time stands before all events of its millisecond.
            low: since.to_string(),
            high: until.to_string(),
            order: range.order,
            after: range.after,
            days: match range.order {
                Order::Descending => (first..=last).rev().collect(),
                Order::Ascending => (first..=last).collect(),
            },
            ready: VecDeque::new(),
            begun: VecDeque::new(),
            page,
            at_once: 1,
            scanned: 0,
            position: None,
        }
    }
}

impl ByTime<'_> {
    /// The next event, none at the end.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn next(&mut self) -> Result<Option<Recorded>, ReadError> {
        loop {
            while let Some(item) = self.ready.pop_front() {
                self.scanned += 1;
                let recorded = item::read(item)?;
                self.position = Some(Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() });
                if self.is_wanted(&recorded) {
                    return Ok(Some(recorded));
                }
            }
            if !self.read_on().await? {
                return Ok(None);
            }
        }
    }

    fn is_wanted(&self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let beyond = self.after.as_ref().is_none_or(|after| {
            let here = (event.occurred_at, &event.id);
            match self.order {
                Order::Descending => here < (after.at, &after.id),
                Order::Ascending => here > (after.at, &after.id),
            }
        });
        beyond && self.store.shows(event.occurred_at, recorded.expires_at, self.now)
    }

    /// Reads more into `ready`; false at the end.
    async fn read_on(&mut self) -> Result<bool, ReadError> {
        if let Some(Begun { day, items, next }) = self.begun.pop_front() {
            let begun = match (items, next) {
                // What is there comes first; the rest of the day is read only when it is asked for.
                (Some(items), next) => {
                    self.ready.extend(items);
                    Begun { day, items: None, next }
                }
                (None, next) => self.read_day(day, next).await?,
            };
            if begun.items.is_some() || begun.next.is_some() {
                self.begun.push_front(begun);
            }
            return Ok(true);
        }
        if self.days.is_empty() {
            return Ok(false);
        }
        let days: Vec<_> = self.days.drain(..self.at_once.min(self.days.len())).collect();
        self.at_once = (self.at_once * 2).min(DAYS_AT_ONCE);
        let this = &*self;
        let reads: Vec<_> = days.into_iter().map(|day| this.read_day(day, None)).collect();
        self.begun = stream::iter(reads).buffered(DAYS_AT_ONCE).try_collect().await?;
        Ok(true)
    }

    async fn read_day(&self, day: i64, start: Option<Item>) -> Result<Begun, ReadError> {
        let partition = keys::day(self.tenant, day);
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let call = self
            .store
            .client
            .query()
            .table_name(&self.store.events)
            .index_name("by_time")
            .key_condition_expression("#day = :day AND #at BETWEEN :low AND :high")
            .expression_attribute_names("#day", "day")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":day", text(&partition))
            .expression_attribute_values(":low", text(&self.low))
            .expression_attribute_values(":high", text(&self.high))
            .scan_index_forward(self.order == Order::Ascending)
            .set_exclusive_start_key(start)
            .limit(self.page);
        let output = Pauses::retry(self.deadline, || call.clone().send()).await?;
        Ok(Begun { day, items: Some(output.items.unwrap_or_default()), next: output.last_evaluated_key })
    }
}
