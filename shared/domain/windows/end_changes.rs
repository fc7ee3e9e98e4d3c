//! Changes of a window's end: extending, ending, closing by hand and retrying.

use std::time::Duration;

use crate::{
    time::timestamp::Instant,
    trail::event::Actor,
    windows::{
        claim::{Claim, FARTHEST},
        due::OVERDUE_AFTER,
        window::Window,
        window_event::{EndReason, MovedEnd, WindowEvent, WindowFact},
        window_finding::WindowFinding,
    },
};

/// Maximum number of statements of a step that ends claims with their source, without those for the
/// window's names.
const MOST_ENDED: usize = 72;

/// Why a window is not extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotExtended {
    Ended(String),
    /// The requested end is invalid.
    Wrong(String),
}

impl Window {
    /// Extends the last claim that `which` selects until `ends_at`. There is no event if it already
    /// ends then.
    ///
    /// # Errors
    /// The claims have ended, or may not be extended.
    pub fn extend(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        ends_at: Instant,
        by: Actor,
        reason: String,
        now: Instant,
    ) -> Result<Option<WindowEvent>, NotExtended> {
        let Some(place) = self.last_claim(which, now) else {
            let detail = "the window has ended; send a new request to open another one";
            return Err(NotExtended::Ended(detail.to_owned()));
        };
        let claim = &self.claims[place];
        let before = claim.ends_at;
        if ends_at == before {
            return Ok(None);
        }
        if ends_at < before {
            let detail = format!(
                "{ends_at} is before its current end, {before}; to end it earlier, use end"
            );
            return Err(NotExtended::Wrong(detail));
        }
        if ends_at > now.plus(FARTHEST) {
            let detail =
                format!("{ends_at} is too far in the future; the maximum is ten years from now");
            return Err(NotExtended::Wrong(detail));
        }
        if let Some(latest) = claim.latest.filter(|latest| ends_at > *latest) {
            let detail = format!(
                "{ends_at} is later than the application allows; the latest end is {latest}"
            );
            return Err(NotExtended::Wrong(detail));
        }
        self.claims[place].ends_at = ends_at;
        self.claims[place].is_history = false;
        self.begin_anew(now);
        let extended = WindowFact::Extended(MovedEnd { from: before, to: ends_at }, reason);
        Ok(Some(WindowEvent::new(extended, place, by, now)))
    }

    /// When the last claim that `which` selects would end if it lasted that long.
    pub fn lasting(
        &self,
        which: impl Fn(&Claim) -> bool,
        length: Duration,
        now: Instant,
    ) -> Instant {
        self.last_claim(which, now).map_or(now, |place| self.claims[place].starts_at).plus(length)
    }

    /// Ends the claims that `which` selects now, including requests that were folded into them. The
    /// account still has to be disabled, except for claims that end with their session.
    pub fn end(
        &mut self,
        which: impl FnMut(&Claim) -> bool,
        by: &Actor,
        reason: &EndReason,
        now: Instant,
    ) -> Vec<WindowEvent> {
        self.end_at(|_| now, which, by, reason, now)
    }

    /// Like [`Self::end`], but folded requests of others continue until their end.
    pub fn end_own(
        &mut self,
        which: impl FnMut(&Claim) -> bool,
        by: &Actor,
        reason: &EndReason,
        now: Instant,
    ) -> Vec<WindowEvent> {
        self.end_at(|claim| claim.own_end(now), which, by, reason, now)
    }

    fn end_at(
        &mut self,
        end: impl Fn(&Claim) -> Instant,
        mut which: impl FnMut(&Claim) -> bool,
        by: &Actor,
        reason: &EndReason,
        now: Instant,
    ) -> Vec<WindowEvent> {
        let mut events = Vec::new();
        for place in 0..self.claims.len() {
            let claim = &mut self.claims[place];
            let (before, end) = (claim.ends_at, end(claim));
            if claim.is_done || before <= end || !which(claim) {
                continue;
            }
            claim.ends_at = end;
            // A claim with a later start never starts.
            claim.starts_at = claim.starts_at.min(end);
            let ended = WindowFact::Ended(MovedEnd { from: before, to: end }, reason.clone());
            events.push(WindowEvent::new(ended, place, by.clone(), now));
        }
        if !events.is_empty() {
            self.begin_anew(now);
        }
        events
    }

    /// Applies the end that a session's or package's source reports: the claims end, and if nobody
    /// disables an account, no confirmation is awaited.
    pub fn end_with_source(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        by: &Actor,
        at: Instant,
        now: Instant,
    ) -> Vec<WindowEvent> {
        let mut events = self.end_own(&which, by, &EndReason::SourceEnded, now);
        if self.is_external() {
            let planned = self.planned_end(now);
            let mut ended = 0;
            for claim in &mut self.claims {
                if claim.is_over(now) && claim.ends_with_session && which(claim) {
                    claim.is_done = true;
                    ended += 1;
                }
            }
            if self.is_closed() && ended > 0 {
                self.close(at.min(now), planned);
            } else {
                // The overdue end of another claim is recorded already.
                let overdue_end = self.overdue_end.unwrap_or_else(|| now.minus(OVERDUE_AFTER));
                if !self.claims.iter().any(|claim| claim.is_over(overdue_end)) {
                    self.forget_overdue();
                }
            }
            // The limit of one transaction. The source's event covers all of them.
            events.truncate(MOST_ENDED.saturating_sub(ended));
        }
        events
    }

