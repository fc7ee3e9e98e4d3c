//! What the events of an assignment to an access package say of its access record.

use serde::Deserialize as _;

use crate::{
    access::{
        access_record::{Access, Kind, Standing},
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
    /// What is told of its assignment under another request, or under the assignment's own id.
    pub(super) fn take_assignment(&mut self, recorded: &Recorded, has_begun: bool) -> bool {
        let event = &recorded.event;
        let is_named = self.assignment.is_some() && told_assignment(event) == self.assignment;
        let is_same_holder = match (&self.subject, &event.subject) {
            (Some(own), Some(other)) => is_same_person(own, other),
            _ => false,
        };
        let is_same_package = match (&self.target, of_it(event)) {
            (Some(own), Some(other)) => is_same_thing(own, &other),
            _ => false,
        };
        if self.kind != Kind::Package
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
                    self.standing = Standing::Ended;
                }
                true
            }
            Action::Entitlement(EntitlementAction::Extended) if self.ended_at.is_none() => {
                self.ends_at = planned_end(event).or(self.ends_at);
                true
            }
            // The assignment as it tells of itself.
            Action::Entitlement(EntitlementAction::Fulfilled) if is_named => {
                self.ends_at = self.ends_at.max(planned_end(event));
                true
            }
            _ => false,
        }
    }
}

/// The end that an assignment's event plans: its session's, the window's, or as an import keeps its schedule.
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

/// The assignment that an event of entitlement management is about, where it says so.
pub(super) fn told_assignment(event: &Event) -> Option<String> {
    let Action::Entitlement(_) = event.action else { return None };
    event.details.as_ref()?.get("assignment_id")?.as_str().map(str::to_owned)
}

/// The member of an event's details by which its source says why an assignment ended.
pub const END_CAUSE: &str = "end_cause";

/// Why an assignment ended: expired, canceled by its user, or removed. The source says it in `details.end_cause`. Sources
/// that do not, and events that were stored before, say it in the words of their reason.
pub(super) fn cause_of(event: &Event, planned: Option<Instant>) -> EndCause {
    told_cause(event).unwrap_or_else(|| cause_from_reason(event, planned))
}

fn told_cause(event: &Event) -> Option<EndCause> {
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
