//! Stores events in the trail, unless they exist.
//!
//! A PartiQL INSERT stores an item only if it does not exist, so no role of this service needs a
//! permission to overwrite. A call contains 25 statements and returns a result for each.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::batch_execute_statement::BatchExecuteStatementOutput,
    types::{AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest},
};
use futures::{StreamExt, stream};
use tokio::time::Instant as Deadline;

use crate::{
    TenantScope, described, event_item,
    item_size::{self, TooLarge},
    keys,
};
use shared_domain::{
    time::timestamp::Instant,
    trail::event::{Digest, Event, EventId, Recorded, RecordedBy},
};
use shared_platform::backoff::{Pauses, Unavailable};

/// DynamoDB's limit for one BatchExecuteStatement.
const STATEMENTS: usize = 25;
/// Concurrent calls for one request.
const CALLS: usize = 8;

/// The result for one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Insertion {
    /// The event is stored.
    Created(Recorded),
    /// The same event was stored before.
    Duplicate(Recorded),
    /// Another event has its id: the sent event and the stored one.
    Conflict(Box<Event>, Recorded),
    /// The event fits into no item; the text says why. A retry cannot succeed.
    TooLarge(String),
    /// The result is unknown: the event may or may not be stored. A retry is safe.
    Unavailable,
}

struct Pending {
    event: Event,
    digest: Digest,
    /// The times of unconfirmed attempts. A stored event with one of these times is ours: the
    /// attempt that seemed to fail succeeded.
    unacknowledged: Vec<Instant>,
}

enum Answer {
    Inserted(Instant),
    Exists,
    /// A retry cannot succeed: an error in our request, or a missing permission.
    Refused,
    /// The event fits into no item and was not sent.
    TooLarge(String),
    Retry,
}

