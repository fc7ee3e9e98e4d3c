//! The gate: the time up to which the feed may be read.
//!
//! Events that `watch` has not seen may be missing in the index. `watch` advances a tenant's gate
//! after each batch, and readers stop there. So when `watch` processes a late or repeated batch, no
//! reader has passed its events.
//!
//! Batches run concurrently, and events of the same moment are in several batches. A delayed batch
//! shows that others may be delayed as long. The gate then opens later, by that delay, until the
//! other batches had their time. If the gate does not advance (`watch` is down), readers are held
//! back for [`HOLD`] times `FeedLag`.

use std::time::Duration;

use crate::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::{Damaged, Item},
    keys,
    transaction::Change,
};
use shared_domain::time::timestamp::Instant;
use shared_platform::backoff::Pauses;

/// The longest time for which an event is held back, as a multiple of `FeedLag`.
const HOLD: u32 = 30;

/// A tenant's gate. What `watch` has seen advances to `next` and then to `open`, and waits for at
/// least one slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gate {
    /// Readers may pass events recorded up to this time.
    open: Instant,
    /// The value of `open` one `slack` after `since`.
    next: Instant,
    /// The value of `open` two slacks after `since`.
    seen: Instant,
    /// When the gate was last advanced.
    since: Instant,
    /// The delay of batches.
    slack: Duration,
    /// Until this time no batch opens the gate at once, because other batches may still be delayed.
    uneven_until: Instant,
}

impl Gate {
    /// The gate of a tenant without events.
    fn shut() -> Self {
        let start = Instant::from_millis(0);
        let slack = Duration::ZERO;
        Self { open: start, next: start, seen: start, since: start, slack, uneven_until: start }
    }

    /// The gate at a later time.
    fn at(self, now: Instant) -> Self {
        // A clock that was ahead may have written later times.
        let since = self.since.min(now);
        let uneven_until = self.uneven_until.min(now.plus(self.slack * 2));
        let it = Self { since, uneven_until, ..self };
        if now >= it.since.plus(it.slack * 2) {
            Self { open: it.seen, next: it.seen, since: now, ..it }
        } else if now >= it.since.plus(it.slack) {
            Self { open: it.next, next: it.seen, since: now, ..it }
        } else {
            it
        }
    }

    /// The gate after events up to `to` were seen. It opens at once if neither this batch nor a
    /// recent one was delayed.
    fn reached(self, to: Instant, now: Instant, feed_lag: Duration) -> Self {
        let mut gate = self.at(now);
        if now >= gate.uneven_until {
            // All delayed batches had their time. Without this, the next slack would count from
            // long ago.
            gate = Self { open: gate.seen, next: gate.seen, since: now, ..gate };
        }
        if now > to.plus(feed_lag / 4) {
            let age = u64::try_from(now.millis() - to.millis()).unwrap_or(0);
            let slack = Duration::from_millis(age).clamp(feed_lag, feed_lag * HOLD);
            gate.slack = if now < gate.uneven_until { gate.slack.max(slack) } else { slack };
            gate.uneven_until = gate.uneven_until.max(now.plus(gate.slack * 2));
        }
        gate.seen = gate.seen.max(to);
        if now >= gate.uneven_until {
            gate.open = gate.seen;
            gate.next = gate.seen;
        }
        gate
    }
}

