//! Orders to end windows: their progress and the windows that each one has ended.
//!
//! An order is one item. Its content never changes; its progress changes only if the generation is
//! still the one that was read. Each window that it ends is added to the order's list, in the
//! transaction that ends the window.

use crate::export_jobs;
use crate::windows;
use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant as Deadline;

use crate::windows::{LiveWindows, OF_A_LIST, OpeningCause, STATEMENTS, Stored, WindowChange};
use shared_domain::{
    configuration::application::Place,
    time::timestamp::Instant,
    trail::{
        event::{Event, EventId, RecordedBy},
        filter::Filter,
    },
    windows::{
        claim::Claim,
        window::Window,
        window_commands::{EndOrder, OrderProgress, OrderScope},
        window_event::{EndReason, WindowEvent},
    },
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    Database, ReadError, TenantScope,
    attributes::{key, number, text},
    event_item::{self, Damaged},
    get_events::KEYS,
    keys,
    lease::{Content, Due, Leased, Queued, json},
    partitions::Partition,
    retry,
    transaction::{Change, Commit},
};

/// Concurrent transactions.
const AT_ONCE: usize = 4;

/// An order as it was read.
pub type StoredOrder = Leased<OrderContent>;

/// What is stored of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderContent {
    /// What was said.
    #[serde(rename = "content", with = "json")]
    pub order: EndOrder,
    /// How far it is.
    #[serde(with = "json")]
    pub progress: OrderProgress,
}

impl Content for OrderContent {
    const FIXED: &'static [&'static str] = &["content"];
    const CHANGING: &'static [&'static str] = &["progress"];
}

/// The requests that an order ends, ready for evaluation.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// Requests whose events match the filter.
    Filter(Filter),
    /// Requests for this application.
    Application(String),
}

impl Meaning {
    /// Parses the scope of an order.
    ///
    /// # Errors
    /// The filter cannot be parsed.
    pub fn of(scope: &OrderScope) -> Result<Self, String> {
        Ok(match scope {
            OrderScope::Filter(text) => {
                Self::Filter(Filter::read(text).map_err(|error| error.to_string())?)
            }
            OrderScope::Application(id) => Self::Application(id.clone()),
        })
    }
}

/// A page of open windows.
#[derive(Debug)]
pub struct OpenPage {
    pub windows: Vec<Stored>,
    /// The start of the next page, if there is one.
    pub next: Option<String>,
}

fn queued(at: Instant) -> Queued {
    Queued { queue: keys::WINDOW_ORDERS_DUE.to_owned(), at }
}

/// Stores an order, due at once, unless there is one with its id: an attempt of this call that got no
/// answer may have stored it, or another request with the same idempotency key. Returns whether it
/// was stored now.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn store_order(scope: &TenantScope<'_>, order: &EndOrder) -> Result<bool, ReadError> {
    let content = OrderContent { order: order.clone(), progress: OrderProgress::default() };
    let (pk, due) = (keys::window_orders(&scope.tenant), queued(order.created_at));
    let stored = Leased::new(pk, &scope.tenant, &order.id, content, Some(due));
    let insertion = stored.insertion(Some(export_jobs::kept_until(scope)))?;
    Ok(scope.database.alone(insertion, scope.deadline, &mut false).await?)
}

pub async fn order(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredOrder>, ReadError> {
    let pk = keys::window_orders(&scope.tenant);
    StoredOrder::read(scope.database, pk, id, scope.deadline).await
}

/// Stores the progress of an order and its next due time. None if the order was changed since
/// `before` was read; then nothing is stored.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn advance_order(
    scope: &TenantScope<'_>,
    before: &StoredOrder,
    progress: OrderProgress,
    due_at: Option<Instant>,
) -> Result<Option<StoredOrder>, ReadError> {
    let content = OrderContent { order: before.order.clone(), progress };
    let next = before.next(content, None, due_at.map(queued));
    Ok(next.save(scope.database, before, scope.deadline).await?.then_some(next))
}

