//! The end of requests whose account stays enabled, because another request covers it.

use crate::{
    time::timestamp::Instant,
    windows::{
        window::Window,
        window_event::{WindowEvent, WindowFact},
    },
};

/// Maximum number of claims that one step covers. Each needs an event and an item of its session,
/// and a transaction has a hundred statements.
const COVERED_AT_ONCE: usize = 20;

impl Window {
    /// Ends claims while others continue: the account stays enabled. A limited number is processed
    /// at a time; the others stay due.
    pub fn cover(&mut self, now: Instant) -> Vec<WindowEvent> {
        let Some(by) =
            self.claims.iter().filter(|claim| claim.goes_on(now)).max_by_key(|claim| claim.ends_at)
        else {
            return Vec::new();
        };
        let (covered_by, until) = (by.event.clone(), by.ends_at);
        let mut events = Vec::new();
        let over = self.claims.iter().enumerate().filter(|(_, claim)| claim.is_over(now));
        let over: Vec<usize> = over.map(|(place, _)| place).take(COVERED_AT_ONCE).collect();
        for place in over {
            self.claims[place].is_done = true;
            let planned_end = self.claims[place].ends_at;
            let covered = WindowFact::Covered { planned_end, by: covered_by.clone(), until };
            events.push(WindowEvent::of_service(covered, place, now));
        }
        self.begin_anew(now);
        events
    }
}
