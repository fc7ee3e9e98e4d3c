//! Microsoft Graph: signs in with the client credentials of an app registration, and sends requests.
//!
//! Source: "The OAuth 2.0 client credentials flow" of the Microsoft identity platform.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use shared_domain::{
    configuration::directory::entra::Entra, trail::event::Tenant, windows::revocation::Failure,
};
use shared_platform::{
    outbound_http::{Answer, Outbound},
    secrets::Secrets,
};
use tokio::{sync::Mutex, time::Instant};

use crate::directories::{
    TIME, coded, failure, json_of, passing, refusal, send_within, without_secret,
};

/// How long before its expiry a token is no longer used.
const SHORTLY: Duration = Duration::from_secs(300);

/// Access tokens, each cached until shortly before its expiry.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<BTreeMap<String, Slot>>);

type Slot = Arc<Mutex<Option<Token>>>;

struct Token {
    text: String,
    until: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a token")
    }
}

/// Microsoft Graph for one app registration of one tenant of this service.
#[derive(Clone, Copy, Debug)]
pub struct Graph<'g> {
    pub outbound: &'g Outbound,
    pub secrets: &'g Secrets,
    pub tokens: &'g Tokens,
    pub tenant: &'g Tenant,
    pub entra: &'g Entra,
}

impl Graph<'_> {
    /// The owner and scope of a token. Another tenant of this service with the same app
    /// registration has to know its secret itself.
    fn token_key(&self) -> String {
        let Entra { tenant_id, client_id, login_url, graph_url, client_secret } = self.entra;
        [
            self.tenant.as_str(),
            login_url,
            graph_url,
            tenant_id,
            client_id,
            &client_secret.to_string(),
        ]
        .join(" ")
    }

    /// The access token, from the cache or a new one.
    pub async fn token(&self) -> Result<String, Failure> {
        // Concurrent callers of the same token wait for one request; other callers do not wait.
        let slot = self.tokens.0.lock().await.entry(self.token_key()).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.text.clone());
        }
        let Self { outbound, secrets, tenant, entra, .. } = *self;
        let Entra { tenant_id, client_id, client_secret, graph_url, login_url } = entra;
        let secret = secrets.read(tenant, client_secret).await?;
        let secret = secret.for_url(login_url)?.trim();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client_id)
            .append_pair("client_secret", secret)
            .append_pair("scope", &format!("{graph_url}/.default"))
            .finish();
        let url = format!("{login_url}/{}/oauth2/v2.0/token", coded(tenant_id));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = send_within(TIME, outbound, "POST", &url, &headers, form).await?;
        let answer = without_secret(answer, secret);
        if answer.status != 200 {
            secrets.forget(tenant, client_secret);
            let failure = failure(&answer);
            return Err(if failure.is_refusal {
                refusal("credentials", format!("no token for {client_id}: {}", failure.detail))
            } else {
                failure
            });
        }
        let answer = json_of(&answer)?;
        let (Some(text), Some(seconds)) =
            (answer["access_token"].as_str(), answer["expires_in"].as_u64())
        else {
            return Err(passing("unreadable", "the token endpoint gave no token".to_owned()));
        };
        let lasts = Duration::from_secs(seconds.min(86_400));
        let until = Instant::now() + lasts.checked_sub(SHORTLY).unwrap_or(lasts / 2);
        *slot = Some(Token { text: text.to_owned(), until });
        Ok(text.to_owned())
    }

    /// Sends a request. After a rejected token, it fetches a new one and tries once more.
    pub async fn ask(
        &self,
        method: &str,
        url: &str,
        body: Option<&Value>,
        time: Duration,
    ) -> Result<Answer, Failure> {
        let mut is_second = false;
        loop {
            let token = self.token().await?;
            let authorization = format!("Bearer {token}");
            let headers =
                [("authorization", authorization.as_str()), ("content-type", "application/json")];
            let text = body.map(Value::to_string).unwrap_or_default();
            let answer = send_within(time, self.outbound, method, url, &headers, text).await?;
            let answer = without_secret(answer, &token);
            if answer.status != 401 || is_second {
                return Ok(answer);
            }
            self.tokens.0.lock().await.remove(&self.token_key());
            self.secrets.forget(self.tenant, &self.entra.client_secret);
            is_second = true;
        }
    }
}
