//! A search: a time range and conditions for events.

use strum::EnumString;

use crate::{
    time::timestamp::Instant,
    trail::{
        event::Recorded,
        filter::{Filter, FreeText},
        position::Position,
    },
};

/// The order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
pub enum Order {
    #[strum(serialize = "desc")]
    Descending,
    #[strum(serialize = "asc")]
    Ascending,
}

/// A range of the time by which an index is sorted.
#[derive(Clone, Debug)]
pub struct Range {
    /// Start of the range, inclusive.
    pub since: Instant,
    /// End of the range, exclusive.
    pub until: Instant,
    pub order: Order,
    /// The position at which an earlier page ended; events after it are read.
    pub after: Option<Position>,
}

/// A time range and conditions for events.
#[derive(Clone, Debug)]
pub struct Search {
    /// The range of the time of occurrence.
    pub range: Range,
    pub filter: Option<Filter>,
    pub words: Option<FreeText>,
    pub include_service: bool,
}

impl Search {
    /// Whether an event matches, apart from its time.
    pub fn wants(&self, recorded: &Recorded) -> bool {
        (self.include_service || !recorded.event.action.is_hidden())
            && self.filter.as_ref().is_none_or(|filter| filter.matches(recorded))
            && self.words.as_ref().is_none_or(|words| words.matches(recorded))
    }
}