/// A page of windows that are not closed, before `before`. An unreadable window is skipped, so that
/// it does not block the others.
pub async fn open_page(
    scope: &TenantScope<'_>,
    live: &LiveWindows<'_>,
    before: Option<&str>,
) -> Result<OpenPage, ReadError> {
    let (mut ids, found, goes_on) = live.read(before).await?;
    let mut windows = Vec::with_capacity(ids.len());
    for window in found {
        match window {
            Ok(window) => windows.push(window),
            Err(error) => {
                tracing::error!(%error, "an open window of {} cannot be read: {error}", scope.tenant)
            }
        }
    }
    windows.retain(|it| !it.window.is_closed());
    Ok(OpenPage { windows, next: ids.pop().filter(|_| goes_on) })
}

/// The requests of the windows that match an order given at `given_at`. A filter cannot match an
/// event that no longer exists.
async fn events_meant(
    scope: &TenantScope<'_>,
    meaning: &Meaning,
    given_at: Option<Instant>,
    windows: &[Stored],
) -> Result<HashSet<EventId>, ReadError> {
    let going_on = |claim: &&Claim| claim.may_end(scope.now);
    let claims = windows.iter().flat_map(|it| &it.window.claims).filter(going_on);
    let filter = match meaning {
        Meaning::Application(id) => {
            let own = claims.filter(|claim| claim.application.as_ref() == Some(id));
            let own: HashSet<EventId> = own.map(|claim| claim.event.clone()).collect();
            let given_at = given_at.unwrap_or(scope.now);
            return without_later(scope, own, given_at.plus(scope.feed_lag())).await;
        }
        Meaning::Filter(filter) => filter,
    };
    let asked: Vec<EventId> = claims.map(|claim| claim.event.clone()).collect();
    let mut meant = HashSet::new();
    // Read in chunks, because events may be large and only the result of the filter is needed.
    for chunk in asked.chunks(KEYS) {
        let events = scope.events_of(chunk).await?.into_iter();
        meant.extend(events.filter(|event| filter.matches(event)).map(|event| event.event.id));
    }
    Ok(meant)
}

/// Removes requests recorded after a time: they refer to an application that was configured again.
/// Requests that were in progress when the order was given are recorded by that time.
async fn without_later(
    scope: &TenantScope<'_>,
    mut events: HashSet<EventId>,
    until: Instant,
) -> Result<HashSet<EventId>, ReadError> {
    if until < scope.now {
        let asked: Vec<EventId> = events.iter().cloned().collect();
        for chunk in asked.chunks(KEYS) {
            for later in
                scope.events_of(chunk).await?.iter().filter(|event| until < event.recorded_at)
            {
                events.remove(&later.event.id);
            }
        }
    }
    Ok(events)
}

/// The ids of those windows that an order would change.
pub async fn windows_meant(
    scope: &TenantScope<'_>,
    meaning: &Meaning,
    windows: &[Stored],
) -> Result<Vec<String>, ReadError> {
    let meant = events_meant(scope, meaning, None, windows).await?;
    let is_meant = |claim: &Claim| claim.may_end(scope.now) && meant.contains(&claim.event);
    let windows =
        windows.iter().map(|it| &it.window).filter(|window| window.claims.iter().any(is_meant));
    Ok(windows.map(|window| window.id.clone()).collect())
}

/// A page of booked windows that match an order, and the start of the next page. Bookings of an
/// application are skipped: once it is deleted, no account is disabled for them and nothing is
/// opened in its directory.
pub async fn bookings_page(
    scope: &TenantScope<'_>,
    meaning: &Meaning,
    after: Option<&str>,
) -> Result<(Vec<EventId>, Option<String>), ReadError> {
    let Meaning::Filter(filter) = meaning else { return Ok((Vec::new(), None)) };
    let page = scope.page(&Partition::new(keys::bookings(&scope.tenant)), after).await?;
    let mut meant = Vec::new();
    for mut item in page.items {
        let id = item.take_text("sk").unwrap_or_default();
        let event = match item.remove("event") {
            Some(AttributeValue::M(whole)) => event_item::read(whole.into()),
            _ => Err(Damaged::new(&id, "event")),
        };
        match event {
            Ok(event) if filter.matches(&event) => meant.push(event.event.id),
            Ok(_) => {}
            // An unreadable alert must not block the others.
            Err(error) => {
                tracing::error!(%error, "a booking of {} cannot be read: {error}", scope.tenant)
            }
        }
    }
    Ok((meant, page.next))
}

