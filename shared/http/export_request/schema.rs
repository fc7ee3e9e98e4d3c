//! The schema of requests for exports.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::search_parameters::search_members;
use shared_domain::{
    exports::export_job::LONGEST_NAME,
    json::{
        object_reader::NAME_BYTES,
        request_schema::{Object, about, flag, list, text, typed_time, words},
    },
    reports::report::{By, Described, PARAMETERS, Report, reports},
    tables::event_columns::COLUMNS,
};

/// The body of `POST /v1/exports`, which may be left out.
#[derive(Debug)]
pub struct ExportRequest;

impl JsonSchema for ExportRequest {
    fn schema_name() -> Cow<'static, str> {
        "ExportRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let every = "Whether range, filter and words apply. If false, the whole retained trail is exported. True if absent. Not with `report`.";
        let object = Object::new(
            "An export of events, or of a report. With `report`, what selects events is left out: `since`, `until`, `filter`, `q`, `include_service` and `include_filters`.",
        );
        export_members(object, generator)
            .optional("include_filters", about(every, flag()))
            .example(json!({
                "since": "2026-11-01",
                "until": "2026-12-01",
                "tz": "Europe/Paris",
                "filter": "category eq \"Session\"",
                "profile": "excel",
                "columns": ["Log Timestamp", "Action", "Actor"],
                "gzip": false,
                "jsonl": true,
                "file_name": "sessions-november",
            }))
            .example(json!({
                "report": {"name": "access", "since": "2026-11-01", "until": "2026-12-01"},
                "profile": "plain",
            }))
            .schema()
    }
}

/// Adds the members that exports and saved searches have.
pub(crate) fn export_members(object: Object, generator: &mut SchemaGenerator) -> Object {
    let names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
    let mut columns = list(json_schema!({"type": "string"}), 1..=names.len());
    columns.insert("uniqueItems".to_owned(), true.into());
    columns.remove("maxItems");
    let columns_are = format!(
        "The columns and their order; all columns if absent. Those of events are {}. Those of reports are in `GET /v1/reports`.",
        names.join(", ")
    );
    let name = json_schema!({
        "type": "string",
        "pattern": format!(
            "^[A-Za-z0-9]([A-Za-z0-9._ -]{{0,{}}}[A-Za-z0-9_-])?$",
            LONGEST_NAME - 2
        ),
        "description": "The beginning of the names of the files, without extension.",
    });
    let profile = "The reader of the files: programs, or Excel. `plain` if absent.";
    let lines = "Whether each file is also written in JSON Lines. False if absent.";
    search_members(object)
        .optional("report", generator.subschema_for::<ReportRequest>())
        .optional("profile", about(profile, words(&["plain", "excel"])))
        .optional("columns", about(&columns_are, columns))
        .optional("gzip", about("Whether the files are compressed. False if absent.", flag()))
        .optional("jsonl", about(lines, flag()))
        .optional("file_name", name)
}

/// The report of an export.
#[derive(Debug)]
struct ReportRequest;

impl JsonSchema for ReportRequest {
    fn schema_name() -> Cow<'static, str> {
        "ReportRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = Object::new("A report and its parameters.")
            .required("name", generator.subschema_for::<Report>());
        let mut groupings: Vec<_> = reports()
            .flat_map(|report| report.groupings)
            .map(|grouping| By::as_str(grouping.value))
            .collect();
        groupings.sort_unstable();
        groupings.dedup();
        PARAMETERS
            .iter()
            .fold(object, |object, parameter| {
                let value = match parameter.name {
                    "since" | "until" => about("`all` for no bound, or a time:", typed_time()),
                    "at" => typed_time(),
                    "by" => words(&groupings),
                    _ => text(NAME_BYTES),
                };
                let taken = names(|report| report.takes.contains(&parameter.name));
                let needed = names(|report| report.needs.contains(&parameter.name));
                let needed = match needed.is_empty() {
                    true => String::new(),
                    false => format!("; needed by {needed}"),
                };
                let whose = format!("{}. Taken by {taken}{needed}.", parameter.label);
                object.optional(parameter.name, about(&whose, value))
            })
            .schema()
    }
}

/// The names of reports.
fn names(which: impl Fn(&Described) -> bool) -> String {
    let names: Vec<_> = reports()
        .filter(|report| which(report))
        .map(|report| format!("`{}`", report.name))
        .collect();
    names.join(", ")
}
