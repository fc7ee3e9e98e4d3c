//! Writes events and changes of the state in one transaction.
//!
//! PartiQL has no upsert. The caller therefore reads the state first and states what it expects: no
//! item ([`Change::Insert`]) or an item of that generation ([`Change::Update`],
//! [`Change::Delete`]). If that no longer holds, nothing is written and the caller reads again.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::execute_transaction::ExecuteTransactionError,
    types::{AttributeValue, ParameterizedStatement},
};
use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError, TenantScope,
    attributes::{number, text},
    described, event_item,
    event_item::Item,
    insert_events,
    item_size::{self, TooLarge},
    keys,
};
use shared_domain::{
    time::timestamp::Instant,
    trail::event::{Event, Opened, Recorded, RecordedBy},
};
use shared_platform::backoff::{Pauses, Unavailable};

/// The start of DynamoDB Local's message for DuplicateItem.
const DUPLICATE_KEY: &str = "Duplicate primary key";

pub type Attribute = (&'static str, AttributeValue);

/// A change of one item of the state table. An insertion contains the key among its attributes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Inserts an item that must not exist.
    Insert(Vec<Attribute>),
    /// Sets and removes attributes, on condition that `expected` holds.
    Update {
        /// pk and sk.
        key: [String; 2],
        set: Vec<Attribute>,
        remove: &'static [&'static str],
        /// The attribute that must have this value.
        expected: Attribute,
    },
    /// Deletes the item, on condition that `expected` holds.
    Delete {
        /// pk and sk.
        key: [String; 2],
        /// The attribute that must have this value.
        expected: Attribute,
    },
}

/// The result of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Commit {
    /// Everything was written; the first event as recorded.
    Done(Box<Recorded>),
    /// Nothing was written: the trail contains this other event with the id of one of the events.
    Taken(Box<Recorded>),
    /// Nothing was written: the state is not as expected.
    Stale,
}

impl Change {
    /// Makes an item what `set` says: a new one, or the one of which `expected` still holds. Of two requests that read the
    /// same, the second changes nothing.
    pub fn step(
        key: [String; 2],
        expected: Option<Attribute>,
        set: Vec<Attribute>,
        remove: &'static [&'static str],
    ) -> Self {
        match expected {
            Some(expected) => Self::Update { key, set, remove, expected },
            None => {
                let [pk, sk] = key.map(AttributeValue::S);
                Self::Insert([("pk", pk), ("sk", sk)].into_iter().chain(set).collect())
            }
        }
    }

    /// Checks the size of the resulting item.
    fn check(&self) -> Result<(), TooLarge> {
        match self {
            Self::Insert(attributes) => item_size::check(attributes),
            Self::Update { key: [pk, sk], set, .. } => {
                let key =
                    [("pk", AttributeValue::S(pk.clone())), ("sk", AttributeValue::S(sk.clone()))];
                item_size::check(key.iter().chain(set))
            }
            // A deletion adds nothing.
            Self::Delete { .. } => Ok(()),
        }
    }

    /// The PartiQL statement and its parameters.
    pub fn statement(self, table: &str) -> (String, Vec<AttributeValue>) {
        match self {
            Self::Insert(attributes) => insert_events::statement(table, attributes),
            Self::Update { key: [pk, sk], set, remove, expected: (name, value) } => {
                let mut statement = format!("UPDATE \"{table}\"");
                for (name, _) in &set {
                    statement.push_str(&format!(" SET \"{name}\" = ?"));
                }
                for name in remove {
                    statement.push_str(&format!(" REMOVE \"{name}\""));
                }
                statement.push_str(&format!(" WHERE pk = ? AND sk = ? AND \"{name}\" = ?"));
                let set = set.into_iter().map(|(_, value)| value);
                (statement, set.chain([text(pk), text(sk), value]).collect())
            }
            Self::Delete { key: [pk, sk], expected: (name, value) } => (
                format!("DELETE FROM \"{table}\" WHERE pk = ? AND sk = ? AND \"{name}\" = ?"),
                vec![text(pk), text(sk), value],
            ),
        }
    }
}

fn parameterized((statement, parameters): (String, Vec<AttributeValue>)) -> ParameterizedStatement {
    // The builder only fails without a statement.
    #[allow(clippy::expect_used)]
    ParameterizedStatement::builder()
        .statement(statement)
        .set_parameters(Some(parameters))
        .build()
        .expect("a statement is given")
}

