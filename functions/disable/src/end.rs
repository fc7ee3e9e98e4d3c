//! Ends one window: takes its lease, disables the account, verifies that, and closes the window
//! with its events.

use std::time::Duration;

use shared::{
    domain::{
        trail::event::RecordedBy,
        windows::{due::Due, revocation::Failure},
    },
    services::windows::{self, Stored},
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use crate::{
    Disable,
    held_window::{HeldWindow, Stop},
    resolve::{self, Applications},
};

/// Time limit of one call to the storage.
pub const STORAGE: Duration = Duration::from_secs(10);

/// The result for one window.
#[derive(Debug)]
pub enum WindowOutcome {
    /// Its account is disabled; the duration is the delay after the planned end.
    Disabled(Duration),
    /// An event was recorded, or the window was left for later; the directory was not called.
    Noted {
        /// Whether the event says that the window is overdue.
        is_overdue: bool,
    },
    /// The directory has resolved the window's account.
    Resolved,
    /// The directory could not resolve the window's account; a retry follows.
    Unresolved(Failure),
    /// The account could not be disabled; the window is in the queue for a retry.
    Failed(Failure),
    /// The rate limit allows the next call after this time.
    Paced(Duration),
    /// Another run holds the window or has changed it. It will be read again.
    Passed,
}

/// The recorder of the service's own events.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/disable".to_owned(), client_id: None, history: false }
}

/// Does what is due for a window. A concurrent change makes a step fail without effect: each step
/// is conditional on the generation that was read.
pub async fn end(
    function: &Disable,
    scope: &TenantScope<'_>,
    run: &str,
    stored: Stored,
) -> Result<WindowOutcome, ReadError> {
    let now = function.database.clock().now();
    let scope = &scope.at(now, Deadline::now() + STORAGE);
    let by = recorder();
    let mut after = stored.window.clone();
    match stored.window.due(now) {
        Due::Later(_) | Due::Nothing | Due::Resolve => Ok(WindowOutcome::Passed),
        Due::Covered => {
            let events = after.cover(now);
            Ok(noted(windows::advance(scope, &stored, after, events, &by).await?, false))
        }
        Due::Overdue => {
            let events = after.overdue(now);
            Ok(noted(windows::advance(scope, &stored, after, events, &by).await?, true))
        }
        Due::Confirmation(until) => {
            after.leave(Some(until));
            Ok(noted(windows::advance(scope, &stored, after, Vec::new(), &by).await?, false))
        }
        Due::Disable => disable(function, scope, run, stored).await,
    }
}

/// Disables the account of a window that has ended. Tries the credentials of each application whose
/// requests are in the window, until some work.
async fn disable(
    function: &Disable,
    scope: &TenantScope<'_>,
    run: &str,
    mut stored: Stored,
) -> Result<WindowOutcome, ReadError> {
    // The account has to be resolved first.
    while stored.window.resolve_at().is_some() {
        match resolve::settle(function, scope, &stored).await? {
            Ok(Some(settled))
                if settled.window.due(function.database.clock().now()) == Due::Disable =>
            {
                stored = settled
            }
            Ok(_) => return Ok(WindowOutcome::Passed),
            Err(failure) => {
                let held = HeldWindow { function, scope, run, stored, was_turned_off: false };
                return held.postpone(failure, true).await;
            }
        }
    }
    let mut held = HeldWindow { function, scope, run, stored, was_turned_off: false };
    let applications = Applications::of(&held.scope(), &held.stored.window).await?;
    let mut failed: Option<Failure> = None;
    for directory in &applications.directories {
        let Some(connection) = function.directories.connect(&scope.tenant, directory) else {
            return Ok(WindowOutcome::Passed);
        };
        match connection.admit().await {
            Ok(Ok(())) => {}
            Ok(Err(wait)) if failed.is_none() => return Ok(WindowOutcome::Paced(wait)),
            Ok(Err(_)) => continue,
            Err(failure) => {
                failed.get_or_insert(failure);
                continue;
            }
        }
        if !held.claim().await? {
            return Ok(WindowOutcome::Passed);
        }
        match held.disable(&connection).await {
            Ok(how) => return held.close(&how).await,
            Err(Stop::Lost) => return held.record_if_inside().await,
            Err(Stop::Missing) => return held.miss(&connection).await,
            Err(Stop::Failed(failure)) if failure.is_of_credentials() => {
                failed.get_or_insert(failure);
            }
            Err(Stop::Failed(failure)) => return held.postpone(failure, false).await,
        }
    }
    match failed {
        Some(failure) => held.postpone(failure, false).await,
        None => Ok(WindowOutcome::Passed),
    }
}

/// Schedules a retry for a window whose directory's response caused a panic.
pub async fn panicked(
    function: &Disable,
    scope: &TenantScope<'_>,
    run: &str,
    window: &str,
) -> Result<WindowOutcome, ReadError> {
    let detail =
        "an internal error occurred while this service read the directory's response; see its log"
            .to_owned();
    let failure = Failure { kind: "panicked", detail, is_refusal: false, retry_after: None };
    let scope = &scope.at(function.database.clock().now(), Deadline::now() + STORAGE);
    let Some(stored) = windows::window(scope, window).await? else {
        return Ok(WindowOutcome::Failed(failure));
    };
    let is_others = stored
        .window
        .lease
        .as_ref()
        .is_some_and(|lease| lease.run != run && scope.now < lease.until);
    match stored.window.due(scope.now) {
        Due::Disable if !is_others => {
            let is_unresolved = stored.window.resolve_at().is_some();
            HeldWindow { function, scope, run, stored, was_turned_off: false }
                .postpone(failure, is_unresolved)
                .await
        }
        Due::Resolve => resolve::postpone(function, scope, &stored, failure).await,
        Due::Disable
        | Due::Later(_)
        | Due::Nothing
        | Due::Covered
        | Due::Overdue
        | Due::Confirmation(_) => Ok(WindowOutcome::Failed(failure)),
    }
}

fn noted(done: Option<Stored>, is_overdue: bool) -> WindowOutcome {
    done.map_or(WindowOutcome::Passed, |_| WindowOutcome::Noted { is_overdue })
}
