//! Which of very many events an access record keeps: the first and the last of each class.

use crate::{
    access::access_key::Key,
    trail::{
        actions::{Action, JitAction, ReviewAction},
        event::{Event, Outcome, Recorded},
    },
};

/// The first uses of an access that are kept …
const FIRST_USES: usize = 400;
/// … and the last. What lies between is neither kept nor counted.
const LAST_USES: usize = 100;
/// The same for its steps. A portal that sends one session id for everything must not make an access that grows without end.
pub(super) const FIRST_STEPS: usize = 200;
pub(super) const LAST_STEPS: usize = 50;
/// The same for findings and reviews of it.
const FIRST_AFTERTHOUGHTS: usize = 100;
const LAST_AFTERTHOUGHTS: usize = 50;

/// Whether an event is what somebody thought of an access afterwards: a finding about it, or a decision in a review.
pub fn is_afterthought(event: &Event) -> bool {
    matches!(event.action, Action::Finding(_) | Action::Review(ReviewAction::Decided))
}

/// Whether an event is a use of an access.
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

/// What was left out of very many events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Whether uses were.
    pub uses: bool,
    /// Whether steps were.
    pub steps: bool,
}

/// Leaves out what stands between the first and the last so many, of events in order: of uses, of steps (those of `own` and those of others
/// apart), of findings and reviews. Doing so again with more events comes to the same as doing so with all of them at once.
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
