//! A search: a range of time, and what an event in it has to meet.

use strum::EnumString;

use crate::{
    time::timestamp::Instant,
    trail::{
        event::Recorded,
        filter::{Filter, FreeText},
        position::Position,
    },
};

/// Which way a listing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
pub enum Order {
    /// Newest first.
    #[strum(serialize = "desc")]
    Descending,
    /// Oldest first.
    #[strum(serialize = "asc")]
    Ascending,
}

/// A range of the time that an index is ordered by.
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

/// A range of time, and what an event in it has to meet.
#[derive(Clone, Debug)]
pub struct Search {
    /// When it occurred.
    pub range: Range,
    /// What its attributes have to be.
    pub filter: Option<Filter>,
    /// What has to be found in it.
    pub words: Option<FreeText>,
    /// Whether the service's own events are wanted too.
    pub include_service: bool,
}

impl Search {
    /// Whether the event is one that is looked for, its time apart.
    pub fn wants(&self, recorded: &Recorded) -> bool {
        (self.include_service || !recorded.event.action.is_hidden())
            && self.filter.as_ref().is_none_or(|filter| filter.matches(recorded))
            && self.words.as_ref().is_none_or(|words| words.matches(recorded))
    }
}
