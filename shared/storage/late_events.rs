//! The list of late events: those that a reader of the feed may have missed.
//!
//! The feed reads the index `by_recorded` up to `FeedLag` ago, and no further than `watch` has seen
//! (`feed_gate.rs`). `watch` sees every event that the table stores. It adds an event to the
//! tenant's list of late events if the index does not show it, or if readers may have passed its
//! time before: the index or the clock of the writing function may have been slow. Readers take
//! such an event from the list and skip it in the index, so each event is delivered once, whenever
//! the index shows it. Only an event that is delayed by more than the gate allows may be delivered
//! twice, which is better than never.
//!
//! The list is numbered. An entry and the number of the last entry are written in one transaction,
//! so a reader at a number has missed no earlier entry. A second item finds an entry by recording
//! time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    Database, ReadError, TenantScope,
    attributes::{number, text},
    dynamodb_json,
    event_item::{Damaged, Item},
    keys::{self, Lane},
    partitions::Partition,
    retry,
    transaction::Change,
};
use shared_domain::{
    time::timestamp::Instant,
    trail::{
        event::{EventId, Recorded},
        position::Position,
    },
};
use shared_platform::backoff::Pauses;

/// Entries stored together: each takes two of the hundred statements of a transaction.
const TOGETHER: usize = 40;
const PAGE: i32 = 500;
/// The longest wait for an event that the index does not show yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// The interval between two reads of the index.
const PAUSE: Duration = Duration::from_millis(100);
/// Events that were recorded within this time of each other are looked up together.
const APART: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub number: u64,
    pub id: EventId,
}

fn position_of(recorded: &Recorded) -> Position {
    Position { at: recorded.recorded_at, id: recorded.event.id.clone() }
}

