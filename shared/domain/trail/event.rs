//! The event: one immutable fact in the trail, its digest, and how it is answered.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::{
    time::timestamp::Instant,
    trail::{
        actions::{Action, Category, Definition, State, message_template},
        key::Key,
    },
};

/// The customer whose trail it is: 1-64 of `A-Z a-z 0-9 _ -`. No read or write ever crosses tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Tenant(String);

impl Tenant {
    /// The tenant of that name, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        is_word(name, 64).then(|| Self(name.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event's id: 1-128 of `A-Z a-z 0-9 _ -`. Those that start `sys_` are the service's own, those that start `entra_` are made of imported
/// records.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// The id of that text, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        is_word(text, 128).then(|| Self(text.to_owned()))
    }

    /// The id of the `index`th event of a request that carries an `Idempotency-Key`: the same again when it is sent again. The deployment's
    /// key makes it, so nobody can compute it and send another event under it first.
    pub fn of_request(
        secret: &Key,
        tenant: &Tenant,
        subject: &str,
        key: &str,
        index: usize,
    ) -> Self {
        Self::under(
            secret,
            "jit-audit/request-event-id/v2",
            &[tenant.as_str(), subject, key, &index.to_string()],
        )
    }

    /// The id under which an event of a device is stored, made of the one that the device gave it. Each device's person has a namespace of
    /// their own, so none can take an id that another sender uses.
    pub fn of_device(secret: &Key, tenant: &Tenant, subject: &str, given: &Self) -> Self {
        Self::under(
            secret,
            "jit-audit/device-event-id/v1",
            &[tenant.as_str(), subject, given.as_str()],
        )
    }

    fn under(secret: &Key, label: &str, parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        Self(uuid_of(&secret.mac(label, &parts)))
    }

    /// A hash in the form of an id. Anybody can compute it: it is for names that callers cannot bring.
    pub fn hash_of(tenant: &Tenant, subject: &str, key: &str) -> Self {
        Self(hashed("jit-audit/event-id/v1", &[tenant.as_str(), subject, key, "0"]))
    }

    /// The id of one of the service's own events, made from what it is about, so that a retry writes it once.
    pub fn of_service(tenant: &Tenant, action: impl fmt::Display, about: &[&str]) -> Self {
        let action = action.to_string();
        let parts: Vec<_> =
            [tenant.as_str(), &action].into_iter().chain(about.iter().copied()).collect();
        Self(format!("sys_{}", hashed("jit-audit/service-event-id/v1", &parts)))
    }

    /// The id that stands after all others.
    pub fn last() -> Self {
        Self("z".repeat(128))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only the service itself may give it.
    pub fn is_services(&self) -> bool {
        self.0.starts_with("sys_")
    }

    /// The prefix, where it has one that callers may not use, in any case: an id that only looks like one of those misleads people.
    pub fn reserved_prefix(&self) -> Option<&'static str> {
        let begins = |prefix: &&str| {
            self.0
                .get(..prefix.len())
                .is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
        };
        ["sys_", "entra_"].into_iter().find(begins)
    }
}

impl From<uuid::Uuid> for EventId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UUID (RFC 9562, version 8) made of a hash over what it is for and of its parts, each with its length.
fn hashed(purpose: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in [purpose].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    uuid_of(&hash.finalize().into())
}

fn uuid_of(hash: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Uuid::new_v8(bytes).to_string()
}

fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// An event's facts: what its source told us, normalised. Nothing derived, nothing of how it was recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Unique within the tenant.
    pub id: EventId,
    /// Whose trail it is in.
    pub tenant: Tenant,
    /// What happened.
    pub action: Action,
    /// When it happened, by the source's clock.
    pub occurred_at: Instant,
    /// Who did it.
    pub actor: Actor,
    /// The person the access is for, when that is not the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    /// The privileged identity used or enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// The thing accessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// The request it belongs to, from CREATED to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The source's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Why access was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Why it was decided, ended or failed so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ticket it was done under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// Who approves, where that is not the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<Party>,
    /// The policy that applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Roles given or taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// How it went.
    pub outcome: Outcome,
    /// The window the caller asked for. Facts hold it as it is, answers with the window that was opened.
    #[serde(skip)]
    pub window: Option<AskedWindow>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Origin>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    #[serde(rename = "type")]
    pub kind: ActorType,
    /// The actor's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The actor's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The actor's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// The kinds of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ActorType {
    /// A person.
    User,
    /// The system itself.
    System,
    /// An identity of a source-code manager.
    Scm,
    /// A machine.
    Service,
}

