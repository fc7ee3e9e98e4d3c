//! Which jobs are due? A schedule asks each minute; whoever asks for an export, or stops in the middle of one, calls the worker at once.

use std::{collections::HashSet, time::Duration};

use shared::store::ReadError;
use tokio::time::Instant as Deadline;

use crate::Export;

/// How far ahead a run looks: to the next one.
const AHEAD: Duration = Duration::from_secs(55);
/// Shortest pause before it looks again: the index follows the table.
const PAUSE: Duration = Duration::from_millis(250);

/// Calls the worker for each job that is due now or before the next run; how often it did. Runs that overlap, and jobs that are called for
/// twice, are safe: a worker takes a job only if nobody has it.
///
/// # Errors
/// The storage did not answer.
pub async fn run(function: &Export, own_name: &str, end: Deadline) -> Result<usize, ReadError> {
    let clock = function.store.clock();
    let until = (Deadline::now() + AHEAD).min(end - Duration::from_secs(5));
    let last = clock.now().plus(AHEAD);
    let mut called = HashSet::new();
    loop {
        let due = function.store.due_exports(last, until.max(Deadline::now())).await?;
        let now = clock.now();
        for job in due.iter().filter(|job| job.at <= now) {
            if called.insert((job.tenant.clone(), job.id.clone(), job.at)) {
                function.call_worker(own_name, &job.tenant, &job.id).await;
            }
        }
        // A run that works on a job puts it off again and again, and then nothing is to be done here.
        let Some(next) = due.iter().map(|job| job.at).filter(|at| *at > now).min() else { return Ok(called.len()) };
        let pause = Duration::from_millis(u64::try_from(next.millis() - now.millis()).unwrap_or(0)).max(PAUSE);
        if Deadline::now() + pause >= until {
            return Ok(called.len());
        }
        tokio::time::sleep(pause).await;
    }
}
