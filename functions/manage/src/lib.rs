//! What people change: settings, people. In reading order: [`handle`], [`settings`], [`people`].
//!
//! Every change is an event with the old and the new content, stored in one transaction with it.

pub mod people;
pub mod settings;

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_types::SdkConfig;
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    access::{Access, Permission},
    api::{self, Parameters},
    config::{ConfigError, Variables},
    instant::Instant,
    problem::Problem,
    store::Store,
};

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Manage {
    access: Access,
    store: Store,
}

impl Manage {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { access: Access::from_variables(variables)?, store: Store::new(variables, aws)? })
    }
}

/// Answers one request.
///
/// # Errors
/// None: what goes wrong is answered as a problem.
pub async fn handle(
    function: Arc<Manage>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, Error> {
    // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    Ok(api::answer(Box::pin(answer(&function, &event.payload)).await))
}

async fn answer(function: &Manage, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    let (now, deadline) = (Instant::now(), api::deadline());
    let caller = function.access.caller(request)?;
    caller.require(Permission::Admin)?;
    let tenant = caller.tenant(request)?;
    Parameters::read(request, &[])?;
    let trail = function.store.trail(tenant, now, deadline).await?;
    let route = request.request_context.route_key.as_deref().unwrap_or_default();
    match route {
        "PUT /v1/settings" => settings::put(&trail, request, &caller).await,
        "PUT /v1/people/{id}" => people::put(&trail, request, &caller).await,
        _ => Err(Problem::internal(&format!("no handler for route {route:?}, which the template sends here"))),
    }
}
