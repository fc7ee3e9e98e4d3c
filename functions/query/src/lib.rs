//! Answers questions to the trail. In reading order: [`handle`], [`events`] (listing, search, one event), [`feed`], [`page`]
//! (how both are written), [`sessions`], [`about`] (the catalogue and the caller).

pub mod about;
pub mod events;
pub mod feed;
pub mod page;
pub mod sessions;

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    access::{Access, Permission},
    api,
    config::{ConfigError, Variables},
    problem::Problem,
    store::Store,
    zone,
};

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Query {
    access: Access,
    store: Store,
    /// The service's own time zone.
    zone: String,
}

impl Query {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let name = "ZONE";
        let zone = variables.text(name)?.to_owned();
        zone::zone(&zone).map_err(|problem| ConfigError { name, problem })?;
        Ok(Self { access: Access::from_variables(variables)?, store: Store::new(variables, aws)?, zone })
    }
}

/// Answers one request.
///
/// # Errors
/// None: what goes wrong is answered as a problem.
pub async fn handle(
    function: Arc<Query>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, Error> {
    // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    Ok(api::answer(Box::pin(answer(&function, &event.payload)).await))
}

async fn answer(function: &Query, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    let caller = function.access.caller(request)?;
    caller.require(Permission::Read)?;
    let route = request.request_context.route_key.as_deref().unwrap_or_default();
    match route {
        "GET /v1/me" => about::me(function, request, &caller),
        "GET /v1/actions" => about::actions(request),
        "GET /v1/events" => events::list(function, request, &caller).await,
        "POST /v1/events/search" => events::search(function, request, &caller).await,
        "GET /v1/events/{id}" => events::one(function, request, &caller).await,
        "GET /v1/sessions" => sessions::list(function, request, &caller).await,
        "GET /v1/sessions/{id}" => sessions::one(function, request, &caller).await,
        "GET /v1/feed" => feed::feed(function, request, &caller).await,
        _ => Err(Problem::internal(&format!("no handler for route {route:?}, which the template sends here"))),
    }
}
