//! A channel: where a tenant is notified of findings, and of which ones.

mod schema;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{EnumDiscriminants, EnumString, VariantNames};

use crate::{
    configuration::application::{Place, SecretName},
    findings::rules::{RULES, Severity},
    json::object_reader::{Fields, NAME_BYTES},
};

pub use schema::{AlertChannelRequest, TestAlertRequest};

/// Maximum number of channels of a tenant.
pub const MOST_CHANNELS: usize = 10;
const MOST_RULES: usize = 20;
/// Longest id of a channel or name of a rule, in bytes.
pub const WORD_BYTES: usize = 64;

/// A channel and the findings that it is notified of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AlertChannel")]
pub struct Channel {
    /// The id, by which saved searches name the channel.
    pub id: String,
    /// How the channel is reached.
    #[serde(flatten)]
    pub way: Transport,
    /// The rules that it subscribes to: names or prefixes such as `approval.*`. All rules if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The lowest severity that it subscribes to. Every severity if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// How a channel is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, EnumDiscriminants, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[strum_discriminants(
    name(AlertChannelKind),
    doc = "The kinds of channel.",
    derive(Serialize, Deserialize, EnumString, VariantNames, JsonSchema),
    serde(rename_all = "lowercase"),
    strum(serialize_all = "lowercase")
)]
pub enum Transport {
    /// An incoming webhook of Slack. Anyone with its address can write to the channel, so the
    /// address is a secret.
    Slack {
        /// The name of the secret with the address.
        url: SecretName,
    },
    /// A webhook of a Teams workflow; its address is a secret as well.
    Teams {
        /// The name of the secret with the address.
        url: SecretName,
    },
    /// The deployment's own SNS topic. A tenant cannot name a topic: the service's permissions
    /// would let it use another tenant's.
    Sns,
    /// The deployment's own bus of Amazon EventBridge.
    EventBridge,
}

impl Transport {
    /// The secret with its address, if it has one.
    pub fn address(&self) -> Option<&SecretName> {
        match self {
            Self::Slack { url } | Self::Teams { url } => Some(url),
            Self::Sns | Self::EventBridge => None,
        }
    }
}

impl Channel {
    /// Reads the member `alerts`, if present: the complete list of a tenant's channels.
    pub fn read_all(fields: &mut Fields<'_>, place: Place) -> Option<Vec<Self>> {
        let Value::Array(list) = fields.take("alerts")? else {
            fields
                .fault("alerts", "must be a list of channels; an empty list removes all channels");
            return None;
        };
        if list.len() > MOST_CHANNELS {
            fields.fault(
                "alerts",
                format!("has {} entries; the maximum is {MOST_CHANNELS}", list.len()),
            );
            return None;
        }
        let mut channels: Vec<Self> = Vec::with_capacity(list.len());
        let mut fields = fields.inner("alerts", Map::new());
        for (place_in_list, entry) in list.into_iter().enumerate() {
            let key = place_in_list.to_string();
            let Value::Object(members) = entry else {
                fields.fault(&key, "must be a JSON object");
                continue;
            };
            let Some(channel) = Self::read(fields.inner(&key, members), place) else { continue };
            if channels.iter().any(|other| other.id == channel.id) {
                fields.fault(
                    &format!("{key}/id"),
                    format!(
                        "another channel already has the id {:?}; use a different id",
                        channel.id
                    ),
                );
            }
            channels.push(channel);
        }
        Some(channels)
    }

    pub(crate) fn read(mut fields: Fields<'_>, place: Place) -> Option<Self> {
        let id = fields.required_text("id", NAME_BYTES);
        let id = id.and_then(|id| match is_word(&id, b"_-") {
            true => Some(id),
            false => {
                fields.fault("id", format!("must be 1 to {WORD_BYTES} of A-Z a-z 0-9 _ -"));
                None
            }
        });
        let kind = fields.required_word("kind");
        let way = kind.and_then(|kind| match kind {
            AlertChannelKind::Slack => Some(Transport::Slack { url: address(&mut fields, place)? }),
            AlertChannelKind::Teams => Some(Transport::Teams { url: address(&mut fields, place)? }),
            AlertChannelKind::Sns => Some(Transport::Sns),
            AlertChannelKind::EventBridge => Some(Transport::EventBridge),
        });
        let rules = fields.texts("rules", MOST_RULES);
        for (place_in_list, rule) in rules.iter().enumerate() {
            // A star alone stands for all rules, like a missing list.
            let name = rule.strip_suffix('*').unwrap_or(rule);
            if rule != "*" && !is_word(name, b"_.") {
                let detail = "must be the name of a rule, like revocation.overdue, or the start of such names and a star, like approval.*";
                fields.fault(&format!("rules/{place_in_list}"), detail);
            } else if !RULES.iter().any(|known| names(rule, known.name)) {
                let known: Vec<_> = RULES.iter().map(|known| known.name).collect();
                let detail =
                    format!("{rule:?} matches no rule; the rules are {}", known.join(", "));
                fields.fault(&format!("rules/{place_in_list}"), detail);
            }
        }
        let severity = fields.word("severity");
        // Without a kind, the other allowed members are unknown.
        if kind.is_some() {
            fields.refuse_others();
        }
        Some(Self { id: id?, way: way?, rules, severity })
    }

    /// Whether the channel subscribes to a finding of that rule. An unknown severity counts as the
    /// highest.
    pub fn wants(&self, rule: &str, severity: Option<Severity>) -> bool {
        let is_named =
            self.rules.is_empty() || self.rules.iter().any(|pattern| names(pattern, rule));
        is_named
            && severity.is_none_or(|severity| self.severity.is_none_or(|least| severity >= least))
    }
}

impl Channel {
    /// How other settings of channels reduce what this channel receives, as a part of a sentence.
    /// None if they do not.
    pub fn weakened_in(&self, channels: &[Self]) -> Option<String> {
        let Self { id, way, rules, severity } = self;
        let Some(now) = channels.iter().find(|channel| channel.id == *id) else {
            return Some(format!("channel {id} was removed"));
        };
        if now.way != *way {
            return Some(format!("channel {id} now has another destination"));
        }
        // A pattern is covered by one that matches everything that it matches.
        let covers = |pattern: &String| {
            now.rules.iter().any(|other| {
                names(other, pattern.trim_end_matches('*'))
                    && (other == pattern || other.ends_with('*'))
            })
        };
        let names_all = now.rules.is_empty() || now.rules.iter().any(|pattern| pattern == "*");
        let has_fewer_alerts = now.severity > *severity
            || !names_all && (rules.is_empty() || !rules.iter().all(covers));
        has_fewer_alerts.then(|| format!("channel {id} now gets fewer alerts"))
    }
}

/// Whether a pattern (a rule's name, or a prefix and a star) matches a rule.
fn names(pattern: &str, rule: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => rule.starts_with(beginning),
        None => rule == pattern,
    }
}

fn address(fields: &mut Fields<'_>, place: Place) -> Option<SecretName> {
    let name = fields.required_text("url", NAME_BYTES)?;
    SecretName::read(&name, place).map_err(|detail| fields.fault("url", detail)).ok()
}

fn is_word(text: &str, more: &[u8]) -> bool {
    (1..=WORD_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

impl AlertChannelKind {
    /// Whether a message to the channel may contain several findings. A bus has rules for single
    /// ones.
    pub fn gathers(self) -> bool {
        match self {
            Self::Slack | Self::Teams | Self::Sns => true,
            Self::EventBridge => false,
        }
    }
}
