//! Events about the assignment of an access package.

use serde::Deserialize as _;

use crate::{
    access::{
        access_record::{Access, AccessKind, AccessStatus},
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

impl Access {
    /// Applies an event about the assignment that names another request or the assignment's own id.
    pub(super) fn take_assignment(&mut self, recorded: &Recorded, has_begun: bool) -> bool {
        let event = &recorded.event;
        let is_named = self.assignment.is_some() && stated_assignment(event) == self.assignment;
        let is_same_holder = match (&self.subject, &event.subject) {
            (Some(own), Some(other)) => is_same_person(own, other),
            _ => false,
        };
        let is_same_package = match (&self.target, of_it(event)) {
            (Some(own), Some(other)) => is_same_thing(own, &other),
            _ => false,
        };
        if self.kind != AccessKind::Package
            || !has_begun
            || !(is_named || (is_same_holder && is_same_package))
        {
            return false;
        }
        match event.action {
            Action::Entitlement(EntitlementAction::Removed) if self.ended_at.is_none() => {
                let cause = cause_of(event, self.ends_at);
                self.end_cause = Some(cause);
                self.end(event.occurred_at, cause, Proof::Source, &event.id);
                if self.ended_at.is_some() {
                    self.standing = AccessStatus::Ended;
                }
                true
            }
            Action::Entitlement(EntitlementAction::Extended) if self.ended_at.is_none() => {
                self.ends_at = planned_end(event).or(self.ends_at);
                true
            }
            // The event of the assignment itself.
            Action::Entitlement(EntitlementAction::Fulfilled) if is_named => {
                self.ends_at = self.ends_at.max(planned_end(event));
                true
            }
            _ => false,
        }
    }
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
