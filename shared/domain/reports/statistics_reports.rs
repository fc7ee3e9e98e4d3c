//! Reports that add up daily statistics, with their rows and columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reports::{
    column::{Column, Row, heads, json, maybe, number, seconds, text, value_of},
    daily_statistics::Demand,
    report::{By, Described, Group, Grouping, Report, View},
};

/// A report that adds up daily statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticsReport {
    /// What is asked for most, and by whom again and again.
    Demand,
    /// How long approvals take.
    ApprovalTimes,
}

/// All of them.
pub const REPORTS: &[Described] = &[
    Described {
        report: Report::Statistics(StatisticsReport::Demand),
        name: "demand",
        group: Group::Trends,
        answers: "Which resources are requested often, and who requests them repeatedly?",
        takes: &["since", "until", "by"],
        needs: &[],
        groupings: &[
            Grouping { value: By::Resource, label: "Resource" },
            Grouping { value: By::Pair, label: "Person and resource" },
        ],
        note: Some("days are UTC days"),
        columns: heads::<DemandRow>,
        views: &[
            View {
                when: Some(("by", Some("pair"))),
                columns: &["target", "target_id", "person", "requests", "granted", "used"],
            },
            View {
                when: None,
                columns: &[
                    "target",
                    "target_id",
                    "requests",
                    "granted",
                    "used",
                    "people",
                    "repeated",
                ],
            },
        ],
    },
    Described {
        report: Report::Statistics(StatisticsReport::ApprovalTimes),
        name: "approval-times",
        group: Group::Trends,
        answers: "Are approvals faster for some teams than for others?",
        takes: &["since", "until", "by"],
        needs: &[],
        groupings: &[
            Grouping { value: By::Team, label: "Team of the requester" },
            Grouping { value: By::Approver, label: "Approver" },
        ],
        note: Some(
            "days are UTC days; the team is that of the requester, from the people's records",
        ),
        columns: heads::<ApprovalTimesRow>,
        views: &[
            View {
                when: Some(("by", Some("approver"))),
                columns: &["approver", "decisions", "denied", "p50_ms", "p90_ms", "max_ms"],
            },
            View {
                when: None,
                columns: &["team", "decisions", "denied", "p50_ms", "p90_ms", "max_ms"],
            },
        ],
    },
];

/// How often a target was requested, by all people or by one person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DemandRow {
    /// By all people.
    Resource {
        /// The target's name, as in sentences.
        target: String,
        /// The target's id. Null if it is not known.
        target_id: Option<String>,
        /// The number of requests.
        requests: u32,
        /// The number of granted requests.
        granted: u32,
        /// The number of granted requests that were used.
        used: u32,
        /// The number of people who requested it.
        people: usize,
        /// The people who requested it more than once.
        repeated: Vec<Repeated>,
    },
    /// By one person.
    Pair(Demand),
}

/// A person who requested a target more than once.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RepeatedRequests")]
pub struct Repeated {
    /// The e-mail address or another name of the person.
    pub person: String,
    /// The number of the person's requests.
    pub requests: u32,
}

impl DemandRow {
    /// How often it was asked for.
    pub fn requests(&self) -> u32 {
        match self {
            Self::Resource { requests, .. } | Self::Pair(Demand { requests, .. }) => *requests,
        }
    }
}

impl Row for DemandRow {
    const COLUMNS: &'static [Column<Self>] = &[
        text("target", "Target", |it| match it {
            Self::Resource { target, .. } | Self::Pair(Demand { target, .. }) => {
                Some(target.as_str().into())
            }
        }),
        text("target_id", "Target ID", |it| match it {
            Self::Resource { target_id, .. } | Self::Pair(Demand { target_id, .. }) => {
                maybe(target_id)
            }
        }),
        text("person", "Person", |it| match it {
            Self::Resource { .. } => None,
            Self::Pair(pair) => Some(pair.person.as_str().into()),
        }),
        number("requests", "Requests", |it| Some(it.requests().into())),
        number("granted", "Granted", |it| match it {
            Self::Resource { granted, .. } | Self::Pair(Demand { granted, .. }) => {
                Some((*granted).into())
            }
        }),
        number("used", "Used", |it| match it {
            Self::Resource { used, .. } | Self::Pair(Demand { used, .. }) => Some((*used).into()),
        }),
        number("people", "People", |it| match it {
            Self::Resource { people, .. } => u64::try_from(*people).ok(),
            Self::Pair(_) => None,
        }),
        json("repeated", "Repeated", |it| match it {
            Self::Resource { repeated, .. } => value_of(repeated),
            Self::Pair(_) => None,
        }),
    ];
}

/// How long the decisions of one team's requests or of one approver took.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ApprovalTimesRow {
    /// The current team of the requesters, if rows are by team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The approver, if rows are by approver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// The number of decisions.
    pub decisions: u32,
    /// The number of denials among them.
    pub denied: u32,
    /// The time from request to decision within which half of the decisions were made, in
    /// milliseconds.
    pub p50_ms: Option<i64>,
    /// The time within which nine of ten decisions were made, in milliseconds.
    pub p90_ms: Option<i64>,
    /// The longest time from request to decision, in milliseconds.
    pub max_ms: Option<i64>,
}

impl Row for ApprovalTimesRow {
    const COLUMNS: &'static [Column<Self>] = &[
        text("team", "Team", |it| maybe(&it.team)),
        text("approver", "Approver", |it| maybe(&it.approver)),
        number("decisions", "Decisions", |it| Some(it.decisions.into())),
        number("denied", "Denied", |it| Some(it.denied.into())),
        seconds("p50_ms", "Median (s)", |it| it.p50_ms),
        seconds("p90_ms", "90 % (s)", |it| it.p90_ms),
        seconds("max_ms", "Longest (s)", |it| it.max_ms),
    ];
}
