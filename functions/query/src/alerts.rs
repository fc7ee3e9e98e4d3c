//! Alerts: which alert went to which channel, and whether the channel accepted it.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::services::alert_outbox;
use shared::{
    domain::alerts::{alert, delivery::State},
    http::{
        pagination,
        problem::Problem,
        request::{self, Parameters},
    },
    services::alert_outbox::{AlertContent, StoredAlert},
};
use strum::VariantNames;

use crate::routes::TenantCall;

/// `GET /v1/alerts/{id}`: one alert.
pub async fn one(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || {
        Problem::not_found(
            "no alert with this id is in the tenant's outbox; they are kept for 30 days",
        )
    };
    let id = request::configured_id(request).map_err(|_| missing())?;
    let AlertContent { alert, progress } =
        alert_outbox::alert(scope, id).await?.ok_or_else(missing)?.content;
    Ok(request::json(200, &alert::answered(alert, progress)))
}

/// `GET /v1/alerts`: alerts, newest first, optionally filtered by state.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["state", "limit", "cursor"])?;
    let state = parameters.read_as("state", |text| {
        text.parse::<State>()
            .map_err(|_| format!("{text:?} must be one of {}", State::VARIANTS.join(", ")))
    })?;
    let read = async |before: Option<&str>| {
        let (alerts, goes_on) = alert_outbox::alerts(scope, before).await?;
        let read = |stored: StoredAlert| {
            let AlertContent { alert, progress } = stored.content;
            let is_wanted = state.is_none_or(|state| progress.state == state);
            (alert.id.clone(), is_wanted.then(|| alert::answered(alert, progress)))
        };
        Ok::<_, Problem>((alerts.into_iter().map(read).collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, "alerts", read).await
}