impl Actor {
    /// The service itself.
    pub fn system() -> Self {
        Self { kind: ActorType::System, id: None, name: None, email: None }
    }

    /// As sentences show it: the e-mail, else the name, else the id; `name (scm)` for a source-code manager's identity;
    /// `System`.
    pub fn shown(&self) -> Cow<'_, str> {
        match self.kind {
            ActorType::System => "System".into(),
            ActorType::Scm => {
                let name = first([&self.name, &self.id, &self.email]);
                format!("{name} (scm)").into()
            }
            ActorType::User | ActorType::Service => {
                first([&self.email, &self.name, &self.id]).into()
            }
        }
    }
}

/// A person, account or thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// What kind of thing.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Party {
    /// As sentences show it: the name, else the id, else the e-mail.
    pub fn shown(&self) -> &str {
        first([&self.name, &self.id, &self.email])
    }
}

fn first<const N: usize>(texts: [&Option<String>; N]) -> &str {
    texts.into_iter().find_map(Option::as_deref).unwrap_or_default()
}

/// One JIT request from CREATED to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Session {
    /// The source's id of it.
    pub id: String,
    /// Whether the row is about the whole session or some of its roles.
    pub scope: Scope,
    /// The roles asked for, or those the row is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The user generated for the session. Shown as `TBD` until it is granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its planned start; never in a role row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    /// Its planned end; never in a role row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    /// Approvals each role needs; 0 approves by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals_needed: Option<u32>,
}

impl Session {
    /// A session of which only the id is told.
    pub fn named(id: String) -> Self {
        let (roles, username, starts_at, ends_at, approvals_needed) =
            (Vec::new(), None, None, None, None);
        Self { id, scope: Scope::Session, roles, username, starts_at, ends_at, approvals_needed }
    }
}

/// What a session's username reads before there is one. Never stored: it is what "none yet" looks like.
pub const USERNAME_TBD: &str = "TBD";

/// What a row about a session covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// The whole session.
    Session,
    /// Some of its roles.
    Role,
}

/// A ticket in a ticketing system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its number.
    pub id: String,
    /// Its address.
    pub url: String,
    /// The ticketing system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// An approval policy, in the version that applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    #[default]
    Success,
    /// It was tried; the reason says why it failed.
    Failure,
}

/// The window a caller asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum AskedWindow {
    /// None: the event is history.
    None,
    /// As long as this, an ISO 8601 duration as sent.
    Duration(String),
    /// Until then.
    Until(Instant),
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

/// The window that an event opened, as at its opening. It is answered with the event and no fact of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Opened {
    /// The window's id.
    pub id: String,
    /// From when on.
    pub starts_at: Instant,
    /// Until when, unless it is extended, ended or covered by another request.
    pub ends_at: Instant,
}

