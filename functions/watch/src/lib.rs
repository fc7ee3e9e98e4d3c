//! Follows the trail: what its events come to, what an auditor must look at, and who is told. In reading order: [`handle`], [`alerts`].

pub mod alerts;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    application::Place,
    aws::Aws,
    config::{ConfigError, Variables},
    outbound::Outbound,
    store::Store,
};
use tokio::time::Instant as Deadline;

use crate::alerts::Ways;

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    aws: Aws,
    ways: Ways,
}

impl Watch {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let outbound = Outbound::new(Place::from_variables(variables)?.reach());
        Ok(Self { store: Store::new(variables, aws)?, aws: Aws::new(aws), ways: Ways::new(variables, aws, outbound)? })
    }

    /// Has what was queued sent now, by a run of its own: a batch of the stream waits for no channel. A call that is lost costs a minute.
    pub async fn wake(&self, own_name: &str) {
        if let Err(error) = self.aws.invoke(own_name, &json!({"alerts": true})).await {
            tracing::warn!(%error, "what was queued is not sent at once, the schedule will: {error}");
        }
    }
}

/// Takes a batch of the events stream, or, called by its schedule or by whoever has something for it (`{"alerts": true}`: alerts were queued), does
/// what is due.
///
/// # Errors
/// The storage did not answer.
pub async fn handle(function: Arc<Watch>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    if payload.get("Records").is_some() {
        return Ok(json!({"batchItemFailures": []}));
    }
    // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    let end = end_of(&context);
    let alerts = match payload.get("alerts") {
        Some(_) => Box::pin(alerts::send_queued(&function, end)).await?,
        None => Box::pin(alerts::send_due(&function, end)).await?,
    };
    Ok(json!({"alerts": alerts}))
}

/// When Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
