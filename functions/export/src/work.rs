//! One job, from its claim to its end.
//!
//! A run that has a job renews that while it works, and every change it makes expects the job as it left it. One that was held up for so
//! long that another took the job over finds out at its next change, and does no more. It may have uploaded something until then, but only to
//! an upload that the other has given up, or under a key with its own name.
//!
//! A job ends as one of: all its files complete and its manifest stored, and then, in one transaction with `export.ready`, ready; failed,
//! with the reason in `export.failed`; canceled. What nobody needs any more is deleted after that, as part of the same queue, so that a kill in
//! between leaves it to the next run.

use shared::services::export_jobs;
use std::{pin::pin, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};
use shared::{
    domain::{
        exports::export_job::{
            self, Form, Job, Line, Manifest, Open, Output, Place, Profile, Progress, Sheet, State,
            Upload,
        },
        json::object_reader::TEXT_BYTES,
        time::timestamp::Instant,
        trail::{
            event::{Outcome as Went, Tenant},
            position::Position,
            search::Search,
        },
    },
    platform::{aws_client::CallError, random},
    services::{
        export_jobs::{Next, StoredJob},
        reports::Rows,
    },
    storage::{ReadError, TenantScope, list_events::Listing},
};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::{Export, writing::Writing};

/// Runs that may begin without anything being achieved, until the job is given up: an hour and more.
const MAX_TRIES: u32 = 20;
/// Pause before the first of them, doubling …
const PAUSE: Duration = Duration::from_secs(2);
/// … to the longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Time kept for putting work down, where a run has that much.
const TIME_TO_PUT_DOWN: Duration = Duration::from_secs(40);
/// Time kept for saying what did not work.
const TIME_TO_SAY: Duration = Duration::from_secs(5);
/// Rows between two looks at the clock.
const ROWS_AT_ONCE: u64 = 64;
/// A file ends here whatever its rows: what is said of its parts has to fit an item of 400 KB.
const LARGEST_FILE: u64 = 8 * 1024 * 1024 * 1024;
/// Excel takes UTF-8 for what it is only by this mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do, or somebody else has the job.
    Nothing,
    /// The files are complete.
    Ready,
    /// The job was given up.
    Failed,
    /// Time was over; the job goes on where it stopped.
    Suspended,
    /// Something did not work; the job is tried again later.
    Delayed,
    /// What is not needed was deleted.
    Tidied,
    /// Another run has the job, or somebody canceled it.
    Lost,
}

/// Why a run stops before the job is done.
enum Stop {
    /// The job is another's.
    Lost,
    /// Time is over; the work is put down, to be gone on with at once.
    Suspended,
    /// Something does not work; the work is put down, to be gone on with later.
    Delayed,
    /// It may work later.
    Fault(String),
    /// It will not.
    Final(String),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(error) => {
                tracing::warn!(%error, "the storage did not answer an export: {error}");
                Self::Fault("the storage did not answer".to_owned())
            }
            // Left out it would be a row missing; the trail is append only, so it does not mend itself.
            ReadError::Damaged(error) => {
                Self::Final(format!("{error}; ask for a range without its time, and report it"))
            }
            ReadError::TooLarge(error) => Self::Final(error.to_string()),
        }
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        tracing::warn!(%error, "S3 failed an export: {error}");
        // Whatever S3 refuses may be a right that is missing, which somebody can give.
        Self::Fault(if error.code.is_empty() {
            "S3 did not answer".to_owned()
        } else {
            error.detail
        })
    }
}

