//! When an assignment is active: its schedule (`unifiedRoleAssignmentSchedule`), and the instance
//! of a schedule that is active now (`unifiedRoleAssignmentScheduleInstance`); and the same of
//! groups.

use serde_json::{Value, json};

use crate::{
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{
        actions::DirectoryAction,
        event_validation::{Intake, MAX_AHEAD},
    },
};

use super::activation::{
    Activation, an_administrator, principal, request_of_schedule, required_role, role_and_target,
    scope, user,
};
use crate::entra::{
    draft::{Draft, event_id},
    graph::{Object, name},
    request::Schedule,
};

/// The status of a schedule that is in effect, or will be at its start.
const PROVISIONED: &str = "provisioned";

/// An assignment as its schedule or instance says.
struct Assignment<'v> {
    object: &'v Object<'v>,
    /// The id of the schedule.
    schedule: &'v str,
    /// The object with the start.
    times: Object<'v>,
    starts_at: Option<Instant>,
    ends_at: Option<Instant>,
}

/// Reads a schedule.
pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    let status = object.required_text(&["status"])?;
    if !status.eq_ignore_ascii_case(PROVISIONED) {
        return Ok(Vec::new());
    }
    let schedule = Schedule::read(object)?;
    let assignment = Assignment {
        object,
        schedule: match object.id(&["createdUsing"])? {
            Some(request) => request,
            None => object.required_text(&["id"])?,
        },
        times: object.object(&["scheduleInfo"])?.unwrap_or_else(|| object.clone()),
        starts_at: schedule.starts_at,
        ends_at: schedule.ends_at(None),
    };
    assignment.read(intake)
}

/// Why a schedule or an instance becomes no event.
pub fn nothing(object: &Object<'_>) -> String {
    let text = |names: &[&str]| object.text(names).ok().flatten().map(name);
    let member = text(&["memberType"]).filter(|member| !member.eq_ignore_ascii_case("direct"));
    match (text(&["status"]), member) {
        (Some(status), _) if !status.eq_ignore_ascii_case(PROVISIONED) => {
            format!("is not provisioned (status {status:?}); import it again when it is")
        }
        (_, Some(member)) => format!(
            "is held through a group (memberType {member:?}), whose own assignment is imported"
        ),
        _ => "has no start, or a later one; import it again when it has begun".to_owned(),
    }
}

/// Reads an instance of a schedule.
pub fn instance(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    let time = |name: &str| -> Result<Option<Instant>, FieldError> {
        let Some(text) = object.text(&[name])? else { return Ok(None) };
        text.parse::<Instant>().map(Some).map_err(|error| object.wrong(name, error.to_string()))
    };
    let assignment = Assignment {
        object,
        schedule: object.required_text(&["roleAssignmentScheduleId", "assignmentScheduleId"])?,
        times: object.clone(),
        starts_at: time("startDateTime")?,
        ends_at: time("endDateTime")?,
    };
    assignment.read(intake)
}

impl Assignment<'_> {
    fn read(&self, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
        let Self { object, starts_at, ends_at, .. } = self;
        let kind = object.required_text(&["assignmentType"])?;
        let is_activated = kind.eq_ignore_ascii_case("activated");
        let principal = principal(object)?
            .ok_or_else(|| object.wrong("principalId", "is required: it says who has the role"))?;
        let (role, target) = role_and_target(object)?;
        // Without a start there is no time of the fact, and a later one has not happened.
        let Some(starts_at) = starts_at.filter(|at| *at <= intake.now.plus(MAX_AHEAD)) else {
            return Ok(Vec::new());
        };
        let member = object.text(&["memberType"])?.unwrap_or("direct");
        if !is_activated && !member.eq_ignore_ascii_case("direct") {
            // The assignment is that of a group, which has an instance of its own.
            return Ok(Vec::new());
        }
        let at: (&Object<'_>, &[&str]) = (&self.times, &["startDateTime"]);
        let mut draft = if is_activated || ends_at.is_some() {
            required_role(object, role.as_ref())?;
            let actor = if is_activated { user(&principal) } else { an_administrator() };
            let activation = Activation {
                id: request_of_schedule(self.schedule),
                principal: Some(principal),
                role,
                target,
            };
            activation.granted(at, [Some(starts_at), *ends_at], actor, intake)?
        } else {
            let parts = [self.schedule, "since", &starts_at.millis().to_string()];
            let event = event_id(intake.tenant, "pim", &parts);
            let mut draft = Draft::new(event, DirectoryAction::DirectoryActivity, at.0, at.1)?;
            draft.detail("activity", Some("active assignment without an end".into()));
            draft.set_from("actor", Some(an_administrator()), String::new());
            draft.set_from("subject", Some(principal), object.place("principal"));
            draft.set("target", target);
            draft
        };
        draft.detail("assignment_type", Some(json!(kind)));
        draft.detail("member_type", object.text(&["memberType"])?.map(Value::from));
        draft.detail("scope", scope(object)?);
        draft.keep(object.only(&[
            "id",
            "principalId",
            "roleDefinitionId",
            "directoryScopeId",
            "appScopeId",
            "groupId",
            "accessId",
            "createdUsing",
            "roleAssignmentScheduleId",
            "roleAssignmentOriginId",
            "assignmentScheduleId",
            "startDateTime",
            "endDateTime",
            "scheduleInfo",
        ]));
        Ok(vec![draft])
    }
}
