//! Follows the trail: what its events come to, and what an auditor must look at. In reading order: [`handle`], [`records`] (a batch of the
//! stream), [`due`] (what is to be looked at again), [`rebuild`] (all of it from the first event on).

pub mod due;
pub mod rebuild;
pub mod records;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    aws::Aws,
    config::{ConfigError, Variables},
    instant::Clock,
    store::Store,
};
use tokio::time::Instant as Deadline;

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    aws: Aws,
}

impl Watch {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { store: Store::new(variables, aws)?, aws: Aws::new(aws) })
    }

    /// The same by another clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { store: self.store.by(clock), ..self }
    }
}

/// Takes a batch of the events stream; computes a tenant's projections from the first event on (`{"rebuild": {"tenant": "acme"}}`); or, called
/// by its schedule, does what is due.
///
/// # Errors
/// The storage did not answer: a batch is delivered again, and what is due stays due.
pub async fn handle(function: Arc<Watch>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let end = end_of(&context);
    if let Some(records) = payload.get("Records").and_then(Value::as_array) {
        // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
        Box::pin(records::take(&function, records, end)).await?;
        return Ok(json!({"batchItemFailures": []}));
    }
    if let Some(asked) = payload.get("rebuild") {
        return Ok(Box::pin(rebuild::run(&function, asked, &context.env_config.function_name, end)).await?);
    }
    let looked_at = Box::pin(due::run(&function, end)).await?;
    Ok(json!({"looked_at": looked_at}))
}

/// When Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
