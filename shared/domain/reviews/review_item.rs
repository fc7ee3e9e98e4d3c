//! An item of a review: what it is about, the decision about it, and how items are sampled and
//! hashed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strum::{EnumString, VariantNames};

use crate::{
    access::access_record::Access,
    configuration::{
        access_package::{Package, Policy, policy_id},
        document::Configured,
    },
    json::{
        object_reader::{self, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    reviews::review::Sample,
    time::timestamp::Instant,
    trail::event::{Actor, EventId},
};

/// How a sample is drawn; the text tells a reader how to reproduce it.
pub const METHOD: &str = "the items with the smallest SHA-256 of the seed, a line feed and the item's id, all in UTF-8, of all that were found";
/// How the hash of a list of items is computed.
pub const ITEMS_HASHED: &str = "SHA-256 of a line [\"<item>\"] for each item, in the order of their ids by bytes: compact JSON, each ended by a line feed";
/// How the hash of a review's decisions is computed.
pub const DECISIONS_HASHED: &str = "SHA-256 of a line [\"<item>\",\"<decision>\",\"<event>\"] for each item, in the order of their ids by bytes: compact JSON, each ended by a line feed";

/// A reviewer's decision about an item.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ReviewVerdict")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Decision {
    /// The access or policy is right.
    Appropriate,
    /// The access should not have been given, or not in this way.
    Inappropriate,
    /// The access still exists and should be removed. The review itself removes nothing.
    Revoke,
    /// The available facts do not allow a decision.
    Unclear,
}

/// An item of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The id of the access record, or of package and policy.
    pub id: String,
    pub what: What,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

/// The subject of an item, as it was when the review was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An access record, by a hash of its content.
    Access(String),
    Policy {
        package: String,
        name: String,
        /// The package's version.
        version: u64,
        policy: Box<Policy>,
    },
}

/// A decision about an item of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReviewDecision")]
pub struct Decided {
    pub decision: Decision,
    /// Why the reviewer decided so.
    pub reason: String,
    pub by: Actor,
    /// When the reviewer decided.
    pub at: Instant,
    /// The id of the event that records the decision.
    pub event: EventId,
}

impl Item {
    pub fn of_access(access: &Access) -> Self {
        Self { id: access.id.clone(), what: What::Access(access_digest(access)), decided: None }
    }

    /// The items for the policies of a package.
    pub fn of_package(package: &Configured<Package>) -> impl Iterator<Item = Self> {
        package.document.policies.iter().map(|policy| {
            let (name, version) = (package.document.name.clone(), package.version);
            let what = What::Policy {
                package: package.id.clone(),
                name,
                version,
                policy: Box::new(policy.clone()),
            };
            Self { id: policy_id(&package.id, &policy.id), what, decided: None }
        })
    }
}

/// Longest id of an item, in bytes: two ids and a separator. Percent-encoding may triple each byte of the first.
pub(super) const ITEM_BYTES: usize = 4 * NAME_BYTES + 8;

/// A reviewer's decision in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub item: String,
    pub decision: Decision,
    pub reason: String,
}

impl Said {
    /// Reads `{item, decision, reason}`.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let item = fields.required_text("item", ITEM_BYTES);
            let decision = fields.required_word("decision");
            let reason = fields.required_text("reason", TEXT_BYTES);
            fields.refuse_others();
            Some(Self { item: item?, decision: decision?, reason: reason? })
        })
    }
}

/// A hash of an access record, without findings, reviews and other data that people add later.
pub fn access_digest(access: &Access) -> String {
    let (findings, reviews, events, pending) = Default::default();
    let compared = Access { findings, reviews, events, pending, ..access.clone() };
    hex(&Sha256::digest(serde_json::to_string(&compared).unwrap_or_default()))
}

/// The items of the sample in the order of their ids, whatever the order of `items`. [`METHOD`]
/// describes it.
pub fn sampled(mut items: Vec<Item>, sample: Option<&Sample>) -> Vec<Item> {
    if let Some(Sample { size, seed }) = sample {
        items.sort_by_cached_key(|item| {
            <[u8; 32]>::from(Sha256::digest(format!("{seed}\n{}", item.id)))
        });
        items.truncate(*size as usize);
    }
    items.sort_by(|a, b| a.id.cmp(&b.id));
    items
}

/// The hash of items that are sorted by id.
pub fn items_hash(items: &[Item]) -> String {
    hash_of(items.iter().map(|item| json!([item.id])))
}

/// The hash of items and decisions, sorted by item id. None if an item has no decision.
pub fn decisions_hash(items: &[Item]) -> Option<String> {
    let line =
        |item: &Item| item.decided.as_ref().map(|it| json!([item.id, it.decision, it.event]));
    let lines: Option<Vec<Value>> = items.iter().map(line).collect();
    Some(hash_of(lines?.into_iter()))
}

fn hash_of(lines: impl Iterator<Item = Value>) -> String {
    let mut hash = Sha256::new();
    lines.for_each(|line| hash.update(format!("{line}\n")));
    hex(&hash.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
