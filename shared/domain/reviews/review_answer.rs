//! Reviews and their items in API responses.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use strum::VariantNames;

use crate::{
    access::access_answer::AccessAnswer,
    configuration::access_package::Policy,
    reviews::{
        review::{Of, PlanOrigin, RequestedReview, Review, ReviewState, Sample, SignOff},
        review_item::{DECISIONS_HASHED, Decided, Decision, ITEMS_HASHED, METHOD},
    },
    time::timestamp::Instant,
    trail::{
        actions::Action,
        event::{Actor, EventId, Recorded},
    },
};

/// An access review: the request, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ReviewAnswer {
    /// The id in the address of the review: the requested one, or a generated one.
    pub id: String,
    /// The display name.
    pub name: String,
    pub of: Of,
    /// Start of the period, inclusive.
    pub since: Instant,
    /// End of the period, exclusive.
    pub until: Instant,
    /// Only access to this target, or the policies of this package, by id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Only access of this person, by id, name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only access with this privileged account, by id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// How the items are sampled. Absent if the review has all items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleAnswer>,
    /// When the sign-off is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Instant>,
    /// The e-mail addresses of the reviewers. Absent if all operators may review.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    pub state: ReviewState,
    pub opened_by: Actor,
    /// When the review was requested.
    pub opened_at: Instant,
    /// The plan that opened it. Absent if a caller opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanOrigin>,
    pub progress: ReviewProgressAnswer,
    /// The number of items that were found, of which a sample may be in the review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// The time to which the items refer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_at: Option<Instant>,
    /// SHA-256 of the items' ids, in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items_sha256: Option<String>,
    /// How `items_sha256` is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items_hashed: Option<&'static str>,
    /// When the review was reported as overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue_at: Option<Instant>,
    /// The sign-off, after which nothing in the review changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_off: Option<SignOffAnswer>,
}

/// A sample of all items that anyone can reproduce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SampleAnswer {
    /// The number of items.
    pub size: u32,
    /// The seed that selects the items.
    pub seed: String,
    /// How the items are selected.
    pub method: &'static str,
}

/// The progress of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReviewProgressAnswer {
    /// The number of items. Null while they are being collected.
    pub items: Option<u64>,
    /// The number of items with a decision.
    pub decided: u64,
    /// The number of items with each decision. Decisions that no item has are absent.
    #[schemars(extend("propertyNames" = {"enum": Decision::VARIANTS}))]
    pub by_decision: BTreeMap<Decision, u64>,
}

/// The sign-off of a review.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SignOffAnswer {
    pub by: Actor,
    /// When the reviewer signed off.
    pub at: Instant,
    /// The remark of the reviewer, if one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// SHA-256 of all decisions, in lower-case hex.
    pub sha256: String,
    /// How `sha256` is computed.
    pub hashed: &'static str,
    /// The id of the event that records the sign-off.
    pub event: EventId,
}

/// An item of a review, with the current state of what is reviewed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ReviewItemAnswer {
    /// The id of the item: of the access record, or of package and policy.
    pub item: String,
    /// The decision. Null if there is none yet.
    pub decision: Option<Decided>,
    #[serde(flatten)]
    pub subject: ReviewSubjectAnswer,
    /// Whether the access record or policy has changed since the review was opened.
    pub changed_since_opened: bool,
    /// Events about the item that were recorded after the sign-off. Absent before the sign-off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived_after_sign_off: Option<Vec<LateEventAnswer>>,
}

/// What is reviewed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ReviewSubjectAnswer {
    /// An access record.
    Access {
        /// The access record as it is now. Null if it is past its retention.
        access: Option<Box<AccessAnswer>>,
    },
    /// A policy of an access package.
    Policy {
        package: ReviewedPackageAnswer,
        /// The policy as it is now. Null if the package does not have it any more.
        policy: Option<Box<Policy>>,
        /// The policy as it was when the review was opened.
        opened: OpenedPolicyAnswer,
    },
}

/// The access package of a reviewed policy, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReviewedPackageAnswer {
    /// The id in the address of the package.
    pub id: String,
    /// The display name; of a deleted package the last one.
    pub name: String,
    /// The package's version. Null if the package is deleted.
    pub version: Option<u64>,
}

/// A policy as it was when the review was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OpenedPolicyAnswer {
    /// The package's version at that time.
    pub version: u64,
    pub policy: Box<Policy>,
}

/// An event that was recorded after the sign-off of a review.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LateEventAnswer {
    /// The id of the event.
    pub event: EventId,
    pub action: Action,
    /// When it happened, by the source's clock.
    pub occurred_at: Instant,
    /// When the trail stored the event: after the sign-off.
    pub recorded_at: Instant,
}

impl From<&Sample> for SampleAnswer {
    fn from(sample: &Sample) -> Self {
        let Sample { size, seed } = sample.clone();
        Self { size, seed, method: METHOD }
    }
}

impl From<&SignOff> for SignOffAnswer {
    fn from(sign_off: &SignOff) -> Self {
        let SignOff { by, at, reason, sha256, event } = sign_off.clone();
        Self { by, at, reason, sha256, hashed: DECISIONS_HASHED, event }
    }
}

impl From<&Recorded> for LateEventAnswer {
    fn from(recorded: &Recorded) -> Self {
        let event = &recorded.event;
        Self {
            event: event.id.clone(),
            action: event.action.clone(),
            occurred_at: event.occurred_at,
            recorded_at: recorded.recorded_at,
        }
    }
}

impl Review {
    /// The review in an API response.
    pub fn answered(&self, now: Instant) -> ReviewAnswer {
        let RequestedReview {
            name,
            of,
            since,
            until,
            target,
            person,
            account,
            sample,
            due_at,
            reviewers,
        } = self.asked.clone();
        let fixed = self.fixed.as_ref();
        ReviewAnswer {
            id: self.id.clone(),
            name,
            of,
            since,
            until,
            target,
            person,
            account,
            sample: sample.as_ref().map(SampleAnswer::from),
            due_at,
            reviewers,
            state: self.state(now),
            opened_by: self.opened_by.clone(),
            opened_at: self.opened_at,
            plan: self.plan.clone(),
            progress: ReviewProgressAnswer {
                items: fixed.map(|it| it.items),
                decided: self.decided.values().sum(),
                by_decision: self.decided.clone(),
            },
            found: fixed.map(|it| it.found),
            fixed_at: fixed.map(|it| it.at),
            items_sha256: fixed.map(|it| it.sha256.clone()),
            items_hashed: fixed.map(|_| ITEMS_HASHED),
            overdue_at: self.overdue_at,
            signed_off: self.signed_off.as_ref().map(SignOffAnswer::from),
        }
    }
}
