//! What is to be looked at again: something may be missing by now, a day's figures may have changed.

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt, stream};
use shared::store::{ReadError, Unavailable, projections::Due};
use tokio::time::Instant as Deadline;

use crate::Watch;

/// How far ahead a run looks: to the next one.
const AHEAD: Duration = Duration::from_secs(55);
/// Shortest pause before it looks again: the index follows the table.
const PAUSE: Duration = Duration::from_millis(250);
/// How long what is damaged is left alone.
const REST: Duration = Duration::from_secs(3600);
/// Looked at side by side.
const AT_ONCE: usize = 8;

/// Looks again at all that is due now or before the next run; how much that was. Runs that overlap are safe: whoever comes second finds nothing
/// to change.
///
/// # Errors
/// The storage did not answer. What is due stays so.
pub async fn run(function: &Watch, end: Deadline) -> Result<usize, Unavailable> {
    let clock = function.store.clock();
    let until = (Deadline::now() + AHEAD).min(end - Duration::from_secs(10));
    let last = clock.now().plus(AHEAD);
    let mut looked_at: HashSet<_> = HashSet::new();
    loop {
        let due = function.store.due_projections(last, until.max(Deadline::now())).await?;
        let now = clock.now();
        let (ready, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.at <= now);
        let ready: Vec<Due> = ready
            .into_iter()
            .filter(|due| looked_at.insert((due.tenant.clone(), due.kind, due.key.clone(), due.at)))
            .collect();
        let is_any = !ready.is_empty();
        let looks = ready.iter().map(|due| look(function, due, end));
        for outcome in stream::iter(looks).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            outcome?;
        }
        let next = later.iter().map(|due| due.at).min();
        let pause = match next {
            _ if is_any => PAUSE,
            Some(next) => Duration::from_millis(u64::try_from(next.millis() - now.millis()).unwrap_or(0)).max(PAUSE),
            None => return Ok(looked_at.len()),
        };
        if Deadline::now() + pause >= until {
            return Ok(looked_at.len());
        }
        tokio::time::sleep(pause).await;
    }
}

async fn look(function: &Watch, due: &Due, end: Deadline) -> Result<(), Unavailable> {
    let deadline = end - Duration::from_secs(5);
    let clock = function.store.clock();
    let looked = async {
        let trail = function.store.trail(&due.tenant, clock.now(), deadline).await?;
        let looked = trail.look_again(due).await;
        // Whatever it came to, it must not stand in front of others for ever.
        let to = match &looked {
            Ok(()) => None,
            Err(ReadError::Damaged(_) | ReadError::TooLarge(_)) => Some(clock.now().plus(REST)),
            Err(ReadError::Unavailable(_)) => return looked,
        };
        trail.postpone(due, to).await?;
        looked
    };
    match looked.await {
        Ok(()) => Ok(()),
        Err(ReadError::Unavailable(error)) => Err(error),
        Err(error) => {
            tracing::error!(%error, "{:?} {} of {} cannot be looked at again: {error}", due.kind, due.key, due.tenant);
            Ok(())
        }
    }
}
