//! Exports: files of the trail that an auditor can rely on. In reading order: [`handle`], [`api`] (jobs are asked for, listed, taken back, and
//! links to their files are given), [`queue`] (which jobs are due), [`saved`] (runs of saved searches, by hand and by schedule), [`work`] (one job, from its claim to its end), [`writing`] (one file).

pub mod api;
pub mod queue;
pub mod saved;
pub mod work;
pub mod writing;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_types::SdkConfig;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    domain::trail::event::Tenant,
    http::authorization::Access,
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

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Export {
    access: Access,
    database: Database,
    key: DeploymentKey,
    aws: Aws,
    bucket: Bucket,
    /// The function that works; none where that is this one.
    worker: Option<String>,
    limits: Limits,
}

/// How exports are bounded.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long an index may take to hold what was acknowledged.
    index_lag: Duration,
    /// How long a run has a job without renewing that.
    lease: Duration,
    /// How long files are kept.
    kept: Duration,
    /// Most events in one file.
    rows: u64,
}

impl Export {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
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

    /// The same by another clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { database: self.database.by(clock), ..self }
    }

    /// Calls the worker for a job. A call that is lost costs a minute: the schedule finds the job too.
    async fn call_worker(&self, own_name: &str, tenant: &Tenant, id: &str) {
        let worker = self.worker.as_deref().unwrap_or(own_name);
        let event = json!({"export": {"tenant": tenant, "id": id}});
        if let Err(error) = self.aws.invoke(worker, &event).await {
            tracing::warn!(%error, "the worker was not called for export {id}, its schedule will: {error}");
        }
    }
}

/// Answers one request, works on one job (`{"export": {"tenant": "acme", "id": "…"}}`), or, called by a schedule, looks which jobs are due.
///
/// # Errors
/// The storage did not answer a worker. The next run goes on where this one ended.
pub async fn handle(function: Arc<Export>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context, .. } = event;
    if payload.get("requestContext").is_some() {
        let request: ApiGatewayV2httpRequest = serde_json::from_value(payload)?;
        // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
        let answer =
            shared::http::request::answer(Box::pin(api::answer(&function, &request)).await);
        return Ok(serde_json::to_value(answer)?);
    }
    let end = end_of(&context);
    if let Some(export) = payload.get("export") {
        let tenant =
            export["tenant"].as_str().and_then(Tenant::new).ok_or("the event names no tenant")?;
        let id = export["id"].as_str().ok_or("the event names no export")?;
        let outcome = Box::pin(work::work(&function, &tenant, id, end)).await?;
        if outcome == work::Outcome::Suspended {
            function.call_worker(&context.env_config.function_name, &tenant, id).await;
        }
        return Ok(json!({"export": id, "outcome": format!("{outcome:?}")}));
    }
    let called = Box::pin(queue::run(&function, &context.env_config.function_name, end)).await?;
    Ok(json!({"called": called}))
}

/// When Lambda ends this invocation.
fn end_of(context: &Context) -> Deadline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Deadline::now() + Duration::from_millis(context.deadline).saturating_sub(now)
}
