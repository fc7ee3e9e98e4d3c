//! Moves requests of a window to another window of the same account.

use crate::{
    time::timestamp::Instant,
    windows::{
        resolution::ResolvedAccount,
        window::Window,
        window_event::{WindowEvent, WindowFact},
        window_finding::WindowFinding,
    },
};

impl Window {
    /// Takes the resolved account from a younger window. The names in its own requests still have
    /// to be looked up.
    pub fn take_over(&mut self, account: Option<ResolvedAccount>) {
        self.resolved = account;
        for claim in self.claims.iter_mut().filter(|claim| !claim.is_done) {
            claim.account.get_or_insert_with(|| self.account.clone());
        }
    }

    /// Gives up to `most` of its open requests to an older window of the same account. Without requests it is closed. What the older one records
    /// is added to what it records in this step already.
    pub fn hand_over(
        &mut self,
        into: &mut Self,
        into_events: &mut Vec<WindowEvent>,
        most: usize,
        now: Instant,
    ) -> Vec<WindowEvent> {
        self.merged_into = Some(into.id.clone());
        let mut events = Vec::new();
        let places = self.open_places(most);
        into.make_room(places.len(), into_events, now);
        for place in places {
            let mut claim = self.claims[place].clone();
            if claim.account.is_none() {
                claim.account = Some(self.account.clone());
                claim.is_looked_up = self.resolved.is_some();
            }
            into.claims.push(claim);
            self.claims[place].is_done = true;
            let merged = WindowFact::Merged { into: into.id.clone() };
            events.push(WindowEvent::of_service(merged, place, now));
        }
        into.begin_anew(now);
        into.resolution.not_before = Some(now);
        self.lease = None;
        self.not_before = None;
        if self.is_closed() {
            self.forget_failures();
            self.forget_overdue();
        }
        events
    }

    /// Gives up one request whose key means another account by now: the account that this window covers was renamed, and its name given away. What
    /// ended here because of that request is due again. The answer is what this window records, and what the other one does.
    pub fn part(
        &mut self,
        place: usize,
        into: &mut Self,
        account: &ResolvedAccount,
        now: Instant,
    ) -> (Vec<WindowEvent>, Vec<WindowEvent>) {
        self.is_key_lost = true;
        self.resolution.disagreements += 1;
        let finding = WindowFinding::NameMoved {
            name: self.key(),
            from: self.resolved.as_ref().map(|known| known.id.clone()).unwrap_or_default(),
            to: account.id.clone(),
            round: self.resolution.disagreements,
        };
        let merged = WindowFact::Merged { into: into.id.clone() };
        let events = vec![
            WindowEvent::of_service(merged, place, now),
            WindowEvent::finding(finding, place, now),
        ];
        let mut claim = self.claims[place].clone();
        self.claims[place].is_done = true;
        if self.is_closed() {
            let others = self
                .claims
                .iter_mut()
                .enumerate()
                .filter(|(other, _)| *other != place)
                .map(|(_, claim)| claim);
            if let Some(last) = others.max_by_key(|claim| claim.ends_at) {
                last.is_done = false;
            }
        }
        claim.account.get_or_insert_with(|| self.account.clone());
        let mut into_events = Vec::new();
        into.make_room(1, &mut into_events, now);
        into.claims.push(claim);
        for window in [self, into] {
            window.begin_anew(now);
            window.resolution.not_before = Some(now);
        }
        (events, into_events)
    }
}
