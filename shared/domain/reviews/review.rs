//! Access reviews: reviewers check the access that was given in a period, or the approval policies,
//! and decide about each.
//!
//! The items of a review are fixed when it is opened: all of them, or a sample that anyone can
//! reproduce. Each item gets a decision with a reason, made by a person who had no part in the
//! access or policy. A decision may be changed until the review is signed off. After sign-off
//! nothing changes.

mod schema;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use strum::{EnumString, VariantNames};

use crate::{
    identity::{
        caller::{Caller, is_like_address},
        people::People,
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    reviews::review_item::{Decision, hex},
    text::case_folding::fold_identity,
    time::{
        time_zone::{self, Bound, TimeZone},
        timestamp::Instant,
    },
    trail::event::{Actor, EventId, Party, RecordedBy},
};

pub use schema::{DecisionRequest, DecisionsRequest, ReviewRequest, SignOffRequest};

/// Maximum number of items of a sample.
pub const MOST_SAMPLED: u32 = 100_000;
/// Maximum number of reviewers of a review.
pub(super) const MOST_REVIEWERS: usize = 50;
/// Maximum number of decisions of one request.
pub const MOST_DECISIONS: usize = 200;
/// The rule of the finding about an overdue review.
pub const OVERDUE: &str = "review.overdue";

/// What a review is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ReviewKind")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Of {
    /// Access records of every kind whose time overlaps the period.
    Sessions,
    /// Approval policies of access packages, as they are when the review is opened.
    Policies,
}

/// A reproducible sample of all items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub size: u32,
    /// The seed that selects the items.
    pub seed: String,
}

/// The request to open a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestedReview {
    /// The display name.
    pub name: String,
    pub of: Of,
    /// Start of the period, inclusive.
    pub since: Instant,
    /// End of the period, exclusive.
    pub until: Instant,
    /// Only access to this target, or the policies of this package, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Only access of this person, by id, name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only access with this privileged account, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The sample; all items where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// When the sign-off is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Instant>,
    /// The addresses of the reviewers; where empty, all operators may review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
}

impl RequestedReview {
    /// Reads a request and the id that the caller may give. Times without an offset are in the zone
    /// that the member `tz` names, otherwise in `zone`.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str, zone: &str) -> Result<(Option<String>, Self), Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let id = fields.text("id", NAME_BYTES);
            if id.as_ref().is_some_and(|id| !is_id(id)) {
                fields.fault("id", "must be 1 to 64 of A-Z a-z 0-9 _ -");
            }
            for reserved in [KEYED, PLANNED] {
                if id.as_ref().is_some_and(|id| id.starts_with(reserved)) {
                    fields.fault("id", format!("must not begin with {reserved:?}"));
                }
            }
            let name = fields.required_text("name", NAME_BYTES);
            let (_, zone) = read_zone(&mut fields, zone);
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
            let (of, [target, person, account]) = read_subject(&mut fields);
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

/// Reads what is reviewed: its kind, and the target, person and account to which it is limited.
pub(super) fn read_subject(fields: &mut Fields<'_>) -> (Option<Of>, [Option<String>; 3]) {
    let of = fields.required_word("of");
    let [target, person, account] =
        ["target", "person", "account"].map(|name| fields.text(name, NAME_BYTES));
    if of == Some(Of::Policies) {
        for (name, value) in [("person", &person), ("account", &account)] {
            if value.is_some() {
                fields.fault(
                    name,
                    "is only for reviews of sessions; remove it from a review of policies",
                );
            }
        }
    }
    (of, [target, person, account])
}

/// Reads the zone that the member `tz` names, otherwise `zone`; with its name.
pub(super) fn read_zone(fields: &mut Fields<'_>, zone: &str) -> (String, TimeZone) {
    let name = fields.text("tz", NAME_BYTES).unwrap_or_else(|| zone.to_owned());
    let found = time_zone::zone(&name).map_err(|detail| fields.fault("tz", detail));
    // An invalid zone is reported once; times are read in UTC to find their other errors.
    (name, found.unwrap_or_else(|()| TimeZone::utc()))
}

/// A hash of the request's body, independent of the order of members.
pub fn sent(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    hex(&Sha256::digest(value.to_string()))
}

/// What the id of a review begins with that was opened with an idempotency key.
pub const KEYED: &str = "key_";
/// What the id of a review begins with that a plan opened.
pub const PLANNED: &str = "plan_";

/// Whether the text is a valid id of a review.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

pub(super) fn time(
    fields: &mut Fields<'_>,
    key: &'static str,
    zone: &TimeZone,
    bound: Bound,
) -> Option<Instant> {
    let text = fields.text(key, NAME_BYTES)?;
    let at =
        time_zone::typed(&text, zone, bound).map_err(|detail| fields.fault(key, detail)).ok()?;
    // Callers write the first or last possible time for "no limit": it is clamped to the range that
    // can be written.
    Some(Instant::from_millis(at.millis().clamp(0, 253_402_300_799_999)))
}

/// The stage of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its items are being collected.
    Opening,
    /// It accepts decisions.
    Open,
    SignedOff,
}

