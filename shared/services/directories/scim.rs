//! SCIM 2.0 (RFC 7644). Providers differ: some do not support PATCH, some report success without
//! effect, some write booleans as strings.

use std::time::Duration;

use serde_json::{Value, json};
use shared_domain::{
    configuration::directory::scim::Scim, text::case_folding::fold_identity, trail::event::Tenant,
    windows::revocation::Failure,
};
use shared_platform::outbound_http::Answer;

use super::{
    Account, Directories, Name, coded, failure, json_of, only, passing, refusal, send,
    without_secret,
};

const SCIM_JSON: &str = "application/scim+json";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Accounts of a page.
const PAGE: usize = 100;

#[derive(Debug)]
pub struct Connection<'d> {
    directories: &'d Directories,
    tenant: &'d Tenant,
    scim: &'d Scim,
}

impl<'d> Connection<'d> {
    pub(super) fn new(directories: &'d Directories, tenant: &'d Tenant, scim: &'d Scim) -> Self {
        Self { directories, tenant, scim }
    }

    /// Its requests are not counted.
    pub(super) async fn admit(&self) -> Result<Result<(), Duration>, Failure> {
        Ok(Ok(()))
    }

    /// Sends a request. After a rejected token, it reads the secret again and tries once more.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let Directories { outbound, secrets, .. } = self.directories;
        let url = format!("{}{path}", self.scim.base_url);
        let mut is_second = false;
        loop {
            let token = secrets.read(self.tenant, &self.scim.token).await?;
            let secret = token.for_url(&url)?.trim();
            let authorization = format!("Bearer {secret}");
            let mut headers = vec![("authorization", authorization.as_str())];
            if body.is_some() {
                headers.push(("content-type", SCIM_JSON));
            }
            let text = body.map(Value::to_string).unwrap_or_default();
            let answer = send(outbound, method, &url, &headers, text).await?;
            let answer = without_secret(answer, secret);
            if answer.status != 401 || is_second {
                return Ok(answer);
            }
            secrets.forget(self.tenant, &self.scim.token);
            is_second = true;
        }
    }

    /// The resource with that id, if it exists.
    async fn resource(&self, id: &str) -> Result<Option<Value>, Failure> {
        let answer = self.ask("GET", &format!("/Users/{}", coded(id)), None).await?;
        match answer.status {
            200 => Ok(Some(json_of(&answer)?)),
            404 if is_of_provider(&answer) => Ok(None),
            _ => Err(failure(&answer)),
        }
    }

    /// Accounts that match a filter, from an index on, and their total number.
    async fn search(
        &self,
        filter: Option<String>,
        start: usize,
    ) -> Result<(Vec<Value>, usize), Failure> {
        let filter = filter.map(|filter| format!("filter={}&", coded(&filter))).unwrap_or_default();
        let answer = self
            .ask("GET", &format!("/Users?{filter}startIndex={start}&count={PAGE}"), None)
            .await?;
        match answer.status {
            200 => {
                let mut list = json_of(&answer)?;
                let total =
                    list["totalResults"].as_u64().and_then(|total| usize::try_from(total).ok());
                let found = match list.get_mut("Resources").map(Value::take) {
                    Some(Value::Array(found)) => found,
                    _ => Vec::new(),
                };
                match total {
                    Some(total) if total == 0 || !found.is_empty() || start > 1 => {
                        Ok((found, total))
                    }
                    // A response must state that there are no accounts; otherwise an account could
                    // wrongly count as gone.
                    _ => Err(passing(
                        "unreadable",
                        "the provider's list has no accounts, but its total is not 0".to_owned(),
                    )),
                }
            }
            _ => Err(failure(&answer)),
        }
    }

    pub(super) async fn look_up(&self, name: Name<'_>) -> Result<Option<Account>, Failure> {
        let text = match name {
            Name::Id(id) => return self.account(id).await,
            Name::Email(text) | Name::Given(text) => text,
        };
        let (found, total) = self.search(Some(format!("userName eq {}", json!(text))), 1).await?;
        let is_meant = |user: &&Value| {
            user["userName"].as_str().is_some_and(|it| fold_identity(it) == fold_identity(text))
        };
        let count = found.len();
        let found = found.iter().filter(is_meant).map(account).collect::<Result<Vec<_>, _>>()?;
        if let Some(found) = only(found, text)? {
            return Ok(Some(found));
        }
        if count > 0 && total > count {
            // The provider returns all users, and the right one may be on another page.
            return Err(refusal(
                "no_filter",
                "the provider does not support the filter by userName".to_owned(),
            ));
        }
        if !matches!(name, Name::Email(_)) {
            return Ok(None);
        }
        // The address may differ from the userName. Not every provider can filter by address; such
        // a provider answers 400.
        let found = match self.search(Some(format!("emails.value eq {}", json!(text))), 1).await {
            Ok((found, _)) => found,
            Err(failure) if failure.kind == "refused" => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let has_address =
            |user: &&Value| emails(user).any(|it| fold_identity(it) == fold_identity(text));
        let found = found.iter().filter(has_address).map(account).collect::<Result<Vec<_>, _>>()?;
        only(found, text)
    }

    pub(super) async fn account(&self, id: &str) -> Result<Option<Account>, Failure> {
        self.resource(id).await?.map(|found| account(&found)).transpose()
    }

    pub(super) async fn turn_off(&self, account: &Account) -> Result<(), Failure> {
        if !account.is_enabled {
            return Ok(());
        }
        let path = format!("/Users/{}", coded(&account.id));
        let operation = json!({"op": "replace", "path": "active", "value": false});
        let patch = json!({"schemas": [PATCH_OP], "Operations": [operation]});
        let answer = self.ask("PATCH", &path, Some(&patch)).await?;
        match answer.status {
            200..=299 => Ok(()),
            // The user is gone, as the later read confirms.
            404 if is_of_provider(&answer) => Ok(()),
            // PATCH is optional (RFC 7644, section 3.5.2). Without it, the whole resource is sent.
            400 | 405 | 501 => {
                let Some(mut whole) = self.resource(&account.id).await? else { return Ok(()) };
                let Some(members) = whole.as_object_mut() else {
                    return Err(passing(
                        "unreadable",
                        "the account is not a JSON object".to_owned(),
                    ));
                };
                members.insert("active".to_owned(), json!(false));
                members.remove("meta");
                let answer = self.ask("PUT", &path, Some(&whole)).await?;
                match answer.status {
                    200..=299 => Ok(()),
                    _ => Err(failure(&answer)),
                }
            }
            _ => Err(failure(&answer)),
        }
    }

    pub(super) async fn is_enabled(&self, wanted: &Account) -> Result<Option<bool>, Failure> {
        let found = self.resource(&wanted.id).await?;
        found.map(|found| account(&found).map(|account| account.is_enabled)).transpose()
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        from: Option<String>,
    ) -> Result<(Vec<Account>, Option<String>), Failure> {
        let start = from.and_then(|from| from.parse().ok()).unwrap_or(1_usize);
        let filter = (!prefix.is_empty()).then(|| format!("userName sw {}", json!(prefix)));
        let (found, total) = self.search(filter, start).await?;
        let next = start + found.len();
        let accounts = found.iter().map(account).collect::<Result<_, _>>()?;
        Ok((accounts, (!found.is_empty() && next <= total).then(|| next.to_string())))
    }
}

