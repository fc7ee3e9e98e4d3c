//! A run that has a stream: it takes the stream, keeps it, changes what it has, and leaves it.

use std::time::Duration;

use shared::{
    domain::{
        streams::stream::{Progress, Stream},
        time::timestamp::Instant,
        trail::event::Tenant,
    },
    services::streams::{self, Due, Next, StoredStream},
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use crate::Forward;

/// How long the storage may take.
pub(crate) const STORING: Duration = Duration::from_secs(20);
/// What is due sooner is awaited.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A run that works on a stream.
pub(crate) struct Run<'f> {
    pub(crate) function: &'f Forward,
    pub(crate) tenant: &'f Tenant,
    pub(crate) id: &'f str,
    /// Its name.
    pub(crate) run: String,
}

/// How long a run has a stream after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// As long as a lease.
    Lease,
    /// No more; somebody is to come after a pause.
    Then(Duration),
    /// No more, and nobody is to come.
    Never,
}

impl Run<'_> {
    pub(crate) async fn scope(&self) -> Result<TenantScope<'_>, ReadError> {
        let database = &self.function.database;
        database.scope(self.tenant, database.clock().now(), Deadline::now() + STORING).await
    }

    /// The trail for what begins now.
    pub(crate) fn now<'t>(&self, scope: &TenantScope<'t>) -> TenantScope<'t> {
        scope.at(self.function.database.clock().now(), Deadline::now() + STORING)
    }

    /// How long it is until a moment; none where it is there.
    pub(crate) fn until(&self, at: Instant) -> Option<Duration> {
        let wait = at.millis() - self.function.database.clock().now().millis();
        u64::try_from(wait).ok().filter(|wait| *wait > 0).map(Duration::from_millis)
    }

    /// Takes the stream, unless somebody else has it. One that has its time is taken then, or when somebody asked for that.
    pub(crate) async fn claim(
        &self,
        scope: &TenantScope<'_>,
        is_asked: bool,
    ) -> Result<Option<StoredStream>, ReadError> {
        let scope = self.now(scope);
        let Some(stored) = streams::stream(&scope, self.id).await? else { return Ok(None) };
        // One that was deleted, and taken out of the queue.
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

    /// Takes a stream again that this run has just left, where people asked for something that its last turn did not go by, or, where nothing was
    /// left, something was recorded: whoever did that saw that the stream was being worked on, and called nobody.
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

    /// The stream as it is now, if this run still has it, and for how long it has it made longer where that is soon over.
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

    /// Makes a change of what this run has, whatever else people changed meanwhile; none where somebody else has the stream.
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
                // Who looks which streams are due stays for what is due soon, and comes by each minute anyway.
                Until::Then(pause) if pause < SOON => (None, Due::Awaited(scope.now.plus(pause))),
                Until::Then(pause) => (None, Due::Rests(scope.now.plus(pause))),
                Until::Never => (None, Due::Never),
            };
            let next = Next { progress, run, due };
            let is_to_be_told = match until {
                Until::Lease | Until::Then(_) => {
                    next.progress.is_to_be_paused() || next.progress.goes_on_again()
                }
                Until::Never => next.progress.paused_at.is_some(),
            };
            let kept = match is_to_be_told {
                true => streams::tell_of_stream(&scope, &stored, next).await?,
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

    /// Takes a stream that was deleted out of the queue.
    pub(crate) async fn bury(
        &self,
        scope: &TenantScope<'_>,
        stored: StoredStream,
    ) -> Result<(), ReadError> {
        // What was told of it has to be taken back, in its round.
        let none = |it: &mut Progress| {
            *it = Progress { paused_at: it.paused_at, pauses: it.pauses, ..Progress::default() };
        };
        self.keep(scope, stored, none, Until::Never).await.map(drop)
    }

    /// When the oldest event was recorded that is still to be looked at.
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
