//! A session computed from its events: state, roles with their decisions, justification, user name
//! and timeline.
//!
//! It is computed from the events alone, in the order in which they occurred. A late event
//! therefore has the same effect as a timely one, and the session never disagrees with the trail.

mod compared_people;
mod requester;
mod steps;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::event_order::order_of,
    identity::people::People,
    time::timestamp::Instant,
    trail::{
        actions::{RequestState, SessionAction},
        event::{EventId, Outcome, Party, Recorded, Scope, USERNAME_TBD},
    },
};

pub use compared_people::compared_people;
use requester::Requester;
use steps::Steps;

/// A session computed from its events, from the request to its end.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "SessionStory")]
pub struct Story {
    /// The source's id.
    pub id: String,
    /// The state. Null if no event implies one.
    pub state: Option<RequestState>,
    /// The name of the person who requested it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// What is accessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// Why the session is needed, in the words of the requester.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// The user name that is generated for it; `TBD` until it is granted.
    pub username: String,
    /// The planned start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Instant>,
    /// The planned end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Instant>,
    /// Number of approvals that each role needs.
    pub approvals_needed: u32,
    /// The requested roles with their decisions. If no event lists the requested roles, the roles
    /// that any event names.
    pub roles: Vec<Role>,
    /// The id of the window that it opened, or of the last one. Events alone do not contain the
    /// window's state.
    #[serde(skip)]
    pub opened: Option<String>,
    /// When it entered its state.
    #[serde(skip)]
    pub entered_at: Option<Instant>,
    /// All its events, in the order in which they occurred.
    pub timeline: Vec<SessionStep>,
}

/// A role of a session.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "SessionRole")]
pub struct Role {
    /// The name of the role.
    pub role: String,
    /// `CREATED`, `APPROVED` or `DENIED`.
    pub state: RequestState,
    /// The approvals and denials, in the order in which they occurred. Empty if nobody has decided.
    pub decisions: Vec<Decision>,
}

/// An approval or denial of a role.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RoleDecision")]
pub struct Decision {
    /// `APPROVED` or `DENIED`.
    pub state: RequestState,
    /// The approver's name, as in sentences.
    pub by: String,
    /// When the approver decided, by the source's clock.
    pub at: Instant,
    /// The reason, if stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the event that records it.
    pub event: EventId,
}

impl Decision {
    fn of(recorded: &Recorded, state: RequestState) -> Self {
        let event = &recorded.event;
        Self {
            state,
            by: event.actor.shown().into_owned(),
            at: event.occurred_at,
            reason: event.reason.clone(),
            event: event.id.clone(),
        }
    }
}

/// An event of a session.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionStep {
    /// The id of the event.
    pub event: EventId,
    /// When it happened, by the source's clock.
    pub occurred_at: Instant,
    /// When the trail stored the event.
    pub recorded_at: Instant,
    /// The name of the step on the page.
    pub label: String,
    /// What happened, as a sentence.
    pub message: String,
    /// Whether the step is allowed after the earlier ones. A step that is not changes no state.
    pub fits: bool,
    /// Why the step does not fit. Absent if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<StepProblem>,
}

/// Why a step of a session does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepProblem {
    /// It is not allowed after the earlier steps.
    #[default]
    OutOfOrder,
    /// It decides about a role that was not requested.
    RoleNotRequested,
    /// It cancels the session, but not by the person who requested it.
    NotByRequester,
}

impl Story {
    /// Computes the session `id` from its events, in any order. `people` are the records of the
    /// people whom the events name, as far as they are known.
    pub fn of(id: &str, mut events: Vec<Recorded>, people: &People) -> Self {
        events.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        let mut story = Self {
            id: id.to_owned(),
            state: None,
            requester: None,
            target: None,
            justification: None,
            username: USERNAME_TBD.to_owned(),
            starts_at: None,
            ends_at: None,
            approvals_needed: 1,
            roles: Vec::new(),
            opened: None,
            entered_at: None,
            timeline: Vec::with_capacity(events.len()),
        };
        // Facts come first, wherever they occur: decisions depend on the requested roles and on the
        // number of necessary approvals.
        for recorded in &events {
            story.take_facts(recorded);
        }
        let has_requested_roles = story.take_roles(&events);
        story.take_username(&events);
        let requester = Requester::of(&events);
        story.requester = requester.name();
        let mut steps = Steps::new(story, has_requested_roles, requester, people);
        events.iter().for_each(|recorded| steps.take(recorded));
        steps.story
    }

    /// The state at `now`. A session without a decision at its planned end has timed out, even
    /// without an event.
    pub fn state_at(&self, now: Instant) -> Option<RequestState> {
        match (self.state, self.ends_at) {
            (Some(RequestState::Created), Some(ends)) if ends <= now => {
                Some(RequestState::TimedOut)
            }
            (state, _) => state,
        }
    }

    fn take_facts(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let Some(session) = &event.session else { return };
        // A use names its session but contains no planned times.
        if event.is_of_device() {
            return;
        }
        self.target = self.target.take().or_else(|| event.target.clone());
        self.opened =
            recorded.opened.as_ref().and_then(|opened| opened.id.clone()).or(self.opened.take());
        if event.action == SessionAction::Created {
            self.justification = self.justification.take().or_else(|| event.justification.clone());
        }
        // A failed attempt states a plan that did not come true.
        if session.scope == Scope::Session && event.outcome == Outcome::Success {
            // Later events update the times of a session.
            self.starts_at = session.starts_at.or(self.starts_at);
            self.ends_at = session.ends_at.or(self.ends_at);
            self.approvals_needed = session.approvals_needed.unwrap_or(self.approvals_needed);
        }
    }

    /// The roles of the session: those that its request lists, otherwise all that its events name.
    /// Returns whether the request lists roles.
    fn take_roles(&mut self, events: &[Recorded]) -> bool {
        let counts = |recorded: &&Recorded| {
            let event = &recorded.event;
            event.outcome == Outcome::Success && !event.is_of_device()
        };
        let counted = || events.iter().filter(counts);
        let requests = counted().filter(|it| it.event.action == SessionAction::Created);
        for recorded in requests {
            self.add_roles(recorded);
        }
        if !self.roles.is_empty() {
            return true;
        }
        counted().for_each(|recorded| self.add_roles(recorded));
        false
    }

    fn add_roles(&mut self, recorded: &Recorded) {
        for role in recorded.event.session.iter().flat_map(|session| &session.roles) {
            if !self.roles.iter().any(|known| known.role == *role) {
                self.roles.push(Role {
                    role: role.clone(),
                    state: RequestState::Created,
                    decisions: Vec::new(),
                });
            }
        }
    }

    /// The user of the session exists from its start on. A name that an event states earlier is not
    /// shown until then.
    fn take_username(&mut self, events: &[Recorded]) {
        let is_about_it = |recorded: &&Recorded| {
            let event = &recorded.event;
            let is_whole =
                event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
            is_whole && event.outcome == Outcome::Success && !event.is_of_device()
        };
        let about_it = || events.iter().filter(is_about_it);
        if about_it().any(|recorded| recorded.event.action == SessionAction::Granted) {
            let mut names = about_it().filter_map(|it| it.event.session.as_ref()?.username.clone());
            self.username = names.next_back().unwrap_or_else(|| USERNAME_TBD.to_owned());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
