//! An access record in an API response.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    access::{
        access_record::{Access, AccessKind, AccessStatus, Reviewed, UnderPolicy},
        decision::Decision,
        evidence::{EndCause, Verified},
        log_on::Explained,
    },
    time::timestamp::Instant,
    trail::event::{Actor, EventId, Party, Ticket},
};

/// An access record: one grant to one person, from the request to the verified revocation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AccessAnswer {
    /// The id of the record: `s:` and the id of the session, `r:` and the id of the request, `e:`
    /// and the id of the event that requested access, or `c:` and the id of the log-on's event.
    pub id: String,
    pub kind: AccessKind,
    pub state: AccessStatus,
    /// The source's id of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The source's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The id of the window that the request opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Who requested the access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<Actor>,
    /// The person whom the access is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    /// The account that the person uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// What is accessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// The requested roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Why the access is needed, in the words of the requester.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The policy under which the access was requested or approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<UnderPolicy>,
    /// The source's id of the resulting assignment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// The number of approvals that each role needs; 0 if no approval is needed.
    pub approvals_needed: u32,
    /// The decisions of approvers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// When the access was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Instant>,
    /// When the last necessary approval was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Instant>,
    /// When the access started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Instant>,
    /// When an event first reported a use. Absent if no use is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_used_at: Option<Instant>,
    /// When an event last reported a use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Instant>,
    /// The number of uses.
    pub uses: u32,
    /// True if there are more uses than are counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_uses: bool,
    /// True if there are more steps than the record holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_steps: bool,
    /// The planned start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    /// The planned end, including extensions and early ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    /// When the access ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_cause: Option<EndCause>,
    /// The proof that the access has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// The delay of the end after the planned one, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_ms: Option<i64>,
    /// What explains a log-on. Absent if no request is known, and for other kinds of access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
    /// The decisions about the access in reviews.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Reviewed>,
    /// The ids of the events, in the order in which they occurred.
    pub events: Vec<EventId>,
    /// What explains a log-on, in words. Absent for other kinds of access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The ids of the open findings about the access.
    pub findings: Vec<String>,
    /// How long the access lasted, in milliseconds. Null while it continues.
    pub duration_ms: Option<i64>,
}

impl AccessAnswer {
    /// The access record as it is at a time.
    pub fn of(access: &Access, now: Instant) -> Self {
        let state = access.status_at(now);
        let request = access.request_in_words();
        let findings = access.open_findings().map(str::to_owned).collect();
        let duration_ms = access.duration_ms();
        // All fields are named, so that a new one has to be included or left out deliberately.
        let Access {
            id,
            kind,
            standing: _,
            session,
            request_id,
            window,
            is_external: _,
            is_pim: _,
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
            state,
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
            let now = "2026-01-02T00:00:00Z".parse().unwrap();
            assert_eq!(AccessAnswer::of(&access, now).approvals_needed, answered);
        }
    }
}
