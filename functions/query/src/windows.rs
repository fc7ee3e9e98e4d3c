//! Windows: which accounts may be enabled, until when, and how their ends went.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::{
    api::{self, Parameters},
    folding::fold,
    paging,
    problem::Problem,
    store::Trail,
    window::{self, STATES, Window},
};

/// `GET /v1/windows/{id}`: one window.
///
/// # Errors
/// 404, 503.
pub async fn one(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("no window with this id is in the tenant's trail");
    let id = api::configured_id(request).map_err(|_| missing())?;
    let window = trail.window(id).await?.ok_or_else(missing)?.window;
    Ok(api::json(200, &window.answered(trail.now)))
}

/// `GET /v1/windows`: windows, the newest first; those of an account, an application, in a state.
///
/// # Errors
/// 400 for a wrong or unknown parameter, 503.
pub async fn list(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["state", "account", "application", "limit", "cursor"])?;
    let state = parameters.read_as("state", |text| {
        let known = STATES.iter().find(|state| **state == text);
        known.copied().ok_or_else(|| format!("{text:?} must be one of {}", STATES.join(", ")))
    })?;
    let account = parameters.get("account").map(fold);
    let application = parameters.get("application");
    let is_wanted = |window: &Window| {
        state.is_none_or(|state| window.state(trail.now) == state)
            && account.as_ref().is_none_or(|account| window::names(&window.account).any(|name| name == *account))
            && application.is_none_or(|id| window.application.as_ref().is_some_and(|application| application.id == id))
    };
    let read = async |before: Option<&str>| {
        let (windows, goes_on) = trail.windows(before).await?;
        let read = |window: Window| {
            let answered = is_wanted(&window).then(|| window.answered(trail.now));
            (window.id, answered)
        };
        Ok::<_, Problem>((windows.into_iter().map(read).collect(), goes_on))
    };
    paging::list(trail, &parameters, "windows", read).await
}
