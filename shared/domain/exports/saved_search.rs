//! Saved searches and reports: what somebody asks again and again, by hand or by a schedule, and who is told when it is there.
//!
//! What is asked is what an export is asked for, read by the same code each time it runs. A range that moves is resolved at the moment of
//! the run; for a run of a schedule that is the moment it was planned for, however late it is made.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    domain::{
        alerts::alert::Channel,
        exports::export_job::{Asked, Job, PARAMETERS, Progress, answered},
        json::{
            object_reader::{Fields, NAME_BYTES, read_members},
            strict_json::FieldError,
        },
        reports::report::Report,
        time::{
            schedule::{RelativeRange, Schedule},
            time_zone,
            timestamp::Instant,
        },
        trail::event::Actor,
    },
    http::{problem::Problem, request::Parameters},
    storage::Trail,
};

/// Most saved searches of a tenant.
pub const MOST_SAVED: usize = 200;
/// Most recipients: a tenant has no more channels.
const MOST_RECIPIENTS: usize = 10;
/// The members of a saved search that are not asked of an export.
const OWN: [&str; 4] = ["name", "range", "schedule", "recipients"];
/// Members of an export that are true or false.
const FLAGS: [&str; 3] = ["include_service", "gzip", "jsonl"];

/// A saved search or report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// What people call it.
    pub name: String,
    /// What is asked of an export, as it was written; a zone is always there.
    #[serde(flatten)]
    asked: Map<String, Value>,
    /// The range, where it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<RelativeRange>,
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
    /// Reads what a caller saves, who owns it from then on. Whether it can run is found out by asking for it now.
    ///
    /// # Errors
    /// 422 for what is wrong with its name, range, schedule or recipients; 400 for the rest, as where an export is asked for.
    pub fn read(trail: &Trail<'_>, mut members: Map<String, Value>, owner: Actor) -> Result<Self, Problem> {
        let own: Map<_, _> = OWN.into_iter().filter_map(|name| members.remove_entry(name)).collect();
        members.entry("tz").or_insert_with(|| trail.settings.zone.clone().into());
        let read = read_members(own, "", |mut fields| {
            let name = fields.required_text("name", NAME_BYTES);
            let range = RelativeRange::read(&mut fields, "range");
            if range.is_some()
                && let Some(why) = no_range(&members)
            {
                fields.fault("range", why);
            }
            let schedule = Schedule::read(&mut fields, "schedule");
            let recipients = recipients(&mut fields, schedule.is_some(), &trail.settings.alerts);
            fields.refuse_others();
            Some(Self { name: name?, asked: members, range, schedule, recipients, owner })
        });
        let mut saved = read.map_err(|errors| Problem::invalid("the saved search was not stored", errors))?;
        let asked = saved.asked_at(trail, trail.now, Cause::Asked)?;
        if let (Some(range), Some(next)) = (saved.range, saved.next_run(trail.now))
            && range.resolve(next, &saved.zone()?).0 >= next
        {
            let detail = format!(
                "\"{range}\" holds nothing yet when the schedule runs; take the one before it, or a later time of day"
            );
            let errors = vec![FieldError::new("/range", detail)];
            return Err(Problem::invalid("the saved search was not stored", errors));
        }
        // As true or false, however they were written.
        for (name, flag) in FLAGS.into_iter().zip([asked.include_service, asked.gzip, asked.jsonl]) {
            if let Some(written) = saved.asked.get_mut(name) {
                *written = flag.into();
            }
        }
        Ok(saved)
    }

    /// What a run asks of an export that is for a moment.
    ///
    /// # Errors
    /// 400 for what cannot be asked for, or not any more.
    pub fn asked_at(&self, trail: &Trail<'_>, at: Instant, cause: Cause) -> Result<Asked, Problem> {
        let mut members = self.asked.clone();
        let has_end = self.takes_until();
        let within = match members.get_mut("report") {
            Some(Value::Object(report)) => report,
            Some(_) | None => &mut members,
        };
        if let Some(range) = self.range {
            let (since, until) = range.resolve(at, &self.zone()?);
            within.insert("since".to_owned(), json!(since));
            within.extend(until.map(|until| ("until".to_owned(), json!(until))));
        }
        // What happened after the moment that a run is for is the next one's, however late this one is made.
        if cause == Cause::Schedule && has_end {
            within.entry("until").or_insert_with(|| json!(at));
        }
        let (columns, report) = (members.remove("columns"), members.remove("report"));
        // Whether filters count is nothing to save: who saves a search without any leaves them out.
        let known: Vec<_> = PARAMETERS.into_iter().filter(|name| *name != "include_filters").collect();
        Asked::read(trail, &Parameters::from_members(members, &known)?, columns, report)
    }

    /// Whether what is asked may have an end.
    fn takes_until(&self) -> bool {
        let Some(report) = self.asked.get("report") else { return true };
        Report::named(report["name"].as_str().unwrap_or_default()).is_some_and(|it| it.takes.contains(&"until"))
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

    fn zone(&self) -> Result<TimeZone, Problem> {
        time_zone::zone(self.tz()).map_err(|detail| Problem::bad_request(format!("\"tz\": {detail}")))
    }
}

/// Why a range that moves does not go with what else is asked, where it does not.
fn no_range(members: &Map<String, Value>) -> Option<String> {
    let bounds = ["since", "until"];
    let Some(report) = members.get("report") else {
        return bounds
            .iter()
            .any(|bound| members.contains_key(*bound))
            .then(|| "does not go with \"since\" or \"until\"; leave out the one or the others".to_owned());
    };
    let name = report["name"].as_str().unwrap_or_default();
    // One that is not there is refused with the rest of what is asked.
    let takes = Report::named(name)?.takes;
    if !bounds.iter().all(|bound| takes.contains(bound)) {
        return Some(format!("the report {name:?} takes no range; leave it out"));
    }
    bounds
        .iter()
        .any(|bound| report.get(*bound).is_some())
        .then(|| "does not go with \"since\" or \"until\" of the report; leave out the one or the others".to_owned())
}

/// The channels that are to be told, all of which the tenant has.
fn recipients(fields: &mut Fields<'_>, has_schedule: bool, channels: &[Channel]) -> Vec<String> {
    let recipients = fields.any_texts("recipients", MOST_RECIPIENTS);
    if !recipients.is_empty() && !has_schedule && !fields.has_fault_at("/schedule") {
        fields.fault("recipients", "are told of what a schedule runs; give a \"schedule\" too, or leave them out");
        return recipients;
    }
    for (place, recipient) in recipients.iter().enumerate() {
        let path = format!("recipients/{place}");
        if !channels.iter().any(|channel| channel.id == *recipient) {
            let known: Vec<_> = channels.iter().map(|channel| channel.id.as_str()).collect();
            let known = match known.is_empty() {
                true => "none is configured yet: PUT /v1/settings {\"alerts\": [...]}".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            fields.fault(&path, format!("{recipient:?} is no channel of the tenant; {known}"));
        } else if recipients[..place].contains(recipient) {
            fields.fault(&path, format!("{recipient:?} is named twice"));
        }
    }
    recipients
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
        told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
    }
}
