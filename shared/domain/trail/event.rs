//! The event: an immutable fact in the trail, and its form in API responses.

mod event_digest;
mod ids;
mod parties;
mod recorded_by;
mod session_username;

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::{
    json::request_schema::about,
    time::{duration::Length, timestamp::Instant},
    trail::actions::{Action, Category, Definition, RequestState, message_template},
};

pub use self::{
    event_digest::Digest,
    ids::{EventId, Tenant},
    parties::{Actor, ActorType, Party},
    recorded_by::{HISTORY_AFTER, RecordedBy},
};

/// The facts of an event as its source sent them, normalised. Nothing is derived, and nothing is
/// about the recording.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Unique within the tenant.
    pub id: EventId,
    pub tenant: Tenant,
    pub action: Action,
    /// When it happened, by the source's clock.
    pub occurred_at: Instant,
    pub actor: Actor,
    /// The person the access is for, if that is not the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    /// The privileged identity that was used or enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// The thing accessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// The session it belongs to, from CREATED to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The source's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Why access was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// The reason of the decision, end or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The approver, if that is not the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<Party>,
    /// The policy that applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The roles that were granted or removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    pub outcome: Outcome,
    /// The window that the caller asked for. The facts contain it unchanged. API responses nest it
    /// in the window that was opened.
    #[serde(skip)]
    pub window: Option<AskedWindow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Origin>,
    /// The category of an imported record, in the words of its source. Only the service sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_category: Option<String>,
    /// The activity of an imported record, in the words of its source. Only the service sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_activity: Option<String>,
    /// Any other data: an object of at most 32 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
}

/// One session, from CREATED to its end.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "EventSession")]
pub struct Session {
    /// The source's id.
    pub id: String,
    /// Whether the event is about the whole session or some of its roles.
    pub scope: Scope,
    /// The requested roles, or those that the event is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The user generated for the session. Shown as `TBD` until it is granted; a name that was sent
    /// earlier is in `sent_username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its planned start; never in an event about roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    /// Its planned end; never in an event about roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    /// Number of approvals that each role needs; with 0 it is approved automatically.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals_needed: Option<u32>,
}

impl Session {
    /// A session with only an id.
    pub fn named(id: String) -> Self {
        let (roles, username, starts_at, ends_at, approvals_needed) =
            (Vec::new(), None, None, None, None);
        Self { id, scope: Scope::Session, roles, username, starts_at, ends_at, approvals_needed }
    }
}

/// The displayed user name of a session that has none yet. Never stored.
pub const USERNAME_TBD: &str = "TBD";

/// The scope of an event about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[schemars(rename = "SessionScope")]
pub enum Scope {
    /// The whole session.
    Session,
    /// Some of its roles.
    Role,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "The ticket that belongs to the request.")]
pub struct Ticket {
    /// The id in the ticket system.
    pub id: String,
    /// The address of the ticket, if the source knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The name of the ticket system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// An approval policy in the version that applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventPolicy")]
pub struct Policy {
    /// The id of the policy.
    pub id: String,
    /// The version that applied.
    pub version: String,
}

impl fmt::Display for Policy {
    /// The text of the Policy column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.version)
    }
}

/// The outcome of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[schemars(rename = "EventOutcome")]
pub enum Outcome {
    /// The action took place.
    #[default]
    Success,
    /// The attempt failed; the reason says why.
    Failure,
}

/// The window that a caller asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum AskedWindow {
    /// No window: the event is history.
    None,
    /// A window of that length, an ISO 8601 duration as sent.
    Duration(String),
    /// A window until that time.
    Until(Instant),
}

