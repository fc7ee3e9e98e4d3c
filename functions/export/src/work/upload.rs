//! What a run stores in S3: parts while it writes, complete files, and the manifest.

use serde_json::json;
use sha2::{Digest, Sha256};
use shared::{
    domain::{
        exports::{
            export_files::{self, Open, Output, Place, Upload},
            export_job::{ExportState, Job, Sheet},
            manifest::{Manifest, ManifestAnswer},
        },
        trail::actions::ExportAction,
    },
    services::export_jobs::{self, Next},
};

use super::{Run, Stop, write::Files};
use crate::writing::Writing;

impl Run<'_> {
    /// The key of an object that only this run writes.
    pub(super) fn key(&self, name: &str) -> String {
        format!(
            "{}{}/{name}",
            export_files::prefix(&self.scope.tenant, &self.stored.job.id),
            self.name
        )
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

    /// Stores the manifest and makes the job ready.
    pub(super) async fn finish(&mut self, job: &Job, sheet: &Sheet) -> Result<(), Stop> {
        let (bucket, end) = (&self.function.bucket, self.end);
        let place = self.stored.progress.place.clone();
        let manifest = ManifestAnswer::new(&self.scope.tenant, job, &place, sheet).text();
        let key = self.key("manifest.json");
        let sha256 =
            shared::domain::trail::event::Digest(Sha256::digest(&manifest).into()).to_string();
        self.held(bucket.put(&key, "application/json", manifest.into(), end)).await??;

        let now = self.function.database.clock().now();
        let mut progress = self.stored.progress.clone();
        progress.state = ExportState::Ready;
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
