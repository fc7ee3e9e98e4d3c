//! Follows the trail: what its events come to, what an auditor must look at, and who is told. In reading order: [`handle`].

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    config::{ConfigError, Variables},
    store::Store,
};
use tokio::time::Instant as Deadline;

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Watch {
    #[allow(dead_code)]
    store: Store,
}

impl Watch {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { store: Store::new(variables, aws)? })
    }
}

/// Takes a batch of the events stream, or, called by its schedule or by whoever has something for it, does what is due.
///
/// # Errors
/// The storage did not answer.
pub async fn handle(function: Arc<Watch>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let _ = (&function, end_of(&context));
    if payload.get("Records").is_some() {
        return Ok(json!({"batchItemFailures": []}));
    }
    Ok(json!({}))
}

/// When Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
