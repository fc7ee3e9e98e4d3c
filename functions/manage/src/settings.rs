//! The tenant's settings.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde::Serialize;
use shared::{
    access::Caller,
    api,
    problem::Problem,
    settings::Settings,
    store::{
        Trail,
        document::{Kind, Wanted},
    },
};

/// `PUT /v1/settings`: changes what the body names; the rest stays.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 503.
pub async fn put(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    #[derive(Serialize)]
    struct Answer<'s> {
        #[serde(flatten)]
        settings: &'s Settings,
        #[serde(skip_serializing_if = "Option::is_none")]
        notice: Option<String>,
    }
    let settings = trail
        .settings
        .changed_by(&api::json_body(request)?)
        .map_err(|errors| Problem::invalid("the settings were not changed", errors))?;
    if settings != trail.settings {
        let content = serde_json::to_value(&settings).map_err(|error| Problem::internal(&error))?;
        let kind = Kind::Settings;
        let wanted = Wanted { kind, id: kind.word(), content: Some(content), aliases: Vec::new(), shown: None };
        trail.configure(&wanted, caller).await?;
    }
    Ok(api::json(200, &Answer { notice: settings.retention_notice(&trail.settings), settings: &settings }))
}
