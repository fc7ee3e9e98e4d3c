//! Applies the steps of an access record in the order in which they occurred.

use crate::{
    access::{
        access_record::{Access, AccessStatus},
        assignment::{cause_of, is_partly_fulfilled, planned_end},
        decision::Verdict,
        evidence::{EndCause, Proof},
        session::StepProblem,
    },
    identity::matching::{is_same_person, party_of},
    time::timestamp::Instant,
    trail::{
        actions::{
            Action, EntitlementAction, JitAction, RevocationAction, SessionAction, WindowAction,
        },
        event::{Event, Outcome, Recorded},
    },
};

use super::UnexpectedStep;

impl Access {
    /// Applies a step, in the order in which they occurred.
    pub(super) fn take_step(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        // A failed attempt changed nothing. Only a failed request for an account changes the state, and
        // what was fulfilled in part.
        if event.outcome == Outcome::Failure
            && event.action != EntitlementAction::Failed
            && !is_partly_fulfilled(event)
        {
            if event.action == JitAction::EntraAccountRequested {
                self.standing = self.standing.max(AccessStatus::Failed);
            }
            return;
        }
        match event.action {
            Action::Jit(step) => self.take_account_step(step, event),
            Action::Session(step) => self.take_session_step(step, recorded),
            Action::Entitlement(step) => self.take_package_step(step, recorded),
            Action::Window(step) => self.take_window_step(step, event),
            Action::Revocation(step) => self.take_revocation_step(step, event),
            Action::Platform(_)
            | Action::Directory(_)
            | Action::Export(_)
            | Action::Reading(_)
            | Action::Review(_)
            | Action::Finding(_)
            | Action::Configuration(_)
            | Action::Unknown(_) => {}
        }
    }

    fn take_account_step(&mut self, step: JitAction, event: &Event) {
        match step {
            JitAction::EntraAccountRequested => {
                let at = event.occurred_at;
                self.granted_at.get_or_insert(self.starts_at.map_or(at, |starts| starts.max(at)));
                self.standing = AccessStatus::Active;
                self.starts_at.get_or_insert(at);
            }
            JitAction::EntraAccountDisabled if event.id.is_services() => {}
            JitAction::EntraAccountDisabled => self.end_by_portal(event),
            JitAction::ComputerAccessed
            | JitAction::ComputerLeft
            | JitAction::ComputerOfflineCodeRetrieved
            | JitAction::EntraCredentialsAccessed
            | JitAction::AccessUsed => {}
        }
    }

    fn take_session_step(&mut self, step: SessionAction, recorded: &Recorded) {
        match step {
            SessionAction::Approved => self.decide(recorded, Verdict::Approved),
            SessionAction::Denied => self.decide(recorded, Verdict::Denied),
            SessionAction::Granted => {
                self.granted_at.get_or_insert(recorded.event.occurred_at);
                self.starts_at.get_or_insert(recorded.event.occurred_at);
            }
            SessionAction::Canceled => self.end_session(recorded, EndCause::Canceled),
            SessionAction::Expired => self.end_session(recorded, EndCause::Expired),
            SessionAction::Terminated => self.end_session(recorded, EndCause::Terminated),
            SessionAction::Created | SessionAction::TimedOut => {}
        }
    }

