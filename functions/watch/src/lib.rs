//! Consumes the stream of the events table: updates projections, raises findings and sends alerts.
//! In reading order: [`handle`], [`records`] (a batch of the stream), [`due`] (checks that are
//! due), [`review_plans`] (reviews that plans open), [`rebuild`] (all projections of a tenant, from
//! its first event), [`alerts`] (sending), `alert_lane` (the alerts of one channel),
//! `alert_channels` (the kinds of channels).

mod alert_channels;
mod alert_lane;
pub mod alerts;
pub mod due;
pub mod rebuild;
pub mod records;
pub mod review_plans;

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
    domain::trail::event::Tenant,
    platform::{
        aws_client::Aws,
        clock::Clock,
        environment::{ConfigError, Variables},
        metrics::Metrics,
        outbound_http::Outbound,
    },
    storage::Database,
};
use tokio::time::Instant as Deadline;

use crate::alert_channels::AlertChannels;

/// Time per run for marking the days of events that an older version stored.
const MARKING: Duration = Duration::from_secs(20);

/// Time per run for storing the deployment's retention.
const KEEPING: Duration = Duration::from_secs(5);

/// Time per run for moving alerts that an older version queued.
const MOVING: Duration = Duration::from_secs(10);

/// What the function keeps between invocations: its configuration and clients.
#[derive(Debug)]
pub struct Watch {
    database: Database,
    aws: Aws,
    channels: AlertChannels,
    /// The URL of the dead-letter queue.
    dead_letters: String,
    /// The name of the function that delivers streams.
    forward: String,
    metrics: Metrics,
}

impl Watch {
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let place = environment::place(variables)?;
        let outbound = Outbound::new(place.reach());
        Ok(Self {
            metrics: Metrics::new(variables)?,
            database: Database::new(variables, aws)?,
            aws: Aws::new(aws),
            channels: AlertChannels::new(variables, aws, outbound)?,
            dead_letters: variables.text("DEAD_LETTERS")?.to_owned(),
            forward: variables.text("FORWARD_FUNCTION")?.to_owned(),
        })
    }

    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { database: self.database.by(clock), ..self }
    }

    /// Starts a run of this function for what was just queued, so that a batch of the stream does
    /// not wait for channels or other work. If the call is lost, the schedule does it a minute
    /// later.
    async fn wake(&self, own_name: &str, what: &Value) {
        if let Err(error) = self.aws.invoke(own_name, what).await {
            tracing::warn!(%error, "starting a run failed, the schedule will start one: {error}");
        }
    }

    /// Marks the days of events that an older version stored, so that listings can skip empty days.
    async fn mark_past_days(&self, end: Deadline) {
        if let Err(error) = self
            .database
            .mark_past_days(Deadline::now() + MARKING, end - Duration::from_secs(5))
            .await
        {
            tracing::warn!(%error, "marking the days of older events is not complete, the next run continues: {error}");
        }
    }

    /// Stores the deployment's default retention, so that a later deployment with a shorter one is
    /// noticed.
    async fn keep_retention(&self) {
        if let Err(error) = self.database.keep_retention(Deadline::now() + KEEPING).await {
            tracing::warn!(%error, "the deployment's retention was not stored, the next call retries: {error}");
        }
    }

    /// Moves alerts that an older version queued to the lanes of their channels.
    async fn move_old_alerts(&self) {
        match alert_outbox::move_old_alerts(&self.database, Deadline::now() + MOVING).await {
            Ok(0) => {}
            Ok(moved) => {
                tracing::info!(
                    "{moved} alerts of an older version were moved to the queues of their channels"
                )
            }
            Err(error) => {
                tracing::warn!(%error, "not all alerts of an older version were moved, the next run continues: {error}")
            }
        }
    }

    /// Starts the delivery of a stream.
    pub(crate) async fn wake_stream(&self, tenant: &Tenant, id: &str) {
        let event = json!({"stream": {"tenant": tenant, "id": id}});
        if let Err(error) = self.aws.invoke(&self.forward, &event).await {
            tracing::warn!(%error, "stream {id} of {tenant} was not started, the schedule will start it: {error}");
        }
    }
}

/// Handles one invocation. The payload is a batch of the events stream, or one of
/// `{"rebuild": {"tenant": "acme"}}` (computes a tenant's projections from its first event),
/// `{"alerts": true}` (sends queued alerts) and `{"due": true}` (makes the checks that a batch
/// deferred). Any other payload is the schedule's: it does all that is due.
///
/// # Errors
/// The storage did not answer. Lambda delivers the batch again, and what is due stays due.
pub async fn handle(function: Arc<Watch>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let (end, own_name) = (end_of(&context), &context.env_config.function_name);
    Box::pin(function.keep_retention()).await;
    // Each is boxed: the SDK's futures nest too deeply for the compiler to lay out in one piece.
    if let Some(records) = payload.get("Records").and_then(Value::as_array) {
        let taking = Box::pin(records::take(&function, records, end));
        let (queued, ()) =
            tokio::join!(taking, Box::pin(records::wake_streams(&function, records)));
        let taken = queued?;
        if taken.late > 0 {
            // Again after the batch: a stream that was started before may have stopped, or may not
            // have seen the events yet.
            Box::pin(records::wake_streams(&function, records)).await;
        }
        if taken.queued > 0 {
            function.wake(own_name, &json!({"alerts": true})).await;
        }
        if taken.put_off > 0 {
            function.wake(own_name, &json!({"due": true})).await;
        }
        return Ok(json!({"queued": taken.queued, "put_off": taken.put_off}));
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
    let (looked_at, alerts, opened, ()) = tokio::join!(
        looking,
        Box::pin(sending),
        Box::pin(review_plans::open_due(&function, end)),
        Box::pin(function.mark_past_days(end))
    );
    Ok(json!({"looked_at": looked_at?, "alerts": alerts?, "reviews_opened": opened?}))
}

/// The end of this invocation's time.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
