//! Import of Microsoft Graph objects from an export of Entra. In reading order: [`read`], `graph`
//! (members of an object and their places), `draft` (an event before validation), and one file for
//! each kind of object: `audit` with the table of `activities` and `governance` (who changes roles
//! for packages), `monitor`, `request`, `assignment`, `approval`, [`package`], [`organisation`], and
//! those of `pim`.
//!
//! A Graph object is a state, and the trail contains events. So each object is split into steps.
//! Each step becomes an event whose id derives from Graph's ids and whose content no longer
//! changes. If the object is imported again after a change, the earlier steps are duplicates and
//! only new ones are added.

mod activities;
mod approval;
mod assignment;
mod audit;
mod draft;
mod governance;
mod graph;
mod monitor;
pub mod organisation;
pub mod package;
mod pim;
mod request;

use serde_json::Value;

use crate::{
    json::strict_json::{self, FieldError},
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::{event::Event, event_validation::Intake},
};

use self::graph::Object;

/// The result of reading an object.
#[derive(Clone, Debug)]
pub enum Content {
    /// The events, the earliest first; at least one.
    Events(Vec<Event>),
    /// Nothing is to be stored of the object; the text says why.
    Nothing(String),
    Package(Box<package::ImportedPackage>),
    Organisation(Box<organisation::ImportedOrganisation>),
}

/// The supported kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Monitored,
    Audit,
    Request,
    Assignment,
    Approval,
    Stage,
    Package,
    Organisation,
    Pim(pim::Kind),
}

/// The names of the types in Graph, v1.0 and beta.
const TYPES: [(&str, Kind); 9] = [
    ("directoryAudit", Kind::Audit),
    ("accessPackageAssignmentRequest", Kind::Request),
    ("accessPackageAssignment", Kind::Assignment),
    ("approval", Kind::Approval),
    ("accessPackageAssignmentApproval", Kind::Approval),
    ("approvalStage", Kind::Stage),
    ("approvalStep", Kind::Stage),
    ("accessPackage", Kind::Package),
    ("connectedOrganization", Kind::Organisation),
];

/// Members that identify the kind of an object without a type. The first match counts.
const SHAPES: [(&[&str], Kind); 8] = [
    (&["operationName"], Kind::Monitored),
    (&["activityDisplayName", "activityDateTime", "activityDate"], Kind::Audit),
    (&["requestType"], Kind::Request),
    (&["stages", "steps"], Kind::Approval),
    (&["reviewResult"], Kind::Stage),
    (&["identitySources", "internalSponsors", "externalSponsors"], Kind::Organisation),
    (
        &[
            "assignmentState",
            "expiredDateTime",
            "assignmentPolicy",
            "assignmentPolicyId",
            "target",
            "targetId",
            "schedule",
        ],
        Kind::Assignment,
    ),
    (
        &[
            "isHidden",
            "assignmentPolicies",
            "accessPackageAssignmentPolicies",
            "resourceRoleScopes",
            "accessPackageResourceRoleScopes",
            "catalog",
            "accessPackageCatalog",
            "catalogId",
        ],
        Kind::Package,
    ),
];

/// Reads one object.
///
/// # Errors
/// All errors found, each with its place in the object.
pub fn read(json: &str, intake: &Intake<'_>) -> Result<Content, Vec<FieldError>> {
    read_of_page(json, None, intake)
}

/// Reads one object of a page. `context` is the page's `@odata.context`: some objects differ in
/// nothing else.
///
/// # Errors
/// All errors found, each with its place in the object.
pub fn read_of_page(
    json: &str,
    context: Option<&str>,
    intake: &Intake<'_>,
) -> Result<Content, Vec<FieldError>> {
    let (value, faults) = strict_json::read(json);
    let members = match value {
        Some(Value::Object(members)) if faults.is_empty() => members,
        Some(Value::Object(_)) | None => return Err(faults),
        Some(_) => {
            return Err(vec![FieldError::new("", "must be a JSON object of Microsoft Graph")]);
        }
    };
    let object = Object::whole(&members);
    let one = |error| vec![error];
    let kind = kind(&object, context).map_err(one)?;
    let drafts = match kind {
        Kind::Monitored => monitor::read(&object, intake),
        Kind::Audit => audit::read(&object, intake),
        Kind::Request => request::read(&object, intake),
        Kind::Assignment => assignment::read(&object, intake),
        Kind::Approval => approval::read(&object, intake),
        Kind::Stage => Err(FieldError::new(
            "",
            "is a stage alone, which does not say of which request; send its approval with $expand=stages",
        )),
        Kind::Pim(pim::Kind::Request(about)) => pim::request::read(&object, about, intake),
        Kind::Pim(pim::Kind::Schedule) => pim::schedule::read(&object, intake),
        Kind::Pim(pim::Kind::Instance) => pim::schedule::instance(&object, intake),
        Kind::Package => {
            return package::ImportedPackage::read(&object)
                .map(Box::new)
                .map(Content::Package)
                .map_err(one);
        }
        Kind::Organisation => {
            return organisation::ImportedOrganisation::read(&object)
                .map(Box::new)
                .map(Content::Organisation)
                .map_err(one);
        }
    };
    let mut events = Vec::new();
    let mut errors = Vec::new();
    let mut drafts = drafts.map_err(one)?;
    // What is past retention is not stored. The steps that are not are worth more than none.
    if !drafts.iter().all(|draft| draft.is_past_retention(intake)) {
        drafts.retain(|draft| !draft.is_past_retention(intake));
    }
    for draft in drafts {
        match draft.judged(intake) {
            Ok(event) => events.push(event),
            Err(wrong) => errors.extend(wrong),
        }
    }
    events.sort_by_key(|event| event.occurred_at);
    match (errors.is_empty(), events.is_empty()) {
        (false, _) => Err(errors),
        (true, false) => Ok(Content::Events(events)),
        (true, true) => Ok(Content::Nothing(nothing(kind, &object))),
    }
}

