//! Collects the records of tenants' directories, as they appear. In reading order: [`handle`],
//! [`queue`] (which connections are due), [`work`] (one connection, until nothing is due), with
//! `connection_run` (the lease of a connection), `source_page` (a page of a source), `graph_pages`
//! (how Microsoft Graph is asked for it), `seen_objects` and `connection_test`; `summary`.
//!
//! Only this function may read the secrets of connections.

mod connection_run;
mod connection_test;
mod graph_pages;
pub mod queue;
mod seen_objects;
mod source_page;
mod summary;
pub mod work;

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
        clock::Clock,
        environment::{self, ConfigError, Variables},
        metrics::Metrics,
        outbound_http::Outbound,
        secrets::{Purpose, Secrets},
    },
    services::{graph::Tokens, store_events::Recorder},
    storage::Database,
};
use tokio::time::Instant as Deadline;

use crate::seen_objects::SeenObjects;

/// Most bytes of a page that are read.
const LARGEST_PAGE: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub struct Collect {
    database: Database,
    recorder: Recorder,
    aws: Aws,
    outbound: Outbound,
    secrets: Secrets,
    tokens: Tokens,
    place: Place,
    metrics: Metrics,
    seen: SeenObjects,
    /// The pause between two readings of a source.
    pace: Duration,
    /// The duration of a lease on a connection.
    lease: Duration,
}

impl Collect {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let place = environment::place(variables)?;
        Ok(Self {
            database: Database::new(variables, aws)?,
            recorder: Recorder::new(variables, aws)?,
            aws: Aws::new(aws),
            outbound: Outbound::new(place.reach()).reading(LARGEST_PAGE),
            secrets: Secrets::new(variables, aws, Purpose::Connection)?,
            tokens: Tokens::default(),
            place,
            metrics: Metrics::new(variables)?,
            seen: SeenObjects::default(),
            pace: Duration::from_secs(variables.parsed("COLLECT_PAUSE_SECONDS")?),
            lease: Duration::from_secs(variables.parsed("COLLECT_LEASE_SECONDS")?),
        })
    }

    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { database: self.database.by(clock), ..self }
    }

    /// Starts a separate run for a connection, so that connections do not wait for each other. If the
    /// call is lost, the schedule finds the connection a minute later.
    async fn call(&self, own_name: &str, tenant: &Tenant, id: &str) {
        let event = json!({"connection": {"tenant": tenant, "id": id}});
        if let Err(error) = self.aws.invoke(own_name, &event).await {
            tracing::warn!(%error, "no run was started for connection {id} of {tenant}, the schedule will: {error}");
        }
    }
}

/// Processes one connection (`{"connection": {"tenant": "acme", "id": "entra"}}`; with `"asked": true`
/// at once, even if it is not due), or, on a schedule, finds the connections that are due.
///
/// # Errors
/// After an error, the next run continues where this one stopped.
pub async fn handle(function: Arc<Collect>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let (end, own_name) = (end_of(&context), &context.env_config.function_name);
    // Each boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    if let Some(connection) = payload.get("connection") {
        let tenant = connection["tenant"].as_str().and_then(Tenant::new);
        let tenant = tenant.ok_or("the event names no tenant")?;
        let id = connection["id"].as_str().ok_or("the event names no connection")?;
        let is_asked = connection["asked"].as_bool().unwrap_or(false);
        let outcome = Box::pin(work::work(&function, &tenant, id, is_asked, end)).await?;
        if outcome == work::CollectOutcome::Unfinished {
            function.call(own_name, &tenant, id).await;
        }
        return Ok(json!({"connection": id, "outcome": format!("{outcome:?}")}));
    }
    let called = Box::pin(queue::run(&function, own_name, end)).await?;
    Ok(json!({"called": called}))
}

/// The time at which Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
