//! Ends the windows that are due. In reading order: [`handle`]; [`run`], with `due_work` (what is
//! due), `lanes` (in which order), `run_state` (running work) and `summary` (the result);
//! [`resolve`] (which account a window covers); [`end`] (the end of one window), with `held_window`
//! (its steps) and `retry_pause`; [`orders`] (the end of many windows); [`reconcile`] (compares
//! directories with the open windows). `services/directories` calls the directories.
//! Only this function may read their secrets.

mod due_work;
pub mod end;
mod held_window;
mod lanes;
pub mod orders;
pub mod reconcile;
pub mod resolve;
mod retry_pause;
pub mod run;
mod run_state;
pub mod summary;

use shared::platform::environment;
use std::{sync::Arc, time::Duration};

use aws_types::SdkConfig;
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;
use shared::{
    domain::{configuration::application::Place, trail::event::Tenant},
    platform::{
        environment::{ConfigError, Variables},
        metrics::Metrics,
        outbound_http::Outbound,
        secrets::{Purpose, Secrets},
    },
    services::directories::Directories,
    storage::Database,
};

#[derive(Debug)]
pub struct Disable {
    database: Database,
    directories: Directories,
    metrics: Metrics,
    place: Place,
    /// Responses that do not find an account must span this time before the account counts as gone.
    gone_after: Duration,
}

impl Disable {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let place = environment::place(variables)?;
        let database = Database::new(variables, aws)?;
        Self::over(database, Outbound::new(place.reach()), variables, aws)
    }

    /// The function with a given storage and outbound client.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn over(
        database: Database,
        outbound: Outbound,
        variables: &Variables,
        aws: &SdkConfig,
    ) -> Result<Self, ConfigError> {
        let secrets = Secrets::new(variables, aws, Purpose::Directory)?;
        let directories = Directories::new(outbound, secrets, database.clone());
        let gone_after = Duration::from_secs(variables.parsed("GONE_AFTER_SECONDS")?);
        let (metrics, place) = (Metrics::new(variables)?, environment::place(variables)?);
        Ok(Self { database, directories, metrics, place, gone_after })
    }
}

/// Runs once: on a schedule, after a change of a window that ends soon, or to compare directories
/// with the open windows (`{"reconcile": true}` for all tenants, `{"reconcile": "acme"}` for one).
///
/// # Errors
/// After an error, the next run continues where this one stopped.
pub async fn handle(function: Arc<Disable>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let answer = match &event.payload["reconcile"] {
        Value::Bool(true) => Box::pin(reconcile::all(&function)).await?,
        Value::String(tenant) => {
            let tenant =
                Tenant::new(tenant).ok_or("the name of the tenant to reconcile is not valid")?;
            Box::pin(reconcile::one(&function, &tenant)).await?
        }
        // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
        _ => serde_json::to_value(Box::pin(run::run(&function)).await?)?,
    };
    Ok(answer)
}
