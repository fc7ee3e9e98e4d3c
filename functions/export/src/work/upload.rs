//! What a run stores in S3: parts while it writes, complete files, work that is put down, and the manifest.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use shared::{
    domain::{
        exports::export_job::{self, Job, Manifest, Open, Output, Place, Sheet, State, Upload},
        trail::actions::ExportAction,
    },
    services::export_jobs::{self, Next},
};

use super::{MAX_TRIES, Run, Stop, pause_after, write::Files};
use crate::writing::Writing;

impl Run<'_> {
    /// The key of an object that only this run writes.
    fn key(&self, name: &str) -> String {
        format!(
            "{}{}/{name}",
            export_job::prefix(&self.scope.tenant, &self.stored.job.id),
            self.name
        )
    }

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

    /// Uploads the collected bytes of an open file. The upload is stored in the job before it has
    /// any parts, so that it can be aborted.
    pub(super) async fn upload(
        &mut self,
        job: &Job,
        files: &mut Files,
        place: usize,
    ) -> Result<(), Stop> {
        let (bucket, end) = (&self.function.bucket, self.end);
        if files.open[place].upload().is_none() {
            let form = files.open[place].form();
            let key = self.key(&format!("{}.{}", files.number(form), job.ending(form)));
            self.held(files.open[place].begin_upload(bucket, key, end)).await??;
            let mut progress = self.stored.progress.clone();
            progress.place = files.unsettled();
            if let Err(stop) = self.save(progress).await {
                if let Some(Upload { key, id, .. }) = files.open[place].upload() {
                    let _ = bucket.abort_upload(key, id, end).await;
                }
                return Err(stop);
            }
        }
        self.held(files.open[place].hand_over(bucket, end)).await??;
        Ok(())
    }

    /// Completes the open files.
    pub(super) async fn complete(&mut self, job: &Job, files: &mut Files) -> Result<(), Stop> {
        let (bucket, end) = (&self.function.bucket, self.end);
        let mut complete = Vec::new();
        for file in std::mem::take(&mut files.open) {
            let (number, form) = (files.number(file.form()), file.form());
            let (name, key) =
                (job.file_name(number, form), self.key(&format!("{number}.{}", job.ending(form))));
            complete.push(self.held(file.complete(bucket, key, name, files.rows, end)).await??);
        }
        files.place.files.extend(complete);
        files.rows = 0;
        let mut progress = self.stored.progress.clone();
        progress.place = files.place.clone();
        progress.rows = progress.place.rows();
        progress.bytes = progress.place.bytes();
        progress.tries = 0;
        self.save(progress).await
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
            return Err(Stop::Final(
                fault.unwrap_or_else(|| "run after run came to its end without a row".to_owned()),
            ));
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

    /// Stores the manifest and makes the job ready.
    pub(super) async fn finish(&mut self, job: &Job, sheet: &Sheet) -> Result<(), Stop> {
        let (bucket, end) = (&self.function.bucket, self.end);
        let place = self.stored.progress.place.clone();
        let manifest = export_job::manifest(&self.scope.tenant, job, &place, sheet).to_string();
        let key = self.key("manifest.json");
        let sha256 =
            shared::domain::trail::event::Digest(Sha256::digest(&manifest).into()).to_string();
        self.held(bucket.put(&key, "application/json", manifest.into(), end)).await??;

        let now = self.function.database.clock().now();
        let mut progress = self.stored.progress.clone();
        progress.state = State::Ready;
        progress.reason = None;
        progress.ended_at = Some(now);
        progress.expires_at = Some(now.plus(self.function.limits.kept));
        // The append-only trail contains the hash of the manifest, and the manifest contains the
        // hashes of the files.
        let told = [("manifest_sha256", json!(sha256))];
        progress.manifest = Some(Manifest { key, sha256 });
        let (rows, bytes) = (progress.rows, progress.bytes);
        let next = Next { progress, run: None, due_at: Some(now) };
        let mut event = export_jobs::export_event(self.scope, job, ExportAction::Ready, &[], now);
        let files = place.files.len();
        let told = told.into_iter().chain([
            ("rows", json!(rows)),
            ("bytes", json!(bytes)),
            ("files", json!(files)),
        ]);
        event
            .details
            .get_or_insert_default()
            .extend(told.map(|(name, value)| (name.to_owned(), value)));
        match export_jobs::conclude_export(self.scope, &self.stored, next, event, &job.recorded_by)
            .await?
        {
            Some(stored) => self.stored = stored,
            None => return Err(Stop::Lost),
        }
        Ok(())
    }
}

impl Files {
    /// The checkpoint for a run that takes over from this one, with the uploads that it has to
    /// abort.
    fn unsettled(&self) -> Place {
        let output = |file: &Writing| {
            let upload = file.upload().map(|upload| Upload { parts: Vec::new(), ..upload.clone() });
            Output { form: file.form(), upload, rest: None, bytes: 0, hash: None }
        };
        let outputs = self.open.iter().map(output).collect();
        let (begun_after, begun_after_row) =
            (self.begun_after.clone(), self.begun_after_row.clone());
        let open = Open { begun_after, begun_after_row, rows: 0, is_settled: false, outputs };
        Place { open: Some(open), ..self.place.clone() }
    }
}
