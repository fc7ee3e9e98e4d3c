//! The lists of windows that are not closed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::OnceLock,
};

use futures::{StreamExt, TryStreamExt, stream};
use shared_domain::{
    trail::{event::RecordedBy, search::Order},
    windows::window::Window,
};
use shared_storage::{
    ReadError, TenantScope, attributes::text, event_item::Damaged, get_events::KEYS, keys,
    partitions::Partition, transaction::Change,
};
use tokio::time::Instant as Deadline;

use super::{
    lookup::{READ_AT_ONCE, open_windows, pointed, windows_by_id},
    step::{Stored, advance},
};

/// The time limit for adding a chunk of windows to the lists.
const FOR_A_CHUNK: std::time::Duration = std::time::Duration::from_secs(20);
/// Windows of a list that are read at a time.
pub const OF_A_LIST: usize = KEYS;

/// The windows that are not closed: overdue ones, others, or both.
pub fn live_windows<'t>(
    scope: &'t TenantScope<'_>,
    overdue: bool,
    others: bool,
) -> LiveWindows<'t> {
    LiveWindows { scope, overdue, others, unlisted: OnceLock::new() }
}

/// Whether the lists are complete. Windows from before the lists may be missing.
pub async fn has_all_listed(scope: &TenantScope<'_>) -> Result<bool, ReadError> {
    let list = keys::live_windows(&scope.tenant);
    Ok(scope.database.state_item(list, keys::ALL_ARE_LISTED, scope.deadline).await?.is_some())
}

/// Adds windows from before the lists to them. Afterwards searches rely on the lists. Only missing
/// windows are read, so the next call continues where this one stopped.
pub async fn list_windows(scope: &TenantScope<'_>, by: &RecordedBy) -> Result<(), ReadError> {
    if has_all_listed(scope).await? {
        return Ok(());
    }
    let mut listed: HashSet<String> = HashSet::new();
    for list in [keys::live_windows(&scope.tenant), keys::overdue_windows(&scope.tenant)] {
        listed.extend(pointed(scope, list, None).await?);
    }
    let ids: BTreeSet<String> =
        open_windows(scope).await?.into_iter().filter(|id| !listed.contains(id)).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    for chunk in ids.chunks(OF_A_LIST) {
        let scope = &scope.at(scope.database.clock.now(), Deadline::now() + FOR_A_CHUNK);
        // An unreadable window must not block the others. Its repair is a step, which adds it to
        // the list.
        let readable = windows_by_id(scope, chunk).await?.into_iter().filter_map(|it| match it {
            Ok(window) => Some(window),
            Err(error) => {
                tracing::error!(%error, "an open window of {} cannot be listed: {error}", scope.tenant);
                None
            }
        });
        let unlisted = readable.filter(|it| !it.window.is_closed() && !it.is_listed);
        // A concurrent step of the window adds it to the list.
        let steps: Vec<_> = unlisted
            .map(|it| async move {
                advance(scope, &it, it.window.clone(), Vec::new(), by).await.map(drop)
            })
            .collect();
        stream::iter(steps).buffer_unordered(READ_AT_ONCE).try_collect::<()>().await?;
    }
    let complete =
        vec![("pk", text(keys::live_windows(&scope.tenant))), ("sk", text(keys::ALL_ARE_LISTED))];
    scope
        .database
        .alone(Change::Insert(complete), Deadline::now() + FOR_A_CHUNK, &mut false)
        .await?;
    Ok(())
}

/// The windows that are not closed: overdue ones, others, or both.
#[derive(Debug)]
pub struct LiveWindows<'t> {
    scope: &'t TenantScope<'t>,
    overdue: bool,
    others: bool,
    /// All ids, if windows may be missing in the lists; set by the first page.
    unlisted: OnceLock<Option<Vec<String>>>,
}

/// A page of ids before `before`, the newest first, and whether there are more.
fn page_of(ids: &[String], before: Option<&str>) -> (Vec<String>, bool) {
    let begin = before.map_or(0, |before| ids.partition_point(|id| id.as_str() >= before));
    let page: Vec<String> = ids[begin..].iter().take(OF_A_LIST).cloned().collect();
    let goes_on = begin + page.len() < ids.len();
    (page, goes_on)
}

impl LiveWindows<'_> {
    /// A page before `before`, the newest first, and whether there may be more. Each id comes with
    /// its window, if that still belongs in the list.
    pub async fn page(
        &self,
        before: Option<&str>,
    ) -> Result<(Vec<(String, Option<Window>)>, bool), ReadError> {
        let (ids, windows, goes_on) = self.read(before).await?;
        let mut found = HashMap::with_capacity(ids.len());
        for window in windows {
            let window = window?.window;
            found.insert(window.id.clone(), window);
        }
        let is_in = |window: &Window| {
            !window.is_closed() && if window.is_overdue { self.overdue } else { self.others }
        };
        let windows = ids.into_iter().map(|id| {
            let window = found.remove(&id).filter(is_in);
            (id, window)
        });
        Ok((windows.collect(), goes_on))
    }

    /// The ids of a page before `before`, the newest first; their readable windows in any order;
    /// and whether there may be more.
    #[allow(clippy::type_complexity)]
    pub async fn read(
        &self,
        before: Option<&str>,
    ) -> Result<(Vec<String>, Vec<Result<Stored, Damaged>>, bool), ReadError> {
        let (ids, goes_on) = match self.unlisted.get() {
            None => {
                let (is_complete, listed) =
                    futures::try_join!(has_all_listed(self.scope), self.ids(before))?;
                let unlisted = if is_complete { None } else { Some(self.all_ids().await?) };
                match self.unlisted.get_or_init(|| unlisted) {
                    Some(ids) => page_of(ids, before),
                    None => listed,
                }
            }
            Some(Some(ids)) => page_of(ids, before),
            Some(None) => self.ids(before).await?,
        };
        let windows = windows_by_id(self.scope, &ids).await?;
        Ok((ids, windows, goes_on))
    }

    /// The ids of all open windows, listed or not, the newest first.
    async fn all_ids(&self) -> Result<Vec<String>, ReadError> {
        let mut ids = open_windows(self.scope).await?;
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        Ok(ids)
    }

    /// A page of ids from the lists.
    async fn ids(&self, before: Option<&str>) -> Result<(Vec<String>, bool), ReadError> {
        let tenant = &self.scope.tenant;
        let lists = [
            self.overdue.then(|| keys::overdue_windows(tenant)),
            self.others.then(|| keys::live_windows(tenant)),
        ];
        let lists: Vec<_> =
            lists.into_iter().flatten().map(|list| self.ids_in(list, before)).collect();
        let (mut ids, mut goes_on) = (Vec::new(), false);
        for (page, has_more) in futures::future::try_join_all(lists).await? {
            ids.extend(page);
            goes_on |= has_more;
        }
        // Ids after a list's page are older than the whole page.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        goes_on |= ids.len() > OF_A_LIST;
        ids.truncate(OF_A_LIST);
        Ok((ids, goes_on))
    }

    /// A page of ids from one list.
    async fn ids_in(
        &self,
        list: String,
        before: Option<&str>,
    ) -> Result<(Vec<String>, bool), ReadError> {
        let partition = Partition::new(list).in_order(Order::Descending).at_most(OF_A_LIST as i32);
        let before = before.unwrap_or(keys::ALL_ARE_LISTED);
        let page = self.scope.page(&partition, Some(before)).await?;
        let ids = page.items.into_iter().filter_map(|mut item| item.take_text("sk")).collect();
        Ok((ids, page.next.is_some()))
    }
}
