//! The events that a step of a window writes to the trail: which there are, and what each says.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    findings::rules,
    time::timestamp::Instant,
    trail::{
        actions::{Action, FindingAction, JitAction, RevocationAction, WindowAction},
        event::{Actor, Event, EventId, Outcome, Party, Session, Tenant},
    },
    windows::{claim::Claim, window::Window, window_finding::WindowFinding},
};

/// An event about a window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowEvent {
    pub(super) fact: WindowFact,
    /// The claim that the event is about, by its place.
    pub(super) claim: usize,
    actor: Actor,
    occurred_at: Instant,
    /// The order by which it was done.
    order: Option<String>,
}

/// What happened to a window.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowFact {
    /// A claim was added.
    Opened {
        /// When the claim begins.
        starts_at: Instant,
        /// When it ends.
        ends_at: Instant,
        /// The end that was requested, where the application does not allow it.
        asked_end: Option<Instant>,
    },
    /// A claim goes on for longer.
    Extended(MovedEnd, String),
    /// A claim ends earlier.
    Ended(MovedEnd, EndReason),
    /// A person closed the window without proof that its account is disabled.
    ClosedByHand(MovedEnd, String),
    /// An operator has the account disabled now, whatever pause the last failure asked for.
    Retried {
        /// When the account was to be disabled.
        planned_end: Instant,
        /// How often that failed.
        attempts: u32,
        /// The operator's reason.
        reason: String,
    },
    /// A claim moved to another window.
    Merged {
        /// That window.
        into: String,
    },
    /// A claim has ended, and another one keeps the account enabled.
    Covered {
        /// When the claim was to end.
        planned_end: Instant,
        /// The request of the other claim.
        by: EventId,
        /// When the other claim ends.
        until: Instant,
    },
    /// The account could not be disabled.
    RevocationFailed {
        /// When it was to be disabled.
        planned_end: Instant,
        /// How often that failed.
        attempts: u32,
        /// Why.
        failure: String,
    },
    /// The account should be disabled by now.
    RevocationOverdue {
        /// When it was to be disabled.
        planned_end: Instant,
        /// How often that failed.
        attempts: u32,
        /// Why it is not.
        cause: OverdueCause,
    },
    /// This service disabled the account.
    AccountDisabled(Revocation),
    /// The directory says that the account is disabled or gone.
    RevocationVerified(Revocation),
    /// An auditor must look at the window.
    FindingRaised(WindowFinding),
    /// The account of the window was found, of which a finding says that it was not.
    ResolutionWithdrawn {
        /// How often the finding was raised.
        round: u32,
    },
}

/// A claim's end, before and after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedEnd {
    /// The end before.
    pub from: Instant,
    /// The end now.
    pub to: Instant,
}

/// Why a claim ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A caller's words.
    Given(String),
    /// The source of the session or package says that it is over. Its event gives the reason.
    SourceEnded,
    /// The portal says that the account is disabled.
    DisabledByPortal,
    /// The account logged off.
    LoggedOff,
    /// Request and end are history.
    EndedInThePast,
}

/// Why an account is not disabled in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverdueCause {
    /// The last attempt failed.
    Failing(String),
    /// The portal disables the account, and has not said that it did.
    Unconfirmed,
    /// PIM removes the role, and no imported record says that it did.
    NotImported,
    /// There was no attempt.
    NotAttempted,
}

/// How an account was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When the account was to be disabled.
    pub planned_end: Instant,
    /// When the directory said that it is.
    pub actual_end: Instant,
    /// How often it was attempted.
    pub attempts: u32,
    /// Whether somebody else had disabled it.
    pub already_disabled: bool,
    /// Whether the directory has no such account any more.
    pub gone: bool,
}

impl EndReason {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Given(reason) => Some(reason),
            Self::SourceEnded => None,
            Self::DisabledByPortal => Some("its portal reported that the account is disabled"),
            Self::LoggedOff => Some("the account logged off"),
            Self::EndedInThePast => Some(
                "it had ended before its request was recorded, so this service disables nothing",
            ),
        }
    }
}

