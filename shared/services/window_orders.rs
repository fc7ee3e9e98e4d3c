//! Which orders to end windows are there? How far is each? Whom did it end?
//!
//! An order is one item: what was said, which stays, and how far it is, which changes only from the generation that was read. Each window
//! that it ends is on its list, written in the transaction that ends the window.

use crate::export_jobs;
use crate::windows;
use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant as Deadline;

use crate::windows::{LiveWindows, OF_A_LIST, OpeningCause, STATEMENTS, Step, Stored};
use shared_domain::{
    configuration::application::Place,
    time::timestamp::Instant,
    trail::{
        event::{Event, EventId, RecordedBy, Tenant},
        filter::Filter,
    },
    windows::{
        claim::Claim,
        window::Window,
        window_commands::{EndOrder, OrderProgress, OrderScope},
        window_event::{EndReason, WindowEvent},
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    Database, ReadError, TenantScope, dynamodb_json,
    event_item::{self, Damaged, Item},
    get_events::KEYS,
    keys, retry,
    transaction::{Attribute, Change, Commit},
};

/// Transactions under way at a time.
const AT_ONCE: usize = 4;

/// An order as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredOrder {
    /// What was said.
    pub order: EndOrder,
    /// How far it is.
    pub progress: OrderProgress,
    /// When something is to be done for it; until then the run that has it has it alone.
    pub due_at: Option<Instant>,
    generation: u64,
}

/// An order that something is to be done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueOrder {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// When.
    pub at: Instant,
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

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// What is stored of how far an order is.
fn attributes(
    progress: &OrderProgress,
    due_at: Option<Instant>,
    generation: u64,
) -> Vec<Attribute> {
    let progress = serde_json::to_string(progress).unwrap_or_default();
    let mut set = vec![("progress", text(&progress)), ("generation", number(generation))];
    if let Some(at) = due_at {
        set.push(("due", text(keys::WINDOW_ORDERS_DUE)));
        set.push(("due_at", text(&at.to_string())));
    }
    set
}

fn stored(mut item: Item) -> Result<StoredOrder, Damaged> {
    let mut take = |name| match item.remove(name) {
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text),
        _ => None,
    };
    let id = take("sk").unwrap_or_default();
    let damaged = |attribute| Damaged::new(&id, attribute);
    let order = take("content").and_then(|json| serde_json::from_str(&json).ok());
    let progress = take("progress").and_then(|json| serde_json::from_str(&json).ok());
    Ok(StoredOrder {
        order: order.ok_or_else(|| damaged("content"))?,
        progress: progress.ok_or_else(|| damaged("progress"))?,
        due_at: take("due_at").and_then(|at| at.parse().ok()),
        generation: take("generation")
            .and_then(|it| it.parse().ok())
            .ok_or_else(|| damaged("generation"))?,
    })
}

/// Stores an order, due at once.
///
/// # Errors
/// The storage did not answer. It may be stored or not.
pub async fn store_order(scope: &TenantScope<'_>, order: &EndOrder) -> Result<(), ReadError> {
    let content = serde_json::to_string(order).map_err(|_| Damaged::new(&order.id, "content"))?;
    let mut item = vec![
        ("pk", text(&keys::window_orders(&scope.tenant))),
        ("sk", text(&order.id)),
        ("content", text(&content)),
        ("ttl", AttributeValue::N(export_jobs::kept_until(scope))),
    ];
    item.extend(attributes(&OrderProgress::default(), Some(order.created_at), 1));
    // An attempt that went unanswered may have stored it: its id is its own.
    scope.database.alone(Change::Insert(item), scope.deadline, &mut false).await?;
    Ok(())
}

/// The order of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn order(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredOrder>, ReadError> {
    let item =
        scope.database.state_item(keys::window_orders(&scope.tenant), id, scope.deadline).await?;
    Ok(item.map(stored).transpose()?)
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
    let generation = before.generation + 1;
    let next = StoredOrder { order: before.order.clone(), progress, due_at, generation };
    let change = Change::Update {
        key: [keys::window_orders(&scope.tenant), next.order.id.clone()],
        set: attributes(&next.progress, due_at, generation),
        remove: if due_at.is_some() { &[] } else { &["due", "due_at"] },
        expected: ("generation", number(before.generation)),
    };
    let mut is_repeated = false;
    if scope.database.alone(change, scope.deadline, &mut is_repeated).await? {
        return Ok(Some(next));
    }
    // An attempt that looked like a failure may have done it.
    let is_done = is_repeated && order(scope, &next.order.id).await?.as_ref() == Some(&next);
    Ok(is_done.then_some(next))
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
    let (items, goes_on) =
        scope.state_page(keys::bookings(&scope.tenant), None, after, true).await?;
    let (mut meant, mut last) = (Vec::new(), None);
    for mut item in items {
        let Some(AttributeValue::S(id)) = item.remove("sk") else { continue };
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
        last = Some(id);
    }
    Ok((meant, last.filter(|_| goes_on)))
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
    let key =
        |id: &String| HashMap::from([("pk".to_owned(), text(&pk)), ("sk".to_owned(), text(id))]);
    let items = scope
        .database
        .items(&scope.database.state, windows.map(key).collect(), scope.deadline)
        .await?;
    let id = |mut item: Item| match item.remove("sk") {
        Some(AttributeValue::S(id)) => Some(id),
        _ => None,
    };
    Ok(items.into_iter().filter_map(id).collect())
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
    let pk = keys::windows_ended_by(&scope.tenant, order);
    let call = scope
        .database
        .client
        .query()
        .table_name(&scope.database.state)
        .consistent_read(true)
        .key_condition_expression("pk = :pk AND sk > :after")
        .expression_attribute_values(":pk", text(&pk))
        // No id stands before this.
        .expression_attribute_values(":after", text(after.unwrap_or(" ")))
        .limit(OF_A_LIST as i32);
    let page = retry(scope.deadline, || dynamodb_json::query(call.clone())).await?;
    let ids: Vec<String> = page
        .items
        .into_iter()
        .filter_map(|mut item| match item.remove("sk") {
            Some(AttributeValue::S(id)) => Some(id),
            _ => None,
        })
        .collect();
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
        .expression_attribute_values(":pk", text(&keys::windows_ended_by(&scope.tenant, order)));
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
                ("pk", text(&keys::windows_ended_by(&scope.tenant, &order.id))),
                ("sk", text(&self.after.id)),
                ("at", text(&scope.now.to_string())),
                ("ttl", AttributeValue::N(export_jobs::kept_until(scope))),
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
) -> Result<Vec<DueOrder>, ReadError> {
    let page = database.due_page(keys::WINDOW_ORDERS_DUE, until, None, None, deadline).await?;
    let read = |item: Item| {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        let tenant = keys::tenant_of_window_orders(text("pk")?)?;
        Some(DueOrder { tenant, id: text("sk")?.clone(), at: text("due_at")?.parse().ok()? })
    };
    Ok(page.items.into_iter().filter_map(read).collect())
}
