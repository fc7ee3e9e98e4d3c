//! The files of a job, written row by row.

use std::pin::pin;

use shared::domain::{
    exports::{
        export_files::{Form, Place},
        export_job::{Job, Line, Profile, Sheet},
    },
    time::timestamp::Instant,
    trail::position::Position,
};
use tokio::time::{Instant as Deadline, sleep_until};

use super::{
    Run, Stop,
    snapshot::{Read, Source},
};
use crate::writing::Writing;

/// Rows between two checks of the time.
const ROWS_AT_ONCE: u64 = 64;
/// A file ends at this size, because the list of its parts has to fit an item of 400 KB.
const LARGEST_FILE: u64 = 8 * 1024 * 1024 * 1024;
/// Without this mark Excel does not recognise UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The state of writing a job's files.
pub(super) struct Files {
    /// The position after the complete files, and the last event or row written.
    pub(super) place: Place,
    /// The position at which the open files were started.
    pub(super) begun_after: Option<Position>,
    pub(super) begun_after_row: Option<String>,
    pub(super) open: Vec<Writing>,
    /// Rows in the open files.
    pub(super) rows: u64,
}

impl Run<'_> {
    /// Writes the remaining files of the job and makes it ready.
    pub(super) async fn write(&mut self, job: &Job) -> Result<(), Stop> {
        let function = self.function;
        // The trail as it was at the time of the request, with the retention of that time.
        let mut reader = self.scope.at(job.snapshot, self.stop_at);
        reader.settings.retention_days = job.retention_days;
        let sheet = job.sheet().map_err(Stop::Final)?;
        let range = job.range();

        self.settle(job).await?;
        let mut files = self.resume(job).await?;
        let mut source = Source::after(&files.place, job, &reader).await?;
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
            // The position advances only after the row is written or known not to match.
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
        // An export without rows still has a table, so that it is seen to be empty.
        if files.open.is_empty() && files.place.files.is_empty() {
            files.begin(job, &sheet, &mut scratch)?;
        }
        if !files.open.is_empty() {
            self.complete(job, &mut files).await?;
        }
        self.finish(job, &sheet).await
    }

    /// The next event or row. The lease is renewed while waiting.
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

    /// Stores the progress and renews the lease.
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
}

impl Files {
    /// None of them open.
    pub(super) fn of(place: Place) -> Self {
        Self {
            place: Place { open: None, ..place },
            begun_after: None,
            begun_after_row: None,
            open: Vec::new(),
            rows: 0,
        }
    }

    /// The number of the open file of a form.
    pub(super) fn number(&self, form: Form) -> usize {
        self.place.files.iter().filter(|file| file.form == form).count() + 1
    }

    /// Starts the next files.
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
}
