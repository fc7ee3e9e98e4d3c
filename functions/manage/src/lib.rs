//! The API for changes of settings, people, applications, packages, organisations, streams,
//! windows, findings, reviews and saved searches. In reading order: [`handle`], [`routes`],
//! [`configured`] (documents of any kind), [`settings`], [`applications`], [`streams`],
//! [`windows`], [`findings`], [`reviews`], [`saved`], [`alerts`] (test alerts).
//!
//! Every change is stored in one transaction with an event that contains the old and the new
//! content.

pub mod alerts;
pub mod applications;
pub mod configured;
pub mod findings;
pub mod reviews;
pub mod routes;
pub mod saved;
pub mod settings;
pub mod streams;
pub mod windows;

use shared::http::authorization;
use shared::platform::clock;
use shared::platform::environment;
use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_types::SdkConfig;
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    domain::configuration::application::Place,
    http::{
        authorization::Access,
        problem::Problem,
        refusals,
        request::{self, Parameters},
        route::{self, Route},
    },
    platform::{
        aws_client::Aws,
        disable_trigger::Sweep,
        environment::{ConfigError, Variables},
        secrets::Foresight,
    },
    storage::Database,
};

use crate::routes::{Call, Handler, ROUTES};

#[derive(Debug)]
pub struct Manage {
    access: Access,
    database: Database,
    place: Place,
    foresight: Foresight,
    sweep: Sweep,
    aws: Aws,
    /// The function that sends alerts.
    watch: String,
    /// The function that sends streams.
    forward: String,
}

impl Manage {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            access: Access::from_variables(variables)?,
            database: Database::new(variables, aws)?,
            place: environment::place(variables)?,
            foresight: Foresight::new(variables),
            sweep: Sweep::new(variables, aws)?,
            aws: Aws::new(aws),
            watch: variables.text("WATCH_FUNCTION")?.to_owned(),
            forward: variables.text("FORWARD_FUNCTION")?.to_owned(),
        })
    }
}

/// Handles one request. Errors become problem responses.
pub async fn handle(
    function: Arc<Manage>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, Error> {
    // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    Ok(request::answer(Box::pin(answer(&function, &event.payload)).await))
}

async fn answer(
    function: &Manage,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let (now, deadline) = (clock::now(), request::deadline());
    let caller = &function.access.caller(request)?;
    let row = route::find(ROUTES, request)?;
    let tenant = authorization::tenant(caller, request)?;
    let scope = function.database.scope(tenant, now, deadline).await?;
    let call = Call { function, scope, request, caller };
    let answered = change(row, &call).await;
    if let Err(problem) = &answered
        && problem.status == 403
    {
        refusals::record(&call.scope, request, caller, problem).await?;
    }
    answered
}

/// Calls the handler if the caller has the permission.
async fn change(
    row: &Route<Handler>,
    call: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    row.needs.check(call.caller)?;
    Parameters::read(call.request, &[])?;
    (row.handler)(call).await
}
