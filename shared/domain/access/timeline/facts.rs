//! Applies the facts of a request, whichever event contains them first.

use serde_json::Value;

use crate::{
    access::{
        access_record::Access,
        event_kind,
        kept_events::{is_afterthought, is_use},
        session::StepProblem,
    },
    trail::{
        actions::{Action, WindowAction},
        event::{Outcome, Party, Recorded, Scope},
    },
    windows::account_names,
};

use super::{MOST_TARGETS, of_it};

impl Access {
    /// Applies the facts of a request, whichever event contains them first.
    pub(super) fn take_facts(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        if is_afterthought(event) {
            return self.take_afterthought(event);
        }
        // A use names its access record but contains no planned times or decisions.
        if event.is_of_device() {
            if let Some(session) = &event.session {
                self.session.get_or_insert_with(|| session.id.clone());
            }
            self.request_id = self.request_id.take().or_else(|| event.request_id.clone());
            return;
        }
        let asks = event_kind::is_request(&event.action);
        let is_role = event.session.as_ref().is_some_and(|session| session.scope == Scope::Role);
        // An attempt to grant access that failed created no account.
        let begins = event_kind::is_grant(&event.action) && event.outcome == Outcome::Success;
        let is_requested = !self.misfits.iter().any(|misfit| {
            misfit.event == event.id && misfit.problem == StepProblem::RoleNotRequested
        });
        if let Some(session) = &event.session {
            self.session.get_or_insert_with(|| session.id.clone());
            let new = session.roles.iter().filter(|role| !self.roles.contains(role));
            let new: Vec<String> = new.filter(|_| is_requested).cloned().collect();
            self.roles.extend(new);
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
            // The request takes precedence over later repetitions.
            self.justification = event.justification.clone().or(self.justification.take());
            self.target = event.target.clone().or(self.target.take());
        } else if !event.id.is_services() {
            self.justification = self.justification.take().or_else(|| event.justification.clone());
            self.target = self.target.take().or_else(|| of_it(event));
        }
        if !event.id.is_services()
            && !is_use(event)
            && is_requested
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
        let stated = |name: &str| {
            event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
        };
        if event.action == WindowAction::Opened {
            self.window = self.window.take().or_else(|| stated("window").map(str::to_owned));
            self.is_external =
                stated("directory").map(|directory| directory.starts_with("external"));
        }
        if event.action == WindowAction::Merged {
            self.window = stated("merged_into").map(str::to_owned).or(self.window.take());
        }
        if let Action::Entitlement(_) = event.action {
            self.take_assignment_facts(event);
        }
        if let Some(opened) = &recorded.opened {
            self.window = self.window.take().or_else(|| opened.id.clone());
            self.starts_at = Some(self.starts_at.unwrap_or(opened.starts_at));
            self.ends_at = Some(self.ends_at.unwrap_or(opened.ends_at));
        }
    }
}
