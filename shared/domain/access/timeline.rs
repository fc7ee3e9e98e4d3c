//! How events become an access record, step by step in their order.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    access::{
        access_key::Key,
        access_record::{Access, Kind, Reviewed, Standing, UnderPolicy},
        assignment::{cause_of, planned_end, told_assignment},
        decision::{Decision, FIRST_DECISIONS, LAST_DECISIONS, Verdict},
        event_order::order_of,
        evidence::{EndCause, Proof},
        kept_events::{FIRST_STEPS, LAST_STEPS, LeftOut, is_afterthought, is_use, thin_out},
        log_on::LOG_ON_LASTS,
        names::{is_same, party},
        session::Story,
    },
    findings::finding,
    time::timestamp::Instant,
    trail::{
        actions,
        event::{ActorType, Event, EventId, Outcome, Party, Recorded, Scope},
    },
    windows::{account_names, end_changes},
};

/// Most events that are kept of an access that outlived its first ones.
const MOST_CONTINUED: usize = 900;
/// Most roles of an access, and most findings.
const MOST_ROLES: usize = 100;
const MOST_FINDINGS: usize = 200;
/// Most targets of one access that are kept.
const MOST_TARGETS: usize = 50;
/// How much later than a first use a source may say that an access began.
pub const TOLERANCE: Duration = Duration::from_secs(60);

/// A step that may not follow what was told before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misfit {
    /// The event.
    pub event: EventId,
}

