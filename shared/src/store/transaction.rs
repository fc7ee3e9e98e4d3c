//! An event and what it changes, together or not at all.
//!
//! PartiQL has no upsert, so whoever changes state reads it first and says what it then expects to find: no item at all
//! ([`Change::Insert`]), or an item of that generation ([`Change::Update`], [`Change::Delete`]). Where that is not so any more,
//! nothing is done and the caller reads again.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::execute_transaction::ExecuteTransactionError,
    types::{AttributeValue, ParameterizedStatement},
};
use tokio::time::Instant as Deadline;

use crate::{
    event::{Event, Recorded, RecordedBy},
    instant::Instant,
    store::{Pauses, ReadError, Trail, Unavailable, described, insert, item, keys},
};

/// One attribute with its value.
pub(super) type Attribute = (&'static str, AttributeValue);

/// What is done to one item of the state table. Its key is among the attributes of an insertion.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// There is none; then there is this.
    Insert(Vec<Attribute>),
    /// `expected` holds of it; then these attributes are set.
    Update {
        /// pk and sk.
        key: [String; 2],
        /// Attributes to set.
        set: Vec<Attribute>,
        /// What has to stand there.
        expected: Attribute,
    },
    /// `expected` holds of it; then it is gone.
    Delete {
        /// pk and sk.
        key: [String; 2],
        /// What has to stand there.
        expected: Attribute,
    },
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Commit {
    /// All of it was done.
    Done(Recorded),
    /// Nothing was done: the trail holds another event with the id, this one.
    Taken(Recorded),
    /// Nothing was done: the state is not as expected any more.
    Stale,
}

impl Change {
    fn statement(self, table: &str) -> ParameterizedStatement {
        let text = |text: String| AttributeValue::S(text);
        let (statement, parameters) = match self {
            Self::Insert(attributes) => insert::statement(table, attributes),
            Self::Update { key: [pk, sk], set, expected: (name, value) } => {
                let mut statement = format!("UPDATE \"{table}\"");
                for (name, _) in &set {
                    statement.push_str(&format!(" SET \"{name}\" = ?"));
                }
                statement.push_str(&format!(" WHERE pk = ? AND sk = ? AND \"{name}\" = ?"));
                let set = set.into_iter().map(|(_, value)| value);
                (statement, set.chain([text(pk), text(sk), value]).collect())
            }
            Self::Delete { key: [pk, sk], expected: (name, value) } => (
                format!("DELETE FROM \"{table}\" WHERE pk = ? AND sk = ? AND \"{name}\" = ?"),
                vec![text(pk), text(sk), value],
            ),
        };
        parameterized(statement, parameters)
    }
}

fn parameterized(statement: String, parameters: Vec<AttributeValue>) -> ParameterizedStatement {
    // The builder refuses a request without a statement, and there is one.
    #[allow(clippy::expect_used)]
    ParameterizedStatement::builder()
        .statement(statement)
        .set_parameters(Some(parameters))
        .build()
        .expect("a statement is given")
}

impl Trail<'_> {
    /// Puts `event` into the trail and makes `changes`, or does nothing.
    ///
    /// # Errors
    /// The storage did not say what it did. It may be done or not; beginning again from what is there is safe.
    pub(super) async fn commit(
        &self,
        event: Event,
        by: &RecordedBy,
        changes: Vec<Change>,
    ) -> Result<Commit, ReadError> {
        let digest = event.digest();
        let key = keys::event(&event.tenant, &event.id);
        let changes: Vec<_> = changes.into_iter().map(|change| change.statement(&self.store.state)).collect();
        let mut unacknowledged = Vec::new();
        let mut pauses = Pauses::until(self.deadline);
        loop {
            let at = Instant::now();
            let attributes = item::attributes_of(&event, digest, by, at, self.expiry(&event));
            let (statement, parameters) = insert::statement(&self.store.events, attributes);
            let statements =
                [parameterized(statement, parameters)].into_iter().chain(changes.iter().cloned()).collect();
            let call = self.store.client.execute_transaction().set_transact_statements(Some(statements)).send();
            let until = self.deadline.min(Deadline::now() + self.store.attempt);
            let failure = match tokio::time::timeout_at(until, call).await {
                Ok(Ok(_)) => return Ok(Commit::Done(self.recorded(event, digest, by, at))),
                Ok(Err(error)) if is_unexpected(&error) => {
                    return Ok(match self.events_by_key(vec![key.clone()]).await?.remove(&key) {
                        // The attempt that looked like a failure had done it.
                        Some(there) if there.digest == digest && unacknowledged.contains(&there.recorded_at) => {
                            Commit::Done(there)
                        }
                        Some(there) => Commit::Taken(there),
                        None => Commit::Stale,
                    });
                }
                Ok(Err(error)) if is_final(&error) => {
                    let failure = described(&error);
                    tracing::error!(%failure, "a transaction can not be made: {failure}");
                    return Err(Unavailable(failure).into());
                }
                Ok(Err(error)) => described(&error),
                Err(_) => format!("no answer within {:?} or the request's time", self.store.attempt),
            };
            tracing::warn!(%failure, "a transaction was not acknowledged: {failure}");
            unacknowledged.push(at);
            if !pauses.pause().await {
                return Err(Unavailable(failure).into());
            }
        }
    }
}

/// Whether the transaction was not done because something else was found than it expected.
fn is_unexpected(error: &SdkError<ExecuteTransactionError>) -> bool {
    let Some(ExecuteTransactionError::TransactionCanceledException(canceled)) = error.as_service_error() else {
        return false;
    };
    canceled.cancellation_reasons().iter().any(|reason| match reason.code() {
        Some("ConditionalCheckFailed" | "DuplicateItem") => true,
        // How DynamoDB Local says DuplicateItem.
        Some("ValidationError") => reason.message().is_some_and(|message| message.starts_with("Duplicate primary key")),
        _ => false,
    })
}

/// Whether the storage will not take it however often it is sent: our fault, or a right that is missing.
fn is_final(error: &SdkError<ExecuteTransactionError>) -> bool {
    if let Some(ExecuteTransactionError::TransactionCanceledException(canceled)) = error.as_service_error() {
        let mut codes = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        return codes.any(|code| matches!(code, "ValidationError" | "AccessDenied" | "ResourceNotFound"));
    }
    super::is_final(error)
}
