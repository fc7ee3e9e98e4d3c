//! PIM's records in the audit log (`directoryAudit` with the category `RoleManagement`, or
//! `GroupManagement` for groups): the only source of who approved and denied, and of how an
//! activation ended.
//!
//! The names are those of "Microsoft Entra audit log categories and activities". A record belongs to
//! an activation by the id of its request in `additionalDetails`. Correlation ids do not link
//! records: an approval and the start that follows have different ones.

use serde_json::{Value, json};

use crate::{
    identity::matching::is_same_directory_object,
    json::strict_json::FieldError,
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::{
        actions::{DirectoryAction, SessionAction},
        event::Party,
        event_validation::Intake,
    },
};

use super::{
    activation::{Activation, Time, an_administrator, directory_role, group, same_id, user},
    request::ticket,
};
use crate::entra::{
    audit::{INITIATORS, NAMES, SUCCESS, TIMES, result_of},
    draft::{Draft, event_id},
    graph::{Object, long_text, name},
};

/// What a record says about an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Requested,
    Approved,
    Denied,
    Granted,
    Canceled,
    TimedOut,
    Expired,
    /// The person ended it, or an administrator did.
    Deactivated,
    Removed,
    /// Something that is no step of a session.
    Other,
}

/// Whether the activity is about an activation, or about an administrator's assignment with an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Principal,
    Administrator,
}

#[rustfmt::skip]
const ACTIVITIES: [(&str, Says, By); 14] = [
    ("Add member to role requested (PIM activation)", Says::Requested, By::Principal),
    ("Add member to role approval requested (PIM activation)", Says::Other, By::Principal),
    ("Add member to role request approved (PIM activation)", Says::Approved, By::Principal),
    ("Add member to role request denied (PIM activation)", Says::Denied, By::Principal),
    ("Add member to role completed (PIM activation)", Says::Granted, By::Principal),
    ("Add member to role canceled (PIM activation)", Says::Canceled, By::Principal),
    ("PIM activation request expired", Says::TimedOut, By::Principal),
    ("Remove member from role (PIM activation expired)", Says::Expired, By::Principal),
    ("Remove member from role requested (PIM deactivate)", Says::Other, By::Principal),
    ("Remove member from role completed (PIM deactivate)", Says::Deactivated, By::Principal),
    ("Add member to role in PIM requested (timebound)", Says::Requested, By::Administrator),
    ("Add member to role in PIM completed (timebound)", Says::Granted, By::Administrator),
    ("Add member to role in PIM canceled (timebound)", Says::Canceled, By::Administrator),
    ("Remove member from role in PIM completed (timebound)", Says::Removed, By::Administrator),
];

/// What became of a record.
pub enum Read {
    /// It is not PIM's, or about something that is no activation.
    NotOfPim,
    /// It is PIM's, but does not say enough; why.
    Unlinked(&'static str),
    /// Its steps.
    Steps(Vec<Draft>),
}

/// The key of the id of the activation's request.
const REQUEST: &str = "RoleAssignmentRequestId";
/// The key that older records have. At the end of an activation it may be the id of the request for
/// that end.
const OLD_REQUEST: &str = "RequestId";

const NO_REQUEST: &str =
    "the record has no RoleAssignmentRequestId, so it does not say which activation it is about";
const NO_ROLE: &str = "the record does not name the role";
const NO_PERSON: &str = "the record does not say who has the role";

/// A record, apart from what its activity means.
struct Record<'v> {
    object: &'v Object<'v>,
    id: &'v str,
    envelope: Option<&'v Value>,
    activity: &'v str,
    initiator: Option<Object<'v>>,
    app: Option<Object<'v>>,
    targets: Vec<Object<'v>>,
    additional: Vec<(&'v str, &'v str)>,
    /// Whether it is about a group.
    is_of_group: bool,
}

