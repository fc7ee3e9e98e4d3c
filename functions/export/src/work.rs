//! One job, from its claim to its end.
//!
//! A run renews its lease on the job while it works, and each of its changes expects the job as the
//! run last stored it. A run that was interrupted for so long that another run took the job over
//! fails at its next change and stops. What it uploaded until then does no harm: the other run has
//! aborted that upload, and each run's own files have the run's name in their keys.
//!
//! A job ends in one of three ways. Ready: all files are complete, the manifest is stored, and the
//! state changes in one transaction with the event `export.ready`. Failed: the event
//! `export.failed` has the reason. Canceled. Objects that are no longer needed are deleted later
//! from the same queue, so that the next run continues if a run is killed.
//!
//! In reading order: this file (claim, renew, end), `snapshot` (which rows), `write` (row by row),
//! `upload` (to S3), `checkpoint` (stop and resume), `clean_up`.

mod checkpoint;
mod clean_up;
mod snapshot;
mod upload;
mod write;

use std::{pin::pin, time::Duration};

use shared::{
    domain::{
        exports::{
            export_files::Upload,
            export_job::{ExportState, Job, Progress},
        },
        json::object_reader::TEXT_BYTES,
        time::backoff::Backoff,
        trail::{
            actions::ExportAction,
            event::{Outcome, Tenant},
        },
    },
    platform::{aws_client::CallError, random},
    services::export_jobs::{self, Next, StoredJob},
    storage::{ReadError, TenantScope},
};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::Export;

/// Runs that may start without progress before the job fails: more than an hour.
const MAX_TRIES: u32 = 20;
/// Pauses between them.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(300) };
/// Time reserved for storing a checkpoint, if a run has that much.
const TIME_TO_PUT_DOWN: Duration = Duration::from_secs(40);
/// Time reserved for storing an error.
const TIME_TO_SAY: Duration = Duration::from_secs(5);

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// There was nothing to do, or another run holds the job.
    Nothing,
    Ready,
    Failed,
    /// The time was over; the job continues from its checkpoint.
    Suspended,
    /// Something failed; a retry follows.
    Delayed,
    /// Unneeded data was deleted.
    Tidied,
    /// Another run holds the job, or a caller canceled it.
    Lost,
}

/// Why a run stops before the job is done.
enum Stop {
    /// Another run holds the job.
    Lost,
    /// The time is over; the work continues at once from a checkpoint.
    Suspended,
    /// Something failed; the work continues later from a checkpoint.
    Delayed,
    /// A retry may succeed.
    Fault(String),
    /// A retry cannot succeed.
    Final(String),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(error) => {
                tracing::warn!(%error, "the storage did not answer an export: {error}");
                Self::Fault("the storage did not respond".to_owned())
            }
            // Skipping the event would lose a row, and a retry cannot help, because the trail is
            // append-only.
            ReadError::Damaged(error) => Self::Final(format!(
                "{error}; export a range that does not contain its time, and report this error to the operator of the service"
            )),
            ReadError::TooLarge(error) => Self::Final(error.to_string()),
        }
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        tracing::warn!(%error, "S3 failed an export: {error}");
        // A refusal by S3 may be a missing permission, which an administrator can grant.
        Self::Fault(if error.code.is_empty() {
            "S3 did not respond".to_owned()
        } else {
            error.detail
        })
    }
}

/// Processes a job until it is done or `end` is near.
pub async fn work(
    function: &Export,
    tenant: &Tenant,
    id: &str,
    end: Deadline,
) -> Result<RunOutcome, ReadError> {
    let now = function.database.clock().now();
    let scope = function.database.scope(tenant, now, end).await?;
    let Some(stored) = export_jobs::export(&scope, id).await? else {
        return Ok(RunOutcome::Nothing);
    };
    // A job that has ended has a time for its cleanup. A cancelled one is cleaned up as soon as no
    // run holds it.
    let is_early =
        !stored.progress.state.is_under_way() && stored.due_at().is_some_and(|due_at| now < due_at);
    if stored.is_held(now) || is_early || stored.due_at().is_none() {
        return Ok(RunOutcome::Nothing);
    }
    let time = end.saturating_duration_since(Deadline::now());
    let stop_at = end - TIME_TO_PUT_DOWN.min(time / 3);
    if !stored.progress.state.is_under_way() {
        return clean_up::tidy(function, &scope, stored).await;
    }
    let claimed = Run::claim(function, &scope, stored, stop_at, end).await?;
    let Some((mut run, given_up)) = claimed else { return Ok(RunOutcome::Lost) };
    let job = run.stored.job.clone();
    // A job that kills its run without an error, for example by memory, does so in every run.
    if run.stored.progress.tries > MAX_TRIES {
        return run
            .fail(&job, "several runs in a row stopped without an error message".to_owned())
            .await;
    }
    match run.work(&job, given_up).await {
        Ok(()) => {
            let ready = run.stored;
            clean_up::tidy(function, &scope, ready).await?;
            Ok(RunOutcome::Ready)
        }
        Err(Stop::Lost) => Ok(RunOutcome::Lost),
        Err(Stop::Suspended) => Ok(RunOutcome::Suspended),
        Err(Stop::Delayed) => Ok(RunOutcome::Delayed),
        Err(Stop::Fault(reason)) if run.stored.progress.tries < MAX_TRIES => {
            run.delay(reason).await
        }
        Err(Stop::Fault(reason) | Stop::Final(reason)) => run.fail(&job, reason).await,
    }
}