impl JsonSchema for AskedWindow {
    fn schema_name() -> Cow<'static, str> {
        "RequestedWindow".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let end = generator.subschema_for::<Instant>();
        json_schema!({
            "description": "The window that the sender asked for: a duration, an end, or `false` for none.",
            "anyOf": [
                {"type": "boolean", "const": false},
                {
                    "type": "object",
                    "properties": {"duration": generator.subschema_for::<Length>()},
                    "required": ["duration"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {"ends_at": about("When it is to end.", end)},
                    "required": ["ends_at"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl Serialize for AskedWindow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Form<'a> {
            Duration(&'a str),
            EndsAt(Instant),
        }
        match self {
            Self::None => serializer.serialize_bool(false),
            Self::Duration(duration) => Form::Duration(duration).serialize(serializer),
            Self::Until(instant) => Form::EndsAt(*instant).serialize(serializer),
        }
    }
}

/// The window that an event opened, as it was then. It is part of API responses, but not of the
/// event's facts.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(
    rename = "OpenedWindow",
    description = "The window that the event opened, as it was then, or would have opened."
)]
pub struct Opened {
    /// The id of the window, for `GET /v1/windows/{id}`. Absent if no window was opened, because it
    /// was over before its event was recorded as history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// From when on the account may be enabled.
    pub starts_at: Instant,
    /// The end, unless the window is extended, ended, or kept open by another request.
    pub ends_at: Instant,
}

/// The origin of an event.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "EventSource")]
pub struct Origin {
    /// The IP address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The browser or agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The product that reported the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl Event {
    /// One of the service's own events, with only the members that every event has.
    pub fn of_service(
        id: EventId,
        tenant: &Tenant,
        action: impl Into<Action>,
        occurred_at: Instant,
        actor: Actor,
    ) -> Self {
        Self {
            id,
            tenant: tenant.clone(),
            action: action.into(),
            occurred_at,
            actor,
            subject: None,
            account: None,
            target: None,
            session: None,
            request_id: None,
            justification: None,
            reason: None,
            ticket: None,
            approver: None,
            policy: None,
            roles: Vec::new(),
            outcome: Outcome::Success,
            window: None,
            source: None,
            source_category: None,
            source_activity: None,
            details: None,
        }
    }

    /// The request in the event: the source's id of the request, or of the assignment that resulted
    /// from an unknown request.
    pub fn request(&self) -> Option<Cow<'_, str>> {
        if let Some(id) = &self.request_id {
            return Some(id.into());
        }
        let Action::Entitlement(_) = self.action else { return None };
        let details = self.details.as_ref()?;
        details.get("assignment_id")?.as_str().map(|id| format!("assignment:{id}").into())
    }

    /// Whether devices report such events about themselves: a use.
    pub fn is_of_device(&self) -> bool {
        self.action.definition().is_some_and(|action| action.is_device)
    }

    /// The text of the Action column. Never empty.
    pub fn label(&self) -> String {
        match self.action.definition() {
            Some(action) => message_template::render(action.label, self),
            None => message_template::escaped(self.action.as_str()),
        }
    }

    /// The sentence. Never empty.
    pub fn message(&self) -> String {
        match self.action.definition() {
            Some(action) => message_template::render(message_template::fitting(action, self), self),
            None => message_template::escaped(self.action.as_str()),
        }
    }
}

/// An event as it is stored in the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The facts.
    pub event: Event,
    /// When the event was stored, by the service's clock.
    pub recorded_at: Instant,
    pub recorded_by: RecordedBy,
    /// The digest of the facts when they were stored.
    pub digest: Digest,
    /// The window that the event opened, or would have opened if it had not been history.
    pub opened: Option<Opened>,
    /// When the event expires: from then on it is not shown, even if it is not removed yet.
    pub expires_at: Instant,
}

/// The window of an event in an API response.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(
    description = "The window that the event opened, and the window that its sender asked for."
)]
pub struct EventWindow {
    #[serde(flatten)]
    opened: Option<Opened>,
    /// The window that the sender asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<AskedWindow>,
}

impl Recorded {
    /// The window that the event opened and the one that it asked for.
    pub fn window(&self) -> Option<EventWindow> {
        let is_any = self.event.window.is_some() || self.opened.is_some();
        is_any
            .then(|| EventWindow { opened: self.opened.clone(), asked: self.event.window.clone() })
    }

    pub fn category(&self) -> Category {
        self.event.action.definition().map_or(Category::Audit, |action| action.category)
    }

    /// The state that its request or session entered. None for a failed attempt.
    pub fn state(&self) -> Option<RequestState> {
        self.event
            .action
            .definition()
            .filter(|action| self.took_place(action))
            .and_then(|action| action.state)
    }

    /// The status that its request entered, in the terms of Microsoft Entra's entitlement
    /// management. None for a failed attempt.
    pub fn request_status(&self) -> Option<&'static str> {
        self.event
            .action
            .definition()
            .filter(|action| self.took_place(action))
            .and_then(|action| action.request_status)
    }

    fn took_place(&self, action: &Definition) -> bool {
        self.event.outcome == Outcome::Success || action.always_fails
    }
}

/// The event as in every API response, export and stream.
#[derive(Serialize, JsonSchema)]
#[schemars(
    description = "A recorded event: the facts that its source sent, and what the service added."
)]
struct Answered<'e> {
    #[serde(flatten)]
    event: &'e Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<EventWindow>,
    /// The text of the Action column.
    label: String,
    category: Category,
    /// The state that the request or session entered. Absent after a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RequestState>,
    /// The status that the request entered, in the words of Microsoft Entra's entitlement
    /// management. Absent after a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_status: Option<&'static str>,
    /// The event as a sentence.
    message: String,
    /// The user name that the source sent before the session was granted. `session.username` shows
    /// `TBD` until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_username: Option<&'e str>,
    /// When the trail stored the event.
    recorded_at: Instant,
    recorded_by: &'e RecordedBy,
    /// SHA-256 of the facts, in hexadecimal.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    digest: String,
}

impl JsonSchema for Recorded {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Answered::json_schema(generator)
    }
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = &self.event;
        // The only place where a response shows a value that no source sent.
        let shown = match (&event.session, self.session_username()) {
            (Some(session), Some(shown)) if session.username.as_deref() != Some(shown) => {
                let session = Session { username: Some(shown.to_owned()), ..session.clone() };
                Cow::Owned(Event { session: Some(session), ..event.clone() })
            }
            _ => Cow::Borrowed(event),
        };
        Answered {
            event: &shown,
            window: self.window(),
            label: event.label(),
            category: self.category(),
            state: self.state(),
            request_status: self.request_status(),
            message: event.message(),
            sent_username: self.sent_username(),
            recorded_at: self.recorded_at,
            recorded_by: &self.recorded_by,
            digest: self.digest.to_string(),
        }
        .serialize(serializer)
    }
}
