//! Reports: predefined queries for auditors, with their parameters and columns.
//!
//! The reports stand in four files, by where their rows come from: [`access_reports`], [`package_reports`],
//! [`event_reports`] and [`statistics_reports`]. Each has the reports, their typed rows and the columns of these. The
//! service's file of the same source reads the rows.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    reports::{
        access_reports::{self, AccessReport},
        column::Head,
        event_reports::{self, EventReport},
        package_reports::{self, PackageReport},
        statistics_reports::{self, StatisticsReport},
    },
    time::timestamp::Instant,
};

/// A report, by where its rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Report {
    /// Access records.
    Access(AccessReport),
    /// Access packages and who is assigned to them.
    Package(PackageReport),
    /// Events.
    Event(EventReport),
    /// Daily statistics.
    Statistics(StatisticsReport),
}

/// The parameters, columns and description of a report.
#[derive(Debug)]
pub struct Described {
    /// The report.
    pub report: Report,
    /// Its name in addresses.
    pub name: &'static str,
    /// The group in which the page lists it.
    pub group: Group,
    /// The question that it answers.
    pub answers: &'static str,
    /// Parameters that it takes.
    pub takes: &'static [&'static str],
    /// Those of them that it needs.
    pub needs: &'static [&'static str],
    /// What `by` may be; the first is the default.
    pub groupings: &'static [Grouping],
    /// A note for readers.
    pub note: Option<&'static str>,
    /// What is said of its columns.
    pub columns: fn() -> Vec<Head>,
    /// The columns that the page shows first: those of the first view whose condition is met,
    /// otherwise all.
    pub views: &'static [View],
}

/// The group in which the page lists a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "ReportGroup")]
pub enum Group {
    /// Who had access.
    #[serde(rename = "Access")]
    Access,
    /// Access packages.
    #[serde(rename = "Access packages")]
    Packages,
    /// Statistics.
    #[serde(rename = "Trends")]
    Trends,
}

/// Columns that the page shows first.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportView")]
pub struct View {
    /// The parameter that has to be present and its value; null for any value. Null if there is no
    /// condition.
    pub when: Option<(&'static str, Option<&'static str>)>,
    /// The keys of the columns.
    pub columns: &'static [&'static str],
}

/// One way to group the rows of statistics.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportGrouping")]
pub struct Grouping {
    /// The value of `by`.
    pub value: By,
    /// The name on the page.
    pub label: &'static str,
}

/// How rows of statistics are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "GroupedBy")]
pub enum By {
    /// By resource.
    Resource,
    /// By person and resource.
    Pair,
    /// By the team of the person who asked.
    Team,
    /// By the approver.
    Approver,
}

impl By {
    /// As parameters write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Pair => "pair",
            Self::Team => "team",
            Self::Approver => "approver",
        }
    }
}

/// A parameter of reports.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportParameter")]
pub struct Parameter {
    /// The name of the parameter in a request.
    pub name: &'static str,
    /// The name on the page.
    pub label: &'static str,
    /// What the value is.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// An example, for the error that the parameter is missing.
    #[serde(skip)]
    pub example: &'static str,
}

/// What the value of a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ReportParameterType")]
pub enum ParameterType {
    /// The bound of a range of time.
    Bound,
    /// A moment.
    Moment,
    /// A person, by any name of theirs.
    Person,
    /// An application or something else that is accessed, by id or name.
    Target,
    /// An access package, by id or name.
    Package,
    /// One of a few words.
    Choice,
    /// Any text.
    Text,
}

const fn parameter(
    name: &'static str,
    label: &'static str,
    kind: ParameterType,
    example: &'static str,
) -> Parameter {
    Parameter { name, label, kind, example }
}

/// Every parameter that a report may take.
pub const PARAMETERS: &[Parameter] = &[
    parameter("since", "From", ParameterType::Bound, "2026-11-01"),
    parameter("until", "Until", ParameterType::Bound, "2026-12-01"),
    parameter("at", "Moment", ParameterType::Moment, "2026-11-22T10:00:00Z"),
    parameter("person", "Person", ParameterType::Person, "alex@nikpot.com"),
    parameter("account", "Account", ParameterType::Text, "msptech6913"),
    parameter("target", "Target", ParameterType::Target, "W11-L-ELEVATED"),
    parameter("package", "Access package", ParameterType::Package, "pkg-sales"),
    parameter("id", "Request ID", ParameterType::Text, "REQ-1"),
    parameter("by", "One row for each", ParameterType::Choice, "resource"),
];

