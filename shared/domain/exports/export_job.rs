//! Export jobs: the request, the progress and the tables. This module does no I/O.
//!
//! A job exports the events of its snapshot: those recorded by the time of the request that match
//! its filter, the newest first. The rows are therefore fixed before the first one is read. However
//! often the work is restarted, the same rows come in the same order.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strum::{Display, EnumString};

use crate::{
    exports::{
        export_files::{Form, Place, read_position, shown},
        manifest::Manifest,
        saved_search::Origin,
    },
    reports::{
        column::{AnyRow, Table},
        report::Query,
    },
    tables::event_columns::Layout,
    time::{time_zone, timestamp::Instant},
    trail::{
        event::{Actor, Recorded, RecordedBy},
        filter::{Filter, FreeText},
        position::Position,
        search::{Order, Range, Search},
    },
};

/// The parameters of an export except `columns`, which is a list.
pub const PARAMETERS: [&str; 11] = [
    "since",
    "until",
    "filter",
    "q",
    "include_service",
    "include_filters",
    "tz",
    "profile",
    "gzip",
    "jsonl",
    "file_name",
];

/// Longest file name without number and extension, in bytes.
pub const LONGEST_NAME: usize = 100;

/// The request, with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestedExport {
    /// Start of the range, inclusive.
    pub since: Option<Instant>,
    /// End of the range, exclusive.
    pub until: Option<Instant>,
    /// The filter as the caller wrote it.
    pub filter: Option<String>,
    /// The search text.
    pub q: Option<String>,
    pub include_service: bool,
    /// Whether range, filter and text apply. If not, the export contains the whole retained trail.
    pub include_filters: bool,
    /// The IANA time zone of times in the files.
    pub tz: String,
    /// The reader for which the files are written.
    pub profile: Profile,
    /// The names of the columns; empty for all of them.
    pub columns: Vec<String>,
    pub gzip: bool,
    /// Whether each file is also written in JSON Lines, without loss.
    pub jsonl: bool,
    /// The common start of the files' names.
    pub file_name: String,
    /// The report to export instead of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Query>,
}

/// The reader for which the files of an export are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExportProfile")]
#[serde(rename_all = "snake_case")]
#[derive(EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Profile {
    /// Programs.
    Plain,
    /// Excel. A byte order mark is written, because without it Excel does not recognise UTF-8.
    Excel,
}

/// A job as it was requested. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: String,
    /// The time of the request. Events recorded later are not exported.
    pub snapshot: Instant,
    /// The tenant's retention in days at that time.
    pub retention_days: u32,
    pub created_by: Actor,
    /// The caller, as recorded in events about the job.
    pub recorded_by: RecordedBy,
    pub asked: RequestedExport,
    /// The run of a saved search that created the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Origin>,
}

impl Job {
    /// Details that every event about the job carries besides its own.
    pub fn event_details(&self) -> Option<Map<String, Value>> {
        let saved = self.saved.as_ref()?;
        Some([("saved".to_owned(), json!(saved))].into_iter().collect())
    }

    /// The start (inclusive) and end (exclusive) of the range that is read, defaults included.
    pub fn range(&self) -> (Instant, Instant) {
        let oldest =
            self.snapshot.minus(Duration::from_secs(u64::from(self.retention_days) * 86_400));
        let newest = self.snapshot.plus(crate::trail::event_validation::MAX_AHEAD);
        if let Some(Query { since, until, at, .. }) = &self.asked.report {
            let (since, until) = (at.or(*since).unwrap_or(oldest), at.or(*until).unwrap_or(newest));
            return (since.max(oldest), until.min(newest).max(since.max(oldest)));
        }
        let RequestedExport { since, until, include_filters, .. } = &self.asked;
        let since = since.filter(|_| *include_filters).unwrap_or(oldest).max(oldest);
        let until = until.filter(|_| *include_filters).unwrap_or(newest).min(newest);
        (since, until.max(since))
    }

    /// The search for the events after `after`.
    ///
    /// # Errors
    /// A sentence: this version cannot parse the filter or the text that an earlier version stored.
    pub fn search(&self, after: Option<Position>) -> Result<Search, String> {
        let RequestedExport { since, until, filter, q, include_service, include_filters, .. } =
            &self.asked;
        let filters = *include_filters;
        let filter = filter.as_deref().filter(|_| filters).map(Filter::read).transpose();
        Ok(Search {
            range: Range {
                since: since.filter(|_| filters).unwrap_or(Instant::from_millis(i64::MIN)),
                until: until.filter(|_| filters).unwrap_or(Instant::from_millis(i64::MAX)),
                order: Order::Descending,
                after,
            },
            filter: filter.map_err(|error| error.to_string())?,
            words: q.as_deref().filter(|_| filters).map(FreeText::read).transpose()?,
            include_service: *include_service,
        })
    }

