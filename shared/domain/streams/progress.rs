//! How far a stream has been sent, and what its target refused.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    streams::{batch::Limits, stream::Stream},
    time::{backoff::Backoff, timestamp::Instant},
    trail::position::{FeedPlace, Position},
};

/// Consecutive failed attempts after which a stream is reported as paused.
pub const TRIES: u32 = 5;
/// Upper limit of a target's Retry-After.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// Pauses between attempts without a Retry-After: a target that is back waits at most the longest.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };

/// How far a stream has been sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stream's `begun_at` when this position was stored. It tells whether a replay has made
    /// the position obsolete.
    #[serde(default)]
    pub begun_at: Option<Instant>,
    /// The position; none before the first event.
    #[serde(default, with = "position")]
    pub place: Option<Position>,
    /// The number of the last late event that was sent or did not match; none before the list of
    /// late events was first read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<u64>,
    /// Events that the target has accepted since the stream was created or replayed.
    #[serde(default)]
    pub sent: u64,
    /// When the target last accepted a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent_at: Option<Instant>,
    /// Consecutive failed attempts.
    #[serde(default)]
    pub attempts: u32,
    /// The last error, until an attempt succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the first of the consecutive failures occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Instant>,
    /// When the stream was reported as paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Instant>,
    /// How often it was paused: the round of its finding.
    #[serde(default)]
    pub pauses: u32,
    /// Maximum number of events of a batch, after the target said that batches are too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
    /// Whether events are collected for the next file, which is written when the stream is due.
    #[serde(default)]
    pub gathers: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// A test message to the target of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamTest")]
pub struct Test {
    pub state: TestState,
    /// The name of the person or program that requested it.
    pub asked_by: String,
    /// When the test was requested. The message is sent in the background.
    pub asked_at: Instant,
    /// When the target accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
    /// Why the target refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The delivery state of a test message. It is tried once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StreamTestState")]
pub enum TestState {
    /// It will be tried.
    Waiting,
    /// The target accepted it.
    Sent,
    /// The target refused it.
    Failed,
}

mod position {
    use super::Position;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        place: &Option<Position>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match place {
            Some(place) => serializer.collect_str(place),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Position>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| text.parse().map_err(|()| serde::de::Error::custom("no place"));
        text.map(read).transpose()
    }
}

/// Why a target did not accept a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: String,
    /// The target's Retry-After.
    pub retry_after: Option<Duration>,
    /// Whether a smaller batch may be accepted.
    pub is_too_large: bool,
}

impl Progress {
    /// This progress, or a new one where the stream was replayed since.
    #[must_use]
    pub fn of(mut self, stream: &Stream) -> Self {
        if self.begun_at != Some(stream.begun_at) {
            self.begun_at = Some(stream.begun_at);
            self.place = None;
            self.late = None;
            self.sent = 0;
            self.most = None;
        }
        self
    }

    /// The position after which the next batch starts.
    pub fn after(&self, stream: &Stream) -> FeedPlace {
        let position = self.place.clone().unwrap_or_else(|| Position::before(stream.from));
        FeedPlace { position, late: self.late }
    }

    pub fn limits(&self, stream: &Stream) -> Limits {
        let limits = stream.target.limits();
        Limits { events: self.most.unwrap_or(limits.events).min(limits.events), ..limits }
    }

    /// Records that the target accepted `count` events and that everything up to `place` is done.
    pub fn took(&mut self, count: usize, place: Option<FeedPlace>, now: Instant) {
        if let Some(FeedPlace { position, late }) = place {
            self.place = Some(position).max(self.place.take());
            self.late = late.max(self.late);
        }
        if count > 0 {
            self.sent += u64::try_from(count).unwrap_or(u64::MAX);
            self.last_sent_at = Some(now);
            self.relieved();
            // The refusal of a large batch may have been a temporary error of the target: the limit
            // grows again, slowly.
            self.most =
                self.most.map(|most| if count >= most { most + most / 32 + 1 } else { most });
        }
    }

    /// Clears the failures.
    pub fn relieved(&mut self) {
        self.attempts = 0;
        self.error = None;
        self.failing_since = None;
    }

    /// Records that the target refused a batch of `count` events.
    pub fn refused(&mut self, refusal: &Refusal, count: usize, now: Instant) {
        self.attempts += 1;
        self.error = Some(refusal.error.clone());
        self.failing_since.get_or_insert(now);
        if refusal.is_too_large && count > 1 {
            self.most = Some(count / 2);
        }
    }

    /// The pause before the next attempt. `jitter` shortens it by at most half.
    pub fn pause(&self, refusal: &Refusal, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let asked = refusal.retry_after.map(|asked| asked.min(LONGEST_ASKED));
        BACKOFF.with_jitter(self.attempts, asked, jitter)
    }

    /// Whether the stream has to be reported as paused.
    pub fn is_to_be_paused(&self) -> bool {
        self.paused_at.is_none() && self.attempts >= TRIES
    }

    /// Whether the stream has to be reported as resumed.
    pub fn goes_on_again(&self) -> bool {
        self.paused_at.is_some() && self.attempts == 0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
