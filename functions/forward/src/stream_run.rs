//! A run's lease on a stream: it takes, renews and releases it, and stores progress under it.

use std::time::Duration;

use shared::{
    domain::{
        streams::{progress::Progress, stream::Stream},
        time::timestamp::Instant,
        trail::event::Tenant,
    },
    services::streams::{self, Due, Next, StoredStream},
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use crate::Forward;

/// Time limit of the storage.
pub(crate) const STORING: Duration = Duration::from_secs(20);
/// A stream that is due sooner has an exact due time.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A run that processes a stream.
pub(crate) struct Run<'f> {
    pub(crate) function: &'f Forward,
    pub(crate) tenant: &'f Tenant,
    pub(crate) id: &'f str,
    pub(crate) run: String,
}

/// How long a run holds a stream after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// For the duration of a lease.
    Lease,
    /// Not at all; the stream is due again after a pause.
    Then(Duration),
    /// Not at all, and the stream is not due again.
    Never,
}

impl Run<'_> {
    pub(crate) async fn scope(&self) -> Result<TenantScope<'_>, ReadError> {
        let database = &self.function.database;
        database.scope(self.tenant, database.clock().now(), Deadline::now() + STORING).await
    }

    /// The scope with the current time and a new deadline.
    pub(crate) fn now<'t>(&self, scope: &TenantScope<'t>) -> TenantScope<'t> {
        scope.at(self.function.database.clock().now(), Deadline::now() + STORING)
    }

    /// The time until a moment; none if it has passed.
    pub(crate) fn until(&self, at: Instant) -> Option<Duration> {
        let wait = at.millis() - self.function.database.clock().now().millis();
        u64::try_from(wait).ok().filter(|wait| *wait > 0).map(Duration::from_millis)
    }

    /// Takes the stream's lease, unless another run holds it. A stream with its own due time is
    /// only taken then, or on request.
    pub(crate) async fn claim(
        &self,
        scope: &TenantScope<'_>,
        is_asked: bool,
    ) -> Result<Option<StoredStream>, ReadError> {
        let scope = self.now(scope);
        let Some(stored) = streams::stream(&scope, self.id).await? else { return Ok(None) };
        // It was deleted and removed from the queue.
        if stored.stream.is_none() && stored.due_at().is_none() {
            return Ok(None);
        }
        let is_early = stored.has_its_time()
            && stored.due_at().is_some_and(|due_at| scope.now < due_at)
            && !is_asked;
        if stored.is_held(scope.now) || is_early {
            return Ok(None);
        }
        let progress = Progress { gathers: false, ..stored.progress.clone() };
        let next = Next {
            progress,
            run: Some(self.run.clone()),
            due: Due::Rests(scope.now.plus(self.function.lease)),
        };
        streams::advance_stream(&scope, &stored, next).await
    }

    /// Takes a stream again that this run has just released, if people have requested something
    /// meanwhile, or if nothing was left and an event was recorded: the callers saw that the stream
    /// was being processed and started no run.
    pub(crate) async fn back(
        &self,
        scope: &TenantScope<'_>,
        known: &StoredStream,
        was_through: bool,
    ) -> Result<Option<StoredStream>, ReadError> {
        let Some(there) = streams::stream(&self.now(scope), self.id).await? else {
            return Ok(None);
        };
        let is_wanted = match &there.stream {
            _ if there.is_asked_for(known) => true,
            Some(stream) if was_through => self.oldest(scope, &there, stream).await?.is_some(),
            Some(_) | None => false,
        };
        if is_wanted { self.claim(scope, true).await } else { Ok(None) }
    }

    /// The current state of the stream, if this run still holds the lease, which is renewed if it
    /// ends soon.
    pub(crate) async fn again(
        &self,
        scope: &TenantScope<'_>,
        before: StoredStream,
    ) -> Result<Option<StoredStream>, ReadError> {
        let scope = self.now(scope);
        let there = streams::stream(&scope, &before.id).await?;
        let there = there
            .filter(|there| there.run.as_deref() == Some(&self.run) && there.is_held(scope.now));
        let Some(there) = there else { return Ok(None) };
        if there
            .due_at()
            .and_then(|due_at| self.until(due_at))
            .is_some_and(|rest| rest > self.function.lease / 2)
        {
            return Ok(Some(there));
        }
        let progress = there.progress.clone();
        let next = Next {
            progress,
            run: Some(self.run.clone()),
            due: Due::Rests(scope.now.plus(self.function.lease)),
        };
        streams::advance_stream(&scope, &there, next).await
    }

    /// Stores a change of the progress, whatever people have changed meanwhile. None if another run
    /// holds the stream.
    pub(crate) async fn keep(
        &self,
        scope: &TenantScope<'_>,
        mut stored: StoredStream,
        change: impl Fn(&mut Progress),
        until: Until,
    ) -> Result<Option<StoredStream>, ReadError> {
        loop {
            let scope = self.now(scope);
            let mut progress = stored.progress.clone();
            change(&mut progress);
            let (run, due) = match until {
                Until::Lease => {
                    (Some(self.run.clone()), Due::Rests(scope.now.plus(self.function.lease)))
                }
                // The queue's run waits for streams that are due soon, and returns every minute
                // anyway.
                Until::Then(pause) if pause < SOON => (None, Due::Awaited(scope.now.plus(pause))),
                Until::Then(pause) => (None, Due::Rests(scope.now.plus(pause))),
                Until::Never => (None, Due::Never),
            };
            let next = Next { progress, run, due };
            let is_recorded = match until {
                Until::Lease | Until::Then(_) => {
                    next.progress.is_to_be_paused() || next.progress.goes_on_again()
                }
                Until::Never => next.progress.paused_at.is_some(),
            };
            let kept = match is_recorded {
                true => streams::record_stream_event(&scope, &stored, next).await?,
                false => streams::advance_stream(&scope, &stored, next).await?,
            };
            if kept.is_some() {
                return Ok(kept);
            }
            match self.again(&scope, stored).await? {
                Some(there) => stored = there,
                None => return Ok(None),
            }
        }
    }

    /// Removes a deleted stream from the queue.
    pub(crate) async fn bury(
        &self,
        scope: &TenantScope<'_>,
        stored: StoredStream,
    ) -> Result<(), ReadError> {
        // The pause has to be reported as ended, with the number of its round.
        let none = |it: &mut Progress| {
            *it = Progress { paused_at: it.paused_at, pauses: it.pauses, ..Progress::default() };
        };
        self.keep(scope, stored, none, Until::Never).await.map(drop)
    }

    /// When the oldest event was recorded that is still to be read.
    pub(crate) async fn oldest(
        &self,
        scope: &TenantScope<'_>,
        stored: &StoredStream,
        stream: &Stream,
    ) -> Result<Option<Instant>, ReadError> {
        let after = stored.progress.clone().of(stream).after(stream);
        self.now(scope).recorded_after(&after, &streams::wants(stored)?).await
    }
}
