//! Validation: converts a caller's JSON to an [`Event`], or returns all errors at once.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
        wrong_value::wrong_type,
    },
    time::{duration::Length, timestamp::Instant},
    trail::{
        actions::{self, Action, Definition, PlatformAction, Writer, message_template},
        event::{
            Actor, ActorType, AskedWindow, Event, EventId, Origin, Outcome, Party, Policy, Scope,
            Session, Tenant, Ticket, USERNAME_TBD,
        },
    },
};

/// Longest event, in bytes as sent.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;
/// Longest `details`, in bytes of compact JSON.
pub const MAX_DETAILS_BYTES: usize = 32 * 1024;
/// How far ahead of the service's clock an event may have occurred.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// Maximum number of roles of an event or a session.
pub const MAX_ROLES: usize = 50;
/// Highest number of approvals that a role may need.
pub const MAX_APPROVALS_NEEDED: u32 = 1000;
/// What the member `actor` holds.
const ACTOR: &str = "who did it, as {\"type\": \"user\", \"email\": \"alex@acme.example\"}: the type user, system, scm or service, and at least one of id, name and email (none for system)";
/// Longest id, in bytes.
pub const ID_BYTES: usize = 128;

/// The context of validation.
#[derive(Clone, Debug)]
pub struct Intake<'a> {
    pub tenant: &'a Tenant,
    pub now: Instant,
    pub retention: Duration,
}

/// Reads one event. `default_id` is its id if it has none.
///
/// # Errors
/// All errors found, each with its pointer.
pub fn read(
    json: &str,
    intake: &Intake<'_>,
    default_id: impl FnOnce() -> EventId,
) -> Result<Event, Vec<FieldError>> {
    if json.len() > MAX_EVENT_BYTES {
        let detail = format!(
            "has {} bytes; the maximum for one event is 64 KiB ({MAX_EVENT_BYTES} bytes)",
            json.len()
        );
        return Err(vec![FieldError::new("", detail)]);
    }
    object_reader::read_object(
        json,
        "; put data that has no field of its own into details",
        |fields| read_members(fields, intake, default_id),
    )
}

/// None if the action is unknown, so that no further checks are possible. A missing or invalid
/// member is reported as an error and replaced by a harmless value, so that the others can still be
/// checked.
fn read_members(
    mut fields: Fields<'_>,
    intake: &Intake<'_>,
    default_id: impl FnOnce() -> EventId,
) -> Option<Event> {
    let action = read_action(&mut fields);
    let id = fields
        .text("id", ID_BYTES)
        .and_then(|text| checked_id(&text, &mut fields))
        .unwrap_or_else(default_id);
    let occurred_at = read_occurred_at(&mut fields, intake).unwrap_or(intake.now);
    let actor = fields.required_object("actor", ACTOR).and_then(read_actor);
    let mut party = |key| fields.object(key).and_then(read_party);
    let (subject, account, target, approver) =
        (party("subject"), party("account"), party("target"), party("approver"));
    let session = fields.object("session").and_then(read_session);
    let request_id = fields.text("request_id", NAME_BYTES);
    check_addressable(&mut fields, "request_id", request_id.as_deref());
    let justification = fields.text("justification", TEXT_BYTES);
    let reason = fields.text("reason", TEXT_BYTES);
    let ticket = fields.object("ticket").and_then(read_ticket);
    let policy = fields.object("policy").and_then(read_policy);
    let roles = fields.texts("roles", MAX_ROLES);
    let outcome = fields.word("outcome");
    let window = read_window(&mut fields);
    let source = fields.object("source").map(read_origin);
    let details = read_details(&mut fields);
    fields.refuse_others();
    let (action, definition) = action?;
    let event = Event {
        id,
        tenant: intake.tenant.clone(),
        action,
        occurred_at,
        actor: actor.unwrap_or(Actor { kind: ActorType::User, ..Actor::system() }),
        subject,
        account,
        target,
        session,
        request_id,
        justification,
        reason,
        ticket,
        approver,
        policy,
        roles,
        outcome: outcome.unwrap_or(if definition.always_fails {
            Outcome::Failure
        } else {
            Outcome::Success
        }),
        window,
        source,
        // Only an import sets these.
        source_category: None,
        source_activity: None,
        details,
    };
    check_against_catalogue(&event, definition, &mut fields);
    Some(event)
}

