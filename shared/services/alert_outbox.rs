//! The outbox: which alerts are to be sent? Which were, and what came of them?
//!
//! An alert is one item: what is told, which stays, and how far it is, which changes only from the generation that was read. It is put there
//! before anybody is told, so that whoever finds something waits for no channel, and it stays there after it has left, so that an event
//! that comes by again queues nothing twice.
//!
//! Each channel has a queue of its own, a lane. It says when it is to be looked into, and who sends from it has it alone until that time. So one
//! reads a few lanes and the first alerts of each, however many wait elsewhere. A lane stays where it is when nothing waits any more, and is
//! looked into now and then: what an index showed too late is found.

use crate::saved_searches;
use shared_platform::random;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant as Deadline;

use shared_domain::{
    alerts::{
        alert::{Alert, KEPT},
        delivery::{Progress, State},
    },
    configuration::{
        alert_channel::{Channel, Kind},
        settings::WEAKENINGS,
    },
    exports::saved_search::{Cause, Configured, Origin},
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
    /// What is told.
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
    /// Those that wait, in the order they were queued.
    pub waiting: Vec<StoredAlert>,
    /// Whether the index named nothing that has left already.
    pub is_index_empty: bool,
}

/// The queue of a channel, whose id is its own.
pub type Lane = Leased<LaneContent>;

/// What is stored of a channel's queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneContent {
    /// Messages in a row that the channel did not take.
    #[serde(default)]
    pub failures: u32,
    /// When something was queued last.
    pub woken_at: Instant,
}

impl Content for LaneContent {
    const FIXED: &'static [&'static str] = &[];
    const CHANGING: &'static [&'static str] = &["failures", "woken_at"];
}

/// How long what is queued waits for more, so that one message tells of all of it.
pub const GATHER: Duration = Duration::from_secs(2);
/// A channel that is to be left alone for longer than this is tried when something is queued anew.
const BROKEN_REST: Duration = Duration::from_secs(62);
/// Lanes read at a time.
const LANES: i32 = 100;
/// Alerts of a lane read at a time.
const ALERTS: i32 = 100;

/// An alert that is to be stored and sent at once.
fn new_alert(tenant: &Tenant, alert: Alert, kind: Kind) -> StoredAlert {
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

/// Queues what the tenant's channels are told of an event that raises a finding; how many alerts are new. The same event again
/// queues nothing, nor does an event that raises none. Whoever queues something calls the function that sends it
/// (`{"alerts": true}`); its schedule finds what nobody called for.
///
/// # Errors
/// The storage did not answer. Some may be queued; asking again is safe.
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

/// The channels as they were before the change of settings that a finding is about. None of a finding about anything else.
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

/// Queues what recipients are told of an export that a schedule asked for and that has ended, as the saved search names them now; how
/// many alerts are new. The same event again queues nothing, nor does one that tells of any other export.
///
/// # Errors
/// The storage did not answer, or the saved search is damaged. Some may be queued; asking again is safe.
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
    let Some(Configured { saved, .. }) = saved_searches::saved(scope, &origin.id).await? else {
        return Ok(0);
    };
    let mut queued = 0;
    // One that was taken from the settings meanwhile is told nothing.
    for channel in
        scope.settings.alerts.iter().filter(|channel| saved.recipients.contains(&channel.id))
    {
        let alert = Alert::of_report(ended, &origin, channel, scope.now);
        let stored = new_alert(&scope.tenant, alert, Kind::from(&channel.way));
        queued += usize::from(queue_alert(scope, &stored, Duration::ZERO).await?);
    }
    Ok(queued)
}

/// Queues a test of a channel that somebody asked for.
///
/// # Errors
/// The storage did not answer. It may be queued or not.
pub async fn queue_test_alert(
    scope: &TenantScope<'_>,
    channel: &Channel,
    asked_by: &str,
) -> Result<StoredAlert, ReadError> {
    let alert = Alert::test(&scope.tenant, channel, asked_by, &random::event_id(), scope.now);
    let stored = new_alert(&scope.tenant, alert, Kind::from(&channel.way));
    queue_alert(scope, &stored, Duration::ZERO).await?;
    Ok(stored)
}

