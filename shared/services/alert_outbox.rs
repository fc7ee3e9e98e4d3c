//! The outbox: alerts that are waiting to be sent, and the results of sending them.
//!
//! An alert is one item. Its content never changes; its delivery state changes only if the
//! generation is still the one that was read. An alert is stored before it is sent, so the code
//! that raises a finding waits for no channel. It stays stored after delivery, so a repeated event
//! queues nothing twice.
//!
//! Each channel has its own queue, a lane. A lane has a due time, and a run that sends from it
//! holds a lease until that time. So one run reads a few lanes and the first alerts of each,
//! however many alerts wait elsewhere. An empty lane remains and is checked now and then, to find
//! alerts that an index showed too late.

use crate::documents;
use shared_platform::random;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant as Deadline;

use shared_domain::{
    alerts::{
        alert::{Alert, KEPT},
        delivery::{AlertState, Progress},
    },
    configuration::{
        alert_channel::{AlertChannelKind, Channel},
        settings::WEAKENINGS,
    },
    exports::saved_search::{Cause, Origin, Saved},
    time::timestamp::Instant,
    trail::{
        event::{EventId, Recorded, Tenant},
        search::Order,
    },
};
use shared_platform::backoff::{Pauses, Unavailable, contended};
use shared_storage::{
    Database, ReadError, TenantScope,
    attributes::{key, text},
    keys,
    lease::{Content, Due, Leased, Queued, json},
    partitions::Partition,
    transaction::Change,
};

/// An alert as it was read.
pub type StoredAlert = Leased<AlertContent>;

/// What is stored of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertContent {
    /// What it says.
    #[serde(with = "json")]
    pub alert: Alert,
    /// How far it is.
    #[serde(with = "json")]
    pub progress: Progress,
}

impl Content for AlertContent {
    const FIXED: &'static [&'static str] = &["alert"];
    const CHANGING: &'static [&'static str] = &["progress"];
}

/// The first alerts of a channel's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAlerts {
    /// The waiting alerts in the order in which they were queued.
    pub waiting: Vec<StoredAlert>,
    /// Whether the index contained no alert that was delivered already.
    pub is_index_empty: bool,
}

/// The queue of a channel, whose id is its own.
pub type Lane = Leased<LaneContent>;

/// What is stored of a channel's queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneContent {
    /// Consecutive messages that the channel refused.
    #[serde(default)]
    pub failures: u32,
    /// When an alert was last queued.
    pub woken_at: Instant,
}

impl Content for LaneContent {
    const FIXED: &'static [&'static str] = &[];
    const CHANGING: &'static [&'static str] = &["failures", "woken_at"];
}

/// How long an alert waits for others, so that one message contains all of them.
pub const GATHER: Duration = Duration::from_secs(2);
/// A channel with a longer pause is tried as soon as a new alert is queued.
const BROKEN_REST: Duration = Duration::from_secs(62);
/// Lanes read at a time.
const LANES: i32 = 100;
/// Alerts of a lane read at a time.
const ALERTS: i32 = 100;

/// An alert that is to be stored and sent at once.
fn new_alert(tenant: &Tenant, alert: Alert, kind: AlertChannelKind) -> StoredAlert {
    let queued = Queued { queue: queue_of(tenant, &alert), at: alert.queued_at };
    let id = alert.id.clone();
    let content = AlertContent { progress: Progress::waiting(kind), alert };
    Leased::new(keys::alerts(tenant), tenant, &id, content, Some(queued))
}

/// The queue that an alert stands in.
fn queue_of(tenant: &Tenant, alert: &Alert) -> String {
    match alert.as_it_was {
        None => keys::alerts_to(tenant, &alert.channel),
        Some(_) => keys::alerts_to_past(tenant, &alert.channel),
    }
}