fn read_action(fields: &mut Fields<'_>) -> Option<(Action, &'static Definition)> {
    let name = fields.required_text("action", NAME_BYTES)?;
    let action = Action::from(name.as_str());
    match action.definition() {
        Some(definition) if definition.writer == Writer::Service => {
            fields.fault(
                "action",
                format!("only this service writes {name:?}; GET /v1/actions lists the actions that callers can send"),
            );
            None
        }
        Some(definition) => Some((action, definition)),
        None => {
            let hint = actions::nearest(&name)
                .map_or_else(String::new, |near| format!(" Did you mean {near:?}?"));
            fields.fault(
                "action",
                format!("{name:?} is not a known action.{hint} GET /v1/actions (with audit:read) lists all actions"),
            );
            None
        }
    }
}

fn checked_id(text: &str, fields: &mut Fields<'_>) -> Option<EventId> {
    match EventId::new(text) {
        Some(id) => match id.reserved_prefix() {
            Some(prefix) => {
                let whose = if prefix == "sys_" {
                    "this service's own events"
                } else {
                    "records imported from Microsoft Entra"
                };
                fields.fault(
                    "id",
                    format!("must not start with {prefix:?} in any case: this prefix is reserved for {whose}"),
                );
            }
            None => return Some(id),
        },
        None => fields.fault("id", "must be 1 to 128 of A-Z a-z 0-9 _ -"),
    }
    None
}

fn read_occurred_at(fields: &mut Fields<'_>, intake: &Intake<'_>) -> Option<Instant> {
    let instant = fields.required("occurred_at", |fields| fields.instant("occurred_at"))?;
    let Intake { now, retention, .. } = intake;
    if instant > now.plus(MAX_AHEAD) {
        fields.fault(
            "occurred_at",
            format!(
                "is more than 5 minutes in the future: the time of this service is {now}; check the sender's clock"
            ),
        );
    } else if instant < now.minus(*retention) {
        let (days, oldest) = (retention.as_secs() / 86_400, now.minus(*retention));
        fields.fault(
            "occurred_at",
            format!(
                "is older than the retention of {days} days: the oldest accepted time is {oldest}"
            ),
        );
    }
    Some(instant)
}

pub fn read_actor(mut fields: Fields<'_>) -> Option<Actor> {
    let kind = fields.required_word("type");
    let (id, name, email) = fields.identity();
    match kind {
        Some(ActorType::System) if id.is_some() || name.is_some() || email.is_some() => {
            fields.fault_here(
                "must not have id, name or email if its type is \"system\"; remove them",
            );
        }
        Some(ActorType::User | ActorType::Scm | ActorType::Service)
            if id.is_none() && name.is_none() && email.is_none() && fields.is_sound() =>
        {
            fields.fault_here("needs at least one of id, name and email");
        }
        _ => {}
    }
    fields.refuse_others();
    Some(Actor { kind: kind?, id, name, email })
}

fn read_party(mut fields: Fields<'_>) -> Option<Party> {
    let kind = fields.text("type", NAME_BYTES);
    let (id, name, email) = fields.identity();
    if id.is_none() && name.is_none() && email.is_none() && fields.is_sound() {
        fields.fault_here("needs at least one of id, name and email");
    }
    fields.refuse_others();
    Some(Party { kind, id, name, email })
}

/// Refuses an id with a slash. API Gateway decodes an address before it routes it, so nothing could
/// be read under such an id.
fn check_addressable(fields: &mut Fields<'_>, key: &str, id: Option<&str>) {
    if id.is_some_and(|id| id.contains('/')) {
        fields.fault(
            key,
            "must not contain \"/\", because the id is part of addresses; use another character, such as \":\"",
        );
    }
}

fn read_session(mut fields: Fields<'_>) -> Option<Session> {
    let id = fields.required_text("id", NAME_BYTES);
    check_addressable(&mut fields, "id", id.as_deref());
    let scope = fields.required_word("scope");
    let roles = fields.texts("roles", MAX_ROLES);
    // Responses show "TBD" if there is no user name yet; it is no user name in the facts.
    let username = fields.text("username", NAME_BYTES).filter(|name| name != USERNAME_TBD);
    let starts_at = fields.instant("starts_at");
    let ends_at = fields.instant("ends_at");
    let approvals_needed = fields.whole("approvals_needed", 0..=MAX_APPROVALS_NEEDED);
    if scope == Some(Scope::Role) {
        for (key, given) in [("starts_at", starts_at), ("ends_at", ends_at)] {
            if given.is_some() {
                fields
                    .fault(key, "belongs to the whole session; remove it if the scope is \"role\"");
            }
        }
    }
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at)
        && ends_at <= starts_at
    {
        fields.fault("ends_at", "must be after starts_at");
    }
    fields.refuse_others();
    Some(Session { id: id?, scope: scope?, roles, username, starts_at, ends_at, approvals_needed })
}

