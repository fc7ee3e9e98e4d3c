//! The rule about approvers who decide too quickly.

use crate::{
    access::{
        access_record::Access,
        decision::{Decision, Verdict},
    },
    configuration::settings::Thresholds,
    identity::matching,
    time::timestamp::Instant,
    trail::event::{ActorType, EventId},
};

/// An approval that came too quickly for a real decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hasty {
    pub at: Instant,
    pub event: EventId,
}

/// The hasty approvals of an access record with their approvers: one for each approver, whatever
/// the number of roles.
pub fn hasty<'a>(access: &'a Access, thresholds: &Thresholds) -> Vec<(&'a Decision, Hasty)> {
    let least = i64::from(thresholds.approval_seconds) * 1000;
    let Some(asked) = access.asked_at else { return Vec::new() };
    let mut found: Vec<(&Decision, Hasty)> = Vec::new();
    for decision in &access.decisions {
        let took = decision.at.millis() - asked.millis();
        let is_hasty = decision.verdict == Verdict::Approved
            && decision.by.kind != ActorType::System
            && (0..least).contains(&took);
        let is_known = found.iter().any(|(other, _)| {
            matching::is_same_person(
                &matching::party_of(&other.by),
                &matching::party_of(&decision.by),
            )
        });
        if is_hasty && !is_known {
            found.push((decision, Hasty { at: decision.at, event: decision.event.clone() }));
        }
    }
    found
}

/// The last approval by which an approver exceeds the limit of hasty approvals within a number of
/// days.
pub fn too_hasty(
    approvals: &[Hasty],
    month: &str,
    thresholds: &Thresholds,
) -> Option<Vec<EventId>> {
    let times = thresholds.approval_times as usize;
    let within = i64::from(thresholds.approval_days) * 86_400_000;
    let mut evidence = std::collections::BTreeSet::new();
    for group in approvals.windows(times.max(1)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        if last.at.to_string().starts_with(month) && last.at.millis() - first.at.millis() <= within
        {
            evidence.extend(group.iter().cloned());
        }
    }
    (!evidence.is_empty()).then(|| evidence.into_iter().map(|hasty| hasty.event).collect())
}
