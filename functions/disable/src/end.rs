//! The end of one window: claimed, disabled, read back, closed with the events that say so.

use shared::services::windows;
use std::time::Duration;

use shared::{
    domain::{
        time::timestamp::Instant,
        trail::event::RecordedBy,
        windows::{
            due::Due,
            revocation::{Disabled, Failure, NOT_FOUND},
            window::Window,
        },
    },
    platform::random,
    services::windows::Stored,
    storage::{ReadError, TenantScope},
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{
    Disable,
    directory::{Account, Connection},
    resolve::{self, Applications},
};

/// How long a run has a window for itself.
const LEASE: Duration = Duration::from_secs(30);
/// What of that has to be left before the directory is asked for something that takes a while.
const LEFT: Duration = Duration::from_secs(15);
/// How long one call to the storage is tried.
pub const STORAGE: Duration = Duration::from_secs(10);
/// When an account is read back: at once, and again where it still says enabled.
const READ_BACK: [u64; 5] = [0, 1, 2, 4, 8];
/// The first pause before an end is tried again; each is twice the one before …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … until it is as long as this.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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

/// A window that this run has for itself.
struct Held<'h> {
    function: &'h Disable,
    scope: &'h TenantScope<'h>,
    run: &'h str,
    stored: Stored,
    /// Whether the directory was asked to turn the account off.
    was_turned_off: bool,
}

/// Why a window is not gone on with.
enum Stop {
    /// It is somebody else's by now, or a request for it goes on.
    Lost,
    /// The directory does not find the account.
    Missing,
    /// The directory, or the storage.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        Self::Failed(Failure { kind: "storage", detail, is_refusal: false, retry_after: None })
    }
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
            let told = after.cover(now);
            Ok(noted(windows::advance(scope, &stored, after, told, &by).await?, false))
        }
        Due::Overdue => {
            let told = after.overdue(now);
            Ok(noted(windows::advance(scope, &stored, after, told, &by).await?, true))
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
                let held = Held { function, scope, run, stored, was_turned_off: false };
                return held.postpone(failure, true).await;
            }
        }
    }
    let mut held = Held { function, scope, run, stored, was_turned_off: false };
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
            Held { function, scope, run, stored, was_turned_off: false }
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

/// Whether another window is about the account, of these names, of a window that is about to end.
fn is_its_own(own: &Window, other: &Window, account: &Account, names: &[String]) -> bool {
    let is_of_account = match (&other.merged_into, &other.resolved) {
        (Some(older), _) if *older == own.id => true,
        (_, Some(resolved)) => resolved.id == account.id,
        (_, None) => names.contains(&other.key()),
    };
    other.id != own.id && other.directory_key == own.directory_key && is_of_account
}

fn noted(done: Option<Stored>, is_overdue: bool) -> Outcome {
    done.map_or(Outcome::Passed, |_| Outcome::Noted { is_overdue })
}

