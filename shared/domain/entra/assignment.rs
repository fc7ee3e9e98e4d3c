//! An assignment of an access package (`accessPackageAssignment`): when the access starts and ends,
//! and whether it has ended.

use serde_json::{Map, Value, json};

use crate::{
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{actions::EntitlementAction, event_validation::Intake},
};

use crate::entra::{
    activities::Removal,
    draft::{Draft, event_id, window},
    graph::{Object, name},
    request::{Schedule, package_of, policy_of, target_of},
};

const STATES: [&str; 2] = ["state", "assignmentState"];

/// The reason of an end before the planned one.
const EARLY: &str = "ended before its planned end";

pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    let id = object.required_text(&["id"])?;
    let state = object.required_text(&STATES)?.to_ascii_lowercase();
    let expand = |name| {
        object.wrong(name, "is required: export with $expand=accessPackage,target,assignmentPolicy")
    };
    let package = package_of(object)?.ok_or_else(|| expand("accessPackage"))?;
    let target = target_of(object)?.ok_or_else(|| expand("target"))?;
    let schedule = Schedule::read(object)?;
    let ends_at = schedule.ends_at(None);
    let expired_at =
        object.text(&["expiredDateTime"])?.and_then(|text| text.parse::<Instant>().ok());
    let is_partial = state == "partiallydelivered";
    let is_expired = state == "expired";
    let has_failed = state == "deliveryfailed";
    let mut drafts = Vec::new();
    let finish = |mut draft: Draft, members: &[&str]| {
        draft.set_from("actor", Some(json!({"type": "system"})), String::new());
        draft.set_from("subject", Some(target.clone()), object.place("target"));
        draft.set_from("target", Some(package.clone()), object.place("accessPackage"));
        draft.detail("assignment_id", Some(id.into()));
        draft.detail("policy", policy_of(object)?);
        draft.detail("schedule", schedule.told(ends_at));
        let mut kept: Map<String, Value> = object.only(members);
        kept.extend(object.object(&["target"])?.map(|target| {
            (
                "target".to_owned(),
                target.only(&["id", "objectId", "displayName", "email", "principalName"]).into(),
            )
        }));
        draft.keep(kept);
        Ok::<_, FieldError>(draft)
    };

    // An expired assignment without a start only shows its end.
    if state == "delivered" || is_partial || (is_expired && schedule.starts_at.is_some()) {
        if schedule.starts_at.is_none() {
            return Err(object.wrong(
                "schedule",
                "is required: its startDateTime says since when the access is there",
            ));
        }
        // An assignment can be extended. Each end is an event of its own. So is what was delivered in
        // part, because the rest may follow.
        let until = ends_at.map_or_else(|| "open".to_owned(), |at| at.millis().to_string());
        let step = if is_partial { "partly_until" } else { "until" };
        let event = event_id(intake.tenant, "assignment", &[id, step, &until]);
        let inner = object.object(&["schedule"])?.unwrap_or_else(|| object.clone());
        let mut given =
            Draft::new(event, EntitlementAction::Fulfilled, &inner, &["startDateTime"])?;
        if is_partial {
            given.failed(status(object)?, object.place("status"));
            given.detail("partial", Some(true.into()));
        } else {
            let window = match is_expired {
                true => Some(json!(false)),
                false => window(schedule.starts_at, ends_at, intake.now),
            };
            given.set_from("window", window, object.place("schedule"));
        }
        drafts.push(finish(
            given,
            &["id", "accessPackageId", "assignmentPolicyId", "catalogId", "targetId", "schedule"],
        )?);
    }
    if has_failed && schedule.starts_at.is_some() {
        let event = event_id(intake.tenant, "assignment", &[id, "failed"]);
        let inner = object.object(&["schedule"])?.unwrap_or_else(|| object.clone());
        let mut failed = Draft::new(event, EntitlementAction::Failed, &inner, &["startDateTime"])?;
        failed.failed(status(object)?, object.place("status"));
        drafts.push(finish(
            failed,
            &["id", "accessPackageId", "assignmentPolicyId", "catalogId", "targetId", "schedule"],
        )?);
    }
    if is_expired {
        let event = event_id(intake.tenant, "assignment", &[id, "removed"]);
        let mut ended =
            Draft::new(event, EntitlementAction::Removed, object, &["expiredDateTime"])?;
        let is_early = ends_at.zip(expired_at).is_some_and(|(planned, at)| at < planned);
        if is_early {
            // By whom, the assignment does not say.
            ended.set("reason", Some(EARLY.into()));
        } else {
            ended.set("reason", Some(Removal::Expired.reason().into()));
            ended.end_cause(Removal::Expired);
        }
        drafts.push(finish(
            ended,
            &["id", "accessPackageId", "assignmentPolicyId", "targetId", "expiredDateTime"],
        )?);
    }
    Ok(drafts)
}

/// What the assignment says of its delivery.
fn status<'v>(object: &Object<'v>) -> Result<&'v str, FieldError> {
    let status = object.text(&["status", "assignmentStatus"])?;
    Ok(status.or(object.text(&STATES)?).unwrap_or_default())
}

/// Why an assignment becomes no event.
pub fn nothing(object: &Object<'_>) -> String {
    let state = object.text(&STATES).ok().flatten().unwrap_or_default();
    format!(
        "is in the state {:?}: the access has not begun; import it again when it has",
        name(state)
    )
}
