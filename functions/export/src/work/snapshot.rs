//! The rows of a job: the trail as it was when the export was asked for.

use std::time::Duration;

use shared::{
    domain::{
        exports::{
            export_files::Place,
            export_job::{Job, Line},
        },
        time::timestamp::Instant,
        trail::{position::Position, search::Search},
    },
    services::{
        export_jobs::{self, Next},
        reports::Rows,
    },
    storage::{ReadError, TenantScope, list_events::Listing},
};
use tokio::time::{Instant as Deadline, sleep_until};

use super::{Run, Stop};
use crate::Export;

/// The source of a job's rows.
pub(super) enum Source<'t> {
    Events(Search, Listing<'t>),
    Report(Rows<'t>),
}

/// The last read: a row, or none if it does not match, and the position after it.
pub(super) enum Read {
    Event(Option<Line>, Option<Position>),
    Row(Option<Line>, String),
}

impl<'t> Source<'t> {
    /// The rows after `place`.
    pub(super) async fn after(
        place: &Place,
        job: &Job,
        reader: &'t TenantScope<'t>,
    ) -> Result<Self, Stop> {
        Ok(match &job.asked.report {
            Some(query) => {
                Self::Report(Rows::of(reader, query.clone(), place.after_row.clone()).await?)
            }
            None => {
                let search = job.search(place.after.clone()).map_err(Stop::Final)?;
                let listing = reader.search_all(&search);
                Self::Events(search, listing)
            }
        })
    }

    pub(super) async fn next(&mut self, job: &Job) -> Result<Option<Read>, ReadError> {
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

impl Run<'_> {
    /// Waits until the indexes hold the snapshot. Where this run ends before that, the job is the next one's.
    pub(super) async fn settle(&mut self, job: &Job) -> Result<(), Stop> {
        let function = self.function;
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

        Ok(())
    }
}

/// When the indexes contain everything recorded until the snapshot. A write in progress at that
/// time may still be stored within the feed's lag.
pub(super) fn settled_at(function: &Export, scope: &TenantScope<'_>, job: &Job) -> Instant {
    job.snapshot.plus(function.limits.index_lag.max(scope.feed_lag()))
}
