//! The list of reports, and one page of a report, in API responses.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    reports::{
        access_reports::{AccessReport, RevocationSummary},
        column::Head,
        report::{Described, Group, Grouping, Parameter, ParameterType, Report, View},
        row_schema::row_schema,
    },
    time::timestamp::Instant,
};

/// All reports, with their parameters and columns.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportsAnswer {
    /// Every report of the service, whether or not it has rows.
    pub reports: Vec<ReportDescriptionAnswer>,
}

/// All that is needed to ask for a report and to draw its answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportDescriptionAnswer {
    /// The name in the address of the report.
    pub name: &'static str,
    pub group: Group,
    /// The question that the report answers.
    pub answers: &'static str,
    /// A note for readers.
    pub note: Option<&'static str>,
    /// The names of the parameters.
    pub parameters: &'static [&'static str],
    /// The names of the parameters that a request must have.
    pub required: &'static [&'static str],
    /// The parameters, as the page draws them.
    pub inputs: Vec<ReportInputAnswer>,
    /// The titles of the columns, by which an export chooses columns.
    pub columns: Vec<&'static str>,
    /// The columns.
    pub cells: Vec<Head>,
    /// The columns that the page shows first: those of the first view whose condition is met. The
    /// page shows all columns if there is none.
    pub views: &'static [View],
}

/// A parameter of a report, as the page draws it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportInputAnswer {
    #[serde(flatten)]
    pub parameter: Parameter,
    /// Whether a request must have the parameter.
    pub required: bool,
    /// The values of a parameter with a few values; the first one is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<&'static [Grouping]>,
}

/// One page of a report.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportAnswer {
    pub report: Report,
    /// The time of the request.
    pub as_of: Instant,
    /// The rows of the report.
    pub rows: Vec<Value>,
    /// The cursor of the next page. Null on the last page.
    pub next: Option<String>,
    /// A note for readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The summary of the report `revocation`, on its first page only. Null if there are too many
    /// rows for one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Option<RevocationSummary>>,
    /// The time of the first event in the trail. What happened before is not known. Null if the
    /// trail is empty.
    pub known_since: Option<Instant>,
}

impl From<&'static Described> for ReportDescriptionAnswer {
    fn from(described: &'static Described) -> Self {
        let cells = (described.columns)();
        let input = |parameter: &Parameter| ReportInputAnswer {
            parameter: *parameter,
            required: described.needs.contains(&parameter.name),
            options: (parameter.kind == ParameterType::Choice).then_some(described.groupings),
        };
        Self {
            name: described.name,
            group: described.group,
            answers: described.answers,
            note: described.note,
            parameters: described.takes,
            required: described.needs,
            inputs: described.parameters().map(input).collect(),
            columns: cells.iter().map(|head| head.title).collect(),
            cells,
            views: described.views,
        }
    }
}

impl ReportAnswer {
    /// The schema of one page of that report.
    pub fn schema_of(report: Report, generator: &mut SchemaGenerator) -> Schema {
        let rows = row_schema(report, generator);
        let mut schema = Self::json_schema(generator);
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties["rows"]["items"] = rows.to_value();
            properties["report"] =
                json!({"const": report.described().name, "description": "The name of the report."});
            if report != Report::Access(AccessReport::Revocation) {
                properties.remove("summary");
            }
        }
        schema
    }
}
