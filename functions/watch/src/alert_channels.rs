//! How alerts reach their channels: webhooks, the deployment's topic and its bus.

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
            alert_channel::{Channel, Way},
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

/// How long a webhook may take.
const WEBHOOK: Duration = Duration::from_secs(10);
/// Longest word of a webhook that is told.
const LONGEST_WORD: usize = 40;

/// What channels are reached by.
#[derive(Debug)]
pub struct AlertChannels {
    outbound: Outbound,
    secrets: Secrets,
    aws: Aws,
    topic: String,
    bus: String,
    /// Where people see findings, if somebody said where that is.
    page: Option<String>,
}

impl AlertChannels {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing.
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
            Way::Slack { url } => self.post(tenant, url, &slack::for_slack(alert, link)).await,
            Way::Teams { url } => self.post(tenant, url, &teams::for_teams(alert, link)).await,
            Way::Sns => Ok(self
                .aws
                .publish(&self.topic, &sns::for_sns(tenant, alert, link))
                .await
                .map_err(of_aws)?),
            Way::EventBridge => Ok(self
                .aws
                .put_event(&self.bus, &eventbridge::for_eventbridge(tenant, alert, link))
                .await
                .map_err(of_aws)?),
        }
    }

    /// Posts to the webhook whose address is the secret of that name.
    async fn post(&self, tenant: &Tenant, name: &SecretName, body: &Value) -> Result<(), Refusal> {
        // Who forgot to put a secret there can still do it.
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
        // A webhook that was replaced refuses by its old address, which may be the one that was kept here.
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
        let request = request
            .map_err(|_| refusal("the secret does not hold the address of a webhook".to_owned()))?;
        let hidden = Hidden::of(request.uri());
        let answer = self.outbound.send(request, WEBHOOK).await.map_err(|error| match error {
            NoAnswer::Forbidden(detail) => {
                refusal(format!("the webhook's address is refused: {}", hidden.from(&detail)))
            }
            NoAnswer::Broken(detail) => {
                passing(format!("the webhook gave no answer: {}", hidden.from(&detail)))
            }
        })?;
        let status = answer.status;
        let said = said(&answer.body).map_or_else(String::new, |word| format!(", {word}"));
        match status {
            200..=299 => Ok(()),
            408 | 429 | 500..=599 => Err(Refusal {
                retry_after: answer.retry_after(),
                ..passing(format!("the webhook answered {status}{}", hidden.from(&said)))
            }),
            300..=399 => Err(refusal(format!(
                "the webhook answered {status}, and redirects are not followed"
            ))),
            _ => Err(refusal(format!("the webhook answered {status}{}", hidden.from(&said)))),
        }
    }
}

/// What may not be told of a webhook: whoever knows its address can write to the channel.
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

    /// The text without it.
    fn from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, part| text.replace(part, "(its address)"))
    }
}

/// What a webhook says is wrong, if it says it in one word as Slack does (`no_service`). Other answers may hold anything.
fn said(body: &[u8]) -> Option<&str> {
    let word = std::str::from_utf8(body).ok()?.trim();
    let is_word = (1..=LONGEST_WORD).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some(word)
}

/// It may work when it is tried again.
fn passing(error: String) -> Refusal {
    Refusal { error, is_final: false, retry_after: None }
}

/// It is of no use to try it again.
fn refusal(error: String) -> Refusal {
    Refusal { error, is_final: true, retry_after: None }
}

/// The deployment's own topic and bus: whatever is wrong with them can be put right within a day.
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
            "hooks.slack.com did not answer within 10s",
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
        // One that is only a host hides no slash.
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
