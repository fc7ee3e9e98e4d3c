//! Resolves which account in the directory a window covers. Each name is looked up soon after the
//! window opens, and the directory's own id is stored, so a later rename has no effect.

use std::time::Duration;

use shared::{
    domain::{
        configuration::{application::Application, directory::Directory},
        text::case_folding::fold_identity,
        time::{backoff::Backoff, timestamp::Instant},
        trail::event::Party,
        windows::{
            due::Due,
            resolution::{ForeignName, ResolvedAccount},
            revocation::{Failure, NOT_FOUND},
            window::Window,
            window_event::WindowEvent,
        },
    },
    services::{
        directories::{Account, Connection, Name},
        documents,
        windows::{self, Stored},
    },
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use crate::{
    Disable,
    end::{STORAGE, WindowOutcome, recorder},
    retry_pause::pause,
};

/// Time limit of one attempt.
const LOOKUPS: Duration = Duration::from_secs(20);
/// Pauses between two tries before the window ends.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(600) };
/// Requests whose names are looked up in one attempt.
const REQUESTS: usize = 4;
/// Requests that are moved to another window in one transaction.
const MOVED: usize = 8;
/// Maximum number of applications of one window whose credentials are tried.
const MOST_APPLICATIONS: usize = 10;

/// The applications whose requests are in a window, as they are configured now.
pub struct Applications {
    /// The window's directory, with the credentials of each application.
    pub directories: Vec<Directory>,
    /// The accounts that may be disabled.
    patterns: Vec<String>,
}

/// The directory's results for a window's names.
struct Found {
    account: ResolvedAccount,
    looked_up: Vec<usize>,
    foreign: Vec<ForeignName>,
    /// A request whose key now belongs to another account than the window's.
    parted: Option<(usize, ResolvedAccount)>,
}

impl Applications {
    /// The applications of a window. One that was deleted, cannot be read or moved to another
    /// directory is used as it was when the window was opened, but only if there is no other.
    pub async fn of(scope: &TenantScope<'_>, window: &Window) -> Result<Self, ReadError> {
        let opener = window.application.as_ref().map(|application| application.id.as_str());
        let mut ids: Vec<&str> = Vec::new();
        for id in opener
            .into_iter()
            .chain(window.claims.iter().filter_map(|claim| claim.application.as_deref()))
        {
            if !ids.contains(&id) && ids.len() < MOST_APPLICATIONS {
                ids.push(id);
            }
        }
        let mut applications = Self { directories: Vec::new(), patterns: Vec::new() };
        for id in ids {
            let application = match documents::get::<Application>(scope, id).await {
                Ok(Some(application)) => application.document,
                Ok(None) => continue,
                // No window may wait until the application is repaired.
                Err(ReadError::Damaged(error)) => {
                    tracing::error!(%error, "the application {id} of {} cannot be read: {error}", scope.tenant);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if application.directory.key().as_ref() == Some(&window.directory_key) {
                applications.patterns.extend(application.accounts);
                if !applications.directories.contains(&application.directory) {
                    applications.directories.push(application.directory);
                }
            }
        }
        if applications.directories.is_empty() {
            applications.directories.push(window.directory.clone());
            applications
                .patterns
                .extend(window.application.iter().flat_map(|it| it.accounts.clone()));
        }
        Ok(applications)
    }

    /// Whether the account may be disabled, by any of its names.
    pub fn allow(&self, account: &Account) -> bool {
        account.bears_any(&self.patterns)
    }
}

/// The failure if the application does not allow the account that a name means.
pub(crate) fn not_its_own(found: &Account) -> Failure {
    let detail = format!(
        "the account in the directory, {:?}, matches no account pattern of the application",
        found.name
    );
    Failure { kind: "not_its_own", detail, is_refusal: true, retry_after: None }
}

/// Resolves the account of a window that has not ended.
pub async fn resolve(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: Stored,
) -> Result<WindowOutcome, ReadError> {
    let now = function.database.clock().now();
    let scope = &scope.at(now, Deadline::now() + STORAGE);
    if stored.window.due(now) != Due::Resolve {
        return Ok(WindowOutcome::Passed);
    }
    match settle(function, scope, &stored).await? {
        Ok(_) => Ok(WindowOutcome::Resolved),
        Err(failure) => postpone(function, scope, &stored, failure).await,
    }
}

/// Schedules another attempt to resolve a window's account.
pub async fn postpone(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: &Stored,
    failure: Failure,
) -> Result<WindowOutcome, ReadError> {
    let now = function.database.clock().now();
    let mut after = stored.window.clone();
    let again_at = now.plus(pause(BACKOFF, after.resolution.tries, &failure));
    let events = after.unresolved(&failure, again_at, now);
    let scope = scope.at(now, Deadline::now() + STORAGE);
    let done = windows::advance(&scope, stored, after, events, &recorder()).await?;
    Ok(done.map_or(WindowOutcome::Passed, |_| WindowOutcome::Unresolved(failure)))
}

/// Resolves the window's account in the directory and stores the result in a step of its own. None
/// if the window was changed concurrently, or its requests moved to another window.
///
/// # Errors
/// The storage did not answer. The inner error says why the directory could not resolve the
/// account.
pub async fn settle(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: &Stored,
) -> Result<Result<Option<Stored>, Failure>, ReadError> {
    let window = &stored.window;
    if let Some(older) = &window.merged_into {
        return move_on(function, scope, stored, older).await.map(Ok);
    }
    let applications = Applications::of(scope, window).await?;
    let mut failed = None;
    for directory in &applications.directories {
        let Some(connection) = function.directories.connect(&scope.tenant, directory) else {
            return Ok(Ok(None));
        };
        let finding = find(&connection, window, &applications, function.database.clock().now());
        match tokio::time::timeout(LOOKUPS, finding).await {
            Ok(Ok(Found { parted: Some((place, account)), .. })) => {
                return part(function, scope, stored, place, account).await.map(|()| Ok(None));
            }
            Ok(Ok(found)) => return adopt(function, scope, stored, found).await.map(Ok),
            Ok(Err(failure)) if failure.is_of_credentials() => {
                failed.get_or_insert(failure);
            }
            Ok(Err(failure)) => return Ok(Err(failure)),
            Err(_) => {
                let detail = format!("the directory did not respond within {LOOKUPS:?}");
                return Ok(Err(Failure {
                    kind: "unavailable",
                    detail,
                    is_refusal: false,
                    retry_after: None,
                }));
            }
        }
    }
    Ok(failed.map_or(Ok(None), Err))
}

/// The directory's results for the names of a window that were not looked up yet.
async fn find(
    connection: &Connection<'_>,
    window: &Window,
    applications: &Applications,
    now: Instant,
) -> Result<Found, Failure> {
    let mut names: Vec<(Name<'_>, Option<Account>)> = Vec::new();
    let account = match &window.resolved {
        Some(known) => known.clone(),
        None => {
            let key = Name::all(&window.account).next();
            let found = match key {
                Some(key) => connection.look_up(key).await?,
                None => None,
            };
            names.extend(key.map(|key| (key, found.clone())));
            let Some(found) = found else {
                return Err(not_found(connection, &window.account).await);
            };
            if !applications.allow(&found) {
                return Err(not_its_own(&found));
            }
            found.resolved(now)
        }
    };
    let first = window.resolved.is_none().then_some((0, &window.account)).into_iter();
    let later =
        window.claims.iter().enumerate().filter(|(_, claim)| !claim.is_done && !claim.is_looked_up);
    let later =
        later.filter_map(|(place, claim)| Some((place, claim.account.as_ref()?))).take(REQUESTS);
    let looked_up: Vec<usize> = later.clone().map(|(place, _)| place).collect();
    let mut foreign = Vec::new();
    for (claim, party) in first.chain(later) {
        for name in Name::all(party) {
            let known =
                names.iter().find(|(known, _)| *known == name).map(|(_, found)| found.clone());
            let found = match known {
                Some(found) => found,
                None => other(connection, name).await?,
            };
            let is_key =
                Name::all(party).next() == Some(name) && fold_identity(name.text()) == window.key();
            if let Some(found) = found.as_ref().filter(|found| found.id != account.id) {
                if is_key && window.resolved.is_some() && applications.allow(found) {
                    let parted = Some((claim, found.resolved(now)));
                    return Ok(Found {
                        account,
                        looked_up: Vec::new(),
                        foreign: Vec::new(),
                        parted,
                    });
                }
                let (name, account) = (name.text().to_owned(), found.name.clone());
                foreign.push(ForeignName { claim, name, account });
            }
            names.push((name, found));
        }
    }
    Ok(Found { account, looked_up, foreign, parted: None })
}

/// The account of a name that does not decide which account a window covers. None if the directory
/// cannot decide.
async fn other(connection: &Connection<'_>, name: Name<'_>) -> Result<Option<Account>, Failure> {
    match connection.look_up(name).await {
        Err(failure) if ["ambiguous", "refused", "no_filter"].contains(&failure.kind) => Ok(None),
        answer => answer,
    }
}

/// The failure if a directory has no account for a window's key, with the results for its other
/// names.
async fn not_found(connection: &Connection<'_>, account: &Party) -> Failure {
    let mut names = Name::all(account);
    let key = names.next().map(Name::text).unwrap_or_default();
    let mut detail = format!("the directory has no account {key:?}");
    for name in names {
        if let Ok(Some(found)) = connection.look_up(name).await {
            detail.push_str(&format!(
                "; the name {:?} refers to the account {:?}, which is not changed",
                name.text(),
                found.name
            ));
        }
    }
    Failure { kind: NOT_FOUND, detail, is_refusal: false, retry_after: None }
}

/// Stores the resolved account. If another window of the account is open, the requests of the
/// younger window move to the older one.
async fn adopt(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: &Stored,
    Found { account, looked_up, foreign, .. }: Found,
) -> Result<Option<Stored>, ReadError> {
    let now = function.database.clock().now();
    let scope = scope.at(now, Deadline::now() + STORAGE);
    let mut after = stored.window.clone();
    let other = windows::open_window_of(&scope, &account.id, &after.directory_key).await?;
    let events = after.resolve(account, &looked_up, &foreign, now);
    match other.filter(|other| other.window.id != after.id) {
        None => windows::advance(&scope, stored, after, events, &recorder()).await,
        Some(other) => {
            become_one(&scope, (stored, after, events), &other, now).await?;
            Ok(None)
        }
    }
}

/// Moves a request to the window of the account to which its key now belongs.
async fn part(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: &Stored,
    place: usize,
    account: ResolvedAccount,
) -> Result<(), ReadError> {
    let now = function.database.clock().now();
    let scope = scope.at(now, Deadline::now() + STORAGE);
    let mut after = stored.window.clone();
    let other = windows::open_window_of(&scope, &account.id, &after.directory_key).await?;
    let mut other_after = match &other {
        Some(other) => other.window.clone(),
        None => {
            let Window { directory_key, directory, application, claims, .. } = after.clone();
            let id = Window::id_of(&scope.tenant, &claims[place].event, now);
            let named = claims[place].account.clone().unwrap_or_else(|| after.account.clone());
            let window = Window::new(id, directory_key, directory, application, named);
            Window { resolved: Some(account.clone()), ..window }
        }
    };
    let events = after.part(place, &mut other_after, &account, now);
    windows::merge(&scope, (stored, &after), (other.as_ref(), &other_after), events, &recorder())
        .await?;
    Ok(())
}

/// Handles an account whose id has not been found for so long that it counts as gone. Its name may
/// belong to another account now; then the window covers that account from now on. Returns whether
/// it does.
///
/// # Errors
/// The storage did not answer. The inner error says why the directory could not resolve the
/// account.
pub async fn is_replaced(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: &Stored,
    connection: &Connection<'_>,
) -> Result<Result<bool, Failure>, ReadError> {
    let applications = Applications::of(scope, &stored.window).await?;
    let found = match Name::all(&stored.window.account).next() {
        Some(key) => connection.look_up(key).await,
        None => Ok(None),
    };
    let account = match found {
        Ok(Some(account)) if applications.allow(&account) => {
            account.resolved(function.database.clock().now())
        }
        Ok(_) => return Ok(Ok(false)),
        Err(failure) => return Ok(Err(failure)),
    };
    let found = Found { account, looked_up: Vec::new(), foreign: Vec::new(), parted: None };
    adopt(function, scope, stored, found).await.map(|_| Ok(true))
}

/// Moves further requests of a window that is being merged. No directory is called.
pub async fn go_on_merging(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: Stored,
) -> Result<WindowOutcome, ReadError> {
    let Some(older) = &stored.window.merged_into else { return Ok(WindowOutcome::Passed) };
    move_on(function, scope, &stored, older).await?;
    Ok(WindowOutcome::Noted { is_overdue: false })
}

/// Moves requests of the younger of two windows of one account to the older one. False after a
/// concurrent change.
pub async fn become_one(
    scope: &TenantScope<'_>,
    (stored, after, events): (&Stored, Window, Vec<WindowEvent>),
    other: &Stored,
    now: Instant,
) -> Result<bool, ReadError> {
    let mut other_after = other.window.clone();
    let by = recorder();
    // A window that is being merged itself accepts no requests.
    if after.id < other_after.id || other_after.merged_into.is_some() {
        let (mut after, mut events) = (after, events);
        let moved = other_after.hand_over(&mut after, &mut events, MOVED, now);
        return windows::merge(
            scope,
            (other, &other_after),
            (Some(stored), &after),
            (moved, events),
            &by,
        )
        .await;
    }
    let mut after = after;
    if other_after.resolved.is_none() {
        other_after.take_over(after.resolved.clone());
    }
    let mut folded = Vec::new();
    let moved = after.hand_over(&mut other_after, &mut folded, MOVED, now);
    let events = events.into_iter().chain(moved).collect();
    windows::merge(scope, (stored, &after), (Some(other), &other_after), (events, folded), &by)
        .await
}

/// Moves the remaining requests to the older window.
async fn move_on(
    function: &Disable,
    scope: &TenantScope<'_>,
    stored: &Stored,
    older: &str,
) -> Result<Option<Stored>, ReadError> {
    let now = function.database.clock().now();
    let scope = scope.at(now, Deadline::now() + STORAGE);
    let mut after = stored.window.clone();
    let mut open = windows::window(&scope, older).await?.filter(|it| !it.window.is_closed());
    if let (None, Some(account)) = (&open, &after.resolved) {
        // The older window has ended meanwhile, and another one may be open.
        let other = windows::open_window_of(&scope, &account.id, &after.directory_key).await?;
        open = other.filter(|other| other.window.id != after.id);
    }
    match open {
        Some(older) => {
            let mut older_after = older.window.clone();
            let mut folded = Vec::new();
            let moved = after.hand_over(&mut older_after, &mut folded, MOVED, now);
            windows::merge(
                &scope,
                (stored, &after),
                (Some(&older), &older_after),
                (moved, folded),
                &recorder(),
            )
            .await?;
            Ok(None)
        }
        // The remaining requests stay in this window.
        None => {
            after.merged_into = None;
            windows::advance(&scope, stored, after, Vec::new(), &recorder()).await
        }
    }
}
