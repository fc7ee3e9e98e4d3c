//! Review: people look at what was given, or at the policies by which it is given, for a period, and say of each what they make of it.
//!
//! What is to be looked at (its items) is fixed when a review is opened: all of it, or a sample that anyone can draw again. Each item gets a
//! decision with a reason, by somebody who had no part in what they judge; a decision may be changed until the review is signed off, and
//! nothing after that.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    access::access_record::Access,
    configuration::{
        access_package::{self, Package, Policy, Somebody},
        organisation,
    },
    identity::{
        caller::{Caller, is_like_address},
        matching,
        people::People,
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    text::case_folding::fold_identity,
    time::{
        time_zone::{self, Bound},
        timestamp::Instant,
    },
    trail::event::{Actor, EventId, Party, RecordedBy},
};

/// Most bytes of a policy's id within a review: what a sort key of DynamoDB holds.
const LONGEST_POLICY_ID: usize = 1024;
/// Most items that a sample may have.
pub const MOST_SAMPLED: u32 = 100_000;
/// Most reviewers that a review may name.
const MOST_REVIEWERS: usize = 50;
/// Most decisions of one request.
pub const MOST_DECISIONS: usize = 200;
/// The rule whose finding says that a review is overdue.
pub const OVERDUE: &str = "review.overdue";

/// How a sample is drawn, for whoever draws it again.
pub const METHOD: &str = "the items with the smallest SHA-256 of the seed, a line feed and the item's id, all in UTF-8, of all that were found";
/// What the hash of a list of items is made of.
pub const ITEMS_HASHED: &str = "SHA-256 of a line [\"<item>\"] for each item, in the order of their ids by bytes: compact JSON, each ended by a line feed";
/// What the hash of a review's decisions is made of.
pub const DECISIONS_HASHED: &str = "SHA-256 of a line [\"<item>\",\"<decision>\",\"<event>\"] for each item, in the order of their ids by bytes: compact JSON, each ended by a line feed";

/// What is reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Accesses of every kind, those whose time overlaps the period.
    Sessions,
    /// Approval policies of access packages, each as it is when the review is opened.
    Policies,
}

/// What a reviewer makes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is as it should be.
    Appropriate,
    /// It should not have been given, or not so.
    Inappropriate,
    /// It is to be taken away: it goes on, and should not. The review itself takes nothing away.
    Revoke,
    /// What is known does not say.
    Unclear,
}

impl Decision {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 4] = [
        ("appropriate", Self::Appropriate),
        ("inappropriate", Self::Inappropriate),
        ("revoke", Self::Revoke),
        ("unclear", Self::Unclear),
    ];

    /// As written.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, decision)| *decision == self).map_or("", |(word, _)| word)
    }
}

/// Some of all items, the same whoever draws them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// How many.
    pub size: u32,
    /// What decides which.
    pub seed: String,
}

/// What a caller wants to be reviewed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What the review is called.
    pub name: String,
    /// What is reviewed.
    pub of: Of,
    /// The first moment of the period.
    pub since: Instant,
    /// The first moment after it.
    pub until: Instant,
    /// What it was access to, or the package that has the policies, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// By or for whom, by any name of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The privileged account, by any name of its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Which of them; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Until when it is to be signed off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Instant>,
    /// Who reviews, by their addresses; whoever may operate where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
}