/// The state of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ReviewState {
    /// Its items are being collected.
    Opening,
    /// It accepts decisions.
    Open,
    /// It accepts decisions, and its sign-off is late.
    Overdue,
    /// Nothing in it changes any more.
    SignedOff,
}

/// The sign-off of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignOff {
    pub by: Actor,
    pub at: Instant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The hash of all decisions.
    pub sha256: String,
    /// The event that records it.
    pub event: EventId,
}

/// The plan that opened a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReviewOrigin")]
pub struct PlanOrigin {
    /// The id of the plan.
    pub id: String,
    /// The period of the review, such as `2026 Q4`.
    pub period: String,
    /// Who created the plan.
    pub owner: Actor,
}

/// A review. Each change is stored together with an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    pub id: String,
    pub asked: RequestedReview,
    /// The hash of the request's body, to recognise a repeated request.
    pub sent: String,
    pub stage: Stage,
    pub opened_by: Actor,
    pub opened_at: Instant,
    /// The caller that opened it, as recorded in events.
    pub recorded_by: RecordedBy,
    /// The plan that opened it; none for a review that a caller opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanOrigin>,
    /// The items, once they are fixed.
    pub fixed: Option<Fixed>,
    /// How many items have each decision.
    pub decided: BTreeMap<Decision, u64>,
    /// When the review was reported as overdue.
    pub overdue_at: Option<Instant>,
    pub signed_off: Option<SignOff>,
}

/// The fixed items of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// The storage partition that contains them.
    pub place: String,
    /// The time to which they refer.
    pub at: Instant,
    /// How many items were found.
    pub found: u64,
    /// How many of them are in the review.
    pub items: u64,
    /// The hash of their ids.
    pub sha256: String,
}

impl Review {
    /// A new review whose items are still to be collected.
    pub fn new(
        id: String,
        asked: RequestedReview,
        sent: String,
        by: &Caller,
        now: Instant,
    ) -> Self {
        Self {
            id,
            asked,
            sent,
            stage: Stage::Opening,
            opened_by: by.actor(),
            opened_at: now,
            recorded_by: by.recorded_by(),
            plan: None,
            fixed: None,
            decided: BTreeMap::new(),
            overdue_at: None,
            signed_off: None,
        }
    }

    /// The state at `now`. An open review is overdue from its due time on.
    pub fn state(&self, now: Instant) -> ReviewState {
        match self.stage {
            Stage::Opening => ReviewState::Opening,
            Stage::Open if self.asked.due_at.is_some_and(|due| due <= now) => ReviewState::Overdue,
            Stage::Open => ReviewState::Open,
            Stage::SignedOff => ReviewState::SignedOff,
        }
    }

    /// The addresses of the people who answer for the review: its reviewers, otherwise who opened it.
    pub fn owners(&self) -> Vec<String> {
        if !self.asked.reviewers.is_empty() {
            return self.asked.reviewers.clone();
        }
        let opener = self.plan.as_ref().map_or(&self.opened_by, |plan| &plan.owner);
        opener.email.iter().cloned().collect()
    }

    /// The number of items without a decision.
    pub fn undecided(&self) -> u64 {
        let items = self.fixed.as_ref().map_or(0, |fixed| fixed.items);
        items.saturating_sub(self.decided.values().sum())
    }

    /// Counts a decision and removes the item's earlier decision from the count.
    pub fn count(&mut self, before: Option<Decision>, now: Decision) {
        if let Some(count) = before.and_then(|before| self.decided.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
        *self.decided.entry(now).or_default() += 1;
        self.decided.retain(|_, count| *count > 0);
    }

    /// Whether a person is among the reviewers, by any of their names. Where none is named, every
    /// operator is.
    pub fn is_for(&self, reviewer: &Party, people: &People) -> bool {
        let known = people
            .find(reviewer)
            .into_iter()
            .flat_map(|known| known.document.aliases().map(|(_, name, _)| name));
        let id = reviewer.id.as_ref().filter(|id| !is_like_address(id));
        let own = [id, reviewer.email.as_ref()].into_iter().flatten().map(String::as_str);
        let names: Vec<_> = known.chain(own).map(fold_identity).collect();
        self.asked.reviewers.is_empty()
            || self.asked.reviewers.iter().any(|address| names.contains(&fold_identity(address)))
    }
}

/// Reads the body of a sign-off, `{reason?}`, and returns the reason.
///
/// # Errors
/// All errors found.
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
