//! Who recorded an event, and whether the event was of the past by then.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long before it is recorded an event has occurred at least to be history. A sender cannot
/// keep the alerts about what happens now from being sent by calling it history.
pub const HISTORY_AFTER: Duration = Duration::from_secs(3600);

/// The sender of an event, from the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedBy {
    /// The subject of the token: a person or a program.
    pub sub: String,
    /// The token's client, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// True if the event was recorded as history: it was of the past, opened no window that was
    /// over by then, and alerted nobody. Absent for all other events.
    #[serde(default, skip_serializing_if = "is_false")]
    pub history: bool,
}

impl RecordedBy {
    /// The same sender, of events of the past.
    #[must_use]
    pub fn of_history(&self) -> Self {
        Self { history: true, ..self.clone() }
    }

    /// The same sender, of what happens now.
    #[must_use]
    pub fn of_now(&self) -> Self {
        Self { history: false, ..self.clone() }
    }
}

impl fmt::Display for RecordedBy {
    /// The text of the Recorded By column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client_id {
            Some(client) if *client != self.sub => write!(f, "{} ({client})", self.sub),
            _ => f.write_str(&self.sub),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
