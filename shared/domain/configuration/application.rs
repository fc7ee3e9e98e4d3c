//! Applications: the directory of a target's accounts, how long they may stay enabled, and the
//! owners.

mod schema;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    configuration::{
        directory::Directory,
        document::{Document, OtherName, PutDocument},
        document_kind::DocumentKind,
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    text::case_folding::fold_identity,
    time::duration::Length,
    trail::actions::{Action, ConfigurationAction, EntitlementAction, JitAction, SessionAction},
};

pub use crate::configuration::address_policy::Place;
pub use schema::{ApplicationRequest, secret_name, url};

const MOST_ACCOUNTS: usize = 50;
const MOST_OWNERS: usize = 10;
/// What the member `directory` holds.
const DIRECTORY: &str = "where its accounts are disabled, as {\"kind\": \"entra\", …}, {\"kind\": \"scim\", …} or {\"kind\": \"external\"}";
/// The longest window that can be configured. Longer access is not just-in-time.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// The configured target of requests for accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "An application: the target of requests for accounts.")]
pub struct Application {
    /// Its name, which events may use.
    pub name: String,
    /// How long an account stays enabled unless the request says otherwise.
    pub window: Length,
    /// The maximum length of a window, including extensions.
    pub max_window: Length,
    /// Patterns of the application's accounts; `*` stands for any characters. Other accounts are
    /// never disabled.
    pub accounts: Vec<String>,
    /// Whether a request for an account needs a justification.
    pub require_justification: bool,
    /// Whether the person's log-off ends the window.
    pub end_on_log_off: bool,
    /// The events for whose windows this service disables the account. Windows of other events are
    /// external.
    #[serde(default = "OpeningEvent::usual")]
    pub disable_for: Vec<OpeningEvent>,
    /// The people responsible for findings about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// The directory in which its accounts are disabled.
    pub directory: Directory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "An action that opens a window.")]
pub enum OpeningEvent {
    /// A requested account.
    #[serde(rename = "entra.account.requested")]
    AccountRequested,
    /// A granted session.
    #[serde(rename = "session.granted")]
    SessionGranted,
    /// A fulfilled package request.
    #[serde(rename = "entitlement.fulfilled")]
    EntitlementFulfilled,
}

impl OpeningEvent {
    pub const ALL: [(&'static str, Self); 3] = [
        ("entra.account.requested", Self::AccountRequested),
        ("session.granted", Self::SessionGranted),
        ("entitlement.fulfilled", Self::EntitlementFulfilled),
    ];

    /// The opening event with that action, if there is one.
    pub fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Jit(JitAction::EntraAccountRequested) => Some(Self::AccountRequested),
            Action::Session(SessionAction::Granted) => Some(Self::SessionGranted),
            Action::Entitlement(EntitlementAction::Fulfilled) => Some(Self::EntitlementFulfilled),
            _ => None,
        }
    }

    /// The default of `disable_for`.
    pub fn usual() -> Vec<Self> {
        vec![Self::AccountRequested, Self::SessionGranted]
    }
}

/// The name of a secret, never the secret: `secretsmanager:graph`, or `env:JIT_AUDIT_SECRET_GRAPH`
/// on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretName(String);

/// Prefix of environment variables with secrets.
pub const SECRET_VARIABLE: &str = "JIT_AUDIT_SECRET_";
const SECRETS_MANAGER: &str = "secretsmanager:";
const ENVIRONMENT: &str = "env:";

/// The storage of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPlace<'s> {
    /// Secrets Manager, under the service's prefix, the tenant and the purpose.
    SecretsManager(&'s str),
    Environment(&'s str),
}

impl SecretName {
    /// Reads the name of a secret.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
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
                "must be the name of a secret: {SECRETS_MANAGER}<name>, where the name has 1 to 128 characters of A-Z a-z 0-9 _ + = . @ -. Do not send the secret itself"
            )),
            (None, Place::OneMachine) => Err(format!(
                "must be the name of an environment variable: {ENVIRONMENT}{SECRET_VARIABLE}<NAME>. Do not send the secret itself"
            )),
        }
    }

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

impl Document for Application {
    const KIND: DocumentKind = DocumentKind {
        word: "application",
        action: ConfigurationAction::ApplicationConfigured,
        noun: "application",
        list: "applications",
    };

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn other_names(&self) -> Vec<OtherName> {
        vec![OtherName::display(&self.name)]
    }

    fn searchable(&self) -> Vec<&str> {
        let lists = self.accounts.iter().chain(&self.owners).map(String::as_str);
        [self.name.as_str()].into_iter().chain(lists).collect()
    }
}

impl PutDocument for Application {
    type Request = ApplicationRequest;

    fn from_body(json: &str, _id: &str, place: Place) -> Result<Self, Vec<FieldError>> {
        Self::read(json, place)
    }
}

impl Application {
    /// Reads the body of a request to configure an application.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str, place: Place) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
            let name = fields.required_text("name", NAME_BYTES);
            let window = length(&mut fields, "window", place);
            let max_window = length(&mut fields, "max_window", place);
            let accounts = fields.any_texts("accounts", MOST_ACCOUNTS);
            let require_justification = fields.flag("require_justification").unwrap_or_default();
            let end_on_log_off = fields.flag("end_on_log_off").unwrap_or_default();
            let disable_for = read_disable_for(&mut fields);
            let owners = fields.texts("owners", MOST_OWNERS);
            let directory = fields
                .required_object("directory", DIRECTORY)
                .and_then(|fields| Directory::read(fields, place));
            fields.refuse_others();
            // The defaults: four hours, and at most twelve hours or the configured usual length.
            let default = |text: &str| text.parse::<Length>().ok();
            let window = window.or_else(|| default("PT4H"))?;
            let max_window = max_window.or_else(|| {
                let usual = default("PT12H")?;
                Some(if window.duration() > usual.duration() { window.clone() } else { usual })
            })?;
            if max_window.duration() < window.duration() {
                fields.fault("max_window", "must not be shorter than window");
            }
            let directory = directory?;
            if accounts.is_empty()
                && directory != Directory::External
                && !fields.has_fault_at("/accounts")
            {
                fields.fault(
                    "accounts",
                    "is required: patterns of the accounts that this service may disable, like \"msptech*\". It disables no other accounts",
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

    /// Whether an account belongs to the application.
    pub fn owns(&self, account: &str) -> bool {
        self.accounts.iter().any(|pattern| is_like(pattern, account))
    }
}

/// Whether an account matches a pattern, without regard to case.
pub fn is_like(pattern: &str, account: &str) -> bool {
    matches_pattern(&fold_identity(pattern), &fold_identity(account))
}

/// Reads the events for whose windows the account is disabled. An empty list means none.
fn read_disable_for(fields: &mut Fields<'_>) -> Vec<OpeningEvent> {
    const KEY: &str = "disable_for";
    if !fields.has(KEY) {
        // Marks the member as supported, so that it is not rejected.
        fields.take(KEY);
        return OpeningEvent::usual();
    }
    let mut openings = Vec::new();
    for (place, name) in fields.any_texts(KEY, OpeningEvent::ALL.len()).into_iter().enumerate() {
        match OpeningEvent::of(&Action::from(name.as_str())) {
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

/// Whether `text` matches `pattern`, in which `*` stands for any characters.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
