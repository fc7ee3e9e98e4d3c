//! Reports about access records, with their rows and columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::access_answer::AccessAnswer,
    reports::{
        column::{
            Column, Row, Type, decisions, heads, json, list, maybe, number, party, seconds,
            shown_actor, shown_party, text, text_of, time, value_of, word,
        },
        report::{Described, Group, Report, View},
    },
    trail::event::EventId,
};

/// A report about access records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessReport {
    /// Every access: who asked, who decided, when it began, was used and ended, and why.
    Access,
    /// Who held an account at a moment.
    AccountHolder,
    /// How late access is taken away.
    Revocation,
    /// Access that was granted and never used.
    Unused,
    /// Access that nobody reviewed.
    Unreviewed,
}

const RANGE: &[&str] = &["since", "until", "person", "account", "target"];
const USUAL: &[View] = &[View {
    when: None,
    columns: &[
        "asked_at",
        "subject",
        "account",
        "target",
        "justification",
        "decisions",
        "granted_at",
        "ended_at",
        "verified.by",
        "state",
        "findings",
    ],
}];
const HELD: &[View] = &[View {
    when: None,
    columns: &[
        "subject",
        "account",
        "target",
        "request",
        "justification",
        "decisions",
        "granted_at",
        "first_used_at",
        "last_used_at",
        "ends_at",
        "ended_at",
        "end_cause",
        "findings",
    ],
}];

/// All of them.
pub const REPORTS: &[Described] = &[
    Described {
        name: "access",
        answers: "Who accessed what, when, and why?",
        takes: RANGE,
        ..of_accesses(AccessReport::Access)
    },
    Described {
        name: "account-holder",
        answers: "Who held the account at that moment?",
        takes: &["account", "at"],
        needs: &["account", "at"],
        views: HELD,
        ..of_accesses(AccessReport::AccountHolder)
    },
    Described {
        name: "revocation",
        group: Group::Trends,
        answers: "How promptly was access removed?",
        note: Some(
            "residual exposure is the time from the planned end of access to its removal; tokens that were issued before may stay valid for about an hour longer",
        ),
        columns: heads::<RevocationRow>,
        views: &[],
        ..of_accesses(AccessReport::Revocation)
    },
    Described {
        name: "unused",
        answers: "Which access was granted and never used?",
        note: Some(
            "only access that has ended; packages are not included, because no source reports their use",
        ),
        ..of_accesses(AccessReport::Unused)
    },
    Described {
        name: "unreviewed",
        answers: "Which temporary access was never reviewed?",
        ..of_accesses(AccessReport::Unreviewed)
    },
];

const fn of_accesses(report: AccessReport) -> Described {
    Described {
        report: Report::Access(report),
        name: "",
        group: Group::Access,
        answers: "",
        takes: RANGE,
        needs: &[],
        groupings: &[],
        note: None,
        columns: heads::<AccessRow>,
        views: USUAL,
    }
}

/// A row of a report about access records: one access record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccessRow {
    /// The record.
    #[serde(flatten)]
    pub access: AccessAnswer,
    /// How long the access outlasted its planned end, in milliseconds. It is counted until now if
    /// the revocation is not verified. Null if the access never started or has no planned end.
    pub exposure_ms: Option<i64>,
    /// How the account is held, in the report `account-holder`: by a log-on, inside its window, or
    /// beyond its planned end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["log_on", "window", "overdue"]))]
    pub held_by: Option<&'static str>,
}

