//! Saved searches and reports: a stored request that is run by hand or on a schedule, and the
//! recipients of its results.
//!
//! The request is that of an export, and each run parses it with the same code. A relative range is
//! resolved at the time of the run; for a scheduled run that is the planned time, however late the
//! run starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    configuration::{
        document::Document,
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly},
    },
    exports::{
        export_answer::ExportAnswer,
        export_job::{Job, Profile, Progress, RequestedExport},
    },
    reports::report::Report,
    time::{
        schedule::{RelativeRange, Schedule},
        time_zone::{self, TimeZone},
        timestamp::Instant,
    },
    trail::{actions::ConfigurationAction, event::Actor},
};

/// Most saved searches of a tenant.
pub const MOST_SAVED: usize = 200;

/// A saved search or report: an export that is run by hand or on a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SavedSearch")]
pub struct Saved {
    /// The display name.
    pub name: String,
    /// The parameters of the export as the caller wrote them; a time zone is always included.
    #[serde(flatten)]
    #[schemars(with = "SavedParameters")]
    pub asked: Map<String, Value>,
    /// The range of each run, relative to the time of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RelativeRange>,
    /// The schedule of automatic runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The ids of the alert channels that are notified of scheduled runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The person who created it.
    pub owner: Actor,
}

/// The parameters of a saved export, as readers of the API see them.
#[derive(Serialize, JsonSchema)]
struct SavedParameters {
    /// Start of the range, inclusive: a time, or a day in the time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// End of the range, exclusive: a time, or a day in the time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// The filter of events, in the syntax of `GET /v1/events`.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    /// The search text.
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<String>,
    /// Whether the service's own events are exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    include_service: Option<bool>,
    /// The IANA time zone of days in the parameters and of times in the files.
    tz: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
    /// The names of the columns. Absent if all columns are exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    /// Whether the files are compressed by gzip.
    #[serde(skip_serializing_if = "Option::is_none")]
    gzip: Option<bool>,
    /// Whether each file is also written in JSON Lines, without loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    jsonl: Option<bool>,
    /// The common start of the files' names.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    /// The report that is exported instead of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<SavedReport>,
}

/// A report and its parameters, as the caller wrote them.
#[derive(Serialize, JsonSchema)]
struct SavedReport {
    /// The name of the report.
    name: String,
    /// The parameters of the report.
    #[serde(flatten)]
    parameters: Map<String, Value>,
}

impl Document for Saved {
    const KIND: DocumentKind = DocumentKind {
        word: "saved",
        action: ConfigurationAction::SavedConfigured,
        noun: "saved search",
        list: "saved",
    };
    const IS_SCHEDULED: bool = true;
    const READ_ONLY: &'static [ReadOnly] =
        &[ID, ReadOnly::object("owner"), ReadOnly::measured_text("next_run_at")];

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn searchable(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn next_run_at(&self, due_at: Option<Instant>) -> Option<Instant> {
        due_at.filter(|_| self.schedule.is_some())
    }
}

/// Why a saved search was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RunCause")]
pub enum Cause {
    /// The run was planned.
    Schedule,
    /// A caller requested the run.
    Asked,
}

/// The run of a saved search that created an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExportOrigin")]
pub struct Origin {
    /// The id of the saved search.
    pub id: String,
    /// The name of the saved search at the time of the run.
    pub name: String,
    /// The owner of the saved search at the time of the run.
    pub owner: Actor,
    pub cause: Cause,
    /// The time for which the run was planned or requested.
    pub at: Instant,
    /// Start of the range, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// End of the range, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// The time zone of the range.
    pub tz: String,
}

/// A stored run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    #[serde(flatten)]
    pub origin: Origin,
    /// The export that the run created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// Why the run created no export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A run of a saved search.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RunAnswer {
    /// The time for which the run was planned or requested.
    pub at: Instant,
    pub cause: Cause,
    /// Start of the range, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// End of the range, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// The export that the run created, in its current state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportAnswer>,
    /// Why the run created no export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Saved {
    /// Whether the request may have an end: some reports have none.
    pub fn takes_until(&self) -> bool {
        let Some(report) = self.asked.get("report") else { return true };
        Report::named(report["name"].as_str().unwrap_or_default())
            .is_some_and(|it| it.takes.contains(&"until"))
    }

    /// The run at `at` of this search.
    pub fn origin(
        &self,
        id: &str,
        asked: Option<&RequestedExport>,
        at: Instant,
        cause: Cause,
    ) -> Origin {
        let report = asked.and_then(|asked| asked.report.as_ref());
        let [since, until] = match (report, asked) {
            (Some(query), _) => [query.since, query.until],
            (None, Some(asked)) => [asked.since, asked.until],
            (None, None) => [None, None],
        };
        let (name, owner, tz) = (self.name.clone(), self.owner.clone(), self.tz().to_owned());
        Origin { id: id.to_owned(), name, owner, cause, at, since, until, tz }
    }

    /// The first scheduled run after `after`.
    pub fn next_run(&self, after: Instant) -> Option<Instant> {
        // A stored time zone was valid when it was saved. Should it no longer be, runs at another
        // hour are better than no runs.
        let zone = self.zone().unwrap_or_else(|_| TimeZone::utc());
        Some(self.schedule?.next_after(after, &zone))
    }

    /// Whether both have the same schedule and time zone.
    pub fn runs_as(&self, other: &Self) -> bool {
        self.schedule == other.schedule && self.tz() == other.tz()
    }

    fn tz(&self) -> &str {
        self.asked.get("tz").and_then(Value::as_str).unwrap_or_default()
    }

    /// The time zone.
    ///
    /// # Errors
    /// A sentence: the name of the zone is unknown.
    pub fn zone(&self) -> Result<TimeZone, String> {
        time_zone::zone(self.tz())
    }
}

impl Run {
    /// A run in an API response, with the current state of its export.
    pub fn answered(&self, export: Option<(&Job, &Progress)>, now: Instant) -> RunAnswer {
        let Origin { at, cause, since, until, .. } = self.origin;
        RunAnswer {
            at,
            cause,
            since,
            until,
            export: export.map(|(job, progress)| ExportAnswer::new(job, progress, now)),
            error: self.error.clone(),
        }
    }
}
