//! Builds an access record from its events, step by step in order.
//!
//! - `facts`: what was requested; `afterthoughts`: findings and reviews
//! - `steps`: what happened; `session_state`: the state of a session, from all its steps
//! - `other_events`: events that name only the account of the access record

mod afterthoughts;
mod facts;
mod other_events;
mod session_state;
mod steps;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind, AccessStatus},
        decision::{FIRST_DECISIONS, LAST_DECISIONS},
        event_kind,
        event_order::order_of,
        evidence::EndCause,
        kept_events::{FIRST_STEPS, LAST_STEPS, LeftOut, is_afterthought, is_use, thin_out},
        log_on::LOG_ON_LASTS,
        session::StepProblem,
    },
    identity::{matching::party_of, people::People},
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, JitAction},
        event::{ActorType, Event, EventId, Outcome, Party, Recorded},
    },
};

use session_state::{story_of, unexpected_steps};

/// Maximum number of stored events of an access record that has outlived its first ones.
const MOST_CONTINUED: usize = 900;
/// Maximum number of roles and of findings of an access record.
const MOST_ROLES: usize = 100;
const MOST_FINDINGS: usize = 200;
/// Maximum number of stored targets of an access record.
const MOST_TARGETS: usize = 50;
/// The tolerated delay between a first use and the reported start of access.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// A step that does not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnexpectedStep {
    pub event: EventId,
    #[serde(default)]
    pub problem: StepProblem,
}

/// Whether PIM grants the access, or will. A record of PIM that only names a session of a portal
/// changes none of the rules for it.
fn is_of_pim(own: &[Recorded]) -> bool {
    let of = |is_it: fn(&Action) -> bool| -> Vec<bool> {
        let succeeded = own.iter().filter(|it| it.event.outcome == Outcome::Success);
        let found = succeeded.filter(|it| is_it(&it.event.action));
        found.map(|it| it.event.id.is_of_pim()).collect()
    };
    let steps = [of(event_kind::is_grant), of(event_kind::is_request), of(|_| true)];
    let decisive = steps.into_iter().find(|steps| !steps.is_empty());
    decisive.is_some_and(|steps| steps.into_iter().all(|is_of_pim| is_of_pim))
}

impl Access {
    /// Computes the access record from its events: its own, and those that name its account and
    /// fall into its time. None if it has no event of its own. `people` are the records of the
    /// people whom a session's events name.
    pub fn of(key: &Key, mut events: Vec<Recorded>, people: &People) -> Option<Self> {
        events.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        events.dedup_by(|a, b| a.event.id == b.event.id);
        let left_out = thin_out(&mut events, Some(key));
        let (own, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|recorded| Key::of(&recorded.event).as_ref() == Some(key));
        // Continued use must not postpone the check for missing events.
        let reported = || own.iter().filter(|recorded| !is_afterthought(&recorded.event));
        let steps = reported()
            .filter(|it| !it.event.is_of_device())
            .map(|recorded| recorded.recorded_at)
            .max();
        let recorded_until =
            steps.or_else(|| reported().map(|recorded| recorded.recorded_at).max())?;
        let has = |is_it: fn(&Action) -> bool| own.iter().any(|it| is_it(&it.event.action));
        // A removal or extension with a request of its own belongs to an assignment that has
        // another request.
        let is_step = |recorded: &Recorded| {
            let is_of_other = matches!(
                recorded.event.action,
                Action::Entitlement(EntitlementAction::Removed | EntitlementAction::Extended)
            );
            // A record of the directory that was kept whole may name a request.
            let is_directory = matches!(recorded.event.action, Action::Directory(_));
            !is_afterthought(&recorded.event)
                && !recorded.event.id.is_services()
                && !is_of_other
                && !is_directory
        };
        if !own.iter().any(is_step) {
            return None;
        }
        let kind = match key {
            _ if has(|action| matches!(action, Action::Entitlement(_))) => AccessKind::Package,
            _ if has(|action| matches!(action, Action::Session(_))) => AccessKind::Session,
            _ if has(|action| *action == JitAction::EntraAccountRequested) => AccessKind::Account,
            Key::Session(_) => AccessKind::Session,
            Key::Request(_) | Key::Event(_) => AccessKind::Account,
            Key::LogOn(_) => AccessKind::Computer,
        };
        let mut access = Self::empty(key, kind, left_out, recorded_until);
        access.is_pim = is_of_pim(&own);
        let story = (kind == AccessKind::Session).then(|| story_of(key, &own, people));
        access.misfits = story.as_ref().map(unexpected_steps).unwrap_or_default();
        own.iter().for_each(|recorded| access.take_facts(recorded));
        own.iter().for_each(|recorded| access.take_step(recorded));
        if let Some(story) = &story {
            access.follow_story(story, &own, people);
        }
        let mut taken: Vec<(Instant, EventId)> =
            own.iter().map(|it| (it.event.occurred_at, it.event.id.clone())).collect();
        for recorded in &others {
            if access.take_other(recorded) {
                taken.push((recorded.event.occurred_at, recorded.event.id.clone()));
            }
        }
        taken.sort();
        access.events = taken.into_iter().map(|(_, id)| id).collect();
        for recorded in own.iter().chain(&others) {
            access.take_use(recorded, Key::of(&recorded.event).as_ref() == Some(key));
        }
        access.conclude();
        Some(access)
    }

