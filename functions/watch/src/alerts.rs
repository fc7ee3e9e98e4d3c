//! Sends what stands in the outbox. Each channel of each tenant has a lane of its own: one that is slow or down holds up no other. A run has a
//! lane alone, and sends one message at a time. A message tells of all findings that wait together. While a channel is to be left alone for up to
//! a minute it is, whatever is found meanwhile; what is queued anew breaks a longer pause, so that a channel that was mended is found out soon.
//!
//! Whoever queues something calls a run, and in a bad hour that is many. The newest leads: it alone stays for what falls due, and the others end with what
//! they have begun.
//!
//! An alert is sent at least once. A run that dies after a channel took it, and before that was put down, leaves it to the next, which sends
//! it again.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use serde::Serialize;
use shared::{
    domain::time::timestamp::Instant,
    platform::random,
    services::alert_outbox::{self, Lane},
    storage::ReadError,
};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::{Watch, alert_lane::send_from};

/// How long a run stays for what falls due: until the schedule begins the next.
const AHEAD: Duration = Duration::from_secs(55);
/// Kept of an invocation's time for what is under way: a secret, a webhook and the storage, each with the most it may take.
const UNDER_WAY: Duration = Duration::from_secs(45);
/// How long a run has a lane without renewing that.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// How long the storage may take.
pub(crate) const STORING: Duration = Duration::from_secs(10);
/// Shortest pause before a run looks again: the index follows the table.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a run that stays looks whether it still leads, and what others have done.
const LOOKS: Duration = Duration::from_secs(2);
/// How long it mostly takes until the index holds what was queued.
pub(crate) const INDEX_LAG: Duration = Duration::from_secs(1);
/// Lanes that are worked on at a time.
const AT_ONCE: usize = 32;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    /// Alerts that channels took.
    pub sent: usize,
    /// Tries that came to nothing.
    pub refused: usize,
}

/// A tenant and a channel of it.
type Name = (String, String);

/// The lanes that are to be looked into.
type Waiting = BTreeMap<Name, Lane>;

/// What there is to do.
struct Look {
    free: Waiting,
    /// When the next falls due.
    next: Option<Instant>,
    /// Whether the run leads; none while it has found nothing to lead for.
    leads: Option<bool>,
}

enum Done {
    Looked(Result<Look, ReadError>),
    Worked(Name, Result<Summary, ReadError>),
}

/// Sends what somebody has just queued, and what else is due. The index follows the table, on AWS by a moment or two: where nothing is found it is
/// looked for once more.
///
/// # Errors
/// The storage did not say what is due. The next run asks again.
pub async fn send_queued(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    run(function, end, true).await
}

/// Sends what is due now or will be before the next run, and ends when there is nothing more, when a newer run leads, or in time before `end`.
/// Runs that overlap are safe: who has a lane has it alone.
///
/// # Errors
/// The storage did not say what is due. The next run asks again.
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
                        // What was held up behind it, and what it put off.
                        if leads.get() == Some(true) {
                            let soon = Deadline::now() + PAUSE;
                            looks_at = Some(looks_at.map_or(soon, |at| at.min(soon)));
                        }
                    }
                    Err(error) => {
                        let (tenant, channel) = name;
                        tracing::warn!(%error, "{tenant}: alerts to {channel} wait for the storage: {error}");
                    }
                }
            }
        }
    }
    failure.map_or(Ok(summary), Err)
}

/// The lane whose turn it is.
fn pop_earliest(waiting: &mut Waiting) -> Option<(Name, Lane)> {
    let name = waiting.iter().min_by_key(|(_, lane)| lane.due_at)?.0.clone();
    waiting.remove_entry(&name)
}

/// Reads what there is to do. A run leads from the first look on that finds something.
async fn look(function: &Watch, run: &str, leads: Option<bool>) -> Result<Look, ReadError> {
    let (database, deadline) = (&function.database, Deadline::now() + STORING);
    let now = database.clock().now();
    // As far as a lease goes, so that what others have is seen.
    let lanes = alert_outbox::due_lanes(database, now.plus(LEASE + LOOKS), deadline).await?;
    let leads = match leads {
        None if lanes.is_empty() => None,
        None => {
            alert_outbox::lead_alerts(database, run, deadline).await?;
            Some(true)
        }
        Some(_) => {
            Some(alert_outbox::alerts_leader(database, deadline).await?.as_deref() == Some(run))
        }
    };
    let (free, later): (Vec<Lane>, Vec<Lane>) =
        lanes.into_iter().partition(|lane| lane.due_at <= now);
    let name = |lane: Lane| ((lane.tenant.to_string(), lane.channel.clone()), lane);
    Ok(Look {
        free: free.into_iter().map(name).collect(),
        next: later.iter().map(|lane| lane.due_at).min(),
        leads,
    })
}

/// Sends what waits in a lane, one message after the other, until one does not get through: then the others wait as long as it does.
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
