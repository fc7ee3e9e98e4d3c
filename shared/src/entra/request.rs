//! A request for an access package (`accessPackageAssignmentRequest`): that it was made, and how it ended.

use serde_json::{Value, json};

use crate::{ijson::FieldError, instant::Instant, intake::Intake, length::Length};

use super::{
    activities::{CANCELED, REMOVED, WITHDRAWN},
    draft::{Draft, event_id, window},
    graph::{Object, long_text, party},
};

/// Who asked for what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Somebody for access.
    ByUser,
    /// An administrator for somebody's access.
    ByAdministrator,
    /// Entitlement management for somebody's access.
    BySystem,
    /// Access to be removed, and why.
    Removal(&'static str),
}

/// The types of requests, folded, as v1.0 and beta write them.
const TYPES: [(&str, Asked); 12] = [
    ("useradd", Asked::ByUser),
    ("userextend", Asked::ByUser),
    ("userupdate", Asked::ByUser),
    ("onbehalfadd", Asked::ByUser),
    ("adminadd", Asked::ByAdministrator),
    ("adminextend", Asked::ByAdministrator),
    ("adminupdate", Asked::ByAdministrator),
    ("systemadd", Asked::BySystem),
    ("systemupdate", Asked::BySystem),
    ("userremove", Asked::Removal(CANCELED)),
    ("adminremove", Asked::Removal(REMOVED)),
    ("systemremove", Asked::Removal(WITHDRAWN)),
];

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    PartlyDelivered,
    Denied,
    TimedOut,
    Canceled,
    Failed,
}

/// When a request ended.
const COMPLETED: [&str; 2] = ["completedDateTime", "completedDate"];
/// An administrator did it, and the request does not say which.
const SOME_ADMINISTRATOR: &str = "an administrator";

pub(super) fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    let id = object.required_text(&["id"])?;
    // Asked only to see whether it could be asked: nothing comes of it.
    if object.flag(&["isValidationOnly"])? == Some(true) {
        return Ok(Vec::new());
    }
    let asked = asked(object)?;
    let assignment = object.object(&["assignment", "accessPackageAssignment"])?;
    let package = package(object, assignment.as_ref())?;
    let requestor = requestor(object, assignment.as_ref())?;
    let schedule = Schedule::read(object)?;
    let draft = |step: &str, action: &str, at: &[&str]| {
        let mut draft = Draft::new(event_id(intake.tenant, "request", &[id, step]), action, object, at)?;
        draft.set_from("target", Some(package.clone()), object.place("accessPackage"));
        draft.set("request_id", Some(id.into()));
        Ok::<_, FieldError>(draft)
    };
    let justification = object.text(&["justification"])?.map(long_text);
    let mut drafts = Vec::new();

    if !matches!(asked, Asked::Removal(_)) {
        let (action, actor) = match asked {
            Asked::ByUser => ("entitlement.requested", as_actor("user", &requestor)),
            Asked::ByAdministrator => {
                ("entitlement.directly_assigned", json!({"type": "user", "name": SOME_ADMINISTRATOR}))
            }
            Asked::BySystem | Asked::Removal(_) => ("entitlement.requested", json!({"type": "system"})),
        };
        let mut made = draft("requested", action, &["createdDateTime"])?;
        made.set_from("actor", Some(actor), object.place("requestor"));
        let subject = (asked != Asked::ByUser).then(|| requestor.clone());
        made.set_from("subject", subject, object.place("requestor"));
        made.set_from("justification", justification.map(Value::from), object.place("justification"));
        made.detail("request_type", object.text(&["requestType"])?.map(Value::from));
        made.detail("schedule", schedule.told(None));
        made.keep(kept(object, &["id", "createdDateTime", "requestType", "justification", "answers", "schedule"])?);
        drafts.push(made);
    }

    let Some(end) = end(object)? else { return Ok(drafts) };
    let completed = object.text(&COMPLETED)?.and_then(|text| text.parse::<Instant>().ok());
    let failed_step = completed.map_or_else(|| "failed".to_owned(), |at| format!("failed_{}", at.millis()));
    let (step, action) = match (end, asked) {
        (End::Delivered, Asked::Removal(_)) => ("removed", "entitlement.removed"),
        // What a removal that did not come to its end was is told by the assignment, which goes on.
        (_, Asked::Removal(_)) => return Ok(drafts),
        (End::Delivered | End::PartlyDelivered, _) => ("fulfilled", "entitlement.fulfilled"),
        (End::Denied, _) => ("denied", "entitlement.denied"),
        (End::TimedOut, _) => ("timed_out", "entitlement.timed_out"),
        (End::Canceled, _) => ("canceled", "entitlement.canceled"),
        // It may be tried again, and fail again.
        (End::Failed, _) => (failed_step.as_str(), "entitlement.failed"),
    };
    let mut ended = draft(step, action, &COMPLETED)?;
    let by_user = asked == Asked::Removal(CANCELED);
    let by_administrator = asked == Asked::Removal(REMOVED);
    let actor = match asked {
        _ if by_user => as_actor("user", &requestor),
        _ if by_administrator => json!({"type": "user", "name": SOME_ADMINISTRATOR}),
        // Whoever decided is told by the approval.
        _ => json!({"type": "system"}),
    };
    ended.set_from("actor", Some(actor), object.place("requestor"));
    ended.set_from("subject", Some(requestor), object.place("requestor"));
    if let Asked::Removal(cause) = asked {
        ended.set("reason", Some(cause.into()));
    }
    if end == End::Failed {
        let status = object.text(&["status", "requestStatus"])?.unwrap_or("delivery failed");
        ended.set_from("reason", Some(long_text(status).into()), object.place("status"));
        ended.set("outcome", Some("failure".into()));
    }
    ended.detail("request_type", object.text(&["requestType"])?.map(Value::from));
    if end == End::PartlyDelivered {
        ended.detail("partial", Some(true.into()));
    }
    if action == "entitlement.fulfilled" {
        let ends_at = schedule.ends_at(completed);
        ended.set_from("window", window(completed, ends_at, intake.now), object.place("schedule"));
        ended.detail("schedule", schedule.told(ends_at));
    }
    if let Some(assignment) = &assignment {
        ended.detail("assignment_id", assignment.id(&["id"])?.map(Value::from));
        ended.detail("policy", policy_of(assignment)?);
    }
    let members = ["id", "requestType", "state", "requestState", "schedule", "completedDateTime", "completedDate"];
    ended.keep(kept(object, &members)?);
    drafts.push(ended);
    Ok(drafts)
}