impl TenantScope<'_> {
    /// The time up to which readers may have passed events.
    pub async fn passable(&self, now: Instant) -> Result<Instant, ReadError> {
        let gate = self.gate().await?.map_or_else(Gate::shut, |(gate, _)| gate);
        Ok(gate.at(now).open.max(now.minus(self.feed_lag() * HOLD)))
    }

    /// Opens the gate up to `to`: `watch` has seen these events and listed those that the index did
    /// not show. Repeating this is safe.
    pub async fn let_pass(&self, to: Instant) -> Result<(), ReadError> {
        let mut pauses = Pauses::until(self.deadline);
        loop {
            let now = self.database.clock.now();
            let there = self.gate().await?;
            let gate = there.map_or_else(Gate::shut, |(gate, _)| gate);
            let reached = gate.reached(to, now, self.feed_lag());
            // A delayed batch is recorded, even if readers may have passed its events.
            if gate.open >= to && reached.uneven_until == gate.uneven_until {
                return Ok(());
            }
            let gate = reached;
            let (expected, generation) = match there {
                None => (None, 0),
                Some((_, before)) => (Some(("generation", number(before))), before + 1),
            };
            let slack = u64::try_from(gate.slack.as_millis()).unwrap_or(u64::MAX);
            let set = vec![
                ("open_to", text(gate.open)),
                ("next_to", text(gate.next)),
                ("seen_to", text(gate.seen)),
                ("moved_at", text(gate.since)),
                ("slack_ms", number(slack)),
                ("uneven_until", text(gate.uneven_until)),
                ("generation", number(generation)),
            ];
            let key = [keys::late(&self.tenant), keys::GATE.to_owned()];
            let change = Change::step(key, expected, set, &[]);
            if self.database.alone(change, self.deadline, &mut false).await? {
                return Ok(());
            }
            // Another batch advanced the gate, or an unanswered attempt did.
            pauses.after_conflict("the gate of the feed").await?;
        }
    }

    /// The stored gate and its generation; none before the first event.
    async fn gate(&self) -> Result<Option<(Gate, u64)>, ReadError> {
        let item =
            self.database.state_item(keys::late(&self.tenant), keys::GATE, self.deadline).await?;
        let read = |item: Item| {
            let gate = Gate {
                open: item.parsed("open_to")?,
                next: item.parsed("next_to")?,
                seen: item.parsed("seen_to")?,
                since: item.parsed("moved_at")?,
                slack: Duration::from_millis(item.number("slack_ms").unwrap_or(0)),
                uneven_until: item.parsed("uneven_until").unwrap_or(Instant::from_millis(0)),
            };
            Some((gate, item.number("generation")?))
        };
        Ok(item
            .map(|item| read(item).ok_or_else(|| Damaged::new(keys::GATE, "open_to")))
            .transpose()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAG: Duration = Duration::from_millis(100);

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn what_is_seen_in_time_is_let_through_at_once_and_what_is_late_after_a_slack() {
        let gate = Gate::shut().reached(at(1000), at(1010), LAG);
        assert_eq!(gate.at(at(1010)).open, at(1000));
        // 106 ms late.
        let gate = gate.reached(at(1005), at(1111), LAG);
        assert_eq!(gate.at(at(1111)).open, at(1000));
        assert_eq!(gate.at(at(1400)).open, at(1005));
    }

    #[test]
    fn the_slack_of_a_late_batch_counts_from_when_it_was_seen() {
        let steps = [(9600, 10_000), (10_745, 10_750), (10_995, 11_000), (11_040, 11_100)];
        let gate = steps
            .into_iter()
            .fold(Gate::shut(), |gate, (to, now)| gate.reached(at(to), at(now), LAG));
        assert_eq!(gate.at(at(11_100)).open, at(10_995));
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_keep_the_gate_uneven() {
        let gate = Gate::shut().reached(at(86_400_000), at(86_400_500), LAG);
        let gate = gate.reached(at(990), at(1000), LAG).reached(at(3990), at(4000), LAG);
        assert!(gate.uneven_until <= at(4000));
    }

    #[test]
    fn a_batch_that_is_in_time_waits_for_those_that_may_be_as_far_behind_as_another_was() {
        let late = Gate::shut().reached(at(1000), at(1500), LAG);
        let gate = late.reached(at(1590), at(1600), LAG);
        assert_eq!(gate.at(at(1600)).open, at(0));
        assert!(gate.at(at(1999)).open < at(1000));
        // Twice the delay of the late batch.
        let gate = gate.reached(at(2490), at(2500), LAG);
        assert_eq!(gate.at(at(2500)).open, at(2490));
    }

    proptest! {
        /// The gate never closes again for events it has let through, does not open before the
        /// slack is over for events seen late, and finally opens for everything.
        #[test]
        fn a_gate_opens_in_one_direction_and_not_too_early(
            steps in prop::collection::vec((1i64..300, 0i64..500), 1..40),
        ) {
            let (mut gate, mut now, mut open) = (Gate::shut(), 10_000, Gate::shut().open);
            let mut seen: Vec<(i64, Instant, bool)> = Vec::new();
            for (pause, age) in steps {
                now += pause;
                let to = at(now - age);
                gate = gate.reached(to, at(now), LAG);
                seen.push((now, to, age <= 25));
                for look in [now, now + 99, now + 150] {
                    let there = gate.at(at(look)).open;
                    prop_assert!(there >= open);
                    let may = |(when, to, in_time): &(i64, Instant, bool)| {
                        (*in_time || when + 100 <= look).then_some(*to)
                    };
                    prop_assert!(there <= seen.iter().filter_map(may).max().unwrap_or(Gate::shut().open));
                }
                open = gate.at(at(now)).open;
            }
            let last = seen.iter().map(|(_, to, _)| *to).max().unwrap();
            prop_assert_eq!(gate.at(at(now).plus(gate.slack * 2)).open, last);
        }
    }
}