impl OverdueCause {
    /// The cause, for a person.
    pub fn text(&self) -> &str {
        match self {
            Self::Failing(failure) => failure,
            Self::Unconfirmed => "the portal has not reported that it disabled the account",
            Self::NotImported => "no imported record of PIM says that the role was removed",
            Self::NotAttempted => "the service has not processed it yet",
        }
    }
}

impl Revocation {
    fn details(self) -> Vec<(&'static str, Value)> {
        let lateness = (self.actual_end.millis() - self.planned_end.millis()).max(0);
        vec![
            ("planned_end", json!(self.planned_end)),
            ("actual_end", json!(self.actual_end)),
            ("lateness_ms", json!(lateness)),
            ("attempts", json!(self.attempts)),
            ("already_disabled", json!(self.already_disabled)),
            ("gone", json!(self.gone)),
        ]
    }
}

impl WindowFact {
    /// The action of its event.
    pub fn action(&self) -> Action {
        match self {
            Self::Opened { .. } => WindowAction::Opened.into(),
            Self::Extended(..) => WindowAction::Extended.into(),
            Self::Ended(..) => WindowAction::Ended.into(),
            Self::ClosedByHand(..) => WindowAction::ClosedByHand.into(),
            Self::Retried { .. } => WindowAction::Retried.into(),
            Self::Merged { .. } => WindowAction::Merged.into(),
            Self::Covered { .. } => RevocationAction::Covered.into(),
            Self::RevocationFailed { .. } => RevocationAction::Failed.into(),
            Self::RevocationOverdue { .. } => RevocationAction::Overdue.into(),
            Self::AccountDisabled(_) => JitAction::EntraAccountDisabled.into(),
            Self::RevocationVerified(_) => RevocationAction::Verified.into(),
            Self::FindingRaised(_) => FindingAction::Raised.into(),
            Self::ResolutionWithdrawn { .. } => FindingAction::Withdrawn.into(),
        }
    }

    fn reason(&self) -> Option<String> {
        match self {
            Self::Extended(_, reason)
            | Self::ClosedByHand(_, reason)
            | Self::Retried { reason, .. } => Some(reason.clone()),
            Self::Ended(_, reason) => reason.text().map(str::to_owned),
            Self::RevocationFailed { failure, .. } => Some(failure.clone()),
            Self::RevocationOverdue { cause, .. } => Some(cause.text().to_owned()),
            Self::FindingRaised(finding) => Some(finding.sentence()),
            Self::ResolutionWithdrawn { .. } => Some("the directory has found the account".into()),
            Self::Opened { .. }
            | Self::Merged { .. }
            | Self::Covered { .. }
            | Self::AccountDisabled(_)
            | Self::RevocationVerified(_) => None,
        }
    }

    /// What its event says beside the window, of a claim.
    fn details(&self, window: &Window, claim: Option<&Claim>) -> Vec<(&'static str, Value)> {
        match self {
            Self::Opened { starts_at, ends_at, asked_end } => {
                let ends = [("starts_at", json!(starts_at)), ("ends_at", json!(ends_at))];
                ends.into_iter().chain(asked_end.map(|it| ("asked_end", json!(it)))).collect()
            }
            Self::Extended(end, _) | Self::Ended(end, _) => {
                vec![("old_end", json!(end.from)), ("new_end", json!(end.to))]
            }
            Self::ClosedByHand(end, _) => vec![
                ("old_end", json!(end.from)),
                ("new_end", json!(end.to)),
                ("verified", json!(false)),
            ],
            Self::Retried { planned_end, attempts, .. }
            | Self::RevocationFailed { planned_end, attempts, .. }
            | Self::RevocationOverdue { planned_end, attempts, .. } => {
                vec![("planned_end", json!(planned_end)), ("attempts", json!(attempts))]
            }
            Self::Merged { into } => vec![("merged_into", json!(into))],
            Self::Covered { planned_end, by, until } => vec![
                ("planned_end", json!(planned_end)),
                ("covered_by", json!(by)),
                ("covered_until", json!(until)),
            ],
            Self::AccountDisabled(revocation) | Self::RevocationVerified(revocation) => {
                revocation.details()
            }
            Self::FindingRaised(finding) => finding.details(window, claim),
            Self::ResolutionWithdrawn { round } => {
                vec![("rule", json!(rules::UNRESOLVED)), ("round", json!(round))]
            }
        }
    }

