//! A request for an access package (`accessPackageAssignmentRequest`): its creation and its result.
//! A request of an unknown type is kept whole.

use serde_json::{Value, json};

use crate::{
    json::strict_json::FieldError,
    time::{duration::Length, timestamp::Instant},
    trail::{
        actions::{DirectoryAction, EntitlementAction},
        event::EventId,
        event_validation::Intake,
    },
};

use crate::entra::{
    activities::Removal,
    draft::{Draft, event_id, window},
    graph::{Object, long_text, name, party},
};

/// The kind of requestor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The person who has or gets the access.
    Themselves,
    /// An administrator, whose name the request does not contain.
    Administrator,
    System,
}

/// The purpose of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Access,
    Removal,
}

/// The types of requests, in lower camel case; beta capitalises them.
const TYPES: [(&str, By, Asked); 12] = [
    ("userAdd", By::Themselves, Asked::Access),
    ("userExtend", By::Themselves, Asked::Access),
    ("userUpdate", By::Themselves, Asked::Access),
    ("onBehalfAdd", By::Themselves, Asked::Access),
    ("adminAdd", By::Administrator, Asked::Access),
    ("adminExtend", By::Administrator, Asked::Access),
    ("adminUpdate", By::Administrator, Asked::Access),
    ("systemAdd", By::System, Asked::Access),
    ("systemUpdate", By::System, Asked::Access),
    ("userRemove", By::Themselves, Asked::Removal),
    ("adminRemove", By::Administrator, Asked::Removal),
    ("systemRemove", By::System, Asked::Removal),
];

impl By {
    /// The actor of an event.
    fn actor(self, requestor: &Value) -> Value {
        match self {
            Self::Themselves => {
                let mut actor = requestor.clone();
                actor["type"] = "user".into();
                actor
            }
            Self::Administrator => json!({"type": "user", "name": "an administrator"}),
            Self::System => json!({"type": "system"}),
        }
    }

    /// The cause of a removal that this requestor asked for.
    fn removal(self) -> Removal {
        match self {
            Self::Themselves => Removal::Canceled,
            Self::Administrator => Removal::ByAdministrator,
            Self::System => Removal::Withdrawn,
        }
    }
}

/// The result of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    PartlyDelivered,
    Denied,
    TimedOut,
    Canceled,
    Failed,
}

/// The members with the time of completion, and with the result.
const COMPLETED: [&str; 2] = ["completedDateTime", "completedDate"];
const STATES: [&str; 2] = ["state", "requestState"];
const STATUSES: [&str; 2] = ["status", "requestStatus"];

/// The parts of a request that do not depend on its result.
struct Request<'v> {
    object: &'v Object<'v>,
    id: &'v str,
    kind: &'v str,
    by: By,
    asked: Asked,
    assignment: Option<Object<'v>>,
    package: Value,
    requestor: Value,
    schedule: Schedule,
}

pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    // A request for validation only has no effect.
    if is_validation_only(object)? {
        return Ok(Vec::new());
    }
    let kind = object.required_text(&["requestType"])?;
    let Some(known) = TYPES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(kind)) else {
        return Ok(vec![unknown(object, kind, intake)?]);
    };
    let request = Request::read(object, kind, known)?;
    let made = match request.asked {
        Asked::Access => Some(request.made(intake)?),
        // A request for removal is recorded when it is completed.
        Asked::Removal => None,
    };
    let ended = end(object)?.map(|end| request.ended(end, intake)).transpose()?;
    Ok(made.into_iter().chain(ended).collect())
}

fn is_validation_only(object: &Object<'_>) -> Result<bool, FieldError> {
    Ok(object.flag(&["isValidationOnly"])? == Some(true))
}

