//! Applies events that do not belong to the access record itself, and its uses.

use serde_json::Value;

use crate::{
    access::{access_record::Access, assignment::is_partly_fulfilled, kept_events::is_use},
    trail::{
        actions::{Action, JitAction, RevocationAction},
        event::{Outcome, Recorded},
    },
};

use super::TOLERANCE;

impl Access {
    /// Applies an event that names the record's account, or its package and holder. Returns whether
    /// the event is about this access record.
    pub(super) fn take_other(&mut self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let at = event.occurred_at;
        let has_begun = self.granted_at.is_some_and(|begun| begun.minus(TOLERANCE) <= at);
        if event.outcome == Outcome::Failure && !is_partly_fulfilled(event) {
            return false;
        }
        if let Action::Entitlement(_) = event.action {
            return self.take_assignment(recorded, has_begun);
        }
        if !self.is_account(event) {
            return false;
        }
        let stated = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        match event.action {
            Action::Jit(JitAction::EntraAccountDisabled) if !event.id.is_services() => {
                if has_begun && self.ended_at.is_none() && self.is_external != Some(false) {
                    self.end_by_portal(event);
                    return true;
                }
                false
            }
            // One verification ends every expired request for the account.
            Action::Revocation(RevocationAction::Verified) => {
                let end = stated("actual_end").and_then(|text| text.parse().ok()).unwrap_or(at);
                let is_its_own =
                    self.window.is_some() && stated("window") == self.window.as_deref();
                if is_its_own
                    && self.ended_at.is_none()
                    && self.ends_at.is_some_and(|ends| ends <= end)
                {
                    self.verify(event, end);
                    return true;
                }
                false
            }
            _ => is_use(event) && has_begun && self.holds(at) && self.may_be_used_by(event),
        }
    }

    pub(super) fn take_use(&mut self, recorded: &Recorded, is_own: bool) {
        let event = &recorded.event;
        if !is_use(event) || !(is_own || self.events.contains(&event.id)) {
            return;
        }
        self.uses += 1;
        let at = event.occurred_at;
        self.first_used_at = Some(self.first_used_at.map_or(at, |first| first.min(at)));
        self.last_used_at = Some(self.last_used_at.map_or(at, |last| last.max(at)));
    }
}