impl TenantScope<'_> {
    /// Stores `events`, all of this tenant, and returns the result of each, in their order. If an
    /// id occurs twice, the first event is stored and the others are compared with it.
    pub async fn insert(&self, events: Vec<Event>, recorded_by: &RecordedBy) -> Vec<Insertion> {
        let mut first_of: HashMap<EventId, usize> = HashMap::with_capacity(events.len());
        let mut unique = Vec::with_capacity(events.len());
        // For each repeated id: its index, the index of the first event with the id, the event and
        // its digest.
        let mut repeated = Vec::new();
        for (place, event) in events.into_iter().enumerate() {
            let digest = event.digest();
            match first_of.get(&event.id) {
                Some(&first) => repeated.push((place, first, event, digest)),
                None => {
                    first_of.insert(event.id.clone(), unique.len());
                    unique.push(Pending { event, digest, unacknowledged: Vec::new() });
                }
            }
        }
        let mut insertions = self.insert_unique(unique, recorded_by).await;
        let judged: Vec<_> = repeated
            .into_iter()
            .map(|(place, first, event, digest)| {
                let insertion = match &insertions[first] {
                    Insertion::Unavailable => Insertion::Unavailable,
                    Insertion::TooLarge(why) => Insertion::TooLarge(why.clone()),
                    Insertion::Created(there)
                    | Insertion::Duplicate(there)
                    | Insertion::Conflict(_, there) => judged(event, digest, there.clone()),
                };
                (place, insertion)
            })
            .collect();
        // In the order of their indexes, so that each is inserted at its own.
        for (place, insertion) in judged {
            insertions.insert(place, insertion);
        }
        insertions
    }

    /// Stores one of the service's own events. Its id derives from its subject, so a retry stores
    /// it only once.
    ///
    /// # Errors
    /// The storage did not confirm it.
    pub async fn insert_own(&self, event: Event, by: &RecordedBy) -> Result<(), Unavailable> {
        match self.insert(vec![event], by).await.as_slice() {
            [Insertion::Created(_) | Insertion::Duplicate(_) | Insertion::Conflict(..)] => Ok(()),
            _ => Err(Unavailable("an event of the service's own was not confirmed".to_owned())),
        }
    }

    async fn insert_unique(
        &self,
        mut events: Vec<Pending>,
        recorded_by: &RecordedBy,
    ) -> Vec<Insertion> {
        // For each event, the time of the attempt that stored it.
        let mut stored: Vec<Option<Instant>> = vec![None; events.len()];
        let mut existing = Vec::new();
        let mut too_large: HashMap<usize, String> = HashMap::new();
        let mut open: Vec<usize> = (0..events.len()).collect();
        let mut pauses = Pauses::until(self.deadline);
        while !open.is_empty() {
            let calls: Vec<_> = open
                .chunks(STATEMENTS)
                .map(|chunk| self.attempt(&events, chunk, recorded_by))
                .collect();
            let attempts: Vec<_> = stream::iter(calls).buffered(CALLS).collect().await;
            let tried = std::mem::take(&mut open);
            for (chunk, (stamp, answers)) in tried.chunks(STATEMENTS).zip(attempts) {
                for (&index, answer) in chunk.iter().zip(answers) {
                    match answer {
                        Answer::Inserted(at) => stored[index] = Some(at),
                        Answer::Exists => existing.push(index),
                        Answer::Refused => {}
                        Answer::TooLarge(why) => {
                            too_large.insert(index, why);
                        }
                        Answer::Retry => {
                            events[index].unacknowledged.push(stamp);
                            open.push(index);
                        }
                    }
                }
            }
            if !open.is_empty() && !pauses.pause().await {
                break;
            }
        }
        let mut there = self.existing(&events, &existing).await;
        let insertion = |(index, Pending { event, digest, unacknowledged })| match stored[index] {
            Some(at) => Insertion::Created(self.recorded(event, digest, recorded_by, at)),
            None => match there.remove(&index) {
                Some(there) => {
                    let is_ours = unacknowledged.contains(&there.recorded_at)
                        && there.recorded_by == *recorded_by;
                    match judged(event, digest, there) {
                        Insertion::Duplicate(there) if is_ours => Insertion::Created(there),
                        judged => judged,
                    }
                }
                None => match too_large.remove(&index) {
                    Some(why) => Insertion::TooLarge(why),
                    None => Insertion::Unavailable,
                },
            },
        };
        events.into_iter().enumerate().map(insertion).collect()
    }

    /// One call for up to 25 events. Returns the time with which they were stamped, and a result
    /// for each.
    async fn attempt(
        &self,
        events: &[Pending],
        chunk: &[usize],
        recorded_by: &RecordedBy,
    ) -> (Instant, Vec<Answer>) {
        let at = match self.stamp(chunk.iter().map(|index| &events[*index].event)).await {
            Ok(at) => at,
            // Nothing was sent, so no stored event has this time.
            Err(_) => {
                return (self.database.clock.now(), chunk.iter().map(|_| Answer::Retry).collect());
            }
        };
        let statement = |&index: &usize| -> Result<BatchStatementRequest, TooLarge> {
            let Pending { event, digest, .. } = &events[index];
            let attributes =
                event_item::attributes_of(event, *digest, recorded_by, at, self.expiry(event));
            item_size::check(&attributes)?;
            let (statement, parameters) = statement(&self.database.events, attributes);
            let built = BatchStatementRequest::builder()
                .statement(statement)
                .set_parameters(Some(parameters))
                .build();
            // The builder only fails without a statement.
            #[allow(clippy::expect_used)]
            Ok(built.expect("a statement is given"))
        };
        let (mut statements, mut sent) =
            (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
        for built in chunk.iter().map(statement) {
            sent.push(built.map(|statement| statements.push(statement)));
        }
        let mut answers =
            if statements.is_empty() { Vec::new() } else { self.send(statements, at).await };
        // In the order of the events, including those that were not sent.
        let mut answers = answers.drain(..);
        let answer = |sent: Result<(), TooLarge>| match sent {
            Ok(()) => answers.next().unwrap_or(Answer::Retry),
            Err(why) => Answer::TooLarge(why.to_string()),
        };
        (at, sent.into_iter().map(answer).collect())
    }

    /// Sends statements stamped with `at` and returns a result for each.
    async fn send(&self, statements: Vec<BatchStatementRequest>, at: Instant) -> Vec<Answer> {
        let count = statements.len();
        let call =
            self.database.client.batch_execute_statement().set_statements(Some(statements)).send();
        // Calls wait for each other, so the deadline may pass before one starts. It then times out
        // at once.
        let until = self.deadline.min(Deadline::now() + self.database.attempt);
        let failure = match tokio::time::timeout_at(until, call).await {
            Ok(Ok(output)) => return answers(output, count, at),
            Ok(Err(error)) => described(&error),
            Err(_) => {
                format!("no response within {:?} or the request's time", self.database.attempt)
            }
        };
        tracing::warn!(%failure, "a batch of {count} events was not acknowledged: {failure}");
        (0..count).map(|_| Answer::Retry).collect()
    }

    /// The stored events with ids that exist already, by index. An event that is gone has just
    /// expired; the caller may send it again.
    async fn existing(&self, events: &[Pending], taken: &[usize]) -> HashMap<usize, Recorded> {
        let key_of =
            |&index: &usize| keys::event(&events[index].event.tenant, &events[index].event.id);
        match self.events_by_key(taken.iter().map(key_of).collect()).await {
            Ok(mut found) => taken
                .iter()
                .filter_map(|index| Some((*index, found.remove(&key_of(index))?)))
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "{} ids are taken, but what holds them could not be read: {error}", taken.len());
                HashMap::new()
            }
        }
    }
}