/// Why a request becomes no event.
pub fn nothing(object: &Object<'_>) -> String {
    if is_validation_only(object).unwrap_or_default() {
        return "is for validation only, so it has no effect".to_owned();
    }
    let state = object.text(&STATES).ok().flatten().unwrap_or_default();
    format!(
        "asks to remove access and is not completed (state {:?}); import it again when it is",
        name(state)
    )
}

/// A request of a type that this service does not know, as a whole.
fn unknown(object: &Object<'_>, kind: &str, intake: &Intake<'_>) -> Result<Draft, FieldError> {
    // The state and other members may change, and each version of the object is an event.
    let whole = Value::Object(object.members.clone()).to_string();
    let version = EventId::hash_of(intake.tenant, "entra_request", &whole);
    let id = object.required_text(&["id"])?;
    let event = event_id(intake.tenant, "request", &[id, version.as_str()]);
    let at = [COMPLETED.as_slice(), &["createdDateTime"]].concat();
    let mut draft = Draft::new(event, DirectoryAction::DirectoryActivity, object, &at)?;
    let assignment = object.object(&["assignment", "accessPackageAssignment"])?;
    let (package, requestor) =
        (package(object, assignment.as_ref()), requestor(object, assignment.as_ref()));
    draft.set("actor", Some(json!({"type": "service", "name": "Microsoft Entra ID"})));
    draft.set_from("subject", requestor.ok(), object.place("requestor"));
    draft.set_from("target", package.ok(), object.place("accessPackage"));
    draft.set("request_id", Some(id.into()));
    let kind = name(kind);
    draft.detail("activity", Some(format!("access package request of the type {kind:?}").into()));
    draft.detail("request_type", Some(kind.into()));
    let known: Vec<_> = TYPES.iter().map(|(name, ..)| *name).collect();
    let lacks = format!("the type of the request is none of these: {}", known.join(", "));
    draft.detail("incomplete", Some(lacks.into()));
    let graph = object.members.iter().filter(|(key, _)| !key.starts_with('@'));
    draft.keep(graph.map(|(key, value)| (key.clone(), value.clone())).collect());
    Ok(draft)
}

impl<'v> Request<'v> {
    fn read(
        object: &'v Object<'v>,
        kind: &'v str,
        (_, by, asked): &(&str, By, Asked),
    ) -> Result<Self, FieldError> {
        let (by, asked) = (*by, *asked);
        let assignment = object.object(&["assignment", "accessPackageAssignment"])?;
        Ok(Self {
            object,
            id: object.required_text(&["id"])?,
            kind,
            by,
            asked,
            package: package(object, assignment.as_ref())?,
            requestor: requestor(object, assignment.as_ref())?,
            schedule: Schedule::read(object)?,
            assignment,
        })
    }

    fn draft(
        &self,
        step: &str,
        action: EntitlementAction,
        at: &[&str],
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let event = event_id(intake.tenant, "request", &[self.id, step]);
        let mut draft = Draft::new(event, action, self.object, at)?;
        draft.set_from("target", Some(self.package.clone()), self.object.place("accessPackage"));
        draft.set("request_id", Some(self.id.into()));
        draft.detail("request_type", Some(self.kind.into()));
        Ok(draft)
    }

    /// The event about the creation. It uses only members that do not change while the request is
    /// processed.
    fn made(&self, intake: &Intake<'_>) -> Result<Draft, FieldError> {
        let Self { object, by, requestor, schedule, .. } = self;
        let action = match by {
            By::Administrator => EntitlementAction::DirectlyAssigned,
            By::Themselves | By::System => EntitlementAction::Requested,
        };
        let mut made = self.draft("requested", action, &["createdDateTime"], intake)?;
        made.set_from("actor", Some(by.actor(requestor)), object.place("requestor"));
        let subject = (*by != By::Themselves).then(|| requestor.clone());
        made.set_from("subject", subject, object.place("requestor"));
        let justification = object.text(&["justification"])?.map(long_text);
        made.set_from(
            "justification",
            justification.map(Value::from),
            object.place("justification"),
        );
        made.detail("schedule", schedule.told(None));
        made.keep(kept(
            object,
            &["id", "createdDateTime", "requestType", "justification", "answers", "schedule"],
        )?);
        Ok(made)
    }