    /// Applies an end in the past to claims whose request is of the past as well. What began and
    /// ended before this service knew of it is not its to end: it disables nothing, and a window
    /// without other claims is closed. Requests of others that were folded into a claim keep it.
    pub fn end_in_the_past(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        by: &Actor,
        at: Instant,
        now: Instant,
    ) -> Vec<WindowEvent> {
        if self.is_external() {
            return Vec::new();
        }
        let (mut events, mut planned) = (Vec::new(), now);
        for place in 0..self.claims.len() {
            let claim = &mut self.claims[place];
            let is_past = claim.is_history && claim.own_end(now) == now;
            if !is_past || !claim.may_end(now) || !which(claim) {
                continue;
            }
            let end = MovedEnd { from: claim.ends_at, to: now };
            planned = planned.max(claim.ends_at);
            claim.ends_at = now;
            claim.starts_at = claim.starts_at.min(now);
            claim.is_done = true;
            let ended = WindowFact::Ended(end, EndReason::EndedInThePast);
            events.push(WindowEvent::new(ended, place, by.clone(), now));
        }
        if !events.is_empty() {
            self.begin_anew(now);
            if self.is_closed() {
                self.close(at.min(now), planned);
            }
        }
        events
    }

    /// Applies a portal's `entra.account.disabled`. If the portal disables accounts itself, the
    /// window has ended. If this service does, the window ends now, and the account is still read
    /// back.
    pub fn end_as_disabled(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        by: &Actor,
        at: Instant,
        now: Instant,
    ) -> Vec<WindowEvent> {
        if !self.is_external() {
            return self.end(which, by, &EndReason::DisabledByPortal, now);
        }
        let planned =
            self.claims.iter().filter(|claim| !claim.is_done && which(claim)).map(|it| it.ends_at);
        if let Some(planned) = planned.max() {
            for claim in self.claims.iter_mut().filter(|claim| which(claim)) {
                claim.ends_at = claim.ends_at.min(now);
                claim.is_done = true;
            }
            self.close(at, planned);
        }
        Vec::new()
    }

    /// Applies a person's statement that the account is disabled: up to `most` open requests end,
    /// and with the last one the window is closed. The statement is not verified, and therefore a
    /// finding.
    pub fn close_by_hand(
        &mut self,
        by: &Actor,
        reason: &str,
        most: usize,
        now: Instant,
    ) -> Vec<WindowEvent> {
        let planned = self.planned_end(now);
        let mut events = Vec::new();
        for place in self.open_places(most) {
            let claim = &mut self.claims[place];
            let before = claim.ends_at;
            claim.ends_at = before.min(now);
            claim.starts_at = claim.starts_at.min(now);
            claim.is_done = true;
            let end = MovedEnd { from: before, to: claim.ends_at };
            let closed = WindowFact::ClosedByHand(end, reason.to_owned());
            events.push(WindowEvent::new(closed, place, by.clone(), now));
        }
        if let Some(claim) = events.last().map(|last| last.claim).filter(|_| self.is_closed()) {
            self.close(now, planned);
            self.is_closed_by_hand = true;
            let finding = WindowFinding::ClosedByHand { by: by.clone(), reason: reason.to_owned() };
            events.push(WindowEvent::finding(finding, claim, now));
        }
        self.lease = None;
        events
    }

    /// Makes the account due for disabling now, despite a pause after a failure. It has no effect
    /// while a run is processing the window.
    ///
    /// # Errors
    /// There is nothing to retry; the sentence says why.
    pub fn retry(
        &mut self,
        by: &Actor,
        reason: &str,
        now: Instant,
    ) -> Result<Option<WindowEvent>, String> {
        let open = self.claims.iter().filter(|claim| !claim.is_done);
        let Some(next) = open.map(|claim| claim.ends_at).min() else {
            return Err("the window is closed, so there is nothing to retry".to_owned());
        };
        if self.is_external() {
            return Err(
                "this service does not disable the account of this window; close the window after the account is disabled"
                    .to_owned(),
            );
        }
        if now < next {
            return Err(format!(
                "the window does not end before {next}; to end it earlier, use end"
            ));
        }
        let going =
            self.claims.iter().filter(|claim| claim.goes_on(now)).map(|claim| claim.ends_at).max();
        if let Some(until) = going {
            return Err(format!(
                "another request keeps the account enabled until {until}; to end it earlier, use end"
            ));
        }
        if self.lease.as_ref().is_some_and(|lease| now < lease.until) {
            return Ok(None);
        }
        self.leave(Some(now));
        self.resolution.not_before = Some(now);
        let retried = WindowFact::Retried {
            planned_end: self.planned_end(now),
            attempts: self.attempts,
            reason: reason.to_owned(),
        };
        Ok(Some(WindowEvent::new(retried, self.ending(now), by.clone(), now)))
    }
}