fn asked(object: &Object<'_>) -> Result<Asked, FieldError> {
    let word = object.required_text(&["requestType"])?;
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    known.map(|(_, asked)| *asked).ok_or_else(|| {
        object.wrong(
            "requestType",
            format!("{word:?} is no type of request that is known, as userAdd, adminAdd, systemRemove"),
        )
    })
}

/// How it ended, as its state and status say; none while it goes on.
fn end(object: &Object<'_>) -> Result<Option<End>, FieldError> {
    let state = object.required_text(&["state", "requestState"])?.to_ascii_lowercase();
    let status = object.text(&["status", "requestStatus"])?.unwrap_or_default().to_ascii_lowercase();
    let is_timeout = ["timedout", "timeout", "expired"].iter().any(|word| {
        let squeezed = |text: &str| text.replace([' ', '_', '-'], "").contains(word);
        squeezed(&state) || squeezed(&status)
    });
    Ok(match state.as_str() {
        "delivered" | "fulfilled" => Some(End::Delivered),
        "partiallydelivered" => Some(End::PartlyDelivered),
        "deliveryfailed" => Some(End::Failed),
        "canceled" | "cancelled" => Some(End::Canceled),
        "denied" | "expired" | "timedout" if is_timeout => Some(End::TimedOut),
        "denied" => Some(End::Denied),
        _ => None,
    })
}

/// The package, from the request or its assignment.
fn package(object: &Object<'_>, assignment: Option<&Object<'_>>) -> Result<Value, FieldError> {
    for holder in [Some(object), assignment].into_iter().flatten() {
        if let Some(package) = package_of(holder)? {
            return Ok(package);
        }
    }
    Err(object.wrong("accessPackage", "is required: export with $expand=accessPackage,requestor,assignment"))
}

/// The package of an object that belongs to one.
pub(super) fn package_of(object: &Object<'_>) -> Result<Option<Value>, FieldError> {
    let package = object.object(&["accessPackage"])?;
    let (mut id, mut name) = (None, None);
    if let Some(package) = &package {
        (id, name) = (package.id(&["id"])?, package.text(&["displayName"])?);
    }
    let id = match id {
        Some(id) => Some(id),
        None => object.id(&["accessPackageId"])?,
    };
    Ok(party(Some("package"), id, name, None))
}