impl Access {
    /// The access as its events tell it: its own, and others that name its account, of which it takes what falls into its time. None where
    /// none is its own.
    pub fn of(key: &Key, mut events: Vec<Recorded>) -> Option<Self> {
        events.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        events.dedup_by(|a, b| a.event.id == b.event.id);
        let left_out = thin_out(&mut events, Some(key));
        let (own, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|recorded| Key::of(&recorded.event).as_ref() == Some(key));
        // Somebody who goes on using it does not put off what is missing.
        let told = || own.iter().filter(|recorded| !is_afterthought(&recorded.event));
        let steps =
            told().filter(|it| !it.event.is_of_device()).map(|recorded| recorded.recorded_at).max();
        let recorded_until = steps.or_else(|| told().map(|recorded| recorded.recorded_at).max())?;
        let has =
            |prefix: &str| own.iter().any(|recorded| recorded.event.action.starts_with(prefix));
        // A removal or an extension that is told under a request of its own is about an assignment that has another.
        let is_step = |recorded: &Recorded| {
            let action = recorded.event.action.as_str();
            !is_afterthought(&recorded.event)
                && !recorded.event.id.is_services()
                && !matches!(action, "entitlement.removed" | "entitlement.extended")
        };
        if !own.iter().any(is_step) {
            return None;
        }
        let kind = match key {
            _ if has("entitlement.") => Kind::Package,
            _ if has("session.") => Kind::Session,
            _ if has("entra.account.requested") => Kind::Account,
            Key::Session(_) => Kind::Session,
            Key::Request(_) | Key::Event(_) => Kind::Account,
            Key::LogOn(_) => Kind::Computer,
        };
        let mut access = Self::empty(key, kind, left_out, recorded_until);
        own.iter().for_each(|recorded| access.take_facts(recorded));
        own.iter().for_each(|recorded| access.take_step(recorded));
        if kind == Kind::Session {
            access.follow_story(key, &own);
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

    /// An access of which nothing is known but when that was recorded.
    pub(super) fn empty(key: &Key, kind: Kind, left_out: LeftOut, recorded_until: Instant) -> Self {
        Self {
            id: key.to_string(),
            kind,
            standing: Standing::Requested,
            session: None,
            request_id: None,
            window: None,
            is_external: None,
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

    /// A log-on with what its request says of it, and with its end, where no log-off is known: that of the request, or after twelve hours.
    pub fn complete(&mut self, request: Option<&Self>, now: Instant) {
        let Some(at) = self.granted_at.filter(|_| self.kind == Kind::Computer) else { return };
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

    /// The access with what came since, where its first events are past their retention and it cannot be computed from all of them any more.
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
        access.standing = if ended { Standing::Ended } else { access.standing };
        access.conclude();
        access
    }

    /// What was asked, whichever event says it first.
    fn take_facts(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        if is_afterthought(event) {
            return self.take_afterthought(event);
        }
        // A use names the access that it belongs to, and says nothing of how that was planned or decided.
        if event.is_of_device() {
            if let Some(session) = &event.session {
                self.session.get_or_insert_with(|| session.id.clone());
            }
            self.request_id = self.request_id.take().or_else(|| event.request_id.clone());
            return;
        }
        let asks = matches!(
            event.action.as_str(),
            "session.created"
                | "entitlement.requested"
                | "entitlement.directly_assigned"
                | "entra.account.requested"
        );
        let is_role = event.session.as_ref().is_some_and(|session| session.scope == Scope::Role);
        let begins = matches!(event.action.as_str(), "session.granted" | "entitlement.fulfilled");
        if let Some(session) = &event.session {
            self.session.get_or_insert_with(|| session.id.clone());
            self.roles.extend(
                session
                    .roles
                    .iter()
                    .filter(|role| !self.roles.contains(role))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
            if !is_role && event.outcome == Outcome::Success {
                self.approvals_needed = session.approvals_needed.unwrap_or(self.approvals_needed);
                self.starts_at = session.starts_at.or(self.starts_at);
                self.ends_at = session.ends_at.or(self.ends_at);
            }
        }
        self.request_id = self.request_id.take().or_else(|| event.request_id.clone());
        if asks {
            if !is_role {
                self.asked_at.get_or_insert(event.occurred_at);
            }
            self.requester.get_or_insert_with(|| event.actor.clone());
            // What the request says counts more than what a later row repeats.
            self.justification = event.justification.clone().or(self.justification.take());
            self.target = event.target.clone().or(self.target.take());
        } else if !event.id.is_services() {
            self.justification = self.justification.take().or_else(|| event.justification.clone());
            self.target = self.target.take().or_else(|| of_it(event));
        }
        if !event.id.is_services()
            && !is_use(event)
            && let Some(target) = &event.target
            && self.targets.len() < MOST_TARGETS
            && !self.targets.contains(target)
        {
            self.targets.push(target.clone());
        }
        self.subject = self.subject.take().or_else(|| event.subject.clone());
        self.ticket = self.ticket.take().or_else(|| event.ticket.clone());
        if asks || begins {
            self.account = self.account.take().or_else(|| event.account.clone());
        }
        if begins && self.account.is_none() {
            self.account = Some(account_names::account_of(event))
                .filter(|account| *account != Party::default());
        }
        let told = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        if event.action == "window.opened" {
            self.window = self.window.take().or_else(|| told("window").map(str::to_owned));
            self.is_external = told("directory").map(|directory| directory.starts_with("external"));
        }
        if event.action == "window.merged" {
            self.window = told("merged_into").map(str::to_owned).or(self.window.take());
        }
        if event.action.starts_with("entitlement.") {
            let kept = event.details.as_ref().and_then(|details| details.get("policy"));
            let text =
                |name: &str| kept.and_then(|policy| policy[name].as_str()).map(str::to_owned);
            let told = event.policy.clone().map(|policy| (policy.id, Some(policy.version), None));
            let kept = text("id").map(|id| (id, None, text("name")));
            if let Some((id, version, name)) = told.or(kept) {
                self.policy.get_or_insert(UnderPolicy { id, version, name });
            }
            self.assignment = self.assignment.take().or_else(|| told_assignment(event));
        }
        if let Some(opened) = &recorded.opened {
            self.window.get_or_insert_with(|| opened.id.clone());
            self.starts_at = Some(self.starts_at.unwrap_or(opened.starts_at));
            self.ends_at = Some(self.ends_at.unwrap_or(opened.ends_at));
        }
    }

    fn take_afterthought(&mut self, event: &Event) {
        let detail = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        if event.action == "review.decided"
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
        if event.action == "finding.withdrawn" {
            rounds.withdrawn = rounds.withdrawn.max(round);
            return;
        }
        // A disposition says nothing of the evidence.
        let Some(update) = finding::update_of(event) else { return };
        if (round, update) >= (rounds.raised, rounds.updates) {
            (rounds.raised, rounds.updates) = (round, update);
            rounds.evidence = finding::evidence_of(event);
            rounds.has_subject = event.subject.is_some();
        }
    }

    /// What happened, in the order it occurred.
    fn take_step(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let at = event.occurred_at;
        let detail = |name: &str| event.details.as_ref().and_then(|details| details.get(name));
        let time = |name: &str| {
            detail(name).and_then(Value::as_str).and_then(|text| text.parse::<Instant>().ok())
        };
        let failed = event.outcome == Outcome::Failure;
        match event.action.as_str() {
            "entra.account.requested" if failed => {
                self.standing = self.standing.max(Standing::Failed)
            }
            "entitlement.failed" => {
                self.fits(recorded, Standing::Failed, |it| it <= Standing::Approved)
            }
            // What was tried and failed changed nothing.
            _ if failed && event.action != "revocation.failed" => {}
            "entra.account.requested" => {
                self.granted_at.get_or_insert(self.starts_at.map_or(at, |starts| starts.max(at)));
                self.standing = Standing::Active;
                self.starts_at.get_or_insert(at);
            }
            "entitlement.directly_assigned" => self.needs_no_approval = true,
            "entitlement.auto_approved" => {
                self.decide(recorded, Verdict::Approved);
                self.fits(recorded, Standing::Approved, |it| it <= Standing::Approved);
            }
            "entitlement.approved" => {
                self.decide(recorded, Verdict::Approved);
                self.fits(recorded, Standing::Approved, |it| it <= Standing::Approved);
            }
            "entitlement.denied" => {
                self.decide(recorded, Verdict::Denied);
                self.fits(recorded, Standing::Denied, |it| it <= Standing::Denied);
            }
            "entitlement.timed_out" => {
                self.fits(recorded, Standing::TimedOut, |it| {
                    it <= Standing::Requested || it == Standing::TimedOut
                });
            }
            "entitlement.canceled" => {
                self.fits(recorded, Standing::Canceled, |it| {
                    it <= Standing::Approved || it == Standing::Canceled
                });
            }
            // Its own sentence: approved, or needs no approval.
            "entitlement.ready" => {
                self.needs_no_approval |= self.decisions.is_empty();
                self.fits(recorded, Standing::Approved, |it| it <= Standing::Approved);
            }
            "entitlement.fulfilled" => {
                let fits = |it| {
                    it <= Standing::Approved || it == Standing::Active || it == Standing::Failed
                };
                self.fits(recorded, Standing::Active, fits);
                self.granted_at.get_or_insert(at);
                self.starts_at.get_or_insert(at);
                let planned = planned_end(event);
                self.ends_at = self.ends_at.max(planned);
            }
            "entitlement.extended" => {
                self.ends_at = planned_end(event).or(self.ends_at);
                self.fits(recorded, Standing::Active, |it| it == Standing::Active);
            }
            "entitlement.removed" => {
                let begun = self.standing == Standing::Active || self.granted_at.is_some();
                self.end(at, cause_of(event, self.ends_at), Proof::Source, &event.id);
                let to = match (begun, self.ended_at) {
                    (true, Some(_)) => Standing::Ended,
                    (true, None) => Standing::Active,
                    (false, _) => Standing::Canceled,
                };
                self.fits(recorded, to, |it| it <= Standing::Approved || it == Standing::Active);
            }
            "session.approved" => self.decide(recorded, Verdict::Approved),
            "session.denied" => self.decide(recorded, Verdict::Denied),
            "session.granted" => {
                self.granted_at.get_or_insert(at);
                self.starts_at.get_or_insert(at);
            }
            "session.canceled" => self.end_session(recorded, EndCause::Canceled),
            "session.expired" => self.end_session(recorded, EndCause::Expired),
            "session.terminated" => self.end_session(recorded, EndCause::Terminated),
            // Its source made it longer than its application allows.
            "window.opened" if detail("asked_end").is_some() => {
                self.starts_at = self.starts_at.or(time("starts_at"));
                self.ends_at = time("ends_at").or(self.ends_at);
            }
            "window.opened" => {
                self.starts_at = self.starts_at.or(time("starts_at"));
                self.ends_at = self.ends_at.or(time("ends_at"));
            }
            "window.extended" => self.ends_at = time("new_end").or(self.ends_at),
            "window.ended" => {
                self.ends_at = time("new_end").or(self.ends_at);
                let by_itself = self
                    .requester
                    .as_ref()
                    .is_some_and(|it| is_same(&party(it), &party(&event.actor)));
                self.end_cause.get_or_insert(if by_itself {
                    EndCause::Canceled
                } else {
                    EndCause::Terminated
                });
            }
            // A person's word: it is over, and nothing proves it.
            end_changes::CLOSED_BY_HAND => {
                self.ends_at = time("new_end").or(self.ends_at);
                self.end_cause.get_or_insert(EndCause::Terminated);
                self.ended_at = Some(at);
                self.standing = Standing::Ended;
            }
            "revocation.covered" => {
                self.end_cause = Some(EndCause::Covered);
                self.ended_at = self.ends_at.or(Some(at));
                self.standing = Standing::Ended;
            }
            "revocation.verified" => self.verify(event, time("actual_end").unwrap_or(at)),
            "entra.account.disabled" if !event.id.is_services() => self.end_by_portal(event),
            _ => {}
        }
    }

    /// Takes a step of a package's request, or notes that it does not fit.
    fn fits(&mut self, recorded: &Recorded, to: Standing, may: impl FnOnce(Standing) -> bool) {
        let is_final = |standing| {
            !matches!(standing, Standing::Requested | Standing::Approved | Standing::Active)
        };
        if may(self.standing) {
            // What was tried again and worked has not failed.
            self.standing = if to == Standing::Active { to } else { self.standing.max(to) };
            self.closed_at = Some(recorded.event.occurred_at).filter(|_| is_final(to));
        } else {
            self.misfits.push(Misfit { event: recorded.event.id.clone() });
        }
    }

    /// The states of a session are those of its story, roles and all.
    fn follow_story(&mut self, key: &Key, own: &[Recorded]) {
        let told = own.iter().filter(|it| it.event.session.is_some() && !it.event.id.is_services());
        let story = Story::of(
            match key {
                Key::Session(id) | Key::Request(id) => id,
                Key::Event(id) | Key::LogOn(id) => id.as_str(),
            },
            told.cloned().collect(),
        );
        use actions::State;
        self.standing = match story.state {
            None | Some(State::Created) => Standing::Requested,
            Some(State::Approved) => Standing::Approved,
            Some(State::Denied) => Standing::Denied,
            Some(State::TimedOut) => Standing::TimedOut,
            Some(State::Granted) if self.ended_at.is_some() => Standing::Ended,
            Some(State::Granted) => Standing::Active,
            Some(State::Canceled | State::Expired | State::Terminated)
                if self.granted_at.is_none() =>
            {
                Standing::Canceled
            }
            // Where the account is in a directory of ours, it goes on until that says that it is off.
            Some(State::Canceled | State::Expired | State::Terminated)
                if self.ended_at.is_none() =>
            {
                Standing::Active
            }
            Some(State::Canceled | State::Expired | State::Terminated) => Standing::Ended,
        };
        // Granted without what has to come before is granted all the same.
        if self.standing < Standing::Denied && self.granted_at.is_some() {
            self.standing =
                if self.ended_at.is_some() { Standing::Ended } else { Standing::Active };
        }
        self.needs_no_approval |= self.approvals_needed == 0;
        let approvals =
            self.decisions.iter().filter(|decision| decision.verdict == Verdict::Approved);
        // When as many different people as are needed had approved.
        let complete = |those: Vec<&Decision>| {
            let mut approvers: Vec<(Instant, Party)> = Vec::new();
            for decision in those {
                let by = party(&decision.by);
                if !approvers.iter().any(|(_, other)| is_same(other, &by)) {
                    approvers.push((decision.at, by));
                }
            }
            approvers.get((self.approvals_needed as usize).saturating_sub(1)).map(|(at, _)| *at)
        };
        self.approved_at = if story.roles.is_empty() {
            // A portal without roles approves the session as a whole.
            complete(approvals.filter(|decision| decision.roles.is_empty()).collect())
        } else {
            let of_role = |role: &crate::access::session::Role| {
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
        if matches!(self.standing, Standing::Denied | Standing::Canceled | Standing::TimedOut) {
            self.closed_at =
                story.timeline.iter().filter(|step| step.fits).map(|step| step.occurred_at).max();
        }
        let misfits = story.timeline.iter().filter(|step| !step.fits);
        self.misfits.extend(misfits.map(|step| Misfit { event: step.event.clone() }));
    }

    /// What an event says that names its account, or its package and holder; whether it is about this access.
    fn take_other(&mut self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let at = event.occurred_at;
        let has_begun = self.granted_at.is_some_and(|begun| begun.minus(TOLERANCE) <= at);
        if event.outcome == Outcome::Failure {
            return false;
        }
        if event.action.starts_with("entitlement.") {
            return self.take_assignment(recorded, has_begun);
        }
        if !self.is_account(event) {
            return false;
        }
        let told = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        match event.action.as_str() {
            "entra.account.disabled" if !event.id.is_services() => {
                if has_begun && self.ended_at.is_none() && self.is_external != Some(false) {
                    self.end_by_portal(event);
                    return true;
                }
                false
            }
            // One read-back ends every claim on the account that is over by then.
            "revocation.verified" => {
                let end = told("actual_end").and_then(|text| text.parse().ok()).unwrap_or(at);
                let is_its_own = self.window.is_some() && told("window") == self.window.as_deref();
                if is_its_own
                    && self.ended_at.is_none()
                    && self.ends_at.is_some_and(|ends| ends <= end)
                {
                    self.verify(event, end);
                    return true;
                }
                false
            }
            _ => is_use(event) && has_begun && self.holds(at),
        }
    }

    fn take_use(&mut self, recorded: &Recorded, is_own: bool) {
        let event = &recorded.event;
        if !is_use(event) || !(is_own || self.events.contains(&event.id)) {
            return;
        }
        self.uses += 1;
        let at = event.occurred_at;
        self.first_used_at = Some(self.first_used_at.map_or(at, |first| first.min(at)));
        self.last_used_at = Some(self.last_used_at.map_or(at, |last| last.max(at)));
    }

    /// Adds what an earlier computation knew and this one cannot see any more, because very many events were left out.
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
                self.requester.as_ref().filter(|it| it.kind != ActorType::System).map(party);
        }
        if let (Some(ended), Some(planned)) = (self.ended_at, self.ends_at) {
            self.lateness_ms = Some((ended.millis() - planned.millis()).max(0));
        }
    }
}

/// What an event that asks for nothing says of the thing accessed. A decision may name the request it is about instead.
pub(super) fn of_it(event: &Event) -> Option<Party> {
    event
        .target
        .clone()
        .filter(|target| !is_use(event) && target.kind.as_deref() != Some("request"))
}