    /// The event about the result.
    fn ended(&self, end: End, intake: &Intake<'_>) -> Result<Draft, FieldError> {
        let Self { object, by, asked, requestor, schedule, .. } = self;
        let completed = object.text(&COMPLETED)?.and_then(|text| text.parse::<Instant>().ok());
        // What failed or was done in part may be tried again, with another result.
        let tried = |step: &str| {
            completed.map_or_else(|| step.to_owned(), |at| format!("{step}_{}", at.millis()))
        };
        let (step, action) = match (asked, end) {
            (Asked::Removal, End::Delivered) => ("removed".to_owned(), EntitlementAction::Removed),
            (Asked::Removal, End::PartlyDelivered) => {
                (tried("partly_removed"), EntitlementAction::Removed)
            }
            // The access remains.
            (Asked::Removal, End::Denied | End::TimedOut | End::Canceled | End::Failed) => {
                (tried("removal_failed"), EntitlementAction::Removed)
            }
            (Asked::Access, End::Delivered) => {
                ("fulfilled".to_owned(), EntitlementAction::Fulfilled)
            }
            (Asked::Access, End::PartlyDelivered) => {
                (tried("partly_fulfilled"), EntitlementAction::Fulfilled)
            }
            (Asked::Access, End::Denied) => ("denied".to_owned(), EntitlementAction::Denied),
            (Asked::Access, End::TimedOut) => ("timed_out".to_owned(), EntitlementAction::TimedOut),
            (Asked::Access, End::Canceled) => ("canceled".to_owned(), EntitlementAction::Canceled),
            (Asked::Access, End::Failed) => (tried("failed"), EntitlementAction::Failed),
        };
        let mut ended = self.draft(&step, action, &COMPLETED, intake)?;
        // The approver of access is in the approval, which is a separate object.
        let actor = if *asked == Asked::Removal { *by } else { By::System }.actor(requestor);
        ended.set_from("actor", Some(actor), object.place("requestor"));
        ended.set_from("subject", Some(requestor.clone()), object.place("requestor"));
        let is_done = match (asked, end) {
            (_, End::PartlyDelivered | End::Failed) => false,
            (Asked::Removal, End::Denied | End::TimedOut | End::Canceled) => false,
            (Asked::Access, End::Denied | End::TimedOut | End::Canceled) | (_, End::Delivered) => {
                true
            }
        };
        if !is_done {
            // The status says more than the state.
            let status = object.text(&STATUSES)?.or(object.text(&STATES)?);
            ended.failed(status.unwrap_or_default(), object.place("status"));
        } else if *asked == Asked::Removal {
            ended.set("reason", Some(by.removal().reason().into()));
            ended.end_cause(by.removal());
        }
        if end == End::PartlyDelivered {
            ended.detail("partial", Some(true.into()));
        }
        if action == EntitlementAction::Fulfilled {
            let ends_at = schedule.ends_at(completed);
            let window = window(completed, ends_at, intake.now).filter(|_| is_done);
            ended.set_from("window", window, object.place("schedule"));
            ended.detail("schedule", schedule.told(ends_at));
        }
        if let Some(assignment) = &self.assignment {
            ended.detail("assignment_id", assignment.id(&["id"])?.map(Value::from));
            ended.detail("policy", policy_of(assignment)?);
        }
        let members = [
            "id",
            "requestType",
            "state",
            "requestState",
            "schedule",
            "completedDateTime",
            "completedDate",
        ];
        ended.keep(kept(object, &members)?);
        Ok(ended)
    }
}

