//! The rules about the justification of a request.

use crate::{
    access::event_kind,
    findings::checkpoints::AccessCheck,
    trail::event::{EventId, Recorded},
};

impl AccessCheck<'_> {
    /// A missing or meaningless justification.
    pub(super) fn justification(&mut self) {
        let access = self.access;
        let Some(asked) = access.asked_at else { return };
        let least = self.context.thresholds.justification_characters as usize;
        let evidence = || self.asking_events().into_iter().take(1).collect();
        match &access.justification {
            Some(text) if text.trim().chars().count() < least => {
                let count = text.trim().chars().count();
                let why = format!(
                    "the justification is too short: it has {count} characters, and at least {least} are required"
                );
                let evidence = evidence();
                self.found("justification.insufficient", "", why, evidence);
            }
            None if least > 0 => {
                let evidence = evidence();
                if self.is_time("justification.insufficient", asked) {
                    let why = "it was requested without a justification".to_owned();
                    self.found("justification.insufficient", "", why, evidence);
                }
            }
            _ => {}
        }
    }

    pub(super) fn asking_events(&self) -> Vec<EventId> {
        let is_asking = |recorded: &&Recorded| event_kind::is_request(&recorded.event.action);
        self.own().filter(is_asking).map(|recorded| recorded.event.id.clone()).collect()
    }
}
