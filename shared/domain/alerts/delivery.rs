//! How far an alert is: waiting, sent or given up, and how long a channel that refused it is left alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{alerts::alert::Alert, configuration::alert_channel::Kind, time::timestamp::Instant};

/// How long an alert is tried before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How far an alert is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What kind of channel it goes to. A channel may have become another while it waited.
    pub kind: Kind,
    /// Whether it has left.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
}

/// Whether an alert has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It will be tried, or tried again.
    Waiting,
    /// The channel took it.
    Sent,
    /// It was given up.
    Failed,
}

impl State {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 3] =
        [("waiting", Self::Waiting), ("sent", Self::Sent), ("failed", Self::Failed)];
}

/// Why a channel did not take an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, for a person; without the webhook's address.
    pub error: String,
    /// Whether it is of no use to try again.
    pub is_final: bool,
    /// How long the channel asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Progress {
    /// Before the first try.
    pub fn waiting(kind: Kind) -> Self {
        Self { kind, state: State::Waiting, attempts: 0, error: None, sent_at: None }
    }

    /// After a try that worked.
    #[must_use]
    pub fn sent(&self, kind: Kind, now: Instant) -> Self {
        Self {
            kind,
            state: State::Sent,
            attempts: self.attempts + 1,
            error: None,
            sent_at: Some(now),
        }
    }

    /// After a try that did not: it waits for the next, or is given up.
    #[must_use]
    pub fn refused(&self, alert: &Alert, refusal: &Refusal, now: Instant) -> Self {
        let is_over = now >= alert.queued_at.plus(PATIENCE);
        let (state, error) = match (refusal.is_final, is_over) {
            (true, _) => (State::Failed, refusal.error.clone()),
            (false, true) => (State::Failed, format!("given up after a day: {}", refusal.error)),
            (false, false) => (State::Waiting, refusal.error.clone()),
        };
        Self { state, attempts: self.attempts + 1, error: Some(error), ..self.clone() }
    }

    /// Given up without a try.
    #[must_use]
    pub fn given_up(&self, why: &str) -> Self {
        Self { state: State::Failed, error: Some(why.to_owned()), ..self.clone() }
    }
}

/// The longest that a channel may ask to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

impl Refusal {
    /// How long a channel is left alone that did not take so many messages in a row. `jitter` shortens a pause by up to its half.
    pub fn pause(&self, failures: u32, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let pause = longest_pause(failures);
        let pause = pause - jitter(pause / 2);
        pause.max(self.retry_after.unwrap_or_default().min(LONGEST_ASKED))
    }
}

/// The pause after so many tries: 5 s, twice as long each time, a quarter of an hour at most.
fn longest_pause(attempts: u32) -> Duration {
    let doubled = Duration::from_secs(5)
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(16)));
    doubled.min(Duration::from_secs(900))
}
