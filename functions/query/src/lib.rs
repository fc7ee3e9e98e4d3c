//! Answers questions to the trail. In reading order: [`handle`], [`events`] (listing, search, one event), [`counts`], [`feed`], [`page`]
//! (how both are written), [`sessions`], [`windows`], [`findings`], [`reports`], [`reviews`], [`configured`] (settings, people, applications,
//! packages, organisations, saved searches), [`runs`] (of those), [`calendar`], [`streams`], [`alerts`], [`about`] (the catalogue and the caller).

pub mod about;
pub mod alerts;
pub mod calendar;
pub mod configured;
pub mod counts;
pub mod events;
pub mod feed;
pub mod findings;
pub mod page;
pub mod reports;
pub mod reviews;
pub mod runs;
pub mod sessions;
pub mod streams;
pub mod windows;

use shared::http::authorization;
use shared::platform::clock;
use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_types::SdkConfig;
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    domain::identity::caller::Permission,
    http::{authorization::Access, problem::Problem, reader::Reader, request},
    platform::{
        deployment_key::DeploymentKey,
        environment::{ConfigError, Variables},
    },
    storage::{ReadError, Store},
};

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Query {
    access: Access,
    store: Store,
    key: DeploymentKey,
}

impl Query {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            access: Access::from_variables(variables)?,
            store: Store::new(variables, aws)?,
            key: DeploymentKey::new(variables, aws)?,
        })
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
    Ok(request::answer(Box::pin(answer(&function, &event.payload)).await))
}

async fn answer(
    function: &Query,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let caller = function.access.caller(request)?;
    authorization::require(&caller, Permission::Read)?;
    let (now, deadline) = (clock::now(), request::deadline());
    let route = request.request_context.route_key.as_deref().unwrap_or_default();
    match route {
        "GET /v1/actions" => return about::actions(request),
        "GET /v1/reports" => return reports::list(request),
        "GET /v1/me" if !authorization::names_tenant(&caller, request) => {
            return about::me(&caller, None, &function.store, now, request).await;
        }
        _ => {}
    }
    let trail =
        function.store.trail(authorization::tenant(&caller, request)?, now, deadline).await?;
    let key = function.key.read(deadline).await.map_err(ReadError::from)?;
    let reader = &Reader { caller: &caller, key };
    match route {
        "GET /v1/me" => about::me(&caller, Some(&trail), &function.store, now, request).await,
        "GET /v1/events" => events::list(&trail, request, reader).await,
        "POST /v1/events/search" => events::search(&trail, request, reader).await,
        "POST /v1/events/counts" => counts::counts(&trail, request, reader).await,
        "GET /v1/events/{id}" => events::one(&trail, request).await,
        "GET /v1/sessions" => sessions::list(&trail, request, reader).await,
        "GET /v1/sessions/{id}" => sessions::one(&trail, request).await,
        "GET /v1/feed" => feed::feed(&trail, request, reader).await,
        "GET /v1/settings" => configured::settings(&trail, request),
        "GET /v1/people" => configured::people(&trail, request, reader).await,
        "GET /v1/people/{id}" => configured::person(&trail, request).await,
        "GET /v1/applications" => configured::applications(&trail, request, reader).await,
        "GET /v1/applications/{id}" => configured::application(&trail, request).await,
        "GET /v1/packages" => configured::packages(&trail, request, reader).await,
        "GET /v1/packages/{id}" => configured::package(&trail, request).await,
        "GET /v1/organisations" => configured::organisations(&trail, request, reader).await,
        "GET /v1/organisations/{id}" => configured::organisation(&trail, request).await,
        "GET /v1/reports/{report}" | "GET /v1/reports/requests/{id}" => {
            reports::one(&trail, request, reader).await
        }
        "GET /v1/checkpoints" => findings::rules(&trail, request),
        "GET /v1/findings" => findings::list(&trail, request, reader).await,
        "GET /v1/findings/{id}" => findings::one(&trail, request).await,
        "GET /v1/reviews" => reviews::list(&trail, request, reader).await,
        "GET /v1/reviews/{id}" => reviews::one(&trail, request).await,
        "GET /v1/reviews/{id}/items" => reviews::items(&trail, request, reader).await,
        "GET /v1/saved" => configured::all_saved(&trail, request, reader).await,
        "GET /v1/saved/{id}" => configured::saved(&trail, request).await,
        "GET /v1/saved/{id}/runs" => runs::list(&trail, request, reader).await,
        "GET /v1/calendar" => calendar::calendar(&trail, request).await,
        "GET /v1/windows" => windows::list(&trail, request, reader).await,
        "GET /v1/windows/{id}" => windows::one(&trail, request).await,
        "GET /v1/windows/orders/{id}" => windows::order(&trail, request, reader).await,
        "GET /v1/streams" => streams::list(&trail, request, reader).await,
        "GET /v1/streams/{id}" => streams::one(&trail, request, reader).await,
        "GET /v1/alerts" => alerts::list(&trail, request, reader).await,
        "GET /v1/alerts/{id}" => alerts::one(&trail, request).await,
        _ => Err(Problem::internal(&format!(
            "no handler for route {route:?}, which the template sends here"
        ))),
    }
}
