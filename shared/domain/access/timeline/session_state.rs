//! The state of a session's access record, from the session's steps.

use crate::{
    access::{
        access_key::Key,
        access_record::{Access, AccessStatus},
        decision::{Decision, Verdict},
        session::{Role, Story},
    },
    identity::{matching::party_of, people::People},
    time::timestamp::Instant,
    trail::{
        actions::{RequestState, SessionAction},
        event::{ActorType, Outcome, Party, Recorded, Scope},
    },
};

use super::UnexpectedStep;

/// The session of an access record, from its own events.
pub(super) fn story_of(key: &Key, own: &[Recorded], people: &People) -> Story {
    let id = match key {
        Key::Session(id) | Key::Request(id) => id,
        Key::Event(id) | Key::LogOn(id) => id.as_str(),
    };
    let steps = own.iter().filter(|it| it.event.session.is_some() && !it.event.id.is_services());
    Story::of(id, steps.cloned().collect(), people)
}

/// The steps that do not fit.
pub(super) fn unexpected_steps(story: &Story) -> Vec<UnexpectedStep> {
    let unexpected = story.timeline.iter().filter_map(|step| {
        let problem = step.problem?;
        Some(UnexpectedStep { event: step.event.clone(), problem })
    });
    unexpected.collect()
}

impl Access {
    /// Takes the state from the session, including its roles.
    pub(super) fn follow_story(&mut self, story: &Story, own: &[Recorded], people: &People) {
        self.needs_no_approval |= self.approvals_needed == 0;
        self.approved_at = self.approval_time(story, people);
        let failed_at = self.failed_grant(story, own);
        self.standing = match story.state {
            // Access that was granted without the necessary earlier steps is granted nevertheless.
            // If the account is in a directory of this service, access continues until that
            // directory shows it as disabled.
            _ if self.granted_at.is_some() && self.ended_at.is_some() => AccessStatus::Ended,
            _ if self.granted_at.is_some() => AccessStatus::Active,
            None | Some(RequestState::Created) => AccessStatus::Requested,
            Some(RequestState::Approved) if failed_at.is_some() => AccessStatus::Failed,
            Some(RequestState::Approved) => AccessStatus::Approved,
            Some(RequestState::Denied) => AccessStatus::Denied,
            Some(RequestState::TimedOut) => AccessStatus::TimedOut,
            Some(RequestState::Granted) => AccessStatus::Active,
            Some(RequestState::Canceled | RequestState::Expired | RequestState::Terminated) => {
                AccessStatus::Canceled
            }
        };
        self.closed_at = match self.standing {
            AccessStatus::Denied | AccessStatus::Canceled | AccessStatus::TimedOut => {
                story.entered_at
            }
            AccessStatus::Failed => failed_at,
            AccessStatus::Requested
            | AccessStatus::Approved
            | AccessStatus::Active
            | AccessStatus::Ended => None,
        };
    }

    /// When the source last failed to start the session after its approval.
    fn failed_grant(&self, story: &Story, own: &[Recorded]) -> Option<Instant> {
        let is_attempt = |recorded: &&Recorded| {
            let event = &recorded.event;
            let is_whole =
                event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
            is_whole
                && event.action == SessionAction::Granted
                && event.outcome == Outcome::Failure
                && story.entered_at.is_some_and(|entered| entered <= event.occurred_at)
        };
        own.iter().filter(is_attempt).map(|recorded| recorded.event.occurred_at).max()
    }

    /// The time at which the necessary number of different people had approved every role. An
    /// approval that does not fit does not count.
    fn approval_time(&self, story: &Story, people: &People) -> Option<Instant> {
        let needed = self.approvals_needed as usize;
        let approvals = self.decisions.iter().filter(|decision| {
            decision.verdict == Verdict::Approved
                && !self.misfits.iter().any(|misfit| misfit.event == decision.event)
        });
        let complete = |those: Vec<&Decision>| {
            let mut approvers: Vec<(Instant, Party)> = Vec::new();
            for decision in those {
                let by = party_of(&decision.by);
                let is_same = |other: &Party| *other == by || people.is_same(other, &by);
                if !approvers.iter().any(|(_, other)| is_same(other)) {
                    approvers.push((decision.at, by));
                }
            }
            approvers.get(needed.saturating_sub(1)).map(|(at, _)| *at)
        };
        if story.roles.is_empty() {
            // A portal without roles approves the session as a whole. Its own event may repeat
            // what several people decided.
            let is_of_whole = |decision: &&Decision| {
                decision.roles.is_empty() && (needed <= 1 || decision.by.kind != ActorType::System)
            };
            return complete(approvals.filter(is_of_whole).collect());
        }
        let of_role = |role: &Role| {
            let of_role = approvals.clone().filter(|it| it.roles.contains(&role.role));
            complete(of_role.collect())
        };
        let times: Option<Vec<Instant>> = story.roles.iter().map(of_role).collect();
        times.and_then(|times| times.into_iter().max())
    }
}
