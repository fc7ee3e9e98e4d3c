//! Applies the steps of an access record in the order in which they occurred.

use serde_json::Value;

use crate::{
    access::{
        access_record::{Access, Standing},
        assignment::{cause_of, planned_end},
        decision::Verdict,
        evidence::{EndCause, Proof},
    },
    identity::matching::{is_same_person, party_of},
    time::timestamp::Instant,
    trail::event::{Outcome, Recorded},
    windows::window_event::CLOSED_BY_HAND,
};

use super::Misfit;

impl Access {
    /// Applies a step, in the order in which they occurred.
    pub(super) fn take_step(&mut self, recorded: &Recorded) {
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
            // A failed attempt changed nothing.
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
            // This state has a sentence of its own: approved, or no approval needed.
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
            // Its source requested a longer time than the application allows.
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
                    .is_some_and(|it| is_same_person(&party_of(it), &party_of(&event.actor)));
                self.end_cause.get_or_insert(if by_itself {
                    EndCause::Canceled
                } else {
                    EndCause::Terminated
                });
            }
            // A person states that it has ended; this is not verified.
            CLOSED_BY_HAND => {
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

    /// Applies a step of a package's request, or records that it is in the wrong order.
    fn fits(&mut self, recorded: &Recorded, to: Standing, may: impl FnOnce(Standing) -> bool) {
        let is_final = |standing| {
            !matches!(standing, Standing::Requested | Standing::Approved | Standing::Active)
        };
        if may(self.standing) {
            // A failure followed by a successful retry is no failure.
            self.standing = if to == Standing::Active { to } else { self.standing.max(to) };
            self.closed_at = Some(recorded.event.occurred_at).filter(|_| is_final(to));
        } else {
            self.misfits.push(Misfit { event: recorded.event.id.clone() });
        }
    }
}
