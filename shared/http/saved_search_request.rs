//! Parses a saved search, and builds the export that one of its runs makes.

mod schema;

use serde_json::{Map, Value, json};

use crate::{
    export_request::{read_export, require_types},
    problem::Problem,
    request::Parameters,
};
use shared_domain::{
    configuration::alert_channel::Channel,
    exports::{
        export_job::{PARAMETERS, RequestedExport},
        saved_search::{Cause, Saved},
    },
    json::{
        object_reader::{Fields, NAME_BYTES, read_members},
        strict_json::FieldError,
    },
    reports::report::Report,
    time::{
        schedule::{RelativeRange, Schedule},
        time_zone::TimeZone,
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

/// Parses a saved search, which `owner` owns. It is checked by building an export from it now.
///
/// # Errors
/// 422 for a wrong name, range, schedule or recipient; 400 for the rest, as for an export.
pub fn read_saved_search(
    scope: &TenantScope<'_>,
    mut members: Map<String, Value>,
    owner: Actor,
) -> Result<Saved, Problem> {
    let own: Map<_, _> = OWN.into_iter().filter_map(|name| members.remove_entry(name)).collect();
    require_types(&members)?;
    members.entry("tz").or_insert_with(|| scope.settings.zone.clone().into());
    let read = read_members(own, "", |mut fields| {
        let name = fields.required_text("name", NAME_BYTES);
        let range = RelativeRange::read(&mut fields, "range");
        if range.is_some()
            && let Some(why) = no_range(&members)
        {
            fields.fault("range", why);
        }
        let schedule = Schedule::read(&mut fields, "schedule");
        let recipients = recipients(&mut fields, schedule.is_some(), &scope.settings.alerts);
        fields.refuse_others();
        Some(Saved { name: name?, asked: members, range, schedule, recipients, owner })
    });
    let saved =
        read.map_err(|errors| Problem::invalid("the saved search was not stored", errors))?;
    export_at(&saved, scope, scope.now, Cause::Asked)?;
    if let (Some(range), Some(next)) = (saved.range, saved.next_run(scope.now))
        && range.resolve(next, &zone_of(&saved)?).0 >= next
    {
        let detail = format!(
            "\"{range}\" holds nothing yet when the schedule runs; take the one before it, or a later time of day"
        );
        let errors = vec![FieldError::new("/range", detail)];
        return Err(Problem::invalid("the saved search was not stored", errors));
    }
    Ok(saved)
}

/// The export for a run at the time `at`.
///
/// # Errors
/// 400 if the export is not valid, or no longer is.
pub fn export_at(
    saved: &Saved,
    scope: &TenantScope<'_>,
    at: Instant,
    cause: Cause,
) -> Result<RequestedExport, Problem> {
    let mut members = saved.asked.clone();
    let has_end = saved.takes_until();
    let within = match members.get_mut("report") {
        Some(Value::Object(report)) => report,
        Some(_) | None => &mut members,
    };
    if let Some(range) = saved.range {
        let (since, until) = range.resolve(at, &zone_of(saved)?);
        within.insert("since".to_owned(), json!(since));
        within.extend(until.map(|until| ("until".to_owned(), json!(until))));
    }
    // A scheduled run ends at its planned time, however late it starts. Later events belong to the
    // next run.
    if cause == Cause::Schedule && has_end {
        within.entry("until").or_insert_with(|| json!(at));
    }
    let (columns, report) = (members.remove("columns"), members.remove("report"));
    // `include_filters` is not stored: a caller who wants no filters saves a search without them.
    let known: Vec<_> = PARAMETERS.into_iter().filter(|name| *name != "include_filters").collect();
    read_export(scope, &Parameters::from_members(members, &known)?, columns, report)
}

fn zone_of(saved: &Saved) -> Result<TimeZone, Problem> {
    saved.zone().map_err(|detail| Problem::bad_request(format!("\"tz\": {detail}")))
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
