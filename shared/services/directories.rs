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
    configuration::directory::Directory,
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

/// How long one request to a directory may take.
const TIME: Duration = Duration::from_secs(10);
/// The longest that a directory may ask to be left alone. Access would stay open meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest error text of a directory that is repeated.
const LONGEST_ERROR: usize = 300;

/// What requests to directories need.
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
    /// Microsoft Entra ID.
    Entra(entra::Connection<'d>),
    /// A SCIM service provider.
    Scim(scim::Connection<'d>),
}

/// One name of an account, as a request gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'n> {
    /// An e-mail address.
    Email(&'n str),
    /// What people call it.
    Given(&'n str),
    /// An id.
    Id(&'n str),
}

impl<'n> Name<'n> {
    /// The names of an account. The first decides which account it is.
    pub fn all(account: &'n Party) -> impl Iterator<Item = Self> + Clone {
        let email = account.email.as_deref().map(Self::Email);
        let name = account.name.as_deref().map(Self::Given);
        [email, name, account.id.as_deref().map(Self::Id)].into_iter().flatten()
    }

    /// Its text.
    pub fn text(self) -> &'n str {
        match self {
            Self::Email(text) | Self::Given(text) | Self::Id(text) => text,
        }
    }
}

/// An account as a directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The directory's own id.
    pub id: String,
    /// By what people name it.
    pub name: String,
    /// Its mail address, where the directory has one.
    pub mail: Option<String>,
    /// Further names by which it is found.
    pub other_names: Vec<String>,
    /// Whether it may sign in.
    pub is_enabled: bool,
    /// Whether its home is another directory, where its sessions are.
    pub is_foreign: bool,
}

impl Account {
    /// What a window keeps of it.
    pub fn resolved(&self, at: Instant) -> ResolvedAccount {
        let other_names = self.mail.iter().chain(&self.other_names).cloned().collect();
        ResolvedAccount { id: self.id.clone(), name: self.name.clone(), other_names, at }
    }

    /// All its names, folded.
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

    /// A run begins, which may use nothing that was allowed to an earlier one.
    pub async fn begin_run(&self) {
        self.graph.begin_run().await;
    }

    /// The way to a directory. None where its accounts are disabled by somebody else.
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
    /// Whether it may be written to now; until when to wait, where it may not.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn admit(&self) -> Result<Result<(), Duration>, Failure> {
        of_kind!(self, it => it.admit().await)
    }

    /// The account of a name, if there is one.
    ///
    /// # Errors
    /// The directory did not say, or knows several.
    pub async fn look_up(&self, name: Name<'_>) -> Result<Option<Account>, Failure> {
        of_kind!(self, it => it.look_up(name).await)
    }

    /// The account of the directory's own id, if it is there.
    ///
    /// # Errors
    /// The directory did not say.
    pub async fn account(&self, id: &str) -> Result<Option<Account>, Failure> {
        of_kind!(self, it => it.account(id).await)
    }

    /// Has the account turned off and its sessions ended. Whether that is so is seen by [`Connection::is_enabled`].
    ///
    /// # Errors
    /// The directory did not take it. It may have done it.
    pub async fn turn_off(&self, account: &Account) -> Result<(), Failure> {
        of_kind!(self, it => it.turn_off(account).await)
    }

    /// Whether the account may sign in; none where it is gone.
    ///
    /// # Errors
    /// The directory did not say.
    pub async fn is_enabled(&self, account: &Account) -> Result<Option<bool>, Failure> {
        of_kind!(self, it => it.is_enabled(account).await)
    }

    /// A page of the accounts whose names begin so, from where an earlier page ended.
    ///
    /// # Errors
    /// The directory did not say.
    pub async fn list(
        &self,
        prefix: &str,
        from: Option<String>,
    ) -> Result<(Vec<Account>, Option<String>), Failure> {
        of_kind!(self, it => it.list(prefix, from).await)
    }
}

/// Characters that stand for themselves in a path segment or query value (RFC 3986, section 2.3).
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as part of an address.
fn coded(text: &str) -> String {
    utf8_percent_encode(text, CODED).to_string()
}

/// Sends a request.
async fn send(
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
    // A secret with a line break in it, or an address that is none.
    let request = request
        .body(body)
        .map_err(|error| refusal("configuration", format!("no request can be made: {error}")))?;
    outbound.send(request, TIME).await.map_err(|error| match error {
        NoAnswer::Forbidden(detail) => refusal("address", detail),
        NoAnswer::Broken(detail) => passing("unavailable", detail),
    })
}

/// The failure that an answer is which is none of those expected.
fn failure(answer: &Answer) -> Failure {
    let said = said(answer);
    match answer.status {
        401 => refusal(
            "unauthorized",
            format!("the directory does not take this service's credentials: {said}"),
        ),
        403 => refusal(
            "forbidden",
            format!("the directory does not let this service disable the account: {said}"),
        ),
        429 => Failure { retry_after: retry_after(answer), ..passing("throttled", said) },
        // 404 from something in front of the directory, which is away.
        404 | 408 | 500..=599 => {
            Failure { retry_after: retry_after(answer), ..passing("unavailable", said) }
        }
        _ => refusal("refused", said),
    }
}

/// Somebody has to change something.
fn refusal(kind: &'static str, detail: String) -> Failure {
    Failure { kind, detail, is_refusal: true, retry_after: None }
}

/// It may work when it is tried again.
fn passing(kind: &'static str, detail: String) -> Failure {
    Failure { kind, detail, is_refusal: false, retry_after: None }
}

/// What a directory says is wrong: its status, and the error's own words (Graph's and OAuth's `error`, SCIM's `detail`).
fn said(answer: &Answer) -> String {
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

/// How long it asks to be left alone.
fn retry_after(answer: &Answer) -> Option<Duration> {
    Some(answer.retry_after()?.min(LONGEST_PAUSE))
}

/// The one account that a directory gives for a name.
fn only(mut found: Vec<Account>, name: &str) -> Result<Option<Account>, Failure> {
    if found.len() > 1 {
        let count = found.len();
        return Err(refusal(
            "ambiguous",
            format!("the directory has {count} accounts that {name:?} may mean"),
        ));
    }
    Ok(found.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

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
