//! Microsoft Entra ID by Microsoft Graph v1.0: `PATCH /users/{id}`, `revokeSignInSessions`, read back.
//!
//! Sources: "Update user", "user: revokeSignInSessions", "Get a user" and "Throttling limits" of the Microsoft Graph reference.

mod write_budget;

use std::time::Duration;

use serde_json::{Value, json};
use shared_domain::{
    configuration::directory::entra::Entra, trail::event::Tenant, windows::revocation::Failure,
};
use shared_platform::outbound_http::Answer;
use shared_storage::Database;

use self::write_budget::WriteBudget;
use super::{Account, Directories, Name, TIME, coded, failure, json_of, only, refusal};
use crate::graph;

const SELECT: &str = "$select=id,userPrincipalName,mail,mailNickname,accountEnabled,userType";

/// What all requests to Microsoft Graph share.
#[derive(Debug)]
pub(super) struct Graph {
    tokens: graph::Tokens,
    budget: WriteBudget,
}

impl Graph {
    pub(super) fn new(database: Database) -> Self {
        Self { tokens: graph::Tokens::default(), budget: WriteBudget::new(database) }
    }

    pub(super) async fn begin_run(&self) {
        self.budget.begin_run().await;
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
        self.graph().token().await?;
        // Disabling is one write, revoking sessions another.
        self.directories.graph.budget.take(&self.entra.client_id, &self.entra.tenant_id, 2).await
    }

    /// Sends a request. After a rejected token, it fetches a new one and tries once more.
    async fn ask(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.graph().ask(method, url, body, TIME).await
    }

    fn graph(&self) -> graph::Graph<'_> {
        let Directories { outbound, secrets, graph, .. } = self.directories;
        graph::Graph {
            outbound,
            secrets,
            tokens: &graph.tokens,
            tenant: self.tenant,
            entra: self.entra,
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
