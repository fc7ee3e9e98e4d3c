//! A request in PIM (`unifiedRoleAssignmentScheduleRequest`, and the same of groups): who asked for
//! which role, why, and whether it is active by now.
//!
//! A request does not say who approved or denied it, nor when it was denied, canceled or timed out.
//! These steps come from the audit log.

use serde_json::{Value, json};

use crate::{
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{
        actions::{DirectoryAction, SessionAction},
        event_validation::{Intake, MAX_AHEAD},
    },
};

use super::{
    About,
    activation::{
        Activation, an_administrator, principal, request_of_schedule, required_role,
        role_and_target, same_id, scope, user,
    },
};
use crate::entra::{
    draft::{Draft, event_id},
    graph::{Object, long_text, name},
    request::Schedule,
};

/// Who makes a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Principal,
    Administrator,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The activation of an eligible role.
    Activation,
    /// An assignment, or another end of it.
    Assignment,
    /// The end of an activation or assignment.
    End,
}

/// The values of `action`.
const ACTIONS: [(&str, By, Asked); 9] = [
    ("selfActivate", By::Principal, Asked::Activation),
    ("selfExtend", By::Principal, Asked::Assignment),
    ("selfRenew", By::Principal, Asked::Assignment),
    ("selfDeactivate", By::Principal, Asked::End),
    ("adminAssign", By::Administrator, Asked::Assignment),
    ("adminUpdate", By::Administrator, Asked::Assignment),
    ("adminExtend", By::Administrator, Asked::Assignment),
    ("adminRenew", By::Administrator, Asked::Assignment),
    ("adminRemove", By::Administrator, Asked::End),
];

/// The statuses of a request that came to nothing.
const FAILED: [&str; 6] = ["denied", "admindenied", "canceled", "failed", "timedout", "invalid"];

/// The reason why a request is recorded as it is, and not as a session.
const NO_KIND: &str = "the object does not say whether it is about an active or an eligible assignment; export it with its @odata.type, or send its page with the page's @odata.context";
const NO_ACTIVATION: &str =
    "the object has no targetScheduleId, so it does not say which activation it ends";

/// The parts of a request that do not depend on its status.
struct Request<'v> {
    object: &'v Object<'v>,
    id: String,
    action: &'static str,
    by: By,
    asked: Asked,
    status: String,
    principal: Option<Value>,
    role: Option<String>,
    target: Option<Value>,
    schedule: Schedule,
}

pub fn read(
    object: &Object<'_>,
    about: About,
    intake: &Intake<'_>,
) -> Result<Vec<Draft>, FieldError> {
    if is_validation_only(object)? {
        return Ok(Vec::new());
    }
    let request = Request::read(object)?;
    let about = request.about(about)?;
    let recorded = |why| request.recorded(about, why, intake);
    match (request.asked, about) {
        (_, About::Eligible) => recorded(None),
        (_, About::Unknown) => recorded(Some(NO_KIND)),
        (Asked::End, About::Active) => match object.id(&["targetScheduleId"])? {
            Some(schedule) if request_of_schedule(schedule) != request.id => {
                request.ended(request_of_schedule(schedule), intake)
            }
            _ => recorded(Some(NO_ACTIVATION)),
        },
        (Asked::Assignment, About::Active) if !request.schedule.has_end() => recorded(None),
        (Asked::Activation | Asked::Assignment, About::Active) => request.started(intake),
    }
}

fn is_validation_only(object: &Object<'_>) -> Result<bool, FieldError> {
    Ok(object.flag(&["isValidationOnly"])? == Some(true))
}

/// Why a request becomes no event.
pub fn nothing(object: &Object<'_>) -> String {
    if is_validation_only(object).unwrap_or_default() {
        return "is for validation only, so it has no effect".to_owned();
    }
    let status = object.text(&["status"]).ok().flatten().unwrap_or_default();
    format!("is not decided or done yet (status {:?}); import it again when it is", name(status))
}

