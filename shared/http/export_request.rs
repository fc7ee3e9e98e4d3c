//! Parses a request for an export.

mod schema;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    problem::Problem,
    report_request::read_query,
    request::{self, Parameters},
    search_parameters,
};
use shared_domain::{
    exports::export_job::{LONGEST_NAME, PARAMETERS, Profile, RequestedExport},
    reports::{
        column::Table,
        report::{self, Query, Report},
    },
    tables::event_columns::Layout,
    time::{
        time_zone::{self, TimeZone},
        timestamp::Instant,
    },
};
use shared_storage::TenantScope;

pub use schema::ExportRequest;
pub(crate) use schema::export_members;

/// Checks the types of the members that a client sent. Saved searches that were stored earlier may have
/// other types, so [`read_export`] does not check them.
///
/// # Errors
/// 400 if one of them has another type.
pub fn require_types(members: &Map<String, Value>) -> Result<(), Problem> {
    let own = members.iter().filter(|(name, _)| PARAMETERS.contains(&name.as_str()));
    let is_parameter = |name: &str| report::PARAMETERS.iter().any(|known| known.name == name);
    let report = members.get("report").and_then(Value::as_object).into_iter().flatten();
    own.chain(report.filter(|(name, _)| is_parameter(name)))
        .try_for_each(|(name, value)| request::require_type(name, value))
}

/// Parses the members of the request.
///
/// # Errors
/// 400 if one of them is wrong.
pub fn read_export(
    scope: &TenantScope<'_>,
    parameters: &Parameters,
    columns: Option<Value>,
    report: Option<Value>,
) -> Result<RequestedExport, Problem> {
    let range = search_parameters::search(scope, parameters, None)?.range;
    let names: Option<Vec<String>> =
        columns.map(Vec::<String>::deserialize).transpose().map_err(|_| {
            Problem::bad_request(
                "\"columns\" must be a list of columns' names; leave it out for all of them",
            )
        })?;
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::bad_request(
            "\"columns\" names no column; leave it out for all of them",
        ));
    }
    let report = report.map(|report| read_report(scope, parameters, report)).transpose()?;
    let named =
        |instant: Instant, none: i64| Some(instant).filter(|it| *it != Instant::from_millis(none));
    let text = |name| parameters.get(name).map(str::to_owned);
    let asked = RequestedExport {
        since: named(range.since, i64::MIN),
        until: named(range.until, i64::MAX),
        filter: text("filter"),
        q: text("q"),
        include_service: parameters.flag("include_service")?.unwrap_or(false),
        include_filters: parameters.flag("include_filters")?.unwrap_or(true),
        tz: text("tz").unwrap_or_else(|| scope.settings.zone.clone()),
        profile: parameters
            .read_as("profile", |text| {
                text.parse().map_err(|_| format!("{text:?} must be plain or excel"))
            })?
            .unwrap_or(Profile::Plain),
        columns: names.unwrap_or_default(),
        gzip: parameters.flag("gzip")?.unwrap_or(false),
        jsonl: parameters.flag("jsonl")?.unwrap_or(false),
        file_name: parameters.read_as("file_name", file_name)?.unwrap_or_else(|| {
            report.as_ref().map_or("audit-trail", |query| query.report.described().name).to_owned()
        }),
        report,
    };
    let wrong = |detail: String| Problem::bad_request(format!("\"columns\": {detail}"));
    let utc = TimeZone::utc();
    match &asked.report {
        Some(query) => {
            drop(Table::new(query.report, &asked.columns, utc, [scope.now; 2]).map_err(wrong)?)
        }
        None => drop(Layout::new(&asked.columns, utc, scope.now, scope.now).map_err(wrong)?),
    }
    Ok(asked)
}

/// Parses the report of an export: `{"name": "access", "target": "…", "since": "…"}`.
fn read_report(
    scope: &TenantScope<'_>,
    parameters: &Parameters,
    report: Value,
) -> Result<Query, Problem> {
    for outside in ["since", "until", "filter", "q", "include_service", "include_filters"] {
        if parameters.get(outside).is_some() {
            let detail = format!(
                "{outside:?} does not go with a report; what the report takes stands inside \"report\""
            );
            return Err(Problem::bad_request(detail));
        }
    }
    let Value::Object(mut members) = report else {
        return Err(Problem::bad_request(
            "\"report\" must be an object with the report's name and parameters",
        ));
    };
    let name = members
        .remove("name")
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default();
    let described = Report::named(&name).ok_or_else(|| {
        Problem::bad_request(format!(
            "\"report\": there is no report {name:?}; GET /v1/reports says which there are"
        ))
    })?;
    let zone = time_zone::zone(parameters.get("tz").unwrap_or(&scope.settings.zone));
    let zone = zone.map_err(|detail| Problem::bad_request(format!("\"tz\": {detail}")))?;
    read_query(described, &Parameters::from_members(members, described.takes)?, &zone)
}

/// Checks a file name: it must be valid on every system, and safe in paths and HTTP headers.
fn file_name(text: &str) -> Result<String, String> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._- ".contains(&byte);
    let ending = [".csv", ".jsonl", ".json", ".gz"]
        .into_iter()
        .find(|ending| text.to_ascii_lowercase().ends_with(ending));
    match ending {
        Some(ending) => {
            Err(format!("{text:?} must be without {ending}: the files' names are made of it"))
        }
        None if (1..=LONGEST_NAME).contains(&text.len())
            && text.bytes().all(is_safe)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !text.ends_with(['.', ' ']) =>
        {
            Ok(text.to_owned())
        }
        None => Err(format!(
            "{text:?} must be 1 to {LONGEST_NAME} of A-Z a-z 0-9 . _ - and spaces, begin with a letter or digit and not end with . or a space"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_safe_in_a_path_and_in_a_header() {
        for name in ["audit", "Q3 2026", "acme_2026-11.trail", "a"] {
            assert_eq!(file_name(name).unwrap(), name);
        }
        for name in [
            "",
            "../etc",
            "a/b",
            "a\\b",
            "a\"b",
            "a\nb",
            ".hidden",
            "-rf",
            "é",
            "a.",
            "a ",
            "a;b",
            &"a".repeat(101),
        ] {
            assert!(file_name(name).is_err(), "{name:?}");
        }
        assert!(file_name("trail.CSV").unwrap_err().contains("without .csv"));
    }
}
