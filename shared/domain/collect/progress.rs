//! How far a connection has collected each source, and what went wrong.
//!
//! A source is collected in readings. A reading has one or more lists, and a list has pages. The
//! position moves on only after the objects of a page are stored: nothing is lost, and a page that is
//! read again changes nothing, because the ids of events are made of Graph's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    collect::source::{
        LATEST, LATEST_EVERY, Method, OVERLAP, RETENTION, RETENTION_WITHOUT_PREMIUM, Source,
    },
    configuration::connection::Connection,
    time::{backoff::Backoff, timestamp::Instant},
};

/// The rule of the finding about records that a connection did not get, and the action of the event
/// about them.
pub const GAP: &str = "connection.gap";
/// The longest pause between attempts, as a multiple of the pause between readings.
const LONGEST_PAUSE: u32 = 15;
/// Upper limit of Graph's Retry-After.
const LONGEST_ASKED: Duration = Duration::from_secs(86_400);
/// How often the next page of a delta query may be refused before its changes are given up and the
/// whole collection is read.
const MOST_REFUSALS: u32 = 4;
/// Users that a reading tries again at its end, at most.
const MOST_UNSETTLED: usize = 1000;

/// How far a connection is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The directory that the positions belong to.
    #[serde(default)]
    pub directory: String,
    #[serde(default)]
    pub sources: BTreeMap<Source, SourceProgress>,
    /// Sources that are not collected at present. They go on from here when they are chosen again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paused: BTreeMap<Source, SourceProgress>,
    /// The place in [`Source::ALL`] from which the next source is looked for.
    #[serde(default)]
    pub turn: usize,
    /// How many gaps were reported.
    #[serde(default)]
    pub gaps: u32,
    /// The version of the configuration for which the sources were last made due.
    #[serde(default)]
    pub version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<ConnectionTest>,
}

/// How far a source is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceProgress {
    /// When its first reading began. What occurred before is history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_began_at: Option<Instant>,
    /// When the last complete reading began: everything until then was collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_until: Option<Instant>,
    /// The reading that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Where the next delta query starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_link: Option<String>,
    /// How often a delta query began with the whole collection.
    #[serde(default)]
    pub epoch: u32,
    /// When the last complete reading began that went back far enough for very late records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Instant>,
    /// Nothing is asked of Graph before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Instant>,
    /// Consecutive failed attempts.
    #[serde(default)]
    pub attempts: u32,
    /// Links that were refused since the last complete reading.
    #[serde(default)]
    pub refusals: u32,
    /// The last error, until an attempt succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    #[serde(default)]
    pub counts: Counts,
    /// Users whose record lacks a name, because another person of the directory had it when they
    /// were stored.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unsettled: BTreeSet<String>,
    /// Whether the next reading goes as far back as the first one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub restarts: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// What became of the objects of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CollectedCounts")]
pub struct Counts {
    /// Objects that were read. One that was read again counts again.
    #[serde(default)]
    pub objects: u64,
    /// Objects of which something was new.
    #[serde(default)]
    pub created: u64,
    /// Objects that contradict what is stored.
    #[serde(default)]
    pub conflicts: u64,
    /// Objects that could not be read. The others are stored.
    #[serde(default)]
    pub invalid: u64,
    /// Objects whose document was configured by hand and stays as it is.
    #[serde(default)]
    pub reserved: u64,
    /// The last object that was in conflict or could not be read, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_problem: Option<String>,
}

impl Counts {
    pub fn add(&mut self, more: Self) {
        self.objects += more.objects;
        self.created += more.created;
        self.conflicts += more.conflicts;
        self.invalid += more.invalid;
        self.reserved += more.reserved;
        self.last_problem = more.last_problem.or(self.last_problem.take());
    }
}

/// A reading that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub began_at: Instant,
    /// Records from this time on are read, where the source has a filter on a time.
    pub since: Instant,
    /// The number of the list, from 0.
    pub list: usize,
    /// The address of the next page; the list's first page if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether it is a delta query that returns the whole collection.
    #[serde(default)]
    pub is_whole: bool,
    /// Whether it goes back far enough for very late records.
    #[serde(default, skip_serializing_if = "is_false")]
    pub looks_back: bool,
    /// After a whole collection: the last object that was compared with it, while those that were
    /// not in it are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<String>,
}

/// A time from which records are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CollectedGap")]
pub struct Gap {
    /// From when on records may be missing.
    pub from: Instant,
    /// From when on the records are complete again.
    pub until: Instant,
    /// Why they are missing.
    pub reason: String,
}

