//! The state of a session's access record, from the session's steps.

use crate::{
    access::{
        access_key::Key,
        access_record::{Access, AccessStatus},
        decision::{Decision, Verdict},
        session::{Role, Story},
    },
    identity::matching::{is_same_person, party_of},
    time::timestamp::Instant,
    trail::{
        actions::RequestState,
        event::{Party, Recorded},
    },
};

use super::UnexpectedStep;

impl Access {
    /// Takes the state from the session, including its roles.
    pub(super) fn follow_story(&mut self, key: &Key, own: &[Recorded]) {
        let reported =
            own.iter().filter(|it| it.event.session.is_some() && !it.event.id.is_services());
        let story = Story::of(
            match key {
                Key::Session(id) | Key::Request(id) => id,
                Key::Event(id) | Key::LogOn(id) => id.as_str(),
            },
            reported.cloned().collect(),
        );
        self.standing = match story.state {
            None | Some(RequestState::Created) => AccessStatus::Requested,
            Some(RequestState::Approved) => AccessStatus::Approved,
            Some(RequestState::Denied) => AccessStatus::Denied,
            Some(RequestState::TimedOut) => AccessStatus::TimedOut,
            Some(RequestState::Granted) if self.ended_at.is_some() => AccessStatus::Ended,
            Some(RequestState::Granted) => AccessStatus::Active,
            Some(RequestState::Canceled | RequestState::Expired | RequestState::Terminated)
                if self.granted_at.is_none() =>
            {
                AccessStatus::Canceled
            }
            // If the account is in a directory of this service, access continues until that
            // directory shows it as disabled.
            Some(RequestState::Canceled | RequestState::Expired | RequestState::Terminated)
                if self.ended_at.is_none() =>
            {
                AccessStatus::Active
            }
            Some(RequestState::Canceled | RequestState::Expired | RequestState::Terminated) => {
                AccessStatus::Ended
            }
        };
        // Access that was granted without the necessary earlier steps is granted nevertheless.
        if self.standing < AccessStatus::Denied && self.granted_at.is_some() {
            self.standing =
                if self.ended_at.is_some() { AccessStatus::Ended } else { AccessStatus::Active };
        }
        self.needs_no_approval |= self.approvals_needed == 0;
        let approvals =
            self.decisions.iter().filter(|decision| decision.verdict == Verdict::Approved);
        // The time at which the necessary number of different people had approved.
        let complete = |those: Vec<&Decision>| {
            let mut approvers: Vec<(Instant, Party)> = Vec::new();
            for decision in those {
                let by = party_of(&decision.by);
                if !approvers.iter().any(|(_, other)| is_same_person(other, &by)) {
                    approvers.push((decision.at, by));
                }
            }
            approvers.get((self.approvals_needed as usize).saturating_sub(1)).map(|(at, _)| *at)
        };
        self.approved_at = if story.roles.is_empty() {
            // A portal without roles approves the session as a whole.
            complete(approvals.filter(|decision| decision.roles.is_empty()).collect())
        } else {
            let of_role = |role: &Role| {
                complete(
                    approvals
                        .clone()
                        .filter(|decision| decision.roles.contains(&role.role))
                        .collect(),
                )
            };
            let times: Option<Vec<Instant>> = story.roles.iter().map(of_role).collect();
            times.and_then(|times| times.into_iter().max())
        };
        if matches!(
            self.standing,
            AccessStatus::Denied | AccessStatus::Canceled | AccessStatus::TimedOut
        ) {
            self.closed_at =
                story.timeline.iter().filter(|step| step.fits).map(|step| step.occurred_at).max();
        }
        let misfits = story.timeline.iter().filter(|step| !step.fits);
        self.misfits.extend(misfits.map(|step| UnexpectedStep { event: step.event.clone() }));
    }
}
