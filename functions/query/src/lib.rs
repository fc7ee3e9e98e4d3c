//! The read side of the API. In reading order: [`handle`], [`routes`] (the table of routes),
//! [`events`] (list, search, one event), [`counts`], [`feed`], [`page`] (how these write a page),
//! [`sessions`], [`windows`], [`findings`], [`reports`], [`reviews`], [`configured`] (settings,
//! and documents of any other kind), [`runs`] (of saved searches), [`calendar`], [`streams`],
//! [`alerts`], [`about`] (the catalogue and the caller).

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
pub mod routes;
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
    http::{authorization::Access, problem::Problem, reader::Reader, request, route},
    platform::{
        deployment_key::DeploymentKey,
        environment::{ConfigError, Variables},
    },
    storage::{Database, ReadError},
};

use crate::routes::{Call, Handler, ROUTES, TenantCall};

/// What the function keeps between invocations: its configuration and clients.
#[derive(Debug)]
pub struct Query {
    access: Access,
    database: Database,
    key: DeploymentKey,
}

impl Query {
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            access: Access::from_variables(variables)?,
            database: Database::new(variables, aws)?,
            key: DeploymentKey::new(variables, aws)?,
        })
    }
}

/// Handles one request. An error becomes a problem document, so this never returns `Err`.
pub async fn handle(
    function: Arc<Query>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, Error> {
    // Boxed: the SDK's futures nest too deeply for the compiler to lay out in one piece.
    Ok(request::answer(Box::pin(answer(&function, &event.payload)).await))
}

async fn answer(
    function: &Query,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let caller = &function.access.caller(request)?;
    let row = route::find(ROUTES, request)?;
    row.needs.check(caller)?;
    match row.handler {
        Handler::Service(answer) => answer(&Call { function, caller, request }).await,
        Handler::Tenant(answer) => {
            let tenant = authorization::tenant(caller, request)?;
            let deadline = request::deadline();
            let scope = function.database.scope(tenant, clock::now(), deadline).await?;
            let key = function.key.read(deadline).await.map_err(ReadError::from)?;
            answer(&TenantCall { scope, request, reader: Reader { caller, key } }).await
        }
    }
}
