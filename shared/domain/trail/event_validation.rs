//! Intake: from a caller's JSON to an [`Event`], or to everything that is wrong with it at once.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    time::{duration::Length, timestamp::Instant},
    trail::{
        actions::{self, Action, Writer, message_template},
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
/// How far ahead of our clock an event may have occurred.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

const MAX_ROLES: usize = 50;

/// What an event is judged against.
#[derive(Clone, Debug)]
pub struct Intake<'a> {
    /// Whose trail it goes to.
    pub tenant: &'a Tenant,
    /// Our clock.
    pub now: Instant,
    /// How long events are kept.
    pub retention: Duration,
}

/// Reads one event. `default_id` gives it an id where it brings none.
///
/// # Errors
/// Everything that is wrong with it, each with its pointer.
pub fn read(
    json: &str,
    intake: &Intake<'_>,
    default_id: impl FnOnce() -> EventId,
) -> Result<Event, Vec<FieldError>> {
    if json.len() > MAX_EVENT_BYTES {
        let detail = format!(
            "is {} bytes long; 64 KiB ({MAX_EVENT_BYTES} bytes) are the most for one event",
            json.len()
        );
        return Err(vec![FieldError::new("", detail)]);
    }
    object_reader::read_object(json, "; put what has no field of its own into details", |fields| {
        read_members(fields, intake, default_id)
    })
}

/// None where the action is not known, so that nothing more can be said. A member that is missing or wrong is among the
/// errors, and something harmless stands in for it so that the rest can still be judged.
fn read_members(
    mut fields: Fields<'_>,
    intake: &Intake<'_>,
    default_id: impl FnOnce() -> EventId,
) -> Option<Event> {
    let action = read_action(&mut fields);
    let id = fields
        .text("id", 128)
        .and_then(|text| checked_id(&text, &mut fields))
        .unwrap_or_else(default_id);
    let occurred_at = read_occurred_at(&mut fields, intake).unwrap_or(intake.now);
    let actor = fields.required_object("actor").and_then(read_actor);
    let mut party = |key| fields.object(key).and_then(read_party);
    let (subject, account, target, approver) =
        (party("subject"), party("account"), party("target"), party("approver"));
    let session = fields.object("session").and_then(read_session);
    let request_id = fields.text("request_id", NAME_BYTES);
    let justification = fields.text("justification", TEXT_BYTES);
    let reason = fields.text("reason", TEXT_BYTES);
    let ticket = fields.object("ticket").and_then(read_ticket);
    let policy = fields.object("policy").and_then(read_policy);
    let roles = fields.texts("roles", MAX_ROLES);
    let outcome = fields.word("outcome", &Outcome::ALL);
    let window = read_window(&mut fields);
    let source = fields.object("source").map(read_origin);
    let details = read_details(&mut fields);
    fields.refuse_others();
    let action = action?;
    let event = Event {
        id,
        tenant: intake.tenant.clone(),
        action: action.name.to_owned(),
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
        outcome: outcome.unwrap_or(if action.always_fails {
            Outcome::Failure
        } else {
            Outcome::Success
        }),
        window,
        source,
        details,
    };
    check_against_catalogue(&event, action, &mut fields);
    Some(event)
}

fn read_action(fields: &mut Fields<'_>) -> Option<&'static Action> {
    let name = fields.required_text("action", NAME_BYTES)?;
    match actions::find(&name) {
        Some(action) if action.writer == Writer::Service => {
            fields.fault(
                "action",
                format!("{name:?} is written by this service alone; GET /v1/actions lists what callers write"),
            );
            None
        }
        Some(action) => Some(action),
        None => {
            let hint = actions::nearest(&name)
                .map_or_else(String::new, |near| format!(" Did you mean {near:?}?"));
            fields.fault(
                "action",
                format!("{name:?} is no known action.{hint} GET /v1/actions (with audit:read) lists them all"),
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
                    format!("starts with {prefix:?}, in whatever case: that is kept for {whose}"),
                );
            }
            None => return Some(id),
        },
        None => fields.fault("id", "must be 1 to 128 of A-Z a-z 0-9 _ -"),
    }
    None
}

fn read_occurred_at(fields: &mut Fields<'_>, intake: &Intake<'_>) -> Option<Instant> {
    let text = fields.required_text("occurred_at", NAME_BYTES)?;
    let instant: Instant = match text.parse() {
        Ok(instant) => instant,
        Err(error) => {
            fields.fault("occurred_at", error);
            return None;
        }
    };
    let Intake { now, retention, .. } = intake;
    if instant > now.plus(MAX_AHEAD) {
        fields.fault(
            "occurred_at",
            format!(
                "is more than 5 minutes in the future: here it is {now}; check the sender's clock"
            ),
        );
    } else if instant < now.minus(*retention) {
        let (days, oldest) = (retention.as_secs() / 86_400, now.minus(*retention));
        fields.fault(
            "occurred_at",
            format!("is older than the {days} days that events are kept: the oldest that is taken is {oldest}"),
        );
    }
    Some(instant)
}

