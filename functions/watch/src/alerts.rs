//! Sends the alerts in the outbox. Each channel of each tenant has its own lane, so a channel that
//! is slow or down blocks no other. A run leases a lane and sends one message at a time; a message
//! contains all findings that wait together. After a failure the lane pauses. A new alert does not
//! shorten a pause of up to a minute, but ends a longer one, so that a repaired channel works soon.
//!
//! Each batch that queues an alert starts a run, so there can be many runs at once. The newest run
//! is the leader: only the leader waits for lanes that fall due. The others finish what they have
//! started, and end.
//!
//! An alert is sent at least once. If a run fails after the channel accepted the message and before
//! that is stored, the next run sends it again.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use serde::Serialize;
use shared::{
    domain::time::timestamp::Instant,
    platform::{metrics::Metric, random},
    services::alert_outbox::{self, Lane},
    storage::{ReadError, keys::ALERTS_LEADER},
};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::{Watch, alert_lane::send_from};

/// How long a run waits for lanes that fall due: until the schedule starts the next run.
const AHEAD: Duration = Duration::from_secs(55);
/// Part of the invocation's time that is reserved for work in progress: the timeouts of reading a
/// secret, calling a webhook and writing to the storage.
const UNDER_WAY: Duration = Duration::from_secs(45);
/// Length of a lease on a lane. Each message renews it.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// Timeout of the storage.
pub(crate) const STORING: Duration = Duration::from_secs(10);
/// Shortest pause between two reads of the index, which lags behind the table.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a waiting run checks that it is still the leader and whether leases have ended.
const LOOKS: Duration = Duration::from_secs(2);
/// The usual lag of the index behind the table.
pub(crate) const INDEX_LAG: Duration = Duration::from_secs(1);
/// Lanes that one run works on in parallel.
const AT_ONCE: usize = 32;

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    /// Alerts that channels accepted.
    pub sent: usize,
    /// Alerts whose sending failed.
    pub refused: usize,
}

/// A lane's key: the tenant and the id of its channel.
type Name = (String, String);

/// Lanes that are due and not leased.
type Waiting = BTreeMap<Name, Lane>;

/// What a read of the index found.
struct Look {
    free: Waiting,
    /// When the next lane falls due.
    next: Option<Instant>,
    /// Whether this run is the leader; `None` until it has found work for the first time.
    leads: Option<bool>,
}

enum Done {
    Looked(Result<Look, ReadError>),
    Worked(Name, Result<Summary, ReadError>),
}

/// Sends alerts that have just been queued, and all others that are due. If the index shows nothing
/// at first, it is read once more, because it lags behind the table.
pub async fn send_queued(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    run(function, end, true).await
}

/// Sends alerts that are due now or before the next scheduled run. Returns when there is no more to
/// do, when a newer run is the leader, or in time before `end`. Runs may overlap: a lease gives a
/// lane to one run at a time.
pub async fn send_due(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    run(function, end, false).await
}

