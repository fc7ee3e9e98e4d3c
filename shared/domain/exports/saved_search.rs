//! Saved searches and reports: what somebody asks again and again, by hand or by a schedule, and who is told when it is there.
//!
//! What is asked is what an export is asked for, read by the same code each time it runs. A range that moves is resolved at the moment of
//! the run; for a run of a schedule that is the moment it was planned for, however late it is made.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    exports::export_job::{Asked, Job, Progress, answered},
    reports::report::Report,
    time::{
        schedule::{RelativeRange, Schedule},
        time_zone,
        timestamp::Instant,
    },
    trail::event::Actor,
};

/// Most saved searches of a tenant.
pub const MOST_SAVED: usize = 200;

/// A saved search or report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// What people call it.
    pub name: String,
    /// What is asked of an export, as it was written; a zone is always there.
    #[serde(flatten)]
    pub asked: Map<String, Value>,
    /// The range, where it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RelativeRange>,
    /// When it runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The channels that are told of runs that it made by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Whoever saved it first.
    pub owner: Actor,
}

/// A saved search with its id, as answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Configured {
    /// The id.
    pub id: String,
    /// What is configured.
    #[serde(flatten)]
    pub saved: Saved,
    /// When its schedule runs it next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<Instant>,
}

/// Why a run was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its schedule had come to it.
    Schedule,
    /// Somebody asked for it.
    Asked,
}

/// The run of a saved search that an export was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The saved search's id.
    pub id: String,
    /// Its name then.
    pub name: String,
    /// Whose it was.
    pub owner: Actor,
    /// Why it was made.
    pub cause: Cause,
    /// The moment it was for.
    pub at: Instant,
    /// The first moment of its range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// The first moment after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// The zone in which it counts.
    pub tz: String,
}

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it was.
    #[serde(flatten)]
    pub origin: Origin,
    /// The export that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// Why it made none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Saved {
    /// Whether what is asked may have an end.
    pub fn takes_until(&self) -> bool {
        let Some(report) = self.asked.get("report") else { return true };
        Report::named(report["name"].as_str().unwrap_or_default())
            .is_some_and(|it| it.takes.contains(&"until"))
    }

    /// The run that asks for that.
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

    /// When its schedule, if it has one, runs it after a moment.
    pub fn next_run(&self, after: Instant) -> Option<Instant> {
        // One that was stored has a zone that is known. Were it not any more, runs at another hour are better than none.
        let zone = self.zone().unwrap_or(TimeZone::UTC);
        Some(self.schedule?.next_after(after, &zone))
    }

    /// Whether it runs at the same times as another.
    pub fn runs_as(&self, other: &Self) -> bool {
        self.schedule == other.schedule && self.tz() == other.tz()
    }

    fn tz(&self) -> &str {
        self.asked.get("tz").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its zone.
    ///
    /// # Errors
    /// The sentence that says what is wrong with its name.
    pub fn zone(&self) -> Result<TimeZone, String> {
        time_zone::zone(self.tz())
    }
}

impl Configured {
    /// All that a person who types looks for.
    pub fn searchable(&self) -> Vec<&str> {
        vec![&self.id, &self.saved.name]
    }
}

impl Run {
    /// The run as the API answers it, with its export as that is now.
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