/// Why nothing is to be stored of an object without an error.
fn nothing(kind: Kind, object: &Object<'_>) -> String {
    match kind {
        Kind::Monitored => monitor::nothing(object),
        Kind::Request => request::nothing(object),
        Kind::Assignment => assignment::nothing(object),
        Kind::Approval => approval::NOTHING.to_owned(),
        Kind::Pim(kind) => pim::nothing(kind, object),
        Kind::Audit | Kind::Stage | Kind::Package | Kind::Organisation => {
            "contains nothing to store".to_owned()
        }
    }
}

fn kind(object: &Object<'_>, context: Option<&str>) -> Result<Kind, FieldError> {
    if let Some(name) = object.text(&["@odata.type"])? {
        let bare = name.rsplit('.').next().unwrap_or(name);
        let of_pim = pim::TYPES.iter().map(|(name, kind)| (*name, Kind::Pim(*kind)));
        let types = || TYPES.into_iter().chain(of_pim.clone());
        let known = types().find(|(known, _)| known.eq_ignore_ascii_case(bare));
        return known.map(|(_, kind)| kind).ok_or_else(|| {
            let taken: Vec<_> = types().map(|(name, _)| name).collect();
            FieldError::new(
                "/@odata.type",
                format!("{name:?} is not taken; these are: {}", taken.join(", ")),
            )
        });
    }
    if let Some(kind) = pim::Kind::of_shape(object, context)? {
        return Ok(Kind::Pim(kind));
    }
    let known =
        SHAPES.iter().find(|(members, _)| members.iter().any(|member| object.names(member)));
    known.map(|(_, kind)| *kind).ok_or_else(|| {
        FieldError::new(
            "",
            "is like no object of Microsoft Graph that is taken; give its \"@odata.type\"",
        )
    })
}

/// Whether an imported event contradicts the stored event with the same id: both contain a member
/// and the values differ. A member that only one contains is no contradiction, because exports
/// expand different members. People and packages may be renamed, and whether a window is opened
/// depends on the day of the import. These members are ignored.
pub fn contradicts(sent: &Event, stored: &Event) -> bool {
    if sent.id.is_of_pim() {
        return pim::contradicts(sent, stored);
    }
    let facts = |event: &Event| {
        let mut facts = serde_json::to_value(event.facts()).unwrap_or_default();
        // Earlier versions took what was done in part for a success.
        if facts["details"]["partial"] == true {
            for member in ["outcome", "reason"] {
                facts[member] = Value::Null;
            }
        }
        facts
    };
    differ("", &facts(sent), &facts(stored))
}

/// Members whose value may differ although the fact is the same.
const PASSING: [&str; 8] = [
    "window",
    "name",
    "email",
    "displayName",
    "principalName",
    "userPrincipalName",
    "mail",
    "graph_left_out",
];

fn differ(member: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        _ if PASSING.contains(&member) => false,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Object(a), Value::Object(b)) => {
            a.iter().any(|(key, a)| b.get(key).is_some_and(|b| differ(key, a, b)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() != b.len() || a.iter().zip(b).any(|(a, b)| differ("", a, b))
        }
        // Versions of Graph write words in different case and times with different precision.
        (Value::String(a), Value::String(b)) => {
            let time = |text: &str| text.parse::<Instant>().ok();
            fold(a) != fold(b) && (time(a).is_none() || time(a) != time(b))
        }
        (a, b) => a != b,
    }
}

#[cfg(test)]
mod tests;