impl TenantScope<'_> {
    /// Adds the events that a reader of the feed may miss to the list. Returns their number.
    /// Repeating this is safe.
    ///
    /// # Errors
    /// The storage did not answer. Some may be on the list.
    pub async fn list_late(&self, taken: &[Recorded]) -> Result<usize, ReadError> {
        let clock = &self.database.clock;
        let patience = PATIENCE.min(self.feed_lag() / 4);
        let now = clock.now();
        // Events past their retention are no longer in the index.
        let scope = self.at(now, self.deadline);
        let mut waiting: Vec<&Recorded> = taken.iter().filter(|it| scope.shows(it)).collect();
        let mut late: Vec<&Recorded> = Vec::new();
        loop {
            let shown = self.shown_by_index(&waiting).await?;
            // Read after the index: a reader that passes an event later finds it there. The
            // reader's clock may be slightly ahead.
            let now = clock.now().plus(patience);
            let may_be_passed =
                |at: Instant, passable: Instant| at <= passable && at.plus(self.feed_lag()) <= now;
            let is_old =
                |it: &&Recorded| may_be_passed(it.recorded_at, Instant::from_millis(i64::MAX));
            let passable = match waiting.iter().any(is_old) {
                true => self.passable(now).await?,
                // The feed has not reached this time.
                false => now,
            };
            let mut hidden = Vec::new();
            for it in waiting {
                let is_shown = shown.contains(&position_of(it));
                let is_over = it.recorded_at.plus(patience * 2) <= now;
                match (is_shown, is_over) {
                    (true, _) if may_be_passed(it.recorded_at, passable) => late.push(it),
                    (true, _) => {}
                    (false, true) => late.push(it),
                    (false, false) => hidden.push(it),
                }
            }
            if hidden.is_empty() {
                break;
            }
            waiting = hidden;
            sleep(PAUSE).await;
        }
        let mut count = 0;
        for some in late.chunks(TOGETHER) {
            count += self.put_on_list(some).await?;
        }
        Ok(count)
    }

    /// The events that the index shows.
    async fn shown_by_index(&self, taken: &[&Recorded]) -> Result<BTreeSet<Position>, ReadError> {
        let mut partitions: BTreeMap<String, Vec<Position>> = BTreeMap::new();
        for it in taken {
            let day = keys::day(&self.tenant, it.recorded_at.day_number());
            partitions
                .entry(keys::in_lane(&day, Lane::of(&it.event)))
                .or_default()
                .push(position_of(it));
        }
        let mut shown = BTreeSet::new();
        for (partition, mut positions) in partitions {
            positions.sort();
            for some in positions.chunk_by(|a, b| b.at <= a.at.plus(APART)) {
                let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
                shown.extend(self.rows_between(&partition, first, last).await?);
            }
        }
        Ok(shown)
    }

    /// The positions of the index rows in a range.
    async fn rows_between(
        &self,
        partition: &str,
        first: &Position,
        last: &Position,
    ) -> Result<Vec<Position>, ReadError> {
        let Database { client, events, .. } = self.database;
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let call = client
                .query()
                .table_name(events)
                .index_name("by_recorded")
                .key_condition_expression(
                    "recorded_day = :day AND recorded BETWEEN :first AND :last",
                )
                .expression_attribute_values(":day", text(partition))
                .expression_attribute_values(":first", text(first))
                .expression_attribute_values(":last", text(last))
                .set_exclusive_start_key(start);
            let page = retry(self.deadline, || dynamodb_json::query(call.clone())).await?;
            rows.extend(page.items.iter().filter_map(|item| item.parsed::<Position>("recorded")));
            start = page.next;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Adds events that are not on the list yet. Returns their number.
    async fn put_on_list(&self, late: &[&Recorded]) -> Result<usize, ReadError> {
        let mut pauses = Pauses::until(self.deadline);
        loop {
            let positions: Vec<Position> = late.iter().copied().map(position_of).collect();
            let there = self.listed_among(&positions).await?;
            let new: Vec<&Recorded> = late
                .iter()
                .copied()
                .filter(|recorded| !there.contains(&position_of(recorded)))
                .collect();
            if new.is_empty() {
                return Ok(0);
            }
            let last = self.last_late().await?;
            let key = [keys::late(&self.tenant), keys::LATE_HEAD.to_owned()];
            let mut changes = Vec::with_capacity(1 + 2 * new.len());
            let mut next = last.unwrap_or(0);
            for recorded in &new {
                next += 1;
                let ttl = ("ttl", number(recorded.expires_at.seconds()));
                let [pk, _] = &key;
                changes.push(Change::Insert(vec![
                    ("pk", text(pk)),
                    ("sk", text(keys::late_entry(next))),
                    ("id", text(recorded.event.id.as_str())),
                    ttl.clone(),
                ]));
                changes.push(Change::Insert(vec![
                    ("pk", text(keys::late_recorded(&self.tenant))),
                    ("sk", text(position_of(recorded))),
                    ("number", number(next)),
                    ttl,
                ]));
            }
            let expected = last.map(|last| ("last", number(last)));
            changes.push(Change::step(key, expected, vec![("last", number(next))], &[]));
            if self.database.together(changes, self.deadline, &mut false).await? {
                return Ok(new.len());
            }
            // Another run added entries at the same time, or an unanswered attempt had succeeded.
            pauses.after_conflict("the list of late events").await?;
        }
    }

    /// The number of the last entry; none if there is no list.
    async fn last_late(&self) -> Result<Option<u64>, ReadError> {
        let item = self
            .database
            .state_item(keys::late(&self.tenant), keys::LATE_HEAD, self.deadline)
            .await?;
        let last = item
            .map(|item| item.number("last").ok_or_else(|| Damaged::new(keys::LATE_HEAD, "last")));
        Ok(last.transpose()?)
    }

    /// A page of entries after a number, and whether there may be more.
    pub async fn late_after(&self, after: u64) -> Result<(Vec<Entry>, bool), ReadError> {
        let partition = Partition::new(keys::late(&self.tenant))
            .between(keys::late_entry(after + 1), keys::late_entry(u64::MAX))
            .at_most(PAGE);
        let page = self.page(&partition, None).await?;
        let read = |item: &Item| {
            Some(Entry {
                number: keys::read_late_entry(item.text("sk")?)?,
                id: EventId::new(item.text("id")?)?,
            })
        };
        let entries =
            page.items.iter().map(|item| read(item).ok_or_else(|| Damaged::new("late", "id")));
        Ok((entries.collect::<Result<_, _>>()?, page.next.is_some()))
    }

    /// The positions whose events are on the list.
    pub async fn listed_among(&self, places: &[Position]) -> Result<BTreeSet<Position>, ReadError> {
        let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) else {
            return Ok(BTreeSet::new());
        };
        let found = self.late_between(first, Some(last)).await?;
        Ok(found.into_iter().map(|(position, _)| position).collect())
    }

    /// The number after which a reader starts that wants events recorded after a position, without
    /// missing any.
    pub async fn late_start(&self, place: &Position) -> Result<u64, ReadError> {
        // In this order: an entry that is added meanwhile has a higher number.
        let last = self.last_late().await?.unwrap_or(0);
        let listed = self.late_between(place, None).await?;
        let before = listed.into_iter().map(|(_, number)| number.saturating_sub(1)).min();
        Ok(before.map_or(last, |before| before.min(last)))
    }

    /// Entries by recording time, within a range of positions.
    async fn late_between(
        &self,
        first: &Position,
        last: Option<&Position>,
    ) -> Result<Vec<(Position, u64)>, ReadError> {
        // This sorts after every time.
        let last = last.map_or_else(|| "~".to_owned(), ToString::to_string);
        let partition = Partition::new(keys::late_recorded(&self.tenant)).between(first, last);
        let read = |item: Item| Some((item.parsed("sk")?, item.number("number")?));
        self.all(&partition, read).await
    }
}