impl TenantScope<'_> {
    /// Stores `events`, the first of which may open a window, and makes `changes`, all or nothing.
    /// If the first is history, the service's own events about it are not: they happen now.
    ///
    /// # Errors
    /// After an error, the transaction may or may not be done. It is safe to read the state and
    /// start again.
    pub async fn commit(
        &self,
        events: Vec<Event>,
        opened: Option<Opened>,
        by: &RecordedBy,
        changes: Vec<Change>,
    ) -> Result<Commit, ReadError> {
        let epoch = Instant::from_millis(0);
        let of_now = by.of_now();
        let mut records: Vec<_> = events
            .into_iter()
            .enumerate()
            .map(|(place, event)| {
                let digest = event.digest();
                self.recorded(event, digest, if place == 0 { by } else { &of_now }, epoch)
            })
            .collect();
        if let Some(first) = records.first_mut() {
            first.opened = opened;
        }
        for change in &changes {
            change.check()?;
        }
        for recorded in &records {
            item_size::check(&event_item::attributes(recorded))?;
        }
        let changes: Vec<_> = changes
            .into_iter()
            .map(|change| parameterized(change.statement(&self.database.state)))
            .collect();
        let mut unacknowledged = Vec::new();
        let mut pauses = Pauses::until(self.deadline);
        loop {
            let at = self.stamp(records.iter().map(|recorded| &recorded.event)).await?;
            records.iter_mut().for_each(|recorded| recorded.recorded_at = at);
            let insertion = |recorded| {
                parameterized(insert_events::statement(
                    &self.database.events,
                    event_item::attributes(recorded),
                ))
            };
            let statements = records.iter().map(insertion).chain(changes.iter().cloned()).collect();
            let call = self
                .database
                .client
                .execute_transaction()
                .set_transact_statements(Some(statements))
                .send();
            let until = self.deadline.min(Deadline::now() + self.database.attempt);
            let failure = match tokio::time::timeout_at(until, call).await {
                Ok(Ok(_)) => {
                    return Ok(records
                        .into_iter()
                        .next()
                        .map_or(Commit::Stale, |it| Commit::Done(Box::new(it))));
                }
                Ok(Err(error)) if is_unexpected(&error) => {
                    let keys: Vec<_> = records
                        .iter()
                        .map(|it| keys::event(&it.event.tenant, &it.event.id))
                        .collect();
                    let mut there = self.events_by_key(keys.clone()).await?;
                    for (recorded, key) in records.iter().zip(&keys) {
                        if let Some(there) = there.remove(key) {
                            // The attempt that seemed to fail succeeded.
                            let is_ours = there.digest == recorded.digest
                                && unacknowledged.contains(&there.recorded_at);
                            let there = Box::new(there);
                            return Ok(if is_ours {
                                Commit::Done(there)
                            } else {
                                Commit::Taken(there)
                            });
                        }
                    }
                    return Ok(Commit::Stale);
                }
                Ok(Err(error)) if is_final(&error) => {
                    let failure = described(&error);
                    tracing::error!(%failure, "a transaction can not be made: {failure}");
                    return Err(Unavailable(failure).into());
                }
                Ok(Err(error)) => described(&error),
                Err(_) => {
                    format!("no response within {:?} or the request's time", self.database.attempt)
                }
            };
            tracing::warn!(%failure, "a transaction was not acknowledged: {failure}");
            unacknowledged.push(at);
            if !pauses.pause().await {
                return Err(Unavailable(failure).into());
            }
        }
    }
}

impl Database {
    /// Makes changes of the state table, all or nothing. False if a condition does not hold.
    /// `is_repeated` is set if an attempt got no answer.
    pub async fn together(
        &self,
        mut changes: Vec<Change>,
        deadline: Deadline,
        is_repeated: &mut bool,
    ) -> Result<bool, Unavailable> {
        if changes.len() == 1 {
            return match changes.pop() {
                Some(change) => self.alone(change, deadline, is_repeated).await,
                None => Ok(true),
            };
        }
        let statements = changes
            .into_iter()
            .map(|change| parameterized(change.statement(&self.state)))
            .collect();
        let call = self.client.execute_transaction().set_transact_statements(Some(statements));
        let mut pauses = Pauses::until(deadline);
        loop {
            let until = deadline.min(Deadline::now() + self.attempt);
            let failure = match tokio::time::timeout_at(until, call.clone().send()).await {
                Ok(Ok(_)) => return Ok(true),
                Ok(Err(error)) if is_unexpected(&error) => return Ok(false),
                Ok(Err(error)) if is_final(&error) => {
                    let failure = described(&error);
                    tracing::error!(%failure, "the storage refuses changes: {failure}");
                    return Err(Unavailable(failure));
                }
                Ok(Err(error)) => described(&error),
                Err(_) => format!("no response within {:?} or the request's time", self.attempt),
            };
            tracing::warn!(%failure, "changes were not acknowledged: {failure}");
            *is_repeated = true;
            if !pauses.pause().await {
                return Err(Unavailable(failure));
            }
        }
    }