/// Reads a record with this id. `envelope` has the members around it.
pub fn read(
    object: &Object<'_>,
    id: &str,
    envelope: Option<&Value>,
    intake: &Intake<'_>,
) -> Result<Read, FieldError> {
    let activity = object.required_text(&NAMES)?;
    let folded = fold(activity.trim().trim_end_matches('.'));
    let known = ACTIVITIES.iter().find(|(known, ..)| fold(known) == folded);
    let Some((_, says, by)) = known.copied() else { return Ok(Read::NotOfPim) };
    // PIM also logs roles of Azure resources, which are no roles of the directory.
    let is_of_group = match object.text(&["category"])?.map(fold).as_deref() {
        Some("rolemanagement") | None => false,
        Some("groupmanagement") => true,
        Some(_) => return Ok(Read::NotOfPim),
    };
    let record = Record { envelope, ..Record::read(object, id, activity, is_of_group)? };
    let needs_new_key = matches!(says, Says::Deactivated | Says::Removed);
    let Some(request) = record.request(needs_new_key)? else {
        return Ok(Read::Unlinked(NO_REQUEST));
    };
    let activation = record.activation(request, by)?;
    if activation.role.is_none() || activation.target.is_none() {
        return Ok(Read::Unlinked(NO_ROLE));
    }
    if activation.principal.is_none() {
        return Ok(Read::Unlinked(NO_PERSON));
    }
    record.steps(&activation, says, by, intake).map(Read::Steps)
}

impl<'v> Record<'v> {
    fn read(
        object: &'v Object<'v>,
        id: &'v str,
        activity: &'v str,
        is_of_group: bool,
    ) -> Result<Self, FieldError> {
        let initiated = object.object(&INITIATORS)?;
        let of = |name: &str| initiated.as_ref().map_or(Ok(None), |all| all.object(&[name]));
        let mut additional = Vec::new();
        for pair in object.list(&["additionalDetails"])?.unwrap_or_default() {
            additional.extend(pair.text(&["key"])?.zip(pair.text(&["value"])?));
        }
        Ok(Self {
            object,
            id,
            envelope: None,
            activity,
            initiator: of("user")?,
            app: of("app")?,
            targets: object.list(&["targetResources"])?.unwrap_or_default(),
            additional,
            is_of_group,
        })
    }

