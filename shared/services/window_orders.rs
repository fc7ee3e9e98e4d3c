//! Which orders to end windows are there? How far is each? Whom did it end?
//!
//! An order is one item: what was said, which stays, and how far it is, which changes only from the generation that was read. Each window
//! that it ends is on its list, written in the transaction that ends the window.

use crate::export_jobs;
use crate::windows;
use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant as Deadline;

use crate::windows::{LiveWindows, OF_A_LIST, OpeningCause, STATEMENTS, Step, Stored};
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

/// Transactions under way at a time.
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

/// Which claims an order ends, ready to be asked.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// Those whose events meet this filter.
    Filter(Filter),
    /// Those that asked for this application.
    Application(String),
}

impl Meaning {
    /// What a scope means.
    ///
    /// # Errors
    /// Its filter cannot be read.
    pub fn of(scope: &OrderScope) -> Result<Self, String> {
        Ok(match scope {
            OrderScope::Filter(text) => {
                Self::Filter(Filter::read(text).map_err(|error| error.to_string())?)
            }
            OrderScope::Application(id) => Self::Application(id.clone()),
        })
    }
}

/// Some of the open windows.
#[derive(Debug)]
pub struct OpenPage {
    /// The windows.
    pub windows: Vec<Stored>,
    /// Where the list goes on, if it does.
    pub next: Option<String>,
}

fn queued(at: Instant) -> Queued {
    Queued { queue: keys::WINDOW_ORDERS_DUE.to_owned(), at }
}

/// Stores an order, due at once.
///
/// # Errors
/// The storage did not answer. It may be stored or not.
pub async fn store_order(scope: &TenantScope<'_>, order: &EndOrder) -> Result<(), ReadError> {
    let content = OrderContent { order: order.clone(), progress: OrderProgress::default() };
    let (pk, due) = (keys::window_orders(&scope.tenant), queued(order.created_at));
    let stored = Leased::new(pk, &scope.tenant, &order.id, content, Some(due));
    let insertion = stored.insertion(Some(export_jobs::kept_until(scope)))?;
    // An attempt that went unanswered may have stored it: its id is its own.
    scope.database.alone(insertion, scope.deadline, &mut false).await?;
    Ok(())
}

/// The order of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn order(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredOrder>, ReadError> {
    let pk = keys::window_orders(&scope.tenant);
    StoredOrder::read(scope.database, pk, id, scope.deadline).await
}

/// Says how far an order is and when something is to be done for it again; none where it is not as `before` any more, and then nothing
/// was done.
///
/// # Errors
/// The storage did not answer. It may be done or not.
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

/// A page of the windows that are not closed, from `before` on. One that cannot be read is passed over: it must not hold up the others.
///
/// # Errors
/// The storage did not answer.
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

/// The requests among the windows' claims that an order means, which was given at `given_at`. Of an event that is not there any more no
/// filter can be asked.
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
    // Some at a time: an event may be large, and what is wanted of it is one bit.
    for chunk in asked.chunks(KEYS) {
        let events = scope.events_of(chunk).await?.into_iter();
        meant.extend(events.filter(|event| filter.matches(event)).map(|event| event.event.id));
    }
    Ok(meant)
}

/// Requests without those recorded after a time. They asked for an application that was configured again; what was under way when the order
/// was given has landed by then.
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

/// Which of these windows an order would change, by their ids.
///
/// # Errors
/// The storage did not answer, or an event is damaged.
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

/// A page of the events whose windows open later and that an order means, and where the next begins. Those of an application are passed over:
/// once it is deleted, no account is disabled for them, and nothing is opened in its directory.
///
/// # Errors
/// The storage did not answer.
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
            // One that cannot be read must not hold up the others.
            Err(error) => {
                tracing::error!(%error, "a booking of {} cannot be read: {error}", scope.tenant)
            }
        }
    }
    Ok((meant, page.next))
}

/// Opens the window of a booking and ends it for the order, as only a window can be ended; whether there was anything to end. The event may be
/// past its retention, so it is not asked for again.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
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

/// Ends what an order means in these windows, and says how many it changed. Some are ended in one transaction; where one of them was
/// changed by somebody else meanwhile, each by itself.
///
/// # Errors
/// The storage did not answer, or an item is damaged. Some may be ended.
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

/// Ends some windows in one transaction, or else each by itself; how many were changed.
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

/// What an order does to a window, if anything.
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

/// Ends what an order means in one window, from what is there now; whether there was anything to end.
async fn end_alone(
    scope: &TenantScope<'_>,
    order: &EndOrder,
    meant: &HashSet<EventId>,
    id: &str,
) -> Result<bool, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    // How many generations of the window the trail tells of that its state does not have: it was restored from a backup.
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

/// Which of these windows are on an order's list already: a later request that it ends may have come to one.
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

/// The windows that an order ended, in the order of their ids, from `after` on: ids, each with its window where it is still kept; and
/// whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
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

/// How many windows an order ended.
///
/// # Errors
/// The storage did not answer.
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

/// What an order does to one window.
struct Ending<'w> {
    before: &'w Stored,
    after: Window,
    events: Vec<WindowEvent>,
}

impl Ending<'_> {
    /// Most statements that it takes.
    fn size(&self, scope: &TenantScope<'_>) -> usize {
        let step = Step {
            before: Some(self.before),
            after: &self.after,
            generation: self.before.generation + 1,
        };
        step.changes(scope).len() + self.events.len() + 1
    }

    /// What is written: the window, so many generations later, with the events that tell of it and its place on the order's list.
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
            Step { before: Some(self.before), after: &self.after, generation }.changes(scope);
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

/// The orders that are due until a time, the first due first.
///
/// # Errors
/// The storage did not answer.
pub async fn due_orders(
    database: &Database,
    until: Instant,
    deadline: Deadline,
) -> Result<Vec<Due>, Unavailable> {
    database.first_due(keys::WINDOW_ORDERS_DUE, until, deadline).await
}