/// Queues the alerts for an event that raises a finding. Returns the number of new alerts. A
/// repeated event queues nothing, nor does an event that raises no finding. The caller then invokes
/// the function that sends alerts (`{"alerts": true}`); without a call, its schedule finds them.
///
/// # Errors
/// After an error, some alerts may be queued. A retry is safe.
pub async fn queue_alerts(scope: &TenantScope<'_>, finding: &Recorded) -> Result<usize, ReadError> {
    let mut queued = 0;
    let before = channels_before(scope, finding).await?;
    let channels = before.as_ref().unwrap_or(&scope.settings.alerts);
    for (alert, kind) in Alert::of_finding(finding, channels, scope.now) {
        queued +=
            usize::from(queue_alert(scope, &new_alert(&scope.tenant, alert, kind), GATHER).await?);
    }
    Ok(queued)
}

/// The channels before the change of settings that a finding is about. None for any other finding.
async fn channels_before(
    scope: &TenantScope<'_>,
    finding: &Recorded,
) -> Result<Option<Vec<Channel>>, ReadError> {
    let details = finding.event.details.as_ref();
    let detail = |name: &str| details.and_then(|details| details.get(name));
    let is_weakening =
        detail("rule").and_then(Value::as_str).is_some_and(|rule| WEAKENINGS.contains(&rule));
    let change = detail("evidence").and_then(|evidence| EventId::new(evidence.get(0)?.as_str()?));
    let Some(change) = change.filter(|_| is_weakening) else { return Ok(None) };
    let change = scope.event(&change).await?;
    let old =
        change.as_ref().and_then(|change| change.event.details.as_ref()?.get("old")?.get("alerts"));
    Ok(old.and_then(|channels| Vec::deserialize(channels).ok()))
}

/// Queues the alerts about the end of a scheduled export for the recipients that the saved search
/// names now. Returns the number of new alerts. A repeated event queues nothing, nor does an event
/// about another export.
///
/// # Errors
/// After an error, some alerts may be queued. A retry is safe.
pub async fn queue_report_alerts(
    scope: &TenantScope<'_>,
    ended: &Recorded,
) -> Result<usize, ReadError> {
    let origin = ended
        .event
        .details
        .as_ref()
        .and_then(|details| Origin::deserialize(details.get("saved")?).ok());
    let Some(origin) = origin.filter(|origin| origin.cause == Cause::Schedule) else {
        return Ok(0);
    };
    let Some(saved) = documents::get::<Saved>(scope, &origin.id).await? else {
        return Ok(0);
    };
    let mut queued = 0;
    // A channel that was removed from the settings gets no alert.
    for channel in scope
        .settings
        .alerts
        .iter()
        .filter(|channel| saved.document.recipients.contains(&channel.id))
    {
        let alert = Alert::of_report(ended, &origin, channel, scope.now);
        let stored = new_alert(&scope.tenant, alert, AlertChannelKind::from(&channel.way));
        queued += usize::from(queue_alert(scope, &stored, Duration::ZERO).await?);
    }
    Ok(queued)
}

/// Queues a test alert.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn queue_test_alert(
    scope: &TenantScope<'_>,
    channel: &Channel,
    asked_by: &str,
) -> Result<StoredAlert, ReadError> {
    let alert = Alert::test(&scope.tenant, channel, asked_by, &random::event_id(), scope.now);
    let stored = new_alert(&scope.tenant, alert, AlertChannelKind::from(&channel.way));
    queue_alert(scope, &stored, Duration::ZERO).await?;
    Ok(stored)
}

/// Queues an alert, to be sent after a delay. Returns whether it is new. If an attempt got no
/// answer, that may be unknown and the alert counts as new.
async fn queue_alert(
    scope: &TenantScope<'_>,
    stored: &StoredAlert,
    gathers: Duration,
) -> Result<bool, ReadError> {
    let mut is_repeated = false;
    let change = stored.insertion(Some(stored.alert.queued_at.plus(KEPT).seconds()))?;
    let is_new = scope.database.alone(change, scope.deadline, &mut is_repeated).await?;
    // Also for an existing alert: the run that stored it may have stopped before this call.
    wake_lane(scope, &stored.alert.channel, gathers).await?;
    Ok(is_new || is_repeated)
}

