//! Finds windows by id, account, name or session.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use shared_domain::{
    identity::matching,
    trail::{event::Party, search::Order},
    windows::window::Window,
};
use shared_storage::{
    ReadError, TenantScope, attributes::key, event_item::Damaged, keys, partitions::Partition,
};

use super::{
    booking::open_window,
    step::{Stored, stored},
};

/// Windows read concurrently.
pub(super) const READ_AT_ONCE: usize = 16;

pub async fn window(scope: &TenantScope<'_>, id: &str) -> Result<Option<Stored>, ReadError> {
    let item = scope.database.state_item(keys::windows(&scope.tenant), id, scope.deadline).await?;
    Ok(item.map(stored).transpose()?)
}

/// The windows with these ids, at most [`KEYS`], in any order. Each may be unreadable; missing ones
/// are left out.
pub async fn windows_by_id(
    scope: &TenantScope<'_>,
    ids: &[String],
) -> Result<Vec<Result<Stored, Damaged>>, ReadError> {
    let pk = keys::windows(&scope.tenant);
    // DynamoDB rejects a request that contains a key twice.
    let ids: BTreeSet<&String> = ids.iter().collect();
    let keys = ids.into_iter().map(|id| key(&pk, id)).collect();
    Ok(scope
        .database
        .items(&scope.database.state, keys, scope.deadline)
        .await?
        .into_iter()
        .map(stored)
        .collect())
}

/// Windows before `before`, the newest first, and whether there may be more.
pub async fn windows(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<Window>, bool), ReadError> {
    let partition = Partition::new(keys::windows(&scope.tenant)).in_order(Order::Descending);
    let page = scope.page(&partition, before).await?;
    let window = |item| stored(item).map(|it| it.window);
    let windows = page.items.into_iter().map(window).collect::<Result<_, _>>()?;
    Ok((windows, page.next.is_some()))
}

/// The ids of the windows to which items point whose keys start with `prefix`.
pub(super) async fn pointed(
    scope: &TenantScope<'_>,
    pk: String,
    prefix: Option<&str>,
) -> Result<Vec<String>, ReadError> {
    let partition = Partition::new(pk);
    let partition = match prefix {
        Some(prefix) => partition.beginning_with(prefix),
        None => partition,
    };
    scope.all(&partition, |mut item| item.take_text("window")).await
}

/// The windows with these ids that are still open.
async fn open_among(
    scope: &TenantScope<'_>,
    mut ids: Vec<String>,
) -> Result<Vec<Stored>, ReadError> {
    ids.sort_unstable();
    ids.dedup();
    let reads: Vec<_> = ids.into_iter().map(|id| async move { window(scope, &id).await }).collect();
    let found: Vec<_> = stream::iter(reads).buffered(READ_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().filter(|it| !it.window.is_closed()).collect())
}

/// The open windows of an account in any directory.
pub async fn open_windows_of(
    scope: &TenantScope<'_>,
    account: &Party,
) -> Result<Vec<Stored>, ReadError> {
    open_windows_called(scope, &matching::names(account)).await
}

/// The open windows whose account has one of these names, folded.
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
    // The key of another account may start with the same name.
    windows.retain(|it| names.iter().any(|name| it.window.is_called(name)));
    Ok(windows)
}

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

pub async fn open_windows(scope: &TenantScope<'_>) -> Result<Vec<String>, ReadError> {
    let mut ids = pointed(scope, keys::open_windows(&scope.tenant), None).await?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The open window of the account with that id in the directory.
pub async fn open_window_of(
    scope: &TenantScope<'_>,
    resolved: &str,
    directory: &str,
) -> Result<Option<Stored>, ReadError> {
    open_window(scope, &keys::open_window_by_id(resolved, directory)).await
}

/// The windows with these ids that are still open.
pub async fn windows_of(scope: &TenantScope<'_>, ids: &[String]) -> Result<Vec<Window>, ReadError> {
    Ok(open_among(scope, ids.to_vec()).await?.into_iter().map(|it| it.window).collect())
}
