//! An access record in an API response.

use serde::Serialize;

use crate::{
    access::{
        access_record::{Access, AccessStatus, Kind, Reviewed, UnderPolicy},
        decision::Decision,
        evidence::{EndCause, Verified},
        log_on::Explained,
    },
    time::timestamp::Instant,
    trail::event::{Actor, EventId, Party, Ticket},
};

/// An access record in an API response: without internal fields, with derived ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessAnswer {
    pub id: String,
    pub kind: Kind,
    pub state: AccessStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<UnderPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    pub approvals_needed: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_used_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Instant>,
    pub uses: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_uses: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_steps: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_cause: Option<EndCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Reviewed>,
    pub events: Vec<EventId>,
    /// The explanation of a log-on in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    pub findings: Vec<String>,
    pub duration_ms: Option<i64>,
}

impl From<&Access> for AccessAnswer {
    fn from(access: &Access) -> Self {
        let request = access.request_in_words();
        let findings = access.open_findings().map(str::to_owned).collect();
        let duration_ms = access.duration_ms();
        // All fields are named, so that a new one has to be included or left out deliberately.
        let Access {
            id,
            kind,
            standing,
            session,
            request_id,
            window,
            is_external: _,
            requester,
            subject,
            account,
            target,
            targets: _,
            roles,
            justification,
            ticket,
            policy,
            assignment,
            approvals_needed,
            needs_no_approval,
            decisions,
            asked_at,
            approved_at,
            granted_at,
            first_used_at,
            last_used_at,
            uses,
            more_uses,
            more_steps,
            starts_at,
            ends_at,
            ended_at,
            end_cause,
            verified,
            closed_at: _,
            lateness_ms,
            explained,
            misfits: _,
            findings: _,
            reviews,
            events,
            pending: _,
            recorded_until: _,
        } = access.clone();
        Self {
            id,
            kind,
            state: standing,
            session,
            request_id,
            window,
            requester,
            subject,
            account,
            target,
            roles,
            justification,
            ticket,
            policy,
            assignment,
            approvals_needed: if needs_no_approval { 0 } else { approvals_needed },
            decisions,
            asked_at,
            approved_at,
            granted_at,
            first_used_at,
            last_used_at,
            uses,
            more_uses,
            more_steps,
            starts_at,
            ends_at,
            ended_at,
            end_cause,
            verified,
            lateness_ms,
            explained,
            reviews,
            events,
            request,
            findings,
            duration_ms,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn access_that_needs_no_approval_is_answered_with_zero_approvals_needed() {
        for (needs_no_approval, answered) in [(true, 0), (false, 1)] {
            let access: Access = serde_json::from_value(serde_json::json!({
                "id": "r:1", "kind": "package", "standing": "requested", "approvals_needed": 1,
                "needs_no_approval": needs_no_approval, "events": [],
                "recorded_until": "2026-01-01T00:00:00Z",
            }))
            .unwrap();
            assert_eq!(AccessAnswer::from(&access).approvals_needed, answered);
        }
    }
}