/// Where an event came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    /// The address it was done from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The browser or agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The product that reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl Event {
    /// One of the service's own events, with nothing yet but what every event has.
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
            details: None,
        }
    }

    /// The request that it belongs to by its own words: the source's id of it, or of the assignment that came of one which is not told.
    pub fn request(&self) -> Option<Cow<'_, str>> {
        if let Some(id) = &self.request_id {
            return Some(id.into());
        }
        let Action::Entitlement(_) = self.action else { return None };
        let details = self.details.as_ref()?;
        details.get("assignment_id")?.as_str().map(|id| format!("assignment:{id}").into())
    }

    /// The facts as JSON: what the digest is taken over.
    pub fn facts(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Facts<'e> {
            #[serde(flatten)]
            event: &'e Event,
            #[serde(skip_serializing_if = "Option::is_none")]
            window: &'e Option<AskedWindow>,
        }
        Facts { event: self, window: &self.window }
    }

    /// The digest of the facts: SHA-256 of `jit-audit/event/v1\n` and their RFC 8785 form. It tells a duplicate from a
    /// conflict, and anyone can recompute it from an answered event: drop what the server added, put `window.asked` in the
    /// place of `window`, or leave that out where nothing was asked, and leave out a session username that reads `TBD`.
    ///
    /// These rules must keep working for items stored under them: others may only be added, under a new first line.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(b"jit-audit/event/v1\n");
        // Facts hold neither NaN nor keys that are not strings, which are all that canonical JSON refuses.
        #[allow(clippy::expect_used)]
        serde_json_canonicalizer::to_writer(&self.facts(), &mut bytes).expect("facts are JSON");
        Digest(Sha256::digest(&bytes).into())
    }

    /// Whether it is of a kind that devices report of themselves: something was used.
    pub fn is_of_device(&self) -> bool {
        self.action.definition().is_some_and(|action| action.is_device)
    }

    /// What the Action column shows. Never empty.
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

/// A SHA-256 digest, shown in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who sent an event, from the token it came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedBy {
    /// The token's `sub`.
    pub sub: String,
    /// The token's client, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// An event as the trail holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The facts.
    pub event: Event,
    /// When the trail stored it, by our clock.
    pub recorded_at: Instant,
    /// Who sent it.
    pub recorded_by: RecordedBy,
    /// The facts' digest when they were stored.
    pub digest: Digest,
    /// The window it opened.
    pub opened: Option<Opened>,
    /// From when on it is no longer shown, whether or not it has been removed yet.
    pub expires_at: Instant,
}

/// What an answer says of the window that an event opened.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AnsweredWindow<'e> {
    #[serde(flatten)]
    opened: &'e Option<Opened>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: &'e Option<AskedWindow>,
}

impl Recorded {
    /// The window that it opened, with what it asked for.
    pub fn window(&self) -> Option<AnsweredWindow<'_>> {
        let is_any = self.event.window.is_some() || self.opened.is_some();
        is_any.then_some(AnsweredWindow { opened: &self.opened, asked: &self.event.window })
    }

    /// The family of its action.
    pub fn category(&self) -> Category {
        self.event.action.definition().map_or(Category::Audit, |action| action.category)
    }

    /// The state that its request or session entered by it. None where the attempt failed.
    pub fn state(&self) -> Option<State> {
        self.event
            .action
            .definition()
            .filter(|action| self.took_place(action))
            .and_then(|action| action.state)
    }

    /// The status that its request entered by it, as Microsoft Entra's entitlement management words it. None where the attempt failed.
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

    /// The session's user as it is shown: `TBD` in rows about a whole session until it is granted.
    pub fn session_username(&self) -> Option<&str> {
        let session = self.event.session.as_ref()?;
        match (&session.username, self.state()) {
            (None, Some(State::Created | State::Approved | State::Denied))
                if session.scope == Scope::Session =>
            {
                Some(USERNAME_TBD)
            }
            (username, _) => username.as_deref(),
        }
    }
}

impl Serialize for Recorded {
    /// The event as every answer, export and stream gives it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Answered<'e> {
            #[serde(flatten)]
            event: &'e Event,
            #[serde(skip_serializing_if = "Option::is_none")]
            window: Option<AnsweredWindow<'e>>,
            label: String,
            category: Category,
            #[serde(skip_serializing_if = "Option::is_none")]
            state: Option<State>,
            #[serde(skip_serializing_if = "Option::is_none")]
            request_status: Option<&'static str>,
            message: String,
            recorded_at: Instant,
            recorded_by: &'e RecordedBy,
            digest: String,
        }
        let event = &self.event;
        // The one place where an answer shows what no source said.
        let shown = match (&event.session, self.session_username()) {
            (Some(session @ Session { username: None, .. }), Some(shown)) => {
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
            recorded_at: self.recorded_at,
            recorded_by: &self.recorded_by,
            digest: self.digest.to_string(),
        }
        .serialize(serializer)
    }
}