/// Who has or gets access.
fn requestor(object: &Object<'_>, assignment: Option<&Object<'_>>) -> Result<Value, FieldError> {
    if let Some(requestor) = object.object(&["requestor"])?.map(|it| it.party()).transpose()?.flatten() {
        return Ok(requestor);
    }
    if let Some(target) = assignment.map(target_of).transpose()?.flatten() {
        return Ok(target);
    }
    Err(object.wrong("requestor", "is required: export with $expand=accessPackage,requestor,assignment"))
}

/// Who an assignment is for.
pub(super) fn target_of(assignment: &Object<'_>) -> Result<Option<Value>, FieldError> {
    if let Some(target) = assignment.object(&["target"])?.map(|it| it.party()).transpose()?.flatten() {
        return Ok(Some(target));
    }
    Ok(party(None, assignment.id(&["targetId"])?, None, None))
}

/// The policy of an assignment.
pub(super) fn policy_of(assignment: &Object<'_>) -> Result<Option<Value>, FieldError> {
    let policy = assignment.object(&["assignmentPolicy", "accessPackageAssignmentPolicy"])?;
    let (mut id, mut name) = (None, None);
    if let Some(policy) = &policy {
        (id, name) = (policy.id(&["id"])?, policy.text(&["displayName"])?);
    }
    let id = match id {
        Some(id) => Some(id),
        None => assignment.id(&["assignmentPolicyId"])?,
    };
    Ok(party(None, id, name, None))
}

/// These members with who asked and for what, as far as they do not change.
fn kept(object: &Object<'_>, members: &[&str]) -> Result<serde_json::Map<String, Value>, FieldError> {
    let mut kept = object.only(members);
    let inner = [
        (
            object.object(&["requestor"])?,
            "requestor",
            ["id", "objectId", "displayName", "email", "principalName"].as_slice(),
        ),
        (object.object(&["accessPackage"])?, "accessPackage", &["id", "displayName"]),
    ];
    for (object, name, members) in inner {
        kept.extend(object.map(|object| (name.to_owned(), Value::Object(object.only(members)))));
    }
    Ok(kept)
}

fn as_actor(kind: &str, party: &Value) -> Value {
    let mut actor = party.clone();
    actor["type"] = kind.into();
    actor
}

/// When access is to be in place.
pub(super) struct Schedule {
    /// From when on.
    pub starts_at: Option<Instant>,
    ends_at: Option<Instant>,
    lasts: Option<Length>,
}

impl Schedule {
    pub(super) fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let mut read = Self { starts_at: None, ends_at: None, lasts: None };
        let Some(schedule) = object.object(&["schedule"])? else { return Ok(read) };
        let time = |object: &Object<'_>, names: &[&str]| {
            let Some(text) = object.text(names)? else { return Ok(None) };
            let wrong =
                |error: crate::instant::NoInstant| object.wrong(names.first().unwrap_or(&""), error.to_string());
            text.parse::<Instant>().map(Some).map_err(wrong)
        };
        read.starts_at = time(&schedule, &["startDateTime"])?;
        if let Some(expiration) = schedule.object(&["expiration"])? {
            read.ends_at = time(&expiration, &["endDateTime"])?;
            // A length that cannot be counted, as one of months, says no end.
            read.lasts = expiration.text(&["duration"])?.and_then(|text| text.parse().ok());
        }
        Ok(read)
    }

    /// Until when, where that is said; a length counts from the start, or from when access was given.
    pub(super) fn ends_at(&self, given_at: Option<Instant>) -> Option<Instant> {
        let from = self.starts_at.or(given_at);
        self.ends_at.or_else(|| Some(from?.plus(self.lasts.as_ref()?.duration())))
    }

    /// As details tell it.
    pub(super) fn told(&self, ends_at: Option<Instant>) -> Option<Value> {
        let ends_at = ends_at.or(self.ends_at);
        let lasts = self.lasts.as_ref().map(ToString::to_string);
        let told: serde_json::Map<_, _> = [
            ("starts_at", self.starts_at.map(|at| json!(at))),
            ("ends_at", ends_at.map(|at| json!(at))),
            ("duration", lasts.map(Value::from)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
        (!told.is_empty()).then_some(Value::Object(told))
    }
}
