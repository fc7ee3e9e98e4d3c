//! Directories: what any of them is asked. A kind is a file of its own, and a line in `Connection`, `connect` and `of_kind`.
//!
//! An account is looked up first, by the directory's own id from then on. Whatever a directory answers to a change, only what it says
//! when the account is read back counts.

pub mod entra;
pub mod scim;

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use shared_domain::{
    configuration::{application::is_like, directory::Directory},
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::event::{Party, Tenant},
    windows::{resolution::ResolvedAccount, revocation::Failure},
};
use shared_platform::{
    outbound_http::{Answer, NoAnswer, Outbound},
    secrets::Secrets,
};
use shared_storage::Database;

/// Time limit of one request to a directory.
pub(crate) const TIME: Duration = Duration::from_secs(10);
/// Upper limit of a directory's Retry-After, because access stays open meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// What replaces a secret in an error text.
const HIDDEN: &str = "[secret]";
/// The longest error text of a directory that is repeated.
const LONGEST_ERROR: usize = 300;

/// The clients and caches for requests to directories.
#[derive(Debug)]
pub struct Directories {
    outbound: Outbound,
    secrets: Secrets,
    /// What all requests to Microsoft Graph share.
    graph: entra::Graph,
}

/// A directory of a tenant.
#[derive(Debug)]
pub enum Connection<'d> {
    Entra(entra::Connection<'d>),
    Scim(scim::Connection<'d>),
}

/// One name of an account, as given in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'n> {
    Email(&'n str),
    /// A display or user name.
    Given(&'n str),
    Id(&'n str),
}

impl<'n> Name<'n> {
    /// The names of an account. The first one decides which account it is.
    pub fn all(account: &'n Party) -> impl Iterator<Item = Self> + Clone {
        let email = account.email.as_deref().map(Self::Email);
        let name = account.name.as_deref().map(Self::Given);
        [email, name, account.id.as_deref().map(Self::Id)].into_iter().flatten()
    }

    pub fn text(self) -> &'n str {
        match self {
            Self::Email(text) | Self::Given(text) | Self::Id(text) => text,
        }
    }
}

/// An account in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    /// The name by which people know it.
    pub name: String,
    pub mail: Option<String>,
    /// Other names by which it is found.
    pub other_names: Vec<String>,
    pub is_enabled: bool,
    /// Whether it belongs to another directory, which also holds its sessions.
    pub is_foreign: bool,
}

impl Account {
    /// The part of the account that a window stores.
    pub fn resolved(&self, at: Instant) -> ResolvedAccount {
        let other_names = self.mail.iter().chain(&self.other_names).cloned().collect();
        ResolvedAccount { id: self.id.clone(), name: self.name.clone(), other_names, at }
    }

    /// Whether one of its names, its address or its id matches one of an application's patterns.
    pub fn bears_any(&self, patterns: &[String]) -> bool {
        let names = [Some(&self.name), self.mail.as_ref(), Some(&self.id)];
        let mut names = names.into_iter().flatten();
        names.any(|name| patterns.iter().any(|pattern| is_like(pattern, name)))
    }

    pub fn names(&self) -> Vec<String> {
        let names = [&self.id, &self.name].into_iter().chain(&self.mail).chain(&self.other_names);
        names.map(|name| fold_identity(name)).collect()
    }
}

impl Directories {
    /// Directories behind `outbound`, with the secrets for signing in to them.
    pub fn new(outbound: Outbound, secrets: Secrets, database: Database) -> Self {
        Self { outbound, secrets, graph: entra::Graph::new(database) }
    }

    /// The same directories with new caches: secrets are read and sign-ins are made anew, and nobody
    /// else waits for them.
    #[must_use]
    pub fn without_caches(&self, database: Database) -> Self {
        let Self { outbound, secrets, graph: _ } = self;
        Self::new(outbound.clone(), secrets.without_cache(), database)
    }

    /// A run begins, which may use nothing that was allowed to an earlier one.
    pub async fn begin_run(&self) {
        self.graph.begin_run().await;
    }

    /// The connection to a directory. None if another system disables its accounts.
    pub fn connect<'d>(
        &'d self,
        tenant: &'d Tenant,
        directory: &'d Directory,
    ) -> Option<Connection<'d>> {
        match directory {
            Directory::Entra(entra) => {
                Some(Connection::Entra(entra::Connection::new(self, tenant, entra)))
            }
            Directory::Scim(scim) => {
                Some(Connection::Scim(scim::Connection::new(self, tenant, scim)))
            }
            Directory::External => None,
        }
    }
}

