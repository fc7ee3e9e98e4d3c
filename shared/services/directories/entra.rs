//! Microsoft Entra ID by Microsoft Graph v1.0: client credentials, `PATCH /users/{id}`, `revokeSignInSessions`, read back.
//!
//! Sources: "Update user", "user: revokeSignInSessions", "Get a user" and "Throttling limits" of the Microsoft Graph reference; "The OAuth
//! 2.0 client credentials flow" of the Microsoft identity platform.

mod write_budget;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared_domain::{
    configuration::directory::entra::Entra, trail::event::Tenant, windows::revocation::Failure,
};
use shared_platform::outbound_http::Answer;
use shared_storage::Database;
use tokio::{sync::Mutex, time::Instant};

use self::write_budget::WriteBudget;
use super::{Account, Directories, Name, coded, failure, only, passing, refusal, send};

const SELECT: &str = "$select=id,userPrincipalName,mail,mailNickname,accountEnabled,userType";
/// How long before its expiry a token is no longer used.
const SHORTLY: Duration = Duration::from_secs(300);

/// What all requests to Microsoft Graph share.
#[derive(Debug)]
pub(super) struct Graph {
    /// Access tokens, each cached until shortly before its expiry.
    tokens: Mutex<BTreeMap<String, Arc<Mutex<Option<Token>>>>>,
    budget: WriteBudget,
}

impl Graph {
    pub(super) fn new(database: Database) -> Self {
        Self { tokens: Mutex::default(), budget: WriteBudget::new(database) }
    }

    pub(super) async fn begin_run(&self) {
        self.budget.begin_run().await;
    }
}

struct Token {
    text: String,
    until: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a token")
    }
}

#[derive(Debug)]
pub struct Connection<'d> {
    directories: &'d Directories,
    tenant: &'d Tenant,
    entra: &'d Entra,
}

impl<'d> Connection<'d> {
    pub(super) fn new(directories: &'d Directories, tenant: &'d Tenant, entra: &'d Entra) -> Self {
        Self { directories, tenant, entra }
    }

    pub(super) async fn admit(&self) -> Result<Result<(), Duration>, Failure> {
        // The token is fetched first: only a successful sign-in uses the app's rate limit.
        self.token().await?;
        // Disabling is one write, revoking sessions another.
        self.directories.graph.budget.take(&self.entra.client_id, &self.entra.tenant_id, 2).await
    }

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

