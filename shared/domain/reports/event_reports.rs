//! Reports about events, with their rows and columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    reports::{
        column::{
            Column, Row, Type, heads, json, maybe, party, shown_actor, shown_party, text, text_of,
            time, value_of,
        },
        report::{Described, Group, Report},
    },
    trail::event::{Event, Party, Recorded},
};

/// A report about events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventReport {
    /// The steps of one request.
    Requests,
    /// Changes of role assignments that no package made.
    RoleChanges,
}

/// All of them.
pub const REPORTS: &[Described] = &[
    Described {
        report: Report::Event(EventReport::Requests),
        name: "requests",
        group: Group::Packages,
        answers: "What became of the request?",
        takes: &["id"],
        needs: &["id"],
        groupings: &[],
        note: None,
        columns: heads::<RequestStep>,
        views: &[],
    },
    Described {
        report: Report::Event(EventReport::RoleChanges),
        name: "role-changes",
        group: Group::Access,
        answers: "Which role assignments changed other than by an access package?",
        takes: &["since", "until", "target"],
        needs: &[],
        groupings: &[],
        note: None,
        columns: heads::<RoleChange>,
        views: &[],
    },
];

/// An event, with its target as the access package that it is about.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventRow {
    /// The event.
    #[serde(flatten)]
    pub recorded: Recorded,
    /// The target of the event, as an access package.
    package: PackageName,
}

/// An access package as an event names it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PackageName {
    /// The id of the package. Null if the event names it without one.
    pub id: Option<String>,
    /// The name of the package, or its id if the event has no name. Null if the event names no
    /// package.
    pub name: Option<String>,
}

impl PackageName {
    /// The package that a target is.
    pub fn of(target: Option<&Party>) -> Self {
        Self {
            id: target.and_then(|target| target.id.clone()),
            name: target.map(|target| target.shown().to_owned()),
        }
    }
}

impl EventRow {
    /// The row of an event.
    pub fn of(recorded: Recorded) -> Self {
        let package = PackageName::of(recorded.event.target.as_ref());
        Self { recorded, package }
    }

    /// The package that it is about.
    pub fn package(&self) -> &PackageName {
        &self.package
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.recorded.event
    }
}

/// A step of a request.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct RequestStep(pub EventRow);

impl Row for RequestStep {
    const COLUMNS: &'static [Column<Self>] = &[
        time("occurred_at", "Time", |it| Some(it.0.event().occurred_at)),
        text("category", "Category", |it| Some(it.0.recorded.category().as_str().into())),
        text("label", "Activity", |it| Some(it.0.event().label().into())),
        text("request_status", "Request Status", |it| {
            it.0.recorded.request_status().map(Into::into)
        }),
        party("actor", "Actor", |it| shown_actor(&it.0.event().actor)),
        party("subject", "Subject", |it| shown_party(&it.0.event().subject)),
        party("target", "Target", |it| shown_party(&it.0.event().target)),
        text_of(Type::LongText, "justification", "Justification", |it| {
            maybe(&it.0.event().justification)
        }),
        text_of(Type::LongText, "reason", "Reason", |it| maybe(&it.0.event().reason)),
        json("policy", "Policy", |it| value_of(&it.0.event().policy)),
        text_of(Type::EventId, "id", "Event ID", |it| Some(it.0.event().id.as_str().into())),
        text_of(Type::LongText, "message", "Message", |it| Some(it.0.event().message().into())),
    ];
}

/// A change of a role assignment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct RoleChange(pub EventRow);

impl Row for RoleChange {
    const COLUMNS: &'static [Column<Self>] = &[
        time("occurred_at", "Time", |it| Some(it.0.event().occurred_at)),
        party("target", "Application", |it| shown_party(&it.0.event().target)),
        text("target.id", "Application ID", |it| maybe(&it.0.event().target.as_ref()?.id)),
        party("actor", "Actor", |it| shown_actor(&it.0.event().actor)),
        text_of(Type::PersonName, "actor.email", "Actor Email", |it| {
            maybe(&it.0.event().actor.email)
        }),
        party("subject", "Subject", |it| shown_party(&it.0.event().subject)),
        text_of(Type::LongText, "message", "Message", |it| Some(it.0.event().message().into())),
        json("details", "Details", |it| value_of(&it.0.event().details)),
        text_of(Type::EventId, "id", "Event ID", |it| Some(it.0.event().id.as_str().into())),
    ];
}
