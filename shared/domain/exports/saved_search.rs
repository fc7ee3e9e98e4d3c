//! Saved searches and reports: a stored request that is run by hand or on a schedule, and the
//! recipients of its results.
//!
//! The request is that of an export, and each run parses it with the same code. A relative range is
//! resolved at the time of the run; for a scheduled run that is the planned time, however late the
//! run starts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    configuration::{document::Document, document_kind::DocumentKind},
    exports::export_job::{Asked, Job, Progress, answered},
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

/// A saved search or report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The display name.
    pub name: String,
    /// The parameters of the export as the caller wrote them; a time zone is always included.
    #[serde(flatten)]
    pub asked: Map<String, Value>,
    /// The relative range, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RelativeRange>,
    /// The schedule of automatic runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The channels that are notified of scheduled runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The person who created it.
    pub owner: Actor,
}

impl Document for Saved {
    const KIND: DocumentKind = DocumentKind {
        word: "saved",
        action: ConfigurationAction::SavedConfigured,
        noun: "saved search",
        list: "saved",
    };

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Schedule,
    /// A caller requested the run.
    Asked,
}

/// The run of a saved search that created an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub id: String,
    /// Its name at the time of the run.
    pub name: String,
    /// Its owner at the time of the run.
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

impl Saved {
    /// Whether the request may have an end: some reports have none.
    pub fn takes_until(&self) -> bool {
        let Some(report) = self.asked.get("report") else { return true };
        Report::named(report["name"].as_str().unwrap_or_default())
            .is_some_and(|it| it.takes.contains(&"until"))
    }

    /// The run at `at` of this search.
    pub fn origin(&self, id: &str, asked: Option<&Asked>, at: Instant, cause: Cause) -> Origin {
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
    pub fn answered(&self, export: Option<(&Job, &Progress)>, now: Instant) -> Value {
        let Origin { at, cause, since, until, .. } = &self.origin;
        let told = [
            ("at", Some(json!(at))),
            ("cause", Some(json!(cause))),
            ("since", since.map(|since| json!(since))),
            ("until", until.map(|until| json!(until))),
            ("export", export.map(|(job, progress)| answered(job, progress, now))),
            ("error", self.error.as_ref().map(|error| json!(error))),
        ];
        told.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
    }
}