    async fn token(&self) -> Result<String, Failure> {
        // Concurrent callers of the same token wait for one request; other callers do not wait.
        let slot =
            self.directories.graph.tokens.lock().await.entry(self.token_key()).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.text.clone());
        }
        let Directories { outbound, secrets, .. } = self.directories;
        let Entra { tenant_id, client_id, client_secret, graph_url, login_url } = self.entra;
        let secret = secrets.read(self.tenant, client_secret).await?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client_id)
            .append_pair("client_secret", secret.for_url(login_url)?.trim())
            .append_pair("scope", &format!("{graph_url}/.default"))
            .finish();
        let url = format!("{login_url}/{}/oauth2/v2.0/token", coded(tenant_id));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = send(outbound, "POST", &url, &headers, form).await?;
        if answer.status != 200 {
            secrets.forget(self.tenant, client_secret);
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
            return Err(passing("unreadable", "the token endpoint returned no token".to_owned()));
        };
        let lasts = Duration::from_secs(seconds.min(86_400));
        let until = Instant::now() + lasts.checked_sub(SHORTLY).unwrap_or(lasts / 2);
        *slot = Some(Token { text: text.to_owned(), until });
        Ok(text.to_owned())
    }

    /// Sends a request. After a rejected token, it fetches a new one and tries once more.
    async fn ask(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let mut is_second = false;
        loop {
            let authorization = format!("Bearer {}", self.token().await?);
            let headers =
                [("authorization", authorization.as_str()), ("content-type", "application/json")];
            let text = body.map(Value::to_string).unwrap_or_default();
            let answer = send(&self.directories.outbound, method, url, &headers, text).await?;
            if answer.status != 401 || is_second {
                return Ok(answer);
            }
            self.directories.graph.tokens.lock().await.remove(&self.token_key());
            self.directories.secrets.forget(self.tenant, &self.entra.client_secret);
            is_second = true;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1.0{path}", self.entra.graph_url)
    }

    /// The user with that id or user principal name, if there is one.
    async fn user(&self, id: &str) -> Result<Option<Account>, Failure> {
        let answer =
            self.ask("GET", &self.url(&format!("/users/{}?{SELECT}", coded(id))), None).await?;
        match answer.status {
            200 => account(&json_of(&answer)?).map(Some),
            404 if is_of_graph(&answer) => Ok(None),
            _ => Err(failure(&answer)),
        }
    }

    pub(super) async fn look_up(&self, name: Name<'_>) -> Result<Option<Account>, Failure> {
        let text = match name {
            Name::Id(id) => return self.user(id).await,
            Name::Email(text) | Name::Given(text) => text,
        };
        if let Some(found) = self.user(text).await? {
            return Ok(Some(found));
        }
        // A mail address may differ from the principal name, and a name may be the part before the
        // @.
        let quoted = format!("'{}'", text.replace('\'', "''"));
        let filter = format!("mail eq {quoted} or mailNickname eq {quoted}");
        let answer = self
            .ask("GET", &self.url(&format!("/users?{SELECT}&$filter={}", coded(&filter))), None)
            .await?;
        if answer.status != 200 {
            return Err(failure(&answer));
        }
        let list = json_of(&answer)?;
        let found = list["value"]
            .as_array()
            .into_iter()
            .flatten()
            .map(account)
            .collect::<Result<Vec<_>, _>>()?;
        only(found, text)
    }

    /// The user with that object id. No principal name has this form.
    pub(super) async fn account(&self, id: &str) -> Result<Option<Account>, Failure> {
        self.user(id).await
    }

    pub(super) async fn turn_off(&self, account: &Account) -> Result<(), Failure> {
        let path = format!("/users/{}", coded(&account.id));
        if account.is_enabled {
            let answer = self
                .ask("PATCH", &self.url(&path), Some(&json!({"accountEnabled": false})))
                .await?;
            match answer.status {
                200..=299 => {}
                // The user is gone, as the later read confirms.
                404 if is_of_graph(&answer) => return Ok(()),
                _ => return Err(failure(&answer)),
            }
        }
        // The sessions of an external user are in its home directory, and the call fails for it.
        if account.is_foreign {
            return Ok(());
        }
        let answer = self
            .ask("POST", &self.url(&format!("{path}/revokeSignInSessions")), Some(&json!({})))
            .await?;
        match answer.status {
            200..=299 => Ok(()),
            404 if is_of_graph(&answer) => Ok(()),
            _ => Err(failure(&answer)),
        }
    }

    pub(super) async fn is_enabled(&self, account: &Account) -> Result<Option<bool>, Failure> {
        Ok(self.user(&account.id).await?.map(|account| account.is_enabled))
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        from: Option<String>,
    ) -> Result<(Vec<Account>, Option<String>), Failure> {
        let filter = match prefix {
            "" => String::new(),
            prefix => {
                let quoted = prefix.replace('\'', "''");
                format!("&$filter={}", coded(&format!("startswith(userPrincipalName,'{quoted}')")))
            }
        };
        let url = from.unwrap_or_else(|| self.url(&format!("/users?{SELECT}&$top=999{filter}")));
        let answer = self.ask("GET", &url, None).await?;
        if answer.status != 200 {
            return Err(failure(&answer));
        }
        let list = json_of(&answer)?;
        let accounts = list["value"]
            .as_array()
            .into_iter()
            .flatten()
            .map(account)
            .collect::<Result<_, _>>()?;
        // Graph returns the address of the next page. The token is only sent there if the address
        // belongs to Graph.
        let next =
            list["@odata.nextLink"].as_str().filter(|next| next.starts_with(&self.url("/users")));
        Ok((accounts, next.map(str::to_owned)))
    }
}

/// Whether Graph itself reports that the user does not exist, rather than a proxy in front of it.
fn is_of_graph(answer: &Answer) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    matches!(body["error"]["code"].as_str(), Some("Request_ResourceNotFound" | "ResourceNotFound"))
}

fn json_of(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| passing("unreadable", format!("the response is not JSON: {error}")))
}

fn account(user: &Value) -> Result<Account, Failure> {
    let text = |key: &str| user[key].as_str().map(str::to_owned);
    let name = text("userPrincipalName").unwrap_or_default();
    match (text("id"), user["accountEnabled"].as_bool()) {
        (Some(id), Some(is_enabled)) => {
            let is_foreign = user["userType"] == "Guest" || name.contains("#EXT#");
            let other_names = text("mailNickname").into_iter().collect();
            Ok(Account { id, name, mail: text("mail"), other_names, is_enabled, is_foreign })
        }
        _ => {
            let detail = "Microsoft Graph does not return whether the account is enabled; check that the app registration has User.Read.All";
            Err(refusal("no_account_enabled", detail.to_owned()))
        }
    }
}
