//! Application: where the accounts of a target live, how long they may stay enabled, and who owns it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{EnumString, VariantNames};

use crate::{
    configuration::address_policy::Reach,
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    text::case_folding::fold_identity,
    time::duration::Length,
};

/// Most account patterns.
const MOST_ACCOUNTS: usize = 50;
/// Most owners.
const MOST_OWNERS: usize = 10;
/// The longest window that can be configured. Access for longer is not just-in-time.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// The target of requests for an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name; events may name it so.
    pub name: String,
    /// How long an account stays enabled where nobody asks otherwise.
    pub window: Length,
    /// The most that may be asked for, extensions included.
    pub max_window: Length,
    /// Which accounts are its own: patterns in which `*` stands for any characters. No other account is ever disabled.
    pub accounts: Vec<String>,
    /// Whether a request needs a justification.
    pub require_justification: bool,
    /// Whether a window ends when its account logs off a computer.
    pub end_on_log_off: bool,
    /// The events for whose windows this service disables the account. Windows of other events are external.
    #[serde(default = "OpeningEvent::usual")]
    pub disable_for: Vec<OpeningEvent>,
    /// Who is told when something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// Where its accounts are disabled.
    pub directory: Directory,
}

/// The events that open windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpeningEvent {
    /// A request for an account.
    #[serde(rename = "entra.account.requested")]
    AccountRequested,
    /// A session that was granted.
    #[serde(rename = "session.granted")]
    SessionGranted,
    /// A package that was given.
    #[serde(rename = "entitlement.fulfilled")]
    EntitlementFulfilled,
}

impl OpeningEvent {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 3] = [
        ("entra.account.requested", Self::AccountRequested),
        ("session.granted", Self::SessionGranted),
        ("entitlement.fulfilled", Self::EntitlementFulfilled),
    ];

    /// The one that is written so.
    pub fn named(action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == action).map(|(_, opening)| opening)
    }

    /// Those for which an application disables accounts unless it says otherwise.
    pub fn usual() -> Vec<Self> {
        vec![Self::AccountRequested, Self::SessionGranted]
    }
}

/// An application with its id, as answered.
#[derive(Clone, Debug, Serialize)]
pub struct Configured {
    /// The id.
    pub id: String,
    /// What is configured.
    #[serde(flatten)]
    pub application: Application,
}

/// The identity provider that accounts are disabled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Directory {
    /// Microsoft Entra ID, by Microsoft Graph.
    Entra(Entra),
    /// Any SCIM 2.0 service provider (RFC 7644).
    Scim(Scim),
    /// The portal disables by itself; its `entra.account.disabled` is expected.
    External,
}

/// A tenant of Microsoft Entra ID and the app registration that may disable its users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entra {
    /// The directory's id.
    pub tenant_id: String,
    /// The app registration.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretName,
    /// Microsoft Graph; national clouds have their own.
    pub graph_url: String,
    /// Where tokens are issued; national clouds have their own.
    pub login_url: String,
}

/// A SCIM 2.0 service provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scim {
    /// The address that `/Users` is appended to.
    pub base_url: String,
    /// The bearer token.
    pub token: SecretName,
}

/// The name of a secret, never the secret: `secretsmanager:graph`, or `env:JIT_AUDIT_SECRET_GRAPH` on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretName(String);

/// Microsoft Graph in each of Microsoft's clouds, the usual one first ("National cloud deployments", Microsoft Graph).
const GRAPH_URLS: [&str; 4] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
];
/// Where each issues tokens.
const LOGIN_URLS: [&str; 3] = [
    "https://login.microsoftonline.com",
    "https://login.microsoftonline.us",
    "https://login.chinacloudapi.cn",
];

/// How environment variables that hold secrets begin.
pub const SECRET_VARIABLE: &str = "JIT_AUDIT_SECRET_";
const SECRETS_MANAGER: &str = "secretsmanager:";
const ENVIRONMENT: &str = "env:";