    /// The finding that its event is about.
    fn finding_rule(&self) -> Option<&'static str> {
        match self {
            Self::FindingRaised(finding) => Some(finding.rule()),
            Self::ResolutionWithdrawn { .. } => Some(rules::UNRESOLVED),
            Self::Opened { .. }
            | Self::Extended(..)
            | Self::Ended(..)
            | Self::ClosedByHand(..)
            | Self::Retried { .. }
            | Self::Merged { .. }
            | Self::Covered { .. }
            | Self::RevocationFailed { .. }
            | Self::RevocationOverdue { .. }
            | Self::AccountDisabled(_)
            | Self::RevocationVerified(_) => None,
        }
    }
}

impl WindowEvent {
    /// What the service itself did or found.
    pub(super) fn of_service(fact: WindowFact, claim: usize, now: Instant) -> Self {
        Self::new(fact, claim, Actor::system(), now)
    }

    /// What somebody did.
    pub(super) fn new(fact: WindowFact, claim: usize, actor: Actor, now: Instant) -> Self {
        Self { fact, claim, actor, occurred_at: now, order: None }
    }

    /// A finding.
    pub fn finding(finding: WindowFinding, claim: usize, now: Instant) -> Self {
        Self::of_service(WindowFact::FindingRaised(finding), claim, now)
    }

    /// The same event, done by an order.
    #[must_use]
    pub fn for_order(self, order: &str) -> Self {
        Self { order: Some(order.to_owned()), ..self }
    }

    /// As an event of the trail. `id` is its own; `delay` keeps the events of one step in their order.
    fn event(self, window: &Window, tenant: &Tenant, id: EventId, delay: Duration) -> Event {
        let claim = window.claims.get(self.claim);
        let action = self.fact.action();
        let mut event =
            Event::of_service(id, tenant, action, self.occurred_at.plus(delay), self.actor);
        event.account = Some(window.account_of(self.claim).clone());
        if let Some(claim) = claim {
            event.subject =
                Some(claim.subject.clone()).filter(|subject| *subject != Party::default());
            event.target = claim.target.clone();
            event.request_id = claim.request_id.clone();
            event.session = claim.session.clone().map(Session::named);
        }
        if let Some(rule) = self.fact.finding_rule() {
            event.target = Some(Party {
                kind: Some("finding".into()),
                id: Some(format!("{rule}:{}", window.id)),
                ..Party::default()
            });
        }
        // As long as a caller's reason may be.
        event.reason = self.fact.reason().map(|reason| reason.chars().take(1000).collect());
        if event.action.definition().is_some_and(|action| action.always_fails) {
            event.outcome = Outcome::Failure;
        }
        let request = claim.map(|claim| &claim.event);
        let application = window.application.as_ref().map(|application| json!(application.id));
        let own = [
            ("window", Some(json!(window.id))),
            ("directory", Some(json!(window.directory_key))),
            ("application", application),
            // Which claim it is about: a request may name no session and have no id of its own.
            ("event", request.map(|request| json!(request))),
        ];
        let details: Map<String, Value> = own
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .chain(self.fact.details(window, claim))
            .chain(self.order.map(|order| ("order", json!(order))))
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        event.details = Some(details);
        event
    }
}

impl Window {
    /// The account as one of its requests names it.
    pub(super) fn account_of(&self, claim: usize) -> &Party {
        self.claims.get(claim).and_then(|claim| claim.account.as_ref()).unwrap_or(&self.account)
    }

    /// The events of the step that makes the window's `generation`.
    pub fn events(&self, tenant: &Tenant, generation: u64, events: Vec<WindowEvent>) -> Vec<Event> {
        let event = |(place, event): (usize, WindowEvent)| {
            let about = [self.id.as_str(), &generation.to_string(), &place.to_string()];
            let id = EventId::of_service(tenant, event.fact.action(), &about);
            event.event(self, tenant, id, Duration::from_millis(place as u64))
        };
        events.into_iter().enumerate().map(event).collect()
    }
}
