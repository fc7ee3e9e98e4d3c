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
    storage::{Store, Trail},
};

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Manage {
    access: Access,
    store: Store,
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
            store: Store::new(variables, aws)?,
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
    let trail =
        function.store.trail(authorization::tenant(&caller, request)?, now, deadline).await?;
    let answered = match authorization::require(&caller, permission) {
        Ok(()) => change(function, &trail, request, &caller, route).await,
        Err(refused) => Err(refused),
    };
    if let Err(problem) = &answered
        && problem.status == 403
    {
        shared::http::refusals::record(&trail, request, &caller, problem).await?;
    }
    answered
}

/// Does what the caller may do.
async fn change(
    function: &Manage,
    trail: &Trail<'_>,
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
            settings::put(trail, request, caller, function.place, &function.foresight).await
        }
        "PUT /v1/people/{id}" => people::put(trail, request, caller).await,
        "PUT /v1/applications/{id}" => {
            let configuring = applications::Configuring {
                place: function.place,
                foresight: &function.foresight,
                store: &function.store,
            };
            applications::put(trail, request, caller, configuring).await
        }
        "DELETE /v1/applications/{id}" => applications::delete(trail, request, caller, sweep).await,
        "PUT /v1/packages/{id}" => packages::put(trail, request, caller).await,
        "DELETE /v1/packages/{id}" => packages::delete(trail, request, caller).await,
        "PUT /v1/organisations/{id}" => organisations::put(trail, request, caller).await,
        "DELETE /v1/organisations/{id}" => organisations::delete(trail, request, caller).await,
        "POST /v1/findings/{id}/disposition" => findings::disposition(trail, request, caller).await,
        "POST /v1/reviews" => reviews::open(trail, request, caller).await,
        "POST /v1/reviews/{id}/decisions" => reviews::decide(trail, request, caller).await,
        "POST /v1/reviews/{id}/sign-off" => reviews::sign_off(trail, request, caller).await,
        "PUT /v1/saved/{id}" => saved::put(trail, request, caller).await,
        "DELETE /v1/saved/{id}" => saved::delete(trail, request, caller).await,
        "POST /v1/projections/rebuild" => {
            findings::rebuild(trail, &function.aws, &function.watch).await
        }
        "POST /v1/windows/{id}/extend" => windows::extend(trail, request, caller, sweep).await,
        "POST /v1/windows/{id}/end" => windows::end(trail, request, caller, sweep).await,
        "POST /v1/windows/{id}/retry" => windows::retry(trail, request, caller, sweep).await,
        "POST /v1/windows/{id}/close" => windows::close(trail, request, caller).await,
        "POST /v1/windows/end" => windows::end_by_filter(trail, request, caller, sweep).await,
        "POST /v1/alerts/test" => {
            alerts::test(trail, request, caller, &function.aws, &function.watch).await
        }
        "PUT /v1/streams/{id}" => {
            streams::put(trail, request, caller, function.place, &sender).await
        }
        "DELETE /v1/streams/{id}" => streams::delete(trail, request, caller, &sender).await,
        "POST /v1/streams/{id}/replay" => streams::replay(trail, request, caller, &sender).await,
        "POST /v1/streams/{id}/test" => streams::test(trail, request, caller, &sender).await,
        "POST /v1/windows/reconcile" => windows::reconcile(trail, sweep).await,
        _ => Err(Problem::internal(&format!(
            "no handler for route {route:?}, which the template sends here"
        ))),
    }
}
