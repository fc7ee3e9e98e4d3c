//! Sends alerts to their channels: webhooks, the deployment's SNS topic and its event bus.

use std::time::Duration;

use aws_types::SdkConfig;
use serde_json::Value;
use shared::{
    domain::{
        alerts::{
            alert::Alert,
            delivery::Refusal,
            messages::{eventbridge, slack, sns, teams},
        },
        configuration::{
            alert_channel::{Channel, Transport},
            application::SecretName,
        },
        trail::event::Tenant,
    },
    platform::{
        aws_client::{Aws, CallError},
        environment::{ConfigError, Variables},
        outbound_http::{NoAnswer, Outbound},
        secrets::{Purpose, Secrets},
    },
};

/// Timeout of a webhook call.
const WEBHOOK: Duration = Duration::from_secs(10);
/// Longest error word of a webhook's response that is logged and stored.
const LONGEST_WORD: usize = 40;

/// The clients and settings for all kinds of channels.
#[derive(Debug)]
pub struct AlertChannels {
    outbound: Outbound,
    secrets: Secrets,
    aws: Aws,
    topic: String,
    bus: String,
    /// The URL of the audit page, if it is configured. Alerts link to it.
    page: Option<String>,
}

impl AlertChannels {
    pub fn new(
        variables: &Variables,
        aws: &SdkConfig,
        outbound: Outbound,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            outbound,
            secrets: Secrets::new(variables, aws, Purpose::Webhook)?,
            aws: Aws::new(aws),
            topic: variables.text("ALERT_TOPIC")?.to_owned(),
            bus: variables.text("ALERT_BUS")?.to_owned(),
            page: variables.optional("PUBLIC_URL").filter(|url| !url.is_empty()).map(str::to_owned),
        })
    }

    pub(crate) async fn send(
        &self,
        tenant: &Tenant,
        channel: &Channel,
        alert: &Alert,
    ) -> Result<(), Refusal> {
        let link = alert.link(self.page.as_deref());
        let link = link.as_deref();
        match &channel.way {
            Transport::Slack { url } => {
                self.post(tenant, url, &slack::for_slack(alert, link)).await
            }
            Transport::Teams { url } => {
                self.post(tenant, url, &teams::for_teams(alert, link)).await
            }
            Transport::Sns => Ok(self
                .aws
                .publish(&self.topic, &sns::for_sns(tenant, alert, link))
                .await
                .map_err(of_aws)?),
            Transport::EventBridge => Ok(self
                .aws
                .put_event(&self.bus, &eventbridge::for_eventbridge(tenant, alert, link))
                .await
                .map_err(of_aws)?),
        }
    }

    /// Posts to a webhook. Its URL is the secret with this name.
    async fn post(&self, tenant: &Tenant, name: &SecretName, body: &Value) -> Result<(), Refusal> {
        // A missing secret is retried, because an administrator can still add it.
        let read = async || {
            let secret = self.secrets.read(tenant, name).await;
            let address = secret.and_then(|secret| secret.as_url().map(str::to_owned));
            address.map_err(|failure| passing(failure.detail))
        };
        let address = read().await?;
        let refused = match self.post_to(&address, body).await {
            Err(refusal) if refusal.is_final => refusal,
            other => return other,
        };
        // The webhook may have been replaced: the cached URL is the old one. Read the secret again.
        self.secrets.forget(tenant, name);
        match read().await? {
            other if other == address => Err(refused),
            other => self.post_to(&other, body).await,
        }
    }

    async fn post_to(&self, address: &str, body: &Value) -> Result<(), Refusal> {
        let address = address.trim();
        let request = http::Request::post(address)
            .header("content-type", "application/json")
            .body(body.to_string());
        let request = request.map_err(|_| {
            refusal("the secret does not contain the address of a webhook".to_owned())
        })?;
        let hidden = Hidden::of(request.uri());
        let answer = self.outbound.send(request, WEBHOOK).await.map_err(|error| match error {
            NoAnswer::Forbidden(detail) => {
                refusal(format!("the webhook's address is not allowed: {}", hidden.from(&detail)))
            }
            NoAnswer::Broken(detail) => {
                passing(format!("the webhook did not respond: {}", hidden.from(&detail)))
            }
        })?;
        let status = answer.status;
        let said = said(&answer.body).map_or_else(String::new, |word| format!(", {word}"));
        match status {
            200..=299 => Ok(()),
            408 | 429 | 500..=599 => Err(Refusal {
                retry_after: answer.retry_after(),
                ..passing(format!("the webhook responded with {status}{}", hidden.from(&said)))
            }),
            300..=399 => Err(refusal(format!(
                "the webhook responded with {status}, and redirects are not followed"
            ))),
            _ => Err(refusal(format!("the webhook responded with {status}{}", hidden.from(&said)))),
        }
    }
}

/// The parts of a webhook's URL, to remove them from error texts. Anyone who has the URL can post
/// to the channel.
struct Hidden(Vec<String>);

impl Hidden {
    fn of(uri: &http::Uri) -> Self {
        let parts = [
            uri.path_and_query().map(|it| it.as_str()),
            uri.authority().map(|it| it.as_str()),
            uri.host(),
        ];
        let parts = parts.into_iter().flatten().filter(|part| part.len() > 1).map(str::to_owned);
        Self([uri.to_string()].into_iter().chain(parts).collect())
    }

    /// The text with these parts replaced.
    fn from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, part| text.replace(part, "(its address)"))
    }
}

/// The error of a webhook, if the response is a single word as Slack sends it (`no_service`). Other
/// responses are not shown, because they may contain anything.
fn said(body: &[u8]) -> Option<&str> {
    let word = std::str::from_utf8(body).ok()?.trim();
    let is_word = (1..=LONGEST_WORD).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some(word)
}

/// A failure that is worth a retry.
fn passing(error: String) -> Refusal {
    Refusal { error, is_final: false, retry_after: None }
}

/// A failure that no retry can fix.
fn refusal(error: String) -> Refusal {
    Refusal { error, is_final: true, retry_after: None }
}

/// A failure of the deployment's own topic or bus. Always retried: the operator can fix it within
/// the day for which an alert is retried.
fn of_aws(error: CallError) -> Refusal {
    passing(error.detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_address_is_never_told() {
        let hidden =
            Hidden::of(&"https://hooks.slack.com:8443/services/T0/B0/x?sig=y".parse().unwrap());
        for text in [
            "hooks.slack.com did not respond within 10s",
            "cannot POST /services/T0/B0/x?sig=y",
            "https://hooks.slack.com:8443/services/T0/B0/x?sig=y",
            "hooks.slack.com:8443: connection refused",
        ] {
            let told = hidden.from(text);
            assert!(
                !told.contains("slack") && !told.contains("T0") && !told.contains("8443"),
                "{told}"
            );
            assert!(told.contains("(its address)"), "{told}");
        }
        // The path of a URL without a path is `/`, which must not be replaced.
        assert_eq!(Hidden::of(&"https://hooks.example/".parse().unwrap()).from("a/b"), "a/b");
    }

    #[test]
    fn of_an_answer_one_word_is_told() {
        for (body, word) in [
            ("no_service", Some("no_service")),
            ("invalid_payload\n", Some("invalid_payload")),
            ("<h1>Cannot POST /services/T0</h1>", None),
            ("a".repeat(41).as_str(), None),
            ("", None),
        ] {
            assert_eq!(said(body.as_bytes()), word, "{body}");
        }
    }
}
