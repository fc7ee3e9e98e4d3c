//! The outcome of each event, and the response to a single event or to a list.

use std::borrow::Cow;

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{
    domain::{
        json::strict_json::FieldError,
        trail::event::{Event, EventId, EventWindow, Recorded},
    },
    http::{
        description::Operation,
        output::Output,
        problem::Problem,
        request::{self, Request},
    },
    services::windows::Recording,
    storage::insert_events::Insertion,
};
use strum::IntoStaticStr;

use crate::entra::ImportResults;

/// The outcome of one event.
#[derive(Debug, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The event is stored now.
    Created(Box<Recorded>),
    /// The event was stored before.
    Duplicate(Box<Recorded>),
    /// Another event has this id. Holds the fields that differ.
    Conflict(EventId, Vec<FieldError>),
    /// The event is not valid.
    Invalid(Vec<FieldError>),
    /// The storage did not confirm the write. The client can safely send the event again.
    Unavailable(Option<EventId>),
}

impl Outcome {
    /// The outcome of an insertion. `is_same` decides whether two events with one id mean the same.
    pub fn of(insertion: Insertion, id: EventId, is_same: impl Fn(&Event, &Event) -> bool) -> Self {
        match insertion {
            Insertion::Created(recorded) => Self::Created(Box::new(recorded)),
            Insertion::Duplicate(recorded) => Self::Duplicate(Box::new(recorded)),
            Insertion::Conflict(sent, there) if is_same(&sent, &there.event) => {
                Self::Duplicate(Box::new(there))
            }
            Insertion::Conflict(sent, there) => {
                Self::Conflict(id, differences(&sent, &there.event))
            }
            Insertion::TooLarge(why) => Self::Invalid(vec![FieldError::new("", why)]),
            Insertion::Unavailable => Self::Unavailable(Some(id)),
        }
    }

    /// The outcome of an event that may open or end windows.
    pub fn of_recording(
        recording: Recording,
        id: EventId,
        is_same: impl Fn(&Event, &Event) -> bool,
    ) -> Self {
        match recording {
            Recording::Judged(insertion) => Self::of(*insertion, id, is_same),
            Recording::Refused(errors) => Self::Invalid(errors),
        }
    }

    /// The outcome of an event for which there is no result.
    pub fn lost() -> Self {
        Self::Unavailable(None)
    }

    fn word(&self) -> &'static str {
        self.into()
    }

    fn id(&self) -> Option<&EventId> {
        match self {
            Self::Created(recorded) | Self::Duplicate(recorded) => Some(&recorded.event.id),
            Self::Conflict(id, _) => Some(id),
            Self::Unavailable(id) => id.as_ref(),
            Self::Invalid(_) => None,
        }
    }

    fn window(&self) -> Option<EventWindow> {
        match self {
            Self::Created(recorded) | Self::Duplicate(recorded) => recorded.window(),
            Self::Conflict(..) | Self::Invalid(_) | Self::Unavailable(_) => None,
        }
    }

    pub fn errors(&self) -> &[FieldError] {
        match self {
            Self::Conflict(_, errors) | Self::Invalid(errors) => errors,
            Self::Created(_) | Self::Duplicate(_) | Self::Unavailable(_) => &[],
        }
    }
}

/// The fields in which two events with one id differ. Only JSON pointers, no values: the sender may
/// not be allowed to read the stored event.
fn differences(sent: &Event, stored: &Event) -> Vec<FieldError> {
    let facts = |event: &Event| serde_json::to_value(event.facts()).unwrap_or_default();
    let mut pointers = Vec::new();
    compare("", &facts(sent), &facts(stored), &mut pointers);
    pointers
        .into_iter()
        .map(|pointer| FieldError::new(pointer, "differs from the stored event with this id"))
        .collect()
}

fn compare(pointer: &str, a: &Value, b: &Value, pointers: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let only_b = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_b) {
                let (a, b) =
                    (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(
                    &shared::domain::json::strict_json::pointer_to(pointer, key),
                    a,
                    b,
                    pointers,
                );
            }
        }
        (a, b) if a != b => pointers.push(pointer.to_owned()),
        _ => {}
    }
}

