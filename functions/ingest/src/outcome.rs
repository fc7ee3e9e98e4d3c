//! The outcome of each event, and the response to a single event or to a list.

use std::borrow::Cow;

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    domain::{
        json::strict_json::FieldError,
        trail::event::{EventId, EventWindow, Recorded},
    },
    http::{
        description::Operation,
        output::Output,
        problem::Problem,
        request::{self, Request},
    },
    services::{
        entra_import::{Imported, Status},
        store_events::StoreOutcome,
    },
};

/// The response to a request with a single event.
///
/// # Errors
/// 409, 422 or 503, depending on the outcome.
pub fn answer_one(outcomes: Vec<StoreOutcome>) -> Result<EventsAnswer, Problem> {
    match outcomes.into_iter().next().unwrap_or(StoreOutcome::lost()) {
        StoreOutcome::Created(recorded) => Ok(EventsAnswer::Created(recorded)),
        StoreOutcome::Duplicate(recorded) => Ok(EventsAnswer::Duplicate(recorded)),
        StoreOutcome::Conflict(id, errors, key) => {
            let detail = match key {
                None => format!(
                    "another event already has the id {id}, and that event is kept. Send a new event with a new id"
                ),
                Some(key) => format!(
                    "another event was already sent with the Idempotency-Key {key:?}, and that event is kept, with the id {id}. Send a new event with a new key"
                ),
            };
            Err(Problem::conflict(detail, errors))
        }
        StoreOutcome::Invalid(errors) => {
            let places = if errors.len() == 1 {
                "1 place".to_owned()
            } else {
                format!("{} places", errors.len())
            };
            Err(Problem::invalid(
                format!("the event was not stored: it has errors in {places}"),
                errors,
            ))
        }
        StoreOutcome::Unavailable(_) => Err(Problem::unavailable(
            "the storage did not confirm the event; send it again with the same id or Idempotency-Key. It is then stored only once",
        )),
    }
}

/// Most bytes that the errors of a list take in the response. Lambda sends at most 6 MB.
const MAX_ERROR_BYTES: usize = 3 * 1024 * 1024;

/// Counts the bytes of errors in a response. Errors beyond [`MAX_ERROR_BYTES`] are left out.
#[derive(Debug, Default)]
struct Space {
    taken: usize,
}

impl Space {
    /// The errors of one event, as many as there is space for.
    fn for_errors<'e>(&mut self, errors: &'e [FieldError]) -> Cow<'e, [FieldError]> {
        let size = |error: &FieldError| {
            40 + request::escaped_len(&error.pointer) + request::escaped_len(&error.detail)
        };
        self.taken += errors.iter().map(size).sum::<usize>();
        if errors.is_empty() || self.taken <= MAX_ERROR_BYTES {
            return Cow::Borrowed(errors);
        }
        let detail = "more errors are not shown, because the response would be too long; send this event alone to see them";
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
    /// True if the event is recorded as history. With `history=true`, false if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<bool>,
    /// True if the event may be sent again as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What is wrong with the event, or differs from the stored one with its id, by JSON Pointers
    /// into the event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The response to a list. Errors beyond the size limit are left out; outcomes never are.
/// `is_history`: the request has `history=true`, so each result says whether its event is history.
pub fn answer_many(outcomes: Vec<StoreOutcome>, is_history: bool) -> EventResults {
    let count = |word| outcomes.iter().filter(|outcome| outcome.word() == word).count();
    let (created, duplicate, conflict) = (count("created"), count("duplicate"), count("conflict"));
    let (invalid, unavailable) = (count("invalid"), count("unavailable"));
    let mut space = Space::default();
    let result = |(index, outcome): (usize, &StoreOutcome)| EventResult {
        index,
        id: outcome.id().cloned(),
        status: outcome.word(),
        window: outcome.window(),
        history: outcome.is_history().filter(|is_so| is_history || *is_so),
        retryable: matches!(outcome, StoreOutcome::Unavailable(_)).then_some(true),
        errors: space.for_errors(outcome.errors()).into_owned(),
    };
    let results = outcomes.iter().enumerate().map(result).collect();
    EventResults { created, duplicate, conflict, invalid, unavailable, results }
}

/// What became of imported objects.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportResults {
    /// How many objects had something new, which is stored now.
    pub created: usize,
    /// How many were stored before.
    pub duplicate: usize,
    /// How many have nothing to store. Their results say why.
    pub ignored: usize,
    /// How many contradict what is stored.
    pub conflict: usize,
    /// How many have errors, or may not be imported.
    pub invalid: usize,
    /// How many the storage did not confirm. Send them again.
    pub unavailable: usize,
    /// The outcome of each object, in the order of the request.
    pub results: Vec<Imported>,
}

/// The response to an import. Errors beyond the size limit are left out; outcomes never are.
pub fn answer_import(mut imported: Vec<Imported>) -> ImportResults {
    let mut space = Space::default();
    for entry in &mut imported {
        entry.retryable = (entry.status == Status::Unavailable).then_some(true);
        entry.errors = space.for_errors(&entry.errors).into_owned();
    }
    let count = |status| imported.iter().filter(|entry| entry.status == status).count();
    let (created, duplicate, conflict) =
        (count(Status::Created), count(Status::Duplicate), count(Status::Conflict));
    let (ignored, invalid, unavailable) =
        (count(Status::Ignored), count(Status::Invalid), count(Status::Unavailable));
    ImportResults { created, duplicate, ignored, conflict, invalid, unavailable, results: imported }
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
