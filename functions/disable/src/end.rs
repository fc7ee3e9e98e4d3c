//! The end of one window: claimed, disabled, read back, closed with the events that say so.

use std::time::Duration;

use shared::{
    application::{Application, Directory},
    chance,
    event::{EventId, Party, RecordedBy},
    instant::Instant,
    store::{ReadError, Trail, document::Kind, windows::Stored},
    window::{Disabled, Due, Failure, Window},
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{
    Disable,
    directory::{Account, Connection},
};

/// How long a run has a window for itself.
const LEASE: Duration = Duration::from_secs(30);
/// What of that has to be left before the directory is asked for something that takes a while.
const LEFT: Duration = Duration::from_secs(15);
/// How long one call to the storage is tried.
const STORAGE: Duration = Duration::from_secs(10);
/// When an account is read back: at once, and again where it still says enabled.
const READ_BACK: [u64; 5] = [0, 1, 2, 4, 8];
/// How often an account has to be looked for in vain before it counts as gone.
const MISSED: u32 = 4;
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
    trail: &'h Trail<'h>,
    run: &'h str,
    stored: Stored,
    /// Whether the directory was asked to turn the account off.
    was_turned_off: bool,
}

/// Why a window is not gone on with.
enum Stop {
    /// It is somebody else's by now, or a request for it goes on.
    Lost,
    /// Its account has another window, in which this request goes on until then.
    Covered(EventId, Instant),
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
pub async fn end(function: &Disable, trail: &Trail<'_>, run: &str, stored: Stored) -> Result<Outcome, ReadError> {
    let now = function.store.clock().now();
    let trail = &trail.at(now, Deadline::now() + STORAGE);
    let by = recorder();
    let mut after = stored.window.clone();
    match stored.window.due(now) {
        Due::Later(_) | Due::Nothing => Ok(Outcome::Passed),
        Due::Covered => {
            let told = after.cover(now);
            Ok(noted(trail.advance(&stored, after, told, &by).await?, false))
        }
        Due::Overdue => {
            let told = after.overdue(now);
            Ok(noted(trail.advance(&stored, after, told, &by).await?, true))
        }
        Due::Confirmation(until) => {
            after.leave(Some(until));
            Ok(noted(trail.advance(&stored, after, Vec::new(), &by).await?, false))
        }
        Due::Disable => {
            let directory = directory_of(trail, &stored.window).await?;
            let Some(connection) = function.directories.connect(&trail.tenant, &directory) else {
                return Ok(Outcome::Passed);
            };
            match connection.admit().await {
                Ok(Ok(())) => {}
                Ok(Err(wait)) => return Ok(Outcome::Paced(wait)),
                Err(failure) => {
                    let held = Held { function, trail, run, stored, was_turned_off: false };
                    return held.postpone(failure).await;
                }
            }
            after.claim(run, now.plus(LEASE));
            let Some(stored) = trail.advance(&stored, after, Vec::new(), &by).await? else {
                return Ok(Outcome::Passed);
            };
            let mut held = Held { function, trail, run, stored, was_turned_off: false };
            match held.disable(&connection).await {
                Ok(how) => held.close(&how).await,
                Err(Stop::Lost) => held.tell_if_inside().await,
                Err(Stop::Covered(by, until)) => {
                    let mut after = held.stored.window.clone();
                    let told = after.covered_by(&by, until, held.now());
                    Ok(noted(held.trail().advance(&held.stored, after, told, &recorder()).await?, false))
                }
                Err(Stop::Failed(failure)) => held.postpone(failure).await,
            }
        }
    }
}

/// The directory that the window was opened with, by the credentials and addresses that its application has for it now: what was
/// wrong, or was replaced, can be put right.
async fn directory_of(trail: &Trail<'_>, window: &Window) -> Result<Directory, ReadError> {
    if let Some(application) = &window.application
        && let Some(document) = trail.document(Kind::Application, &application.id).await?
        && let Some(application) = document.read::<Application>()?
        && application.directory.key().as_ref() == Some(&window.directory_key)
    {
        return Ok(application.directory);
    }
    Ok(window.directory.clone())
}

fn noted(done: Option<Stored>, is_overdue: bool) -> Outcome {
    done.map_or(Outcome::Passed, |_| Outcome::Noted { is_overdue })
}

impl Held<'_> {
    fn now(&self) -> Instant {
        self.function.store.clock().now()
    }