/// Where a secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPlace<'s> {
    /// In Secrets Manager, under the service's prefix, the tenant and the purpose.
    SecretsManager(&'s str),
    /// In an environment variable.
    Environment(&'s str),
}

impl SecretName {
    /// The name that a caller gives.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub fn read(text: &str, place: Place) -> Result<Self, String> {
        let is_word = |name: &str, more: &[u8]| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let name = match place {
            Place::Deployed => {
                text.strip_prefix(SECRETS_MANAGER).filter(|name| is_word(name, b"_+=.@-"))
            }
            Place::OneMachine => text
                .strip_prefix(ENVIRONMENT)
                .and_then(|name| name.strip_prefix(SECRET_VARIABLE))
                .filter(|name| is_word(name, b"_")),
        };
        match (name, place) {
            (Some(_), _) => Ok(Self(text.to_owned())),
            (None, Place::Deployed) => Err(format!(
                "must name a secret, {SECRETS_MANAGER}<name> of 1 to 128 of A-Z a-z 0-9 _ + = . @ -; a secret itself is never given here"
            )),
            (None, Place::OneMachine) => Err(format!(
                "must name an environment variable of the run, {ENVIRONMENT}{SECRET_VARIABLE}<NAME>; a secret itself is never given here"
            )),
        }
    }

    /// Where it is kept.
    pub fn place(&self) -> SecretPlace<'_> {
        match self.0.strip_prefix(SECRETS_MANAGER) {
            Some(name) => SecretPlace::SecretsManager(name),
            None => SecretPlace::Environment(self.0.strip_prefix(ENVIRONMENT).unwrap_or(&self.0)),
        }
    }
}

impl std::fmt::Display for SecretName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where this service runs, which decides where secrets are kept, which addresses are reached and how short a window may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In AWS.
    Deployed,
    /// On one machine.
    OneMachine,
}

impl Place {
    /// How far requests to directories go.
    pub fn reach(self) -> Reach {
        match self {
            Self::Deployed => Reach::Public,
            Self::OneMachine => Reach::Loopback,
        }
    }

    /// The shortest window. Windows end to the minute on AWS, and to the second where somebody watches.
    pub fn shortest_window(self) -> Duration {
        match self {
            Self::Deployed => Duration::from_secs(300),
            Self::OneMachine => Duration::from_secs(1),
        }
    }
}

impl Application {
    /// Reads what a caller says of an application.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str, place: Place) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let name = fields.required_text("name", NAME_BYTES);
            let window = length(&mut fields, "window", place);
            let max_window = length(&mut fields, "max_window", place);
            let accounts = fields.texts("accounts", MOST_ACCOUNTS);
            let require_justification = fields.flag("require_justification").unwrap_or_default();
            let end_on_log_off = fields.flag("end_on_log_off").unwrap_or_default();
            let disable_for = read_disable_for(&mut fields);
            let owners = fields.texts("owners", MOST_OWNERS);
            let directory = fields
                .required_object("directory")
                .and_then(|fields| Directory::read(fields, place));
            fields.refuse_others();
            // The defaults: four hours, and twelve at most or as many as are usual.
            let default = |text: &str| text.parse::<Length>().ok();
            let window = window.or_else(|| default("PT4H"))?;
            let max_window = max_window.or_else(|| {
                let usual = default("PT12H")?;
                Some(if window.duration() > usual.duration() { window.clone() } else { usual })
            })?;
            if max_window.duration() < window.duration() {
                fields.fault("max_window", "is shorter than window");
            }
            let directory = directory?;
            if accounts.is_empty()
                && directory != Directory::External
                && !fields.has_fault_at("/accounts")
            {
                fields.fault(
                    "accounts",
                    "is required: the patterns of the accounts that may be disabled, like \"msptech*\"; no other account ever is",
                );
            }
            Some(Self {
                name: name?,
                window,
                max_window,
                accounts,
                require_justification,
                end_on_log_off,
                disable_for,
                owners,
                directory,
            })
        })
    }

    /// Whether an account is one of its own.
    pub fn owns(&self, account: &str) -> bool {
        self.accounts.iter().any(|pattern| is_like(pattern, account))
    }
}

/// Whether an account is as a pattern says, case apart.
pub fn is_like(pattern: &str, account: &str) -> bool {
    matches_pattern(&fold_identity(pattern), &fold_identity(account))
}

/// The events for whose windows the account is disabled. An empty list says: for none.
fn read_disable_for(fields: &mut Fields<'_>) -> Vec<OpeningEvent> {
    const KEY: &str = "disable_for";
    if !fields.has(KEY) {
        // Known, so that it is not refused as an unknown member.
        fields.take(KEY);
        return OpeningEvent::usual();
    }
    let mut openings = Vec::new();
    for (place, name) in fields.any_texts(KEY, OpeningEvent::ALL.len()).into_iter().enumerate() {
        match OpeningEvent::named(&name) {
            Some(opening) if openings.contains(&opening) => {}
            Some(opening) => openings.push(opening),
            None => {
                let known: Vec<_> = OpeningEvent::ALL.iter().map(|(name, _)| *name).collect();
                let detail = format!("{name:?} must be one of {}", known.join(", "));
                fields.fault(&format!("{KEY}/{place}"), detail);
            }
        }
    }
    openings
}

