//! Reads the work that is due, now or shortly.

use std::{collections::BTreeMap, time::Duration};

use shared::{
    domain::{time::timestamp::Instant, trail::event::Tenant},
    platform::disable_trigger::AHEAD,
    services::{
        window_orders,
        windows::{self, DuePlace, Stored},
    },
    storage::{
        ReadError,
        keys::{DUE_SHARDS, WINDOWS_LEADER},
        lease::Due,
    },
};
use tokio::time::Instant as Deadline;

use crate::{
    Disable,
    lanes::{WAITING, lane_of},
};

/// How far ahead it reads, so that work that falls due before the next read is in memory.
const LOOKS_AHEAD: Duration = Duration::from_secs(4);

/// Time limit of one read.
pub(crate) const READING: Duration = Duration::from_secs(10);

/// The work that is due, and whether this run continues.
pub(crate) struct DueWork {
    pub(crate) due: Vec<(Tenant, Stored)>,
    pub(crate) orders: Vec<Due>,
    /// Whether this run is still the leader.
    pub(crate) leads: bool,
    /// Whether a window ends soon enough for the run to stay.
    pub(crate) ends_soon: bool,
}

/// Reads the work that is due, now or shortly.
pub(crate) async fn find_due_work(function: &Disable, run: &str) -> Result<DueWork, ReadError> {
    let database = &function.database;
    let deadline = Deadline::now() + READING;
    let leads = database.leader(WINDOWS_LEADER, deadline).await?.as_deref() == Some(run);
    let until = database.clock().now().plus(LOOKS_AHEAD);
    let shards = futures::future::join_all((0..DUE_SHARDS).map(|shard| async move {
        let (mut found, mut start) = (Vec::new(), None::<DuePlace>);
        // If one directory is down and has very many windows, those behind them are still reached,
        // and memory stays bounded by the lanes.
        let mut of_lane: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (page, next) = windows::due(database, shard, until, start, None, deadline).await?;
            for (tenant, stored) in page {
                let count = of_lane.entry(lane_of(&tenant, &stored)).or_default();
                *count += 1;
                if *count <= WAITING {
                    found.push((tenant, stored));
                }
            }
            // The rest is read after the first ones are done.
            if next.is_none() || Deadline::now() + READING / 2 > deadline {
                return Ok::<_, ReadError>(found);
            }
            start = next;
        }
    }));
    let mut due = Vec::new();
    for found in shards.await {
        due.extend(found?);
    }
    let soon = database.clock().now().plus(AHEAD);
    let orders = window_orders::due_orders(database, soon, deadline).await?;
    let ends_soon =
        !due.is_empty() || !orders.is_empty() || is_any_due(function, soon, deadline).await?;
    due.sort_by_key(|(_, stored)| stored.window.due_at());
    Ok(DueWork { due, orders, leads, ends_soon })
}

/// Whether a window is due until `until`.
async fn is_any_due(
    function: &Disable,
    until: Instant,
    deadline: Deadline,
) -> Result<bool, ReadError> {
    let database = &function.database;
    let shards =
        (0..DUE_SHARDS).map(|shard| windows::due(database, shard, until, None, Some(1), deadline));
    for page in futures::future::join_all(shards).await {
        // An unreadable window is skipped; others may follow it.
        let (found, next) = page?;
        if !found.is_empty() || next.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
