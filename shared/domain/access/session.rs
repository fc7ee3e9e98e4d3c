//! A session computed from its events: state, roles with their decisions, justification, user name
//! and timeline.
//!
//! It is computed from the events alone, in the order in which they occurred. A late event
//! therefore has the same effect as a timely one, and the session never disagrees with the trail.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    access::event_order::order_of,
    time::timestamp::Instant,
    trail::{
        actions::{RequestState, SessionAction},
        event::{EventId, Party, Recorded, Scope, USERNAME_TBD},
    },
};

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
    /// The requested or decided roles with their decisions.
    pub roles: Vec<Role>,
    /// The id of the window that it opened, or of the last one. Events alone do not contain the
    /// window's state.
    #[serde(skip)]
    pub opened: Option<String>,
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
}

impl Story {
    /// Computes the session `id` from its events, in any order.
    pub fn of(id: &str, mut events: Vec<Recorded>) -> Self {
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
            timeline: Vec::with_capacity(events.len()),
        };
        // Requested roles come first, wherever they occur: decisions depend on the number of
        // necessary approvals.
        for recorded in &events {
            story.take_facts(recorded);
        }
        for recorded in &events {
            let fits = story.take_step(recorded);
            story.timeline.push(SessionStep {
                event: recorded.event.id.clone(),
                occurred_at: recorded.event.occurred_at,
                recorded_at: recorded.recorded_at,
                label: recorded.event.label(),
                message: recorded.event.message(),
                fits,
            });
        }
        story
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
            recorded.opened.as_ref().map(|opened| opened.id.clone()).or(self.opened.take());
        if session.scope == Scope::Session {
            // Later events update the times and name of a session.
            self.starts_at = session.starts_at.or(self.starts_at);
            self.ends_at = session.ends_at.or(self.ends_at);
            self.approvals_needed = session.approvals_needed.unwrap_or(self.approvals_needed);
            self.username = session.username.clone().unwrap_or_else(|| self.username.clone());
        }
        if event.action == SessionAction::Created {
            self.requester.get_or_insert_with(|| event.actor.shown().into_owned());
            self.justification = self.justification.take().or_else(|| event.justification.clone());
        }
        for role in &session.roles {
            if !self.roles.iter().any(|known| known.role == *role) {
                self.roles.push(Role {
                    role: role.clone(),
                    state: RequestState::Created,
                    decisions: Vec::new(),
                });
            }
        }
    }

    /// Applies one event; false if it is not allowed after the earlier ones.
    fn take_step(&mut self, recorded: &Recorded) -> bool {
        use RequestState::{
            Approved, Canceled, Created, Denied, Expired, Granted, Terminated, TimedOut,
        };
        let (Some(session), Some(step)) = (&recorded.event.session, recorded.state()) else {
            return true;
        };
        // A failed attempt changed nothing.
        if recorded.event.outcome == crate::trail::event::Outcome::Failure {
            return true;
        }
        if recorded.event.id.is_of_pim() {
            self.take_pim_step(recorded, step);
            return true;
        }
        match (session.scope, step) {
            (Scope::Role, Approved | Denied) => self.decide(recorded, &session.roles, step),
            (Scope::Role, _) => true,
            (Scope::Session, Created) => self.enter(step, |state| state.is_none()),
            (Scope::Session, Approved) => {
                let every_role = self.roles.iter().all(|role| role.state == Approved);
                // If no approval is needed, the system's own approval applies to every role.
                let automatic = self.approvals_needed == 0;
                if automatic && self.state == Some(Created) {
                    self.decide(recorded, &self.role_names(), step);
                }
                let complete = every_role || automatic;
                complete
                    && (self.state == Some(Approved)
                        || self.enter(step, |state| matches!(state, None | Some(Created))))
            }
            // The denial of a role has denied the session already; the session's own event repeats
            // it.
            (Scope::Session, Denied) => {
                self.state == Some(Denied)
                    || self.enter(step, |state| matches!(state, None | Some(Created | Approved)))
            }
            (Scope::Session, Granted) => self.enter(step, |state| state == Some(Approved)),
            // Nobody decided before its planned end. Sources use either word for this.
            (Scope::Session, TimedOut) => {
                self.enter(step, |state| matches!(state, None | Some(Created | TimedOut)))
            }
            (Scope::Session, Expired) if matches!(self.state, Some(Created | TimedOut)) => {
                let is_over = self.ends_at.is_some_and(|ends| ends <= recorded.event.occurred_at);
                is_over && self.enter(TimedOut, |_| true)
            }
            (Scope::Session, Canceled | Terminated) => {
                self.enter(step, |state| matches!(state, Some(Created | Approved | Granted)))
            }
            (Scope::Session, Expired) => {
                self.enter(step, |state| matches!(state, Some(Approved | Granted)))
            }
        }
    }

    /// Applies a step of an activation in PIM. PIM itself keeps the order of its steps, but its
    /// objects and records have clocks of their own, and not every one is imported. So each step
    /// fits, and the state is the furthest one.
    fn take_pim_step(&mut self, recorded: &Recorded, step: RequestState) {
        let named = recorded.event.session.as_ref().map(|session| session.roles.clone());
        let names = named.filter(|names| !names.is_empty()).unwrap_or_else(|| self.role_names());
        if matches!(step, RequestState::Approved | RequestState::Denied) {
            for role in self.roles.iter_mut().filter(|role| names.contains(&role.role)) {
                role.decisions.push(Decision::of(recorded, step));
                role.state = step;
            }
        }
        let place = |state: RequestState| match state {
            RequestState::Created => 0,
            RequestState::Approved => 1,
            RequestState::Granted => 2,
            RequestState::Denied
            | RequestState::Canceled
            | RequestState::Expired
            | RequestState::Terminated
            | RequestState::TimedOut => 3,
        };
        if self.state.is_none_or(|state| place(state) < place(step)) {
            self.state = Some(step);
        }
    }

    fn enter(
        &mut self,
        state: RequestState,
        may: impl FnOnce(Option<RequestState>) -> bool,
    ) -> bool {
        let fits = may(self.state);
        if fits {
            self.state = Some(state);
        }
        fits
    }

    fn role_names(&self) -> Vec<String> {
        self.roles.iter().map(|role| role.role.clone()).collect()
    }

    /// One denied role denies the session. The session is approved when its last role is.
    fn decide(&mut self, recorded: &Recorded, names: &[String], step: RequestState) -> bool {
        let fits = matches!(self.state, None | Some(RequestState::Created));
        for role in self.roles.iter_mut().filter(|role| names.contains(&role.role)) {
            role.decisions.push(Decision::of(recorded, step));
            if !fits || role.state == RequestState::Denied {
                continue;
            }
            let approvers: std::collections::BTreeSet<_> = role
                .decisions
                .iter()
                .filter(|decision| decision.state == RequestState::Approved)
                .map(|decision| &decision.by)
                .collect();
            if step == RequestState::Denied {
                role.state = RequestState::Denied;
            } else if approvers.len() >= self.approvals_needed as usize {
                role.state = RequestState::Approved;
            }
        }
        if fits && self.roles.iter().any(|role| role.state == RequestState::Denied) {
            self.state = Some(RequestState::Denied);
        } else if fits
            && self.state.is_some()
            && !self.roles.is_empty()
            && self.roles.iter().all(|role| role.state == RequestState::Approved)
        {
            self.state = Some(RequestState::Approved);
        }
        fits
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
