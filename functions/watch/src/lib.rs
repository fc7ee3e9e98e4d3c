//! Follows the trail: what its events come to, what an auditor must look at, and who is told. In reading order: [`handle`], [`records`] (a
//! batch of the stream), [`due`] (what is to be looked at again), [`rebuild`] (all of it from the first event on), [`alerts`]
//! (what is to be sent), `alert_lane` (the alerts of one channel), `alert_channels` (how they reach it).

mod alert_channels;
mod alert_lane;
pub mod alerts;
pub mod due;
mod metrics;
pub mod rebuild;
pub mod records;

use shared::platform::environment;
use shared::services::alert_outbox;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    domain::{configuration::application::Place, trail::event::Tenant},
    platform::{
        aws_client::Aws,
        environment::{ConfigError, Variables},
        outbound_http::Outbound,
    },
    storage::Database,
};
use tokio::time::Instant as Deadline;

use crate::alert_channels::AlertChannels;

/// How long one run marks days of events that an older version stored.
const MARKING: Duration = Duration::from_secs(20);

/// How long one run tries to keep the deployment's retention.
const KEEPING: Duration = Duration::from_secs(5);

/// How long one run moves alerts that an older version queued.
const MOVING: Duration = Duration::from_secs(10);

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Watch {
    database: Database,
    aws: Aws,
    channels: AlertChannels,
    /// The queue of what cannot be taken.
    dead_letters: String,
    /// The function that sends streams.
    forward: String,
    /// Where it runs.
    place: Place,
}

impl Watch {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let place = environment::place(variables)?;
        let outbound = Outbound::new(place.reach());
        Ok(Self {
            place,
            database: Database::new(variables, aws)?,
            aws: Aws::new(aws),
            channels: AlertChannels::new(variables, aws, outbound)?,
            dead_letters: variables.text("DEAD_LETTERS")?.to_owned(),
            forward: variables.text("FORWARD_FUNCTION")?.to_owned(),
        })
    }

    /// Has what was queued done now, by a run of its own: a batch of the stream waits for no channel, and for no other work. A call that is
    /// lost costs a minute.
    async fn wake(&self, own_name: &str, what: &Value) {
        if let Err(error) = self.aws.invoke(own_name, what).await {
            tracing::warn!(%error, "what was queued is not done at once, the schedule will: {error}");
        }
    }

    /// Marks the days of events that an older version stored, so that listings pass over the others.
    async fn mark_past_days(&self, end: Deadline) {
        if let Err(error) = self
            .database
            .mark_past_days(Deadline::now() + MARKING, end - Duration::from_secs(5))
            .await
        {
            tracing::warn!(%error, "the days that have events are not all marked, the next run goes on: {error}");
        }
    }

    /// Keeps the deployment's own retention, so that a later deploy with a lower one is seen.
    async fn keep_retention(&self) {
        if let Err(error) = self.database.keep_retention(Deadline::now() + KEEPING).await {
            tracing::warn!(%error, "the deployment's retention was not kept, the next call does it: {error}");
        }
    }

    /// Takes over what an older version queued.
    async fn move_old_alerts(&self) {
        match alert_outbox::move_old_alerts(&self.database, Deadline::now() + MOVING).await {
            Ok(0) => {}
            Ok(moved) => {
                tracing::info!(
                    "{moved} alerts that an older version queued are in the queues of their channels"
                )
            }
            Err(error) => {
                tracing::warn!(%error, "alerts of an older version are not all moved, the next run goes on: {error}")
            }
        }
    }

    /// Has a stream sent.
    pub(crate) async fn wake_stream(&self, tenant: &Tenant, id: &str) {
        let event = json!({"stream": {"tenant": tenant, "id": id}});
        if let Err(error) = self.aws.invoke(&self.forward, &event).await {
            tracing::warn!(%error, "stream {id} of {tenant} is not sent at once, the schedule will: {error}");
        }
    }
}

/// Takes a batch of the events stream; computes a tenant's projections from the first event on (`{"rebuild": {"tenant": "acme"}}`); sends what was
/// queued (`{"alerts": true}`); follows what a batch put off (`{"due": true}`); or, called by its schedule, does what is due.
///
/// # Errors
/// The storage did not answer: a batch is delivered again, and what is due stays due.
pub async fn handle(function: Arc<Watch>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let (end, own_name) = (end_of(&context), &context.env_config.function_name);
    Box::pin(function.keep_retention()).await;
    // Each boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    if let Some(records) = payload.get("Records").and_then(Value::as_array) {
        let taking = Box::pin(records::take(&function, records, end));
        let (queued, ()) =
            tokio::join!(taking, Box::pin(records::wake_streams(&function, records)));
        let taken = queued?;
        if taken.late > 0 {
            // Streams that were called before are at rest again, or do not know yet.
            Box::pin(records::wake_streams(&function, records)).await;
        }
        if taken.queued > 0 {
            function.wake(own_name, &json!({"alerts": true})).await;
        }
        if taken.put_off > 0 {
            function.wake(own_name, &json!({"due": true})).await;
        }
        return Ok(json!({"batchItemFailures": []}));
    }
    if let Some(asked) = payload.get("rebuild") {
        return Box::pin(rebuild::run(&function, asked, own_name, end)).await;
    }
    if payload.get("alerts").is_some() {
        let alerts = Box::pin(alerts::send_queued(&function, end)).await?;
        return Ok(json!({"alerts": alerts}));
    }
    if payload.get("due").is_some() {
        return Ok(json!({"looked_at": Box::pin(due::run_put_off(&function, end)).await?}));
    }
    let looking = Box::pin(due::run(&function, end));
    let sending = async {
        function.move_old_alerts().await;
        alerts::send_due(&function, end).await
    };
    let (looked_at, alerts, ()) =
        tokio::join!(looking, Box::pin(sending), Box::pin(function.mark_past_days(end)));
    Ok(json!({"looked_at": looked_at?, "alerts": alerts?}))
}

/// When Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
