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
use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
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
    trail::event::{EventId, Recorded, Tenant},
};
use shared_platform::backoff::{Pauses, Unavailable, contended};
use shared_storage::{
    Database, ReadError, TenantScope,
    event_item::{Damaged, Item},
    keys,
    transaction::{self, Attribute, Change},
};

/// An alert as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlert {
    /// What is told.
    pub alert: Alert,
    /// How far it is.
    pub progress: Progress,
    generation: u64,
}

/// The first alerts of a channel's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAlerts {
    /// Those that wait, in the order they were queued.
    pub waiting: Vec<StoredAlert>,
    /// Whether the index named nothing that has left already.
    pub is_index_empty: bool,
}

/// The queue of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose channel it is.
    pub tenant: Tenant,
    /// The channel's id.
    pub channel: String,
    /// When it is to be looked into; while a run has it, until when.
    pub due_at: Instant,
    /// The run that has it.
    pub run: Option<String>,
    /// Messages in a row that the channel did not take.
    pub failures: u32,
    /// When something was queued last.
    pub woken_at: Instant,
    generation: u64,
}

/// How long what is queued waits for more, so that one message tells of all of it.
pub const GATHER: Duration = Duration::from_secs(2);
/// A channel that is to be left alone for longer than this is tried when something is queued anew.
const BROKEN_REST: Duration = Duration::from_secs(62);
/// Lanes read at a time.
const LANES: i32 = 100;
/// Alerts of a lane read at a time.
const ALERTS: i32 = 100;

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl StoredAlert {
    /// One that is to be stored and sent at once.
    fn new(alert: Alert, kind: Kind) -> Self {
        Self { progress: Progress::waiting(kind), generation: 1, alert }
    }

    /// The attributes that change.
    fn attributes(&self) -> Result<Vec<Attribute>, Damaged> {
        let progress = serde_json::to_string(&self.progress)
            .map_err(|_| Damaged::new(&self.alert.id, "progress"))?;
        Ok(vec![("progress", text(&progress)), ("generation", number(self.generation))])
    }

    /// The queue that it stands in.
    fn queue(&self, tenant: &Tenant) -> String {
        match self.alert.as_it_was {
            None => keys::alerts_to(tenant, &self.alert.channel),
            Some(_) => keys::alerts_to_past(tenant, &self.alert.channel),
        }
    }

    fn item(&self, tenant: &Tenant) -> Result<Vec<Attribute>, Damaged> {
        let content = serde_json::to_string(&self.alert)
            .map_err(|_| Damaged::new(&self.alert.id, "alert"))?;
        let mut item = vec![
            ("pk", text(&keys::alerts(tenant))),
            ("sk", text(&self.alert.id)),
            ("alert", text(&content)),
            ("ttl", number(self.alert.queued_at.plus(KEPT).seconds())),
            ("due", text(&self.queue(tenant))),
            ("due_at", text(&self.alert.queued_at.to_string())),
        ];
        item.extend(self.attributes()?);
        Ok(item)
    }

    fn of(mut item: Item) -> Result<Self, Damaged> {
        let mut take = |name| match item.remove(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text),
            _ => None,
        };
        let id = take("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&id, attribute);
        let alert = take("alert").and_then(|json| serde_json::from_str(&json).ok());
        let progress = take("progress").and_then(|json| serde_json::from_str(&json).ok());
        Ok(Self {
            alert: alert.ok_or_else(|| damaged("alert"))?,
            progress: progress.ok_or_else(|| damaged("progress"))?,
            generation: take("generation")
                .and_then(|it| it.parse().ok())
                .ok_or_else(|| damaged("generation"))?,
        })
    }
}

impl Lane {
    /// The attributes that change.
    fn attributes(&self) -> Vec<Attribute> {
        vec![
            ("due", text(keys::ALERT_LANES_DUE)),
            ("due_at", text(&self.due_at.to_string())),
            ("run", text(self.run.as_deref().unwrap_or_default())),
            ("failures", number(self.failures)),
            ("woken_at", text(&self.woken_at.to_string())),
            ("generation", number(self.generation)),
        ]
    }

    fn of(mut item: Item) -> Result<Self, Damaged> {
        let mut take = |name| match item.remove(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text),
            _ => None,
        };
        let channel = take("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&channel, attribute);
        let mut time =
            |name| take(name).and_then(|at| at.parse().ok()).ok_or_else(|| damaged(name));
        let (due_at, woken_at) = (time("due_at")?, time("woken_at")?);
        Ok(Self {
            tenant: take("pk")
                .and_then(|pk| keys::tenant_of_alert_lanes(&pk))
                .ok_or_else(|| damaged("pk"))?,
            due_at,
            woken_at,
            run: take("run").filter(|run| !run.is_empty()),
            failures: take("failures").and_then(|it| it.parse().ok()).unwrap_or(0),
            generation: take("generation")
                .and_then(|it| it.parse().ok())
                .ok_or_else(|| damaged("generation"))?,
            channel,
        })
    }