impl Row for AccessRow {
    const COLUMNS: &'static [Column<Self>] = &[
        text("id", "Access ID", |it| Some(it.access.id.as_str().into())),
        text_of(Type::Word, "kind", "Kind", |it| word(&it.access.kind)),
        text_of(Type::State, "state", "State", |it| word(&it.access.state)),
        text_of(Type::SessionId, "session", "Session ID", |it| maybe(&it.access.session)),
        text_of(Type::RequestId, "request_id", "Request ID", |it| maybe(&it.access.request_id)),
        text("request", "Request", |it| maybe(&it.access.request)),
        party("requester", "Requester", |it| it.access.requester.as_ref().and_then(shown_actor)),
        text_of(Type::PersonName, "requester.email", "Requester Email", |it| {
            maybe(&it.access.requester.as_ref()?.email)
        }),
        party("subject", "Subject", |it| shown_party(&it.access.subject)),
        text_of(Type::PersonName, "subject.email", "Subject Email", |it| {
            maybe(&it.access.subject.as_ref()?.email)
        }),
        party("account", "Account", |it| shown_party(&it.access.account)),
        text("target.type", "Target Type", |it| maybe(&it.access.target.as_ref()?.kind)),
        text("target.id", "Target ID", |it| maybe(&it.access.target.as_ref()?.id)),
        party("target", "Target", |it| shown_party(&it.access.target)),
        list(Type::List, "roles", "Roles", |it| {
            it.access.roles.iter().map(String::as_str).collect()
        }),
        text_of(Type::LongText, "justification", "Justification", |it| {
            maybe(&it.access.justification)
        }),
        text("ticket.id", "Ticket", |it| Some(it.access.ticket.as_ref()?.id.as_str().into())),
        text_of(Type::Url, "ticket.url", "Ticket URL", |it| maybe(&it.access.ticket.as_ref()?.url)),
        text("policy.id", "Policy", |it| Some(it.access.policy.as_ref()?.id.as_str().into())),
        number("approvals_needed", "Approvals Needed", |it| {
            Some(it.access.approvals_needed.into())
        }),
        decisions("decisions", "Decisions", |it| &it.access.decisions),
        time("asked_at", "Asked", |it| it.access.asked_at),
        time("approved_at", "Approved", |it| it.access.approved_at),
        time("granted_at", "Granted", |it| it.access.granted_at),
        time("first_used_at", "First Use", |it| it.access.first_used_at),
        time("last_used_at", "Last Use", |it| it.access.last_used_at),
        number("uses", "Uses", |it| Some(it.access.uses.into())),
        time("starts_at", "Planned Start", |it| it.access.starts_at),
        time("ends_at", "Planned End", |it| it.access.ends_at),
        time("ended_at", "Actual End", |it| it.access.ended_at),
        seconds("duration_ms", "Duration (s)", |it| it.access.duration_ms),
        text_of(Type::Word, "end_cause", "End Cause", |it| word(&it.access.end_cause)),
        time("verified.at", "Verified", |it| Some(it.access.verified.as_ref()?.at)),
        text_of(Type::Word, "verified.by", "Verified By", |it| {
            word(&it.access.verified.as_ref()?.by)
        }),
        seconds("lateness_ms", "Lateness (s)", |it| it.access.lateness_ms),
        list(Type::FindingIds, "findings", "Findings", |it| {
            it.access.findings.iter().map(String::as_str).collect()
        }),
        json("reviews", "Reviews", |it| {
            value_of(&it.access.reviews).filter(|_| !it.access.reviews.is_empty())
        }),
        list(Type::EventIds, "events", "Event IDs", |it| {
            it.access.events.iter().map(EventId::as_str).collect()
        }),
    ];
}

/// An access record that has reached its end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct RevocationRow(pub AccessRow);

impl Row for RevocationRow {
    const COLUMNS: &'static [Column<Self>] = &[
        text("id", "Access ID", |it| Some(it.0.access.id.as_str().into())),
        party("subject", "Subject", |it| shown_party(&it.0.access.subject)),
        party("account", "Account", |it| shown_party(&it.0.access.account)),
        party("target", "Target", |it| shown_party(&it.0.access.target)),
        time("ends_at", "Planned End", |it| it.0.access.ends_at),
        time("ended_at", "Actual End", |it| it.0.access.ended_at),
        seconds("exposure_ms", "Lateness (s)", |it| it.0.exposure_ms),
        text_of(Type::Word, "end_cause", "End Cause", |it| word(&it.0.access.end_cause)),
        time("verified.at", "Verified", |it| Some(it.0.access.verified.as_ref()?.at)),
        text_of(Type::Word, "verified.by", "Verified By", |it| {
            word(&it.0.access.verified.as_ref()?.by)
        }),
        text_of(Type::State, "state", "State", |it| word(&it.0.access.state)),
    ];
}

/// The summary of the report `revocation`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RevocationSummary {
    /// The number of access records that have ended.
    pub ended: u64,
    /// The number of access records whose revocation is verified.
    pub verified: u64,
    /// The number of access records that have not ended, as far as known.
    pub not_gone: u64,
    /// The number of access records that outlasted their planned end.
    pub late: usize,
    /// The sum of the times by which access outlasted its planned end, in milliseconds.
    pub residual_exposure_ms: i64,
    /// The time by which half of the access records at most outlasted their planned end, in
    /// milliseconds.
    pub p50_ms: Option<i64>,
    /// The same time for 99 of 100 access records, in milliseconds.
    pub p99_ms: Option<i64>,
    /// The longest time by which access outlasted its planned end, in milliseconds.
    pub max_ms: Option<i64>,
}
