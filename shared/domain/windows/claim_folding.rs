//! Folding: combining claims of a window that has too many.

use crate::{
    time::timestamp::Instant,
    windows::{
        window::Window,
        window_event::{WindowEvent, WindowFact},
    },
};

/// Maximum number of separate claims of a window.
pub(super) const MOST_CLAIMS: usize = 32;

impl Window {
    /// Makes room for new claims: those that are done go, but for those that something is recorded of in this step, and then open ones fold, no
    /// more of them than new ones come. What that records is added to `events`, whose places stay right.
    pub(super) fn make_room(&mut self, new: usize, events: &mut Vec<WindowEvent>, now: Instant) {
        let mut place = 0;
        while place < self.claims.len() && self.claims.len() + new > MOST_CLAIMS {
            if !self.claims[place].is_done || events.iter().any(|event| event.claim == place) {
                place += 1;
                continue;
            }
            self.claims.remove(place);
            events
                .iter_mut()
                .filter(|event| event.claim > place)
                .for_each(|event| event.claim -= 1);
        }
        let open = self.claims.iter().filter(|claim| !claim.is_done).count();
        let excess = (open + new).saturating_sub(MOST_CLAIMS).min(new);
        events.extend((0..excess).map_while(|_| self.fold(now)));
    }

    /// Folds one claim into another. The account stays enabled for as long as either request needs
    /// it, so the later end counts. The chosen pair has the shortest time between its claims; then
    /// the same names, application, session and person; then the earliest end. The folded claim is
    /// done, and the trail records that the other one covers it.
    pub(super) fn fold(&mut self, now: Instant) -> Option<WindowEvent> {
        let places: Vec<usize> =
            (0..self.claims.len()).filter(|place| !self.claims[*place].is_done).collect();
        let cost = |from: usize, into: usize| {
            let (from, into) = (&self.claims[from], &self.claims[into]);
            let gap = (into.starts_at.millis() - from.ends_at.millis()).max(0);
            let differs = (
                from.account != into.account,
                from.application != into.application,
                from.session != into.session,
                from.subject != into.subject,
            );
            (gap, differs, from.ends_at)
        };
        let ends_first = |from: usize, into: usize| {
            (self.claims[from].ends_at, from) < (self.claims[into].ends_at, into)
        };
        let pairs = places.iter().flat_map(|from| places.iter().map(|into| (*from, *into)));
        let (from, into) = pairs
            .filter(|(from, into)| ends_first(*from, *into))
            .min_by_key(|(a, b)| cost(*a, *b))?;
        let folded = self.claims[from].clone();
        self.claims[from].is_done = true;
        let claim = &mut self.claims[into];
        claim.starts_at = claim.starts_at.min(folded.starts_at);
        claim.ends_on_log_off &= folded.ends_on_log_off;
        claim.ends_with_session &= folded.ends_with_session;
        claim.is_history &= folded.is_history;
        let is_others = folded.session != claim.session
            || folded.subject != claim.subject
            || folded.application != claim.application;
        let others_until =
            [claim.others_until, folded.others_until, is_others.then_some(folded.ends_at)];
        claim.others_until = others_until.into_iter().flatten().max();
        let covered = WindowFact::Covered {
            planned_end: folded.ends_at,
            by: claim.event.clone(),
            until: claim.ends_at,
        };
        Some(WindowEvent::of_service(covered, from, now))
    }
}
