//! Forwards the trail to other systems as events are recorded. In reading order: [`handle`],
//! [`queue`] (which streams are due), [`work`] (one stream, until nothing is left), with
//! `stream_run` (the lease of a stream) and `send_events` (its batches), and [`targets`] (how each
//! kind of target is called).

pub mod queue;
mod send_events;
mod stream_run;
pub mod targets;
pub mod work;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    domain::trail::event::Tenant,
    platform::{
        aws_client::Aws,
        clock::Clock,
        environment::{ConfigError, Variables},
        metrics::Metrics,
    },
    storage::Database,
};
use tokio::time::Instant as Deadline;

use crate::targets::Targets;

#[derive(Debug)]
pub struct Forward {
    database: Database,
    aws: Aws,
    targets: Targets,
    metrics: Metrics,
    /// How long events are collected for a file.
    gather: Duration,
    /// The duration of a lease on a stream.
    lease: Duration,
}

impl Forward {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            database: Database::new(variables, aws)?,
            aws: Aws::new(aws),
            targets: Targets::new(variables, aws)?,
            metrics: Metrics::new(variables)?,
            gather: Duration::from_secs(variables.parsed("STREAM_GATHER_SECONDS")?),
            lease: Duration::from_secs(variables.parsed("STREAM_LEASE_SECONDS")?),
        })
    }

    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { database: self.database.by(clock), ..self }
    }

    /// Starts a separate run for a stream, so that streams do not wait for each other. If the call
    /// is lost, the schedule finds the stream some minutes later.
    async fn call(&self, own_name: &str, tenant: &Tenant, id: &str) {
        let event = json!({"stream": {"tenant": tenant, "id": id}});
        if let Err(error) = self.aws.invoke(own_name, &event).await {
            tracing::warn!(%error, "nobody was called for stream {id} of {tenant}, the schedule will: {error}");
        }
    }
}

/// Processes one stream (`{"stream": {"tenant": "acme", "id": "siem"}}`; with `"asked": true` at
/// once, despite a pause after failures), or, on a schedule, finds the streams that are due.
///
/// # Errors
/// After an error, the next run continues where this one stopped.
pub async fn handle(function: Arc<Forward>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let (end, own_name) = (end_of(&context), &context.env_config.function_name);
    // Each boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    if let Some(stream) = payload.get("stream") {
        let tenant = stream["tenant"]
            .as_str()
            .and_then(Tenant::new)
            .ok_or("the invocation event has no tenant")?;
        let id = stream["id"].as_str().ok_or("the invocation event has no stream")?;
        let is_asked = stream["asked"].as_bool().unwrap_or(false);
        let outcome = Box::pin(work::work(&function, &tenant, id, is_asked, end)).await?;
        if outcome == work::RunOutcome::Unfinished {
            function.call(own_name, &tenant, id).await;
        }
        return Ok(json!({"stream": id, "outcome": format!("{outcome:?}")}));
    }
    let called = Box::pin(queue::run(&function, own_name, end)).await?;
    Ok(json!({"called": called}))
}

/// The time at which Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