/// A run that holds the lease of a job.
struct Run<'r> {
    function: &'r Export,
    /// The scope for storing the job's state.
    scope: &'r TenantScope<'r>,
    name: String,
    /// The job as this run last stored it.
    stored: StoredJob,
    renew_at: Deadline,
    /// When to store a checkpoint.
    stop_at: Deadline,
    /// When S3 must have answered, so that a failure can still be stored.
    end: Deadline,
}

impl<'r> Run<'r> {
    /// Takes a job, with the uploads that are to be aborted for that; none if another run was
    /// first.
    async fn claim(
        function: &'r Export,
        scope: &'r TenantScope<'r>,
        stored: StoredJob,
        stop_at: Deadline,
        end: Deadline,
    ) -> Result<Option<(Self, Vec<Upload>)>, ReadError> {
        let now = function.database.clock().now();
        let name = format!("{:08x}", random::number() >> 32);
        let mut progress = stored.progress.clone();
        let given_up = match &mut progress.place.open {
            Some(open) if open.is_settled => {
                open.is_settled = false;
                Vec::new()
            }
            _ => {
                let (place, given_up) = std::mem::take(&mut progress.place).rewound();
                progress.place = place;
                given_up
            }
        };
        progress.state = ExportState::Running;
        progress.started_at.get_or_insert(now);
        progress.tries += 1;
        // Until the indexes contain the snapshot, there is nothing to renew the lease for.
        let due_at =
            now.max(snapshot::settled_at(function, scope, &stored.job)).plus(function.limits.lease);
        let claimed = Next { progress, run: Some(name.clone()), due_at: Some(due_at) };
        let Some(stored) = export_jobs::advance_export(scope, &stored, claimed).await? else {
            return Ok(None);
        };
        let renew_at = Deadline::now() + function.limits.lease / 3;
        let end = end - TIME_TO_SAY.min(end.saturating_duration_since(Deadline::now()) / 6);
        Ok(Some((Self { function, scope, name, stored, renew_at, stop_at, end }, given_up)))
    }

    /// Does the remaining work of the job.
    async fn work(&mut self, job: &Job, given_up: Vec<Upload>) -> Result<(), Stop> {
        let (function, end) = (self.function, self.end);
        for Upload { key, id, .. } in given_up {
            self.held(clean_up::give_up(function, &job.id, &key, &id, end)).await?;
        }
        self.write(job).await
    }

    /// Waits for a call to S3 and renews the lease meanwhile.
    async fn held<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep_until(self.renew_at) => self.save(self.stored.progress.clone()).await?,
            }
        }
    }

    /// Stores the job's state and renews the lease.
    async fn save(&mut self, progress: Progress) -> Result<(), Stop> {
        let now = self.function.database.clock().now();
        let due_at = Some(now.plus(self.function.limits.lease));
        let next = Next { progress, run: Some(self.name.clone()), due_at };
        match export_jobs::advance_export(self.scope, &self.stored, next).await? {
            Some(stored) => self.stored = stored,
            None => return Err(Stop::Lost),
        }
        self.renew_at = Deadline::now() + self.function.limits.lease / 3;
        Ok(())
    }

    /// Schedules a retry of the job.
    async fn delay(self, reason: String) -> Result<RunOutcome, ReadError> {
        tracing::warn!(%reason, "export {} is delayed: {reason}", self.stored.job.id);
        let now = self.function.database.clock().now();
        let mut progress = self.stored.progress.clone();
        progress.reason = Some(reason);
        let due_at = Some(now.plus(pause_after(progress.tries)));
        let next = Next { progress, run: None, due_at };
        let stored = export_jobs::advance_export(self.scope, &self.stored, next).await?;
        Ok(if stored.is_some() { RunOutcome::Delayed } else { RunOutcome::Lost })
    }

    /// Ends the job as failed.
    async fn fail(self, job: &Job, reason: String) -> Result<RunOutcome, ReadError> {
        tracing::error!(%reason, "export {} failed: {reason}", job.id);
        let now = self.function.database.clock().now();
        let mut progress = self.stored.progress.clone();
        progress.state = ExportState::Failed;
        progress.reason = Some(reason.clone());
        progress.ended_at = Some(now);
        let next = Next { progress, run: None, due_at: Some(now) };
        let mut event = export_jobs::export_event(self.scope, job, ExportAction::Failed, &[], now);
        event.outcome = Outcome::Failure;
        let end = reason.floor_char_boundary(TEXT_BYTES);
        event.reason = Some(reason[..end].to_owned());
        match export_jobs::conclude_export(self.scope, &self.stored, next, event, &job.recorded_by)
            .await?
        {
            Some(failed) => {
                clean_up::tidy(self.function, self.scope, failed).await?;
                Ok(RunOutcome::Failed)
            }
            None => Ok(RunOutcome::Lost),
        }
    }
}

/// How long to wait before the next run. Each run counts itself as a try, so the first pause is twice the shortest.
fn pause_after(tries: u32) -> Duration {
    BACKOFF.after(tries.saturating_add(1))
}
