//! Reports about access packages, with their rows and columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{access_answer::AccessAnswer, access_record::UnderPolicy},
    configuration::{
        access_package::{Policy, Resource, ResourceRole},
        document::Configured,
        organisation::Organisation,
    },
    reports::{
        column::{
            Column, Row, Type, flag, heads, json, list, maybe, number, party, shown_party, text,
            text_of, time, value_of, word,
        },
        event_reports::{EventRow, PackageName},
        report::{Described, Group, Report, View},
    },
    time::timestamp::Instant,
    trail::event::Event,
};

/// A report about access packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageReport {
    /// Who is assigned to an access package.
    PackageUsers,
    /// Which packages a person can request, and which they have.
    UserPackages,
    /// Which resources a person has through packages.
    UserResources,
    /// Connected organisations.
    Organisations,
    /// What happened to an access package, or which packages something happened to.
    PackageActivity,
}

/// All of them.
pub const REPORTS: &[Described] = &[
    Described {
        name: "package-users",
        answers: "Who is assigned to the access package?",
        takes: &["package"],
        needs: &["package"],
        note: Some("an assignment means all resource roles of the package's current version"),
        columns: heads::<PackageUser>,
        ..of_packages(PackageReport::PackageUsers)
    },
    Described {
        name: "user-packages",
        answers: "Which access packages can the user request, and which does the user have?",
        takes: &["person"],
        needs: &["person"],
        note: Some(
            "an assignment means all resource roles of the package's current version; access obtained outside packages is not included; can_request is unknown if the person has no record",
        ),
        columns: heads::<UserPackage>,
        ..of_packages(PackageReport::UserPackages)
    },
    Described {
        name: "user-resources",
        answers: "Which resources does the user have?",
        takes: &["person"],
        needs: &["person"],
        note: Some("access obtained outside packages is not included"),
        columns: heads::<UserResource>,
        ..of_packages(PackageReport::UserResources)
    },
    Described {
        name: "organisations",
        answers: "Which organisations are connected?",
        columns: heads::<Configured<Organisation>>,
        ..of_packages(PackageReport::Organisations)
    },
    Described {
        name: "package-activity",
        answers: "What happened to the access package?",
        takes: &["since", "until", "package"],
        note: Some("without a package, the report lists the packages that have changes"),
        columns: heads::<PackageActivity>,
        views: &[
            View {
                when: Some(("package", None)),
                columns: &[
                    "occurred_at",
                    "package.id",
                    "package.name",
                    "label",
                    "actor.email",
                    "actor.name",
                    "details",
                    "id",
                ],
            },
            View {
                when: None,
                columns: &["occurred_at", "package.id", "package.name", "requests"],
            },
        ],
        ..of_packages(PackageReport::PackageActivity)
    },
];

const fn of_packages(report: PackageReport) -> Described {
    Described {
        report: Report::Package(report),
        name: "",
        group: Group::Packages,
        answers: "",
        takes: &[],
        needs: &[],
        groupings: &[],
        note: None,
        columns: heads::<PackageUser>,
        views: &[],
    }
}

/// An access package in its current version.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PackageVersion {
    /// The id of the package. Null if it is not configured and the events have no id.
    pub id: Option<String>,
    /// The display name; of a package that is not configured the name in events.
    pub name: Option<String>,
    /// The current version. Null if the package is not configured.
    pub version: Option<u64>,
}

/// An assignment of an access package.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PackageUser {
    /// The access record, without its policy.
    #[serde(flatten)]
    pub access: AccessAnswer,
    /// How long the assignment outlasted its planned end, in milliseconds. Null if it has no planned
    /// end.
    pub exposure_ms: Option<i64>,
    pub package: PackageVersion,
    /// The roles that the package grants now. Null if the package is not configured.
    pub resource_roles: Option<Vec<ResourceRole>>,
    /// The policy under which the assignment was approved.
    pub policy: Option<UnderPolicy>,
    /// That policy in the package's current version. Null if it is not there.
    pub policy_details: Option<Policy>,
}

impl Row for PackageUser {
    const COLUMNS: &'static [Column<Self>] = &[
        party("subject", "User", |it| shown_party(&it.access.subject)),
        text_of(Type::PersonName, "subject.email", "Email", |it| {
            maybe(&it.access.subject.as_ref()?.email)
        }),
        text_of(Type::PersonName, "subject.id", "Object ID", |it| {
            maybe(&it.access.subject.as_ref()?.id)
        }),
        text("package.id", "Package ID", |it| maybe(&it.package.id)),
        text("package.name", "Package", |it| maybe(&it.package.name)),
        text("policy.id", "Policy", |it| Some(it.policy.as_ref()?.id.as_str().into())),
        text("policy.version", "Policy Version", |it| maybe(&it.policy.as_ref()?.version)),
        time("starts_at", "Start", |it| it.access.starts_at),
        time("ends_at", "End", |it| it.access.ends_at),
        text_of(Type::RequestId, "request_id", "Request ID", |it| maybe(&it.access.request_id)),
        json("resource_roles", "Resource Roles", |it| value_of(&it.resource_roles)),
    ];
}

/// A package and its relation to a person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserPackage {
    pub package: PackageVersion,
    /// Whether the person can request the package; `unknown` if no record of the person says.
    #[schemars(extend("enum" = ["yes", "no", "unknown"]))]
    pub can_request: &'static str,
    /// The ids of the policies by which the person can request the package.
    pub policies_open: Vec<String>,
    /// Whether the person has the package.
    pub assigned: bool,
    /// When the assignment started.
    pub starts_at: Option<Instant>,
    /// The planned end of the assignment.
    pub ends_at: Option<Instant>,
    /// The id of the access record of the assignment.
    pub access: Option<String>,
    /// The roles that the package grants.
    pub resource_roles: Vec<ResourceRole>,
    /// All policies of the package.
    pub policies: Vec<Policy>,
}

