//! What was recorded since a place? For collectors, live tail and streams.
//!
//! It stays `FeedLag` behind. A write is stamped with its time and given up well within that, so whatever is recorded before
//! the feed's end is there when the feed reads it: nothing can be skipped, and late events come when they are recorded.

use crate::{
    event::Recorded,
    filter::{Filter, FreeText},
    instant::Instant,
    store::{
        ReadError, Trail,
        keys::{Lane, Position},
        listing::{Index, Listing, Order, Pace, Range},
    },
};

/// Which events somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Those that it matches.
    pub filter: Option<Filter>,
    /// Those that hold every word.
    pub words: Option<FreeText>,
    /// The service's own as well.
    pub include_service: bool,
}

impl Wants {
    /// Whether an event is wanted.
    pub fn wants(&self, recorded: &Recorded) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(recorded))
            && self.words.as_ref().is_none_or(|words| words.matches(recorded))
            && (self.include_service || !recorded.event.catalogued().is_some_and(|action| action.is_hidden()))
    }

    fn lanes(&self) -> &'static [Lane] {
        if self.include_service { &[Lane::Shown, Lane::Service] } else { &[Lane::Shown] }
    }
}

impl Trail<'_> {
    /// The first moment that the feed does not hold yet.
    pub fn feed_end(&self) -> Instant {
        self.now.minus(self.feed_lag())
    }

    /// The events recorded after `after` and before the feed's end, wanted or not, in the order recorded.
    pub fn feed(&self, after: &Position, wants: &Wants, pace: Pace) -> Listing<'_> {
        self.list(Index::ByRecorded, since(after, self.feed_end()), pace, wants.lanes())
    }

    /// When the oldest event was recorded that stands after `after`, wanted or not; those that the feed does not hold yet are among them.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn recorded_after(&self, after: &Position, wants: &Wants) -> Result<Option<Instant>, ReadError> {
        let end = self.now.plus(std::time::Duration::from_millis(1));
        let mut events = self.list(Index::ByRecorded, since(after, end), Pace::Items(1), wants.lanes());
        Ok(events.next().await?.map(|recorded| recorded.recorded_at))
    }
}

fn since(after: &Position, end: Instant) -> Range {
    // A clock that was set back must not make the feed repeat itself.
    Range { since: after.at, until: end.max(after.at), order: Order::Ascending, after: Some(after.clone()) }
}