/// Puts one into its channel's queue, to be sent after a while; whether it was not there. Where an attempt went unanswered that may not be
/// known, and it counts as new.
async fn queue_alert(
    scope: &TenantScope<'_>,
    stored: &StoredAlert,
    gathers: Duration,
) -> Result<bool, ReadError> {
    let mut is_repeated = false;
    let change = stored.insertion(Some(stored.alert.queued_at.plus(KEPT).seconds()))?;
    let is_new = scope.database.alone(change, scope.deadline, &mut is_repeated).await?;
    // Also where it was there: who put it there may have ended before this.
    wake_lane(scope, &stored.alert.channel, gathers).await?;
    Ok(is_new || is_repeated)
}

/// Has a channel's queue looked into after a while, unless the channel is to be left alone for a moment.
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

/// The queue of a channel, if it has one.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn lane(scope: &TenantScope<'_>, channel: &str) -> Result<Option<Lane>, ReadError> {
    let pk = keys::alert_lanes(&scope.tenant);
    Lane::read(scope.database, pk, channel, scope.deadline).await
}

/// The first alerts that wait for a channel, in the order they were queued, and the first that go to the channel as it was. Those have a queue
/// of their own, so however many there are, the others are found.
///
/// # Errors
/// The storage did not answer.
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

/// The first alerts of a queue.
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
    // The index may show what has left already; the table does not.
    let items = scope.database.items(&scope.database.state, keys, scope.deadline).await?;
    let (mut waiting, mut left) = (Vec::with_capacity(items.len()), named - items.len().min(named));
    for item in items {
        match StoredAlert::of(item) {
            Ok(stored) if stored.progress.state == State::Waiting => waiting.push(stored),
            Ok(_) => left += 1,
            // One that cannot be read must not hold up the others.
            Err(error) => {
                tracing::error!(%error, "an alert of {} cannot be read: {error}", scope.tenant)
            }
        }
    }
    Ok(LaneAlerts { waiting, is_index_empty: left == 0 })
}

/// The alert of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn alert(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredAlert>, ReadError> {
    StoredAlert::read(scope.database, keys::alerts(&scope.tenant), id, scope.deadline).await
}

/// Alerts, the newest first, from `before` on; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn alerts(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<StoredAlert>, bool), ReadError> {
    let partition = Partition::new(keys::alerts(&scope.tenant)).in_order(Order::Descending);
    let page = scope.page(&partition, before).await?;
    let alerts = page.items.into_iter().map(StoredAlert::of).collect::<Result<_, _>>()?;
    Ok((alerts, page.next.is_some()))
}

/// Makes an alert what a try made of it; none where it is not as `before` any more, and then nothing was done.
///
/// # Errors
/// The storage did not answer. It may be done or not.
pub async fn advance_alert(
    scope: &TenantScope<'_>,
    before: &StoredAlert,
    progress: Progress,
) -> Result<Option<StoredAlert>, ReadError> {
    if before.progress.state != State::Waiting {
        return Ok(None);
    }
    let queued = match progress.state {
        // One to the channel as it was goes to the end of its queue: those of another change, behind it, have their turn.
        State::Waiting if before.alert.as_it_was.is_some() => {
            Some(Queued { queue: queue_of(&scope.tenant, &before.alert), at: scope.now })
        }
        State::Waiting => before.queued.clone(),
        State::Sent | State::Failed => None,
    };
    let content = AlertContent { progress, alert: before.alert.clone() };
    let next = before.next(content, None, queued);
    Ok(next.save(scope.database, before, scope.deadline).await?.then_some(next))
}

/// Moves alerts that an older version queued into the queues of their channels; how many. There are none soon after a deploy, and then this
/// reads nothing.
///
/// # Errors
/// The storage did not answer. The next call goes on.
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

/// The first lanes that are to be looked into until a time.
///
/// # Errors
/// The storage did not answer.
pub async fn due_lanes(
    database: &Database,
    until: Instant,
    deadline: Deadline,
) -> Result<Vec<Lane>, Unavailable> {
    let page = database.due_page(keys::ALERT_LANES_DUE, until, Some(LANES), None, deadline).await?;
    let read = |item| match Lane::of(item) {
        Ok(lane) => Some(lane),
        // One that cannot be read must not hold up the others.
        Err(error) => {
            tracing::error!(%error, "the queue of a channel cannot be read: {error}");
            None
        }
    };
    Ok(page.items.into_iter().filter_map(read).collect())
}

/// Makes a lane `next`, whatever was queued meanwhile, as long as nobody but `run` has it; none where somebody has.
///
/// # Errors
/// The storage did not answer. It may be done or not.
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
        // Somebody has it, or has left it for a while.
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
