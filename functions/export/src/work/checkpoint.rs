//! How an export continues in another run: a run whose time is over stores a checkpoint, and the
//! next run resumes from it.

use std::time::Duration;

use shared::{
    domain::exports::{export_files::Open, export_job::Job},
    services::export_jobs::{self, Next},
};

use super::{MAX_TRIES, Run, Stop, pause_after, write::Files};
use crate::writing::Writing;

impl Run<'_> {
    /// The open files of the last checkpoint.
    pub(super) async fn resume(&mut self, job: &Job) -> Result<Files, Stop> {
        let mut files = Files::of(self.stored.progress.place.clone());
        let Some(open) = self.stored.progress.place.open.clone() else { return Ok(files) };
        files.begun_after = open.begun_after;
        files.begun_after_row = open.begun_after_row;
        files.rows = open.rows;
        let (bucket, end) = (&self.function.bucket, self.end);
        for output in open.outputs {
            let rest = match output.rest.clone() {
                Some(rest) => self.held(bucket.get(&rest, end)).await??,
                None => bytes::Bytes::new(),
            };
            files.open.push(Writing::resume(output, job.asked.gzip, &rest).map_err(Stop::Final)?);
        }
        Ok(files)
    }

    /// Stores a checkpoint to continue from: at once if the time was over, later after an error.
    pub(super) async fn put_down(
        &mut self,
        mut files: Files,
        fault: Option<String>,
    ) -> Result<(), Stop> {
        let (bucket, end) = (&self.function.bucket, self.end);
        let mut outputs = Vec::new();
        let mut progress = self.stored.progress.clone();
        progress.rows = files.place.rows() + files.rows;
        progress.bytes =
            files.place.bytes() + files.open.iter_mut().map(Writing::length).sum::<u64>();
        for (number, file) in std::mem::take(&mut files.open).into_iter().enumerate() {
            let rest = self.key(&format!("rest-{number}"));
            outputs.push(self.held(file.put_down(bucket, rest, end)).await??);
        }
        let has_moved = match (&files.place.after, &progress.reached) {
            (Some(after), Some(reached)) => after < reached,
            (after, None) => after.is_some(),
            (None, Some(_)) => false,
        };
        if has_moved {
            progress.reached = files.place.after.clone();
        }
        progress.place = files.place;
        if !outputs.is_empty() {
            let (begun_after, begun_after_row) = (files.begun_after, files.begun_after_row);
            let rows = files.rows;
            progress.place.open =
                Some(Open { begun_after, begun_after_row, rows, is_settled: true, outputs });
        }
        let now = self.function.database.clock().now();
        progress.reason = fault.clone();
        if has_moved {
            progress.tries = 0;
        } else if progress.tries >= MAX_TRIES {
            return Err(Stop::Final(fault.unwrap_or_else(|| {
                "several runs in a row ended before they wrote a row".to_owned()
            })));
        }
        let pause = if fault.is_some() { pause_after(progress.tries) } else { Duration::ZERO };
        let next = Next { progress, run: None, due_at: Some(now.plus(pause)) };
        match export_jobs::advance_export(self.scope, &self.stored, next).await? {
            Some(stored) => self.stored = stored,
            None => return Err(Stop::Lost),
        }
        let Some(reason) = fault else { return Err(Stop::Suspended) };
        tracing::warn!(%reason, "export {} is delayed: {reason}", self.stored.job.id);
        Err(Stop::Delayed)
    }
}