    /// The tenant's trail, for one call more.
    fn trail(&self) -> Trail<'_> {
        self.trail.at(self.now(), Deadline::now() + STORAGE)
    }

    /// Turns the account off, and looks whether it is.
    async fn disable(&mut self, connection: &Connection<'_>) -> Result<Disabled, Stop> {
        let wanted: Party = self.stored.window.account.clone();
        let Some(account) = connection.find(&wanted).await? else {
            // A directory that was asked too soon, or half of it, knows less than it will.
            if self.stored.window.attempts + 1 < MISSED {
                let detail = "the directory knows no account of this name".to_owned();
                return Err(Failure { kind: "not_found", detail, is_refusal: false, retry_after: None }.into());
            }
            return Ok(Disabled::Gone);
        };
        if !self.stored.window.may_disable(&[
            &account.name,
            account.mail.as_ref().unwrap_or(&account.name),
            &account.id,
        ]) {
            let detail =
                "what the directory found by the account's other names is not among the application's accounts"
                    .to_owned();
            return Err(Failure { kind: "not_its_own", detail, is_refusal: true, retry_after: None }.into());
        }
        self.other_window(&account).await?;
        self.keep().await?;
        // Nothing that is sent may arrive when somebody else has the window.
        let left = self.stored.window.lease.as_ref().map_or(0, |lease| lease.until.millis() - self.now().millis());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        self.was_turned_off = true;
        match tokio::time::timeout(left, connection.turn_off(&account)).await {
            Ok(done) => done?,
            Err(_) => {
                let detail = format!("the directory did not answer within {left:?}");
                return Err(Failure { kind: "unavailable", detail, is_refusal: false, retry_after: None }.into());
            }
        }
        self.is_off(connection, &account).await
    }

    /// Looks whether the account, by the names that the directory has for it, is asked for in another window.
    async fn other_window(&self, account: &Account) -> Result<(), Stop> {
        let named = Party {
            id: Some(account.id.clone()),
            name: Some(account.name.clone()),
            email: account.mail.clone(),
            ..Party::default()
        };
        let (now, own) = (self.now(), &self.stored.window);
        for other in self.trail().open_windows_of(&named).await? {
            let other = other.window;
            if other.id == own.id || other.directory_key != own.directory_key {
                continue;
            }
            let going = other.claims.into_iter().filter(|claim| claim.goes_on(now));
            if let Some(claim) = going.max_by_key(|claim| claim.ends_at) {
                return Err(Stop::Covered(claim.event, claim.ends_at));
            }
        }
        Ok(())
    }

    /// Asks until the account reads as disabled.
    async fn is_off(&mut self, connection: &Connection<'_>, account: &Account) -> Result<Disabled, Stop> {
        for pause in READ_BACK {
            sleep(Duration::from_secs(pause)).await;
            if pause > 1 {
                self.keep().await?;
            }
            match connection.is_enabled(account).await? {
                Some(true) => {}
                Some(false) => return Ok(if account.is_enabled { Disabled::Now } else { Disabled::Before }),
                None => return Ok(Disabled::Gone),
            }
        }
        let detail = "the directory took the change, but the account still reads as enabled".to_owned();
        Err(Failure { kind: "not_disabled", detail, is_refusal: false, retry_after: None }.into())
    }

    /// Makes sure that the window is still this run's, for long enough, and that nobody changed when it ends.
    async fn keep(&mut self) -> Result<(), Stop> {
        let now = self.now();
        // A request that was to begin later may have begun.
        if !self.was_turned_off && self.stored.window.claims.iter().any(|claim| claim.goes_on(now)) {
            let mut after = self.stored.window.clone();
            after.leave(None);
            self.trail().advance(&self.stored, after, Vec::new(), &recorder()).await?;
            return Err(Stop::Lost);
        }
        let is_short = self.stored.window.lease.as_ref().is_none_or(|lease| lease.until <= now.plus(LEFT));
        if is_short {
            let mut after = self.stored.window.clone();
            after.claim(self.run, now.plus(LEASE));
            let kept = self.trail().advance(&self.stored, after, Vec::new(), &recorder()).await?;
            self.stored = kept.ok_or(Stop::Lost)?;
            return Ok(());
        }
        let there = self.trail().window(&self.stored.window.id).await?;
        if there.as_ref() == Some(&self.stored) { Ok(()) } else { Err(Stop::Lost) }
    }

    /// Closes the window, with the events that say that its account is disabled.
    async fn close(self, how: &Disabled) -> Result<Outcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        let lateness =
            Duration::from_millis(u64::try_from(now.millis() - after.planned_end(now).millis()).unwrap_or(0));
        let told = after.disabled(how, now);
        if self.trail().advance(&self.stored, after, told, &recorder()).await?.is_some() {
            return Ok(Outcome::Disabled(lateness));
        }
        self.tell_if_inside().await
    }

    /// Somebody changed the window while the account was turned off. We never turn one on: where the window goes on, somebody has to
    /// know.
    async fn tell_if_inside(self) -> Result<Outcome, ReadError> {
        if self.was_turned_off {
            let now = self.now();
            let decide = |window: &mut Window| -> Result<_, ReadError> { Ok(window.disabled_inside(now)) };
            self.trail().change_window(&self.stored.window.id, &recorder(), decide).await?;
        }
        Ok(Outcome::Passed)
    }

    /// Leaves the window for another try.
    async fn postpone(self, failure: Failure) -> Result<Outcome, ReadError> {
        let now = self.now();
        let mut after = self.stored.window.clone();
        let again_at = now.plus(pause(after.attempts, &failure));
        let told = after.failed(&failure, again_at, now);
        match self.trail().advance(&self.stored, after, told, &recorder()).await? {
            Some(_) => Ok(Outcome::Failed(failure)),
            None => self.tell_if_inside().await,
        }
    }
}

/// How long to wait after so many tries.
pub fn pause(attempts: u32, failure: &Failure) -> Duration {
    let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(attempts.min(10)));
    // What somebody has to change first will hardly be changed within seconds.
    let longest = if failure.is_refusal { LONGEST_PAUSE } else { longest };
    let pause = longest / 2 + chance::up_to(longest / 2);
    failure.retry_after.map_or(pause, |asked| asked.max(pause))
}