/// A request for a report, with all its parameters. Those that the request does not have are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReportQuery")]
pub struct Query {
    /// The name of the report.
    pub report: Report,
    /// Start of the range, inclusive.
    pub since: Option<Instant>,
    /// End of the range, exclusive.
    pub until: Option<Instant>,
    /// The moment that the report is about.
    pub at: Option<Instant>,
    /// A person, by any of their names.
    pub person: Option<String>,
    /// An account, by any of its names.
    pub account: Option<String>,
    /// A target, by id or name.
    pub target: Option<String>,
    /// A package, by id or name.
    pub package: Option<String>,
    /// A request's id.
    pub id: Option<String>,
    /// How rows are grouped.
    pub by: Option<By>,
}

/// All reports.
pub fn reports() -> impl Iterator<Item = &'static Described> {
    let sources = [
        access_reports::REPORTS,
        package_reports::REPORTS,
        event_reports::REPORTS,
        statistics_reports::REPORTS,
    ];
    sources.into_iter().flatten()
}

impl JsonSchema for Report {
    fn schema_name() -> Cow<'static, str> {
        "ReportName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = reports().map(|described| described.name).collect();
        json_schema!({"description": "The name of a report.", "type": "string", "enum": names})
    }
}

impl Report {
    /// What it takes and says.
    pub fn described(self) -> &'static Described {
        // Each stands in a list; the test says so.
        reports().find(|described| described.report == self).unwrap_or(&access_reports::REPORTS[0])
    }

    /// The report of that name.
    pub fn named(name: &str) -> Option<&'static Described> {
        reports().find(|described| described.name == name)
    }
}

impl Described {
    /// Its parameters as the page draws them.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.takes.iter().filter_map(|name| PARAMETERS.iter().find(|it| it.name == *name))
    }
}

impl Query {
    /// A query without parameters.
    pub fn of(report: Report) -> Self {
        Self {
            report,
            since: None,
            until: None,
            at: None,
            person: None,
            account: None,
            target: None,
            package: None,
            id: None,
            by: None,
        }
    }

    /// The range; all time if there is none.
    pub fn range(&self) -> [Instant; 2] {
        let (first, last) = (Instant::from_millis(0), Instant::from_millis(253_402_300_799_999));
        [self.since.unwrap_or(first), self.until.unwrap_or(last)]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_report_is_described_once() {
        let mut names = HashSet::new();
        for described in reports() {
            let Described { report, name, takes, needs, groupings, views, .. } = described;
            assert!(names.insert(name), "{name}");
            assert_eq!(report.described().name, *name);
            // What stored jobs hold is the name.
            assert_eq!(serde_json::to_value(report).unwrap(), *name);
            assert_eq!(serde_json::from_value::<Report>((*name).into()).unwrap(), *report);
            assert!(needs.iter().all(|needed| takes.contains(needed)), "{name}");
            assert_eq!(described.parameters().count(), takes.len(), "{name}");
            assert_eq!(takes.contains(&"by"), !groupings.is_empty(), "{name}");
            for grouping in *groupings {
                assert_eq!(serde_json::to_value(grouping.value).unwrap(), grouping.value.as_str());
            }
            let heads = (described.columns)();
            let keys: HashSet<_> = heads.iter().map(|head| head.key).collect();
            let titles: HashSet<_> = heads.iter().map(|head| head.title).collect();
            assert_eq!((keys.len(), titles.len()), (heads.len(), heads.len()), "{name}");
            for View { when, columns } in *views {
                assert!(when.is_none_or(|(parameter, _)| takes.contains(&parameter)), "{name}");
                assert!(columns.iter().all(|key| keys.contains(key)), "{name}: {columns:?}");
            }
        }
    }
}