/// The statement that inserts an item into `table` if its key does not exist, and its parameters.
pub fn statement(
    table: &str,
    attributes: Vec<(&'static str, AttributeValue)>,
) -> (String, Vec<AttributeValue>) {
    let mut statement = format!("INSERT INTO \"{table}\" VALUE {{");
    for (index, (name, _)) in attributes.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        statement.push_str(comma);
        statement.push('\'');
        statement.push_str(name);
        statement.push_str("': ?");
    }
    statement.push('}');
    (statement, attributes.into_iter().map(|(_, value)| value).collect())
}

impl Insertion {
    /// The result for an event whose id exists already.
    pub fn judged(sent: Event, there: Recorded) -> Self {
        let digest = sent.digest();
        judged(sent, digest, there)
    }
}

/// The same facts are a duplicate, anything else is a conflict.
fn judged(sent: Event, digest: Digest, there: Recorded) -> Insertion {
    if digest == there.digest {
        Insertion::Duplicate(there)
    } else {
        Insertion::Conflict(Box::new(sent), there)
    }
}

/// One result per statement. A statement without a result, or with a transient error, is tried
/// again.
fn answers(output: BatchExecuteStatementOutput, statements: usize, at: Instant) -> Vec<Answer> {
    let mut responses = output.responses.unwrap_or_default().into_iter();
    (0..statements)
        .map(|_| match responses.next().map(|response| response.error) {
            Some(None) => Answer::Inserted(at),
            Some(Some(error)) if error.code == Some(BatchStatementErrorCodeEnum::DuplicateItem) => {
                Answer::Exists
            }
            Some(Some(error)) => {
                let (code, message) = (
                    error.code.as_ref().map_or("no code", |code| code.as_str()),
                    error.message.unwrap_or_default(),
                );
                match error.code {
                    Some(
                        BatchStatementErrorCodeEnum::AccessDenied
                        | BatchStatementErrorCodeEnum::ResourceNotFound
                        | BatchStatementErrorCodeEnum::ValidationError,
                    ) => {
                        tracing::error!(code, "an event can not be inserted: {code}: {message}");
                        Answer::Refused
                    }
                    _ => {
                        tracing::warn!(code, "an event was not inserted: {code}: {message}");
                        Answer::Retry
                    }
                }
            }
            None => Answer::Retry,
        })
        .collect()
}