/// Reads who did something.
pub fn read_actor(mut fields: Fields<'_>) -> Option<Actor> {
    let kind = fields.required_word("type", &ActorType::ALL);
    let (id, name, email) = fields.identity();
    match kind {
        Some(ActorType::System) if id.is_some() || name.is_some() || email.is_some() => {
            fields.fault_here(
                "has id, name or email, which an actor of type \"system\" has not; leave them out",
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

fn read_session(mut fields: Fields<'_>) -> Option<Session> {
    let id = fields.required_text("id", NAME_BYTES);
    let scope = fields.required_word("scope", &Scope::ALL);
    let roles = fields.texts("roles", MAX_ROLES);
    // "TBD" is how a listing shows that there is none yet; as a fact it is no username.
    let username = fields.text("username", NAME_BYTES).filter(|name| name != USERNAME_TBD);
    let starts_at = fields.instant("starts_at");
    let ends_at = fields.instant("ends_at");
    let approvals_needed = fields.whole("approvals_needed", 0..=1000);
    if scope == Some(Scope::Role) {
        for (key, given) in [("starts_at", starts_at), ("ends_at", ends_at)] {
            if given.is_some() {
                fields.fault(
                    key,
                    "belongs to the whole session; leave it out of a row with scope \"role\"",
                );
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
    let url = fields.required_text("url", TEXT_BYTES);
    let system = fields.text("system", NAME_BYTES);
    fields.refuse_others();
    Some(Ticket { id: id?, url: url?, system })
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
    const SHAPE: &str = "must be {\"duration\": \"PT4H\"}, {\"ends_at\": \"2026-11-22T04:00:00Z\"} or false (open none); leave it out for the usual one";
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
        _ => {
            fields.fault("details", "must be a JSON object");
            return None;
        }
    };
    let bytes = serde_json::to_string(&details).map_or(0, |json| json.len());
    if bytes > MAX_DETAILS_BYTES {
        fields.fault(
            "details",
            format!("is {bytes} bytes long; 32 KiB ({MAX_DETAILS_BYTES} bytes) are the most"),
        );
    }
    Some(details)
}

/// The rules that depend on the action.
fn check_against_catalogue(event: &Event, action: &Action, fields: &mut Fields<'_>) {
    let name = action.name;
    if event.actor.kind == ActorType::System && action.writer == Writer::Callers {
        fields.fault("actor/type", format!("\"system\" is not taken from callers for {name}"));
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
    if !event.roles.is_empty() && !matches!(name, "roles.assigned" | "roles.removed") {
        fields.fault(
            "roles",
            format!(
                "belongs to roles.assigned and roles.removed; roles of a session stand in session.roles, not in {name}"
            ),
        );
    }
    if event.window.is_some() && !action.opens_window {
        fields.fault(
            "window",
            format!("belongs to actions that open a window, which {name} does not; leave it out"),
        );
    }
    if event.window.is_some()
        && event.session.as_ref().is_some_and(|session| session.scope == Scope::Role)
    {
        fields.fault(
            "window",
            "belongs to the whole session; leave it out of a row with scope \"role\"",
        );
    }
    if action.always_fails && event.outcome != Outcome::Failure {
        fields.fault("outcome", format!("can only be \"failure\" for {name}"));
    }
    if event.outcome == Outcome::Failure
        && event.reason.is_none()
        && !fields.has_fault_at("/reason")
    {
        fields.fault("reason", "is required where the outcome is \"failure\"");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-11-22T12:00:00.000Z";

    fn read_value(event: &Value) -> Result<Event, Vec<(String, String)>> {
        let tenant = Tenant::new("acme").unwrap();
        let intake = Intake {
            tenant: &tenant,
            now: NOW.parse().unwrap(),
            retention: Duration::from_secs(400 * 86_400),
        };
        read(&event.to_string(), &intake, || EventId::new("given").unwrap()).map_err(|errors| {
            errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
        })
    }

    fn accessed() -> Value {
        json!({
            "id": "e-1", "action": "computer.accessed", "occurred_at": "2026-11-22T11:00:00Z",
            "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": "W11"}, "account": {"name": "MSP-ALEX"}
        })
    }

    /// Puts `value` at `pointer` of a good event; a null takes the member away.
    fn with(mut event: Value, pointer: &str, value: Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key);
        } else {
            parent.insert(key.to_owned(), value);
        }
        event
    }

    /// The event must be refused with just these errors: pointer, and a part of the detail.
    fn refused(event: Value, expected: &[(&str, &str)]) {
        let errors = read_value(&event).expect_err(&event.to_string());
        let fits = errors.len() == expected.len()
            && expected.iter().all(|(at, part)| {
                errors.iter().any(|(pointer, detail)| pointer == at && detail.contains(part))
            });
        assert!(fits, "{event}\n  gave {errors:?}\n  not  {expected:?}");
    }

    #[test]
    fn a_good_event_is_read() {
        let event = read_value(&accessed()).unwrap();
        assert_eq!(
            event.message(),
            "alex@nikpot.com logged into the Desktop W11 with account MSP-ALEX."
        );
        assert_eq!(read_value(&with(accessed(), "/id", Value::Null)).unwrap().id.as_str(), "given");
    }

    #[test]
    fn what_is_missing_is_named() {
        refused(
            json!({}),
            &[
                ("/action", "is required"),
                ("/occurred_at", "is required"),
                ("/actor", "is required"),
            ],
        );
        refused(
            json!({"action": "computer.accessed"}),
            &[
                ("/occurred_at", "is required"),
                ("/actor", "is required"),
                ("/target", "is required for computer.accessed"),
                ("/account", "is required for computer.accessed"),
            ],
        );
        refused(
            with(accessed(), "/actor", json!({"email": "a@b"})),
            &[("/actor/type", "is required")],
        );
        refused(
            with(accessed(), "/actor", json!({"type": "user"})),
            &[("/actor", "at least one of id, name and email")],
        );
        refused(
            with(accessed(), "/target", json!({"type": "desktop"})),
            &[("/target", "at least one of id, name and email")],
        );
    }

    #[test]
    fn all_errors_of_an_event_come_at_once() {
        let event = json!({
            "id": "sys_1", "action": "computer.acessed", "occurred_at": "yesterday", "actor": {"type": "robot", "email": ""},
            "tagret": {"name": "x"}, "details": []
        });
        refused(
            event,
            &[
                ("/id", "sys_"),
                ("/action", "Did you mean \"computer.accessed\"?"),
                ("/occurred_at", "RFC 3339"),
                ("/actor/type", "must be one of \"user\", \"system\", \"scm\", \"service\""),
                ("/actor/email", "is empty"),
                ("/tagret", "did you mean \"target\"?"),
                ("/details", "must be a JSON object"),
            ],
        );
    }

    #[test]
    fn wrong_values_are_named() {
        let long = "x".repeat(257);
        let very_long = "x".repeat(2049);
        for (pointer, value, at, part) in [
            ("/id", json!("a b"), "/id", "1 to 128 of"),
            ("/id", json!("x".repeat(129)), "/id", "128 bytes"),
            ("/id", json!(7), "/id", "must be a string"),
            ("/action", json!("window.opened"), "/action", "this service alone"),
            (
                "/occurred_at",
                json!("2026-11-22T12:05:00.001Z"),
                "/occurred_at",
                "here it is 2026-11-22T12:00:00.000Z",
            ),
            ("/occurred_at", json!("2025-10-18T11:59:59.999Z"), "/occurred_at", "400 days"),
            ("/occurred_at", json!(1763771167), "/occurred_at", "must be a string"),
            ("/actor/email", json!(long), "/actor/email", "256 bytes"),
            ("/actor/type", json!("system"), "/actor", "leave them out"),
            ("/actor", json!("alex"), "/actor", "must be a JSON object"),
            ("/actor/role", json!("x"), "/actor/role", "no known field"),
            ("/justification", json!(very_long), "/justification", "2048 bytes"),
            ("/justification", json!(""), "/justification", "is empty"),
            ("/outcome", json!("ok"), "/outcome", "\"success\", \"failure\""),
            ("/outcome", json!("failure"), "/reason", "is required where the outcome"),
            ("/roles", json!(["a"]), "/roles", "roles.assigned"),
            ("/window", json!(false), "/window", "does not"),
            ("/ticket", json!({"id": "1"}), "/ticket/url", "is required"),
            ("/policy", json!({"id": "p", "version": 1}), "/policy/version", "must be a string"),
            ("/source", json!({"ip": 1}), "/source/ip", "must be a string"),
            ("/details", json!({"x": "y".repeat(32 * 1024)}), "/details", "32 KiB"),
            ("/tenant", json!("other"), "/tenant", "no known field"),
            ("/recorded_at", json!(NOW), "/recorded_at", "no known field"),
        ] {
            let event = with(accessed(), pointer, value);
            let errors = read_value(&event).expect_err(&event.to_string());
            assert!(
                errors.iter().any(|(pointer, detail)| pointer == at && detail.contains(part)),
                "{event}: {errors:?}"
            );
        }
        refused(
            with(accessed(), "/details", json!({"x": "y".repeat(64 * 1024)})),
            &[("", "64 KiB")],
        );
        refused(json!([]), &[("", "must be a JSON object")]);
    }

    #[test]
    fn the_limits_themselves_are_taken() {
        for (pointer, value) in [
            ("/id", json!("x".repeat(128))),
            ("/occurred_at", json!("2026-11-22T12:05:00Z")),
            ("/occurred_at", json!("2025-10-18T12:00:00Z")),
            ("/actor/email", json!("é".repeat(128))),
            ("/justification", json!("x".repeat(2048))),
            ("/details", json!({"x": "y".repeat(32 * 1024 - 8)})),
        ] {
            read_value(&with(accessed(), pointer, value)).unwrap();
        }
    }

    #[test]
    fn a_role_row_has_no_start_and_end() {
        let session = |session: Value| json!({"action": "session.approved", "occurred_at": NOW, "actor": {"type": "user", "name": "john"}, "session": session});
        read_value(&session(json!({"id": "68", "scope": "role", "roles": ["role1"]}))).unwrap();
        refused(
            session(json!({"id": "68", "scope": "role", "starts_at": NOW})),
            &[
                ("/session/starts_at", "whole session"),
                ("/session/roles", "is required for session.approved"),
            ],
        );
        refused(
            session(json!({"id": "68", "scope": "session", "starts_at": NOW, "ends_at": NOW})),
            &[("/session/ends_at", "after starts_at")],
        );
        refused(
            session(json!({"scope": "all"})),
            &[("/session/id", "is required"), ("/session/scope", "must be one of")],
        );
        refused(
            session(
                json!({"id": "68", "scope": "session", "roles": vec!["r"; 51], "approvals_needed": -1}),
            ),
            &[("/session/roles", "51 entries"), ("/session/approvals_needed", "whole number")],
        );
        let tbd = read_value(&session(json!({"id": "68", "scope": "session", "username": "TBD"})))
            .unwrap();
        assert_eq!(tbd, read_value(&session(json!({"id": "68", "scope": "session"}))).unwrap());
    }

    #[test]
    fn windows_belong_to_actions_that_open_one() {
        let requested = |window: Value| {
            json!({
                "action": "entra.account.requested", "occurred_at": NOW, "actor": {"type": "user", "email": "a@b"},
                "target": {"name": "Entra"}, "account": {"name": "msptech"}, "window": window
            })
        };
        for window in [
            json!(false),
            json!({"duration": "PT4H"}),
            json!({"duration": "P1DT30M"}),
            json!({"ends_at": NOW}),
        ] {
            let event = read_value(&requested(window.clone())).unwrap();
            assert_eq!(
                serde_json::to_value(event.window).unwrap(),
                with(json!({"w": window}), "/x", Value::Null)["w"].clone()
            );
        }
        for window in
            [json!(true), json!({}), json!("PT4H"), json!({"duration": "PT4H", "ends_at": NOW})]
        {
            refused(requested(window), &[("/window", "must be {\"duration\"")]);
        }
        for duration in ["4h", "PT", "PT0S", "-PT4H", "P1M", "P1W", "P1Y", ""] {
            let event = requested(json!({"duration": duration}));
            assert!(
                read_value(&event).unwrap_err().iter().any(|(at, _)| at == "/window/duration"),
                "{duration}"
            );
        }
    }

    #[test]
    fn the_actor_system_is_taken_for_some_actions_only() {
        let added = json!({"action": "user.added", "occurred_at": NOW, "actor": {"type": "system"}, "subject": {"email": "a@b"}});
        assert_eq!(read_value(&added).unwrap().actor.shown(), "System");
        refused(
            with(accessed(), "/actor", json!({"type": "system"})),
            &[("/actor/type", "not taken from callers")],
        );
    }

    #[test]
    fn one_digest_for_the_same_facts_however_they_are_written() {
        let digest = |text: &str| {
            let tenant = Tenant::new("acme").unwrap();
            let intake = Intake {
                tenant: &tenant,
                now: NOW.parse().unwrap(),
                retention: Duration::from_secs(400 * 86_400),
            };
            read(text, &intake, || EventId::new("given").unwrap()).unwrap().digest()
        };
        let base = digest(
            r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]}}"#,
        );
        let same = r#"{"details":{"b":[],"a":1.0},"actor":{"email":"\u00e9@b","type":"user"},"occurred_at":"2026-11-22T12:00:00.000+01:00","action":"user.logged_in","id":"a","outcome":"success"}"#;
        assert_eq!(digest(same), base);
        for other in [
            r#"{"id":"b","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]}}"#,
            r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00.001Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]}}"#,
            r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"É@b"},"details":{"a":1,"b":[]}}"#,
            r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1}}"#,
            r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]},"source":{}}"#,
        ] {
            assert_ne!(digest(other), base, "{other}");
        }
    }
}