fn read_ticket(mut fields: Fields<'_>) -> Option<Ticket> {
    let id = fields.required_text("id", NAME_BYTES);
    let url = fields.text("url", TEXT_BYTES);
    let system = fields.text("system", NAME_BYTES);
    fields.refuse_others();
    Some(Ticket { id: id?, url, system })
}

fn read_policy(mut fields: Fields<'_>) -> Option<Policy> {
    let id = fields.required_text("id", NAME_BYTES);
    let version = fields.required_text("version", NAME_BYTES);
    fields.refuse_others();
    Some(Policy { id: id?, version: version? })
}

fn read_origin(mut fields: Fields<'_>) -> Origin {
    let ip = fields.text("ip", NAME_BYTES);
    let user_agent = fields.text("user_agent", TEXT_BYTES);
    let client = fields.text("client", NAME_BYTES);
    fields.refuse_others();
    Origin { ip, user_agent, client }
}

fn read_window(fields: &mut Fields<'_>) -> Option<AskedWindow> {
    const SHAPE: &str = "must be {\"duration\": \"PT4H\"}, {\"ends_at\": \"2026-11-22T04:00:00Z\"} or false (no window); omit it for the application's default window";
    match fields.take("window")? {
        Value::Bool(false) => Some(AskedWindow::None),
        Value::Object(members) => {
            let mut inner = fields.inner("window", members);
            let duration = inner.text("duration", NAME_BYTES);
            let ends_at = inner.instant("ends_at");
            if let Some(Err(error)) = duration.as_deref().map(str::parse::<Length>) {
                inner.fault("duration", error);
            }
            if let (Some(_), Some(_)) | (None, None) = (&duration, ends_at)
                && inner.is_sound()
            {
                inner.fault_here(SHAPE);
            }
            inner.refuse_others();
            duration.map(AskedWindow::Duration).or(ends_at.map(AskedWindow::Until))
        }
        _ => {
            fields.fault("window", SHAPE);
            None
        }
    }
}

fn read_details(fields: &mut Fields<'_>) -> Option<Map<String, Value>> {
    let details = match fields.take("details")? {
        Value::Object(details) => details,
        other => {
            fields.fault("details", wrong_type(&other, "a JSON object"));
            return None;
        }
    };
    let bytes = serde_json::to_string(&details).map_or(0, |json| json.len());
    if bytes > MAX_DETAILS_BYTES {
        fields.fault(
            "details",
            format!("has {bytes} bytes; the maximum is 32 KiB ({MAX_DETAILS_BYTES} bytes)"),
        );
    }
    Some(details)
}

/// The rules that depend on the action.
fn check_against_catalogue(event: &Event, action: &Definition, fields: &mut Fields<'_>) {
    let name = action.name;
    if event.actor.kind == ActorType::System && action.writer == Writer::Callers {
        fields.fault(
            "actor/type",
            format!("must not be \"system\" for {name}, because a caller sends it"),
        );
    }
    let needed = message_template::fitting(action, event);
    for field in message_template::required(needed).chain(message_template::required(action.label))
    {
        let pointer = message_template::pointer(field);
        if message_template::value(field, event).is_none() && !fields.has_fault_at(&pointer) {
            let kind = if field.starts_with("details.") { ", a text or a number" } else { "" };
            fields.fault(&pointer[1..], format!("is required for {name}{kind}"));
        }
    }
    let is_about_roles = matches!(
        event.action,
        Action::Platform(PlatformAction::RolesAssigned | PlatformAction::RolesRemoved)
    );
    if !event.roles.is_empty() && !is_about_roles {
        fields.fault(
            "roles",
            format!(
                "is only for roles.assigned and roles.removed, not for {name}; put the roles of a session into session.roles"
            ),
        );
    }
    if event.window.is_some() && !action.opens_window {
        fields.fault(
            "window",
            format!("is only for actions that open a window, and {name} does not; remove it"),
        );
    }
    if event.window.is_some()
        && event.session.as_ref().is_some_and(|session| session.scope == Scope::Role)
    {
        fields.fault("window", "belongs to the whole session; remove it if the scope is \"role\"");
    }
    if action.always_fails && event.outcome != Outcome::Failure {
        fields.fault("outcome", format!("must be \"failure\" for {name}"));
    }
    if event.outcome == Outcome::Failure
        && event.reason.is_none()
        && !fields.has_fault_at("/reason")
    {
        fields.fault("reason", "is required if the outcome is \"failure\"");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
