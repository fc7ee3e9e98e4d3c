//! Due checks: an event that was expected may be missing by now, or a day's totals may have
//! changed.

use shared::services::access_projection;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use shared::{
    platform::{backoff::Unavailable, metrics::Metric},
    storage::{ReadError, due_projections::Due},
};
use tokio::time::Instant as Deadline;

use crate::Watch;

/// How far a scheduled run looks ahead: until the next run.
const AHEAD: Duration = Duration::from_secs(55);
/// How far a run looks ahead that a batch started: until what the batch deferred falls due.
const SOON: Duration = Duration::from_secs(10);
/// Timeout for postponing a check.
const STORING: Duration = Duration::from_secs(5);
/// The usual lag of the index behind the table.
const INDEX_LAG: Duration = Duration::from_secs(1);
/// Shortest pause between two reads of the index, which lags behind the table.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a check is postponed if its stored data is damaged.
const REST: Duration = Duration::from_secs(3600);
/// How long a check is postponed if the storage did not answer.
const LATER: Duration = Duration::from_secs(60);
/// Timeout of one check.
const LOOK: Duration = Duration::from_secs(30);
/// How long a round starts checks of one tenant. The rest stays due for the next round.
const SHARE: Duration = Duration::from_secs(5);
/// Tenants that are checked in parallel, and checks in parallel for each of them.
const TENANTS: usize = 8;
const AT_ONCE: usize = 4;

/// Makes all checks that are due now or before the next run, and returns their number. Runs may
/// overlap: the second run of a check finds nothing to change. A check that fails blocks no other.
///
/// # Errors
/// The storage did not say which checks are due. They stay due.
pub async fn run(function: &Watch, end: Deadline) -> Result<usize, Unavailable> {
    run_for(function, end, AHEAD, false).await
}

/// Makes the checks that a batch has just deferred. If the index shows nothing at first, it is read
/// once more, because it lags behind the table.
pub async fn run_put_off(function: &Watch, end: Deadline) -> Result<usize, Unavailable> {
    run_for(function, end, SOON, true).await
}

async fn run_for(
    function: &Watch,
    end: Deadline,
    ahead: Duration,
    mut is_expecting: bool,
) -> Result<usize, Unavailable> {
    let clock = function.database.clock();
    let until = (Deadline::now() + ahead).min(end - Duration::from_secs(10));
    let last = clock.now().plus(ahead);
    let mut looked_at: HashSet<_> = HashSet::new();
    loop {
        let due = function.database.due_projections(last, until.max(Deadline::now())).await?;
        let now = clock.now();
        let (ready, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.at <= now);
        let mut tenants: BTreeMap<String, Vec<Due>> = BTreeMap::new();
        for due in ready {
            if !looked_at.contains(&(due.tenant.clone(), due.kind, due.key.clone(), due.at)) {
                tenants.entry(due.tenant.to_string()).or_default().push(due);
            }
        }
        let is_any = !tenants.is_empty();
        let looks = tenants.into_values().map(|due| look_for_tenant(function, due, end));
        let done: Vec<Vec<Due>> = stream::iter(looks).buffer_unordered(TENANTS).collect().await;
        looked_at
            .extend(done.into_iter().flatten().map(|due| (due.tenant, due.kind, due.key, due.at)));
        let next = later.iter().map(|due| due.at).min();
        let pause = match next {
            _ if is_any => PAUSE,
            Some(next) => {
                Duration::from_millis(u64::try_from(next.millis() - now.millis()).unwrap_or(0))
                    .max(PAUSE)
            }
            None if std::mem::take(&mut is_expecting) => INDEX_LAG,
            None => return Ok(looked_at.len()),
        };
        if Deadline::now() + pause >= until {
            return Ok(looked_at.len());
        }
        tokio::time::sleep(pause).await;
    }
}

/// Makes the checks of one tenant until its share of the round is spent; returns those made.
async fn look_for_tenant(function: &Watch, due: Vec<Due>, end: Deadline) -> Vec<Due> {
    let begun = Deadline::now();
    let looks = due.into_iter().map(|due| async move {
        let has_begun = begun.elapsed() < SHARE;
        if has_begun {
            look(function, &due, end).await;
        }
        has_begun.then_some(due)
    });
    let looked: Vec<Option<Due>> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    looked.into_iter().flatten().collect()
}

async fn look(function: &Watch, due: &Due, end: Deadline) {
    let deadline = (end - Duration::from_secs(5)).min(Deadline::now() + LOOK);
    let clock = function.database.clock();
    let looked = async {
        let scope = function.database.scope(&due.tenant, clock.now(), deadline).await?;
        access_projection::look_again(&scope, due).await
    };
    let looked = looked.await;
    if let Ok(corrected @ 1..) = looked {
        function.metrics.emit(&[Metric::count("FigureDrift", corrected)]);
    }
    // Postpone it even after a failure, so that it does not block others forever.
    let to = match &looked {
        Ok(_) => None,
        Err(ReadError::Damaged(_) | ReadError::TooLarge(_)) => Some(clock.now().plus(REST)),
        Err(ReadError::Unavailable(_)) => Some(clock.now().plus(LATER)),
    };
    if let Err(error) = looked {
        tracing::error!(%error, "check {:?} {} of {} failed and is postponed: {error}", due.kind, due.key, due.tenant);
    }
    if let Err(error) = function.database.postpone(due, to, Deadline::now() + STORING).await {
        tracing::warn!(%error, "check {:?} {} of {} was not postponed and stays due: {error}", due.kind, due.key, due.tenant);
    }
}
