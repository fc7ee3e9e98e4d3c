//! Conversion of an event to the attributes of an item, and back.
//!
//! Only facts are stored; label, sentence, category and state are derived on reading. Tenant, id
//! and both times are only in the keys, and default values are left out, so that a typical event
//! stays within 1,024 bytes: attribute names count, and each started kilobyte is paid again in each
//! full copy.

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use serde_json::Value;

use crate::keys::{self, Lane, PERSON, Part, THING};
use shared_domain::{
    time::timestamp::Instant,
    trail::{
        event::{
            Actor, AskedWindow, Digest, Event, Opened, Origin, Outcome, Party, Policy, Recorded,
            RecordedBy, Session, Ticket,
        },
        position::Position,
    },
};

/// An item's attributes. A list is faster than a map here: an item has some thirty attributes, and
/// each is read once and removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item(Vec<(String, AttributeValue)>);

impl Item {
    /// Removes and returns an attribute.
    pub fn remove(&mut self, name: &str) -> Option<AttributeValue> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(place).1)
    }

    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The attributes as a key for a DynamoDB call.
    pub fn into_key(self) -> HashMap<String, AttributeValue> {
        self.0.into_iter().collect()
    }
}

impl From<Vec<(String, AttributeValue)>> for Item {
    fn from(attributes: Vec<(String, AttributeValue)>) -> Self {
        Self(attributes)
    }
}

impl From<HashMap<String, AttributeValue>> for Item {
    fn from(attributes: HashMap<String, AttributeValue>) -> Self {
        Self(attributes.into_iter().collect())
    }
}

/// An item that does not have the format of this service.
#[derive(Debug, thiserror::Error)]
#[error("the item {key} cannot be read: {why}")]
pub struct Damaged {
    key: String,
    why: String,
}

impl Damaged {
    pub fn new(key: &str, attribute: &'static str) -> Self {
        Self::because(key, format_args!("attribute {attribute} is missing or wrong"))
    }

    /// The item with that key.
    pub fn because(key: &str, why: impl ToString) -> Self {
        Self { key: key.to_owned(), why: why.to_string() }
    }
}

/// The names of the four attributes of a party.
struct PartyNames {
    kind: &'static str,
    id: &'static str,
    name: &'static str,
    email: &'static str,
}

macro_rules! party_names {
    ($field:literal) => {
        PartyNames {
            kind: concat!($field, "_type"),
            id: concat!($field, "_id"),
            name: concat!($field, "_name"),
            email: concat!($field, "_email"),
        }
    };
}

const ACTOR: PartyNames = party_names!("actor");
const SUBJECT: PartyNames = party_names!("subject");
const ACCOUNT: PartyNames = party_names!("account");
const TARGET: PartyNames = party_names!("target");
const APPROVER: PartyNames = party_names!("approver");

/// The attributes of an event in a fixed order.
pub fn attributes(recorded: &Recorded) -> Vec<(&'static str, AttributeValue)> {
    let Recorded { event, recorded_at, recorded_by, digest, opened, expires_at } = recorded;
    let mut attributes = attributes_of(event, *digest, recorded_by, *recorded_at, *expires_at);
    if let Some(Opened { id, starts_at, ends_at }) = opened {
        let mut out = Attributes(attributes);
        out.maybe("opened_id", id.clone());
        out.text("opened_from", starts_at.to_string());
        out.text("opened_until", ends_at.to_string());
        attributes = out.0;
    }
    attributes
}