    /// Whether the event is among the exported rows.
    pub fn wants(&self, search: &Search, recorded: &Recorded) -> bool {
        recorded.recorded_at <= self.snapshot && search.wants(recorded)
    }

    /// The layout of its tables.
    ///
    /// # Errors
    /// A sentence: this version does not support the time zone or a column.
    pub fn sheet(&self) -> Result<Sheet, String> {
        let (since, until) = self.range();
        let (columns, zone) = (&self.asked.columns, time_zone::zone(&self.asked.tz)?);
        Ok(match &self.asked.report {
            Some(query) => Sheet::Report(Table::new(query.report, columns, zone, [since, until])?),
            None => Sheet::Events(Layout::new(columns, zone, since, until)?),
        })
    }

    /// The name of the file with that number.
    pub fn file_name(&self, number: usize, form: Form) -> String {
        format!("{}-{number:04}.{}", self.asked.file_name, self.ending(form))
    }

    /// The extension of files of that form.
    pub fn ending(&self, form: Form) -> String {
        let coding = if self.asked.gzip { ".gz" } else { "" };
        format!("{form}{coding}")
    }

    pub fn manifest_name(&self) -> String {
        format!("{}-manifest.json", self.asked.file_name)
    }
}

/// The layout of a table, of events or of a report.
#[derive(Debug)]
pub enum Sheet {
    Events(Layout),
    Report(Table),
}

/// A row of a table.
#[derive(Debug)]
pub enum Line {
    Event(Box<Recorded>),
    Row(Box<dyn AnyRow>),
}

impl Sheet {
    /// The names of the columns.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Events(layout) => layout.names(),
            Self::Report(table) => table.names(),
        }
    }

    /// Writes the header row.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        match self {
            Self::Events(layout) => layout.write_head(out),
            Self::Report(table) => table.write_head(out),
        }
    }

    /// Writes a row. A row of the other kind of table is skipped.
    pub fn write_row(&self, line: &Line, out: &mut Vec<u8>) {
        match (self, line) {
            (Self::Events(layout), Line::Event(recorded)) => layout.write_row(recorded, out),
            (Self::Report(table), Line::Row(row)) => table.write_row(&**row, out),
            (Self::Events(_), Line::Row(_)) | (Self::Report(_), Line::Event(_)) => {}
        }
    }
}

impl Line {
    /// Writes the whole row as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Self::Event(recorded) => serde_json::to_writer(out, recorded),
            Self::Row(row) => serde_json::to_writer(out, &row.json()),
        }
    }
}

/// The state of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Display)]
#[strum(serialize_all = "snake_case")]
pub enum ExportState {
    /// No work has started.
    Queued,
    /// The files are being written.
    Running,
    /// Its files are complete.
    Ready,
    /// The export failed; the reason says why.
    Failed,
    /// A caller canceled it.
    Canceled,
    /// Its files were complete and have expired.
    Expired,
}

impl ExportState {
    /// Whether the job is not finished yet.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// The progress of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub state: ExportState,
    /// Why the job failed; while it is in progress, the last error.
    #[serde(default)]
    pub reason: Option<String>,
    /// When the first run started.
    #[serde(default)]
    pub started_at: Option<Instant>,
    /// When the job became ready, failed or was canceled.
    #[serde(default)]
    pub ended_at: Option<Instant>,
    /// When its files expire.
    #[serde(default)]
    pub expires_at: Option<Instant>,
    /// Runs started since the last progress.
    #[serde(default)]
    pub tries: u32,
    /// The furthest position that any run has stored. A run that starts again makes no progress
    /// until it passes this position.
    #[serde(default, serialize_with = "shown", deserialize_with = "read_position")]
    pub reached: Option<Position>,
    pub rows: u64,
    /// Bytes written, of all files.
    pub bytes: u64,
    /// The part of the range that is read, in thousandths.
    pub thousandths: u16,
    /// The manifest, once the files are complete.
    #[serde(default)]
    pub manifest: Option<Manifest>,
    /// The checkpoint from which work continues.
    pub place: Place,
}

impl Progress {
    /// The progress of a new job.
    pub fn none() -> Self {
        Self {
            state: ExportState::Queued,
            reason: None,
            started_at: None,
            ended_at: None,
            expires_at: None,
            tries: 0,
            reached: None,
            rows: 0,
            bytes: 0,
            thousandths: 0,
            manifest: None,
            place: Place::default(),
        }
    }
}

/// The state as a reader sees it: files past their expiry count as expired, even before they are
/// deleted.
pub fn shown_state(progress: &Progress, now: Instant) -> ExportState {
    match (progress.state, progress.expires_at) {
        (ExportState::Ready, Some(at)) if at <= now => ExportState::Expired,
        (state, _) => state,
    }
}
