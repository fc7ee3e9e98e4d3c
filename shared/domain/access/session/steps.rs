//! The steps of a session: which of them fit, and the states to which they lead.
//!
//! `docs/events.md` has the table of these rules.

use crate::{
    identity::{matching::party_of, people::People},
    time::timestamp::Instant,
    trail::{
        actions::{RequestState, SessionAction},
        event::{Actor, ActorType, Party, Recorded, Scope, Session},
    },
};

use super::{Decision, Requester, Role, SessionStep, StepProblem, Story};

/// The computation of a session, step by step in the order in which they occurred.
pub(super) struct Steps<'a> {
    pub(super) story: Story,
    people: &'a People,
    requester: Requester,
    /// Whether the session's roles are those that its request lists.
    has_requested_roles: bool,
    /// The different people who approved each role, in the order of the roles.
    approvers: Vec<Vec<Party>>,
    /// The different people who approved the session as a whole.
    session_approvers: Vec<Party>,
    /// The planned end according to the steps so far.
    planned_end: Option<Instant>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        story: Story,
        has_requested_roles: bool,
        requester: Requester,
        people: &'a People,
    ) -> Self {
        Self {
            approvers: vec![Vec::new(); story.roles.len()],
            story,
            people,
            requester,
            has_requested_roles,
            session_approvers: Vec::new(),
            planned_end: None,
        }
    }

    /// Applies an event and adds it to the timeline.
    pub(super) fn take(&mut self, recorded: &Recorded) {
        let problem = self.apply(recorded).err();
        self.story.timeline.push(SessionStep {
            event: recorded.event.id.clone(),
            occurred_at: recorded.event.occurred_at,
            recorded_at: recorded.recorded_at,
            label: recorded.event.label(),
            message: recorded.event.message(),
            fits: problem.is_none(),
            problem,
        });
    }

    fn apply(&mut self, recorded: &Recorded) -> Result<(), StepProblem> {
        // A use and a failed attempt enter no state.
        let (Some(session), Some(step)) = (&recorded.event.session, recorded.state()) else {
            return Ok(());
        };
        if recorded.event.id.is_of_pim() {
            self.take_pim_step(recorded, session, step);
            return Ok(());
        }
        self.time_out(recorded.event.occurred_at);
        match session.scope {
            Scope::Role => self.take_role_step(recorded, session, step),
            Scope::Session => {
                let applied = self.take_session_step(recorded, session, step);
                self.planned_end = session.ends_at.or(self.planned_end);
                applied
            }
        }
    }

    /// A session that nobody decided is over at its planned end, even if no event says so.
    fn time_out(&mut self, at: Instant) {
        if self.story.state == Some(RequestState::Created)
            && let Some(ends) = self.planned_end.filter(|ends| *ends <= at)
        {
            self.enter(RequestState::TimedOut, ends);
        }
    }

    /// Applies a step of an activation in PIM. PIM itself keeps the order of its steps, but its
    /// objects and records have clocks of their own, and not every one is imported. So each step
    /// fits, and the state is the furthest one.
    fn take_pim_step(&mut self, recorded: &Recorded, session: &Session, step: RequestState) {
        if matches!(step, RequestState::Approved | RequestState::Denied) {
            let is_named =
                |role: &&mut Role| session.roles.is_empty() || session.roles.contains(&role.role);
            for role in self.story.roles.iter_mut().filter(is_named) {
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
        if self.story.state.is_none_or(|state| place(state) < place(step)) {
            self.enter(step, recorded.event.occurred_at);
        }
    }

    fn take_role_step(
        &mut self,
        recorded: &Recorded,
        session: &Session,
        step: RequestState,
    ) -> Result<(), StepProblem> {
        match step {
            RequestState::Approved | RequestState::Denied => {
                self.decide(recorded, &session.roles, step)
            }
            RequestState::Canceled => self.check_canceled_by(recorded),
            RequestState::Created
            | RequestState::Granted
            | RequestState::Expired
            | RequestState::Terminated
            | RequestState::TimedOut => Ok(()),
        }
    }

    fn take_session_step(
        &mut self,
        recorded: &Recorded,
        session: &Session,
        step: RequestState,
    ) -> Result<(), StepProblem> {
        let at = recorded.event.occurred_at;
        match (step, self.story.state) {
            (RequestState::Created, None) => {
                self.enter(step, at);
                // Roles may have been approved before, by another clock.
                self.enter_state_of_roles(at);
                Ok(())
            }
            (
                RequestState::Approved,
                None | Some(RequestState::Created | RequestState::Approved),
            ) => self.approve(recorded),
            (RequestState::Denied, None | Some(RequestState::Created | RequestState::Approved))
            | (RequestState::Granted, Some(RequestState::Approved))
            | (RequestState::TimedOut, None | Some(RequestState::Created))
            | (
                RequestState::Expired | RequestState::Terminated,
                Some(RequestState::Approved | RequestState::Granted),
            )
            | (RequestState::Terminated, Some(RequestState::Created)) => {
                self.enter(step, at);
                Ok(())
            }
            (
                RequestState::Canceled,
                Some(RequestState::Created | RequestState::Approved | RequestState::Granted),
            ) => {
                self.check_canceled_by(recorded)?;
                self.enter(step, at);
                Ok(())
            }
            // These repeat the state.
            (RequestState::Denied, Some(RequestState::Denied))
            | (RequestState::TimedOut, Some(RequestState::TimedOut)) => Ok(()),
            // Nobody decided before its end. Sources use either word for this.
            (RequestState::Expired, Some(RequestState::Created))
                if self.is_past_end(session, at) =>
            {
                self.enter(RequestState::TimedOut, at);
                Ok(())
            }
            // A session that never started is closed in the source. How it ended stays visible.
            (RequestState::Expired, Some(RequestState::Denied | RequestState::TimedOut))
                if self.is_past_end(session, at) =>
            {
                Ok(())
            }
            (RequestState::Canceled, Some(RequestState::Denied | RequestState::TimedOut)) => {
                self.check_canceled_by(recorded)
            }
            (RequestState::Terminated, Some(RequestState::Denied | RequestState::TimedOut)) => {
                Ok(())
            }
            (
                RequestState::Created
                | RequestState::Approved
                | RequestState::Denied
                | RequestState::Granted
                | RequestState::Canceled
                | RequestState::Expired
                | RequestState::Terminated
                | RequestState::TimedOut,
                _,
            ) => Err(StepProblem::OutOfOrder),
        }
    }

    /// Whether the planned end has passed at a time. If no event states one, the source knows it.
    fn is_past_end(&self, session: &Session, at: Instant) -> bool {
        session.ends_at.or(self.planned_end).is_none_or(|ends| ends <= at)
    }

    /// The requester cancels a session. Whoever else ends it terminates it.
    fn check_canceled_by(&self, recorded: &Recorded) -> Result<(), StepProblem> {
        let is_by_another = recorded.event.action == SessionAction::Canceled
            && self.requester.is_another(&recorded.event.actor, self.people);
        if is_by_another { Err(StepProblem::NotByRequester) } else { Ok(()) }
    }

    /// The approval of a whole session. If the session has roles, it confirms that all of them are
    /// approved.
    fn approve(&mut self, recorded: &Recorded) -> Result<(), StepProblem> {
        let (by, at) = (&recorded.event.actor, recorded.event.occurred_at);
        let needed = self.story.approvals_needed as usize;
        let is_automatic = needed == 0;
        if self.story.roles.is_empty() {
            let is_of_person = by.kind != ActorType::System;
            if is_of_person {
                add_person(&mut self.session_approvers, by, self.people);
            }
            let is_complete =
                self.session_approvers.len() >= needed || (!is_of_person && needed == 1);
            if is_complete {
                self.enter(RequestState::Approved, at);
            }
            // One of several necessary approvals.
            return if is_complete || is_of_person { Ok(()) } else { Err(StepProblem::OutOfOrder) };
        }
        if is_automatic && self.story.state == Some(RequestState::Created) {
            let all: Vec<String> = self.story.roles.iter().map(|it| it.role.clone()).collect();
            self.decide(recorded, &all, RequestState::Approved)?;
        }
        if is_automatic || self.story.roles.iter().all(|role| role.state == RequestState::Approved)
        {
            self.enter(RequestState::Approved, at);
            return Ok(());
        }
        Err(StepProblem::OutOfOrder)
    }

    /// A decision about roles. One denied role denies the session. The session is approved when its
    /// last role is.
    fn decide(
        &mut self,
        recorded: &Recorded,
        names: &[String],
        step: RequestState,
    ) -> Result<(), StepProblem> {
        let is_requested = |name: &String| self.story.roles.iter().any(|role| role.role == *name);
        let is_in_time = match self.story.state {
            None | Some(RequestState::Created | RequestState::Approved) => true,
            // Several approvers may deny the same session.
            Some(RequestState::Denied) => step == RequestState::Denied,
            Some(
                RequestState::Granted
                | RequestState::Canceled
                | RequestState::Expired
                | RequestState::Terminated
                | RequestState::TimedOut,
            ) => false,
        };
        let checked = match () {
            () if self.has_requested_roles && !names.iter().all(is_requested) => {
                Err(StepProblem::RoleNotRequested)
            }
            () if !is_in_time => Err(StepProblem::OutOfOrder),
            () => Ok(()),
        };
        let event = &recorded.event;
        for (role, approvers) in self.story.roles.iter_mut().zip(&mut self.approvers) {
            if !names.contains(&role.role) {
                continue;
            }
            role.decisions.push(Decision::of(recorded, step));
            if checked.is_err() || role.state == RequestState::Denied {
                continue;
            }
            if step == RequestState::Denied {
                role.state = RequestState::Denied;
                continue;
            }
            add_person(approvers, &event.actor, self.people);
            if approvers.len() >= self.story.approvals_needed as usize {
                role.state = RequestState::Approved;
            }
        }
        checked?;
        self.enter_state_of_roles(event.occurred_at);
        Ok(())
    }

    fn enter_state_of_roles(&mut self, at: Instant) {
        let roles = &self.story.roles;
        if roles.iter().any(|role| role.state == RequestState::Denied) {
            self.enter(RequestState::Denied, at);
        } else if self.story.state == Some(RequestState::Created)
            && !roles.is_empty()
            && roles.iter().all(|role| role.state == RequestState::Approved)
        {
            self.enter(RequestState::Approved, at);
        }
    }

    fn enter(&mut self, state: RequestState, at: Instant) {
        if self.story.state != Some(state) {
            self.story.state = Some(state);
            self.story.entered_at = Some(at);
        }
    }
}

/// Adds an approver, unless the same person has approved already.
fn add_person(approvers: &mut Vec<Party>, by: &Actor, people: &People) {
    let by = party_of(by);
    if !approvers.iter().any(|known| *known == by || people.is_same(known, &by)) {
        approvers.push(by);
    }
}