/// A test of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionTest {
    pub state: ConnectionTestState,
    /// The name of the person or program that requested it.
    pub asked_by: String,
    /// When it was requested.
    pub asked_at: Instant,
    /// When it ended. Absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Instant>,
    /// Why the service could not sign in. Then no source was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The result of each source.
    #[serde(default)]
    pub sources: Vec<SourceTest>,
}

/// The state of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionTestState {
    /// It will be tried.
    Waiting,
    /// Every source can be read.
    Passed,
    /// At least one source cannot be read.
    Failed,
}

/// Whether one source can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceTest {
    pub source: Source,
    /// Whether its first page could be read.
    pub works: bool,
    /// The application permission that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_permission: Option<String>,
    /// What Graph answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Progress {
    /// This progress for the connection as it is configured now. Positions of another directory are
    /// dropped, and a changed configuration is tried at once.
    #[must_use]
    pub fn of(mut self, connection: &Connection, version: u64) -> Self {
        let directory = connection.directory();
        let is_other = self.directory != directory;
        let is_changed = self.version != version;
        for progress in self.sources.values_mut().chain(self.paused.values_mut()) {
            if is_other {
                // The epoch goes on, so that people of the other directory are found to be gone.
                *progress = SourceProgress { epoch: progress.epoch, ..SourceProgress::default() };
            }
            if is_changed {
                progress.next_at = None;
            }
        }
        for source in &connection.collect {
            let paused = self.paused.remove(source);
            self.sources.entry(*source).or_insert_with(|| paused.unwrap_or_default());
        }
        let chosen = |source: &Source, _: &mut SourceProgress| connection.collect.contains(source);
        self.paused.extend(self.sources.extract_if(.., |source, of| !chosen(source, of)));
        Self { directory, version, ..self }
    }

    /// The connection was deleted. One with its id starts from the beginning, but what occurs from
    /// now on is no history for it, and what it cannot get any more is a gap.
    pub fn restart(&mut self) {
        for progress in self.sources.values_mut().chain(self.paused.values_mut()) {
            *progress = SourceProgress {
                first_began_at: progress.first_began_at,
                collected_until: progress.collected_until,
                epoch: progress.epoch,
                restarts: true,
                ..SourceProgress::default()
            };
        }
    }

    /// The source that is read next: the first one from `turn` on that is due. Users wait for groups,
    /// so that a new person has groups from the start.
    pub fn next_due(&self, now: Instant) -> Option<Source> {
        let is_due = |source: Source| {
            let progress = self.sources.get(&source)?;
            progress.next_at.is_none_or(|at| at <= now).then_some(progress)
        };
        let waits_for_groups = |source: Source| {
            source == Source::Users
                && self
                    .sources
                    .get(&Source::Groups)
                    .is_some_and(|groups| groups.collected_until.is_none() && groups.attempts == 0)
        };
        let count = Source::ALL.len();
        (0..count)
            .map(|place| Source::ALL[(self.turn + place) % count])
            .find(|source| is_due(*source).is_some() && !waits_for_groups(*source))
    }

    /// When the next source is due.
    pub fn due_at(&self) -> Option<Instant> {
        if self.sources.values().any(|progress| progress.next_at.is_none()) {
            return None;
        }
        self.sources.values().filter_map(|progress| progress.next_at).min()
    }
}

impl SourceProgress {
    /// Begins a reading, unless one is under way.
    pub fn begin(&mut self, source: Source, connection: &Connection, now: Instant) {
        if self.reading.is_some() {
            return;
        }
        if self.collected_until.is_none() {
            self.first_began_at.get_or_insert(now);
        }
        let looks_back = self.looked_back_at.is_none_or(|at| at.plus(LATEST_EVERY) <= now);
        let first = now.minus(connection.since.duration());
        // A record that appeared after the last look back is at most `LATEST` older than it.
        let looked_back_at = |until: Instant| self.looked_back_at.unwrap_or(until);
        let since = match self.collected_until {
            None => first,
            Some(until) if self.restarts => first.min(looked_back_at(until).minus(LATEST)),
            Some(until) if looks_back => looked_back_at(until).minus(LATEST),
            Some(until) => until.minus(OVERLAP),
        };
        let is_whole = source.method() == Method::Delta && self.delta_link.is_none();
        self.epoch += u32::from(is_whole);
        self.reading = Some(Reading {
            began_at: now,
            since,
            list: 0,
            link: None,
            is_whole,
            looks_back,
            compared: None,
        });
    }