/// Whether an error comes from the provider itself (RFC 7644, section 3.12), rather than from a
/// proxy in front of it.
fn is_of_provider(answer: &Answer) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["schemas"].as_array().is_some_and(|schemas| schemas.iter().any(|it| it == ERROR))
        || body.get("detail").is_some()
}

fn emails(user: &Value) -> impl Iterator<Item = &str> {
    user["emails"].as_array().into_iter().flatten().filter_map(|email| email["value"].as_str())
}

fn account(user: &Value) -> Result<Account, Failure> {
    let text = |key: &str| user[key].as_str().map(str::to_owned);
    let is_enabled = match &user["active"] {
        Value::Bool(active) => Some(*active),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    };
    match (text("id"), is_enabled) {
        (Some(id), Some(is_enabled)) => {
            let name = text("userName").unwrap_or_default();
            let mut emails = emails(user).map(str::to_owned);
            let mail = emails.next();
            Ok(Account {
                id,
                name,
                mail,
                other_names: emails.take(8).collect(),
                is_enabled,
                is_foreign: false,
            })
        }
        _ => Err(refusal(
            "no_active",
            "the provider does not return whether its accounts are active".to_owned(),
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whether_an_account_is_active_is_read_in_every_form() {
        for (active, enabled) in [
            (json!(true), true),
            (json!(false), false),
            (json!("False"), false),
            (json!("true"), true),
        ] {
            let user = json!({"id": "1", "userName": "a", "active": active});
            assert_eq!(account(&user).unwrap().is_enabled, enabled);
        }
        // An account without the attribute must not count as disabled.
        assert!(account(&json!({"id": "1", "userName": "a"})).unwrap_err().is_refusal);
    }
}
