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
        document::{Document, Kind, Wanted},
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
    let json = api::json_body(request)?;
    let (mut before, mut settings) = (trail.settings.clone(), trail.settings.clone());
    // Two at a time that name different things both take effect: what is not named is read anew.
    let want = |there: Option<&Document>| -> Result<Wanted, Problem> {
        before = there.map(Document::read).transpose()?.flatten().unwrap_or(trail.settings.clone());
        settings =
            before.changed_by(&json).map_err(|errors| Problem::invalid("the settings were not changed", errors))?;
        let is_chosen = there.is_some() || settings != before;
        let content = is_chosen.then(|| serde_json::to_value(&settings)).transpose();
        let content = content.map_err(|error| Problem::internal(&error))?;
        Ok(Wanted { content, aliases: Vec::new(), shown: None })
    };
    trail.configure(Kind::Settings, Kind::Settings.word(), caller, want).await?;
    Ok(api::json(200, &Answer { notice: settings.retention_notice(&before), settings: &settings }))
}