impl Held<'_> {
    fn now(&self) -> Instant {
        self.function.database.clock().now()
    }

    /// The tenant's trail, for one call more.
    fn scope(&self) -> TenantScope<'_> {
        self.scope.at(self.now(), Deadline::now() + STORAGE)
    }

    /// Takes the window for this run, unless it has it. False where somebody else changed it.
    async fn claim(&mut self) -> Result<bool, ReadError> {
        if self.stored.window.lease.as_ref().is_some_and(|lease| lease.run == self.run) {
            return Ok(true);
        }
        let mut after = self.stored.window.clone();
        after.claim(self.run, self.now().plus(LEASE));
        let Some(stored) =
            windows::advance(&self.scope(), &self.stored, after, Vec::new(), &recorder()).await?
        else {
            return Ok(false);
        };
        self.stored = stored;
        Ok(true)
    }

    /// Turns the account off, and looks whether it is.
    async fn disable(&mut self, connection: &Connection<'_>) -> Result<Disabled, Stop> {
        let Some(id) = self.stored.window.resolved.as_ref().map(|account| account.id.clone())
        else {
            return Err(Stop::Lost);
        };
        let Some(account) = connection.account(&id).await? else { return Err(Stop::Missing) };
        self.join_others(&account).await?;
        self.keep().await?;
        // Nothing that is sent may arrive when somebody else has the window.
        let left = self
            .stored
            .window
            .lease
            .as_ref()
            .map_or(0, |lease| lease.until.millis() - self.now().millis());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        self.was_turned_off = true;
        match tokio::time::timeout(left, connection.turn_off(&account)).await {
            Ok(done) => done?,
            Err(_) => {
                let detail = format!("the directory did not answer within {left:?}");
                return Err(Failure {
                    kind: "unavailable",
                    detail,
                    is_refusal: false,
                    retry_after: None,
                }
                .into());
            }
        }
        self.is_off(connection, &account).await
    }

    /// Other open windows that are about this account: the directory could not be asked about them yet, or only some of their requests have moved.
    /// All of these count before it is turned off.
    async fn join_others(&mut self, account: &Account) -> Result<(), Stop> {
        let (now, names) = (self.now(), account.names());
        for other in windows::open_windows_called(&self.scope(), &names).await? {
            if is_its_own(&self.stored.window, &other.window, account, &names) {
                let own = (&self.stored, self.stored.window.clone(), Vec::new());
                resolve::become_one(&self.scope(), own, &other, now).await?;
                return Err(Stop::Lost);
            }
        }
        Ok(())
    }

    /// Asks until the account reads as disabled.
    async fn is_off(
        &mut self,
        connection: &Connection<'_>,
        account: &Account,
    ) -> Result<Disabled, Stop> {
        for pause in READ_BACK {
            sleep(Duration::from_secs(pause)).await;
            if pause > 1 {
                self.keep().await?;
            }
            match connection.is_enabled(account).await? {
                Some(true) => {}
                Some(false) => {
                    return Ok(if account.is_enabled { Disabled::Now } else { Disabled::Before });
                }
                None => return Err(Stop::Missing),
            }
        }
        let detail =
            "the directory took the change, but the account still reads as enabled".to_owned();
        Err(Failure { kind: "not_disabled", detail, is_refusal: false, retry_after: None }.into())
    }

    /// Makes sure that the window is still this run's, for long enough, and that nobody changed when it ends.
    async fn keep(&mut self) -> Result<(), Stop> {
        let now = self.now();
        // A request that was to begin later may have begun.
        if !self.was_turned_off && self.stored.window.claims.iter().any(|claim| claim.goes_on(now))
        {
            let mut after = self.stored.window.clone();
            after.leave(None);
            windows::advance(&self.scope(), &self.stored, after, Vec::new(), &recorder()).await?;
            return Err(Stop::Lost);
        }
        let is_short =
            self.stored.window.lease.as_ref().is_none_or(|lease| lease.until <= now.plus(LEFT));
        if is_short {
            let mut after = self.stored.window.clone();
            after.claim(self.run, now.plus(LEASE));
            let kept =
                windows::advance(&self.scope(), &self.stored, after, Vec::new(), &recorder())
                    .await?;
            self.stored = kept.ok_or(Stop::Lost)?;
            return Ok(());
        }
        let there = windows::window(&self.scope(), &self.stored.window.id).await?;
        if there.as_ref() == Some(&self.stored) { Ok(()) } else { Err(Stop::Lost) }
    }

    /// Closes the window, with the events that say that its account is disabled.
    async fn close(self, how: &Disabled) -> Result<Outcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        let lateness = Duration::from_millis(
            u64::try_from(now.millis() - after.planned_end(now).millis()).unwrap_or(0),
        );
        let told = after.disabled(how, now);
        if windows::advance(&self.scope(), &self.stored, after, told, &recorder()).await?.is_some()
        {
            return Ok(Outcome::Disabled(lateness));
        }
        self.tell_if_inside().await
    }

    /// Somebody changed the window while the account was turned off. We never turn one on: where the window goes on, somebody has to
    /// know.
    async fn tell_if_inside(self) -> Result<Outcome, ReadError> {
        if self.was_turned_off {
            let now = self.now();
            let decide =
                |window: &mut Window| -> Result<_, ReadError> { Ok(window.disabled_inside(now)) };
            windows::change_window(&self.scope(), &self.stored.window.id, &recorder(), decide)
                .await?;
        }
        Ok(Outcome::Passed)
    }

    /// The directory does not find the account: one such answer proves nothing.
    async fn miss(mut self, connection: &Connection<'_>) -> Result<Outcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        after.miss(now);
        if after.is_gone(self.function.gone_after, now) {
            return match resolve::is_replaced(
                self.function,
                &self.scope(),
                &self.stored,
                connection,
            )
            .await?
            {
                Ok(true) => Ok(Outcome::Passed),
                Ok(false) => self.close(&Disabled::Gone).await,
                Err(failure) => self.postpone(failure, false).await,
            };
        }
        self.stored.window.missing = after.missing;
        let known = after.resolved.map(|account| account.id).unwrap_or_default();
        let detail = format!("the directory does not find the account {known:?}, which it had");
        let failure = Failure { kind: NOT_FOUND, detail, is_refusal: false, retry_after: None };
        self.postpone(failure, false).await
    }

    /// Leaves the window for another try.
    async fn postpone(self, failure: Failure, is_unresolved: bool) -> Result<Outcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        let again_at = now.plus(pause(after.attempts, &failure));
        let mut told = Vec::new();
        if is_unresolved {
            told.extend(after.unresolved(&failure, again_at, now));
        }
        told.extend(after.failed(&failure, again_at, now));
        match windows::advance(&self.scope(), &self.stored, after, told, &recorder()).await? {
            Some(_) => Ok(Outcome::Failed(failure)),
            None => self.tell_if_inside().await,
        }
    }
}

