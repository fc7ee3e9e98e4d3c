//! Parses a request for an export.

mod schema;

use serde_json::{Map, Value};

use crate::{
    parameter_reader::{ParameterReader, Parameters, Types},
    problem::RequestError,
    report_request::read_query,
    search_parameters,
};
use shared_domain::{
    exports::export_job::{LONGEST_NAME, Profile, RequestedExport},
    json::{strict_json::FieldError, wrong_value::wrong_type},
    reports::{
        column::Table,
        report::{Query, Report, reports},
    },
    tables::event_columns::Layout,
    time::{time_zone::TimeZone, timestamp::Instant},
    trail::actions::nearest_of,
};
use shared_storage::TenantScope;

pub use schema::ExportRequest;
pub(crate) use schema::export_members;

/// More columns than any table has.
const MOST_COLUMNS: usize = 100;

/// The members of a request for an export, taken apart.
#[derive(Debug)]
pub struct ExportMembers {
    parameters: Parameters,
    columns: Option<Value>,
    report: Option<Value>,
    types: Types,
}

impl ExportMembers {
    /// A member that is not in `known` is an error.
    pub fn new(mut members: Map<String, Value>, known: &[&str], types: Types) -> Self {
        let (columns, report) = (members.remove("columns"), members.remove("report"));
        let parameters = Parameters::from_members(members, "", known, types);
        Self { parameters, columns, report, types }
    }

    /// Adds the errors of the body's JSON.
    #[must_use]
    pub fn with_errors(self, faults: Vec<FieldError>) -> Self {
        Self { parameters: self.parameters.with_errors(faults), ..self }
    }

    /// Parses the request.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(self, scope: &TenantScope<'_>) -> Result<RequestedExport, Vec<RequestError>> {
        let Self { parameters, columns, report, types } = self;
        parameters.read(|parameters| {
            let has_report = report.is_some();
            let report = report.and_then(|report| read_report(scope, parameters, report, types));
            let columns = match has_report && report.is_none() {
                // What columns there are depends on the report.
                true => Vec::new(),
                false => read_columns(parameters, columns, report.as_ref()),
            };
            Some(read_members(scope, parameters, columns, report))
        })
    }
}

fn read_members(
    scope: &TenantScope<'_>,
    parameters: &mut ParameterReader<'_>,
    columns: Vec<String>,
    report: Option<Query>,
) -> RequestedExport {
    let range = search_parameters::search(scope, parameters, None).range;
    let named =
        |instant: Instant, none: i64| Some(instant).filter(|it| *it != Instant::from_millis(none));
    let profile = parameters.read_as("profile", |text| {
        text.parse().map_err(|_| format!("{text:?} must be plain or excel"))
    });
    let file_name = parameters.read_as("file_name", file_name).unwrap_or_else(|| {
        report.as_ref().map_or("audit-trail", |query| query.report.described().name).to_owned()
    });
    let text = |name| parameters.get(name).map(str::to_owned);
    let (filter, q, tz) = (text("filter"), text("q"), text("tz"));
    RequestedExport {
        since: named(range.since, i64::MIN),
        until: named(range.until, i64::MAX),
        filter,
        q,
        include_service: parameters.flag("include_service").unwrap_or(false),
        include_filters: parameters.flag("include_filters").unwrap_or(true),
        tz: tz.unwrap_or_else(|| scope.settings.zone.clone()),
        profile: profile.unwrap_or(Profile::Plain),
        columns,
        gzip: parameters.flag("gzip").unwrap_or(false),
        jsonl: parameters.flag("jsonl").unwrap_or(false),
        file_name,
        report,
    }
}

/// Parses the columns of the report, or else those of events.
fn read_columns(
    parameters: &mut ParameterReader<'_>,
    columns: Option<Value>,
    report: Option<&Query>,
) -> Vec<String> {
    const LEAVE_OUT: &str = "leave it out for all of them";
    let list = match columns {
        None => return Vec::new(),
        Some(Value::Array(list)) if list.is_empty() => {
            parameters.fault("columns", format!("names no column; {LEAVE_OUT}"));
            return Vec::new();
        }
        Some(Value::Array(list)) if list.len() > MOST_COLUMNS => {
            let detail = format!("names {} columns; {MOST_COLUMNS} are the most", list.len());
            parameters.fault("columns", detail);
            return Vec::new();
        }
        Some(Value::Array(list)) => list,
        Some(other) => {
            let detail = wrong_type(&other, "a list of columns' names");
            parameters.fault("columns", format!("{detail}; {LEAVE_OUT}"));
            return Vec::new();
        }
    };
    // One name by one, since each has a place of its own. The layout does not depend on the time.
    let time = Instant::from_millis(0);
    let check = |name: &str| {
        let (names, zone) = (&[name.to_owned()], TimeZone::utc());
        match report {
            Some(query) => Table::new(query.report, names, zone, [time; 2]).map(drop),
            None => Layout::new(names, zone, time, time).map(drop),
        }
    };
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for (place, value) in list.into_iter().enumerate() {
        let wrong = match &value {
            Value::String(name) if names.contains(name) => {
                Some(format!("column {name:?} is named twice"))
            }
            Value::String(name) => check(name).err(),
            other => Some(wrong_type(other, "the name of a column")),
        };
        if let Some(detail) = wrong {
            parameters.fault_in("columns", place, detail);
        }
        names.extend(value.as_str().map(str::to_owned));
    }
    names
}

/// Parses the report of an export: `{"name": "access", "target": "…", "since": "…"}`.
fn read_report(
    scope: &TenantScope<'_>,
    parameters: &mut ParameterReader<'_>,
    report: Value,
    types: Types,
) -> Option<Query> {
    for outside in ["since", "until", "filter", "q", "include_service", "include_filters"] {
        if parameters.get(outside).is_some() {
            parameters.fault(
                outside,
                "does not go with a report; what the report takes stands inside \"report\"",
            );
        }
    }
    let mut members = match report {
        Value::Object(members) => members,
        other => {
            let wanted = "an object with the report's name and parameters";
            parameters.fault("report", wrong_type(&other, wanted));
            return None;
        }
    };
    let name = members.remove("name");
    let name = name.as_ref().map(|name| name.as_str().ok_or_else(|| wrong_type(name, "a string")));
    let described = match name {
        None => Err("is required".to_owned()),
        Some(Err(detail)) => Err(detail),
        Some(Ok(name)) => Report::named(name).ok_or_else(|| {
            let meant = nearest_of(name, reports().map(|report| report.name))
                .map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"));
            format!("there is no report {name:?}{meant}")
        }),
    };
    let wrong = |detail: String| {
        let and = if detail.ends_with('?') { "" } else { ";" };
        let detail = format!("{detail}{and} GET /v1/reports says which reports there are");
        parameters.fault_in("report", "name", detail);
    };
    let described = described.map_err(wrong).ok()?;
    let zone = search_parameters::zone(scope, parameters);
    let known: Vec<_> = described.takes.iter().copied().chain(["name"]).collect();
    let query = Parameters::from_members(members, "/report", &known, types)
        .read(|parameters| Some(read_query(described, parameters, zone.as_ref())));
    query.map_err(|errors| parameters.extend(errors)).ok()
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