    fn take_package_step(&mut self, step: EntitlementAction, recorded: &Recorded) {
        let event = &recorded.event;
        let at = event.occurred_at;
        match step {
            EntitlementAction::DirectlyAssigned => self.needs_no_approval = true,
            EntitlementAction::AutoApproved | EntitlementAction::Approved => {
                self.decide(recorded, Verdict::Approved);
                self.fits(recorded, AccessStatus::Approved, |it| it <= AccessStatus::Approved);
            }
            EntitlementAction::Denied => {
                self.decide(recorded, Verdict::Denied);
                self.fits(recorded, AccessStatus::Denied, |it| it <= AccessStatus::Denied);
            }
            EntitlementAction::TimedOut => {
                self.fits(recorded, AccessStatus::TimedOut, |it| {
                    it <= AccessStatus::Requested || it == AccessStatus::TimedOut
                });
            }
            EntitlementAction::Canceled => {
                self.fits(recorded, AccessStatus::Canceled, |it| {
                    it <= AccessStatus::Approved || it == AccessStatus::Canceled
                });
            }
            EntitlementAction::Failed => {
                self.fits(recorded, AccessStatus::Failed, |it| it <= AccessStatus::Approved);
            }
            // This state has a sentence of its own: approved, or no approval needed.
            EntitlementAction::Ready => {
                self.needs_no_approval |= self.decisions.is_empty();
                self.fits(recorded, AccessStatus::Approved, |it| it <= AccessStatus::Approved);
            }
            EntitlementAction::Fulfilled => {
                let fits = |it| {
                    it <= AccessStatus::Approved
                        || it == AccessStatus::Active
                        || it == AccessStatus::Failed
                };
                self.fits(recorded, AccessStatus::Active, fits);
                self.granted_at.get_or_insert(at);
                self.starts_at.get_or_insert(at);
                let planned = planned_end(event);
                self.ends_at = self.ends_at.max(planned);
            }
            EntitlementAction::Extended => {
                self.ends_at = planned_end(event).or(self.ends_at);
                self.fits(recorded, AccessStatus::Active, |it| it == AccessStatus::Active);
            }
            EntitlementAction::Removed => {
                let begun = self.standing == AccessStatus::Active || self.granted_at.is_some();
                self.end(at, cause_of(event, self.ends_at), Proof::Source, &event.id);
                let to = match (begun, self.ended_at) {
                    (true, Some(_)) => AccessStatus::Ended,
                    (true, None) => AccessStatus::Active,
                    (false, _) => AccessStatus::Canceled,
                };
                self.fits(recorded, to, |it| {
                    it <= AccessStatus::Approved || it == AccessStatus::Active
                });
            }
            EntitlementAction::Requested
            | EntitlementAction::ApprovalCreated
            | EntitlementAction::ApproverAdded
            | EntitlementAction::Scheduled => {}
        }
    }

    fn take_window_step(&mut self, step: WindowAction, event: &Event) {
        match step {
            WindowAction::Opened => {
                self.starts_at = self.starts_at.or(detail_time(event, "starts_at"));
                let ends_at = detail_time(event, "ends_at");
                let is_cut =
                    event.details.as_ref().is_some_and(|details| details.contains_key("asked_end"));
                // The source requested a longer time than the application allows.
                self.ends_at =
                    if is_cut { ends_at.or(self.ends_at) } else { self.ends_at.or(ends_at) };
            }
            WindowAction::Extended => {
                self.ends_at = detail_time(event, "new_end").or(self.ends_at);
            }
            WindowAction::Ended => {
                self.ends_at = detail_time(event, "new_end").or(self.ends_at);
                let by_itself = self
                    .requester
                    .as_ref()
                    .is_some_and(|it| is_same_person(&party_of(it), &party_of(&event.actor)));
                self.end_cause.get_or_insert(if by_itself {
                    EndCause::Canceled
                } else {
                    EndCause::Terminated
                });
            }
            // A person states that it has ended; this is not verified.
            WindowAction::ClosedByHand => {
                self.ends_at = detail_time(event, "new_end").or(self.ends_at);
                self.end_cause.get_or_insert(EndCause::Terminated);
                self.ended_at = Some(event.occurred_at);
                self.standing = AccessStatus::Ended;
            }
            WindowAction::Retried | WindowAction::Merged => {}
        }
    }

    fn take_revocation_step(&mut self, step: RevocationAction, event: &Event) {
        let at = event.occurred_at;
        match step {
            RevocationAction::Covered => {
                self.end_cause = Some(EndCause::Covered);
                self.ended_at = self.ends_at.or(Some(at));
                self.standing = AccessStatus::Ended;
            }
            RevocationAction::Verified => {
                self.verify(event, detail_time(event, "actual_end").unwrap_or(at));
            }
            RevocationAction::Failed | RevocationAction::Overdue => {}
        }
    }

    /// Applies a step of a package's request, or records that it is in the wrong order.
    fn fits(
        &mut self,
        recorded: &Recorded,
        to: AccessStatus,
        may: impl FnOnce(AccessStatus) -> bool,
    ) {
        let is_final = |standing| {
            !matches!(
                standing,
                AccessStatus::Requested | AccessStatus::Approved | AccessStatus::Active
            )
        };
        if may(self.standing) {
            // A failure followed by a successful retry is no failure.
            self.standing = if to == AccessStatus::Active { to } else { self.standing.max(to) };
            self.closed_at = Some(recorded.event.occurred_at).filter(|_| is_final(to));
        } else {
            let problem = StepProblem::OutOfOrder;
            self.misfits.push(UnexpectedStep { event: recorded.event.id.clone(), problem });
        }
    }
}

fn detail_time(event: &Event, name: &str) -> Option<Instant> {
    event.details.as_ref()?.get(name)?.as_str()?.parse().ok()
}