/// Opens the window of a booking and ends it for the order, because only a window can be ended.
/// Returns whether there was anything to end. The event may be past its retention, so it is not
/// read again.
pub async fn end_booking(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    event: &EventId,
    by: &RecordedBy,
    place: Place,
) -> Result<bool, ReadError> {
    let opened = windows::open_booking(scope, event, by, place, OpeningCause::Order).await?;
    match opened {
        Some(window) => end_alone(scope, order, &HashSet::from([event.clone()]), &window.id).await,
        None => Ok(false),
    }
}

/// Ends the requests of these windows that match an order. Returns the number of changed windows.
/// Several windows are ended in one transaction; if one of them was changed concurrently, each is
/// ended on its own.
///
/// # Errors
/// After an error, some changes may be stored.
pub async fn end_windows(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    meaning: &Meaning,
    windows: &[Stored],
) -> Result<usize, ReadError> {
    let meant = events_meant(scope, meaning, Some(order.created_at), windows).await?;
    let changed: Vec<_> =
        windows.iter().filter_map(|before| end(scope, order, &meant, before)).collect();
    let listed = listed_by(scope, order, changed.iter().map(|ending| &ending.after.id)).await?;
    let mut batches: Vec<(Vec<Ending<'_>>, usize)> = Vec::new();
    for ending in changed {
        let size = ending.size(scope);
        match batches.last_mut().filter(|(_, taken)| taken + size <= STATEMENTS) {
            Some((batch, taken)) => {
                batch.push(ending);
                *taken += size;
            }
            None => batches.push((vec![ending], size)),
        }
    }
    let ends =
        batches.into_iter().map(|(batch, _)| end_batch(scope, order, &meant, &listed, batch));
    let ended: Vec<usize> = stream::iter(ends).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(ended.into_iter().sum())
}

/// Ends several windows in one transaction, or otherwise each on its own. Returns the number of
/// changed windows.
async fn end_batch(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    meant: &HashSet<EventId>,
    listed: &HashSet<String>,
    batch: Vec<Ending<'_>>,
) -> Result<usize, ReadError> {
    let (mut events, mut changes) = (Vec::new(), Vec::new());
    for ending in &batch {
        let (own_events, own_changes) =
            ending.written(scope, order, listed.contains(&ending.after.id), 1);
        events.extend(own_events);
        changes.extend(own_changes);
    }
    if let Commit::Done(_) = scope.commit(events, None, &order.recorded_by, changes).await? {
        return Ok(batch.len());
    }
    let mut ended = 0;
    for ending in &batch {
        ended += usize::from(end_alone(scope, order, meant, &ending.after.id).await?);
    }
    Ok(ended)
}

/// The effect of an order on a window, if any.
fn end<'w>(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    meant: &HashSet<EventId>,
    before: &'w Stored,
) -> Option<Ending<'w>> {
    let mut after = before.window.clone();
    let events = after.end_own(
        |claim| meant.contains(&claim.event),
        &order.actor,
        &EndReason::Given(order.reason.clone()),
        scope.now,
    );
    let events: Vec<_> = events.into_iter().map(|event| event.for_order(&order.id)).collect();
    (!events.is_empty()).then_some(Ending { before, after, events })
}

/// Ends the matching requests of one window, from its current state. Returns whether there was
/// anything to end.
async fn end_alone(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    meant: &HashSet<EventId>,
    id: &str,
) -> Result<bool, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    // The number of generations by which the trail is ahead of the state, after a restore from a
    // backup.
    let mut ahead = 0;
    loop {
        let Some(before) = windows::window(scope, id).await? else { return Ok(false) };
        let Some(ending) = end(scope, order, meant, &before) else { return Ok(false) };
        let is_listed = listed_by(scope, order, [&ending.after.id].into_iter()).await?.contains(id);
        let (events, changes) = ending.written(scope, order, is_listed, 1 + ahead);
        match scope.commit(events, None, &order.recorded_by, changes).await? {
            Commit::Done(_) => return Ok(true),
            Commit::Taken(_) => ahead += 1,
            Commit::Stale => {}
        }
        pauses.after_conflict(format!("window {id}")).await?;
    }
}

