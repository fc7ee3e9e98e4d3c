//! What Microsoft Graph may still be asked to write, shared by all runs: identity writes are limited to 3,000 in 150 s for an app in a
//! tenant and 35,000 in 300 s for an app ("Microsoft Graph throttling limits", identity and access). Two buckets that fill steadily stay
//! below both, whichever moment is looked at.

use std::{collections::BTreeMap, time::Duration};

use shared_domain::windows::revocation::Failure;
use shared_storage::{Database, ReadError};
use tokio::{sync::Mutex, time::Instant as Deadline};

use crate::windows;

/// Writes that a run takes at a time. What it does not use is lost to all, so that nobody can use it twice.
const TAKEN: u32 = 40;

/// A bucket of writes.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The most that can be taken at once.
    size: u32,
    /// What is added in a second.
    per_second: u32,
}

/// For an app in a tenant.
const OF_TENANT: Bucket = Bucket { size: 1500, per_second: 10 };
/// For an app in all tenants.
const OF_CLIENT: Bucket = Bucket { size: 1500, per_second: 110 };

/// What this run may still write, of what it took.
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

    /// Gives up what was taken and not used: a run that begins must not write what an earlier one was allowed to.
    pub(super) async fn begin_run(&self) {
        self.taken.lock().await.clear();
    }

    /// Takes `writes`; or says how long to wait for them.
    ///
    /// # Errors
    /// The storage did not answer.
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
