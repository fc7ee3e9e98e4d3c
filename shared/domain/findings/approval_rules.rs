//! The rules about the approval of a request and about its approvers.

use crate::{
    access::{
        access_record::AccessKind,
        decision::{Decision, Verdict},
        event_kind,
    },
    collect::source::LATEST,
    findings::checkpoints::AccessCheck,
    identity::matching,
    trail::event::{ActorType, EventId, Party},
};

impl AccessCheck<'_> {
    /// An approval by the recipient, or by a person who may not approve.
    pub(super) fn approvers(&mut self) {
        let access = self.access;
        let asked: Vec<Party> =
            access.requester.iter().map(matching::party_of).chain(access.subject.clone()).collect();
        let approved = |decision: &&Decision| {
            decision.verdict == Verdict::Approved && decision.by.kind != ActorType::System
        };
        for decision in access.decisions.iter().filter(approved) {
            let by = matching::party_of(&decision.by);
            if asked.iter().any(|party| self.context.people.is_same(party, &by)) {
                let why = format!(
                    "{} approved a request that was made by or for the same person",
                    decision.by.shown()
                );
                self.found("approval.by_requester", "", why, vec![decision.event.clone()]);
                break;
            }
        }
        let strangers = self.context.strangers;
        if let Some(decision) =
            access.decisions.iter().filter(approved).find(|it| strangers.contains(&it.event))
        {
            let why =
                format!("{} is not among the approvers that the policy names", decision.by.shown());
            self.found("approval.not_among_approvers", "", why, vec![decision.event.clone()]);
        }
    }

    /// A grant without approval.
    pub(super) fn approval(&mut self) {
        let access = self.access;
        let needs = match access.kind {
            // PIM grants only what is approved, and not every import says by whom.
            AccessKind::Session => !access.needs_no_approval && !access.is_pim,
            // For an assignment whose request is not in the trail, the decision is unknown.
            AccessKind::Package => !access.needs_no_approval && access.asked_at.is_some(),
            // The portal enables an account directly and has no approvers.
            AccessKind::Account | AccessKind::Computer => false,
        };
        let Some(granted) = access.granted_at.filter(|_| needs) else { return };
        // An approval after the grant does not justify it.
        if access.approved_at.is_some_and(|approved| approved <= granted) {
            return;
        }
        let grant = self.own().find(|it| event_kind::is_grant(&it.event.action));
        let evidence: Vec<_> =
            grant.map(|recorded| recorded.event.id.clone()).into_iter().collect();
        // Of imported access, the audit log says who approved it, and may be late.
        let is_imported = evidence.iter().any(EventId::is_imported);
        let due = if is_imported { granted.plus(LATEST) } else { granted };
        if self.is_time("approval.missing", due) {
            self.found(
                "approval.missing",
                "",
                "it was granted without the approvals it needs".to_owned(),
                evidence,
            );
        }
    }
}
