//! Windows found by their id, account, name or session.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt, stream};
use shared_domain::{identity::matching, trail::event::Party, windows::window::Window};
use shared_storage::{ReadError, TenantScope, event_item::Damaged, keys};

use super::{
    booking::open_window,
    step::{Stored, resolved_key, stored},
    text,
};

/// Windows read side by side.
pub(super) const READ_AT_ONCE: usize = 16;

/// The window of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn window(scope: &TenantScope<'_>, id: &str) -> Result<Option<Stored>, ReadError> {
    let item = scope.database.state_item(keys::windows(&scope.tenant), id, scope.deadline).await?;
    Ok(item.map(stored).transpose()?)
}

/// The windows of those ids, [`KEYS`] at most, in any order, each as far as it can be read; those that are not there are left out.
///
/// # Errors
/// The storage did not answer.
pub async fn windows_by_id(
    scope: &TenantScope<'_>,
    ids: &[String],
) -> Result<Vec<Result<Stored, Damaged>>, ReadError> {
    let pk = keys::windows(&scope.tenant);
    let key =
        |id: &String| HashMap::from([("pk".to_owned(), text(&pk)), ("sk".to_owned(), text(id))]);
    // A call that names a key twice is refused.
    let ids: BTreeSet<&String> = ids.iter().collect();
    let keys = ids.into_iter().map(key).collect();
    Ok(scope
        .database
        .items(&scope.database.state, keys, scope.deadline)
        .await?
        .into_iter()
        .map(stored)
        .collect())
}

/// Windows, the newest first, from `before` on; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn windows(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<Window>, bool), ReadError> {
    let (items, goes_on) =
        scope.state_page(keys::windows(&scope.tenant), None, before, false).await?;
    let windows =
        items.into_iter().map(|item| stored(item).map(|it| it.window)).collect::<Result<_, _>>()?;
    Ok((windows, goes_on))
}

/// The ids of the windows that pointers name, all whose keys begin with `prefix`.
pub(super) async fn pointed(
    scope: &TenantScope<'_>,
    pk: String,
    prefix: Option<&str>,
) -> Result<Vec<String>, ReadError> {
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    loop {
        let (items, goes_on) = scope.state_page(pk.clone(), prefix, after.as_deref(), true).await?;
        for mut item in items {
            if let Some(AttributeValue::S(sk)) = item.remove("sk") {
                after = Some(sk);
            }
            if let Some(AttributeValue::S(id)) = item.remove("window") {
                ids.push(id);
            }
        }
        if !goes_on {
            return Ok(ids);
        }
    }
}

/// The windows of those ids that are still open.
async fn open_among(
    scope: &TenantScope<'_>,
    mut ids: Vec<String>,
) -> Result<Vec<Stored>, ReadError> {
    ids.sort_unstable();
    ids.dedup();
    let found: Vec<_> = stream::iter(ids)
        .map(|id| async move { window(scope, &id).await })
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().filter(|it| !it.window.is_closed()).collect())
}

/// The open windows of an account, in whatever directory.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_windows_of(
    scope: &TenantScope<'_>,
    account: &Party,
) -> Result<Vec<Stored>, ReadError> {
    open_windows_called(scope, &matching::names(account)).await
}

/// The open windows whose account is called by one of these names, folded.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_windows_called(
    scope: &TenantScope<'_>,
    names: &[String],
) -> Result<Vec<Stored>, ReadError> {
    let mut ids = Vec::new();
    for name in names {
        ids.extend(
            pointed(scope, keys::open_windows(&scope.tenant), Some(&keys::account(name))).await?,
        );
    }
    let mut windows = open_among(scope, ids).await?;
    // A key may begin like another account's.
    windows.retain(|it| names.iter().any(|name| it.window.is_called(name)));
    Ok(windows)
}

/// The open windows of a session.
pub(super) async fn open_windows_of_session(
    scope: &TenantScope<'_>,
    session: &str,
) -> Result<Vec<Stored>, ReadError> {
    let ids =
        pointed(scope, keys::session_windows(&scope.tenant), Some(&keys::session(session))).await?;
    let mut windows = open_among(scope, ids).await?;
    windows.retain(|it| it.window.sessions().contains(&session));
    Ok(windows)
}

/// The ids of all open windows.
///
/// # Errors
/// The storage did not answer.
pub async fn open_windows(scope: &TenantScope<'_>) -> Result<Vec<String>, ReadError> {
    let mut ids = pointed(scope, keys::open_windows(&scope.tenant), None).await?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The open window of the directory's own account.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_window_of(
    scope: &TenantScope<'_>,
    resolved: &str,
    directory: &str,
) -> Result<Option<Stored>, ReadError> {
    open_window(scope, &resolved_key(resolved, directory)).await
}

/// The windows of those ids that are still open.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn windows_of(scope: &TenantScope<'_>, ids: &[String]) -> Result<Vec<Window>, ReadError> {
    Ok(open_among(scope, ids.to_vec()).await?.into_iter().map(|it| it.window).collect())
}
