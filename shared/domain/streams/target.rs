//! The target of a stream: where its events are sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use strum::{EnumString, VariantNames};

use crate::{
    configuration::application::{Place, SecretName},
    json::object_reader::Fields,
    streams::batch::Limits,
};

/// Maximum number of secrets of a stream: the current, the next and the previous one.
pub(super) const MOST_SECRETS: usize = 3;
/// Longest address, in bytes.
pub(super) const URL_BYTES: usize = 1024;

/// The target of a stream: where its events are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(rename = "StreamTarget")]
pub enum Target {
    /// An address that accepts signed batches by POST.
    Https {
        /// The address. Only administrators see all of it; others see the host and a hash.
        url: String,
        /// The names of the secrets that sign each request. A receiver accepts a request that
        /// carries the signature of the secret it has. To rotate a secret, name the new one beside
        /// the old one for a while.
        secrets: Vec<SecretName>,
    },
    /// The deployment's own bucket for streams. A tenant cannot name a bucket: the service's
    /// permissions would let it write to another tenant's.
    S3,
    /// The deployment's own bus of Amazon EventBridge.
    #[serde(rename = "eventbridge")]
    EventBridge,
}

/// The kind of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
enum Kind {
    Https,
    S3,
    EventBridge,
}

pub(super) fn read_target(mut fields: Fields<'_>, place: Place) -> Option<Target> {
    let kind = fields.required_word("kind")?;
    let target = match kind {
        Kind::Https => {
            let url = fields.required_text("url", URL_BYTES);
            if let Some(Err(detail)) = url.as_deref().map(|url| place.reach().judge(url)) {
                fields.fault("url", detail);
            }
            let names =
                fields.required("secrets", |fields| Some(fields.texts("secrets", MOST_SECRETS)));
            let mut secrets = Vec::new();
            for (at, name) in names.iter().flatten().enumerate() {
                match SecretName::read(name, place) {
                    Ok(name) if secrets.contains(&name) => {
                        fields.fault(&format!("secrets/{at}"), "is given twice")
                    }
                    Ok(name) => secrets.push(name),
                    Err(detail) => fields.fault(&format!("secrets/{at}"), detail),
                }
            }
            url.map(|url| Target::Https { url, secrets })
        }
        Kind::S3 => Some(Target::S3),
        Kind::EventBridge => Some(Target::EventBridge),
    };
    fields.refuse_others();
    target
}

impl Target {
    /// The secrets that sign requests: the pointer of each name in the stream, the name, and the
    /// address of the target.
    pub fn secrets(&self) -> Vec<(String, &SecretName, &str)> {
        match self {
            Self::Https { url, secrets } => {
                let each = |(at, name)| (format!("/target/secrets/{at}"), name, url.as_str());
                secrets.iter().enumerate().map(each).collect()
            }
            Self::S3 | Self::EventBridge => Vec::new(),
        }
    }

    /// The target as a reader sees it: see [`hidden_address`].
    #[must_use]
    pub fn without_address(mut self) -> Self {
        if let Self::Https { url, .. } = &mut self
            && let Some(hidden) = hidden_address(url)
        {
            *url = hidden;
        }
        self
    }

    /// The most that one batch may contain.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Https { .. } => Limits { events: 500, bytes: 1024 * 1024 },
            // Query engines are efficient with files of several megabytes.
            Self::S3 => Limits { events: 20_000, bytes: 8 * 1024 * 1024 },
            // Ten calls to the bus, so that the position is not stored after each one.
            Self::EventBridge => Limits { events: 100, bytes: 1024 * 1024 },
        }
    }
}

/// The stored stream as a reader sees it: see [`hidden_address`].
pub fn without_address(mut stream: Value) -> Value {
    let address = stream.pointer("/target/url").and_then(Value::as_str);
    if let Some(hidden) = address.and_then(hidden_address) {
        stream["target"]["url"] = hidden.into();
    }
    stream
}

/// The address as a reader sees it. Anyone who has it may be able to write to the target, so only
/// its host is shown, and a hash that tells addresses apart. None if there is nothing to hide.
fn hidden_address(url: &str) -> Option<String> {
    let (scheme, place) = url.split_once("://")?;
    let (host, path) = place.split_once('/')?;
    let hash = Sha256::digest(place)
        .iter()
        .take(4)
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    (!path.is_empty()).then(|| format!("{scheme}://{host}/… ({hash})"))
}