impl Asked {
    /// Reads what a caller wants, with the id that they give it. Times without an offset are in the zone that `tz` names, else in `zone`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str, zone: &str) -> Result<(Option<String>, Self), Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let id = fields.text("id", NAME_BYTES);
            if id.as_ref().is_some_and(|id| !is_id(id)) {
                fields.fault("id", "must be 1 to 64 of A-Z a-z 0-9 _ -");
            }
            let name = fields.required_text("name", NAME_BYTES);
            let of = fields
                .required_word("of", &[("sessions", Of::Sessions), ("policies", Of::Policies)]);
            let zone = match fields.text("tz", NAME_BYTES) {
                Some(tz) => time_zone::zone(&tz).map_err(|detail| fields.fault("tz", detail)).ok(),
                None => time_zone::zone(zone).ok(),
            };
            // Where the zone is wrong it is said once, and what else is wrong with the times.
            let zone = zone.unwrap_or(TimeZone::UTC);
            let since =
                fields.required("since", |fields| time(fields, "since", &zone, Bound::Since));
            let until =
                fields.required("until", |fields| time(fields, "until", &zone, Bound::Until));
            if let (Some(since), Some(until)) = (since, until)
                && until <= since
            {
                fields.fault("until", format!("({until}) must be after since ({since})"));
            }
            let due_at = time(&mut fields, "due_at", &zone, Bound::Until);
            let [target, person, account] =
                ["target", "person", "account"].map(|name| fields.text(name, NAME_BYTES));
            if of == Some(Of::Policies) {
                for (name, value) in [("person", &person), ("account", &account)] {
                    if value.is_some() {
                        fields.fault(name, "is for reviews of sessions; a policy is nobody's");
                    }
                }
            }
            let sample = fields.object("sample").and_then(|mut fields| {
                let size = fields.required("size", |fields| fields.whole("size", 1..=MOST_SAMPLED));
                let seed = fields.required_text("seed", NAME_BYTES);
                fields.refuse_others();
                Some(Sample { size: size?, seed: seed? })
            });
            let reviewers = fields.texts("reviewers", MOST_REVIEWERS);
            fields.refuse_others();
            let (name, of, since, until) = (name?, of?, since?, until?);
            Some((
                id,
                Self { name, of, since, until, target, person, account, sample, due_at, reviewers },
            ))
        })
    }
}

/// A hash of a request as it was sent, whatever order its members have.
pub fn sent(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    hex(&Sha256::digest(value.to_string()))
}

/// Whether a review may have that id.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn time(
    fields: &mut Fields<'_>,
    key: &'static str,
    zone: &TimeZone,
    bound: Bound,
) -> Option<Instant> {
    let text = fields.text(key, NAME_BYTES)?;
    let at =
        time_zone::typed(&text, zone, bound).map_err(|detail| fields.fault(key, detail)).ok()?;
    // The ends of time, as many write them, are those that can be written.
    Some(Instant::from_millis(at.millis().clamp(0, 253_402_300_799_999)))
}

/// How far a review is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its items are being gathered.
    Opening,
    /// It takes decisions.
    Open,
    /// It is over.
    SignedOff,
}

/// The words for how far reviews are. One that is open is overdue from its due time on.
pub const STATES: [&str; 4] = ["opening", "open", "overdue", "signed_off"];

/// That somebody answers for a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignOff {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Instant,
    /// What they say to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The hash of the decisions.
    pub sha256: String,
    /// The event that says so.
    pub event: EventId,
}

/// A review. People change it, each time with an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub asked: Asked,
    /// A hash of the request as it was sent, which tells the same request from another.
    pub sent: String,
    /// How far it is.
    pub stage: Stage,
    /// Who opened it.
    pub opened_by: Actor,
    /// When.
    pub opened_at: Instant,
    /// As the trail remembers whoever opened it.
    pub recorded_by: RecordedBy,
    /// The items, once they are fixed.
    pub fixed: Option<Fixed>,
    /// How often each decision stands.
    pub decided: BTreeMap<Decision, u64>,
    /// When it was told that it is overdue.
    pub overdue_at: Option<Instant>,
    /// Its end.
    pub signed_off: Option<SignOff>,
}

/// The items of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// The part of the storage that holds them.
    pub place: String,
    /// The moment they are of.
    pub at: Instant,
    /// How many were found.
    pub found: u64,
    /// How many of those are in the review.
    pub items: u64,
    /// The hash of their ids.
    pub sha256: String,
}