/// The result, from state and status; none while the request is in progress.
fn end(object: &Object<'_>) -> Result<Option<End>, FieldError> {
    let state = object.required_text(&STATES)?.to_ascii_lowercase();
    let status = object.text(&STATUSES)?.unwrap_or_default().to_ascii_lowercase();
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

/// The package, from the request or from its assignment.
fn package(object: &Object<'_>, assignment: Option<&Object<'_>>) -> Result<Value, FieldError> {
    for holder in [Some(object), assignment].into_iter().flatten() {
        if let Some(package) = package_of(holder)? {
            return Ok(package);
        }
    }
    Err(object.wrong(
        "accessPackage",
        "is required: export with $expand=accessPackage,requestor,assignment",
    ))
}

pub fn package_of(object: &Object<'_>) -> Result<Option<Value>, FieldError> {
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

/// The person who has or gets the access.
fn requestor(object: &Object<'_>, assignment: Option<&Object<'_>>) -> Result<Value, FieldError> {
    if let Some(requestor) =
        object.object(&["requestor"])?.map(|it| it.party()).transpose()?.flatten()
    {
        return Ok(requestor);
    }
    if let Some(target) = assignment.map(target_of).transpose()?.flatten() {
        return Ok(target);
    }
    Err(object
        .wrong("requestor", "is required: export with $expand=accessPackage,requestor,assignment"))
}

/// The person who has an assignment.
pub fn target_of(assignment: &Object<'_>) -> Result<Option<Value>, FieldError> {
    if let Some(target) =
        assignment.object(&["target"])?.map(|it| it.party()).transpose()?.flatten()
    {
        return Ok(Some(target));
    }
    Ok(party(None, assignment.id(&["targetId"])?, None, None))
}

pub fn policy_of(assignment: &Object<'_>) -> Result<Option<Value>, FieldError> {
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

/// These members, with the requestor and the package, as far as they do not change.
fn kept(
    object: &Object<'_>,
    members: &[&str],
) -> Result<serde_json::Map<String, Value>, FieldError> {
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

/// The time for which access is requested.
pub struct Schedule {
    pub starts_at: Option<Instant>,
    ends_at: Option<Instant>,
    lasts: Option<Length>,
}

impl Schedule {
    pub fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let mut read = Self { starts_at: None, ends_at: None, lasts: None };
        let Some(schedule) = object.object(&["schedule", "scheduleInfo"])? else {
            return Ok(read);
        };
        let time = |object: &Object<'_>, names: &[&str]| {
            let Some(text) = object.text(names)? else { return Ok(None) };
            let wrong = |error: crate::time::timestamp::NoInstant| {
                object.wrong(names.first().unwrap_or(&""), error.to_string())
            };
            text.parse::<Instant>().map(Some).map_err(wrong)
        };
        read.starts_at = time(&schedule, &["startDateTime"])?;
        if let Some(expiration) = schedule.object(&["expiration"])? {
            read.ends_at = time(&expiration, &["endDateTime"])?;
            // A duration in months has no fixed length and is ignored.
            read.lasts = expiration.text(&["duration"])?.and_then(|text| text.parse().ok());
        }
        Ok(read)
    }

    /// The end. A duration starts at `starts_at`, otherwise at `given_at`.
    pub fn ends_at(&self, given_at: Option<Instant>) -> Option<Instant> {
        let from = self.starts_at.or(given_at);
        self.ends_at.or_else(|| Some(from?.plus(self.lasts.as_ref()?.duration())))
    }

    /// Whether it ends at a known time or after a known duration.
    pub fn has_end(&self) -> bool {
        self.ends_at.is_some() || self.lasts.is_some()
    }

    /// The end of what started at `at`, whenever it was planned to start.
    pub fn ends_at_from(&self, at: Option<Instant>) -> Option<Instant> {
        self.ends_at.or_else(|| Some(at?.plus(self.lasts.as_ref()?.duration())))
    }

    /// The schedule in the details of an event.
    pub fn told(&self, ends_at: Option<Instant>) -> Option<Value> {
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