/// Works on a job until it is done or `end` is near.
///
/// # Errors
/// The storage did not answer.
pub async fn work(
    function: &Export,
    tenant: &Tenant,
    id: &str,
    end: Deadline,
) -> Result<Outcome, ReadError> {
    let now = function.database.clock().now();
    let scope = function.database.scope(tenant, now, end).await?;
    let Some(stored) = export_jobs::export(&scope, id).await? else { return Ok(Outcome::Nothing) };
    // What has ended has its time; what is to be done is done for as soon as nobody has it.
    let is_early =
        !stored.progress.state.is_under_way() && stored.due_at.is_some_and(|due_at| now < due_at);
    if stored.is_held(now) || is_early || stored.due_at.is_none() {
        return Ok(Outcome::Nothing);
    }
    let time = end.saturating_duration_since(Deadline::now());
    let stop_at = end - TIME_TO_PUT_DOWN.min(time / 3);
    if !stored.progress.state.is_under_way() {
        return tidy(function, &scope, stored).await;
    }
    let claimed = Run::claim(function, &scope, stored, stop_at, end).await?;
    let Some((mut run, given_up)) = claimed else { return Ok(Outcome::Lost) };
    let job = run.stored.job.clone();
    // One that ends a run without a word, as too little memory would, ends every run.
    if run.stored.progress.tries > MAX_TRIES {
        return run.fail(&job, "run after run ended without a word".to_owned()).await;
    }
    match run.work(&job, given_up).await {
        Ok(()) => {
            let ready = run.stored;
            tidy(function, &scope, ready).await?;
            Ok(Outcome::Ready)
        }
        Err(Stop::Lost) => Ok(Outcome::Lost),
        Err(Stop::Suspended) => Ok(Outcome::Suspended),
        Err(Stop::Delayed) => Ok(Outcome::Delayed),
        Err(Stop::Fault(reason)) if run.stored.progress.tries < MAX_TRIES => {
            run.delay(reason).await
        }
        Err(Stop::Fault(reason) | Stop::Final(reason)) => run.fail(&job, reason).await,
    }
}

/// A run that has a job.
struct Run<'r> {
    function: &'r Export,
    /// For what is said of the job.
    scope: &'r TenantScope<'r>,
    name: String,
    /// The job as this run left it.
    stored: StoredJob,
    renew_at: Deadline,
    /// When to put work down.
    stop_at: Deadline,
    /// When S3 has to have answered, so that it can be said that it did not.
    end: Deadline,
}

/// Where the rows of a job come from.
enum Source<'t> {
    /// Events that are looked for.
    Events(Search, Listing<'t>),
    /// A report.
    Report(Rows<'t>),
}

/// What was read next: a row, or nothing where it is none of the job's; and where the job stands after it.
enum Read {
    Event(Option<Line>, Option<Position>),
    Row(Option<Line>, String),
}

impl Source<'_> {
    async fn next(&mut self, job: &Job) -> Result<Option<Read>, ReadError> {
        match self {
            Self::Events(search, listing) => {
                let Some(recorded) = listing.next().await? else { return Ok(None) };
                let line = job.wants(search, &recorded).then(|| Line::Event(Box::new(recorded)));
                Ok(Some(Read::Event(line, listing.position.clone())))
            }
            Self::Report(rows) => {
                let Some((row, place)) = rows.next().await? else { return Ok(None) };
                Ok(Some(Read::Row(row.map(Line::Row), place)))
            }
        }
    }
}

/// Where the writing of a job is.
struct Files {
    /// The place after the complete files, and the last event or row taken.
    place: Place,
    /// Where the open files were begun.
    begun_after: Option<Position>,
    begun_after_row: Option<String>,
    open: Vec<Writing>,
    /// Events in the open files.
    rows: u64,
}

