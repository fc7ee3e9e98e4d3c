//! Export jobs: what is asked for, how far it is, and what its files hold. Pure: nothing here reads a trail or writes a file.
//!
//! A job's events are those of its snapshot, the moment it was asked for: recorded by then, met by its filter, the newest first. So its rows
//! are decided before the first is read, and however often the work on it is begun anew, the same rows come in the same order.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::{
    exports::saved_search::Origin,
    reports::{
        column::{AnyRow, Table},
        report::Query,
    },
    tables::event_columns::Layout,
    time::{time_zone, timestamp::Instant},
    trail::{
        event::{Actor, Recorded, RecordedBy, Tenant},
        filter::{Filter, FreeText},
        position::Position,
        search::{Order, Range, Search},
    },
};

/// The parameters of an export beside `columns`, which is a list.
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

/// Longest file name, without what is added to it.
pub const LONGEST_NAME: usize = 100;

/// What is asked for, every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The first moment of the range.
    pub since: Option<Instant>,
    /// The first moment after it.
    pub until: Option<Instant>,
    /// The filter, as it was written.
    pub filter: Option<String>,
    /// Free text.
    pub q: Option<String>,
    /// Whether the service's own events are wanted too.
    pub include_service: bool,
    /// Whether range, filter and text count at all; where they do not, the whole retained trail is exported.
    pub include_filters: bool,
    /// The IANA zone that times are written in.
    pub tz: String,
    /// What the files are made for.
    pub profile: Profile,
    /// The names of the columns; none: all of them.
    pub columns: Vec<String>,
    /// Whether files are compressed.
    pub gzip: bool,
    /// Whether each file has a lossless twin in JSON Lines.
    pub jsonl: bool,
    /// How the files' names begin.
    pub file_name: String,
    /// The report whose rows are wanted instead of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Query>,
}

/// What files are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Programs.
    Plain,
    /// Excel: with a byte order mark, without which it takes UTF-8 for something else.
    Excel,
}

/// A job as it was asked for; nothing of it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The moment of the call. What was recorded later is not in it.
    pub snapshot: Instant,
    /// Days that events are kept, as the tenant had chosen then.
    pub retention_days: u32,
    /// Who asked.
    pub created_by: Actor,
    /// As the trail remembers that caller.
    pub recorded_by: RecordedBy,
    /// What for.
    pub asked: Asked,
    /// The run of a saved search that it is for, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Origin>,
}

impl Job {
    /// What each event about it says besides its own.
    pub fn told(&self) -> Option<Map<String, Value>> {
        let saved = self.saved.as_ref()?;
        Some([("saved".to_owned(), json!(saved))].into_iter().collect())
    }

    /// The first moment that is read and the first that is not, whether named or not.
    pub fn range(&self) -> (Instant, Instant) {
        let oldest =
            self.snapshot.minus(Duration::from_secs(u64::from(self.retention_days) * 86_400));
        let newest = self.snapshot.plus(crate::trail::event_validation::MAX_AHEAD);
        if let Some(Query { since, until, at, .. }) = &self.asked.report {
            let (since, until) = (at.or(*since).unwrap_or(oldest), at.or(*until).unwrap_or(newest));
            return (since.max(oldest), until.min(newest).max(since.max(oldest)));
        }
        let Asked { since, until, include_filters, .. } = &self.asked;
        let since = since.filter(|_| *include_filters).unwrap_or(oldest).max(oldest);
        let until = until.filter(|_| *include_filters).unwrap_or(newest).min(newest);
        (since, until.max(since))
    }

