//! Selects which of very many events an access record stores: the first and last ones of each
//! class.

use crate::{
    access::access_key::Key,
    trail::{
        actions::{Action, JitAction, ReviewAction},
        event::{Event, Outcome, Recorded},
    },
};

/// Number of first uses that are stored.
const FIRST_USES: usize = 400;
/// Number of last uses that are stored. Those in between are neither stored nor counted.
const LAST_USES: usize = 100;
/// The same for its steps. A portal that uses one session id for everything must not cause an
/// access record that grows without limit.
pub(super) const FIRST_STEPS: usize = 200;
pub(super) const LAST_STEPS: usize = 50;
/// The same for findings and reviews.
const FIRST_AFTERTHOUGHTS: usize = 100;
const LAST_AFTERTHOUGHTS: usize = 50;

/// Whether an event was added to an access record afterwards: a finding about it, or a decision in
/// a review.
pub fn is_afterthought(event: &Event) -> bool {
    matches!(event.action, Action::Finding(_) | Action::Review(ReviewAction::Decided))
}

pub fn is_use(event: &Event) -> bool {
    let Action::Jit(action) = event.action else { return false };
    let is_use = match action {
        JitAction::AccessUsed
        | JitAction::ComputerAccessed
        | JitAction::ComputerLeft
        | JitAction::ComputerOfflineCodeRetrieved
        | JitAction::EntraCredentialsAccessed => true,
        JitAction::EntraAccountRequested | JitAction::EntraAccountDisabled => false,
    };
    is_use && event.outcome == Outcome::Success
}

/// The classes of events that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub uses: bool,
    pub steps: bool,
}

/// Leaves out the events between the first and last ones, in each class: uses, steps (those of
/// `own` and others separately), findings and reviews. Repeating this with more events has the same
/// result as doing it once with all.
pub fn thin_out(events: &mut Vec<Recorded>, own: Option<&Key>) -> LeftOut {
    const BOUNDS: [(usize, usize); 4] = [
        (FIRST_USES, LAST_USES),
        (FIRST_STEPS, LAST_STEPS),
        (FIRST_STEPS, LAST_STEPS),
        (FIRST_AFTERTHOUGHTS, LAST_AFTERTHOUGHTS),
    ];
    let class = |event: &Event| match () {
        () if is_use(event) => 0,
        () if is_afterthought(event) => 3,
        () if own.is_none_or(|own| Key::of(event).as_ref() == Some(own)) => 1,
        () => 2,
    };
    let classes: Vec<usize> = events.iter().map(|recorded| class(&recorded.event)).collect();
    let mut counts = [0_usize; 4];
    classes.iter().for_each(|class| counts[*class] += 1);
    let left_out = |class: usize| BOUNDS[class].0..counts[class].saturating_sub(BOUNDS[class].1);
    let (mut numbers, mut classes) = ([0; 4], classes.into_iter());
    events.retain(|_| {
        let class = classes.next().unwrap_or_default();
        let is_kept = !left_out(class).contains(&numbers[class]);
        numbers[class] += 1;
        is_kept
    });
    LeftOut {
        uses: !left_out(0).is_empty(),
        steps: !left_out(1).is_empty() || !left_out(2).is_empty(),
    }
}
