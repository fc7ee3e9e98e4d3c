//! What a job no longer needs is deleted.

use shared::{
    domain::exports::{
        export_files::{self, Upload},
        export_job::{self, ExportState},
    },
    services::export_jobs::{self, Next, StoredJob},
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use super::{BACKOFF, RunOutcome};
use crate::Export;

/// Aborts an upload to which an earlier run may still be writing: S3 then refuses further parts.
/// The upload may be complete or gone already; a remaining one is found when the job is cleaned up.
pub(super) async fn give_up(
    function: &Export,
    job: &str,
    key: &str,
    upload: &str,
    deadline: Deadline,
) {
    if let Err(error) = function.bucket.abort_upload(key, upload, deadline).await {
        tracing::warn!(%error, "an upload of export {job} was not given up: {error}");
    }
}

/// Deletes the unneeded data of an ended job: everything but its files until they expire, and then
/// the files too.
pub(super) async fn tidy(
    function: &Export,
    scope: &TenantScope<'_>,
    stored: StoredJob,
) -> Result<RunOutcome, ReadError> {
    let now = function.database.clock().now();
    let (bucket, job) = (&function.bucket, &stored.job);
    let is_kept = export_job::shown_state(&stored.progress, now) == ExportState::Ready;
    let prefix = export_files::prefix(&scope.tenant, &job.id);
    let mut progress = stored.progress.clone();
    let uploads = progress
        .place
        .open
        .take()
        .into_iter()
        .flat_map(|open| open.outputs)
        .filter_map(|output| output.upload);
    for Upload { key, id, .. } in uploads {
        give_up(function, &job.id, &key, &id, scope.deadline).await;
    }
    let tidied = async {
        // Also uploads that were started but never stored in the job.
        let uploads = match bucket.list_uploads(&prefix, scope.deadline).await {
            // Not every S3 implementation lists uploads; the bucket's lifecycle rule removes the
            // rest.
            Err(error) if error.code == "NotImplemented" => Vec::new(),
            uploads => uploads?,
        };
        let mut judged = Ok(());
        for (key, id) in uploads {
            judged = judged.and(bucket.abort_upload(&key, &id, scope.deadline).await);
        }
        loop {
            let is_needed = |key: &String| {
                is_kept
                    && (progress.manifest.as_ref().is_some_and(|manifest| manifest.key == *key)
                        || progress.place.files.iter().any(|file| file.key == *key))
            };
            let keys = bucket.list(&prefix, scope.deadline).await?;
            let is_whole = keys.len() < 1000;
            for key in keys.iter().filter(|key| !is_needed(key)) {
                bucket.delete(key, scope.deadline).await?;
            }
            if is_whole || is_kept {
                return judged;
            }
        }
    };
    let due_at = match tidied.await {
        Ok(()) if is_kept => progress.expires_at,
        Ok(()) => {
            if progress.state == ExportState::Ready {
                progress.state = ExportState::Expired;
            }
            None
        }
        Err(error) => {
            tracing::warn!(%error, "what is not needed of export {} was not deleted: {error}", job.id);
            Some(now.plus(BACKOFF.longest))
        }
    };
    let next = Next { progress, run: None, due_at };
    let stored = export_jobs::advance_export(scope, &stored, next).await?;
    Ok(if stored.is_some() { RunOutcome::Tidied } else { RunOutcome::Lost })
}