/// Like [`attributes`] for an event that is not stored yet.
pub fn attributes_of(
    event: &Event,
    digest: Digest,
    recorded_by: &RecordedBy,
    recorded_at: Instant,
    expires_at: Instant,
) -> Vec<(&'static str, AttributeValue)> {
    let Event { tenant, id, occurred_at, actor, session, .. } = event;
    let mut out = Attributes(Vec::with_capacity(32));
    out.text("pk", keys::event(tenant, id));
    let lane = Lane::of(event);
    let in_lane = |partition: String| keys::in_lane(&partition, lane);
    out.text("day", in_lane(keys::day(tenant, occurred_at.day_number())));
    out.text("at", Position { at: *occurred_at, id: id.clone() }.to_string());
    out.text("recorded_day", in_lane(keys::day(tenant, recorded_at.day_number())));
    out.text("recorded", Position { at: recorded_at, id: id.clone() }.to_string());
    let actor_key = keys::first_of(tenant, PERSON, &actor.id, &actor.name, &actor.email);
    out.maybe("actor_key", actor_key.map(in_lane));
    for (key, order, party) in [
        ("subject_key", PERSON, &event.subject),
        ("account_key", THING, &event.account),
        ("target_key", THING, &event.target),
    ] {
        let party_key = party
            .as_ref()
            .and_then(|party| keys::first_of(tenant, order, &party.id, &party.name, &party.email));
        out.maybe(key, party_key.map(in_lane));
    }
    let session_key = match session {
        Some(session) => Some(keys::involved(tenant, Part::Id, &session.id)),
        None => event.request().map(|id| keys::request(tenant, &id)),
    };
    out.maybe("session_key", session_key.map(in_lane));

    out.text("action", event.action.as_str());
    out.text(ACTOR.kind, <&str>::from(actor.kind));
    out.maybe(ACTOR.id, actor.id.clone());
    out.maybe(ACTOR.name, actor.name.clone());
    out.maybe(ACTOR.email, actor.email.clone());
    for (names, party) in [
        (SUBJECT, &event.subject),
        (ACCOUNT, &event.account),
        (TARGET, &event.target),
        (APPROVER, &event.approver),
    ] {
        out.party(&names, party.as_ref());
    }
    if let Some(session) = session {
        out.text("session_id", session.id.clone());
        out.text("session_scope", <&str>::from(session.scope));
        out.texts("session_roles", &session.roles);
        out.maybe("session_username", session.username.clone());
        out.maybe("session_starts", session.starts_at.map(|at| at.to_string()));
        out.maybe("session_ends", session.ends_at.map(|at| at.to_string()));
        out.number("session_approvals", session.approvals_needed.map(i64::from));
    }
    out.maybe("request_id", event.request_id.clone());
    out.maybe("justification", event.justification.clone());
    out.maybe("reason", event.reason.clone());
    if let Some(ticket) = &event.ticket {
        out.text("ticket_id", ticket.id.clone());
        out.maybe("ticket_url", ticket.url.clone());
        out.maybe("ticket_system", ticket.system.clone());
    }
    if let Some(policy) = &event.policy {
        out.text("policy_id", policy.id.clone());
        out.text("policy_version", policy.version.clone());
    }
    out.texts("roles", &event.roles);
    if event.outcome == Outcome::Failure {
        out.0.push(("failed", AttributeValue::Bool(true)));
    }
    match &event.window {
        None => {}
        Some(AskedWindow::None) => out.0.push(("window", AttributeValue::Bool(false))),
        Some(AskedWindow::Duration(duration)) => out.text("window_for", duration.clone()),
        Some(AskedWindow::Until(at)) => out.text("window_until", at.to_string()),
    }
    if let Some(source) = &event.source {
        // Stored even if it is empty, because the sender sent it.
        out.0.push(("source", AttributeValue::Bool(true)));
        out.maybe("source_ip", source.ip.clone());
        out.maybe("source_agent", source.user_agent.clone());
        out.maybe("source_client", source.client.clone());
    }
    out.maybe("source_category", event.source_category.clone());
    out.maybe("source_activity", event.source_activity.clone());
    out.maybe(
        "details",
        event.details.as_ref().map(|details| Value::Object(details.clone()).to_string()),
    );

    out.text("by_sub", recorded_by.sub.clone());
    out.maybe("by_client", recorded_by.client_id.clone());
    if recorded_by.history {
        out.0.push(("history", AttributeValue::Bool(true)));
    }
    out.0.push(("digest", AttributeValue::B(Blob::new(digest.0))));
    out.number("ttl", Some(expires_at.seconds()));
    out.0
}