async fn run(
    function: &Watch,
    end: Deadline,
    mut is_expecting: bool,
) -> Result<Summary, ReadError> {
    let (run, clock) = (format!("{:016x}", random::number()), function.database.clock());
    let last = end
        .checked_sub(UNDER_WAY)
        .map_or_else(Deadline::now, |last| last.min(Deadline::now() + AHEAD));
    let leads = Cell::new(None);
    let looking = || look(function, &run, leads.get()).map(Done::Looked).boxed_local();
    let mut work = FuturesUnordered::<LocalBoxFuture<'_, Done>>::from_iter([looking()]);
    let (mut is_looking, mut looks_at) = (true, None::<Deadline>);
    let (mut waiting, mut at_work) = (Waiting::new(), BTreeSet::<Name>::new());
    let (mut summary, mut failure) = (Summary::default(), None);
    loop {
        while at_work.len() < AT_ONCE
            && Deadline::now() < last
            && let Some((name, lane)) = pop_earliest(&mut waiting)
        {
            at_work.insert(name.clone());
            let goes_on = || leads.get() == Some(true) && Deadline::now() < last;
            work.push(work_on(function, &run, name, lane, goes_on).boxed_local());
        }
        let wake = looks_at.filter(|at| *at < last && !is_looking);
        let done = tokio::select! {
            Some(done) = work.next() => done,
            () = sleep_until(wake.unwrap_or(last)), if wake.is_some() => {
                work.push(looking());
                is_looking = true;
                continue;
            }
            else => break,
        };
        match done {
            Done::Looked(Ok(found)) => {
                is_looking = false;
                leads.set(found.leads);
                let is_leading = found.leads == Some(true);
                waiting = found.free;
                waiting.retain(|name, _| is_leading && !at_work.contains(name));
                let (now, begun) = (clock.now(), Deadline::now());
                let wait = |at: Instant| {
                    Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0))
                };
                let next = found.next.map(wait).filter(|wait| begun + *wait < last);
                let next = next.filter(|_| is_leading);
                let next = next.map(|wait| wait.clamp(PAUSE, LOOKS));
                let expected = (is_expecting && found.leads.is_none()).then_some(INDEX_LAG);
                is_expecting = false;
                looks_at = next.or(expected).map(|wait| begun + wait);
            }
            Done::Looked(Err(error)) => {
                is_looking = false;
                looks_at = None;
                failure = Some(error);
            }
            Done::Worked(name, worked) => {
                at_work.remove(&name);
                match worked {
                    Ok(worked) => {
                        summary.sent += worked.sent;
                        summary.refused += worked.refused;
                        // More alerts may wait in the lane, for example those that were behind a
                        // failed one.
                        if leads.get() == Some(true) {
                            let soon = Deadline::now() + PAUSE;
                            looks_at = Some(looks_at.map_or(soon, |at| at.min(soon)));
                        }
                    }
                    Err(error) => {
                        let (tenant, channel) = name;
                        tracing::warn!(%error, "alerts of {tenant} to {channel} wait, the storage did not answer: {error}");
                    }
                }
            }
        }
    }
    failure.map_or(Ok(summary), Err)
}

/// Removes and returns the lane that has been due for the longest time.
fn pop_earliest(waiting: &mut Waiting) -> Option<(Name, Lane)> {
    let name = waiting.iter().min_by_key(|(_, lane)| lane.due_at())?.0.clone();
    waiting.remove_entry(&name)
}

/// Reads which lanes are due. A run becomes the leader when it first finds work.
async fn look(function: &Watch, run: &str, leads: Option<bool>) -> Result<Look, ReadError> {
    let (database, deadline) = (&function.database, Deadline::now() + STORING);
    let now = database.clock().now();
    // Look ahead as far as a lease lasts, to see the lanes that other runs hold.
    let lanes = alert_outbox::due_lanes(database, now.plus(LEASE + LOOKS), deadline).await?;
    if leads.is_none() {
        let waits = lanes.iter().filter_map(|lane| Some(now.seconds() - lane.due_at()?.seconds()));
        let longest = u64::try_from(waits.max().unwrap_or(0)).unwrap_or(0);
        let failing = lanes.iter().filter(|lane| lane.failures > 0).count();
        function.metrics.emit(&[
            Metric::seconds("AlertLag", longest),
            Metric::count("AlertChannelsFailing", failing),
        ]);
    }
    let leads = match leads {
        None if lanes.is_empty() => None,
        None => {
            database.lead(ALERTS_LEADER, run, deadline).await?;
            Some(true)
        }
        Some(_) => Some(database.leader(ALERTS_LEADER, deadline).await?.as_deref() == Some(run)),
    };
    let (free, later): (Vec<Lane>, Vec<Lane>) =
        lanes.into_iter().partition(|lane| lane.due_at().is_none_or(|due_at| due_at <= now));
    let name = |lane: Lane| ((lane.tenant.to_string(), lane.id.clone()), lane);
    Ok(Look {
        free: free.into_iter().map(name).collect(),
        next: later.iter().filter_map(|lane| lane.due_at()).min(),
        leads,
    })
}

/// Sends the alerts of one lane until it is empty or a message fails.
async fn work_on(
    function: &Watch,
    run: &str,
    name: Name,
    lane: Lane,
    goes_on: impl Fn() -> bool,
) -> Done {
    let worked = send_from(function, run, lane, goes_on).await;
    Done::Worked(name, worked)
}
