//! The days on which a tenant has events. A listing reads one partition per day, so days without
//! events must cost nothing.
//!
//! A marker stands for one day of an index and a lane. It is written before the first event of that
//! day, so no event is on a day without a marker. Markers are used only once every day with events
//! has one; [`Database::mark_past_days`] ensures that after an upgrade. Until then a listing reads
//! every day.

use crate::transaction;
use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError, TenantScope,
    attributes::text,
    event_item::Item,
    keys::{self, DayIndex, DayMarker, Lane},
    partitions::Partition,
    retry,
    transaction::Change,
};
use shared_domain::{
    time::timestamp::Instant,
    trail::{
        event::{Event, Recorded},
        search::Order,
    },
};
use shared_platform::backoff::Unavailable;

/// Number of markers that a process caches. Then it clears the cache and writes some again.
const REMEMBERED: usize = 10_000;
/// Events read at a time while past days are marked.
const SCANNED: i32 = 1000;

/// The markers that this process knows.
#[derive(Clone, Debug, Default)]
pub struct Known {
    written: Arc<Mutex<HashSet<[String; 2]>>>,
    are_complete: Arc<AtomicBool>,
}

impl Known {
    fn has(&self, marker: &[String; 2]) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(marker)
    }

    fn remember(&self, marker: [String; 2]) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= REMEMBERED {
            written.clear();
        }
        written.insert(marker);
    }
}

impl TenantScope<'_> {
    /// Marks the days of events that are about to be stored, and returns the time with which they
    /// are stamped.
    ///
    /// # Errors
    /// The storage did not answer. The events must not be stored.
    pub async fn stamp<'e>(
        &self,
        events: impl Iterator<Item = &'e Event> + Clone,
    ) -> Result<Instant, Unavailable> {
        loop {
            let today = self.database.clock.now().day_number();
            let markers = events.clone().flat_map(|event| {
                let (lane, occurred) = (Lane::of(event), event.occurred_at.day_number());
                [(DayIndex::Occurred, occurred), (DayIndex::Recorded, today)]
                    .map(|(index, day)| DayMarker { index, lane, day })
            });
            self.database
                .mark(markers.map(|marker| marker.key(&self.tenant)).collect(), self.deadline)
                .await?;
            // Marking may have taken until the next day.
            let at = self.database.clock.now();
            if at.day_number() == today {
                return Ok(at);
            }
        }
    }

    /// Marks the days of stored events. Only needed for events that an older version stores during
    /// a deployment.
    ///
    /// # Errors
    /// After an error, some changes may be stored.
    pub async fn mark_days_of(&self, events: &[Recorded]) -> Result<(), Unavailable> {
        let markers = events.iter().flat_map(|recorded| {
            let lane = Lane::of(&recorded.event);
            let occurred = (DayIndex::Occurred, recorded.event.occurred_at.day_number());
            let recorded = (DayIndex::Recorded, recorded.recorded_at.day_number());
            [occurred, recorded]
                .map(|(index, day)| DayMarker { index, lane, day }.key(&self.tenant))
        });
        self.database.mark(markers.collect(), self.deadline).await
    }

    /// The days in `first..=last` that may have events, in that order, at most `limit`; and whether
    /// more follow. None if the markers are incomplete, so that each day has to be read.
    pub async fn days_with_events(
        &self,
        (index, lane): (DayIndex, Lane),
        (first, last): (i64, i64),
        order: Order,
        limit: i32,
    ) -> Result<Option<(Vec<i64>, bool)>, ReadError> {
        if !self.database.are_days_complete(self.deadline).await? {
            return Ok(None);
        }
        let [partition, _] = DayMarker { index, lane, day: first }.key(&self.tenant);
        let sort_key = |day| {
            let [_, sort_key] = DayMarker { index, lane, day }.key(&self.tenant);
            sort_key
        };
        // A marker is written before its event, so a consistent read finds it.
        let partition = Partition::new(partition)
            .between(sort_key(first), sort_key(last))
            .in_order(order)
            .at_most(limit);
        let page = self.page(&partition, None).await?;
        let day = |item: &Item| keys::day_of_marker(item.text("sk")?);
        Ok(Some((page.items.iter().filter_map(day).collect(), page.next.is_some())))
    }
}

impl Database {
    async fn mark(
        &self,
        markers: BTreeSet<[String; 2]>,
        deadline: Deadline,
    ) -> Result<(), Unavailable> {
        let new: Vec<_> = markers.into_iter().filter(|marker| !self.days.has(marker)).collect();
        let writes: Vec<_> = new
            .iter()
            .map(|[pk, sk]| async move {
                let item = vec![("pk", text(pk)), ("sk", text(sk))];
                // It exists, whoever wrote it first.
                self.alone(Change::Insert(item), deadline, &mut false).await
            })
            .collect();
        futures::future::try_join_all(writes).await?;
        for marker in new {
            self.days.remember(marker);
        }
        Ok(())
    }

    /// Whether each day with events has a marker, for all tenants.
    async fn are_days_complete(&self, deadline: Deadline) -> Result<bool, Unavailable> {
        if self.days.are_complete.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let item = self.state_item(keys::DAYS.to_owned(), keys::DAYS_COMPLETE, deadline).await?;
        let are_complete = item.is_some_and(|item| item.get("at").is_some());
        self.days.are_complete.store(are_complete, Ordering::Relaxed);
        Ok(are_complete)
    }

    /// Marks the days of events from before markers, within the time limit. Returns whether all are
    /// marked. A deployment without events is complete at once. The position is stored, so the next
    /// call continues there.
    pub async fn mark_past_days(
        &self,
        until: Deadline,
        deadline: Deadline,
    ) -> Result<bool, ReadError> {
        if self.are_days_complete(deadline).await? {
            return Ok(true);
        }
        let item = self.state_item(keys::DAYS.to_owned(), keys::DAYS_COMPLETE, deadline).await?;
        let mut place = item.and_then(|mut item| item.remove("place"));
        loop {
            let start = place.take().map(|pk| [("pk".to_owned(), pk)].into());
            let call = self
                .client
                .scan()
                .table_name(&self.events)
                .projection_expression("#day, #recorded_day")
                .expression_attribute_names("#day", "day")
                .expression_attribute_names("#recorded_day", "recorded_day")
                .limit(SCANNED)
                .consistent_read(true)
                .set_exclusive_start_key(start);
            let page = retry(deadline, || call.clone().send()).await?;
            let mut markers = BTreeSet::new();
            for item in page.items() {
                for (name, index) in
                    [("day", DayIndex::Occurred), ("recorded_day", DayIndex::Recorded)]
                {
                    let partition = item.get(name).and_then(|value| value.as_s().ok());
                    markers.extend(
                        partition.and_then(|partition| keys::marker_of_partition(partition, index)),
                    );
                }
            }
            self.mark(markers, deadline).await?;
            place = page.last_evaluated_key.and_then(|mut key| key.remove("pk"));
            let is_done = place.is_none();
            if is_done || Deadline::now() >= until {
                let now = text(self.clock.now());
                let kept = place.clone();
                transaction::replace(
                    self,
                    keys::DAYS,
                    keys::DAYS_COMPLETE,
                    deadline,
                    |_| match kept.clone() {
                        Some(place) => vec![("place", place)],
                        None => vec![("at", now.clone())],
                    },
                )
                .await?;
                self.days.are_complete.store(is_done, Ordering::Relaxed);
                return Ok(is_done);
            }
        }
    }
}