    /// What is looked for after `after`.
    ///
    /// # Errors
    /// A sentence: the filter or the text is not what this version reads, which it was when the job was stored.
    pub fn search(&self, after: Option<Position>) -> Result<Search, String> {
        let Asked { since, until, filter, q, include_service, include_filters, .. } = &self.asked;
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

    /// Whether an event is among its rows.
    pub fn wants(&self, search: &Search, recorded: &Recorded) -> bool {
        recorded.recorded_at <= self.snapshot && search.wants(recorded)
    }

    /// How its tables are laid out.
    ///
    /// # Errors
    /// A sentence: the zone or a column is not what this version knows.
    pub fn sheet(&self) -> Result<Sheet, String> {
        let (since, until) = self.range();
        let (columns, zone) = (&self.asked.columns, time_zone::zone(&self.asked.tz)?);
        Ok(match &self.asked.report {
            Some(query) => Sheet::Report(Table::new(query.report, columns, zone, [since, until])?),
            None => Sheet::Events(Layout::new(columns, zone, since, until)?),
        })
    }

    /// The name of its `number`th file of a form.
    pub fn file_name(&self, number: usize, form: Form) -> String {
        format!("{}-{number:04}.{}", self.asked.file_name, self.ending(form))
    }

    /// What its files of a form end with.
    pub fn ending(&self, form: Form) -> String {
        let coding = if self.asked.gzip { ".gz" } else { "" };
        format!("{}{coding}", form.ending())
    }

    /// The name of its manifest.
    pub fn manifest_name(&self) -> String {
        format!("{}-manifest.json", self.asked.file_name)
    }
}

/// A table, of events or of a report.
#[derive(Debug)]
pub enum Sheet {
    /// Of events.
    Events(Layout),
    /// Of a report.
    Report(Table),
}

/// A row of it.
#[derive(Debug)]
pub enum Line {
    /// An event.
    Event(Box<Recorded>),
    /// A report's.
    Row(Box<dyn AnyRow>),
}

impl Sheet {
    /// The names in its head.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Events(layout) => layout.names(),
            Self::Report(table) => table.names(),
        }
    }

    /// Writes the head.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        match self {
            Self::Events(layout) => layout.write_head(out),
            Self::Report(table) => table.write_head(out),
        }
    }

    /// Writes a row. One of another table has no cells in this one.
    pub fn write_row(&self, line: &Line, out: &mut Vec<u8>) {
        match (self, line) {
            (Self::Events(layout), Line::Event(recorded)) => layout.write_row(recorded, out),
            (Self::Report(table), Line::Row(row)) => table.write_row(&**row, out),
            (Self::Events(_), Line::Row(_)) | (Self::Report(_), Line::Event(_)) => {}
        }
    }
}

impl Line {
    /// Writes it as JSON, whole.
    ///
    /// # Errors
    /// It is not to be written as JSON, which no row is.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Self::Event(recorded) => serde_json::to_writer(out, recorded),
            Self::Row(row) => serde_json::to_writer(out, &row.json()),
        }
    }
}

/// Where the files of a job are kept: how their keys begin. Keys are short: the embedded S3 keeps each in a file name, twice as long.
pub fn prefix(tenant: &Tenant, job: &str) -> String {
    format!("{tenant}/{}/", job.replace('-', ""))
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The table.
    Csv,
    /// Its lossless twin: an answered event a line.
    Jsonl,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// The media type of a file that is not compressed.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/jsonl; charset=utf-8",
        }
    }
}

/// What has become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was done for it yet.
    Queued,
    /// It is worked on.
    Running,
    /// Its files are complete.
    Ready,
    /// It came to nothing; the reason says why.
    Failed,
    /// Somebody took it back.
    Canceled,
    /// Its files were complete and are gone.
    Expired,
}

impl State {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }

    /// Whether something is still to come of it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What has become of it.
    pub state: State,
    /// Why it failed; while it is under way, what last went wrong.
    #[serde(default)]
    pub reason: Option<String>,
    /// When work on it began.
    #[serde(default)]
    pub started_at: Option<Instant>,
    /// When it became ready, failed or was canceled.
    #[serde(default)]
    pub ended_at: Option<Instant>,
    /// Until when its files are kept.
    #[serde(default)]
    pub expires_at: Option<Instant>,
    /// Runs begun since something was last achieved.
    #[serde(default)]
    pub tries: u32,
    /// The furthest place that any run put work down at. One that was begun anew achieves nothing until it is beyond that.
    #[serde(default, serialize_with = "shown", deserialize_with = "read_position")]
    pub reached: Option<Position>,
    /// Rows written.
    pub rows: u64,
    /// Bytes written, of all files.
    pub bytes: u64,
    /// How much of its range is read, in thousandths.
    pub thousandths: u16,
    /// The manifest, once all is complete.
    #[serde(default)]
    pub manifest: Option<Manifest>,
    /// Where work goes on.
    pub place: Place,
}