impl Row for UserPackage {
    const COLUMNS: &'static [Column<Self>] = &[
        text_of(Type::PackageId, "package.id", "Package ID", |it| maybe(&it.package.id)),
        text("package.name", "Package", |it| maybe(&it.package.name)),
        number("package.version", "Version", |it| it.package.version),
        text("can_request", "Can Request", |it| Some(it.can_request.into())),
        list(Type::List, "policies_open", "Policies", |it| {
            it.policies_open.iter().map(String::as_str).collect()
        }),
        flag("assigned", "Assigned", |it| Some(it.assigned)),
        time("starts_at", "Start", |it| it.starts_at),
        time("ends_at", "End", |it| it.ends_at),
        json("resource_roles", "Resource Roles", |it| value_of(&it.resource_roles)),
        json("policies", "Policy Details", |it| value_of(&it.policies)),
    ];
}

/// A role in a resource that a person has through packages.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserResource {
    pub resource: Resource,
    /// The name of the role.
    pub role: String,
    /// When the first of the assignments started.
    pub starts_at: Option<Instant>,
    /// The last planned end of the assignments.
    pub ends_at: Option<Instant>,
    /// The assignments of packages that grant the role.
    pub origins: Vec<Origin>,
}

/// The assignment of a package that grants a resource to a person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ResourceOrigin")]
pub struct Origin {
    pub package: PackageVersion,
    /// The policy under which the assignment was approved.
    pub policy: Option<UnderPolicy>,
    /// When the assignment started.
    pub starts_at: Option<Instant>,
    /// The planned end of the assignment.
    pub ends_at: Option<Instant>,
    /// The id of the access record of the assignment.
    pub access: Option<String>,
}

impl UserResource {
    /// The origin of a row of a table, which has one.
    fn origin(&self) -> Option<&Origin> {
        self.origins.first()
    }
}

impl Row for UserResource {
    const COLUMNS: &'static [Column<Self>] = &[
        text("resource.id", "Resource ID", |it| maybe(&it.resource.id)),
        text("resource.name", "Resource", |it| Some(it.resource.name.as_str().into())),
        text("role", "Role", |it| Some(it.role.as_str().into())),
        text_of(Type::PackageId, "origin.package.id", "Package ID", |it| {
            maybe(&it.origin()?.package.id)
        }),
        text("origin.package.name", "Package", |it| maybe(&it.origin()?.package.name)),
        text("origin.policy.id", "Policy", |it| {
            Some(it.origin()?.policy.as_ref()?.id.as_str().into())
        }),
        time("origin.starts_at", "Start", |it| it.origin()?.starts_at),
        time("origin.ends_at", "End", |it| it.origin()?.ends_at),
    ];

    /// One for each package.
    fn split(&self) -> Option<Vec<Self>> {
        let of = |origin: &Origin| Self { origins: vec![origin.clone()], ..self.clone() };
        Some(self.origins.iter().map(of).collect())
    }
}

impl Row for Configured<Organisation> {
    const COLUMNS: &'static [Column<Self>] = &[
        text("id", "ID", |it| Some(it.id.as_str().into())),
        text("name", "Name", |it| Some(it.document.name.as_str().into())),
        text_of(Type::LongText, "description", "Description", |it| maybe(&it.document.description)),
        text_of(Type::State, "state", "State", |it| word(&it.document.state)),
        list(Type::List, "domains", "Domains", |it| texts(&it.document.domains)),
        list(Type::List, "internal_sponsors", "Internal Sponsors", |it| {
            texts(&it.document.internal_sponsors)
        }),
        list(Type::List, "external_sponsors", "External Sponsors", |it| {
            texts(&it.document.external_sponsors)
        }),
    ];
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// An event about an access package or, if the request names no package, a package with activity.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PackageActivity {
    /// An event.
    Event(Box<EventRow>),
    /// A package.
    Package(ActivePackage),
}

/// An access package with activity.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ActivePackage {
    pub package: PackageName,
    /// The number of requests with an event in the range.
    pub requests: u64,
    /// When the last event occurred.
    pub occurred_at: Instant,
}

impl PackageActivity {
    fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(row) => Some(row.event()),
            Self::Package(_) => None,
        }
    }

    fn package(&self) -> &PackageName {
        match self {
            Self::Event(row) => row.package(),
            Self::Package(row) => &row.package,
        }
    }
}

impl Row for PackageActivity {
    const COLUMNS: &'static [Column<Self>] = &[
        time("occurred_at", "Time", |it| match it {
            Self::Event(row) => Some(row.event().occurred_at),
            Self::Package(row) => Some(row.occurred_at),
        }),
        text_of(Type::PackageId, "package.id", "Package ID", |it| maybe(&it.package().id)),
        text("package.name", "Package", |it| maybe(&it.package().name)),
        text("label", "Operation", |it| Some(it.event()?.label().into())),
        number("requests", "Requests", |it| match it {
            Self::Event(_) => None,
            Self::Package(row) => Some(row.requests),
        }),
        text_of(Type::PersonName, "actor.id", "Object ID", |it| maybe(&it.event()?.actor.id)),
        text_of(Type::PersonName, "actor.email", "UPN", |it| maybe(&it.event()?.actor.email)),
        text_of(Type::PersonName, "actor.name", "Display Name", |it| {
            maybe(&it.event()?.actor.name)
        }),
        json("details", "Details", |it| value_of(&it.event()?.details)),
        text_of(Type::EventId, "id", "Event ID", |it| Some(it.event()?.id.as_str().into())),
    ];
}