    fn additional(&self, key: &str) -> Option<&'v str> {
        let found = self.additional.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, value)| *value).filter(|value| !is_null_id(value))
    }

    fn target(&self, kind: &str) -> Result<Option<&Object<'v>>, FieldError> {
        for target in &self.targets {
            if target.text(&["type"])?.is_some_and(|known| known.eq_ignore_ascii_case(kind)) {
                return Ok(Some(target));
            }
        }
        Ok(None)
    }

    /// The id of the activation's request.
    fn request(&self, needs_new_key: bool) -> Result<Option<String>, FieldError> {
        let old = || -> Result<Option<&str>, FieldError> {
            if needs_new_key {
                return Ok(None);
            }
            match self.additional(OLD_REQUEST) {
                Some(id) => Ok(Some(id)),
                None => self.target("Request")?.map_or(Ok(None), |target| target.id(&["id"])),
            }
        };
        let id = match self.additional(REQUEST) {
            Some(id) => Some(id),
            None => old()?,
        };
        Ok(id.map(same_id))
    }

    fn activation(&self, id: String, by: By) -> Result<Activation, FieldError> {
        let shown = |target: &Object<'v>| target.text(&["displayName"]);
        let role = self.target("Role")?;
        let role_name = role.map_or(Ok(None), shown)?;
        let target = if self.is_of_group {
            let of = self.target("Group")?;
            group(of.map_or(Ok(None), |of| of.id(&["id"]))?, of.map_or(Ok(None), shown)?)
        } else {
            let own = role.map_or(Ok(None), |role| role.id(&["id"]))?;
            let keys = ["RoleDefinitionOriginId", "TemplateId"];
            let origin = keys.into_iter().find_map(|key| self.additional(key));
            directory_role(origin.or(own), role_name)
        };
        let mut principal = None;
        for kind in ["User", "ServicePrincipal", "Group"] {
            // The target is the group that gets a member.
            if principal.is_none() && !(self.is_of_group && kind == "Group") {
                principal = self.target(kind)?.map_or(Ok(None), Object::party)?;
                if let Some(principal) = principal.as_mut().filter(|_| kind != "User") {
                    principal["type"] = json!(kind);
                }
            }
        }
        // The target of type `User` often lacks the name that the initiator has.
        let initiator = self.initiator()?;
        let principal = match (principal, initiator) {
            (Some(principal), Some(initiator)) if is_same(&principal, &initiator) => {
                Some(initiator)
            }
            (None, initiator) if by == By::Principal => initiator.filter(is_person),
            (principal, _) => principal,
        };
        Ok(Activation { id, principal, role: role_name.map(str::to_owned), target })
    }

    /// Who made the change. PIM itself is a user without a principal name.
    fn initiator(&self) -> Result<Option<Value>, FieldError> {
        self.initiator.as_ref().map_or(Ok(None), Object::party)
    }

    /// The administrator or service that made a change.
    fn administrator(&self) -> Result<Value, FieldError> {
        if let Some(initiator) = self.initiator()? {
            return Ok(user(&initiator));
        }
        let app = self.app.as_ref().map_or(Ok(None), |app| app.text(&["displayName"]))?;
        let service = |app| json!({"type": "service", "name": name(app)});
        Ok(app.map_or_else(an_administrator, service))
    }

    fn steps(
        &self,
        activation: &Activation,
        says: Says,
        by: By,
        intake: &Intake<'_>,
    ) -> Result<Vec<Draft>, FieldError> {
        let at: Time<'_, '_> = (self.object, &TIMES);
        let principal = activation.principal.clone().unwrap_or_default();
        let initiator = self.initiator()?.filter(is_person);
        let is_own = match &initiator {
            Some(initiator) => is_same(initiator, &principal),
            // An application acts for somebody else.
            None => self.app.is_none(),
        };
        let (system, own) = (json!({"type": "system"}), user(&principal));
        let starter = match by {
            By::Principal => own.clone(),
            By::Administrator => self.administrator()?,
        };
        let ender = if is_own { own } else { self.administrator()? };
        let (step, actor) = match says {
            Says::Requested => (SessionAction::Created, starter),
            Says::Approved => (SessionAction::Approved, self.administrator()?),
            Says::Denied => (SessionAction::Denied, self.administrator()?),
            Says::Granted => (SessionAction::Granted, starter),
            Says::Canceled => (SessionAction::Canceled, ender),
            Says::TimedOut => (SessionAction::TimedOut, system),
            Says::Expired => (SessionAction::Expired, system),
            Says::Deactivated if is_own => (SessionAction::Canceled, ender),
            Says::Deactivated | Says::Removed => (SessionAction::Terminated, self.administrator()?),
            Says::Other => return Ok(vec![self.other(activation, at, intake)?]),
        };
        let given = self.object.text(&["resultReason"])?;
        let result = result_of(self.object)?;
        let result = result.as_deref().unwrap_or(SUCCESS);
        let has_failed =
            ["failure", "timeout"].iter().any(|word| word.eq_ignore_ascii_case(result));
        if has_failed {
            let unsaid = format!("the directory says {result:?} and no reason");
            let reason = given.map_or(unsaid, long_text);
            let mut failed = activation.failed(step, at, actor, &reason, intake)?;
            self.say(&mut failed)?;
            return Ok(vec![failed]);
        }
        // On success, the reason of the result holds the words of the person who acted.
        let words = self.additional("Justification").or(given).map(|text| json!(long_text(text)));
        let [starts_at, ends_at] = ["StartTime", "ExpirationTime"]
            .map(|key| self.additional(key).and_then(|text| text.parse::<Instant>().ok()));
        let mut draft = match step {
            SessionAction::Approved | SessionAction::Denied => {
                activation.decided(step, at, actor, intake)?
            }
            SessionAction::Granted => {
                activation.granted(at, [starts_at, ends_at], actor, intake)?
            }
            SessionAction::Created
            | SessionAction::Canceled
            | SessionAction::Expired
            | SessionAction::Terminated
            | SessionAction::TimedOut => activation.step(step, at, actor, intake)?,
        };
        match step {
            SessionAction::Created | SessionAction::Granted => {
                draft.set_from("justification", words, self.object.place("resultReason"));
                let ticket = self
                    .additional("TicketNumber")
                    .map(|number| ticket(number, self.additional("TicketSystem")));
                draft.set("ticket", ticket);
            }
            SessionAction::Approved
            | SessionAction::Denied
            | SessionAction::Canceled
            | SessionAction::Terminated => {
                draft.set_from("reason", words, self.object.place("resultReason"));
            }
            SessionAction::Expired | SessionAction::TimedOut => {}
        }
        self.say(&mut draft)?;
        let mut steps = vec![draft];
        if step == SessionAction::Created {
            let schedule = [("starts_at", starts_at), ("ends_at", ends_at)];
            let schedule: serde_json::Map<_, _> = schedule
                .into_iter()
                .filter_map(|(key, at)| Some((key.to_owned(), json!(at?))))
                .collect();
            steps[0].detail("schedule", Some(schedule.into()));
            let needs_approval = self.additional("IsActivationRequireApproval");
            let needs_none = needs_approval.is_some_and(|it| it.eq_ignore_ascii_case("false"));
            if needs_none || by == By::Administrator {
                let mut approved = activation.approved_by_itself(at, intake)?;
                self.say(&mut approved)?;
                steps.push(approved);
            }
        }
        Ok(steps)
    }

    /// A record that belongs to the session and is no step of it.
    fn other(
        &self,
        activation: &Activation,
        at: Time<'_, '_>,
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let event = event_id(intake.tenant, "pim", &[&activation.id, self.id]);
        let mut draft = Draft::new(event, DirectoryAction::DirectoryActivity, at.0, at.1)?;
        let of_pim = || json!({"type": "service", "name": "PIM"});
        let actor = self.initiator()?.map_or_else(of_pim, |initiator| user(&initiator));
        activation.name(&mut draft, actor, self.object);
        draft.set("session", Some(activation.session("session").into()));
        let result = result_of(self.object)?;
        let result = result.as_deref().unwrap_or(SUCCESS);
        if ["failure", "timeout"].iter().any(|word| word.eq_ignore_ascii_case(result)) {
            let reason = self.object.text(&["resultReason"])?.unwrap_or(result);
            draft.set("outcome", Some("failure".into()));
            draft.set("reason", Some(long_text(reason).into()));
        }
        self.say(&mut draft)?;
        Ok(draft)
    }

    /// Sets what every record says.
    fn say(&self, draft: &mut Draft) -> Result<(), FieldError> {
        let object = self.object;
        draft.detail("activity", Some(self.activity.into()));
        let category = object.text(&["category"])?;
        draft.detail("category", category.map(Value::from));
        draft.source_names(category, self.activity);
        let ip = self.initiator.as_ref().map_or(Ok(None), |user| user.text(&["ipAddress"]))?;
        let ip = ip.or_else(|| self.additional("ipaddr"));
        draft.set("source", ip.map(|ip| json!({"ip": name(ip)})));
        draft.detail("envelope", self.envelope.cloned());
        // Members that start with `@` come from the export, not from the record.
        let graph = object.members.iter().filter(|(key, _)| !key.starts_with('@'));
        draft.keep(graph.map(|(key, value)| (key.clone(), value.clone())).collect());
        Ok(())
    }
}

/// Whether the initiator is a person. PIM itself has neither a principal name nor an address.
fn is_person(initiator: &Value) -> bool {
    const PLATFORM: [&str; 2] = ["Azure AD PIM", "MS-PIM"];
    initiator.get("email").is_some()
        || initiator["name"].as_str().is_none_or(|name| !PLATFORM.contains(&name))
}

fn is_null_id(id: &str) -> bool {
    id.bytes().all(|byte| b"0-".contains(&byte))
}

/// Whether two parties are one object of the directory.
fn is_same(a: &Value, b: &Value) -> bool {
    let party = |party: &Value| {
        let member = |name: &str| party[name].as_str().map(str::to_owned);
        Party { id: member("id"), email: member("email"), ..Party::default() }
    };
    is_same_directory_object(&party(a), &party(b))
}