fn length(fields: &mut Fields<'_>, key: &'static str, place: Place) -> Option<Length> {
    let length: Length = match fields.text(key, NAME_BYTES)?.parse() {
        Ok(length) => length,
        Err(error) => {
            fields.fault(key, error);
            return None;
        }
    };
    let shortest = place.shortest_window();
    if !(shortest..=LONGEST).contains(&length.duration()) {
        fields.fault(
            key,
            format!("must be from PT{}S to P{}D", shortest.as_secs(), LONGEST.as_secs() / 86_400),
        );
    }
    Some(length)
}

/// Whether `text` is as `pattern` says, in which `*` stands for any characters.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Directory {
    fn read(mut fields: Fields<'_>, place: Place) -> Option<Self> {
        #[derive(EnumString, VariantNames)]
        #[strum(serialize_all = "snake_case")]
        enum Kind {
            Entra,
            Scim,
            External,
        }
        let directory = match fields.required_word("kind")? {
            Kind::Entra => {
                // A domain would be another name of the same directory, and an account in it another account.
                let mut id = |key| {
                    let id = fields.required_text(key, NAME_BYTES)?;
                    let is_id = id.len() == 36 && uuid::Uuid::try_parse(&id).is_ok();
                    if !is_id {
                        fields
                            .fault(key, "must be an id like 72f988bf-86f1-41af-91ab-2d7cd011db47");
                    }
                    is_id.then(|| id.to_ascii_lowercase())
                };
                let (tenant_id, client_id) = (id("tenant_id"), id("client_id"));
                let client_secret = secret(&mut fields, "client_secret", place);
                let mut url_or = |key, clouds: &[&str]| {
                    let Some(url) = fields.text(key, NAME_BYTES) else {
                        return Some(clouds[0].to_owned());
                    };
                    let url = checked_url(&mut fields, key, url, place)?;
                    // A token for one of them must not go anywhere else.
                    if place == Place::Deployed && !clouds.contains(&url.as_str()) {
                        fields.fault(key, format!("must be one of {}", clouds.join(", ")));
                        return None;
                    }
                    Some(url)
                };
                let graph_url = url_or("graph_url", &GRAPH_URLS);
                let login_url = url_or("login_url", &LOGIN_URLS);
                (|| {
                    Some(Self::Entra(Entra {
                        tenant_id: tenant_id?,
                        client_id: client_id?,
                        client_secret: client_secret?,
                        graph_url: graph_url?,
                        login_url: login_url?,
                    }))
                })()
            }
            Kind::Scim => {
                let url = fields.required_text("base_url", NAME_BYTES);
                let base_url = url.and_then(|url| checked_url(&mut fields, "base_url", url, place));
                let token = secret(&mut fields, "token", place);
                base_url.zip(token).map(|(base_url, token)| Self::Scim(Scim { base_url, token }))
            }
            Kind::External => Some(Self::External),
        };
        fields.refuse_others();
        directory
    }

    /// The secret that it is signed in to with: where its name stands in the application, the name, and the address that it is sent to.
    pub fn secret(&self) -> Option<(&'static str, &SecretName, &str)> {
        match self {
            Self::Entra(entra) => {
                Some(("/directory/client_secret", &entra.client_secret, &entra.login_url))
            }
            Self::Scim(scim) => Some(("/directory/token", &scim.token, &scim.base_url)),
            Self::External => None,
        }
    }

    /// Which directory it is: accounts of the same name in one are the same account, whichever application they are asked for.
    /// It holds no `#`. None of `external`, where every target has accounts of its own.
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Entra(Entra { tenant_id, .. }) => {
                Some(format!("entra:{}", tenant_id.to_ascii_lowercase()))
            }
            Self::Scim(Scim { base_url, .. }) => {
                let (scheme, place) = base_url.split_once("://").unwrap_or(("", base_url));
                let (host, path) = place.split_once('/').unwrap_or((place, ""));
                let usual_port = if scheme == "https" { ":443" } else { ":80" };
                let host = host.strip_suffix(usual_port).unwrap_or(host);
                let key = format!("scim:{}/{path}", host.to_ascii_lowercase());
                Some(key.trim_end_matches('/').to_owned())
            }
            Self::External => None,
        }
    }
}

fn secret(fields: &mut Fields<'_>, key: &'static str, place: Place) -> Option<SecretName> {
    let text = fields.required_text(key, NAME_BYTES)?;
    SecretName::read(&text, place).map_err(|detail| fields.fault(key, detail)).ok()
}

fn checked_url(
    fields: &mut Fields<'_>,
    key: &'static str,
    url: String,
    place: Place,
) -> Option<String> {
    match place.reach().judge(&url) {
        Ok(()) => Some(url.trim_end_matches('/').to_owned()),
        Err(detail) => {
            fields.fault(key, detail);
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