    /// An access record with no data but the time of recording.
    pub(super) fn empty(
        key: &Key,
        kind: AccessKind,
        left_out: LeftOut,
        recorded_until: Instant,
    ) -> Self {
        Self {
            id: key.to_string(),
            kind,
            standing: AccessStatus::Requested,
            session: None,
            request_id: None,
            window: None,
            is_external: None,
            is_pim: false,
            requester: None,
            subject: None,
            account: None,
            target: None,
            targets: Vec::new(),
            roles: Vec::new(),
            justification: None,
            ticket: None,
            policy: None,
            assignment: None,
            approvals_needed: 1,
            needs_no_approval: false,
            decisions: Vec::new(),
            asked_at: None,
            approved_at: None,
            granted_at: None,
            first_used_at: None,
            last_used_at: None,
            uses: 0,
            more_uses: left_out.uses,
            more_steps: left_out.steps,
            starts_at: None,
            ends_at: None,
            ended_at: None,
            end_cause: None,
            verified: None,
            closed_at: None,
            lateness_ms: None,
            explained: None,
            misfits: Vec::new(),
            findings: BTreeMap::new(),
            reviews: Vec::new(),
            events: Vec::new(),
            pending: Vec::new(),
            recorded_until,
        }
    }

    /// Completes a log-on with data of its request and, if no log-off is known, with an end: that
    /// of the request, or after twelve hours.
    pub fn complete(&mut self, request: Option<&Self>, now: Instant) {
        let Some(at) = self.granted_at.filter(|_| self.kind == AccessKind::Computer) else {
            return;
        };
        if let Some(request) = request {
            self.session = self.session.take().or_else(|| request.session.clone());
            self.request_id = self.request_id.take().or_else(|| request.request_id.clone());
            self.requester = request.requester.clone();
            self.roles.clone_from(&request.roles);
            self.justification =
                self.justification.take().or_else(|| request.justification.clone());
            self.ticket = self.ticket.take().or_else(|| request.ticket.clone());
            self.decisions.clone_from(&request.decisions);
        }
        if self.ended_at.is_none() {
            let longest = (at.plus(LOG_ON_LASTS), EndCause::NoLogOff);
            let of_request =
                request.and_then(Self::until).filter(|until| *until > at && *until < longest.0);
            let (end, cause) = of_request.map_or(longest, |until| (until, EndCause::SessionEnded));
            if end <= now {
                self.end_log_on(end, cause);
            }
        }
    }

    /// Continues the access record with new events, when its first events are past their retention
    /// and it cannot be computed from all of them.
    #[must_use]
    pub fn continued(&self, key: &Key, mut new: Vec<Recorded>) -> Self {
        new.retain(|recorded| !self.events.contains(&recorded.event.id));
        new.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        let mut access = Self { pending: Vec::new(), ..self.clone() };
        for recorded in &new {
            let is_own = Key::of(&recorded.event).as_ref() == Some(key);
            let is_taken = match is_own {
                true if is_afterthought(&recorded.event) => {
                    access.take_afterthought(&recorded.event);
                    true
                }
                true => {
                    access.take_step(recorded);
                    access.recorded_until = access.recorded_until.max(recorded.recorded_at);
                    true
                }
                false => access.take_other(recorded),
            };
            if is_taken {
                access.events.push(recorded.event.id.clone());
                access.take_use(recorded, is_own);
            }
        }
        if let Some(surplus) = access.events.len().checked_sub(MOST_CONTINUED) {
            access.events.drain(..surplus);
        }
        let ended = access.ended_at.is_some() && access.granted_at.is_some();
        access.standing = if ended { AccessStatus::Ended } else { access.standing };
        access.conclude();
        access
    }

    /// Adds facts from an earlier computation that this one lacks, because very many events were
    /// left out.
    pub fn remember(&mut self, was: &Self) {
        self.more_uses |= was.more_uses;
        self.more_steps |= was.more_steps;
        for (id, known) in &was.findings {
            if self.findings.contains_key(id) || self.findings.len() < MOST_FINDINGS {
                let rounds = self.findings.entry(id.clone()).or_default();
                let withdrawn = rounds.withdrawn.max(known.withdrawn);
                if (known.raised, known.updates) > (rounds.raised, rounds.updates) {
                    rounds.clone_from(known);
                }
                rounds.withdrawn = withdrawn;
            }
        }
    }

    fn conclude(&mut self) {
        if self.decisions.len() > FIRST_DECISIONS + LAST_DECISIONS {
            let last = self.decisions.len() - LAST_DECISIONS;
            self.decisions.drain(FIRST_DECISIONS..last);
            self.more_steps = true;
        }
        self.roles.truncate(MOST_ROLES);
        self.misfits.truncate(FIRST_STEPS + LAST_STEPS);
        if self.subject.is_none() {
            self.subject =
                self.requester.as_ref().filter(|it| it.kind != ActorType::System).map(party_of);
        }
        if let (Some(ended), Some(planned)) = (self.ended_at, self.ends_at) {
            self.lateness_ms = Some((ended.millis() - planned.millis()).max(0));
        }
    }
}

/// The target in an event that is no request. A decision may name the request as its target
/// instead.
pub(super) fn of_it(event: &Event) -> Option<Party> {
    event
        .target
        .clone()
        .filter(|target| !is_use(event) && target.kind.as_deref() != Some("request"))
}
