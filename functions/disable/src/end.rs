//! The end of one window: claimed, disabled, read back, closed with the events that say so.

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

/// How long one call to the storage is tried.
pub const STORAGE: Duration = Duration::from_secs(10);

/// What came of one window.
#[derive(Debug)]
pub enum Outcome {
    /// Its account is disabled, so long after the planned end.
    Disabled(Duration),
    /// The trail tells something about it, or it is left for later; the directory was not asked.
    Noted {
        /// Whether that is that it is overdue.
        is_overdue: bool,
    },
    /// The directory says which account it covers.
    Resolved,
    /// The directory does not say which account it covers; it is asked again later.
    Unresolved(Failure),
    /// It could not be disabled; it stands in the queue for another try.
    Failed(Failure),
    /// The directory may be asked again after this.
    Paced(Duration),
    /// Somebody else has it, or changed it: what is there now will be read again.
    Passed,
}

/// By whom the trail says that its own events were recorded.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/disable".to_owned(), client_id: None }
}

/// Does what is due for a window now. Nothing is done that somebody else's change has made wrong: every step is made from what was read.
///
/// # Errors
/// The storage did not answer.
pub async fn end(
    function: &Disable,
    scope: &TenantScope<'_>,
    run: &str,
    stored: Stored,
) -> Result<Outcome, ReadError> {
    let now = function.database.clock().now();
    let scope = &scope.at(now, Deadline::now() + STORAGE);
    let by = recorder();
    let mut after = stored.window.clone();
    match stored.window.due(now) {
        Due::Later(_) | Due::Nothing | Due::Resolve => Ok(Outcome::Passed),
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

/// Disables the account of a window that has ended, with the credentials of each application whose requests hold it, until some work.
async fn disable(
    function: &Disable,
    scope: &TenantScope<'_>,
    run: &str,
    mut stored: Stored,
) -> Result<Outcome, ReadError> {
    // First of all, which account it is.
    while stored.window.resolve_at().is_some() {
        match resolve::settle(function, scope, &stored).await? {
            Ok(Some(settled))
                if settled.window.due(function.database.clock().now()) == Due::Disable =>
            {
                stored = settled
            }
            Ok(_) => return Ok(Outcome::Passed),
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
            return Ok(Outcome::Passed);
        };
        match connection.admit().await {
            Ok(Ok(())) => {}
            Ok(Err(wait)) if failed.is_none() => return Ok(Outcome::Paced(wait)),
            Ok(Err(_)) => continue,
            Err(failure) => {
                failed.get_or_insert(failure);
                continue;
            }
        }
        if !held.claim().await? {
            return Ok(Outcome::Passed);
        }
        match held.disable(&connection).await {
            Ok(how) => return held.close(&how).await,
            Err(Stop::Lost) => return held.tell_if_inside().await,
            Err(Stop::Missing) => return held.miss(&connection).await,
            Err(Stop::Failed(failure)) if failure.is_of_credentials() => {
                failed.get_or_insert(failure);
            }
            Err(Stop::Failed(failure)) => return held.postpone(failure, false).await,
        }
    }
    match failed {
        Some(failure) => held.postpone(failure, false).await,
        None => Ok(Outcome::Passed),
    }
}

/// Leaves for another try a window over whose directory's answer this run panicked.
///
/// # Errors
/// The storage did not answer.
pub async fn panicked(
    function: &Disable,
    scope: &TenantScope<'_>,
    run: &str,
    window: &str,
) -> Result<Outcome, ReadError> {
    let detail =
        "this service panicked over what the directory answered; its log says where".to_owned();
    let failure = Failure { kind: "panicked", detail, is_refusal: false, retry_after: None };
    let scope = &scope.at(function.database.clock().now(), Deadline::now() + STORAGE);
    let Some(stored) = windows::window(scope, window).await? else {
        return Ok(Outcome::Failed(failure));
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
        | Due::Confirmation(_) => Ok(Outcome::Failed(failure)),
    }
}

fn noted(done: Option<Stored>, is_overdue: bool) -> Outcome {
    done.map_or(Outcome::Passed, |_| Outcome::Noted { is_overdue })
}
