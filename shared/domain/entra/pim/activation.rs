//! One activation: what all its steps name, whichever object or record they come from.

use serde_json::{Map, Value, json};

use crate::{
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{actions::SessionAction, event_validation::Intake},
};

use crate::entra::{
    draft::{self, Draft, event_id},
    graph::{Object, name, party},
};

/// The type of the target of an activated role of the directory.
pub const DIRECTORY_ROLE: &str = "directory_role";
/// The type of the target of an activated membership.
const GROUP: &str = "group";

/// An activation, or an assignment by an administrator that ends by itself.
#[derive(Clone, Debug)]
pub struct Activation {
    /// The id of its request in PIM, which is that of the session.
    pub id: String,
    /// Who gets the role: a person, or a group or service.
    pub principal: Option<Value>,
    /// The role: that of the directory, or member or owner of the group.
    pub role: Option<String>,
    /// The directory's role, or the group.
    pub target: Option<Value>,
}

/// A member with the time of a step.
pub type Time<'a, 'v> = (&'a Object<'v>, &'a [&'a str]);

impl Activation {
    /// A step of the activation.
    pub fn step(
        &self,
        step: SessionAction,
        (object, at): Time<'_, '_>,
        actor: Value,
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let word = step.as_str().trim_start_matches("session.");
        let event = event_id(intake.tenant, "pim", &[&self.id, word]);
        let mut draft = Draft::new(event, step, object, at)?;
        self.name(&mut draft, actor, object);
        draft.set_from("session", Some(self.session("session").into()), object.place("id"));
        Ok(draft)
    }

    /// A step that failed. It may be tried again.
    pub fn failed(
        &self,
        step: SessionAction,
        (object, at): Time<'_, '_>,
        actor: Value,
        reason: &str,
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let word = step.as_str().trim_start_matches("session.");
        let attempt = object.required_text(at)?;
        let attempt = attempt.parse::<Instant>().map_or(0, |at| at.millis()).to_string();
        let event = event_id(intake.tenant, "pim", &[&self.id, word, "failed", &attempt]);
        let mut draft = Draft::new(event, step, object, at)?;
        self.name(&mut draft, actor, object);
        draft.set_from("session", Some(self.session("session").into()), object.place("id"));
        draft.set("outcome", Some("failure".into()));
        draft.set("reason", Some(reason.into()));
        Ok(draft)
    }

    /// The automatic approval of a request that needs none.
    pub fn approved_by_itself(
        &self,
        at: Time<'_, '_>,
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let system = json!({"type": "system"});
        let mut draft = self.step(SessionAction::Approved, at, system, intake)?;
        let mut session = self.session("session");
        session.insert("approvals_needed".to_owned(), json!(0));
        draft.set("session", Some(session.into()));
        Ok(draft)
    }

    /// The decision of an approver. It is about the role, so that it counts for the whole session.
    pub fn decided(
        &self,
        step: SessionAction,
        at: Time<'_, '_>,
        approver: Value,
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let mut draft = self.step(step, at, approver, intake)?;
        draft.set("session", Some(self.session("role").into()));
        Ok(draft)
    }

    /// The start. It opens a window, which PIM itself ends.
    pub fn granted(
        &self,
        at: Time<'_, '_>,
        [starts_at, ends_at]: [Option<Instant>; 2],
        actor: Value,
        intake: &Intake<'_>,
    ) -> Result<Draft, FieldError> {
        let mut draft = self.step(SessionAction::Granted, at, actor, intake)?;
        let starts_at = starts_at.filter(|starts_at| ends_at.is_none_or(|ends| *starts_at < ends));
        let mut session = self.session("session");
        session.extend(starts_at.map(|at| ("starts_at".to_owned(), json!(at))));
        session.extend(ends_at.map(|at| ("ends_at".to_owned(), json!(at))));
        let shown = |principal: &Value| {
            ["email", "name", "id"].iter().find_map(|member| principal.get(member).cloned())
        };
        session.extend(
            self.principal.as_ref().and_then(shown).map(|shown| ("username".to_owned(), shown)),
        );
        draft.set("session", Some(session.into()));
        draft.set("account", self.principal.clone());
        draft.set("window", draft::window(starts_at, ends_at, intake.now));
        Ok(draft)
    }