struct Attributes(Vec<(&'static str, AttributeValue)>);

impl Attributes {
    fn text(&mut self, name: &'static str, text: impl Into<String>) {
        self.0.push((name, AttributeValue::S(text.into())));
    }

    fn maybe(&mut self, name: &'static str, text: Option<String>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &'static str, number: Option<i64>) {
        if let Some(number) = number {
            self.0.push((name, AttributeValue::N(number.to_string())));
        }
    }

    fn texts(&mut self, name: &'static str, texts: &[String]) {
        if !texts.is_empty() {
            self.0.push((
                name,
                AttributeValue::L(texts.iter().cloned().map(AttributeValue::S).collect()),
            ));
        }
    }

    fn party(&mut self, names: &PartyNames, party: Option<&Party>) {
        if let Some(party) = party {
            self.maybe(names.kind, party.kind.clone());
            self.maybe(names.id, party.id.clone());
            self.maybe(names.name, party.name.clone());
            self.maybe(names.email, party.email.clone());
        }
    }
}

/// The event's key in a row of an index.
pub fn key_of(row: &mut Item) -> Option<String> {
    match row.remove("pk") {
        Some(AttributeValue::S(key)) => Some(key),
        _ => None,
    }
}

/// The event in the image of a DynamoDB stream record.
pub fn of_image(image: &Value) -> Result<Recorded, Damaged> {
    let item: Item =
        serde_json::from_str(&image.to_string()).map_err(|_| Damaged::new("", "NewImage"))?;
    read(item)
}

/// The event in an item.
///
/// # Errors
/// An attribute is missing or wrong. The trail is append-only, so another program wrote to the
/// table.
pub fn read(item: Item) -> Result<Recorded, Damaged> {
    let key = match item.get("pk") {
        Some(AttributeValue::S(key)) => key.clone(),
        _ => String::new(),
    };
    let mut reader = Reader { item, damaged: None };
    let recorded = read_attributes(&mut reader, &key);
    match (recorded, reader.damaged) {
        (Some(recorded), None) => Ok(recorded),
        (_, attribute) => Err(Damaged::new(&key, attribute.unwrap_or("pk"))),
    }
}

fn read_attributes(item: &mut Reader, key: &str) -> Option<Recorded> {
    let (tenant, id) = item.sound("pk", keys::read_event(key))?;
    let at: Position = item.required("at")?;
    let recorded: Position = item.required("recorded")?;
    let kind = item.required(ACTOR.kind)?;
    let actor = Actor {
        kind,
        id: item.text(ACTOR.id),
        name: item.text(ACTOR.name),
        email: item.text(ACTOR.email),
    };
    let session = match item.text("session_id") {
        None => None,
        Some(id) => {
            let scope = item.required("session_scope")?;
            Some(Session {
                id,
                scope,
                roles: item.texts("session_roles"),
                username: item.text("session_username"),
                starts_at: item.parsed("session_starts"),
                ends_at: item.parsed("session_ends"),
                approvals_needed: item
                    .number("session_approvals")
                    .and_then(|count| u32::try_from(count).ok()),
            })
        }
    };
    let ticket = item.text("ticket_id").map(|id| Ticket {
        id,
        url: item.text("ticket_url"),
        system: item.text("ticket_system"),
    });
    let policy = match item.text("policy_id") {
        None => None,
        Some(id) => Some(Policy { id, version: item.required("policy_version")? }),
    };
    let window = match (item.flag("window"), item.text("window_for"), item.parsed("window_until")) {
        (_, Some(duration), _) => Some(AskedWindow::Duration(duration)),
        (_, _, Some(at)) => Some(AskedWindow::Until(at)),
        (Some(_), None, None) => Some(AskedWindow::None),
        (None, None, None) => None,
    };
    let source = item.flag("source").map(|_| Origin {
        ip: item.text("source_ip"),
        user_agent: item.text("source_agent"),
        client: item.text("source_client"),
    });
    let details = match item.text("details") {
        None => None,
        Some(json) => Some(item.sound("details", serde_json::from_str(&json).ok())?),
    };
    let event = Event {
        id,
        tenant,
        action: item.required("action")?,
        occurred_at: at.at,
        actor,
        subject: item.party(&SUBJECT),
        account: item.party(&ACCOUNT),
        target: item.party(&TARGET),
        session,
        request_id: item.text("request_id"),
        justification: item.text("justification"),
        reason: item.text("reason"),
        ticket,
        approver: item.party(&APPROVER),
        policy,
        roles: item.texts("roles"),
        outcome: if item.flag("failed").is_some() { Outcome::Failure } else { Outcome::Success },
        window,
        source,
        source_category: item.text("source_category"),
        source_activity: item.text("source_activity"),
        details,
    };
    let digest = match item.item.remove("digest") {
        Some(AttributeValue::B(blob)) => <[u8; 32]>::try_from(blob.into_inner()).ok(),
        _ => None,
    };
    let (id, from) = (item.text("opened_id"), item.parsed("opened_from"));
    let opened = match (&id, from) {
        (None, None) => None,
        (_, from) => Some(Opened {
            id,
            starts_at: item.sound("opened_from", from)?,
            ends_at: item.required("opened_until")?,
        }),
    };
    let ttl = item.number("ttl");
    Some(Recorded {
        event,
        recorded_at: recorded.at,
        recorded_by: RecordedBy {
            sub: item.required("by_sub")?,
            client_id: item.text("by_client"),
            history: item.flag("history").is_some(),
        },
        digest: Digest(item.sound("digest", digest)?),
        opened,
        expires_at: Instant::from_millis(item.sound("ttl", ttl)?.saturating_mul(1000)),
    })
}

struct Reader {
    item: Item,
    damaged: Option<&'static str>,
}

impl Reader {
    /// Records the attribute as damaged if there is no value.
    fn sound<T>(&mut self, name: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.damaged.get_or_insert(name);
        }
        value
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        match self.item.remove(name)? {
            AttributeValue::S(text) => Some(text),
            _ => self.sound(name, None),
        }
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        self.sound(name, text.parse().ok())
    }

    fn required<T: std::str::FromStr>(&mut self, name: &'static str) -> Option<T> {
        let value = self.parsed(name);
        self.sound(name, value)
    }

    fn number(&mut self, name: &'static str) -> Option<i64> {
        match self.item.remove(name)? {
            AttributeValue::N(number) => self.sound(name, number.parse().ok()),
            _ => self.sound(name, None),
        }
    }

    fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.item.remove(name)? {
            AttributeValue::Bool(flag) => Some(flag),
            _ => self.sound(name, None),
        }
    }

    fn texts(&mut self, name: &'static str) -> Vec<String> {
        match self.item.remove(name) {
            None => Vec::new(),
            Some(AttributeValue::L(list)) => {
                let texts: Option<Vec<_>> =
                    list.into_iter().map(|value| value.as_s().ok().cloned()).collect();
                self.sound(name, texts).unwrap_or_default()
            }
            Some(_) => self.sound(name, None).unwrap_or_default(),
        }
    }

    fn party(&mut self, names: &PartyNames) -> Option<Party> {
        let party = Party {
            kind: self.text(names.kind),
            id: self.text(names.id),
            name: self.text(names.name),
            email: self.text(names.email),
        };
        (party != Party::default()).then_some(party)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod pinned;
