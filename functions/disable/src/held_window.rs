//! A window whose lease this run holds: its account is disabled and verified, and the window is
//! closed or left for a retry.

use std::time::Duration;

use shared::{
    domain::{
        time::timestamp::Instant,
        windows::{
            revocation::{Disabled, Failure, NOT_FOUND},
            window::Window,
        },
    },
    services::{
        directories::{Account, Connection},
        windows::{self, Stored},
    },
    storage::{ReadError, TenantScope},
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{
    Disable,
    end::{STORAGE, WindowOutcome, recorder},
    resolve,
    retry_pause::{BACKOFF, pause},
};

/// The duration of a lease on a window.
const LEASE: Duration = Duration::from_secs(30);
/// The part of it that must be left before a slow call to the directory.
const LEFT: Duration = Duration::from_secs(15);
/// When an account is read back, in seconds: at once, and again while it is still enabled.
const READ_BACK: [u64; 5] = [0, 1, 2, 4, 8];

/// A window whose lease this run holds.
pub(crate) struct HeldWindow<'h> {
    pub(crate) function: &'h Disable,
    pub(crate) scope: &'h TenantScope<'h>,
    pub(crate) run: &'h str,
    pub(crate) stored: Stored,
    /// Whether the directory was told to disable the account.
    pub(crate) was_turned_off: bool,
}

/// Why the work on a window stops.
pub(crate) enum Stop {
    /// The lease is lost, or another request keeps the account enabled.
    Lost,
    /// The directory does not find the account.
    Missing,
    /// The directory or the storage failed.
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

impl HeldWindow<'_> {
    fn now(&self) -> Instant {
        self.function.database.clock().now()
    }

    /// The tenant's scope with a new deadline for one call.
    pub(crate) fn scope(&self) -> TenantScope<'_> {
        self.scope.at(self.now(), Deadline::now() + STORAGE)
    }

    /// Takes the window's lease, unless this run holds it. False after a concurrent change.
    pub(crate) async fn claim(&mut self) -> Result<bool, ReadError> {
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

    /// Disables the account and verifies it.
    pub(crate) async fn disable(&mut self, connection: &Connection<'_>) -> Result<Disabled, Stop> {
        let Some(id) = self.stored.window.resolved.as_ref().map(|account| account.id.clone())
        else {
            return Err(Stop::Lost);
        };
        let Some(account) = connection.account(&id).await? else { return Err(Stop::Missing) };
        self.join_others(&account).await?;
        self.keep().await?;
        // The lease must outlast the request, so that nothing arrives while another run holds the
        // window.
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
                let detail = format!("the directory did not respond within {left:?}");
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

    /// Joins other open windows of this account: the directory could not resolve them yet, or only
    /// some of their requests. All of these requests count before the account is disabled.
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

    /// Reads the account until it is disabled.
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
        let detail = "the directory accepted the change, but still reports the account as enabled"
            .to_owned();
        Err(Failure { kind: "not_disabled", detail, is_refusal: false, retry_after: None }.into())
    }

    /// Verifies that this run still holds the lease for long enough, and that the window's end is
    /// unchanged.
    async fn keep(&mut self) -> Result<(), Stop> {
        let now = self.now();
        // A request with a later start may have started.
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

    /// Closes the window, with the events that its account is disabled.
    pub(crate) async fn close(self, how: &Disabled) -> Result<WindowOutcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        let lateness = Duration::from_millis(
            u64::try_from(now.millis() - after.planned_end(now).millis()).unwrap_or(0),
        );
        let events = after.disabled(how, now);
        if windows::advance(&self.scope(), &self.stored, after, events, &recorder())
            .await?
            .is_some()
        {
            return Ok(WindowOutcome::Disabled(lateness));
        }
        self.record_if_inside().await
    }

    /// The window was changed while the account was disabled. The service never enables an account,
    /// so if the window continues, this is recorded for an operator.
    pub(crate) async fn record_if_inside(self) -> Result<WindowOutcome, ReadError> {
        if self.was_turned_off {
            let now = self.now();
            let decide =
                |window: &mut Window| -> Result<_, ReadError> { Ok(window.disabled_inside(now)) };
            windows::change_window(&self.scope(), &self.stored.window.id, &recorder(), decide)
                .await?;
        }
        Ok(WindowOutcome::Passed)
    }

    /// The directory does not find the account. A single such response proves nothing.
    pub(crate) async fn miss(
        mut self,
        connection: &Connection<'_>,
    ) -> Result<WindowOutcome, ReadError> {
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
                Ok(true) => Ok(WindowOutcome::Passed),
                Ok(false) => self.close(&Disabled::Gone).await,
                Err(failure) => self.postpone(failure, false).await,
            };
        }
        self.stored.window.missing = after.missing;
        let known = after.resolved.map(|account| account.id).unwrap_or_default();
        let detail = format!("the directory no longer finds the account {known:?}");
        let failure = Failure { kind: NOT_FOUND, detail, is_refusal: false, retry_after: None };
        self.postpone(failure, false).await
    }

    /// Leaves the window for a retry.
    pub(crate) async fn postpone(
        self,
        failure: Failure,
        is_unresolved: bool,
    ) -> Result<WindowOutcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        let again_at = now.plus(pause(BACKOFF, after.attempts, &failure));
        let mut events = Vec::new();
        if is_unresolved {
            events.extend(after.unresolved(&failure, again_at, now));
        }
        events.extend(after.failed(&failure, again_at, now));
        match windows::advance(&self.scope(), &self.stored, after, events, &recorder()).await? {
            Some(_) => Ok(WindowOutcome::Failed(failure)),
            None => self.record_if_inside().await,
        }
    }
}

/// Whether another window belongs to the account of a window that is about to end.
fn is_its_own(own: &Window, other: &Window, account: &Account, names: &[String]) -> bool {
    let is_of_account = match (&other.merged_into, &other.resolved) {
        (Some(older), _) if *older == own.id => true,
        (_, Some(resolved)) => resolved.id == account.id,
        (_, None) => names.contains(&other.key()),
    };
    other.id != own.id && other.directory_key == own.directory_key && is_of_account
}

#[cfg(test)]
mod tests {
    use shared::domain::{configuration::directory::Directory, trail::event::Party};

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
