//! Applies findings and reviews to an access record.

use serde_json::Value;

use crate::{
    access::access_record::{Access, Reviewed},
    findings::finding,
    trail::{
        actions::{FindingAction, ReviewAction},
        event::Event,
    },
};

impl Access {
    pub(super) fn take_afterthought(&mut self, event: &Event) {
        let detail = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        if event.action == ReviewAction::Decided
            && let (Some(review), Some(decision)) =
                (event.target.as_ref().and_then(|target| target.id.clone()), detail("decision"))
        {
            let (by, at, decision) = (event.actor.clone(), event.occurred_at, decision.to_owned());
            self.reviews.push(Reviewed { review, decision, by, at });
            return;
        }
        let Some(id) = event.target.as_ref().and_then(|target| target.id.as_ref()) else { return };
        let round =
            event.details.as_ref().and_then(|details| details.get("round")).and_then(Value::as_u64);
        let round = round.and_then(|round| u32::try_from(round).ok()).unwrap_or(1);
        let rounds = self.findings.entry(id.clone()).or_default();
        if event.action == FindingAction::Withdrawn {
            rounds.withdrawn = rounds.withdrawn.max(round);
            return;
        }
        // A resolution does not change the evidence.
        let Some(update) = finding::update_of(event) else { return };
        if (round, update) >= (rounds.raised, rounds.updates) {
            (rounds.raised, rounds.updates) = (round, update);
            rounds.evidence = finding::evidence_of(event);
            rounds.why = event.reason.clone();
            rounds.has_subject = event.subject.is_some();
        }
    }
}
