//! Alerts: a test message to a channel.

use serde_json::json;
use shared::{
    domain::{
        alerts::alert::AlertAnswer,
        configuration::alert_channel::{TestAlertRequest, WORD_BYTES},
        json::{object_reader, strict_json::FieldError},
    },
    http::{input::Body, output::Accepted, problem::Problem},
    services::alert_outbox::{self, AlertContent},
};

use crate::{Manage, routes::Call};

/// `POST /v1/alerts/test`: sends a test message to a channel, in the same way as alerts.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 503.
pub async fn test(
    Call { function: Manage { aws, watch, .. }, scope, caller, .. }: &Call<'_>,
    body: Body<TestAlertRequest>,
) -> Result<Accepted<AlertAnswer>, Problem> {
    let refusal = "no test message was queued";
    let refused = |errors| Problem::invalid(refusal, errors);
    let wanted = body.read_with(refusal, |json| {
        object_reader::read_object(json, "", |mut fields| {
            let channel = fields.required_text("channel", WORD_BYTES);
            fields.refuse_others();
            channel
        })
    })?;
    let channels = &scope.settings.alerts;
    let Some(channel) = channels.iter().find(|channel| channel.id == wanted) else {
        let known: Vec<_> = channels.iter().map(|channel| channel.id.as_str()).collect();
        let known = match known.is_empty() {
            true => "no channel is configured yet: PUT /v1/settings {\"alerts\": [...]}".to_owned(),
            false => format!("the channels are {}", known.join(", ")),
        };
        return Err(refused(vec![FieldError::new(
            "/channel",
            format!("there is no channel {wanted:?}; {known}"),
        )]));
    };
    let queued = alert_outbox::queue_test_alert(scope, channel, &caller.actor().shown()).await?;
    if let Err(error) = aws.invoke(watch, &json!({"alerts": true})).await {
        tracing::warn!(%error, "a test message is not sent at once, the schedule will: {error}");
    }
    let location = Some(format!("/v1/alerts/{}", queued.alert.id));
    let AlertContent { alert, progress } = queued.content;
    Ok(Accepted { body: AlertAnswer::new(alert, progress), location })
}