impl Progress {
    /// Of a job that nobody has worked on.
    pub fn none() -> Self {
        Self {
            state: State::Queued,
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

/// Where a manifest is, and what it has to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its key in the bucket.
    pub key: String,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
}

/// A place from which work goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The last event that was taken, of those in files that are complete and of those in the open ones.
    #[serde(serialize_with = "shown", deserialize_with = "read_position")]
    pub after: Option<Position>,
    /// The same of a report's rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_row: Option<String>,
    /// Complete files.
    pub files: Vec<File>,
    /// Files that are being written.
    pub open: Option<Open>,
}

fn shown<S: Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    position.as_ref().map(ToString::to_string).serialize(serializer)
}

fn read_position<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Position>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| text.parse().map_err(|()| serde::de::Error::custom("no position"));
    text.map(read).transpose()
}

impl Place {
    /// Rows in complete files.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter(|file| file.form == Form::Csv).map(|file| file.rows).sum()
    }

    /// Bytes of complete files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The same place where the open files were begun, and the uploads that are to be given up for that.
    pub fn rewound(mut self) -> (Self, Vec<Upload>) {
        let Some(open) = self.open.take() else { return (self, Vec::new()) };
        self.after = open.begun_after;
        self.after_row = open.begun_after_row;
        let uploads = open.outputs.into_iter().filter_map(|output| output.upload).collect();
        (self, uploads)
    }
}

/// A file that is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its form.
    pub form: Form,
    /// Its key in the bucket.
    pub key: String,
    /// Events in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
}

/// The files that are being written, one of each form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Where the job stood when they were begun.
    #[serde(serialize_with = "shown", deserialize_with = "read_position")]
    pub begun_after: Option<Position>,
    /// The same of a report's rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_after_row: Option<String>,
    /// Events in them.
    pub rows: u64,
    /// Whether all that is said of them was put down together, by a run that then stopped. Else that run may still be at work, or was killed,
    /// and whoever comes next begins these files anew, in uploads of its own that nobody else writes to.
    pub is_settled: bool,
    /// The files.
    pub outputs: Vec<Output>,
}

/// A file that is being written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its form.
    pub form: Form,
    /// What is uploaded of it.
    pub upload: Option<Upload>,
    /// The key of what is written and too little for a part.
    pub rest: Option<String>,
    /// Bytes written, uploaded or in the rest.
    pub bytes: u64,
    /// The state of SHA-256 after what is uploaded, in hex.
    pub hash: Option<String>,
}

/// A multipart upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// The key of the file that it becomes.
    pub key: String,
    /// Its id in S3.
    pub id: String,
    /// Its parts, the first first.
    pub parts: Vec<Part>,
}

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// As S3 named it.
    pub etag: String,
    /// SHA-256 of it, as S3 takes it: base64.
    pub sha256: String,
}

/// A job as the API answers it.
pub fn answered(job: &Job, progress: &Progress, now: Instant) -> Value {
    let Job { id, snapshot, created_by, asked, saved, .. } = job;
    let Progress { reason, started_at, ended_at, expires_at, rows, bytes, place, .. } = progress;
    let state = shown_state(progress, now);
    let done = if state == State::Ready || state == State::Expired {
        1.0
    } else {
        f64::from(progress.thousandths) / 1000.0
    };
    let mut answer = json!({
        "id": id, "state": state, "rows": rows, "progress": done, "bytes": bytes, "snapshot": snapshot, "created_at": snapshot,
        "created_by": created_by,
    });
    for (name, value) in [
        ("reason", reason.as_ref().map(|reason| json!(reason))),
        ("started_at", started_at.map(|at| json!(at))),
        ("ended_at", ended_at.map(|at| json!(at))),
        ("expires_at", expires_at.map(|at| json!(at))),
    ] {
        if let Some(value) = value {
            answer[name] = value;
        }
    }
    if state == State::Ready {
        answer["files"] = place.files.iter().map(described).collect();
    }
    if let Some(saved) = saved {
        answer["saved"] = json!(saved);
    }
    merge(&mut answer, json!(asked));
    answer
}

