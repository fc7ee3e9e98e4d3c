//! Draft: an event as a Graph object tells it, judged by the same rules as any that a caller sends.

use serde_json::{Map, Value, json};

use crate::{
    access::assignment::END_CAUSE,
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{
        event::{Event, EventId, Tenant},
        event_validation::{self, Intake, MAX_DETAILS_BYTES},
    },
};

use crate::entra::{activities::Removal, graph::Object};

/// An event that is still to be judged.
#[derive(Clone, Debug)]
pub struct Draft {
    id: EventId,
    members: Map<String, Value>,
    details: Map<String, Value>,
    /// Where in the Graph object a member of the event comes from.
    origins: Vec<(&'static str, String)>,
}

impl Draft {
    /// An event of that id and action, which occurred when the member `at` of the object says.
    ///
    /// # Errors
    /// The object does not say when.
    pub fn new(
        id: EventId,
        action: &str,
        object: &Object<'_>,
        at: &[&str],
    ) -> Result<Self, FieldError> {
        let occurred_at = object.required_text(at)?;
        let place = object.member(at).map_or_else(String::new, |(key, _)| object.place(key));
        let mut draft = Self {
            id,
            members: Map::new(),
            details: Map::new(),
            origins: vec![("occurred_at", place), ("request_id", object.place("id"))],
        };
        draft.set("action", Some(action.into()));
        draft.set("occurred_at", Some(occurred_at.into()));
        Ok(draft)
    }

    /// Gives it a member, where there is one to give.
    pub fn set(&mut self, member: &'static str, mut value: Option<Value>) {
        // A sentence shows somebody's name, else their id: a directory's id says nothing to a reader, its address does.
        if matches!(member, "subject" | "approver")
            && let Some(Value::Object(party)) = &mut value
            && !party.contains_key("name")
            && let Some(email) = party.get("email").cloned()
        {
            party.insert("name".to_owned(), email);
        }
        self.members.extend(value.map(|value| (member.to_owned(), value)));
    }

    /// Gives it a member that comes from a place in the object.
    pub fn set_from(&mut self, member: &'static str, value: Option<Value>, place: String) {
        self.set(member, value);
        self.origins.push((member, place));
    }

    /// Gives its details a member, where there is one to give.
    pub fn detail(&mut self, member: &str, value: Option<Value>) {
        self.details.extend(value.map(|value| (member.to_owned(), value)));
    }

    /// Says why access ended.
    pub fn end_cause(&mut self, removal: Removal) {
        self.detail(END_CAUSE, Some(json!(removal.end_cause())));
    }

    /// Keeps `graph` in the details, as far as they hold it: the largest members are left out first, and named.
    pub fn keep(&mut self, mut graph: Map<String, Value>) {
        let size = |value: &Value| value.to_string().len();
        let mut left_out: Vec<String> = Vec::new();
        loop {
            let mut details = self.details.clone();
            details.insert("graph".to_owned(), Value::Object(graph.clone()));
            if !left_out.is_empty() {
                details.insert("graph_left_out".to_owned(), json!(left_out));
            }
            if serde_json::to_string(&details).map_or(0, |json| json.len()) <= MAX_DETAILS_BYTES
                || graph.is_empty()
            {
                self.details = details;
                return;
            }
            let largest =
                graph.iter().max_by_key(|(_, value)| size(value)).map(|(key, _)| key.clone());
            if let Some(largest) = largest {
                graph.remove(&largest);
                // A name that is itself too long to be told would keep everything else out.
                left_out.push(crate::entra::graph::name(&largest));
            }
        }
    }

    /// The event, or everything that is wrong with it, each with its place in the Graph object.
    ///
    /// # Errors
    /// What no event may be.
    pub fn judged(mut self, intake: &Intake<'_>) -> Result<Event, Vec<FieldError>> {
        self.members.insert("details".to_owned(), Value::Object(self.details));
        let json = Value::Object(self.members).to_string();
        event_validation::read(&json, intake, || self.id).map_err(|errors| {
            errors
                .into_iter()
                .map(|FieldError { pointer, detail }| {
                    let member =
                        pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
                    match self.origins.iter().rev().find(|(known, _)| *known == member) {
                        Some((_, place)) => FieldError::new(place.clone(), detail),
                        None => FieldError::new("", format!("gives no event: {pointer} {detail}")),
                    }
                })
                .collect()
        })
    }
}

/// The id of an event about a Graph object: the same for the same object and step, whenever it is imported.
pub fn event_id(tenant: &Tenant, kind: &str, parts: &[&str]) -> EventId {
    let plain = format!("entra_{kind}_{}", parts.join("_"));
    let hash = EventId::hash_of(tenant, "entra", &plain);
    EventId::new(&plain).or_else(|| EventId::new(&format!("entra_{kind}_{hash}"))).unwrap_or(hash)
}

/// The window of an assignment: until its end as long as that is to come, else none, as history opens nothing.
pub fn window(starts_at: Option<Instant>, ends_at: Option<Instant>, now: Instant) -> Option<Value> {
    let ends_at = ends_at?;
    let is_to_come = now < ends_at && starts_at.is_none_or(|starts_at| starts_at < ends_at);
    // Farther ends are refused; access for as long is as good as without an end, which is not watched either.
    let is_in_sight = ends_at <= now.plus(std::time::Duration::from_secs(3650 * 86_400));
    Some(if is_to_come && is_in_sight { json!({"ends_at": ends_at}) } else { json!(false) })
}
