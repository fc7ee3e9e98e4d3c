//! A batch of events for a target, and the messages and files that hold it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    time::timestamp::Instant,
    trail::{event::Tenant, position::FeedPlace},
};

/// The most that one batch may contain. A single event always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub events: usize,
    /// The sum of the lengths of all events.
    pub bytes: usize,
}

/// An event to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: Instant,
    /// The feed's position after this event.
    pub place: FeedPlace,
    pub json: String,
}

/// Events for a target, in the order of the feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The events that match the stream's filter.
    pub events: Vec<Sent>,
    pub bytes: usize,
    /// The feed's position after the last event that was read, whether it matched or not.
    pub place: Option<FeedPlace>,
}

impl Batch {
    /// Whether an event of that length fits.
    pub fn has_room(&self, length: usize, limits: Limits) -> bool {
        self.events.is_empty()
            || (self.events.len() < limits.events && self.bytes + length <= limits.bytes)
    }

    pub fn push(&mut self, event: Sent) {
        self.bytes += event.json.len();
        self.place = Some(event.place.clone());
        self.events.push(event);
    }

    pub fn body(&self, tenant: &Tenant, stream: &str) -> String {
        let mut body = String::with_capacity(self.bytes + self.events.len() + 200);
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "{{\"stream\":{},\"tenant\":\"{tenant}\",\"events\":[",
            Value::from(stream)
        );
        for (place, event) in self.events.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            body.push_str(&event.json);
        }
        body.push_str("]}");
        body
    }

    /// The content of a file, one event a line.
    pub fn lines(&self) -> String {
        let mut lines = String::with_capacity(self.bytes + self.events.len());
        for event in &self.events {
            lines.push_str(&event.json);
            lines.push('\n');
        }
        lines
    }
}

/// The body of a test message.
pub fn test_body(tenant: &Tenant, stream: &str, asked_by: &str) -> Value {
    json!({
        "stream": stream, "tenant": tenant, "events": [], "test": true,
        "message": format!("Test message of Jit Audit, requested by {asked_by}. No action is needed."),
    })
}

/// The id of a message. A retry with the same content has the same id.
pub fn message_id(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex = digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("msg_{hex}")
}

/// The key of a file: tenant, stream, UTC day of recording, time of the first event, and a hash of
/// the content, so that no file overwrites another. A stream's id that is long or has other
/// characters than letters, digits, `_` and `-` is replaced by its hash.
pub fn file_key(tenant: &Tenant, stream: &str, batch: &Batch) -> Option<String> {
    let at = batch.events.first()?.at.to_string();
    let moment = at.replace([':', '-', '.'], "");
    let hash = message_id(batch.lines().as_bytes());
    Some(format!(
        "{}/day={}/{moment}-{}.jsonl.gz",
        folder(tenant, stream),
        at.get(..10)?,
        hash.get(4..20)?
    ))
}

/// The prefix of a stream's files.
pub fn folder(tenant: &Tenant, stream: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let name = match stream.len() <= 40 && stream.bytes().all(is_plain) {
        true => stream.to_owned(),
        false => message_id(stream.as_bytes()),
    };
    format!("tenant={tenant}/stream={name}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::trail::{event::EventId, position::Position};

    fn at(seconds: i64) -> Instant {
        Instant::from_millis(1_795_307_167_000 + seconds * 1000)
    }

    fn sent(seconds: i64, json: &str) -> Sent {
        let position = Position { at: at(seconds), id: EventId::new("e").unwrap() };
        Sent { at: at(seconds), place: position.into(), json: json.to_owned() }
    }

    #[test]
    fn a_file_is_named_by_what_it_holds() {
        let tenant = Tenant::new("acme").unwrap();
        let mut batch = Batch::default();
        assert_eq!(file_key(&tenant, "lake", &batch), None);
        batch.push(sent(0, "{}"));
        let key = file_key(&tenant, "lake", &batch).unwrap();
        assert!(
            key.starts_with("tenant=acme/stream=lake/day=2026-11-22/20261122T002607000Z-"),
            "{key}"
        );
        assert!(key.ends_with(".jsonl.gz"));
        batch.push(sent(1, "{}"));
        assert_ne!(file_key(&tenant, "lake", &batch).unwrap(), key);
        assert_eq!(
            batch.body(&tenant, "a\"b"),
            r#"{"stream":"a\"b","tenant":"acme","events":[{},{}]}"#
        );
        let strange = folder(&tenant, "../x y");
        assert!(strange.starts_with("tenant=acme/stream=msg_"), "{strange}");
    }

    #[test]
    fn one_event_always_fits() {
        let limits = Limits { events: 2, bytes: 10 };
        let mut batch = Batch::default();
        assert!(batch.has_room(99, limits));
        batch.push(sent(0, "12345678"));
        assert!(batch.has_room(2, limits) && !batch.has_room(3, limits));
        batch.push(sent(1, "1"));
        assert!(!batch.has_room(1, limits));
    }
}
