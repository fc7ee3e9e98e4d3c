//! The API for changes of settings, people, applications, packages, organisations, connections,
//! streams, windows, findings, reviews, their plans and saved searches. In reading order: [`api`],
//! [`routes`], [`configured`] (documents of any kind), [`configured_list`] (many of them),
//! [`settings`], [`applications`], [`connections`], [`streams`], [`windows`], [`findings`],
//! [`reviews`], [`review_plans`], [`saved`], [`alerts`] (test alerts).
//!
//! Every change is stored in one transaction with an event that contains the old and the new
//! content.

pub mod alerts;
pub mod applications;
pub mod configured;
pub mod configured_list;
pub mod connections;
pub mod findings;
pub mod review_plans;
pub mod reviews;
pub mod routes;
pub mod saved;
pub mod settings;
pub mod streams;
pub mod windows;

use std::sync::Arc;

use aws_types::SdkConfig;
use axum::response::Response;
use shared::{
    domain::configuration::application::Place,
    http::{
        api::Api,
        authorization::{self, Access},
        precondition,
        problem::Problem,
        refusals,
        request::{self, Request},
        route::{Answer, Method},
    },
    platform::{
        aws_client::Aws,
        clock,
        disable_trigger::Sweep,
        environment::{self, ConfigError, Variables},
        secrets::Foresight,
    },
    storage::{Database, documents::Precondition},
};

use crate::routes::{Call, ManageRoute, ROUTES};

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
    /// The function that collects from connections.
    collect: String,
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
            collect: variables.text("COLLECT_FUNCTION")?.to_owned(),
        })
    }
}

/// The API of this function.
///
/// # Errors
/// A variable is missing or invalid.
pub fn api(variables: &Variables, aws: &SdkConfig) -> Result<Api, ConfigError> {
    let function = Arc::new(Manage::new(variables, aws)?);
    Ok(Api::default().routes(&function, ROUTES, dispatch))
}

/// Records calls that are refused for a missing permission.
fn dispatch<'r>(
    function: &'r Manage,
    row: &'static ManageRoute,
    request: &'r Request,
) -> Answer<'r> {
    Box::pin(async move {
        let (now, deadline) = (clock::now(), request::deadline());
        let caller = &function.access.caller(request)?;
        let tenant = authorization::tenant(caller, request)?;
        let scope = function.database.scope(tenant, now, deadline).await?;
        let mut call =
            Call { function, scope, request, caller, precondition: Precondition::default() };
        let answered = change(row, &mut call).await;
        if let Err(problem) = &answered
            && problem.status == 403
        {
            refusals::record(&call.scope, request, caller, problem).await?;
        }
        answered
    })
}

/// Calls the handler if the caller has the permission.
async fn change(row: &'static ManageRoute, call: &mut Call<'_>) -> Result<Response, Problem> {
    row.needs.check(call.caller)?;
    call.precondition = precondition::read(call.request)?;
    if row.method == Method::POST && call.precondition != Precondition::None {
        return Err(Problem::bad_request(
            "this call does not accept the header If-Match or If-None-Match; only PUT and DELETE of a document do",
        ));
    }
    (row.handler)(call).await
}
