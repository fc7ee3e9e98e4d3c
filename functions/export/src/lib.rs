//! Exports of the trail as files that an auditor can verify. In reading order: [`handle`], [`routes`],
//! [`api`] (the HTTP API of jobs), [`queue`] (which jobs are due), [`saved`] (runs of saved searches, on
//! request and by schedule), [`work`] (one job), [`writing`] (one file).

pub mod api;
pub mod queue;
pub mod routes;
pub mod saved;
pub mod work;
pub mod writing;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    domain::trail::event::Tenant,
    http::{api::Api, authorization::Access},
    platform::{
        aws_client::Aws,
        clock::Clock,
        deployment_key::DeploymentKey,
        environment::{ConfigError, Variables},
        s3::Bucket,
    },
    storage::Database,
};
use tokio::time::Instant as Deadline;

/// Handles requests of the API, and works on jobs.
#[derive(Debug)]
pub struct Function {
    api: Arc<Api>,
    export: Arc<Export>,
}

impl From<Export> for Function {
    fn from(export: Export) -> Self {
        let export = Arc::new(export);
        Self { api: Arc::new(api::api(&export)), export }
    }
}

#[derive(Debug)]
pub struct Export {
    access: Access,
    database: Database,
    key: DeploymentKey,
    aws: Aws,
    bucket: Bucket,
    /// The function that processes jobs; none if this one does.
    worker: Option<String>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The longest time until an index contains an acknowledged write.
    index_lag: Duration,
    /// The duration of a lease on a job.
    lease: Duration,
    /// How long files are stored.
    kept: Duration,
    /// Maximum number of events in one file.
    rows: u64,
}

impl Export {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let days: u64 = variables.parsed("EXPORT_DAYS")?;
        Ok(Self {
            access: Access::from_variables(variables)?,
            database: Database::new(variables, aws)?,
            key: DeploymentKey::new(variables, aws)?,
            aws: Aws::new(aws),
            bucket: Bucket::new(aws, variables.text("EXPORT_BUCKET")?),
            worker: variables.optional("EXPORT_WORKER").map(str::to_owned),
            limits: Limits {
                index_lag: Duration::from_secs(variables.parsed("INDEX_LAG_SECONDS")?),
                lease: Duration::from_secs(variables.parsed("EXPORT_LEASE_SECONDS")?),
                kept: Duration::from_secs(days * 86_400),
                rows: variables.parsed("EXPORT_ROWS")?,
            },
        })
    }

    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { database: self.database.by(clock), ..self }
    }

    /// Invokes the worker for a job. If the call is lost, the schedule finds the job a minute
    /// later.
    async fn call_worker(&self, own_name: &str, tenant: &Tenant, id: &str) {
        let worker = self.worker.as_deref().unwrap_or(own_name);
        let event = json!({"export": {"tenant": tenant, "id": id}});
        if let Err(error) = self.aws.invoke(worker, &event).await {
            tracing::warn!(%error, "the worker was not called for export {id}, its schedule will: {error}");
        }
    }
}

/// Handles one request, processes one job (`{"export": {"tenant": "acme", "id": "…"}}`), or, on a
/// schedule, finds the jobs that are due.
///
/// # Errors
/// The storage did not answer a worker. The next run continues where this one stopped.
pub async fn handle(function: Arc<Function>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    if payload.get("requestContext").is_some() {
        let event = LambdaEvent::new(serde_json::from_value(payload)?, context);
        return Ok(serde_json::to_value(function.api.clone().handle(event).await?)?);
    }
    let function = &function.export;
    let end = end_of(&context);
    if let Some(export) = payload.get("export") {
        let tenant = export["tenant"]
            .as_str()
            .and_then(Tenant::new)
            .ok_or("the invocation event has no tenant")?;
        let id = export["id"].as_str().ok_or("the invocation event has no export")?;
        let outcome = Box::pin(work::work(function, &tenant, id, end)).await?;
        if outcome == work::RunOutcome::Suspended {
            function.call_worker(&context.env_config.function_name, &tenant, id).await;
        }
        return Ok(json!({"export": id, "outcome": format!("{outcome:?}")}));
    }
    let called = Box::pin(queue::run(function, &context.env_config.function_name, end)).await?;
    Ok(json!({"called": called}))
}

/// The time at which Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