/// Makes a channel's queue due after a delay, unless the channel is paused.
async fn wake_lane(
    scope: &TenantScope<'_>,
    channel: &str,
    gathers: Duration,
) -> Result<(), ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let (now, before) = (scope.database.clock.now(), lane(scope, channel).await?);
        let soon = now.plus(gathers);
        let change = match &before {
            None => {
                let pk = keys::alert_lanes(&scope.tenant);
                let content = LaneContent { failures: 0, woken_at: now };
                let lane = Lane::new(pk, &scope.tenant, channel, content, Some(lane_queued(soon)));
                lane.insertion(None)?
            }
            Some(lane) => {
                let is_resting = |at| lane.failures > 0 && at <= now.plus(BROKEN_REST);
                let due_at = match lane.due_at() {
                    Some(at) if lane.is_held(now) || is_resting(at) => at,
                    at => at.map_or(soon, |at| at.min(soon)),
                };
                let content = LaneContent { woken_at: now, ..lane.content };
                let due = Some(lane_queued(due_at));
                lane.next(content, lane.run.clone(), due).change(lane)?
            }
        };
        if scope.database.alone(change, scope.deadline, &mut false).await? {
            return Ok(());
        }
        pauses.after_conflict(format!("the queue of channel {channel:?}")).await?;
    }
}

pub async fn lane(scope: &TenantScope<'_>, channel: &str) -> Result<Option<Lane>, ReadError> {
    let pk = keys::alert_lanes(&scope.tenant);
    Lane::read(scope.database, pk, channel, scope.deadline).await
}

/// The first alerts that wait for a channel, in the order in which they were queued, and the first
/// ones for the channel's earlier address. The latter are in a separate queue, so however many
/// there are, the others are found.
pub async fn waiting_alerts(
    scope: &TenantScope<'_>,
    channel: &str,
) -> Result<LaneAlerts, ReadError> {
    let (now, past) = (
        first_alerts(scope, keys::alerts_to(&scope.tenant, channel)).await?,
        first_alerts(scope, keys::alerts_to_past(&scope.tenant, channel)).await?,
    );
    let mut waiting: Vec<StoredAlert> = now.waiting.into_iter().chain(past.waiting).collect();
    waiting.sort_by(|a, b| (a.alert.queued_at, &a.alert.id).cmp(&(b.alert.queued_at, &b.alert.id)));
    Ok(LaneAlerts { waiting, is_index_empty: now.is_index_empty && past.is_index_empty })
}

async fn first_alerts(scope: &TenantScope<'_>, queue: String) -> Result<LaneAlerts, ReadError> {
    let ever = Instant::from_millis(253_402_300_799_999);
    let page = scope.database.due_page(&queue, ever, Some(ALERTS), None, scope.deadline).await?;
    let pk = keys::alerts(&scope.tenant);
    let keys: Vec<_> =
        page.items.iter().filter_map(|item| Some(key(&pk, item.text("sk")?))).collect();
    let named = keys.len();
    if keys.is_empty() {
        return Ok(LaneAlerts { waiting: Vec::new(), is_index_empty: true });
    }
    // The index may still contain delivered alerts; the table does not.
    let items = scope.database.items(&scope.database.state, keys, scope.deadline).await?;
    let (mut waiting, mut left) = (Vec::with_capacity(items.len()), named - items.len().min(named));
    for item in items {
        match StoredAlert::of(item) {
            Ok(stored) if stored.progress.state == AlertState::Waiting => waiting.push(stored),
            Ok(_) => left += 1,
            // An unreadable alert must not block the others.
            Err(error) => {
                tracing::error!(%error, "an alert of {} cannot be read: {error}", scope.tenant)
            }
        }
    }
    Ok(LaneAlerts { waiting, is_index_empty: left == 0 })
}

