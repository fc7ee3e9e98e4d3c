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
    storage::{Database, ReadError},
};

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Query {
    access: Access,
    database: Database,
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
            database: Database::new(variables, aws)?,
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
            return about::me(&caller, None, &function.database, now, request).await;
        }
        _ => {}
    }
    let scope =
        function.database.scope(authorization::tenant(&caller, request)?, now, deadline).await?;
    let key = function.key.read(deadline).await.map_err(ReadError::from)?;
    let reader = &Reader { caller: &caller, key };
    match route {
        "GET /v1/me" => about::me(&caller, Some(&scope), &function.database, now, request).await,
        "GET /v1/events" => events::list(&scope, request, reader).await,
        "POST /v1/events/search" => events::search(&scope, request, reader).await,
        "POST /v1/events/counts" => counts::counts(&scope, request, reader).await,
        "GET /v1/events/{id}" => events::one(&scope, request).await,
        "GET /v1/sessions" => sessions::list(&scope, request, reader).await,
        "GET /v1/sessions/{id}" => sessions::one(&scope, request).await,
        "GET /v1/feed" => feed::feed(&scope, request, reader).await,
        "GET /v1/settings" => configured::settings(&scope, request),
        "GET /v1/people" => configured::people(&scope, request, reader).await,
        "GET /v1/people/{id}" => configured::person(&scope, request).await,
        "GET /v1/applications" => configured::applications(&scope, request, reader).await,
        "GET /v1/applications/{id}" => configured::application(&scope, request).await,
        "GET /v1/packages" => configured::packages(&scope, request, reader).await,
        "GET /v1/packages/{id}" => configured::package(&scope, request).await,
        "GET /v1/organisations" => configured::organisations(&scope, request, reader).await,
        "GET /v1/organisations/{id}" => configured::organisation(&scope, request).await,
        "GET /v1/reports/{report}" | "GET /v1/reports/requests/{id}" => {
            reports::one(&scope, request, reader).await
        }
        "GET /v1/checkpoints" => findings::rules(&scope, request),
        "GET /v1/findings" => findings::list(&scope, request, reader).await,
        "GET /v1/findings/{id}" => findings::one(&scope, request).await,
        "GET /v1/reviews" => reviews::list(&scope, request, reader).await,
        "GET /v1/reviews/{id}" => reviews::one(&scope, request).await,
        "GET /v1/reviews/{id}/items" => reviews::items(&scope, request, reader).await,
        "GET /v1/saved" => configured::all_saved(&scope, request, reader).await,
        "GET /v1/saved/{id}" => configured::saved(&scope, request).await,
        "GET /v1/saved/{id}/runs" => runs::list(&scope, request, reader).await,
        "GET /v1/calendar" => calendar::calendar(&scope, request).await,
        "GET /v1/windows" => windows::list(&scope, request, reader).await,
        "GET /v1/windows/{id}" => windows::one(&scope, request).await,
        "GET /v1/windows/orders/{id}" => windows::order(&scope, request, reader).await,
        "GET /v1/streams" => streams::list(&scope, request, reader).await,
        "GET /v1/streams/{id}" => streams::one(&scope, request, reader).await,
        "GET /v1/alerts" => alerts::list(&scope, request, reader).await,
        "GET /v1/alerts/{id}" => alerts::one(&scope, request).await,
        _ => Err(Problem::internal(&format!(
            "no handler for route {route:?}, which the template sends here"
        ))),
    }
}
