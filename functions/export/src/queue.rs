//! Which jobs are due, and which runs of saved searches? A schedule asks each minute; whoever asks for an export, or stops in the middle of one, calls
//! the worker at once.

use shared::services::export_jobs;
use std::{collections::HashSet, time::Duration};

use shared::storage::{ReadError, documents::Kind};
use tokio::time::Instant as Deadline;

use crate::{Export, saved};

/// How far ahead a run looks: to the next one.
const AHEAD: Duration = Duration::from_secs(55);
/// Shortest pause before it looks again: the index follows the table.
const PAUSE: Duration = Duration::from_millis(250);

/// Begins each run of a saved search that is due now or before the next run, and calls the worker for each job that is; how often it called. Runs
/// that overlap, and jobs that are called for twice, are safe: a worker takes a job only if nobody has it, and a time has one run.
///
/// # Errors
/// The storage did not answer.
pub async fn run(function: &Export, own_name: &str, end: Deadline) -> Result<usize, ReadError> {
    let clock = function.database.clock();
    let until = (Deadline::now() + AHEAD).min(end - Duration::from_secs(5));
    let last = clock.now().plus(AHEAD);
    let (mut called, mut begun, mut full) = (HashSet::new(), HashSet::new(), HashSet::new());
    loop {
        let due =
            export_jobs::due_exports(&function.database, last, until.max(Deadline::now())).await?;
        let saved =
            function.database.due_documents(Kind::Saved, last, until.max(Deadline::now())).await?;
        let now = clock.now();
        for due in saved.iter().filter(|due| due.at <= now) {
            // Once a minute each: the index follows the table, and what was missed is made up for a few at a time.
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
        // A run that works on a job puts it off again and again, and then nothing is to be done here.
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