impl<'r> Run<'r> {
    /// Takes a job, with the uploads that are to be given up for that; none where another run was quicker.
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
        progress.state = State::Running;
        progress.started_at.get_or_insert(now);
        progress.tries += 1;
        // Until the indexes hold the snapshot there is nothing to renew for.
        let due_at = now.max(settled_at(function, scope, &stored.job)).plus(function.limits.lease);
        let claimed = Next { progress, run: Some(name.clone()), due_at: Some(due_at) };
        let Some(stored) = export_jobs::advance_export(scope, &stored, claimed).await? else {
            return Ok(None);
        };
        let renew_at = Deadline::now() + function.limits.lease / 3;
        let end = end - TIME_TO_SAY.min(end.saturating_duration_since(Deadline::now()) / 6);
        Ok(Some((Self { function, scope, name, stored, renew_at, stop_at, end }, given_up)))
    }

    /// Does what is still to be done for the job.
    async fn work(&mut self, job: &Job, given_up: Vec<Upload>) -> Result<(), Stop> {
        let (function, end) = (self.function, self.end);
        for Upload { key, id, .. } in given_up {
            self.held(give_up(function, &job.id, &key, &id, end)).await?;
        }
        self.write(job).await
    }

    /// Writes the files of the job from where it is, and makes it ready.
    async fn write(&mut self, job: &Job) -> Result<(), Stop> {
        let function = self.function;
        // As the trail was at the moment of the call: what was past its retention then, and nothing since.
        let mut reader = self.scope.at(job.snapshot, self.stop_at);
        reader.settings.retention_days = job.retention_days;
        let sheet = job.sheet().map_err(Stop::Final)?;
        let range = job.range();

        let settled_at = settled_at(function, self.scope, job);
        let wait = settled_at.millis().saturating_sub(function.database.clock().now().millis());
        let settled_at = Deadline::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        if settled_at >= self.stop_at {
            sleep_until(self.stop_at).await;
            let mut progress = self.stored.progress.clone();
            progress.tries = 0;
            let next = Next { progress, run: None, due_at: Some(function.database.clock().now()) };
            let is_ours =
                export_jobs::advance_export(self.scope, &self.stored, next).await?.is_some();
            return Err(if is_ours { Stop::Suspended } else { Stop::Lost });
        }
        sleep_until(settled_at).await;
        self.renew_at = Deadline::now() + function.limits.lease / 3;

        let mut files = self.resume(job).await?;
        let mut source = match &job.asked.report {
            Some(query) => Source::Report(
                Rows::of(&reader, query.clone(), files.place.after_row.clone()).await?,
            ),
            None => {
                let search = job.search(files.place.after.clone()).map_err(Stop::Final)?;
                let listing = reader.search_all(&search);
                Source::Events(search, listing)
            }
        };
        let mut scratch = Vec::new();
        let mut looked_at = 0;
        loop {
            looked_at += 1;
            if looked_at % ROWS_AT_ONCE == 0 && Deadline::now() >= self.renew_at {
                self.renew(&mut files, range).await?;
            }
            if looked_at % ROWS_AT_ONCE == 0 && Deadline::now() >= self.stop_at {
                return self.put_down(files, None).await;
            }
            let read = match self.next(&mut source, job, &mut files, range).await {
                Ok(Some(read)) => read,
                Ok(None) => break,
                Err(Stop::Fault(reason)) => {
                    let is_time_over = Deadline::now() >= self.stop_at;
                    return self.put_down(files, (!is_time_over).then_some(reason)).await;
                }
                Err(stop) => return Err(stop),
            };
            let (Read::Event(line, _) | Read::Row(line, _)) = &read;
            if let Some(line) = line {
                if files.open.is_empty() {
                    files.begin(job, &sheet, &mut scratch)?;
                }
                files.row(line, &sheet, &mut scratch)?;
            }
            // Only now is it in, or known not to be wanted.
            match read {
                Read::Event(_, position) => files.place.after = position,
                Read::Row(_, place) => files.place.after_row = Some(place),
            }
            for place in 0..files.open.len() {
                if files.open[place].is_full() {
                    self.upload(job, &mut files, place).await?;
                }
            }
            let is_full = files.rows >= function.limits.rows
                || files.open.iter_mut().any(|file| file.length() >= LARGEST_FILE);
            if is_full {
                self.complete(job, &mut files).await?;
            }
        }
        // Even without a row there is a table, of which it is seen that it has none.
        if files.open.is_empty() && files.place.files.is_empty() {
            files.begin(job, &sheet, &mut scratch)?;
        }
        if !files.open.is_empty() {
            self.complete(job, &mut files).await?;
        }
        self.finish(job, &sheet).await
    }

    /// The next event or row. The job is renewed while it is waited for.
    async fn next(
        &mut self,
        source: &mut Source<'_>,
        job: &Job,
        files: &mut Files,
        range: (Instant, Instant),
    ) -> Result<Option<Read>, Stop> {
        let mut next = pin!(source.next(job));
        loop {
            tokio::select! {
                biased;
                next = &mut next => return Ok(next?),
                () = sleep_until(self.renew_at) => self.renew(files, range).await?,
            }
        }
    }

    /// Waits for something that S3 does, renewing the job meanwhile.
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

    /// Says how far the job is, and that it is this run's for longer.
    async fn renew(&mut self, files: &mut Files, range: (Instant, Instant)) -> Result<(), Stop> {
        let mut progress = self.stored.progress.clone();
        progress.rows = files.place.rows() + files.rows;
        progress.bytes =
            files.place.bytes() + files.open.iter_mut().map(Writing::length).sum::<u64>();
        if let Some(after) = &files.place.after {
            let (since, until) = (range.0.millis(), range.1.millis());
            let done = (until - after.at.millis()).saturating_mul(1000) / (until - since).max(1);
            progress.thousandths = u16::try_from(done.clamp(0, 999)).unwrap_or(0);
        }
        self.save(progress).await
    }

    /// Changes what is said of the job, and renews it.
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

    /// The key of something that this run alone writes.
    fn key(&self, name: &str) -> String {
        format!(
            "{}{}/{name}",
            export_job::prefix(&self.scope.tenant, &self.stored.job.id),
            self.name
        )
    }

    /// The files that were put down, to be gone on with.
    async fn resume(&mut self, job: &Job) -> Result<Files, Stop> {
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

    /// Uploads what is gathered of an open file. An upload is put on record before anything is in it, so that it can be given up.
    async fn upload(&mut self, job: &Job, files: &mut Files, place: usize) -> Result<(), Stop> {
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
    async fn complete(&mut self, job: &Job, files: &mut Files) -> Result<(), Stop> {
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

    /// Puts the work down, to be gone on with: at once where the time was over, later where something did not work.
    async fn put_down(&mut self, mut files: Files, fault: Option<String>) -> Result<(), Stop> {
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
        let pause = if fault.is_some() { pause(progress.tries) } else { Duration::ZERO };
        let next = Next { progress, run: None, due_at: Some(now.plus(pause)) };
        match export_jobs::advance_export(self.scope, &self.stored, next).await? {
            Some(stored) => self.stored = stored,
            None => return Err(Stop::Lost),
        }
        let Some(reason) = fault else { return Err(Stop::Suspended) };
        tracing::warn!(%reason, "export {} is delayed: {reason}", self.stored.job.id);
        Err(Stop::Delayed)
    }

    /// Stores the manifest, and makes the job ready.
    async fn finish(&mut self, job: &Job, sheet: &Sheet) -> Result<(), Stop> {
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
        // The trail, which nobody can change, says what the manifest is, and the manifest what the files are.
        let told = [("manifest_sha256", json!(sha256))];
        progress.manifest = Some(Manifest { key, sha256 });
        let (rows, bytes) = (progress.rows, progress.bytes);
        let next = Next { progress, run: None, due_at: Some(now) };
        let mut event = export_jobs::export_event(self.scope, job, "export.ready", &[], now);
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

    /// Lets the job be tried again later.
    async fn delay(self, reason: String) -> Result<Outcome, ReadError> {
        tracing::warn!(%reason, "export {} is delayed: {reason}", self.stored.job.id);
        let now = self.function.database.clock().now();
        let mut progress = self.stored.progress.clone();
        progress.reason = Some(reason);
        let due_at = Some(now.plus(pause(progress.tries)));
        let next = Next { progress, run: None, due_at };
        let stored = export_jobs::advance_export(self.scope, &self.stored, next).await?;
        Ok(if stored.is_some() { Outcome::Delayed } else { Outcome::Lost })
    }

    /// Gives the job up.
    async fn fail(self, job: &Job, reason: String) -> Result<Outcome, ReadError> {
        tracing::error!(%reason, "export {} failed: {reason}", job.id);
        let now = self.function.database.clock().now();
        let mut progress = self.stored.progress.clone();
        progress.state = State::Failed;
        progress.reason = Some(reason.clone());
        progress.ended_at = Some(now);
        let next = Next { progress, run: None, due_at: Some(now) };
        let mut event = export_jobs::export_event(self.scope, job, "export.failed", &[], now);
        event.outcome = Went::Failure;
        let end = reason.floor_char_boundary(TEXT_BYTES);
        event.reason = Some(reason[..end].to_owned());
        match export_jobs::conclude_export(self.scope, &self.stored, next, event, &job.recorded_by)
            .await?
        {
            Some(failed) => {
                tidy(self.function, self.scope, failed).await?;
                Ok(Outcome::Failed)
            }
            None => Ok(Outcome::Lost),
        }
    }
}

impl Files {
    /// None of them open.
    fn of(place: Place) -> Self {
        Self {
            place: Place { open: None, ..place },
            begun_after: None,
            begun_after_row: None,
            open: Vec::new(),
            rows: 0,
        }
    }

    /// The number of the open file of a form.
    fn number(&self, form: Form) -> usize {
        self.place.files.iter().filter(|file| file.form == form).count() + 1
    }

    /// Begins the next files.
    fn begin(&mut self, job: &Job, sheet: &Sheet, scratch: &mut Vec<u8>) -> Result<(), Stop> {
        self.begun_after = self.place.after.clone();
        self.begun_after_row = self.place.after_row.clone();
        let forms: &[Form] = if job.asked.jsonl { &[Form::Csv, Form::Jsonl] } else { &[Form::Csv] };
        self.open = forms.iter().map(|form| Writing::begin(*form, job.asked.gzip)).collect();
        let table = self.open.iter_mut().find(|file| file.form() == Form::Csv);
        let head = |out: &mut Vec<u8>| {
            if job.asked.profile == Profile::Excel {
                out.extend_from_slice(BYTE_ORDER_MARK);
            }
            sheet.write_head(out);
        };
        table
            .map_or(Ok(()), |table| table.write(scratch, head))
            .map_err(|error| Stop::Fault(error.to_string()))
    }

    /// Adds a row to the open files.
    fn row(&mut self, line: &Line, sheet: &Sheet, scratch: &mut Vec<u8>) -> Result<(), Stop> {
        for file in &mut self.open {
            let written = match file.form() {
                Form::Csv => file.write(scratch, |out| sheet.write_row(line, out)),
                Form::Jsonl => {
                    let mut judged = Ok(());
                    let written = file.write(scratch, |out| {
                        judged = line.write_json(out);
                        out.push(b'\n');
                    });
                    judged.map_err(|error| Stop::Final(error.to_string()))?;
                    written
                }
            };
            written.map_err(|error| Stop::Fault(error.to_string()))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// The place to which whoever takes over from this run goes back, with the uploads that it then gives up.
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

/// When the indexes hold all that was recorded until the snapshot. A write that was under way then may still land for as long as the feed
/// waits for it.
fn settled_at(function: &Export, scope: &TenantScope<'_>, job: &Job) -> Instant {
    job.snapshot.plus(function.limits.index_lag.max(scope.feed_lag()))
}

/// How long to wait before the next try.
fn pause(tries: u32) -> Duration {
    PAUSE.saturating_mul(2_u32.saturating_pow(tries.min(10))).min(LONGEST_PAUSE)
}

/// Gives an upload up that a run may still have been writing to: what it uploads from now on is refused. It may be complete, or given up already;
/// one that stays is found when the job is tidied.
async fn give_up(function: &Export, job: &str, key: &str, upload: &str, deadline: Deadline) {
    if let Err(error) = function.bucket.abort_upload(key, upload, deadline).await {
        tracing::warn!(%error, "an upload of export {job} was not given up: {error}");
    }
}

/// Deletes what is not needed of a job that has ended: all but its files while they are kept, and all of it after that.
async fn tidy(
    function: &Export,
    scope: &TenantScope<'_>,
    stored: StoredJob,
) -> Result<Outcome, ReadError> {
    let now = function.database.clock().now();
    let (bucket, job) = (&function.bucket, &stored.job);
    let is_kept = export_job::shown_state(&stored.progress, now) == State::Ready;
    let prefix = export_job::prefix(&scope.tenant, &job.id);
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
        // Those too that were begun and not put on record any more.
        let uploads = match bucket.list_uploads(&prefix, scope.deadline).await {
            // Not every S3 lists them; the bucket's own rule ends what is left.
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
            if progress.state == State::Ready {
                progress.state = State::Expired;
            }
            None
        }
        Err(error) => {
            tracing::warn!(%error, "what is not needed of export {} was not deleted: {error}", job.id);
            Some(now.plus(LONGEST_PAUSE))
        }
    };
    let next = Next { progress, run: None, due_at };
    let stored = export_jobs::advance_export(scope, &stored, next).await?;
    Ok(if stored.is_some() { Outcome::Tidied } else { Outcome::Lost })
}
