//! The delivery state of an alert, and the retry pause of a channel that refused it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, VariantNames};

use crate::{
    alerts::alert::Alert,
    configuration::alert_channel::AlertChannelKind,
    time::{backoff::Backoff, timestamp::Instant},
};

/// How long delivery of an alert is retried.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The delivery state of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The kind of channel it was last addressed to. The channel may change its kind while the
    /// alert waits.
    pub kind: AlertChannelKind,
    pub state: AlertState,
    /// Number of delivery attempts.
    pub attempts: u32,
    /// The error of the last failed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the channel accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
}

/// The delivery state of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum AlertState {
    /// It will be tried, or retried.
    Waiting,
    /// The channel accepted it.
    Sent,
    /// Delivery was abandoned.
    Failed,
}

/// Why a channel did not accept an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error in words, without the webhook's address.
    pub error: String,
    /// Whether a retry cannot succeed.
    pub is_final: bool,
    /// The channel's Retry-After.
    pub retry_after: Option<Duration>,
}

impl Progress {
    /// The state before the first attempt.
    pub fn waiting(kind: AlertChannelKind) -> Self {
        Self { kind, state: AlertState::Waiting, attempts: 0, error: None, sent_at: None }
    }

    /// The state after a successful attempt.
    #[must_use]
    pub fn sent(&self, kind: AlertChannelKind, now: Instant) -> Self {
        Self {
            kind,
            state: AlertState::Sent,
            attempts: self.attempts + 1,
            error: None,
            sent_at: Some(now),
        }
    }

    /// The state after a failed attempt: waiting for the next one, or failed for good.
    #[must_use]
    pub fn refused(&self, alert: &Alert, refusal: &Refusal, now: Instant) -> Self {
        let is_over = now >= alert.queued_at.plus(PATIENCE);
        let (state, error) = match (refusal.is_final, is_over) {
            (true, _) => (AlertState::Failed, refusal.error.clone()),
            (false, true) => {
                (AlertState::Failed, format!("not delivered within a day: {}", refusal.error))
            }
            (false, false) => (AlertState::Waiting, refusal.error.clone()),
        };
        Self { state, attempts: self.attempts + 1, error: Some(error), ..self.clone() }
    }

    /// The state of an alert that fails without an attempt.
    #[must_use]
    pub fn given_up(&self, why: &str) -> Self {
        Self { state: AlertState::Failed, error: Some(why.to_owned()), ..self.clone() }
    }
}

/// The pause after a failed message.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(900) };
/// Upper limit of a channel's Retry-After.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

impl Refusal {
    /// The pause after `failures` failed messages in a row. `jitter` shortens it by at most half.
    pub fn pause(&self, failures: u32, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let asked = self.retry_after.map(|asked| asked.min(LONGEST_ASKED));
        BACKOFF.with_jitter(failures, asked, jitter)
    }
}
