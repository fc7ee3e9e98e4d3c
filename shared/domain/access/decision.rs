//! The decisions of approvers about a request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::access_record::{Access, AccessKind},
    time::timestamp::Instant,
    trail::event::{Actor, EventId, Policy, Recorded, Scope},
};

/// Number of first and of last decisions that are stored. A decision contains a reason, which may
/// be long.
pub(super) const FIRST_DECISIONS: usize = 40;
pub(super) const LAST_DECISIONS: usize = 20;

/// An approver's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ApprovalVerdict")]
pub enum Verdict {
    Approved,
    Denied,
}

/// A decision of an approver about a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ApprovalDecision")]
pub struct Decision {
    pub verdict: Verdict,
    pub by: Actor,
    /// When the approver decided, by the source's clock.
    pub at: Instant,
    /// The reason, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The roles that it is about. Absent if it is about all roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The approval policy under which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The id of the event that records it.
    pub event: EventId,
}

impl Access {
    pub(super) fn decide(&mut self, recorded: &Recorded, verdict: Verdict) {
        let event = &recorded.event;
        let session = event.session.as_ref();
        self.decisions.push(Decision {
            verdict,
            by: event.actor.clone(),
            at: event.occurred_at,
            reason: event.reason.clone().or_else(|| event.justification.clone()),
            roles: session
                .filter(|it| it.scope == Scope::Role)
                .map(|it| it.roles.clone())
                .unwrap_or_default(),
            policy: event.policy.clone(),
            event: event.id.clone(),
        });
        if self.kind != AccessKind::Session && verdict == Verdict::Approved {
            self.approved_at.get_or_insert(event.occurred_at);
        }
    }
}