/// What has become of a job by now: files whose time is over are gone for a reader, even while they are still to be deleted.
pub fn shown_state(progress: &Progress, now: Instant) -> State {
    match (progress.state, progress.expires_at) {
        (State::Ready, Some(at)) if at <= now => State::Expired,
        (state, _) => state,
    }
}

/// A file as answers and the manifest tell of it.
pub fn described(file: &File) -> Value {
    let File { name, form, rows, bytes, sha256, .. } = file;
    json!({"name": name, "format": form, "rows": rows, "bytes": bytes, "sha256": sha256})
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        let is_said = |value: &Value| {
            !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
        };
        into.extend(from.into_iter().filter(|(_, value)| is_said(value)));
    }
}

/// What a manifest says of files of events.
const EVENTS_NOTE: &str = "Rows are the events of the range, which ends where the retention ended at the snapshot, that were recorded up to the snapshot \
    and meet the filters, the newest first. Filters count where include_filters is true; the service's own events are there where \
    include_service is true. In CSV files a cell that a spreadsheet could take for a formula begins with ', and control characters are written \
    \\u00XX; JSON Lines files hold the events as they are.";
/// The same of files of a report.
const REPORT_NOTE: &str = "Rows are those of the report as it stood when they were read, after the snapshot. In CSV files a cell that a spreadsheet \
    could take for a formula begins with ', and control characters are written \\u00XX; JSON Lines files hold the rows as they are.";

/// What goes with the files: what was asked for, in clear, and what each file has to be.
pub fn manifest(tenant: &Tenant, job: &Job, place: &Place, sheet: &Sheet) -> Value {
    let (first, end) = job.range();
    let note = match sheet {
        Sheet::Events(_) => EVENTS_NOTE.to_owned(),
        Sheet::Report(_) => {
            let more = job.asked.report.as_ref().and_then(|query| query.report.described().note);
            more.map_or_else(
                || REPORT_NOTE.to_owned(),
                |more| format!("{REPORT_NOTE} Of this report: {more}."),
            )
        }
    };
    let mut manifest = json!({
        "manifest": "jit-audit/export/v1",
        "tenant": tenant, "id": job.id, "snapshot": job.snapshot, "created_by": job.created_by,
        "retention_days": job.retention_days,
        "range": {"since": first, "until": end},
        "rows": place.rows(),
        "files": place.files.iter().map(described).collect::<Vec<_>>(),
        "order": "desc",
        "note": note,
    });
    if let Some(saved) = &job.saved {
        manifest["saved"] = json!(saved);
    }
    merge(&mut manifest, json!(job.asked));
    manifest["header"] = sheet.names().into();
    manifest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_written() {
        let position: Position = "2026-11-22T00:26:07.000Z#a-1".parse().unwrap();
        let place = Place {
            after: Some(position.clone()),
            after_row: None,
            files: vec![File {
                name: "a-0001.csv".into(),
                form: Form::Csv,
                key: "exports/acme/1/x/a-0001.csv".into(),
                rows: 2,
                bytes: 3,
                sha256: "00".into(),
            }],
            open: Some(Open {
                begun_after: None,
                begun_after_row: None,
                rows: 7,
                is_settled: true,
                outputs: vec![Output {
                    form: Form::Jsonl,
                    upload: Some(Upload {
                        key: "k".into(),
                        id: "u".into(),
                        parts: vec![Part { etag: "\"e\"".into(), sha256: "s".into() }],
                    }),
                    rest: Some("r".into()),
                    bytes: 9,
                    hash: Some("ff".into()),
                }],
            }),
        };
        let read: Place = serde_json::from_str(&serde_json::to_string(&place).unwrap()).unwrap();
        assert_eq!(read, place);
        let (rewound, uploads) = place.rewound();
        assert_eq!((rewound.after, rewound.open, uploads.len()), (None, None, 1));
    }
}
