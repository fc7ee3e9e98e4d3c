//! Events about the assignment of an access package.

use std::{cmp::Ordering, time::Duration};

use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind, AccessStatus, UnderPolicy},
        evidence::{EndCause, Proof},
        timeline::of_it,
    },
    identity::matching::{is_same_person, is_same_thing, party_of},
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction},
        event::{AskedWindow, Event, Recorded},
    },
};

/// How long before its fulfilment is known an assignment may start: the source delivers its roles
/// first, and says so afterwards.
pub const DELIVERY: Duration = Duration::from_secs(86_400);

impl Access {
    /// Applies an event about the assignment that names another request or the assignment's own id.
    pub(super) fn take_assignment(&mut self, recorded: &Recorded, has_begun: bool) -> bool {
        let event = &recorded.event;
        let is_named = self.assignment.is_some() && stated_assignment(event) == self.assignment;
        if self.kind != AccessKind::Package || !(is_named || self.is_of_holder(event)) {
            return false;
        }
        match event.action {
            Action::Entitlement(EntitlementAction::Removed)
                if has_begun && self.ended_at.is_none() =>
            {
                let cause = cause_of(event, self.ends_at);
                self.end_cause = Some(cause);
                self.end(event.occurred_at, cause, Proof::Source, &event.id);
                if self.ended_at.is_some() {
                    self.standing = AccessStatus::Ended;
                }
                true
            }
            Action::Entitlement(EntitlementAction::Extended)
                if has_begun && self.ended_at.is_none() =>
            {
                self.ends_at = planned_end(event).or(self.ends_at);
                true
            }
            // The event of the assignment itself, or another record of this fulfilment.
            Action::Entitlement(EntitlementAction::Fulfilled)
                if (is_named && self.granted_at.is_some()) || self.is_fulfilled_by(event) =>
            {
                self.take_assignment_facts(event);
                let is_weaker = Key::of(event).is_some_and(|key| key.rank() > self.rank());
                if is_weaker && self.starts_at.is_none_or(|starts| event.occurred_at < starts) {
                    self.starts_at = Some(event.occurred_at);
                }
                self.ends_at = self.ends_at.max(planned_end(event));
                true
            }
            _ => false,
        }
    }

    /// Applies the policy and the id of the assignment, unless they are known.
    pub(super) fn take_assignment_facts(&mut self, event: &Event) {
        let kept = event.details.as_ref().and_then(|details| details.get("policy"));
        let text = |name: &str| kept.and_then(|policy| policy[name].as_str()).map(str::to_owned);
        let named = event.policy.clone().map(|policy| (policy.id, Some(policy.version), None));
        let kept = text("id").map(|id| (id, None, text("name")));
        if let Some((id, version, name)) = named.or(kept) {
            self.policy.get_or_insert(UnderPolicy { id, version, name });
        }
        self.assignment = self.assignment.take().or_else(|| stated_assignment(event));
    }

    /// Whether the event is about the same package for the same person.
    fn is_of_holder(&self, event: &Event) -> bool {
        let is_same_holder = match (&self.subject, &event.subject) {
            (Some(own), Some(other)) => is_same_person(own, other),
            _ => false,
        };
        let is_same_package = match (&self.target, of_it(event)) {
            (Some(own), Some(other)) => is_same_thing(own, &other),
            _ => false,
        };
        is_same_holder && is_same_package
    }

    /// Whether an event about the same package and person tells of the fulfilment that this access
    /// record knows more about. A person has at most one assignment of a package at a time.
    fn is_fulfilled_by(&self, event: &Event) -> bool {
        let (Some(begun), Some(other)) = (self.granted_at, Key::of(event)) else { return false };
        let is_weaker = match other.rank().cmp(&self.rank()) {
            Ordering::Greater => true,
            // Of two records of a log, the first.
            Ordering::Equal => {
                let own = (begun, self.id.as_str());
                other.rank() > 1 && own < (event.occurred_at, other.to_string().as_str())
            }
            Ordering::Less => false,
        };
        let named = stated_assignment(event);
        let is_other = named.is_some() && self.assignment.is_some();
        let first = self.asked_at.map_or(begun, |asked| asked.min(begun)).minus(DELIVERY);
        let last = self.ended_at.or(self.ends_at);
        is_weaker
            && !is_other
            && first <= event.occurred_at
            && last.is_none_or(|last| event.occurred_at <= last)
            && planned_end(event).is_none_or(|end| begun < end)
    }
}

/// Whether an assignment was fulfilled in part. Its outcome is a failure, but the person holds what was
/// delivered.
pub(super) fn is_partly_fulfilled(event: &Event) -> bool {
    let partial = event.details.as_ref().and_then(|details| details.get("partial"));
    event.action == EntitlementAction::Fulfilled && partial == Some(&Value::Bool(true))
}

/// The planned end in an assignment's event: that of its session, of the window, or of an imported
/// schedule.
pub(super) fn planned_end(event: &Event) -> Option<Instant> {
    let asked = match event.window {
        Some(AskedWindow::Until(until)) => Some(until),
        Some(AskedWindow::None | AskedWindow::Duration(_)) | None => None,
    };
    let schedule = event.details.as_ref().and_then(|details| details.get("schedule"));
    let kept = schedule
        .and_then(|schedule| schedule["ends_at"].as_str())
        .and_then(|text| text.parse().ok());
    event.session.as_ref().and_then(|session| session.ends_at).or(asked).or(kept)
}

/// The id of the assignment in an event of entitlement management, if it has one.
pub(super) fn stated_assignment(event: &Event) -> Option<String> {
    let Action::Entitlement(_) = event.action else { return None };
    event.details.as_ref()?.get("assignment_id")?.as_str().map(str::to_owned)
}

/// The member of an event's details that contains the cause of an assignment's end.
pub const END_CAUSE: &str = "end_cause";

/// The cause of an assignment's end: expired, canceled by its user, or removed. It is in
/// `details.end_cause`. Sources without it, and older stored events, state it in the words of their
/// reason.
pub(super) fn cause_of(event: &Event, planned: Option<Instant>) -> EndCause {
    stated_cause(event).unwrap_or_else(|| cause_from_reason(event, planned))
}

fn stated_cause(event: &Event) -> Option<EndCause> {
    let cause = EndCause::deserialize(event.details.as_ref()?.get(END_CAUSE)?).ok()?;
    matches!(cause, EndCause::Expired | EndCause::Canceled | EndCause::Removed).then_some(cause)
}

fn cause_from_reason(event: &Event, planned: Option<Instant>) -> EndCause {
    let reason = event.reason.as_deref().map(fold).unwrap_or_default();
    let is_holder = event
        .subject
        .as_ref()
        .is_some_and(|subject| is_same_person(subject, &party_of(&event.actor)));
    match () {
        () if reason.contains("expire") => EndCause::Expired,
        () if reason.contains("cancel") => EndCause::Canceled,
        () if reason.contains("remove") || reason.contains("admin") => EndCause::Removed,
        () if is_holder => EndCause::Canceled,
        () if planned.is_some_and(|planned| planned <= event.occurred_at) => EndCause::Expired,
        () => EndCause::Removed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
