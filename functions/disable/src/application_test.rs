//! The test of an application: connects to its directory as an end of a window would, and looks an
//! account up. It changes nothing in the directory.
//!
//! It has caches of its own, so it signs in with the secret as it is now, and no end of a window
//! waits for its token. It takes nothing from the budget of writes, and never tries again.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use serde_json::{Value, json};
use shared::{
    domain::{
        configuration::{
            application::Application, application_test::FoundAccount, document::Configured,
        },
        trail::event::Tenant,
        windows::revocation::{Failure, NOT_FOUND},
    },
    platform::random,
    services::{
        application_tests,
        directories::{Account, Connection, Name},
        documents,
    },
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::{Disable, end::STORAGE, resolve::not_its_own};

/// Time limit of one test. With a reserved concurrency, a test takes the place of a run.
const LASTS: Duration = Duration::from_secs(15);

/// Carries out the test with that id and stores its result. Does nothing if the test has a result,
/// a newer one was requested, or the application was deleted.
///
/// # Errors
/// The storage did not answer. The test still waits.
pub async fn test(
    function: &Disable,
    tenant: &Tenant,
    application: &str,
    id: &str,
) -> Result<Value, ReadError> {
    let database = &function.database;
    let scope = database.scope(tenant, database.clock().now(), Deadline::now() + STORAGE).await?;
    let waiting = application_tests::waiting(&scope, application, id).await?;
    let configured = documents::get::<Application>(&scope, application).await?;
    let (Some(waiting), Some(configured)) = (waiting, configured) else {
        return Ok(json!({"tested": null}));
    };
    let Configured { document, version, .. } = configured;
    let looking = look(function, tenant, &document, waiting.account.as_deref());
    let looking = AssertUnwindSafe(tokio::time::timeout(LASTS, looking)).catch_unwind();
    let found = match looking.await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => {
            Err(format!("the directory did not answer all requests of the test within {LASTS:?}"))
        }
        Err(_) => Err("an internal error occurred while this service read the directory's response; see its log".to_owned()),
    };
    let (found, error) = match found {
        Ok(found) => {
            let refused = found.as_ref().filter(|found| !found.bears_any(&document.accounts));
            let error = refused.map(|refused| not_its_own(refused).detail);
            (found, error)
        }
        Err(error) => (None, Some(error)),
    };
    let found = found.map(|Account { id, name, is_enabled, is_foreign, .. }| FoundAccount {
        id,
        name,
        is_enabled,
        is_foreign,
    });
    let scope = scope.at(database.clock().now(), Deadline::now() + STORAGE);
    let done = waiting.done(version, found, error, scope.now);
    application_tests::finish(&scope, application, id, &done).await?;
    Ok(json!({"tested": application, "state": done.state}))
}

/// The account that the test names, if it names one. The error is a sentence for people.
async fn look(
    function: &Disable,
    tenant: &Tenant,
    application: &Application,
    account: Option<&str>,
) -> Result<Option<Account>, String> {
    let directories = function.directories.without_caches(function.database.clone());
    let Some(connection) = directories.connect(tenant, &application.directory) else {
        return Err("the application's directory is external: its portal disables the accounts, so there is nothing to test".to_owned());
    };
    let found = match account {
        Some(account) => look_up(&connection, account).await.map(Some),
        None => look_for_nobody(&connection).await.map(|()| None),
    };
    found.map_err(|failure| failure.detail)
}

/// Looks an account up by the text that an administrator typed: as an address or a name, as windows
/// do, and then as an id.
async fn look_up(connection: &Connection<'_>, text: &str) -> Result<Account, Failure> {
    let name = if text.contains('@') { Name::Email(text) } else { Name::Given(text) };
    let found = match connection.look_up(name).await? {
        Some(found) => Some(found),
        None => match connection.look_up(Name::Id(text)).await {
            // A directory may refuse a text that cannot be one of its ids.
            Err(failure) if failure.kind == "refused" => None,
            found => found?,
        },
    };
    found.ok_or_else(|| Failure {
        kind: NOT_FOUND,
        detail: "the directory has no account with this name".to_owned(),
        is_refusal: false,
        retry_after: None,
    })
}

/// Looks for a name that no account has. That the directory has none proves the address, the secret
/// and the permission to read accounts.
async fn look_for_nobody(connection: &Connection<'_>) -> Result<(), Failure> {
    let nobody = format!("jit-audit-test-{:016x}", random::number());
    match connection.look_up(Name::Given(&nobody)).await? {
        None => Ok(()),
        Some(found) => Err(Failure {
            kind: "ambiguous",
            detail: format!(
                "the directory returned the account {:?} for a name that no account has, so it does not look names up",
                found.name
            ),
            is_refusal: true,
            retry_after: None,
        }),
    }
}
