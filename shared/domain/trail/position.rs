//! Positions among events that are sorted by a time, and positions in the feed.

use crate::{time::timestamp::Instant, trail::event::EventId};

/// A position among events that are sorted by a time and then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub at: Instant,
    /// The id, which decides between events of the same millisecond.
    pub id: EventId,
}

impl Position {
    /// The position just before every event at `at`.
    pub fn before(at: Instant) -> Self {
        // The last possible id, one millisecond earlier.
        Self { at: Instant::from_millis(at.millis() - 1), id: EventId::last() }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.at, self.id)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('#').ok_or(())?;
        Ok(Self { at: at.parse().map_err(|_| ())?, id: EventId::new(id).ok_or(())? })
    }
}

/// A position in the feed: the last event and the last late event that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlace {
    /// The position in recording order.
    pub position: Position,
    /// The number of the last late event that was read; none before the list was first read.
    pub late: Option<u64>,
}

impl From<Position> for FeedPlace {
    fn from(position: Position) -> Self {
        Self { position, late: None }
    }
}

impl std::fmt::Display for FeedPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.late {
            Some(late) => write!(f, "{}#{late}", self.position),
            None => write!(f, "{}", self.position),
        }
    }
}

impl std::str::FromStr for FeedPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.rsplit_once('#') {
            // Neither a time nor an id contains `#`.
            Some((position, late)) if position.contains('#') => {
                Ok(Self { position: position.parse()?, late: Some(late.parse().map_err(|_| ())?) })
            }
            _ => Ok(Self { position: text.parse()?, late: None }),
        }
    }
}
