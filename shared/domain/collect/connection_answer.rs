//! A connection in the answers of the API: its configuration, and how far each source is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    collect::{
        progress::{ConnectionTest, Counts, Gap, Progress, SourceProgress},
        source::Source,
    },
    configuration::connection::Connection,
    time::timestamp::Instant,
};

/// A connection: its configuration, and how far it has collected.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ConnectionAnswer {
    /// The id in the address.
    pub id: String,
    #[serde(flatten)]
    pub connection: Connection,
    pub state: ConnectionState,
    /// How far each source is.
    pub sources: Vec<SourceAnswer>,
    /// The last test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<ConnectionTest>,
}

/// The state of a connection or of one of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// It is collected as records appear.
    Collecting,
    /// The first reading is not complete.
    Starting,
    /// The last attempt failed; another follows.
    Failing,
}

/// How far a source is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "CollectedSourceProgress")]
pub struct SourceAnswer {
    pub source: Source,
    pub state: ConnectionState,
    /// When the last complete reading began: everything until then was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_until: Option<Instant>,
    /// When the last complete reading ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Instant>,
    /// When the reading began that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading_since: Option<Instant>,
    /// Nothing is asked of Microsoft Graph before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Instant>,
    /// The number of consecutive failed attempts.
    pub attempts: u32,
    /// The last error, until an attempt succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the first of the consecutive failures occurred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Instant>,
    /// The last time of which records are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    #[serde(flatten)]
    pub counts: Counts,
}

impl ConnectionAnswer {
    /// The answer for a connection.
    pub fn new(id: &str, connection: &Connection, version: u64, progress: Progress) -> Self {
        let progress = progress.of(connection, version);
        let sources: Vec<_> = progress
            .sources
            .into_iter()
            .map(|(source, it)| SourceAnswer::new(source, it))
            .collect();
        let worst = sources.iter().map(|source| source.state).max();
        Self {
            id: id.to_owned(),
            connection: connection.clone(),
            state: worst.unwrap_or(ConnectionState::Starting),
            sources,
            test: progress.test,
        }
    }
}

impl SourceAnswer {
    fn new(source: Source, progress: SourceProgress) -> Self {
        Self {
            source,
            state: match (progress.attempts, progress.collected_until) {
                (0, Some(_)) => ConnectionState::Collecting,
                (0, None) => ConnectionState::Starting,
                _ => ConnectionState::Failing,
            },
            collected_until: progress.collected_until,
            last_success_at: progress.last_success_at,
            reading_since: progress.reading.map(|reading| reading.began_at),
            next_at: progress.next_at,
            attempts: progress.attempts,
            error: progress.error,
            failing_since: progress.failing_since,
            gap: progress.gap,
            counts: progress.counts,
        }
    }
}
