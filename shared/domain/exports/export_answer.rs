//! An export in an API response, with its files and the links to them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    exports::{
        export_files::{File, Form},
        export_job::{ExportState, Job, Profile, Progress, RequestedExport, shown_state},
        manifest::ManifestAnswer,
        saved_search::Origin,
    },
    reports::report::Query,
    time::timestamp::Instant,
    trail::event::Actor,
};

/// An export: the request, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExportAnswer {
    /// The id in the address of the export.
    pub id: String,
    pub state: ExportState,
    /// The number of rows in the files so far.
    pub rows: u64,
    /// The part of the work that is done, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub progress: f64,
    /// The size of all files so far, in bytes.
    pub bytes: u64,
    /// The time of the request. Events that are recorded later are not exported.
    pub snapshot: Instant,
    /// The time of the request.
    pub created_at: Instant,
    pub created_by: Actor,
    /// Why the export failed; while it is in progress, the last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the work started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
    /// When the export became ready, failed or was canceled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// When the files expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Instant>,
    /// The files, once all of them are complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<ExportFileAnswer>>,
    /// The run of a saved search that created the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<Origin>,
    #[serde(flatten)]
    pub request: ExportRequestAnswer,
}

/// The request for an export, with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExportRequestAnswer {
    /// Start of the range, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// End of the range, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// The filter as the caller wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The search text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Whether the service's own events are exported.
    pub include_service: bool,
    /// Whether range, filter and text apply. If not, the export holds the whole retained trail.
    pub include_filters: bool,
    /// The IANA time zone of times in the files.
    pub tz: String,
    pub profile: Profile,
    /// The names of the columns. Absent if all columns are exported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Whether the files are compressed by gzip.
    pub gzip: bool,
    /// Whether each file is also written in JSON Lines, without loss.
    pub jsonl: bool,
    /// The common start of the files' names.
    pub file_name: String,
    /// The report that is exported instead of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Query>,
}

/// A complete file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExportFileAnswer {
    /// The name under which the file is downloaded, unique in the export.
    pub name: String,
    pub format: Form,
    /// The number of rows.
    pub rows: u64,
    /// The size, in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: String,
}

/// Links to the files of an export.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExportLinksAnswer {
    /// All files but the manifest, each with a link.
    pub files: Vec<FileLinkAnswer>,
    pub manifest: ManifestLinkAnswer,
}

/// A file of an export, with a link to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileLinkAnswer {
    #[serde(flatten)]
    pub file: ExportFileAnswer,
    /// The address from which anyone can download the file until `expires_at`.
    #[schemars(url)]
    pub url: String,
    /// When the link expires.
    pub expires_at: Instant,
}

/// The manifest of an export, with a link to the file that holds it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ManifestLinkAnswer {
    #[serde(flatten)]
    pub manifest: ManifestAnswer,
    /// The name of the manifest's file.
    pub name: String,
    /// SHA-256 of the manifest's file, in lower-case hex. The trail records it too.
    pub sha256: String,
    /// The address from which anyone can download the manifest until `expires_at`.
    #[schemars(url)]
    pub url: String,
    /// When the link expires.
    pub expires_at: Instant,
}

impl From<&RequestedExport> for ExportRequestAnswer {
    fn from(asked: &RequestedExport) -> Self {
        // All fields are named, so that a new one has to be answered.
        let RequestedExport {
            since,
            until,
            filter,
            q,
            include_service,
            include_filters,
            tz,
            profile,
            columns,
            gzip,
            jsonl,
            file_name,
            report,
        } = asked.clone();
        Self {
            since,
            until,
            filter,
            q,
            include_service,
            include_filters,
            tz,
            profile,
            columns,
            gzip,
            jsonl,
            file_name,
            report,
        }
    }
}

impl From<&File> for ExportFileAnswer {
    fn from(file: &File) -> Self {
        let File { name, form, key: _, rows, bytes, sha256 } = file.clone();
        Self { name, format: form, rows, bytes, sha256 }
    }
}

impl ExportAnswer {
    /// The answer for a job.
    pub fn new(job: &Job, progress: &Progress, now: Instant) -> Self {
        let state = shown_state(progress, now);
        let is_complete = state == ExportState::Ready || state == ExportState::Expired;
        let done = if is_complete { 1.0 } else { f64::from(progress.thousandths) / 1000.0 };
        let files = || progress.place.files.iter().map(ExportFileAnswer::from).collect();
        Self {
            id: job.id.clone(),
            state,
            rows: progress.rows,
            progress: done,
            bytes: progress.bytes,
            snapshot: job.snapshot,
            created_at: job.snapshot,
            created_by: job.created_by.clone(),
            reason: progress.reason.clone(),
            started_at: progress.started_at,
            ended_at: progress.ended_at,
            expires_at: progress.expires_at,
            files: (state == ExportState::Ready).then(files),
            saved: job.saved.clone(),
            request: ExportRequestAnswer::from(&job.asked),
        }
    }
}
