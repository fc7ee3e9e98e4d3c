//! Finds the jobs and scheduled runs of saved searches that are due. A schedule invokes it every
//! minute; a request for an export, or a run that stops in the middle of one, invokes the worker at
//! once.

use shared::services::export_jobs;
use std::{collections::HashSet, time::Duration};

use shared::{
    domain::{configuration::document::Document, exports::saved_search::Saved},
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::{Export, saved};

/// How far ahead a run looks: until the next one.
const AHEAD: Duration = Duration::from_secs(55);
/// Shortest pause before the next read, because the index lags behind the table.
const PAUSE: Duration = Duration::from_millis(250);

/// Starts each run of a saved search that is due now or before the next scheduled call, and invokes
/// the worker for each due job. Returns the number of invocations. Overlapping runs and repeated
/// calls are safe: a worker has to take the job's lease first, and each scheduled time has one run.
pub async fn run(function: &Export, own_name: &str, end: Deadline) -> Result<usize, ReadError> {
    let clock = function.database.clock();
    let until = (Deadline::now() + AHEAD).min(end - Duration::from_secs(5));
    let last = clock.now().plus(AHEAD);
    let (mut called, mut begun, mut full) = (HashSet::new(), HashSet::new(), HashSet::new());
    loop {
        let due =
            export_jobs::due_exports(&function.database, last, until.max(Deadline::now())).await?;
        let saved =
            function.database.due_documents(Saved::KIND, last, until.max(Deadline::now())).await?;
        let now = clock.now();
        for due in saved.iter().filter(|due| due.at <= now) {
            // Once a minute for each search: the index lags behind the table, and missed runs are
            // made up for a few at a time.
            if !full.contains(&due.tenant)
                && begun.insert((due.tenant.clone(), due.id.clone()))
                && !saved::begin_due(function, own_name, due, end).await
            {
                full.insert(due.tenant.clone());
            }
        }
        for job in due.iter().filter(|job| job.at <= now) {
            if called.insert((job.tenant.clone(), job.id.clone(), job.at)) {
                function.call_worker(own_name, &job.tenant, &job.id).await;
            }
        }
        // A run that processes a job postpones its due time repeatedly; then there is nothing to do
        // here.
        let times = due.iter().map(|job| job.at).chain(saved.iter().map(|due| due.at));
        let Some(next) = times.filter(|at| *at > now).min() else { return Ok(called.len()) };
        let pause = Duration::from_millis(u64::try_from(next.millis() - now.millis()).unwrap_or(0))
            .max(PAUSE);
        if Deadline::now() + pause >= until {
            return Ok(called.len());
        }
        tokio::time::sleep(pause).await;
    }
}
