//! An event built from a Graph object. It is validated by the same rules as an event in a request.

use serde_json::{Map, Value, json};

use crate::{
    access::assignment::END_CAUSE,
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{
        actions::Action,
        event::{Event, EventId, Tenant},
        event_validation::{self, Intake, MAX_DETAILS_BYTES},
    },
};

use crate::entra::{
    activities::Removal,
    graph::{Object, long_text, name},
};

/// An event that is not validated yet.
#[derive(Clone, Debug)]
pub struct Draft {
    id: EventId,
    members: Map<String, Value>,
    details: Map<String, Value>,
    /// The category and the activity of the record, as its source names them.
    source: (Option<String>, Option<String>),
    /// For members of the event, the place in the Graph object that they come from.
    origins: Vec<(&'static str, String)>,
}

impl Draft {
    /// An event with that id and action. The member `at` of the object says when it occurred.
    ///
    /// # Errors
    /// The object has no such time.
    pub fn new(
        id: EventId,
        action: impl Into<Action>,
        object: &Object<'_>,
        at: &[&str],
    ) -> Result<Self, FieldError> {
        let occurred_at = object.required_text(at)?;
        let place = object.member(at).map_or_else(String::new, |(key, _)| object.place(key));
        let mut draft = Self {
            id,
            members: Map::new(),
            details: Map::new(),
            source: (None, None),
            origins: vec![("occurred_at", place), ("request_id", object.place("id"))],
        };
        draft.set("action", Some(action.into().as_str().into()));
        draft.set("occurred_at", Some(occurred_at.into()));
        Ok(draft)
    }

    /// Sets a member of the event, unless `value` is none.
    pub fn set(&mut self, member: &'static str, mut value: Option<Value>) {
        // Sentences show a person's name, otherwise the id. Ids of the directory are unreadable, so
        // an address is preferred.
        if matches!(member, "subject" | "approver")
            && let Some(Value::Object(party)) = &mut value
            && !party.contains_key("name")
            && let Some(email) = party.get("email").cloned()
        {
            party.insert("name".to_owned(), email);
        }
        self.members.extend(value.map(|value| (member.to_owned(), value)));
    }

    /// Like [`Self::set`], and records the place in the object, for errors.
    pub fn set_from(&mut self, member: &'static str, value: Option<Value>, place: String) {
        self.set(member, value);
        self.origins.push((member, place));
    }

    /// Records how the source of a record names its category and its activity.
    pub fn source_names(&mut self, category: Option<&str>, activity: &str) {
        self.source = (category.map(name), Some(long_text(activity)));
    }

    /// Says that what was attempted failed, or was done in part only. Such an event opens no window.
    pub fn failed(&mut self, reason: &str, place: String) {
        self.set("outcome", Some("failure".into()));
        self.set_from("reason", Some(long_text(reason).into()), place);
    }

    /// Sets a member of the details, unless `value` is none.
    pub fn detail(&mut self, member: &str, value: Option<Value>) {
        self.details.extend(value.map(|value| (member.to_owned(), value)));
    }

    /// Says why access ended.
    pub fn end_cause(&mut self, removal: Removal) {
        self.detail(END_CAUSE, Some(json!(removal.end_cause())));
    }

    /// Stores the Graph object in the details. If it is too large, the largest members are left out
    /// and their names listed.
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
                // Shortened, since a very long name would leave no room for other members.
                left_out.push(name(&largest));
            }
        }
    }

    /// Whether it occurred before the retention begins.
    pub fn is_past_retention(&self, intake: &Intake<'_>) -> bool {
        let occurred_at = self.members.get("occurred_at").and_then(Value::as_str);
        let occurred_at = occurred_at.and_then(|text| text.parse::<Instant>().ok());
        occurred_at.is_some_and(|at| at < intake.now.minus(intake.retention))
    }

    /// Validates the event.
    ///
    /// # Errors
    /// All errors found, each with its place in the Graph object.
    pub fn judged(mut self, intake: &Intake<'_>) -> Result<Event, Vec<FieldError>> {
        self.members.insert("details".to_owned(), Value::Object(self.details));
        let json = Value::Object(self.members).to_string();
        let (source_category, source_activity) = self.source;
        let read = event_validation::read(&json, intake, || self.id);
        read.map(|event| Event { source_category, source_activity, ..event }).map_err(|errors| {
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

/// The id of an event about a Graph object. It depends on the object and the step only, so a
/// repeated import yields the same id.
pub fn event_id(tenant: &Tenant, kind: &str, parts: &[&str]) -> EventId {
    let plain = format!("entra_{kind}_{}", parts.join("_"));
    let hash = EventId::hash_of(tenant, "entra", &plain);
    EventId::new(&plain).or_else(|| EventId::new(&format!("entra_{kind}_{hash}"))).unwrap_or(hash)
}

/// The window of an assignment: until its end if that is in the future. None for past assignments,
/// because importing history must not open windows.
pub fn window(starts_at: Option<Instant>, ends_at: Option<Instant>, now: Instant) -> Option<Value> {
    let ends_at = ends_at?;
    let is_to_come = now < ends_at && starts_at.is_none_or(|starts_at| starts_at < ends_at);
    // Validation refuses ends that are further away. Access for so long is treated like access
    // without an end, which has no window either.
    let is_in_sight = ends_at <= now.plus(std::time::Duration::from_secs(3650 * 86_400));
    Some(if is_to_come && is_in_sight { json!({"ends_at": ends_at}) } else { json!(false) })
}