/// The same call on a connection of whichever kind.
macro_rules! of_kind {
    ($connection:expr, $it:ident => $call:expr) => {
        match $connection {
            Connection::Entra($it) => $call,
            Connection::Scim($it) => $call,
        }
    };
}

impl Connection<'_> {
    /// Whether writes are allowed now; otherwise how long to wait.
    pub async fn admit(&self) -> Result<Result<(), Duration>, Failure> {
        of_kind!(self, it => it.admit().await)
    }

    /// The account with that name, if there is one.
    ///
    /// # Errors
    /// The directory did not answer, or has several such accounts.
    pub async fn look_up(&self, name: Name<'_>) -> Result<Option<Account>, Failure> {
        of_kind!(self, it => it.look_up(name).await)
    }

    /// The account with that id in the directory, if it exists.
    pub async fn account(&self, id: &str) -> Result<Option<Account>, Failure> {
        of_kind!(self, it => it.account(id).await)
    }

    /// Disables the account and ends its sessions. Use [`Connection::is_enabled`] to verify the
    /// result.
    ///
    /// # Errors
    /// The directory rejected a request or did not answer. The account may be disabled anyway.
    pub async fn turn_off(&self, account: &Account) -> Result<(), Failure> {
        of_kind!(self, it => it.turn_off(account).await)
    }

    /// Whether the account may sign in; none if it does not exist.
    pub async fn is_enabled(&self, account: &Account) -> Result<Option<bool>, Failure> {
        of_kind!(self, it => it.is_enabled(account).await)
    }

    /// A page of the accounts whose names start with `prefix`.
    pub async fn list(
        &self,
        prefix: &str,
        from: Option<String>,
    ) -> Result<(Vec<Account>, Option<String>), Failure> {
        of_kind!(self, it => it.list(prefix, from).await)
    }
}

/// Characters that are not percent-encoded in a path segment or query value (RFC 3986, section
/// 2.3).
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a text for an address.
pub(crate) fn coded(text: &str) -> String {
    utf8_percent_encode(text, CODED).to_string()
}

