//! The queue of the windows and bookings that are due, over all tenants.

use shared_domain::{
    time::timestamp::Instant,
    trail::event::{EventId, Tenant},
};
use shared_storage::{
    Database, ReadError,
    attributes::{number, text},
    dynamodb_json::Key,
    keys,
    lease::Due,
    partitions::Partition,
    transaction::{self, Change},
};
use tokio::time::Instant as Deadline;

use super::step::{Stored, stored};

/// Registers a tenant for regular processing.
pub async fn remember(
    database: &Database,
    tenant: &Tenant,
    deadline: Deadline,
) -> Result<(), ReadError> {
    let item = vec![("pk", text(keys::TENANTS)), ("sk", text(tenant))];
    database.alone(Change::Insert(item), deadline, &mut false).await?;
    Ok(())
}

/// The registered tenants.
pub async fn tenants(database: &Database, deadline: Deadline) -> Result<Vec<Tenant>, ReadError> {
    let registered = Partition::new(keys::TENANTS.to_owned());
    Ok(database.all(&registered, deadline, |item| Tenant::new(item.text("sk")?)).await?)
}

/// A page of one shard's windows that are due at a time, the earliest first, at most `limit`; and
/// the start of the next page.
pub async fn due(
    database: &Database,
    shard: u64,
    until: Instant,
    start: Option<DuePlace>,
    limit: Option<i32>,
    deadline: Deadline,
) -> Result<(Vec<(Tenant, Stored)>, Option<DuePlace>), ReadError> {
    let start = start.map(|DuePlace(key)| key);
    let page = database.due_page(&keys::due(shard), until, limit, start, deadline).await?;
    let mut due = Vec::with_capacity(page.items.len());
    for item in page.items {
        let tenant = item.text("pk").and_then(keys::tenant_of);
        match (tenant, stored(item)) {
            (Some(tenant), Ok(window)) => due.push((tenant, window)),
            (None, _) => tracing::error!("an item in the queue of what is due has no tenant"),
            // An unreadable window must not block the others.
            (_, Err(error)) => {
                tracing::error!(%error, "a window that is due cannot be read: {error}")
            }
        }
    }
    Ok((due, page.next.map(DuePlace)))
}

/// The events whose windows have to be opened by now.
pub async fn due_bookings(
    database: &Database,
    now: Instant,
    deadline: Deadline,
) -> Result<Vec<(Tenant, EventId)>, ReadError> {
    let due = database.first_due(keys::BOOKINGS_DUE, now, deadline).await?;
    let event = |due: Due| Some((due.tenant, EventId::new(&due.id)?));
    Ok(due.into_iter().filter_map(event).collect())
}

/// Stores that a run has completed a pass over everything due.
pub async fn swept(database: &Database, deadline: Deadline) -> Result<(), ReadError> {
    let now = database.clock.now();
    transaction::replace(database, keys::LEASES, "swept", deadline, |_| vec![("at", text(now))])
        .await
}

/// When a run last completed a pass, if ever.
pub async fn swept_at(
    database: &Database,
    deadline: Deadline,
) -> Result<Option<Instant>, ReadError> {
    let item = database.state_item(keys::LEASES.to_owned(), "swept", deadline).await?;
    Ok(item.and_then(|item| item.parsed("at")))
}

/// Takes up to `most` tokens from a rate limiter's bucket with `size` tokens, refilled by
/// `per_second`. Returns the number taken.
pub async fn take_from(
    database: &Database,
    bucket: &str,
    size: u32,
    per_second: u32,
    most: u32,
    deadline: Deadline,
) -> Result<u32, ReadError> {
    let mut taken = 0;
    transaction::replace(database, "budget", bucket, deadline, |item| {
        let now = database.clock.now();
        let read = |name| item.and_then(|item| item.number::<i64>(name));
        // Counted in thousandths, so that a bucket with frequent requests still refills. A clock
        // that is behind adds nothing.
        let size = i64::from(size) * 1000;
        let (held, at) = (read("held").unwrap_or(size), read("at").unwrap_or(now.millis()));
        let passed = (now.millis() - at).max(0);
        let held = held.saturating_add(passed.saturating_mul(i64::from(per_second))).min(size);
        taken = u32::try_from(held / 1000).unwrap_or(0).min(most);
        vec![("held", number(held - i64::from(taken) * 1000)), ("at", number(at.max(now.millis())))]
    })
    .await?;
    Ok(taken)
}

/// The position of a page in the due queue.
#[derive(Clone, Debug)]
pub struct DuePlace(Key);