/// The response to a request with a single event.
///
/// # Errors
/// 409, 422 or 503, depending on the outcome.
pub fn answer_one(outcomes: Vec<Outcome>) -> Result<EventsAnswer, Problem> {
    match outcomes.into_iter().next().unwrap_or(Outcome::lost()) {
        Outcome::Created(recorded) => Ok(EventsAnswer::Created(recorded)),
        Outcome::Duplicate(recorded) => Ok(EventsAnswer::Duplicate(recorded)),
        Outcome::Conflict(id, errors) => {
            let detail = format!(
                "another event has the id {id}; the trail keeps that one. A new event needs a new id"
            );
            Err(Problem::conflict(detail, errors))
        }
        Outcome::Invalid(errors) => {
            let places = if errors.len() == 1 {
                "1 place".to_owned()
            } else {
                format!("{} places", errors.len())
            };
            Err(Problem::invalid(
                format!("the event was not stored: it is wrong in {places}"),
                errors,
            ))
        }
        Outcome::Unavailable(_) => Err(Problem::unavailable(
            "the storage did not confirm the event; send it again with the same id or Idempotency-Key, it is then stored once",
        )),
    }
}

/// Most bytes that the errors of a list take in the response. Lambda sends at most 6 MB.
const MAX_ERROR_BYTES: usize = 3 * 1024 * 1024;

/// Counts the bytes of errors in a response. Errors beyond [`MAX_ERROR_BYTES`] are left out.
#[derive(Debug, Default)]
pub struct Space {
    taken: usize,
}

impl Space {
    /// The errors of one event, as many as there is space for.
    pub fn for_errors<'e>(&mut self, errors: &'e [FieldError]) -> Cow<'e, [FieldError]> {
        let size = |error: &FieldError| {
            40 + request::escaped_len(&error.pointer) + request::escaped_len(&error.detail)
        };
        self.taken += errors.iter().map(size).sum::<usize>();
        if errors.is_empty() || self.taken <= MAX_ERROR_BYTES {
            return Cow::Borrowed(errors);
        }
        let detail =
            "errors are left out, as the answer would be too long; send this one alone to see them";
        Cow::Owned(vec![FieldError::new("", detail)])
    }
}

/// What became of several events.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventResults {
    /// How many events were stored now.
    pub created: usize,
    /// How many were stored before.
    pub duplicate: usize,
    /// How many have the id of another event.
    pub conflict: usize,
    /// How many have errors, which their results list.
    pub invalid: usize,
    /// How many the storage did not confirm. Send them again.
    pub unavailable: usize,
    /// The outcome of each event, in the order of the request.
    pub results: Vec<EventResult>,
}

/// The outcome of one event.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventResult {
    /// The place of the event in the request, from 0.
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// `created`: stored now. `duplicate`: stored before. `conflict`: another event has the id.
    /// `invalid`: it has errors. `unavailable`: the storage did not confirm it; send it again.
    #[schemars(extend("enum" = ["created", "duplicate", "conflict", "invalid", "unavailable"]))]
    pub status: &'static str,
    /// The window that the event opened or asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<EventWindow>,
    /// True if the event may be sent again as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What is wrong with the event, or differs from the stored one with its id, by JSON Pointers
    /// into the event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The response to a list. Errors beyond the size limit are left out; outcomes never are.
pub fn answer_many(outcomes: Vec<Outcome>) -> EventResults {
    let count = |word| outcomes.iter().filter(|outcome| outcome.word() == word).count();
    let (created, duplicate, conflict) = (count("created"), count("duplicate"), count("conflict"));
    let (invalid, unavailable) = (count("invalid"), count("unavailable"));
    let mut space = Space::default();
    let result = |(index, outcome): (usize, &Outcome)| EventResult {
        index,
        id: outcome.id().cloned(),
        status: outcome.word(),
        window: outcome.window(),
        retryable: matches!(outcome, Outcome::Unavailable(_)).then_some(true),
        errors: space.for_errors(outcome.errors()).into_owned(),
    };
    let results = outcomes.iter().enumerate().map(result).collect();
    EventResults { created, duplicate, conflict, invalid, unavailable, results }
}

/// The answer to `POST /v1/events`.
#[derive(Debug)]
pub enum EventsAnswer {
    /// 201: one event, stored now.
    Created(Box<Recorded>),
    /// 200: one event, stored before.
    Duplicate(Box<Recorded>),
    /// 200: the outcomes of several events.
    Several(EventResults),
    /// 200: the outcomes of imported objects.
    Imported(ImportResults),
}

impl Output for EventsAnswer {
    fn respond(self, _: &Request) -> Response {
        match self {
            Self::Created(recorded) => request::json(201, &recorded),
            Self::Duplicate(recorded) => request::json(200, &recorded),
            Self::Several(results) => request::json(200, &results),
            Self::Imported(results) => request::json(200, &results),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<Recorded>(201, "The event is stored.");
        operation.answer::<EventsFound>(
            200,
            "One event that was stored before, or the outcome of each event or imported object.",
        );
    }
}

/// The answers with status 200.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum EventsFound {
    Several(EventResults),
    Imported(ImportResults),
    Duplicate(Box<Recorded>),
}