    /// Whether the next page is the first one of a reading.
    pub fn is_at_first_page(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.list == 0 && reading.link.is_none())
    }

    /// What the audit log no longer has, from the first page of a reading, whose oldest record is
    /// `oldest`. How long the log is kept depends on the directory's licence, which no permission
    /// of a connection shows, but the records do.
    pub fn lost_records(&self, oldest: Option<Instant>, now: Instant) -> Option<Gap> {
        let short = now.minus(RETENTION_WITHOUT_PREMIUM);
        let (until, reason) = if oldest.is_some_and(|oldest| oldest < short) {
            let reason = "Microsoft Entra keeps its audit log for 30 days";
            (now.minus(RETENTION), reason)
        } else {
            let reason = "Microsoft Entra keeps its audit log for 7 days, with a P1 or P2 licence for 30 days, \
                 and gave no record older than 7 days";
            (short, reason)
        };
        let from = self.collected_until.filter(|from| *from < until)?;
        Some(Gap { from, until, reason: reason.to_owned() })
    }

    /// The address of the next page, below the version of Graph where it is a path.
    pub fn next_page(&self, source: Source) -> Option<String> {
        let reading = self.reading.as_ref()?;
        if let Some(link) = &reading.link {
            return Some(link.clone());
        }
        if let Some(link) = self.delta_link.as_ref().filter(|_| !reading.is_whole) {
            return Some(link.clone());
        }
        source.lists(reading.since).into_iter().nth(reading.list)
    }

    /// Records that the objects of a page are stored. Returns what is known to be lost when the
    /// reading is complete. After a whole collection, the objects that were not in it are left to
    /// be compared first.
    pub fn page_stored(
        &mut self,
        source: Source,
        next_link: Option<String>,
        delta_link: Option<String>,
        now: Instant,
        pace: Duration,
    ) -> Option<Gap> {
        self.relieved();
        let reading = self.reading.as_mut()?;
        reading.link = next_link;
        if reading.link.is_some() {
            return None;
        }
        if source.method() == Method::Delta {
            self.delta_link = delta_link;
            if reading.is_whole && self.epoch > 1 {
                return None;
            }
            return self.complete(source, now, pace);
        }
        reading.list += 1;
        if reading.list < source.lists(reading.since).len() {
            return None;
        }
        self.complete(source, now, pace)
    }

    /// Whether the whole collection was read, and what is not in it has to be looked for.
    pub fn compares(&self) -> bool {
        self.epoch > 1
            && self.delta_link.is_some()
            && self.reading.as_ref().is_some_and(|reading| reading.is_whole)
    }

    /// Records that a reading is complete. Returns what is known to be lost: a delta query that began
    /// again returns what is there, and not what happened meanwhile.
    pub fn complete(&mut self, source: Source, now: Instant, pace: Duration) -> Option<Gap> {
        let before = self.collected_until;
        let reading = self.reading.take();
        if let Some(reading) = &reading {
            self.collected_until = Some(reading.began_at);
            if reading.looks_back {
                self.looked_back_at = Some(reading.began_at);
            }
        }
        self.restarts = false;
        self.refusals = 0;
        self.last_success_at = Some(now);
        self.next_at = Some(now.plus(source.pause(pace)));
        self.relieved();
        let reading = reading.filter(|reading| reading.is_whole)?;
        Some(Gap {
            from: before?,
            until: reading.began_at,
            reason: "the changes of this time are not known, because the collection was read again from its beginning".to_owned(),
        })
    }

    /// Records users who are to be stored again when the reading is complete.
    pub fn unsettle(&mut self, users: impl IntoIterator<Item = String>) {
        let room = MOST_UNSETTLED.saturating_sub(self.unsettled.len());
        self.unsettled.extend(users.into_iter().take(room));
    }

    fn relieved(&mut self) {
        self.attempts = 0;
        self.error = None;
        self.failing_since = None;
    }

    /// Records a failed attempt, and when the next one follows. Graph's Retry-After is the least.
    pub fn failed(
        &mut self,
        error: &str,
        asked: Option<Duration>,
        now: Instant,
        pace: Duration,
        jitter: impl FnOnce(Duration) -> Duration,
    ) {
        self.attempts += 1;
        self.error = Some(error.to_owned());
        self.failing_since.get_or_insert(now);
        let backoff = Backoff { first: pace / 4, longest: pace * LONGEST_PAUSE };
        let asked = asked.map(|asked| asked.min(LONGEST_ASKED));
        self.next_at = Some(now.plus(backoff.with_jitter(self.attempts, asked, jitter)));
    }

    /// Begins the reading again after Graph refused a link. The delta link of the last reading is
    /// only given up if it was refused itself, or if its next pages are refused again and again.
    pub fn link_refused(&mut self) {
        let was_next_page = self.reading.take().is_some_and(|reading| reading.link.is_some());
        self.refusals += 1;
        if !was_next_page || self.refusals > MOST_REFUSALS {
            self.delta_link = None;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