async fn send(
    outbound: &Outbound,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, Failure> {
    send_within(TIME, outbound, method, url, headers, body).await
}

pub(crate) async fn send_within(
    time: Duration,
    outbound: &Outbound,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, Failure> {
    let mut request =
        http::Request::builder().method(method).uri(url).header("accept", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // A secret may contain a line break, and an address may be invalid.
    let request = request
        .body(body)
        .map_err(|error| refusal("configuration", format!("no request can be made: {error}")))?;
    outbound.send(request, time).await.map_err(|error| match error {
        NoAnswer::Forbidden(detail) => refusal("address", detail),
        NoAnswer::Broken(detail) => passing("unavailable", detail),
    })
}

/// The failure for an unexpected response.
pub(crate) fn failure(answer: &Answer) -> Failure {
    let said = said(answer);
    match answer.status {
        401 => refusal(
            "unauthorized",
            format!("the directory does not accept this service's credentials: {said}"),
        ),
        403 => refusal(
            "forbidden",
            format!(
                "the directory does not allow this service to read or change the account: {said}"
            ),
        ),
        429 => Failure { retry_after: retry_after(answer), ..passing("throttled", said) },
        // 404 may come from a proxy in front of an unavailable directory.
        404 | 408 | 500..=599 => {
            Failure { retry_after: retry_after(answer), ..passing("unavailable", said) }
        }
        _ => refusal("refused", said),
    }
}

/// A failure that needs a change by a person.
pub(crate) fn refusal(kind: &'static str, detail: String) -> Failure {
    Failure { kind, detail, is_refusal: true, retry_after: None }
}

/// A failure that a retry may resolve.
pub(crate) fn passing(kind: &'static str, detail: String) -> Failure {
    Failure { kind, detail, is_refusal: false, retry_after: None }
}

/// The error that a directory reports: the status and its message (`error` in Graph and OAuth,
/// `detail` in SCIM).
pub fn said(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let words =
        ["/error/code", "/error/message", "/error", "/error_description", "/scimType", "/detail"];
    let words: Vec<_> = words.into_iter().filter_map(text).collect();
    let words: String = words
        .join(": ")
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(LONGEST_ERROR)
        .collect();
    if words.is_empty() {
        format!("status {}", answer.status)
    } else {
        format!("status {}: {words}", answer.status)
    }
}

/// Hides a secret in an error response, because a directory may repeat what it was sent. Errors are
/// stored, and people read them who may not know the secret.
pub(crate) fn without_secret(mut answer: Answer, secret: &str) -> Answer {
    if secret.is_empty() || (200..300).contains(&answer.status) {
        return answer;
    }
    let in_json = Value::from(secret).to_string();
    let in_form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut body = String::from_utf8_lossy(&answer.body).into_owned();
    for form in [secret, in_json.trim_matches('"'), &coded(secret), &in_form] {
        body = body.replace(form, HIDDEN);
    }
    answer.body = body.into_bytes();
    answer
}

/// The JSON of a response.
pub(crate) fn json_of(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| passing("unreadable", format!("the answer is no JSON: {error}")))
}

/// The directory's Retry-After.
fn retry_after(answer: &Answer) -> Option<Duration> {
    Some(answer.retry_after()?.min(LONGEST_PAUSE))
}

/// The only account among the results for a name.
fn only(mut found: Vec<Account>, name: &str) -> Result<Option<Account>, Failure> {
    if found.len() > 1 {
        let count = found.len();
        return Err(refusal(
            "ambiguous",
            format!("the directory has {count} accounts that match {name:?}"),
        ));
    }
    Ok(found.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_a_directory_repeats_is_hidden_in_every_form() {
        let secret = "s3 cr/t\"+x";
        for repeated in [secret, "s3 cr/t\\\"+x", "s3%20cr%2Ft%22%2Bx", "s3+cr%2Ft%22%2Bx"] {
            let body = format!("{{\"detail\": \"Bearer {repeated} is wrong\"}}").into_bytes();
            let answer = Answer { status: 401, headers: http::HeaderMap::new(), body };
            let said = said(&without_secret(answer, secret));
            assert_eq!(said, "status 401: Bearer [secret] is wrong", "{repeated}");
        }
        let body = b"{\"id\": \"s3\"}".to_vec();
        let account = Answer { status: 200, headers: http::HeaderMap::new(), body };
        assert_eq!(without_secret(account.clone(), "s3").body, account.body);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_directorys_words() {
        let answer = |status, body: &str| Answer {
            status,
            headers: http::HeaderMap::new(),
            body: body.into(),
        };
        for (status, body, is_refusal, part) in [
            (
                403,
                r#"{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges\n"}}"#,
                true,
                "status 403: Authorization_RequestDenied: Insufficient privileges ",
            ),
            (
                400,
                r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#,
                true,
                "invalid_client: AADSTS7000215",
            ),
            (400, r#"{"scimType":"invalidPath","detail":"no"}"#, true, "invalidPath: no"),
            (503, "<html>", false, "status 503"),
            (429, "", false, "status 429"),
        ] {
            let failure = failure(&answer(status, body));
            assert!(
                failure.is_refusal == is_refusal && failure.detail.contains(part),
                "{failure:?}"
            );
        }
    }
}