impl<'v> Request<'v> {
    fn read(object: &'v Object<'v>) -> Result<Self, FieldError> {
        let action = object.required_text(&["action"])?;
        let known = ACTIONS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(action));
        let (action, by, asked) = *known.ok_or_else(|| {
            let known: Vec<_> = ACTIONS.iter().map(|(name, ..)| *name).collect();
            object.wrong("action", format!("{action:?} must be one of {}", known.join(", ")))
        })?;
        let principal = principal(object)?
            .ok_or_else(|| object.wrong("principalId", "is required: it says who gets the role"))?;
        let (role, target) = role_and_target(object)?;
        Ok(Self {
            object,
            id: same_id(object.required_text(&["id"])?),
            action,
            by,
            asked,
            status: object.text(&["status"])?.unwrap_or_default().to_ascii_lowercase(),
            principal: Some(principal),
            role,
            target,
            schedule: Schedule::read(object)?,
        })
    }

    /// What the request is about. Only active assignments can be activated and deactivated, and an
    /// expanded schedule says of which kind it is.
    fn about(&self, about: About) -> Result<About, FieldError> {
        let is_active = ["selfActivate", "selfDeactivate"].contains(&self.action);
        let schedule = self.object.object(&["targetSchedule"])?;
        let is_active = is_active || schedule.is_some_and(|it| it.names("assignmentType"));
        Ok(if about == About::Unknown && is_active { About::Active } else { about })
    }

    /// Who made the request.
    fn actor(&self) -> Result<Value, FieldError> {
        if self.by == By::Principal {
            return Ok(self.principal.as_ref().map(user).unwrap_or_default());
        }
        let identities = self.object.object(&["createdBy"])?;
        let of = |kind: &str| -> Result<Option<Value>, FieldError> {
            let identity = identities.as_ref().map_or(Ok(None), |all| all.object(&[kind]))?;
            identity.map_or(Ok(None), |identity| identity.party())
        };
        if let Some(administrator) = of("user")? {
            return Ok(user(&administrator));
        }
        let mut service = of("application")?;
        if let Some(service) = &mut service {
            service["type"] = "service".into();
        }
        Ok(service.unwrap_or_else(an_administrator))
    }

    fn activation(&self, id: String) -> Activation {
        let (principal, role, target) =
            (self.principal.clone(), self.role.clone(), self.target.clone());
        Activation { id, principal, role, target }
    }

    /// The steps of a request for access.
    fn started(&self, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
        let object = self.object;
        required_role(object, self.role.as_ref())?;
        let activation = self.activation(self.id.clone());
        let made_at: &[&str] = &["createdDateTime"];
        let actor = self.actor()?;
        let mut created =
            activation.step(SessionAction::Created, (object, made_at), actor.clone(), intake)?;
        self.say(&mut created)?;
        created.detail("schedule", self.schedule.told(None));
        let mut steps = vec![created];
        // Other statuses may still lead to an approval.
        let is_decided = ["granted", "provisioned"].contains(&self.status.as_str());
        if is_decided && object.id(&["approvalId"])?.is_none() {
            steps.push(activation.approved_by_itself((object, made_at), intake)?);
        }
        if self.status == "provisioned" {
            steps.extend(self.granted(&activation, actor, intake)?);
        }
        for step in &mut steps {
            step.detail("request_type", Some(self.action.into()));
            step.detail("scope", scope(object)?);
            step.keep(object.only(&[
                "id",
                "action",
                "createdDateTime",
                "principalId",
                "roleDefinitionId",
                "directoryScopeId",
                "appScopeId",
                "groupId",
                "accessId",
                "approvalId",
                "targetScheduleId",
                "justification",
                "ticketInfo",
                "createdBy",
                "scheduleInfo",
            ]));
        }
        Ok(steps)
    }

    /// The start of an active assignment; none if it starts later. PIM moves the start to the time
    /// of provisioning.
    fn granted(
        &self,
        activation: &Activation,
        actor: Value,
        intake: &Intake<'_>,
    ) -> Result<Option<Draft>, FieldError> {
        let object = self.object;
        let completed = object.text(&["completedDateTime"])?;
        let completed = completed.and_then(|text| text.parse::<Instant>().ok());
        let planned = self.schedule.starts_at;
        let starts_at = planned.max(completed);
        if starts_at.is_some_and(|at| at > intake.now.plus(MAX_AHEAD)) {
            return Ok(None);
        }
        let schedule = object.object(&["scheduleInfo"])?.unwrap_or_else(|| object.clone());
        let at: (&Object<'_>, &[&str]) = if planned == starts_at {
            (&schedule, &["startDateTime"])
        } else {
            (object, &["completedDateTime"])
        };
        let times = [starts_at, self.schedule.ends_at_from(starts_at)];
        let mut granted = activation.granted(at, times, actor, intake)?;
        self.say(&mut granted)?;
        Ok(Some(granted))
    }

    fn has_failed(&self) -> bool {
        FAILED.contains(&self.status.as_str())
    }

    /// The end that a request asks for; none until it is done or has failed.
    fn ended(&self, activation: String, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
        if !self.has_failed() && !["revoked", "provisioned"].contains(&self.status.as_str()) {
            return Ok(Vec::new());
        }
        let step = match self.by {
            By::Principal => SessionAction::Canceled,
            By::Administrator => SessionAction::Terminated,
        };
        let at: (&Object<'_>, &[&str]) = (self.object, &["completedDateTime", "createdDateTime"]);
        let (activation, actor) = (self.activation(activation), self.actor()?);
        let justification = self.object.text(&["justification"])?.map(long_text);
        let justification = justification.map(Value::from);
        let place = self.object.place("justification");
        let mut ended;
        if self.has_failed() {
            let status = name(self.object.text(&["status"])?.unwrap_or_default());
            ended = activation.failed(step, at, actor, &status, intake)?;
            ended.set_from("justification", justification, place);
        } else {
            ended = activation.step(step, at, actor, intake)?;
            ended.set_from("reason", justification, place);
        }
        ended.detail("request_type", Some(self.action.into()));
        ended.detail("removal_request_id", Some(json!(self.id)));
        ended.keep(self.whole());
        Ok(vec![ended])
    }

    /// A request that gives or ends no access for a limited time, as it is; nothing until it is
    /// decided.
    fn recorded(
        &self,
        about: About,
        incomplete: Option<&str>,
        intake: &Intake<'_>,
    ) -> Result<Vec<Draft>, FieldError> {
        let object = self.object;
        let is_open = self.status.starts_with("pending")
            || ["accepted", "provisioningstarted", "schedulecreated"]
                .contains(&self.status.as_str());
        if is_open {
            return Ok(Vec::new());
        }
        let event = event_id(intake.tenant, "pim", &[&self.id, "recorded"]);
        let at = ["createdDateTime"];
        let mut draft = Draft::new(event, DirectoryAction::DirectoryActivity, object, &at)?;
        let kind = match (about, self.asked) {
            (About::Eligible, _) => " of an eligible assignment",
            (About::Active, Asked::Activation | Asked::Assignment) => {
                " of an assignment without an end"
            }
            (About::Active | About::Unknown, _) => "",
        };
        draft.detail("activity", Some(format!("{}{kind}", self.action).into()));
        draft.detail("incomplete", incomplete.map(Value::from));
        draft.set_from("actor", Some(self.actor()?), object.place("createdBy"));
        let subject = self.principal.clone().filter(|_| self.by == By::Administrator);
        draft.set_from("subject", subject, object.place("principal"));
        draft.set("target", self.target.clone());
        draft.set_from("request_id", Some(json!(self.id)), object.place("id"));
        if self.has_failed() {
            draft.set("outcome", Some("failure".into()));
            draft.set("reason", object.text(&["status"])?.map(|status| name(status).into()));
        }
        self.say(&mut draft)?;
        draft.detail("scope", scope(object)?);
        draft.keep(self.whole());
        Ok(vec![draft])
    }

    /// Sets the words of the request: justification and ticket.
    fn say(&self, draft: &mut Draft) -> Result<(), FieldError> {
        let object = self.object;
        let justification = object.text(&["justification"])?.map(long_text);
        let place = object.place("justification");
        draft.set_from("justification", justification.map(Value::from), place);
        if let Some(info) = object.object(&["ticketInfo"])? {
            let system = info.text(&["ticketSystem"])?;
            let ticket = info.text(&["ticketNumber"])?.map(|number| ticket(number, system));
            draft.set_from("ticket", ticket, info.place("ticketNumber"));
        }
        Ok(())
    }

    /// The object without what its export added.
    fn whole(&self) -> serde_json::Map<String, Value> {
        let members = self.object.members.iter().filter(|(key, _)| !key.starts_with('@'));
        members.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// The ticket of a request. PIM knows no address of it.
pub fn ticket(number: &str, system: Option<&str>) -> Value {
    let mut ticket = json!({"id": name(number)});
    if let Some(system) = system {
        ticket["system"] = json!(name(system));
    }
    ticket
}