impl Review {
    /// A review that somebody opens now, whose items are still to be gathered.
    pub fn new(id: String, asked: Asked, sent: String, by: &Caller, now: Instant) -> Self {
        Self {
            id,
            asked,
            sent,
            stage: Stage::Opening,
            opened_by: by.actor(),
            opened_at: now,
            recorded_by: by.recorded_by(),
            fixed: None,
            decided: BTreeMap::new(),
            overdue_at: None,
            signed_off: None,
        }
    }

    /// How far it is, in the words of [`STATES`].
    pub fn state(&self, now: Instant) -> &'static str {
        match self.stage {
            Stage::Opening => "opening",
            Stage::Open if self.asked.due_at.is_some_and(|due| due <= now) => "overdue",
            Stage::Open => "open",
            Stage::SignedOff => "signed_off",
        }
    }

    /// Items that nobody decided yet.
    pub fn undecided(&self) -> u64 {
        let items = self.fixed.as_ref().map_or(0, |fixed| fixed.items);
        items.saturating_sub(self.decided.values().sum())
    }

    /// Counts a decision in place of the one that stood there before.
    pub fn count(&mut self, before: Option<Decision>, now: Decision) {
        if let Some(count) = before.and_then(|before| self.decided.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
        *self.decided.entry(now).or_default() += 1;
        self.decided.retain(|_, count| *count > 0);
    }

    /// The same as answered.
    pub fn answered(&self, now: Instant) -> Value {
        let mut answer = serde_json::to_value(&self.asked).unwrap_or_default();
        let decided: u64 = self.decided.values().sum();
        let fixed = self.fixed.as_ref();
        let progress = json!({"items": fixed.map(|it| it.items), "decided": decided, "by_decision": self.decided});
        let told = [
            ("id", json!(self.id)),
            ("state", json!(self.state(now))),
            ("opened_by", json!(self.opened_by)),
            ("opened_at", json!(self.opened_at)),
            ("progress", progress),
        ];
        for (name, value) in told {
            answer[name] = value;
        }
        if self.asked.sample.is_some() {
            answer["sample"]["method"] = METHOD.into();
        }
        if let Some(fixed) = fixed {
            answer["found"] = fixed.found.into();
            answer["fixed_at"] = json!(fixed.at);
            answer["items_sha256"] = fixed.sha256.as_str().into();
            answer["items_hashed"] = ITEMS_HASHED.into();
        }
        if let Some(at) = self.overdue_at {
            answer["overdue_at"] = json!(at);
        }
        if let Some(signed_off) = &self.signed_off {
            answer["signed_off"] = json!(signed_off);
            answer["signed_off"]["hashed"] = DECISIONS_HASHED.into();
        }
        answer
    }

    /// Whether somebody is among those who review, by any name of theirs. Where nobody is named, whoever may operate is.
    pub fn is_for(&self, reviewer: &Party, people: &People) -> bool {
        let known = people
            .find(reviewer)
            .into_iter()
            .flat_map(|known| known.person.aliases().map(|(_, name, _)| name));
        let id = reviewer.id.as_ref().filter(|id| !is_like_address(id));
        let own = [id, reviewer.email.as_ref()].into_iter().flatten().map(String::as_str);
        let names: Vec<_> = known.chain(own).map(fold_identity).collect();
        self.asked.reviewers.is_empty()
            || self.asked.reviewers.iter().any(|address| names.contains(&fold_identity(address)))
    }
}

/// One thing that is reviewed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its id: that of the access, or of package and policy.
    pub id: String,
    /// What it is.
    pub what: What,
    /// What a reviewer made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

/// What an item is, and what it was like when the review was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An access, with a hash of what was told of it.
    Access(String),
    /// A policy of a package.
    Policy {
        /// The package's id.
        package: String,
        /// The package's name.
        name: String,
        /// The package's version.
        version: u64,
        /// The policy.
        policy: Box<Policy>,
    },
}

/// A decision about an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: Instant,
    /// The event that says so.
    pub event: EventId,
}

