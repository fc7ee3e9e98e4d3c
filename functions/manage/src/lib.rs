//! What people change: settings, people, applications, packages, organisations, streams, windows, findings, reviews, saved searches. In reading
//! order: [`handle`], [`settings`], [`people`], [`applications`], [`packages`], [`organisations`], [`streams`], [`windows`], [`findings`], [`reviews`],
//! [`saved`], [`alerts`] (a channel tried out).
//!
//! Every change is an event with the old and the new content, stored in one transaction with it.

pub mod alerts;
pub mod applications;
pub mod findings;
pub mod organisations;
pub mod packages;
pub mod people;
pub mod reviews;
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
    domain::{
        configuration::application::Place,
        identity::caller::{Caller, Permission},
    },
    http::{
        authorization::Access,
        problem::Problem,
        request::{self, Parameters},
    },
    platform::{
        aws_client::Aws,
        disable_trigger::Sweep,
        environment::{ConfigError, Variables},
        secrets::Foresight,
    },
    storage::{Database, TenantScope},
};

/// What the function keeps between invocations.
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
    /// A variable is missing or unusable.
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

/// Answers one request.
///
/// # Errors
/// None: what goes wrong is answered as a problem.
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
    let caller = function.access.caller(request)?;
    let route = request.request_context.route_key.as_deref().unwrap_or_default();
    let is_operating = ["POST /v1/windows/", "POST /v1/findings/", "POST /v1/reviews"]
        .iter()
        .any(|those| route.starts_with(those));
    // Whoever may read may save what they read again and again; whose it is decides who may change it.
    let is_saving =
        ["PUT /v1/saved/", "DELETE /v1/saved/"].iter().any(|those| route.starts_with(those));
    let permission = match (is_operating, is_saving) {
        (true, _) => Permission::Operate,
        (false, true) => Permission::Read,
        (false, false) => Permission::Admin,
    };
    let scope =
        function.database.scope(authorization::tenant(&caller, request)?, now, deadline).await?;
    let answered = match authorization::require(&caller, permission) {
        Ok(()) => change(function, &scope, request, &caller, route).await,
        Err(refused) => Err(refused),
    };
    if let Err(problem) = &answered
        && problem.status == 403
    {
        shared::http::refusals::record(&scope, request, &caller, problem).await?;
    }
    answered
}

/// Does what the caller may do.
async fn change(
    function: &Manage,
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    route: &str,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let sweep = &function.sweep;
    let sender = streams::Sender {
        aws: &function.aws,
        forward: &function.forward,
        foresight: &function.foresight,
    };
    match route {
        "PUT /v1/settings" => {
            settings::put(scope, request, caller, function.place, &function.foresight).await
        }
        "PUT /v1/people/{id}" => people::put(scope, request, caller).await,
        "PUT /v1/applications/{id}" => {
            let configuring = applications::Configuring {
                place: function.place,
                foresight: &function.foresight,
                database: &function.database,
            };
            applications::put(scope, request, caller, configuring).await
        }
        "DELETE /v1/applications/{id}" => applications::delete(scope, request, caller, sweep).await,
        "PUT /v1/packages/{id}" => packages::put(scope, request, caller).await,
        "DELETE /v1/packages/{id}" => packages::delete(scope, request, caller).await,
        "PUT /v1/organisations/{id}" => organisations::put(scope, request, caller).await,
        "DELETE /v1/organisations/{id}" => organisations::delete(scope, request, caller).await,
        "POST /v1/findings/{id}/disposition" => findings::disposition(scope, request, caller).await,
        "POST /v1/reviews" => reviews::open(scope, request, caller).await,
        "POST /v1/reviews/{id}/decisions" => reviews::decide(scope, request, caller).await,
        "POST /v1/reviews/{id}/sign-off" => reviews::sign_off(scope, request, caller).await,
        "PUT /v1/saved/{id}" => saved::put(scope, request, caller).await,
        "DELETE /v1/saved/{id}" => saved::delete(scope, request, caller).await,
        "POST /v1/projections/rebuild" => {
            findings::rebuild(scope, &function.aws, &function.watch).await
        }
        "POST /v1/windows/{id}/extend" => windows::extend(scope, request, caller, sweep).await,
        "POST /v1/windows/{id}/end" => windows::end(scope, request, caller, sweep).await,
        "POST /v1/windows/{id}/retry" => windows::retry(scope, request, caller, sweep).await,
        "POST /v1/windows/{id}/close" => windows::close(scope, request, caller).await,
        "POST /v1/windows/end" => windows::end_by_filter(scope, request, caller, sweep).await,
        "POST /v1/alerts/test" => {
            alerts::test(scope, request, caller, &function.aws, &function.watch).await
        }
        "PUT /v1/streams/{id}" => {
            streams::put(scope, request, caller, function.place, &sender).await
        }
        "DELETE /v1/streams/{id}" => streams::delete(scope, request, caller, &sender).await,
        "POST /v1/streams/{id}/replay" => streams::replay(scope, request, caller, &sender).await,
        "POST /v1/streams/{id}/test" => streams::test(scope, request, caller, &sender).await,
        "POST /v1/windows/reconcile" => windows::reconcile(scope, sweep).await,
        _ => Err(Problem::internal(&format!(
            "no handler for route {route:?}, which the template sends here"
        ))),
    }
}
