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
        let event = &recorded.event;
        for role in self.roles.iter_mut().filter(|role| names.contains(&role.role)) {
            role.decisions.push(Decision {
                state: step,
                by: event.actor.shown().into_owned(),
                at: event.occurred_at,
                reason: event.reason.clone(),
                event: event.id.clone(),
            });
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
mod tests {
    use super::*;
    use crate::trail::{arbitrary::recorded, event::Tenant, event_validation};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn story(rows: &[(&str, &str, Value)]) -> Story {
        Story::of("68", events(rows))
    }

    /// Rows one minute apart: action, actor (`System` or a name), session without its id; the
    /// reason is in `session.reason`.
    fn events(rows: &[(&str, &str, Value)]) -> Vec<Recorded> {
        let start: Instant = "2026-11-22T10:00:00Z".parse().unwrap();
        let tenant = Tenant::new("acme").unwrap();
        let day = std::time::Duration::from_secs(86_400);
        let intake = event_validation::Intake {
            tenant: &tenant,
            now: start.plus(day),
            retention: day * 400,
        };
        rows.iter()
            .enumerate()
            .map(|(minute, (action, actor, session))| {
                let at = Instant::from_millis(start.millis() + minute as i64 * 60_000);
                let actor = if *actor == "System" { json!({"type": "system"}) } else { json!({"type": "user", "name": actor}) };
                let mut event = json!({"id": format!("e-{minute}"), "action": format!("session.{action}"), "occurred_at": at, "actor": actor, "session": session});
                event["session"]["id"] = json!("68");
                if let Some(reason) = event["session"].as_object_mut().unwrap().remove("reason") {
                    event["reason"] = reason;
                }
                if *action == "created" {
                    event["justification"] = json!("Correct a price");
                }
                recorded(event_validation::read(&event.to_string(), &intake, crate::trail::arbitrary::event_id).unwrap(), at)
            })
            .collect()
    }

    fn whole() -> Value {
        json!({"scope": "session", "roles": ["role1", "role3"]})
    }

    fn role(name: &str) -> Value {
        json!({"scope": "role", "roles": [name]})
    }

    fn misfits(story: &Story) -> Vec<&str> {
        story.timeline.iter().filter(|step| !step.fits).map(|step| step.event.as_str()).collect()
    }

    #[test]
    fn a_session_that_nobody_decided_is_timed_out_whatever_says_so() {
        let asked = |ends_at: &str| {
            let mut whole = whole();
            whole["ends_at"] = json!(ends_at);
            whole
        };
        // Rows are one minute apart, starting at ten o'clock.
        let (ends_at, later) = ("2026-11-22T10:00:30Z", "2026-11-22T11:00:00Z");
        for rows in [
            vec![("timed_out", "System", whole())],
            vec![("expired", "System", whole())],
            vec![("timed_out", "System", whole()), ("expired", "System", whole())],
            vec![("expired", "System", whole()), ("timed_out", "System", whole())],
        ] {
            let story = story(&[vec![("created", "Mark", asked(ends_at))], rows.clone()].concat());
            assert_eq!(
                (story.state, misfits(&story)),
                (Some(RequestState::TimedOut), Vec::new()),
                "{rows:?}"
            );
        }
        // It cannot expire before its end, and cannot time out after a decision.
        let early = story(&[("created", "Mark", asked(later)), ("expired", "System", whole())]);
        assert_eq!((early.state, misfits(&early).len()), (Some(RequestState::Created), 1));
        let decided = story(&[
            ("created", "Mark", asked(later)),
            ("approved", "john", role("role1")),
            ("approved", "admin", role("role3")),
            ("timed_out", "System", whole()),
        ]);
        assert_eq!((decided.state, misfits(&decided).len()), (Some(RequestState::Approved), 1));
        // Without an event, the time alone decides.
        let undecided = story(&[("created", "Mark", asked(ends_at))]);
        let at = |text: &str| undecided.state_at(text.parse().unwrap());
        assert_eq!(
            (at("2026-11-22T10:00:29Z"), at(ends_at)),
            (Some(RequestState::Created), Some(RequestState::TimedOut))
        );
        assert_eq!(
            decided.state_at("2026-12-22T10:00:00Z".parse().unwrap()),
            Some(RequestState::Approved)
        );
    }

    #[test]
    fn session_68_step_by_step() {
        use RequestState::{Approved, Canceled, Created, Granted};
        let mut granted = whole();
        granted["username"] = json!("mark_68");
        let rows = [
            ("created", "Mark", whole()),
            ("approved", "admin", role("role3")),
            ("approved", "john", role("role1")),
            ("approved", "System", whole()),
            ("granted", "System", granted.clone()),
            ("canceled", "Mark", granted),
        ];
        for (count, state, username) in [
            (1, Created, "TBD"),
            (2, Created, "TBD"),
            (3, Approved, "TBD"),
            (4, Approved, "TBD"),
            (5, Granted, "mark_68"),
            (6, Canceled, "mark_68"),
        ] {
            let story = story(&rows[..count]);
            assert_eq!(
                (story.state, story.username.as_str()),
                (Some(state), username),
                "after {count}"
            );
            assert_eq!(misfits(&story), Vec::<&str>::new());
        }
        let story = story(&rows);
        assert_eq!(
            (story.requester.as_deref(), story.justification.as_deref()),
            (Some("Mark"), Some("Correct a price"))
        );
        let decided: Vec<_> = story
            .roles
            .iter()
            .map(|role| (role.role.as_str(), role.decisions[0].by.as_str()))
            .collect();
        assert_eq!(decided, [("role1", "john"), ("role3", "admin")]);
    }

    #[test]
    fn one_denied_role_denies_the_session_even_if_its_own_row_never_comes() {
        let denied = json!({"scope": "role", "roles": ["role1"], "reason": "not needed"});
        let story = story(&[
            ("created", "Mark", whole()),
            ("approved", "admin", role("role3")),
            ("denied", "john", denied),
            ("granted", "System", whole()),
        ]);
        assert_eq!(story.state, Some(RequestState::Denied));
        let roles: Vec<_> =
            story.roles.iter().map(|role| (role.role.as_str(), role.state)).collect();
        assert_eq!(roles, [("role1", RequestState::Denied), ("role3", RequestState::Approved)]);
        assert_eq!(story.roles[0].decisions[0].reason.as_deref(), Some("not needed"));
        assert_eq!(misfits(&story), ["e-3"], "granted after a denial");
    }

    #[test]
    fn approvals_are_counted_by_person_and_may_be_none() {
        let needs =
            |count: u32| json!({"scope": "session", "roles": ["a"], "approvals_needed": count});
        let twice = story(&[
            ("created", "Mark", needs(2)),
            ("approved", "john", role("a")),
            ("approved", "john", role("a")),
        ]);
        assert_eq!(
            twice.state,
            Some(RequestState::Created),
            "one person approving twice is one approval"
        );
        let two = story(&[
            ("created", "Mark", needs(2)),
            ("approved", "john", role("a")),
            ("approved", "ann", role("a")),
        ]);
        assert_eq!(two.state, Some(RequestState::Approved));
        let none = story(&[
            ("created", "Mark", needs(0)),
            ("approved", "System", needs(0)),
            ("granted", "System", needs(0)),
        ]);
        assert_eq!((none.state, misfits(&none)), (Some(RequestState::Granted), vec![]));
        assert_eq!(none.roles[0].decisions[0].by, "System");
    }

    #[test]
    fn a_step_that_does_not_fit_is_shown_and_changes_nothing() {
        let story = story(&[
            ("created", "Mark", whole()),
            ("approved", "System", whole()),
            ("granted", "System", whole()),
            ("canceled", "Mark", whole()),
            ("expired", "System", whole()),
            ("created", "Mark", whole()),
        ]);
        assert_eq!(story.state, Some(RequestState::Canceled));
        assert_eq!(misfits(&story), ["e-1", "e-2", "e-4", "e-5"]);
        assert_eq!(story.timeline.len(), 6);
    }

    proptest! {
        #[test]
        fn the_story_does_not_depend_on_the_order_of_arrival(order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle()) {
            let all = events(&[
                ("created", "Mark", whole()), ("approved", "admin", role("role3")), ("approved", "john", role("role1")),
                ("approved", "System", whole()), ("granted", "System", whole()), ("terminated", "root", whole()),
            ]);
            let shuffled = order.iter().map(|&place| all[place].clone()).collect();
            prop_assert_eq!(Story::of("68", shuffled), Story::of("68", all));
        }
    }
}