    /// Makes one change of the state table. False if its condition does not hold. `is_repeated` is
    /// set if an attempt got no answer.
    pub async fn alone(
        &self,
        change: Change,
        deadline: Deadline,
        is_repeated: &mut bool,
    ) -> Result<bool, Unavailable> {
        let (statement, parameters) = change.statement(&self.state);
        let call =
            self.client.execute_statement().statement(statement).set_parameters(Some(parameters));
        let mut pauses = Pauses::until(deadline);
        loop {
            let until = deadline.min(Deadline::now() + self.attempt);
            let failure = match tokio::time::timeout_at(until, call.clone().send()).await {
                Ok(Ok(_)) => return Ok(true),
                Ok(Err(error)) => {
                    let service = error.as_service_error();
                    let is_unexpected = service.is_some_and(|error| {
                        error.is_conditional_check_failed_exception()
                            || error.is_duplicate_item_exception()
                            // DynamoDB Local's form of DuplicateItem.
                            || error.message().is_some_and(|said| said.starts_with(DUPLICATE_KEY))
                    });
                    if is_unexpected {
                        return Ok(false);
                    }
                    if super::is_final(&error) {
                        let failure = described(&error);
                        tracing::error!(%failure, "the storage refuses a change: {failure}");
                        return Err(Unavailable(failure));
                    }
                    described(&error)
                }
                Err(_) => format!("no response within {:?} or the request's time", self.attempt),
            };
            tracing::warn!(%failure, "a change was not acknowledged: {failure}");
            *is_repeated = true;
            if !pauses.pause().await {
                return Err(Unavailable(failure));
            }
        }
    }
}

/// Whether the transaction failed because a condition did not hold.
fn is_unexpected(error: &SdkError<ExecuteTransactionError>) -> bool {
    let Some(ExecuteTransactionError::TransactionCanceledException(canceled)) =
        error.as_service_error()
    else {
        return false;
    };
    canceled.cancellation_reasons().iter().any(|reason| match reason.code() {
        Some("ConditionalCheckFailed" | "DuplicateItem") => true,
        // DynamoDB Local's form of DuplicateItem.
        Some("ValidationError") => {
            reason.message().is_some_and(|message| message.starts_with(DUPLICATE_KEY))
        }
        _ => false,
    })
}

/// Whether a retry cannot succeed: an error in our request, or a missing permission.
fn is_final(error: &SdkError<ExecuteTransactionError>) -> bool {
    if let Some(ExecuteTransactionError::TransactionCanceledException(canceled)) =
        error.as_service_error()
    {
        let mut codes = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        return codes
            .any(|code| matches!(code, "ValidationError" | "AccessDenied" | "ResourceNotFound"));
    }
    super::is_final(error)
}

/// Sets attributes of an item with a generation. `want` returns them for the current item.
pub async fn replace(
    database: &Database,
    pk: &str,
    sk: &str,
    deadline: Deadline,
    mut want: impl FnMut(Option<&Item>) -> Vec<Attribute>,
) -> Result<(), ReadError> {
    let mut pauses = Pauses::until(deadline);
    loop {
        let item = database.state_item(pk.to_owned(), sk, deadline).await?;
        let before: Option<u64> = item.as_ref().and_then(|item| item.number("generation"));
        let mut set = want(item.as_ref());
        set.push(("generation", number(before.unwrap_or(0) + 1)));
        let expected = before.map(|before| ("generation", number(before)));
        let change = Change::step([pk.to_owned(), sk.to_owned()], expected, set, &[]);
        if database.alone(change, deadline, &mut false).await? {
            return Ok(());
        }
        pauses.after_conflict(format!("{pk} {sk}")).await?;
    }
}
