//! Events in the Open Cybersecurity Schema Framework, version 1.8.0 (schema.ocsf.io), for
//! collectors that read many sources. The catalogue defines the class and activity of each action;
//! this module maps the event's fields.

use serde_json::{Map, Value, json};

use crate::trail::{
    actions::{Action, Definition, ocsf_class::Class},
    event::{Actor, ActorType, Event, Outcome, Party, Recorded},
    fields::Field,
};

pub const VERSION: &str = "1.8.0";

/// The event in the schema. Fields that its class lacks are under `unmapped`, as in an API
/// response, so nothing is lost.
pub fn ocsf(recorded: &Recorded) -> Value {
    let event = &recorded.event;
    let Some(action) = event.action.definition() else { return Value::Null };
    let class = action.ocsf.class;
    let activity = activity(action, event);
    let mut told = json!({
        "class_uid": class.uid(), "class_name": class.name(), "category_uid": class.uid() / 1000, "category_name": class.category(),
        "activity_id": activity, "activity_name": class.activity(activity), "type_uid": class.uid() * 100 + u32::from(activity),
        "type_name": format!("{}: {}", class.name(), class.activity(activity)),
        "time": event.occurred_at.millis(), "severity_id": severity(event), "message": event.message(),
        "metadata": {
            "version": VERSION, "uid": event.id.as_str(), "event_code": event.action, "log_name": "jit-audit", "tenant_uid": event.tenant.as_str(),
            "logged_time": recorded.recorded_at.millis(), "original_time": event.occurred_at.to_string(),
            "product": {"name": "Jit Audit", "vendor_name": "Jit Audit"},
        },
        "unmapped": recorded,
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(value), Value::Object(told)) = (value, &mut told) {
            told.insert(name.to_owned(), value);
        }
    };
    let text = |field: Field| field.find(recorded).into_json_text();
    let is_failure = event.outcome == Outcome::Failure;
    set("status_id", Some(if is_failure { 2 } else { 1 }.into()));
    set("status", Some(if is_failure { "Failure" } else { "Success" }.into()));
    set("status_detail", text(Field::Reason));
    if class != Class::DetectionFinding {
        set("actor", Some(json!({"user": user_of(&event.actor)})));
        set("src_endpoint", text(Field::SourceIp).map(|ip| json!({"ip": ip})));
    }
    match class {
        Class::Authentication => {
            set("user", Some(affected(event)));
            set("session", text(Field::SessionId).map(|id| json!({"uid": id})));
            // The place of a log-on: a desktop, or otherwise the service itself.
            let place = event.target.as_ref().map_or("Jit Audit", Party::shown);
            set("dst_endpoint", Some(json!({"name": place})));
        }
        Class::AccountChange => set("user", Some(affected(event))),
        Class::UserAccess => {
            set("user", Some(affected(event)));
            set("privileges", Some(privileges(event).into()));
            set("resources", event.target.as_ref().map(|target| json!([named(target)])));
        }
        Class::EntityManagement => {
            set("entity", Some(entity(action, event)));
            set("comment", text(Field::Justification));
        }
        Class::DetectionFinding => {
            let finding = event.target.as_ref().map_or(event.id.as_str(), Party::shown);
            set(
                "finding_info",
                Some(json!({"uid": finding, "title": event.reason.as_deref().unwrap_or(finding)})),
            );
        }
    }
    told
}

/// The activity of the action, depending on the variant of the event.
fn activity(action: &Definition, event: &Event) -> u8 {
    let provisioned = event.details.as_ref().and_then(|details| details.get("provisioned"));
    match action.ocsf.activity {
        // An existing account is enabled.
        1 if action.ocsf.class == Class::AccountChange
            && provisioned == Some(&Value::Bool(false)) =>
        {
            2
        }
        activity => activity,
    }
}

/// Informational, except for failures and for findings, which have a severity.
fn severity(event: &Event) -> u8 {
    let said =
        event.details.as_ref().and_then(|details| details.get("severity")).and_then(Value::as_str);
    match (said, event.outcome) {
        (Some("low"), _) => 2,
        (Some("medium"), _) => 3,
        (Some("high"), _) => 4,
        (Some("critical"), _) => 5,
        (_, Outcome::Failure) => 2,
        (_, Outcome::Success) => 1,
    }
}

fn user_of(actor: &Actor) -> Value {
    let kind = match actor.kind {
        ActorType::User => 1,
        ActorType::System => 3,
        ActorType::Service => 4,
        ActorType::Scm => 99,
    };
    let mut user = json!({"name": actor.shown(), "type_id": kind});
    let parts = [("uid", &actor.id), ("email_addr", &actor.email)];
    fill(&mut user, parts);
    user
}

/// The person or account that the event affects: the account, otherwise the subject, otherwise the
/// actor.
fn affected(event: &Event) -> Value {
    match event.account.as_ref().or(event.subject.as_ref()) {
        Some(party) => {
            let mut user = json!({"name": party.shown()});
            fill(&mut user, [("uid", &party.id), ("email_addr", &party.email)]);
            user
        }
        None => user_of(&event.actor),
    }
}

/// The roles granted or removed; for a package or a session without roles, its name.
fn privileges(event: &Event) -> Vec<String> {
    let of_session =
        event.session.as_ref().map(|session| session.roles.as_slice()).unwrap_or_default();
    let roles = if event.roles.is_empty() { of_session } else { &event.roles };
    let all = event
        .target
        .as_ref()
        .map(Party::shown)
        .or(event.session.as_ref().map(|session| session.id.as_str()));
    match roles {
        [] => vec![all.unwrap_or(event.action.as_str()).to_owned()],
        roles => roles.to_vec(),
    }
}

/// The entity that the event is about.
fn entity(action: &Definition, event: &Event) -> Value {
    let session = event.session.as_ref().filter(|_| matches!(event.action, Action::Session(_)));
    let party = event.target.as_ref().or(event.account.as_ref()).or(event.subject.as_ref());
    let (mut entity, kind) = match (session, party) {
        (Some(session), _) => (json!({"uid": session.id, "name": session.id}), Some("session")),
        (None, Some(party)) => (named(party), party.kind.as_deref()),
        (None, None) => (json!({"name": action.label}), None),
    };
    // The first word of an action's name is its entity.
    let kind = kind.or_else(|| event.action.as_str().split('.').next());
    entity["type"] = kind.unwrap_or_default().into();
    entity
}

fn named(party: &Party) -> Value {
    let mut named = json!({"name": party.shown()});
    fill(&mut named, [("uid", &party.id)]);
    named
}

fn fill<const N: usize>(value: &mut Value, parts: [(&str, &Option<String>); N]) {
    let told: Map<String, Value> = parts
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())))
        .collect();
    if let Value::Object(value) = value {
        value.extend(told);
    }
}
