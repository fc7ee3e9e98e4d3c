//! A run's lease on a connection: it takes, renews and releases it, and stores progress under it.

use std::time::Duration;

use shared::{
    domain::{
        collect::{
            progress::{ConnectionTestState, Gap, Progress},
            source::Source,
        },
        trail::event::Tenant,
    },
    services::collect::{self, Next, StoredConnection},
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use crate::Collect;

/// Time limit of the storage.
pub(crate) const STORING: Duration = Duration::from_secs(20);

/// A run that processes a connection.
pub(crate) struct Run<'f> {
    pub(crate) function: &'f Collect,
    pub(crate) tenant: &'f Tenant,
    pub(crate) id: &'f str,
    pub(crate) run: String,
}

/// How long a run holds a connection after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// For the duration of a lease.
    Lease,
    /// Not at all; the connection is due when its next source is.
    NextSource,
    /// Not at all, and the connection is not due again.
    Never,
}

impl Run<'_> {
    pub(crate) async fn scope(&self) -> Result<TenantScope<'_>, ReadError> {
        let database = &self.function.database;
        database.scope(self.tenant, database.clock().now(), Deadline::now() + STORING).await
    }

    /// The scope with the current time and a new deadline.
    fn now<'t>(&self, scope: &TenantScope<'t>) -> TenantScope<'t> {
        scope.at(self.function.database.clock().now(), Deadline::now() + STORING)
    }

    /// Takes the connection's lease, unless another run holds it. A connection is only taken when it
    /// is due, or on request.
    pub(crate) async fn claim(
        &self,
        scope: &TenantScope<'_>,
        is_asked: bool,
    ) -> Result<Option<StoredConnection>, ReadError> {
        let scope = self.now(scope);
        let Some(stored) = collect::connection(&scope, self.id).await? else { return Ok(None) };
        let Some(due_at) = stored.due_at() else { return Ok(None) };
        if stored.is_held(scope.now) || (scope.now < due_at && !is_asked) {
            return Ok(None);
        }
        let next = Next {
            progress: stored.progress.clone(),
            run: Some(self.run.clone()),
            due_at: Some(scope.now.plus(self.function.lease)),
        };
        collect::advance(&scope, &stored, next).await
    }

    /// The current state of the connection; none if this run no longer holds it.
    pub(crate) async fn again(
        &self,
        scope: &TenantScope<'_>,
    ) -> Result<Option<StoredConnection>, ReadError> {
        let scope = self.now(scope);
        let there = collect::connection(&scope, self.id).await?;
        Ok(there
            .filter(|there| there.run.as_deref() == Some(&self.run) && there.is_held(scope.now)))
    }

    /// Stores the progress of this run, with a gap in the records if there is one, whatever people
    /// have requested meanwhile. None if another run holds the connection.
    pub(crate) async fn save(
        &self,
        scope: &TenantScope<'_>,
        mut stored: StoredConnection,
        progress: &Progress,
        gap: Option<&(Source, Gap)>,
        until: Until,
    ) -> Result<Option<StoredConnection>, ReadError> {
        loop {
            let scope = self.now(scope);
            let mut progress = progress.clone();
            // A test that was requested meanwhile is still to be done.
            let test = stored.progress.test.as_ref();
            let is_done =
                progress.test.as_ref().map(|test| test.asked_at) == test.map(|test| test.asked_at);
            let waits =
                !is_done && test.is_some_and(|test| test.state == ConnectionTestState::Waiting);
            if waits {
                progress.test = test.cloned();
            }
            progress.gaps = progress.gaps.max(stored.progress.gaps);
            let (run, due_at) = match until {
                Until::Lease => (Some(self.run.clone()), Some(scope.now.plus(self.function.lease))),
                Until::NextSource if waits => (None, Some(scope.now)),
                Until::NextSource => (None, Some(progress.due_at().unwrap_or(scope.now))),
                Until::Never => (None, None),
            };
            let next = Next { progress, run, due_at };
            let saved = match gap {
                Some((source, gap)) => {
                    collect::advance_with_gap(&scope, &stored, next, *source, gap).await?
                }
                None => collect::advance(&scope, &stored, next).await?,
            };
            if saved.is_some() {
                return Ok(saved);
            }
            match self.again(&scope).await? {
                Some(there) => stored = there,
                None => return Ok(None),
            }
        }
    }
}