    /// Whether a run has it and may still be at work.
    pub fn is_held(&self, now: Instant) -> bool {
        self.run.is_some() && now < self.due_at
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
        queued += usize::from(queue_alert(scope, &StoredAlert::new(alert, kind), GATHER).await?);
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
        queued += usize::from(
            queue_alert(scope, &StoredAlert::new(alert, Kind::from(&channel.way)), Duration::ZERO)
                .await?,
        );
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
    let stored = StoredAlert::new(alert, Kind::from(&channel.way));
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
    let change = Change::Insert(stored.item(&scope.tenant)?);
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
        let due_at = match &before {
            None => soon,
            Some(lane) if lane.is_held(now) => lane.due_at,
            Some(lane) if lane.failures > 0 && lane.due_at <= now.plus(BROKEN_REST) => lane.due_at,
            Some(lane) => lane.due_at.min(soon),
        };
        let next = match &before {
            None => Lane {
                tenant: scope.tenant.clone(),
                channel: channel.to_owned(),
                due_at,
                run: None,
                failures: 0,
                woken_at: now,
                generation: 1,
            },
            Some(lane) => {
                Lane { due_at, woken_at: now, generation: lane.generation + 1, ..lane.clone() }
            }
        };
        if make_lane(scope.database, before.as_ref(), &next, scope.deadline).await? {
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
    let item = scope
        .database
        .state_item(keys::alert_lanes(&scope.tenant), channel, scope.deadline)
        .await?;
    Ok(item.map(Lane::of).transpose()?)
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
    let key = |item: Item| {
        let sk = item.get("sk")?.clone();
        Some(HashMap::from([("pk".to_owned(), text(&pk)), ("sk".to_owned(), sk)]))
    };
    let keys: Vec<_> = page.items.into_iter().filter_map(key).collect();
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
    let item = scope.database.state_item(keys::alerts(&scope.tenant), id, scope.deadline).await?;
    Ok(item.map(StoredAlert::of).transpose()?)
}

/// Alerts, the newest first, from `before` on; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn alerts(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<StoredAlert>, bool), ReadError> {
    let (items, goes_on) =
        scope.state_page(keys::alerts(&scope.tenant), None, before, false).await?;
    let alerts = items.into_iter().map(StoredAlert::of).collect::<Result<_, _>>()?;
    Ok((alerts, goes_on))
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
    let generation = before.generation + 1;
    let next = StoredAlert { progress, generation, alert: before.alert.clone() };
    let mut set = next.attributes()?;
    // One to the channel as it was goes to the end of its queue: those of another change, behind it, have their turn.
    if next.progress.state == State::Waiting && next.alert.as_it_was.is_some() {
        set.push(("due", text(&next.queue(&scope.tenant))));
        set.push(("due_at", text(&scope.now.to_string())));
    }
    let change = Change::Update {
        key: [keys::alerts(&scope.tenant), next.alert.id.clone()],
        set,
        remove: if next.progress.state == State::Waiting { &[] } else { &["due", "due_at"] },
        expected: ("generation", number(before.generation)),
    };
    let mut is_repeated = false;
    if scope.database.alone(change, scope.deadline, &mut is_repeated).await? {
        return Ok(Some(next));
    }
    // An attempt that looked like a failure may have done it.
    if is_repeated && alert(scope, &next.alert.id).await?.as_ref() == Some(&next) {
        return Ok(Some(next));
    }
    Ok(None)
}

/// Makes `run` the one that stays for what is to be sent; whoever did before sees it in [`Database::alerts_leader`].
///
/// # Errors
/// The storage did not answer.
pub async fn lead_alerts(
    database: &Database,
    run: &str,
    deadline: Deadline,
) -> Result<(), ReadError> {
    transaction::replace(database, keys::LEASES, keys::ALERTS_LEASE, deadline, |_| {
        vec![("run", text(run))]
    })
    .await
}

/// The run that stays.
///
/// # Errors
/// The storage did not answer.
pub async fn alerts_leader(
    database: &Database,
    deadline: Deadline,
) -> Result<Option<String>, Unavailable> {
    let item = database.state_item(keys::LEASES.to_owned(), keys::ALERTS_LEASE, deadline).await?;
    Ok(match item.and_then(|mut item| item.remove("run")) {
        Some(AttributeValue::S(run)) => Some(run),
        _ => None,
    })
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
        let name = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let (Some(pk), Some(sk)) = (name("pk"), name("sk")) else { continue };
        let Some(tenant) = keys::tenant_of_alerts(&pk) else { continue };
        let Some(item) = database.state_item(pk.clone(), &sk, deadline).await? else { continue };
        let stored = match StoredAlert::of(item) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "an alert of {tenant} that an older version queued cannot be read: {error}");
                continue;
            }
        };
        let queue = stored.queue(&tenant);
        let change = Change::Update {
            key: [pk, sk],
            set: vec![("due", text(&queue)), ("due_at", text(&stored.alert.queued_at.to_string()))],
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
    mut next: impl FnMut(&mut Lane),
) -> Result<Option<Lane>, ReadError> {
    loop {
        let item =
            database.state_item(keys::alert_lanes(&lane.tenant), &lane.channel, deadline).await?;
        let Some(before) = item.map(Lane::of).transpose()? else { return Ok(None) };
        // Somebody has it, or has left it for a while.
        if before.run.as_deref() != Some(run) && database.clock.now() < before.due_at {
            return Ok(None);
        }
        let mut made = before.clone();
        next(&mut made);
        made.generation += 1;
        if make_lane(database, Some(&before), &made, deadline).await? {
            return Ok(Some(made));
        }
        if Deadline::now() >= deadline {
            return Err(contended(format_args!("the queue of channel {:?}", lane.channel)).into());
        }
    }
}

async fn make_lane(
    database: &Database,
    before: Option<&Lane>,
    next: &Lane,
    deadline: Deadline,
) -> Result<bool, Unavailable> {
    let key = [keys::alert_lanes(&next.tenant), next.channel.clone()];
    let set = next.attributes();
    let change = match before {
        None => {
            let [pk, sk] = &key;
            Change::Insert([("pk", text(pk)), ("sk", text(sk))].into_iter().chain(set).collect())
        }
        Some(before) => Change::Update {
            key,
            set,
            remove: &[],
            expected: ("generation", number(before.generation)),
        },
    };
    database.alone(change, deadline, &mut false).await
}
