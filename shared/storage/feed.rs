//! The feed: what was recorded since a position, for collectors, the live tail and streams.
//!
//! The feed ends `FeedLag` ago, and at the time up to which `watch` has seen the trail
//! (`feed_gate.rs`). A write is stamped with its time and abandoned well within that lag, so
//! everything recorded before the feed's end is there when the feed reads it. If the index or a
//! clock is slower, the event goes on the list of late events (`late_events.rs`), which the feed
//! also reads.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    ReadError, TenantScope,
    keys::Lane,
    list_events::{Index, Listing, Pace},
};
use shared_domain::{
    time::timestamp::Instant,
    trail::{
        event::{EventId, Recorded},
        filter::{Filter, FreeText},
        position::{FeedPlace, Position},
        search::{Order, Range},
    },
};

/// Events that are looked up together on the list of late events.
const TOGETHER: usize = 100;

/// The events that a reader wants.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Events that match the filter.
    pub filter: Option<Filter>,
    /// Events that contain every word.
    pub words: Option<FreeText>,
    /// Also the service's own events.
    pub include_service: bool,
}

impl Wants {
    pub fn wants(&self, recorded: &Recorded) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(recorded))
            && self.words.as_ref().is_none_or(|words| words.matches(recorded))
            && (self.include_service || !recorded.event.action.is_hidden())
    }

    fn lanes(&self) -> &'static [Lane] {
        if self.include_service { &[Lane::Shown, Lane::Service] } else { &[Lane::Shown] }
    }
}

#[derive(Clone, Debug)]
pub struct Fed {
    pub recorded: Recorded,
    /// Whether the event is late: it comes from the list, after events that were recorded later.
    pub is_late: bool,
    /// The position after it.
    pub place: FeedPlace,
}

/// Reads the feed: late events first, then recorded events except those on the list of late events.
pub struct FeedReader<'t> {
    scope: TenantScope<'t>,
    listing: Listing<'t>,
    /// The end, exclusive.
    end: Instant,
    include_service: bool,
    /// Events that are checked together.
    together: usize,
    place: FeedPlace,
    /// Events that were read but not returned yet.
    ready: VecDeque<Fed>,
    /// Whether all late events were read.
    is_past_late: bool,
}

impl FeedReader<'_> {
    /// The end, exclusive.
    pub fn end(&self) -> Instant {
        self.end
    }

    /// The position after the last returned event.
    pub fn place(&self) -> &FeedPlace {
        &self.place
    }

    /// The next event, wanted or not; none at the end.
    pub async fn next(&mut self) -> Result<Option<Fed>, ReadError> {
        loop {
            if let Some(fed) = self.ready.pop_front() {
                self.place = fed.place.clone();
                return Ok(Some(fed));
            }
            let goes_on = if self.is_past_late {
                self.read_recorded().await?
            } else {
                self.read_late().await?
            };
            if !goes_on {
                return Ok(None);
            }
        }
    }

    async fn read_late(&mut self) -> Result<bool, ReadError> {
        let mut place = self.place.clone();
        let after = match place.late {
            Some(after) => after,
            None => self.scope.late_start(&place.position).await?,
        };
        place.late = Some(after);
        let (entries, goes_on) = self.scope.late_after(after).await?;
        self.is_past_late = !goes_on;
        let ids: Vec<EventId> = entries.iter().map(|entry| entry.id.clone()).collect();
        let mut events: HashMap<EventId, Recorded> = match ids.is_empty() {
            true => HashMap::new(),
            false => self
                .scope
                .events_of(&ids)
                .await?
                .into_iter()
                .map(|it| (it.event.id.clone(), it))
                .collect(),
        };
        for entry in entries {
            place.late = Some(entry.number);
            let is_hidden = |it: &Recorded| it.event.action.is_hidden();
            let event = events.remove(&entry.id).filter(|it| self.scope.shows(it));
            if let Some(recorded) = event.filter(|it| self.include_service || !is_hidden(it)) {
                self.ready.push_back(Fed { recorded, is_late: true, place: place.clone() });
            }
        }
        if self.ready.is_empty() {
            self.place = place;
        }
        Ok(true)
    }

    async fn read_recorded(&mut self) -> Result<bool, ReadError> {
        let mut read = Vec::new();
        while read.len() < self.together
            && let Some(recorded) = self.listing.next().await?
        {
            let position = Position { at: recorded.recorded_at, id: recorded.event.id.clone() };
            read.push((position, recorded));
        }
        let Some((last, _)) = read.last() else { return Ok(false) };
        let end = FeedPlace { position: last.clone(), late: self.place.late };
        // Read after the index: an event that the index shows later is on the list by then.
        let positions: Vec<Position> = read.iter().map(|(position, _)| position.clone()).collect();
        let listed = self.scope.listed_among(&positions).await?;
        for (position, recorded) in read {
            if !listed.contains(&position) {
                let place = FeedPlace { position, late: self.place.late };
                self.ready.push_back(Fed { recorded, is_late: false, place });
            }
        }
        if self.ready.is_empty() {
            self.place = end;
        }
        Ok(true)
    }
}

impl TenantScope<'_> {
    /// The end of the feed, exclusive, by `FeedLag` alone.
    pub fn feed_end(&self) -> Instant {
        self.now.minus(self.feed_lag())
    }

    /// The events recorded after `after` and before the feed's end, wanted or not, in recording
    /// order; before them the late events after `after`.
    pub async fn feed(
        &self,
        after: &FeedPlace,
        wants: &Wants,
        pace: Pace,
    ) -> Result<FeedReader<'_>, ReadError> {
        let end = self.feed_end();
        // Read first: events up to the gate are in the index or on the list by now.
        let end = end.min(self.passable(self.now).await?.plus(Duration::from_millis(1)));
        let listing =
            self.list(Index::ByRecorded, since(&after.position, end), pace, wants.lanes());
        let together = match pace {
            Pace::Items(count) => count.clamp(1, TOGETHER),
            Pace::Megabytes | Pace::All => TOGETHER,
        };
        Ok(FeedReader {
            scope: self.clone(),
            listing,
            end,
            include_service: wants.include_service,
            together,
            place: after.clone(),
            ready: VecDeque::new(),
            is_past_late: false,
        })
    }

    /// When the oldest event after `after` was recorded, wanted or not, including events beyond the
    /// feed's end.
    pub async fn recorded_after(
        &self,
        after: &FeedPlace,
        wants: &Wants,
    ) -> Result<Option<Instant>, ReadError> {
        let late = match after.late {
            Some(late) => late,
            None => self.late_start(&after.position).await?,
        };
        if let Some(first) = self.late_after(late).await?.0.first() {
            let event = self.events_of(std::slice::from_ref(&first.id)).await?;
            return Ok(Some(event.first().map_or(self.now, |event| event.recorded_at)));
        }
        let end = self.now.plus(Duration::from_millis(1));
        let mut events = self.list(
            Index::ByRecorded,
            since(&after.position, end),
            Pace::Items(1),
            wants.lanes(),
        );
        Ok(events.next().await?.map(|recorded| recorded.recorded_at))
    }
}

fn since(after: &Position, end: Instant) -> Range {
    // A clock that was set back must not make the feed repeat events.
    Range {
        since: after.at,
        until: end.max(after.at),
        order: Order::Ascending,
        after: Some(after.clone()),
    }
}