impl Item {
    /// An access.
    pub fn of_access(access: &Access) -> Self {
        Self { id: access.id.clone(), what: What::Access(told_of(access)), decided: None }
    }

    /// The policies of a package.
    pub fn of_package(package: &access_package::Configured) -> impl Iterator<Item = Self> {
        package.package.policies.iter().map(|policy| {
            let (name, version) = (package.package.name.clone(), package.version);
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

/// The id of a policy as an item: package and policy. What separates them is written otherwise in the package's id.
fn policy_id(package: &str, policy: &str) -> String {
    format!("{}/{policy}", package.replace('%', "%25").replace('/', "%2F"))
}

/// What is wrong with a package of that id whose policies no review could name: an item of a review is found by both ids.
pub fn check_policy_ids(id: &str, package: &Package) -> Result<(), FieldError> {
    let long = |policy: &Policy| policy_id(id, &policy.id).len() > LONGEST_POLICY_ID;
    match package.policies.iter().position(long) {
        None => Ok(()),
        Some(place) => {
            let detail =
                "is too long beside the package's id: together they name the policy in reviews";
            Err(FieldError::new(format!("/policies/{place}/id"), detail))
        }
    }
}

/// A hash of what is told of an access, apart from what people thought of it afterwards.
pub fn told_of(access: &Access) -> String {
    let (findings, reviews, events, pending) = Default::default();
    let told = Access { findings, reviews, events, pending, ..access.clone() };
    hex(&Sha256::digest(serde_json::to_string(&told).unwrap_or_default()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The items of a sample, whatever order all of them come in, by their ids. [`METHOD`] says how.
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

/// The hash of items, which are in the order of their ids.
pub fn items_hash(items: &[Item]) -> String {
    hash_of(items.iter().map(|item| json!([item.id])))
}

/// The hash of items with their decisions, in the order of their ids. None where one is not decided.
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

/// What somebody had to do with an access that they are to judge; none where they had nothing.
pub fn part_in_access(access: &Access, reviewer: &Party, people: &People) -> Option<&'static str> {
    let is = |party: &Party| people.may_be_same(party, reviewer);
    let is_actor = |actor: &Actor| is(&matching::party_of(actor));
    match access {
        Access { decisions, .. } if decisions.iter().any(|decision| is_actor(&decision.by)) => {
            Some("decided the request")
        }
        Access { requester: Some(requester), .. } if is_actor(requester) => Some("asked for it"),
        Access { subject: Some(subject), .. } if is(subject) => Some("is whom it is for"),
        Access { account: Some(account), .. } if is(account) => {
            Some("is whom its account belongs to")
        }
        _ => None,
    }
}

/// The same for a policy: whether somebody is among those who approve by it.
pub fn part_in_policy(
    policy: &Policy,
    reviewer: &Somebody<'_>,
    organisations: &[organisation::Configured],
) -> Option<&'static str> {
    let approves = policy.approves(reviewer, &Somebody::default(), organisations);
    (approves == access_package::Verdict::Yes).then_some("is among the approvers that it names")
}

/// What a reviewer says of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The item.
    pub item: String,
    /// What they make of it.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

impl Said {
    /// Reads `{item, decision, reason}`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            // Two names and what separates them, each byte of the first perhaps written as three.
            let item = fields.required_text("item", 4 * NAME_BYTES + 8);
            let decision = fields.required_word("decision", &Decision::ALL);
            let reason = fields.required_text("reason", TEXT_BYTES);
            fields.refuse_others();
            Some(Self { item: item?, decision: decision?, reason: reason? })
        })
    }
}

/// Reads what somebody says who signs a review off: `{reason?}`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_sign_off(json: &str) -> Result<Option<String>, Vec<FieldError>> {
    object_reader::read_object(json, "", |mut fields| {
        let reason = fields.text("reason", TEXT_BYTES);
        fields.refuse_others();
        Some(reason)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