/// The windows that are on the order's list already. A window may have got another matching request
/// since.
async fn listed_by(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    windows: impl Iterator<Item = &String>,
) -> Result<HashSet<String>, ReadError> {
    let pk = keys::windows_ended_by(&scope.tenant, &order.id);
    let keys = windows.map(|id| key(&pk, id)).collect();
    let items = scope.database.items(&scope.database.state, keys, scope.deadline).await?;
    Ok(items.into_iter().filter_map(|mut item| item.take_text("sk")).collect())
}

/// The windows that an order ended after `after`, by id. Each id comes with the window, if it is
/// still stored. Also whether there may be more.
pub async fn ended_by(
    scope: &TenantScope<'_>,
    order: &str,
    after: Option<&str>,
) -> Result<(Vec<(String, Option<Window>)>, bool), ReadError> {
    let partition =
        Partition::new(keys::windows_ended_by(&scope.tenant, order)).at_most(OF_A_LIST as i32);
    let page = scope.page(&partition, after).await?;
    let ids: Vec<String> =
        page.items.into_iter().filter_map(|mut item| item.take_text("sk")).collect();
    let mut found = HashMap::with_capacity(ids.len());
    for window in windows::windows_by_id(scope, &ids).await? {
        let window = window?.window;
        found.insert(window.id.clone(), window);
    }
    let windows = ids.into_iter().map(|id| {
        let window = found.remove(&id);
        (id, window)
    });
    Ok((windows.collect(), page.next.is_some()))
}

/// The number of windows that an order ended.
pub async fn count_ended_by(scope: &TenantScope<'_>, order: &str) -> Result<u64, ReadError> {
    let call = scope
        .database
        .client
        .query()
        .table_name(&scope.database.state)
        .consistent_read(true)
        .select(Select::Count)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", text(keys::windows_ended_by(&scope.tenant, order)));
    let (mut count, mut start) = (0, None);
    loop {
        let call = call.clone().set_exclusive_start_key(start.take());
        let page = retry(scope.deadline, || call.clone().send()).await?;
        count += u64::try_from(page.count).unwrap_or_default();
        start = page.last_evaluated_key;
        if start.is_none() {
            return Ok(count);
        }
    }
}

/// The effect of an order on one window.
struct Ending<'w> {
    before: &'w Stored,
    after: Window,
    events: Vec<WindowEvent>,
}

impl Ending<'_> {
    /// Maximum number of statements in its transaction.
    fn size(&self, scope: &TenantScope<'_>) -> usize {
        let step = WindowChange {
            before: Some(self.before),
            after: &self.after,
            generation: self.before.generation + 1,
        };
        step.changes(scope).len() + self.events.len() + 1
    }

    /// The changes: the window in a later generation, its events and its place on the order's list.
    fn written(
        &self,
        scope: &TenantScope<'_>,
        order: &EndOrder,
        is_listed: bool,
        generations: u64,
    ) -> (Vec<Event>, Vec<Change>) {
        let generation = self.before.generation + generations;
        let events = self.after.events(&scope.tenant, generation, self.events.clone());
        let mut changes =
            WindowChange { before: Some(self.before), after: &self.after, generation }
                .changes(scope);
        if !is_listed {
            changes.push(Change::Insert(vec![
                ("pk", text(keys::windows_ended_by(&scope.tenant, &order.id))),
                ("sk", text(&self.after.id)),
                ("at", text(scope.now)),
                ("ttl", number(export_jobs::kept_until(scope))),
            ]));
        }
        (events, changes)
    }
}

/// The orders that are due at a time, the earliest first.
pub async fn due_orders(
    database: &Database,
    until: Instant,
    deadline: Deadline,
) -> Result<Vec<Due>, Unavailable> {
    database.first_due(keys::WINDOW_ORDERS_DUE, until, deadline).await
}
