//! Parses a saved search, and builds the export that one of its runs makes.

mod schema;

use serde_json::{Map, Value, json};

use crate::{export_request::ExportMembers, parameter_reader::Types, problem::RequestError};
use shared_domain::{
    configuration::{alert_channel::Channel, document::Document},
    exports::{
        export_job::{PARAMETERS, RequestedExport},
        saved_search::{Cause, Saved},
    },
    json::{
        object_reader::{Fields, NAME_BYTES, read_members},
        strict_json::{self, FieldError},
    },
    reports::report::Report,
    time::{
        schedule::{RelativeRange, Schedule},
        time_zone::{self, TimeZone},
        timestamp::Instant,
    },
    trail::event::Actor,
};
use shared_storage::TenantScope;

pub use schema::SavedSearchRequest;

/// Most recipients. A tenant has at most this many channels.
const MOST_RECIPIENTS: usize = 10;
/// The members of a saved search that are not members of an export.
const OWN: [&str; 4] = ["name", "range", "schedule", "recipients"];

/// Parses the body of a request for a saved search, which `owner` owns. It is checked by building
/// the export from it that a run now would make.
///
/// # Errors
/// All errors found.
pub fn read_saved_search(
    scope: &TenantScope<'_>,
    json: &str,
    owner: Actor,
) -> Result<Saved, Vec<FieldError>> {
    let (mut members, faults) = match strict_json::read_members(json) {
        (Some(members), faults) => (members, faults),
        (None, faults) => return Err(faults),
    };
    Saved::READ_ONLY.iter().for_each(|member| drop(members.remove(member.key)));
    let own: Map<_, _> = OWN.into_iter().filter_map(|name| members.remove_entry(name)).collect();
    members.entry("tz").or_insert_with(|| scope.settings.zone.clone().into());
    let zone = members.get("tz").and_then(Value::as_str).map(time_zone::zone);
    let zone = zone.and_then(Result::ok);
    let mut parts = Parts::default();
    let read = read_members(own, "", |mut fields| {
        parts.read(&mut fields, &members, &scope.settings.alerts);
        parts.check_first_run(&mut fields, scope.now, zone.as_ref());
        Some(())
    });
    let asked = match (parts.range, &zone) {
        (Some(range), Some(zone)) => in_range(&members, range, scope.now, zone),
        _ => members.clone(),
    };
    let export = ExportMembers::new(asked, &known(), Types::Checked).with_errors(faults);
    let Parts { name, range, schedule, recipients } = parts;
    match (read, export.read(scope), name) {
        (Ok(()), Ok(_), Some(name)) => {
            Ok(Saved { name, asked: members, range, schedule, recipients, owner })
        }
        (read, export, _) => {
            let mut errors = read.err().unwrap_or_default();
            for error in export.err().unwrap_or_default().into_iter().map(FieldError::from) {
                // A member that is given twice may be wrong as well.
                if !errors.iter().any(|other| other.pointer == error.pointer) {
                    errors.push(error);
                }
            }
            Err(errors)
        }
    }
}

/// The members of a saved search that an export does not have.
#[derive(Default)]
struct Parts {
    name: Option<String>,
    range: Option<RelativeRange>,
    schedule: Option<Schedule>,
    recipients: Vec<String>,
}

impl Parts {
    fn read(&mut self, fields: &mut Fields<'_>, others: &Map<String, Value>, channels: &[Channel]) {
        self.name = fields.required_text("name", NAME_BYTES);
        self.range = RelativeRange::read(fields, "range");
        if self.range.is_some()
            && let Some(why) = no_range(others)
        {
            fields.fault("range", why);
            self.range = None;
        }
        self.schedule = Schedule::read(fields, "schedule");
        self.recipients = recipients(fields, self.schedule.is_some(), channels);
        fields.refuse_others();
    }

