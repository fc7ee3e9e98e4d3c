//! Events that were rejected because an event of another sender has the same id. The trail contains
//! such an event only as a finding.

use serde_json::json;

use crate::access_projection::recorder;
use shared_domain::{
    findings::{
        checkpoints,
        rules::{self, ID_TAKEN},
    },
    trail::{
        actions::FindingAction,
        event::{Actor, Event, EventId, Party, Recorded, RecordedBy},
    },
};
use shared_storage::{TenantScope, insert_events::Insertion};

/// Raises a finding for each rejected event of `by`; each comes with the other sender's event.
/// Returns for each whether the finding is stored.
pub async fn raise_taken_ids(
    scope: &TenantScope<'_>,
    refused: Vec<(Event, Recorded)>,
    by: &RecordedBy,
) -> Vec<bool> {
    let findings = refused.iter().map(|(sent, there)| taken_id(scope, sent, there, by)).collect();
    let raised = scope.insert(findings, &recorder()).await;
    raised.iter().map(|insertion| !matches!(insertion, Insertion::Unavailable)).collect()
}

fn taken_id(scope: &TenantScope<'_>, sent: &Event, there: &Recorded, by: &RecordedBy) -> Event {
    let tenant = &scope.tenant;
    // One finding for each sender and id, however often the event is sent.
    let finding = checkpoints::finding_id(tenant, ID_TAKEN, &format!("{}#{}", sent.id, by.sub));
    let id = EventId::of_service(tenant, FindingAction::Raised, &[&finding, "1"]);
    let mut event =
        Event::of_service(id, tenant, FindingAction::Raised, scope.now, Actor::system());
    event.target =
        Some(Party { kind: Some("finding".into()), id: Some(finding), ..Party::default() });
    event.reason = Some(format!(
        "{} sent {} with the id {}, which an event of {} already has; the new event was not stored",
        by.sub, sent.action, sent.id, there.recorded_by.sub
    ));
    event.subject = sent.subject.clone();
    event.account = sent.account.clone();
    let severity = rules::rule_of(ID_TAKEN).map(|rule| rule.severity);
    // The part of the event by which its sender can find it.
    let details = json!({
        "rule": ID_TAKEN, "severity": severity, "round": 1, "evidence": [there.event.id],
        "taken_by": there.recorded_by, "sender": by,
        "sent": {
            "action": sent.action, "occurred_at": sent.occurred_at, "actor": sent.actor, "digest": sent.digest().to_string(),
        },
    });
    event.details = details.as_object().cloned();
    if by.history && there.recorded_by.history {
        event.details.get_or_insert_default().insert("found_later".to_owned(), true.into());
    }
    event
}