pub async fn alert(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredAlert>, ReadError> {
    StoredAlert::read(scope.database, keys::alerts(&scope.tenant), id, scope.deadline).await
}

/// Alerts before `before`, the newest first, and whether there may be more.
pub async fn alerts(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<StoredAlert>, bool), ReadError> {
    let partition = Partition::new(keys::alerts(&scope.tenant)).in_order(Order::Descending);
    let page = scope.page(&partition, before).await?;
    let alerts = page.items.into_iter().map(StoredAlert::of).collect::<Result<_, _>>()?;
    Ok((alerts, page.next.is_some()))
}

/// Stores the result of an attempt. None if the alert was changed since `before` was read; then
/// nothing is stored.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn advance_alert(
    scope: &TenantScope<'_>,
    before: &StoredAlert,
    progress: Progress,
) -> Result<Option<StoredAlert>, ReadError> {
    if before.progress.state != AlertState::Waiting {
        return Ok(None);
    }
    let queued = match progress.state {
        // An alert to an earlier address goes to the end of its queue, so that alerts to other
        // addresses get their turn.
        AlertState::Waiting if before.alert.as_it_was.is_some() => {
            Some(Queued { queue: queue_of(&scope.tenant, &before.alert), at: scope.now })
        }
        AlertState::Waiting => before.queued.clone(),
        AlertState::Sent | AlertState::Failed => None,
    };
    let content = AlertContent { progress, alert: before.alert.clone() };
    let next = before.next(content, None, queued);
    Ok(next.save(scope.database, before, scope.deadline).await?.then_some(next))
}

/// Moves alerts of an older version to the queues of their channels. Returns their number. Soon
/// after a deployment there are none left, and this reads nothing.
///
/// # Errors
/// After an error, the next run continues where this one stopped.
pub async fn move_old_alerts(database: &Database, deadline: Deadline) -> Result<usize, ReadError> {
    let now = database.clock.now();
    let page = database.due_page(keys::ALERTS_OF_OLD, now, Some(ALERTS), None, deadline).await?;
    let mut moved = 0;
    for item in page.items {
        let Some(Due { tenant, id, .. }) = Due::of(&item) else { continue };
        let pk = keys::alerts(&tenant);
        let Some(item) = database.state_item(pk.clone(), &id, deadline).await? else { continue };
        let stored = match StoredAlert::of(item) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "an alert of {tenant} that an older version queued cannot be read: {error}");
                continue;
            }
        };
        let queue = queue_of(&tenant, &stored.alert);
        let change = Change::Update {
            key: [pk, id],
            set: vec![("due", text(queue)), ("due_at", text(stored.alert.queued_at))],
            remove: &[],
            expected: ("due", text(keys::ALERTS_OF_OLD)),
        };
        if database.alone(change, deadline, &mut false).await? {
            moved += 1;
            wake_lane(
                &database.scope(&tenant, now, deadline).await?,
                &stored.alert.channel,
                Duration::ZERO,
            )
            .await?;
        }
    }
    Ok(moved)
}

/// The first lanes that are due at a time.
pub async fn due_lanes(
    database: &Database,
    until: Instant,
    deadline: Deadline,
) -> Result<Vec<Lane>, Unavailable> {
    let page = database.due_page(keys::ALERT_LANES_DUE, until, Some(LANES), None, deadline).await?;
    let read = |item| match Lane::of(item) {
        Ok(lane) => Some(lane),
        // An unreadable alert must not block the others.
        Err(error) => {
            tracing::error!(%error, "the queue of a channel cannot be read: {error}");
            None
        }
    };
    Ok(page.items.into_iter().filter_map(read).collect())
}

/// Stores `next`, even if alerts were queued meanwhile, as long as no run but `run` holds the
/// lease. None if another run does.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn take_lane(
    database: &Database,
    lane: &Lane,
    run: &str,
    deadline: Deadline,
    next: impl Fn(&Lane) -> (LaneContent, Option<String>, Instant),
) -> Result<Option<Lane>, ReadError> {
    loop {
        let pk = keys::alert_lanes(&lane.tenant);
        let Some(before) = Lane::read(database, pk, &lane.id, deadline).await? else {
            return Ok(None);
        };
        // Another run holds the lease, or the lane is paused.
        let is_free = before.due_at().is_none_or(|due_at| due_at <= database.clock.now());
        if before.run.as_deref() != Some(run) && !is_free {
            return Ok(None);
        }
        let (content, run, due_at) = next(&before);
        let made = before.next(content, run, Some(lane_queued(due_at)));
        if database.alone(made.change(&before)?, deadline, &mut false).await? {
            return Ok(Some(made));
        }
        if Deadline::now() >= deadline {
            return Err(contended(format_args!("the queue of channel {:?}", lane.id)).into());
        }
    }
}

fn lane_queued(at: Instant) -> Queued {
    Queued { queue: keys::ALERT_LANES_DUE.to_owned(), at }
}
