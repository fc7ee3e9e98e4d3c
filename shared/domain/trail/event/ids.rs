//! Whose event it is and which: the tenant, and the event's id.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::trail::key::Key;

/// The tenant, a customer with a trail of its own: 1-64 of `A-Z a-z 0-9 _ -`. No read or write ever
/// crosses tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(description = "The name of a tenant.", extend("pattern" = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct Tenant(String);

impl Tenant {
    /// The tenant with that name; none if the name is invalid.
    pub fn new(name: &str) -> Option<Self> {
        is_word(name, 64).then(|| Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event's id: 1-128 of `A-Z a-z 0-9 _ -`. Ids with the prefix `sys_` belong to the service,
/// those with `entra_` to imported records.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(description = "The id of an event, unique within the tenant. The service's own events have ids that start with `sys_`, imported records have ids that start with `entra_`.", extend("pattern" = "^[A-Za-z0-9_-]{1,128}$"))]
pub struct EventId(String);

impl EventId {
    /// The id with that text; none if the text is invalid.
    pub fn new(text: &str) -> Option<Self> {
        is_word(text, 128).then(|| Self(text.to_owned()))
    }

    /// The id of the event at `index` in a request with an `Idempotency-Key`. A repeated request
    /// yields the same id. It uses the deployment's key, so nobody can compute it and send another
    /// event with it first.
    pub fn of_request(
        secret: &Key,
        tenant: &Tenant,
        subject: &str,
        key: &str,
        index: usize,
    ) -> Self {
        Self::under(
            secret,
            "jit-audit/request-event-id/v2",
            &[tenant.as_str(), subject, key, &index.to_string()],
        )
    }

    /// The id under which a device's event is stored, derived from the device's own id. Each person
    /// with devices has a separate namespace, so no device can take an id that another sender uses.
    pub fn of_device(secret: &Key, tenant: &Tenant, subject: &str, given: &Self) -> Self {
        Self::under(
            secret,
            "jit-audit/device-event-id/v1",
            &[tenant.as_str(), subject, given.as_str()],
        )
    }

    fn under(secret: &Key, label: &str, parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        Self(uuid_of(&secret.mac(label, &parts)))
    }

    /// A hash in the form of an id. Anyone can compute it, so it is only for ids that callers
    /// cannot send.
    pub fn hash_of(tenant: &Tenant, subject: &str, key: &str) -> Self {
        Self(hashed("jit-audit/event-id/v1", &[tenant.as_str(), subject, key, "0"]))
    }

    /// The id of one of the service's own events, derived from its subject, so that a retry stores
    /// it once.
    pub fn of_service(tenant: &Tenant, action: impl fmt::Display, about: &[&str]) -> Self {
        let action = action.to_string();
        let parts: Vec<_> =
            [tenant.as_str(), &action].into_iter().chain(about.iter().copied()).collect();
        Self(format!("sys_{}", hashed("jit-audit/service-event-id/v1", &parts)))
    }

    /// The id that sorts after all others.
    pub fn last() -> Self {
        Self("z".repeat(128))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only the service may use the id.
    pub fn is_services(&self) -> bool {
        self.0.starts_with("sys_")
    }

    /// Whether it is of an imported object of Microsoft Graph. No caller can send such an id.
    pub fn is_imported(&self) -> bool {
        self.0.starts_with("entra_")
    }

    /// Whether it is of an imported step of an activation in Entra's PIM. No caller can send such an
    /// id.
    pub fn is_of_pim(&self) -> bool {
        self.0.starts_with("entra_pim_")
    }

    /// The reserved prefix in any letter case, if the id has one: an id that only looks reserved
    /// would mislead people.
    pub fn reserved_prefix(&self) -> Option<&'static str> {
        let begins = |prefix: &&str| {
            self.0
                .get(..prefix.len())
                .is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
        };
        ["sys_", "entra_"].into_iter().find(begins)
    }
}

impl From<uuid::Uuid> for EventId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UUID (RFC 9562, version 8) from a hash of its purpose and parts, each with its length.
fn hashed(purpose: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in [purpose].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    uuid_of(&hash.finalize().into())
}

fn uuid_of(hash: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Uuid::new_v8(bytes).to_string()
}

fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}