    /// Sets who and what every step names.
    pub fn name(&self, draft: &mut Draft, actor: Value, object: &Object<'_>) {
        let is_principal = self.principal.as_ref().is_some_and(|it| user(it) == actor);
        draft.set_from("actor", Some(actor), object.place("createdBy"));
        if !is_principal {
            draft.set_from("subject", self.principal.clone(), object.place("principal"));
        }
        draft.set("target", self.target.clone());
        draft.set("request_id", Some(json!(self.id)));
    }

    /// The session, which the whole activation or only its role is about.
    pub fn session(&self, scope: &str) -> Map<String, Value> {
        let mut session = Map::new();
        session.insert("id".to_owned(), json!(self.id));
        session.insert("scope".to_owned(), json!(scope));
        session.extend(self.role.as_ref().map(|role| ("roles".to_owned(), json!([name(role)]))));
        session
    }
}

/// An id of PIM. Most are GUIDs, which services write in different case.
pub fn same_id(id: &str) -> String {
    let is_guid = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_guid { id.to_ascii_lowercase() } else { id.to_owned() }
}

/// The id of the request that made a schedule. Schedules of groups name the group and the relation
/// before it.
pub fn request_of_schedule(schedule: &str) -> String {
    same_id(schedule.rsplit_once('_').map_or(schedule, |(_, request)| request))
}

/// A role of the directory as a target.
pub fn directory_role(id: Option<&str>, shown: Option<&str>) -> Option<Value> {
    party(Some(DIRECTORY_ROLE), id, shown, None)
}

/// A group as a target.
pub fn group(id: Option<&str>, shown: Option<&str>) -> Option<Value> {
    party(Some(GROUP), id, shown, None)
}

/// Who gets the role, expanded or by id.
pub fn principal(object: &Object<'_>) -> Result<Option<Value>, FieldError> {
    if let Some(principal) = object.object(&["principal"])?
        && let Some(mut party) = principal.party()?
    {
        let kind = principal.text(&["@odata.type"])?.and_then(|kind| kind.rsplit('.').next());
        if let Some(kind) = kind.filter(|kind| !kind.eq_ignore_ascii_case("user")) {
            party["type"] = json!(name(kind));
        }
        return Ok(Some(party));
    }
    Ok(party(None, object.id(&["principalId"])?, None, None))
}

/// What is activated: the role and its target. The role is none if it is not expanded.
pub fn role_and_target(object: &Object<'_>) -> Result<(Option<String>, Option<Value>), FieldError> {
    let shown = |name: &str| -> Result<Option<&str>, FieldError> {
        object.object(&[name])?.map_or(Ok(None), |object| object.text(&["displayName"]))
    };
    if object.names("accessId") || object.names("groupId") {
        let access = object.text(&["accessId"])?.map(capitalised);
        return Ok((access, group(object.id(&["groupId"])?, shown("group")?)));
    }
    let definition = object.object(&["roleDefinition"])?;
    let id = match object.id(&["roleDefinitionId"])? {
        Some(id) => Some(id),
        None => definition.map_or(Ok(None), |definition| definition.id(&["id"]))?,
    };
    let role = shown("roleDefinition")?;
    Ok((role.map(str::to_owned), directory_role(id, role)))
}

/// `Member` and `Owner`, as the audit log writes them.
fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// The role that the sentences of a session need.
pub fn required_role(object: &Object<'_>, role: Option<&String>) -> Result<(), FieldError> {
    if role.is_some() {
        return Ok(());
    }
    Err(match object.names("groupId") {
        true => object.wrong("accessId", "is required: member or owner"),
        false => object
            .wrong("roleDefinition", "is required: export with $expand=principal,roleDefinition"),
    })
}

/// Where the role counts, if that is not the whole directory.
pub fn scope(object: &Object<'_>) -> Result<Option<Value>, FieldError> {
    for (id, expanded) in [("directoryScopeId", "directoryScope"), ("appScopeId", "appScope")] {
        let shown = object.object(&[expanded])?;
        let shown = shown.map_or(Ok(None), |shown| shown.text(&["displayName"]))?;
        if let Some(id) = object.text(&[id])?.filter(|id| *id != "/") {
            return Ok(party(None, Some(id), shown, None));
        }
    }
    Ok(None)
}

/// A party as an actor.
pub fn user(party: &Value) -> Value {
    let mut actor = party.clone();
    actor["type"] = "user".into();
    actor
}

/// An administrator whom the object does not name.
pub fn an_administrator() -> Value {
    json!({"type": "user", "name": "an administrator"})
}
