//! The read side of the API. In reading order: [`api`], [`routes`] (the table of routes),
//! [`events`] (list, search, one event), [`counts`], [`feed`], [`page`] (how these write a page),
//! [`sessions`], [`windows`], [`findings`], [`reports`], [`reviews`], [`configured`] (settings,
//! and documents of any other kind), [`applications`] (their tests), [`runs`] (of saved searches),
//! [`calendar`], [`streams`], [`alerts`], [`about`] (the catalogue and the caller).

pub mod about;
pub mod alerts;
pub mod applications;
pub mod calendar;
pub mod configured;
pub mod connections;
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

use std::sync::Arc;

use aws_types::SdkConfig;
use shared::{
    http::{
        api::Api,
        authorization::{self, Access},
        reader::Reader,
        request::{self, Request},
        route::Answer,
    },
    platform::{
        clock,
        deployment_key::DeploymentKey,
        environment::{ConfigError, Variables},
    },
    storage::{Database, ReadError},
};

use crate::routes::{Call, SERVICE_ROUTES, ServiceRoute, TENANT_ROUTES, TenantCall, TenantRoute};

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

/// The API of this function.
///
/// # Errors
/// A variable is missing or invalid.
pub fn api(variables: &Variables, aws: &SdkConfig) -> Result<Api, ConfigError> {
    let function = Arc::new(Query::new(variables, aws)?);
    Ok(Api::default().routes(&function, SERVICE_ROUTES, dispatch_service).routes(
        &function,
        TENANT_ROUTES,
        dispatch_tenant,
    ))
}

fn dispatch_service<'r>(
    function: &'r Query,
    row: &'static ServiceRoute,
    request: &'r Request,
) -> Answer<'r> {
    Box::pin(async move {
        let caller = &function.access.caller(request)?;
        row.needs.check(caller)?;
        (row.handler)(&Call { function, caller, request }).await
    })
}

fn dispatch_tenant<'r>(
    function: &'r Query,
    row: &'static TenantRoute,
    request: &'r Request,
) -> Answer<'r> {
    Box::pin(async move {
        let caller = &function.access.caller(request)?;
        row.needs.check(caller)?;
        let tenant = authorization::tenant(caller, request)?;
        let deadline = request::deadline();
        let scope = function.database.scope(tenant, clock::now(), deadline).await?;
        let key = function.key.read(deadline).await.map_err(ReadError::from)?;
        let reader = Reader { caller, key };
        (row.handler)(&TenantCall { scope, request, reader }).await
    })
}