    /// Reports a range that has not begun when the schedule runs first.
    fn check_first_run(&self, fields: &mut Fields<'_>, now: Instant, zone: Option<&TimeZone>) {
        if let (Some(range), Some(schedule), Some(zone)) = (self.range, self.schedule, zone) {
            let next = schedule.next_after(now, zone);
            if range.resolve(next, zone).0 >= next {
                let detail = format!(
                    "\"{range}\" holds nothing yet when the schedule runs; take the one before it, or a later time of day"
                );
                fields.fault("range", detail);
            }
        }
    }
}

/// The export for a run at the time `at`.
///
/// # Errors
/// All errors found, if the export is not valid or no longer is.
pub fn export_at(
    saved: &Saved,
    scope: &TenantScope<'_>,
    at: Instant,
    cause: Cause,
) -> Result<RequestedExport, Vec<RequestError>> {
    let mut members = match saved.range {
        Some(range) => {
            let wrong = |detail| vec![FieldError::new("/tz", detail).into()];
            in_range(&saved.asked, range, at, &saved.zone().map_err(wrong)?)
        }
        None => saved.asked.clone(),
    };
    // A scheduled run ends at its planned time, however late it starts. Later events belong to the
    // next run.
    if cause == Cause::Schedule && saved.takes_until() {
        change_bounds(&mut members, |within| {
            within.entry("until").or_insert_with(|| json!(at));
        });
    }
    ExportMembers::new(members, &known(), Types::AsStored).read(scope)
}

/// The names of the members. `include_filters` is not stored: a caller who wants no filters saves a
/// search without them.
fn known() -> Vec<&'static str> {
    let of_export = PARAMETERS.into_iter().filter(|name| *name != "include_filters");
    of_export.chain(["columns", "report"]).chain(OWN).collect()
}

/// The members of an export in a relative range, at the time `at`.
fn in_range(
    members: &Map<String, Value>,
    range: RelativeRange,
    at: Instant,
    zone: &TimeZone,
) -> Map<String, Value> {
    let mut members = members.clone();
    let (since, until) = range.resolve(at, zone);
    change_bounds(&mut members, |within| {
        within.insert("since".to_owned(), json!(since));
        within.extend(until.map(|until| ("until".to_owned(), json!(until))));
    });
    members
}

/// Changes the members among which an export has its range: those of its report, or its own.
fn change_bounds(members: &mut Map<String, Value>, change: impl FnOnce(&mut Map<String, Value>)) {
    match members.get_mut("report") {
        Some(Value::Object(report)) => change(report),
        _ => change(members),
    }
}

/// Why a relative range cannot be combined with the other members, if so.
fn no_range(members: &Map<String, Value>) -> Option<String> {
    let bounds = ["since", "until"];
    let Some(report) = members.get("report") else {
        return bounds.iter().any(|bound| members.contains_key(*bound)).then(|| {
            "does not go with \"since\" or \"until\"; leave out the one or the others".to_owned()
        });
    };
    let name = report["name"].as_str().unwrap_or_default();
    // An unknown report is refused later, with the other members.
    let takes = Report::named(name)?.takes;
    if !bounds.iter().all(|bound| takes.contains(bound)) {
        return Some(format!("the report {name:?} takes no range; leave it out"));
    }
    bounds.iter().any(|bound| report.get(*bound).is_some()).then(|| {
        "does not go with \"since\" or \"until\" of the report; leave out the one or the others"
            .to_owned()
    })
}

/// Parses the recipients. Each must be a channel of the tenant.
fn recipients(fields: &mut Fields<'_>, has_schedule: bool, channels: &[Channel]) -> Vec<String> {
    let recipients = fields.any_texts("recipients", MOST_RECIPIENTS);
    if !recipients.is_empty() && !has_schedule && !fields.has_fault_at("/schedule") {
        fields.fault(
            "recipients",
            "are told of what a schedule runs; give a \"schedule\" too, or leave them out",
        );
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
