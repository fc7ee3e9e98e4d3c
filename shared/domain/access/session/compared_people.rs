//! The people whose records can change what a session is computed to be.

use crate::{
    identity::matching::{compare_people, party_of},
    trail::{
        actions::{Action, SessionAction},
        event::{Outcome, Party, Recorded},
    },
};

/// The people who may be one person under different names: whoever canceled a session, if they are
/// not clearly its requester, and its approvers, if it needs several. None in most sessions, whose
/// people then need not be read.
pub fn compared_people<'e>(events: impl Iterator<Item = &'e Recorded>) -> Vec<Party> {
    let (mut requesters, mut cancelers, mut approvers) = (Vec::new(), Vec::new(), Vec::new());
    let mut needs_several = false;
    for event in events.map(|recorded| &recorded.event) {
        let Action::Session(step) = event.action else { continue };
        if event.outcome == Outcome::Failure {
            continue;
        }
        requesters.extend(event.subject.clone());
        let by = party_of(&event.actor);
        match step {
            SessionAction::Created => requesters.push(by),
            SessionAction::Canceled => cancelers.push(by),
            SessionAction::Approved => approvers.push(by),
            SessionAction::Denied
            | SessionAction::Granted
            | SessionAction::Expired
            | SessionAction::Terminated
            | SessionAction::TimedOut => {}
        }
        let needed = event.session.as_ref().and_then(|session| session.approvals_needed);
        needs_several |= needed.is_some_and(|needed| needed > 1);
    }
    let is_clear =
        |by: &Party| requesters.iter().any(|requester| compare_people(requester, by) == Some(true));
    let mut compared = match cancelers.iter().all(is_clear) {
        true => Vec::new(),
        false => [requesters, cancelers].concat(),
    };
    if needs_several {
        compared.extend(approvers);
    }
    compared.sort_by(|a, b| names(a).cmp(&names(b)));
    compared.dedup();
    compared.retain(|party| *party != Party::default());
    compared
}

fn names(party: &Party) -> [Option<&str>; 3] {
    [party.email.as_deref(), party.id.as_deref(), party.name.as_deref()]
}
