//! Collects one connection until none of its sources is due.
//!
//! A run holds the lease until the connection's due time in the queue, and renews it. The position of
//! a source advances when the objects of a page are stored. If a run dies before the position is
//! stored, the page is read and stored again, which changes nothing.

use std::time::Duration;

use shared::{
    domain::{collect::progress::ConnectionTestState, trail::event::Tenant},
    platform::random,
    services::collect::{collector, people::CollectedPeople},
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::{
    Collect,
    connection_run::{Run, Until},
    source_page::Collecting,
    summary::Summary,
};

/// Time reserved at the end of an invocation for a page and the storage.
const UNDER_WAY: Duration = Duration::from_secs(100);

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectOutcome {
    /// There was nothing to do: another run holds the connection, it is not due, or it was deleted.
    Nothing,
    /// No source is due.
    Collected,
    /// There is more to collect, but no time left.
    Unfinished,
}

/// Collects a connection.
///
/// # Errors
/// The storage did not answer, or an item is damaged. The next run continues from the stored
/// position.
pub async fn work(
    function: &Collect,
    tenant: &Tenant,
    id: &str,
    is_asked: bool,
    end: Deadline,
) -> Result<CollectOutcome, ReadError> {
    let last = end.checked_sub(UNDER_WAY).unwrap_or_else(Deadline::now);
    let run = Run { function, tenant, id, run: format!("{:016x}", random::number()) };
    let scope = run.scope().await?;
    let Some(mut stored) = run.claim(&scope, is_asked).await? else {
        return Ok(CollectOutcome::Nothing);
    };
    let caller = collector(tenant, id);
    let people = CollectedPeople::new(scope.clone(), id, &caller);
    let (mut saved_at, mut summary) = (Deadline::now(), Summary::default());
    let mut progress = stored.progress.clone();
    loop {
        let Some(connection) = stored.connection.clone() else {
            // It leaves the queue.
            progress.restart();
            run.save(&scope, stored, &progress, None, Until::Never).await?;
            return Ok(CollectOutcome::Nothing);
        };
        progress = progress.of(&connection, stored.content.generation);
        let collecting = Collecting {
            function,
            scope: &scope,
            id,
            connection: &connection,
            caller: &caller,
            people: &people,
        };
        let asked = stored.progress.test.clone();
        if let Some(asked) = asked.filter(|test| test.state == ConnectionTestState::Waiting) {
            progress.test = Some(collecting.test(&asked).await);
            let saved = run.save(&scope, stored, &progress, None, Until::Lease).await?;
            let Some(there) = saved else { return Ok(CollectOutcome::Nothing) };
            (stored, saved_at) = (there, Deadline::now());
        }
        let now = function.database.clock().now();
        let due = progress.next_due(now);
        let Some(source) = due.filter(|_| Deadline::now() < last) else {
            summary.add(&progress, now);
            function.metrics.emit(&summary.metrics());
            let left = run.save(&scope, stored, &progress, None, Until::NextSource).await?;
            return Ok(match (left, due) {
                (None, _) => CollectOutcome::Nothing,
                (Some(_), Some(_)) => CollectOutcome::Unfinished,
                (Some(_), None) => CollectOutcome::Collected,
            });
        };
        // The next source in turn goes first, also in the next run, so that a long one delays no
        // other.
        progress.turn = source as usize + 1;
        let Some(of_source) = progress.sources.get_mut(&source) else { continue };
        let objects = of_source.counts.objects;
        let done = collecting.page(source, of_source).await;
        summary.objects += of_source.counts.objects - objects;
        // An idle source is stored with others, because each write costs.
        if done.has_news || saved_at.elapsed() > function.lease / 3 {
            let gap = done.gap.map(|gap| (source, gap));
            summary.gaps += u64::from(gap.is_some());
            let saved = run.save(&scope, stored, &progress, gap.as_ref(), Until::Lease).await?;
            let Some(there) = saved else { return Ok(CollectOutcome::Nothing) };
            progress.gaps = there.progress.gaps;
            progress.test.clone_from(&there.progress.test);
            saved_at = Deadline::now();
        }
        // People may have changed the connection meanwhile.
        match run.again(&scope).await? {
            Some(there) => stored = there,
            None => return Ok(CollectOutcome::Nothing),
        }
    }
}