/// How long to wait after so many tries.
fn pause(attempts: u32, failure: &Failure) -> Duration {
    pause_up_to(LONGEST_PAUSE, attempts, failure)
}

/// The same with another longest pause.
pub fn pause_up_to(most: Duration, attempts: u32, failure: &Failure) -> Duration {
    let longest = most.min(FIRST_PAUSE * 2_u32.saturating_pow(attempts.min(10)));
    // What somebody has to change first will hardly be changed within seconds.
    let longest = if failure.is_refusal { LONGEST_PAUSE } else { longest };
    let pause = longest / 2 + random::up_to(longest / 2);
    failure.retry_after.map_or(pause, |asked| asked.max(pause))
}

#[cfg(test)]
mod tests {
    use shared::domain::{configuration::application::Directory, trail::event::Party};

    use super::*;

    #[test]
    fn a_window_some_of_whose_requests_have_moved_is_still_about_the_account() {
        let account = |id: &str| Account {
            id: id.to_owned(),
            name: "msp".to_owned(),
            mail: None,
            other_names: Vec::new(),
            is_enabled: true,
            is_foreign: false,
        };
        let window = |id: &str, resolved: Option<&str>, merged_into: Option<&str>| {
            let named = Party { name: Some("msp".to_owned()), ..Party::default() };
            let resolved = resolved.map(|id| account(id).resolved(Instant::from_millis(0)));
            let window =
                Window::new(id.to_owned(), "d".to_owned(), Directory::External, None, named);
            Window { resolved, merged_into: merged_into.map(str::to_owned), ..window }
        };
        let (own, one) = (window("a", Some("u"), None), account("u"));
        let elsewhere = Window { directory_key: "e".to_owned(), ..window("b", Some("u"), None) };
        for (other, expected) in [
            (window("b", Some("u"), Some("a")), true),
            (window("b", Some("u"), Some("gone")), true),
            (window("b", Some("u"), None), true),
            (window("b", None, Some("a")), true),
            (window("b", None, None), true),
            (window("b", Some("v"), None), false),
            (elsewhere, false),
            (own.clone(), false),
        ] {
            assert_eq!(is_its_own(&own, &other, &one, &one.names()), expected, "{other:?}");
        }
    }
}
