//! Alerts: a test message to a channel.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use http::{HeaderValue, header};
use serde_json::json;
use shared::services::alert_outbox::{self, AlertContent};
use shared::{
    domain::{
        alerts::alert,
        configuration::alert_channel::WORD_BYTES,
        json::{object_reader, strict_json::FieldError},
    },
    http::{problem::Problem, request},
};

use crate::{Manage, routes::Call};

/// `POST /v1/alerts/test`: sends a test message to a channel, in the same way as alerts.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 503.
pub async fn test(
    Call { function: Manage { aws, watch, .. }, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let refused = |errors| Problem::invalid("no test message was queued", errors);
    let wanted = object_reader::read_object(&request::json_body(request)?, "", |mut fields| {
        let channel = fields.required_text("channel", WORD_BYTES);
        fields.refuse_others();
        channel
    });
    let wanted = wanted.map_err(refused)?;
    let channels = &scope.settings.alerts;
    let Some(channel) = channels.iter().find(|channel| channel.id == wanted) else {
        let known: Vec<_> = channels.iter().map(|channel| channel.id.as_str()).collect();
        let known = match known.is_empty() {
            true => "none is configured yet: PUT /v1/settings {\"alerts\": [...]}".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        return Err(refused(vec![FieldError::new(
            "/channel",
            format!("{wanted:?} is no channel; {known}"),
        )]));
    };
    let queued = alert_outbox::queue_test_alert(scope, channel, &caller.actor().shown()).await?;
    if let Err(error) = aws.invoke(watch, &json!({"alerts": true})).await {
        tracing::warn!(%error, "a test message is not sent at once, the schedule will: {error}");
    }
    let location = HeaderValue::from_str(&format!("/v1/alerts/{}", queued.alert.id));
    let AlertContent { alert, progress } = queued.content;
    let mut answer = request::json(202, &alert::answered(alert, progress));
    answer.headers.extend(location.map(|location| (header::LOCATION, location)));
    Ok(answer)
}
