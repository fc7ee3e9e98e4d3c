//! The tenant's settings.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde::Serialize;
use shared::{
    access::Caller,
    api,
    application::Place,
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
    place: Place,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    #[derive(Serialize)]
    struct Answer<'s> {
        #[serde(flatten)]
        settings: &'s Settings,
        #[serde(skip_serializing_if = "Option::is_none")]
        notice: Option<String>,
    }
    let json = api::json_body(request)?;
    let mut settings = trail.settings.clone();
    // As they were before this request, whatever an attempt of it did whose answer was lost.
    let mut first: Option<Settings> = None;
    // Two at a time that name different things both take effect: what is not named is read anew.
    let want = |there: Option<&Document>| -> Result<Wanted, Problem> {
        let before: Settings = there.map(Document::read).transpose()?.flatten().unwrap_or(trail.settings.clone());
        settings = before
            .changed_by(&json, place)
            .map_err(|errors| Problem::invalid("the settings were not changed", errors))?;
        let unconfigured = serde_json::to_value(&before).map_err(|error| Problem::internal(&error))?;
        first.get_or_insert(before);
        // A choice that is the service's own today is still a choice: tomorrow the service's own may be another.
        let content = serde_json::to_value(&settings).map_err(|error| Problem::internal(&error))?;
        Ok(Wanted { content: Some(content), unconfigured: Some(unconfigured), ..Wanted::default() })
    };
    trail.configure(Kind::Settings, Kind::Settings.word(), caller, want).await?;
    let notice = first.and_then(|before| settings.retention_notice(&before));
    Ok(api::json(200, &Answer { notice, settings: &settings }))
}
