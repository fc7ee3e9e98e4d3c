//! The rate limit of writes to Microsoft Graph, shared by all runs. Identity writes are limited to
//! 3,000 in 150 s per app and tenant, and to 35,000 in 300 s per app ("Microsoft Graph throttling
//! limits", identity and access). Two token buckets with a steady refill stay below both limits at
//! any moment.

use std::{collections::BTreeMap, time::Duration};

use shared_domain::windows::revocation::Failure;
use shared_storage::{Database, ReadError};
use tokio::{sync::Mutex, time::Instant as Deadline};

use crate::windows;

/// Writes that a run takes at a time. Unused ones expire, so that none is used twice.
const TAKEN: u32 = 40;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The capacity, in tokens.
    size: u32,
    /// Tokens added per second.
    per_second: u32,
}

/// The limit per app and tenant.
const OF_TENANT: Bucket = Bucket { size: 1500, per_second: 10 };
/// The limit per app.
const OF_CLIENT: Bucket = Bucket { size: 1500, per_second: 110 };

/// The writes that this run has taken and not used.
#[derive(Debug)]
pub(super) struct WriteBudget {
    database: Database,
    taken: Mutex<BTreeMap<String, u32>>,
}

impl WriteBudget {
    /// The budget that the store keeps.
    pub(super) fn new(database: Database) -> Self {
        Self { database, taken: Mutex::default() }
    }

    /// Drops unused writes: a new run must not use writes that an earlier one took.
    pub(super) async fn begin_run(&self) {
        self.taken.lock().await.clear();
    }

    /// Takes `writes`, or returns how long to wait for them.
    pub(super) async fn take(
        &self,
        client: &str,
        tenant: &str,
        writes: u32,
    ) -> Result<Result<(), Duration>, Failure> {
        let mut taken = self.taken.lock().await;
        let (client, tenant) = (client.to_ascii_lowercase(), tenant.to_ascii_lowercase());
        let key = format!("entra:{client}#{tenant}");
        let left = taken.entry(key.clone()).or_default();
        if *left < writes {
            let deadline = Deadline::now() + Duration::from_secs(10);
            let unavailable = |error: ReadError| Failure {
                kind: "storage",
                detail: error.to_string(),
                is_refusal: false,
                retry_after: None,
            };
            let of_tenant = windows::take_from(
                &self.database,
                &key,
                OF_TENANT.size,
                OF_TENANT.per_second,
                TAKEN,
                deadline,
            )
            .await
            .map_err(unavailable)?;
            let of_client = format!("entra:{client}");
            let of_client = windows::take_from(
                &self.database,
                &of_client,
                OF_CLIENT.size,
                OF_CLIENT.per_second,
                of_tenant,
                deadline,
            )
            .await
            .map_err(unavailable)?;
            *left += of_client;
        }
        if *left < writes {
            return Ok(Err(Duration::from_secs(1)));
        }
        *left -= writes;
        Ok(Ok(()))
    }
}
