//! Reads events by id.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError, TenantScope,
    dynamodb_json::{self, Key},
    event_item::{self, Item},
    keys, retry,
};
use shared_domain::trail::event::{EventId, Recorded};
use shared_platform::backoff::{Pauses, Unavailable};

/// DynamoDB's limit for one BatchGetItem.
pub const KEYS: usize = 100;

impl TenantScope<'_> {
    /// The tenant's event with that id, unless it is past its retention.
    pub async fn event(&self, id: &EventId) -> Result<Option<Recorded>, ReadError> {
        let Database { client, events, .. } = self.database;
        let key = AttributeValue::S(keys::event(&self.tenant, id));
        let call = client.get_item().table_name(events).key("pk", key).consistent_read(true);
        let output = retry(self.deadline, || call.clone().send()).await?;
        let recorded = output.item.map(|item| event_item::read(item.into())).transpose()?;
        Ok(recorded.filter(|recorded| self.shows(recorded)))
    }

    /// The tenant's events with these ids, even past their retention; missing ones are left out.
    pub async fn events_of(&self, ids: &[EventId]) -> Result<Vec<Recorded>, ReadError> {
        // DynamoDB rejects a request that contains a key twice.
        let all: BTreeSet<String> = ids.iter().map(|id| keys::event(&self.tenant, id)).collect();
        Ok(self.events_by_key(all.into_iter().collect()).await?.into_values().collect())
    }

    /// The events with these keys; missing ones are left out.
    pub async fn events_by_key(
        &self,
        all: Vec<String>,
    ) -> Result<HashMap<String, Recorded>, ReadError> {
        let mut found = HashMap::with_capacity(all.len());
        for chunk in all.chunks(KEYS) {
            let key =
                |key: &String| HashMap::from([("pk".to_owned(), AttributeValue::S(key.clone()))]);
            let keys = chunk.iter().map(key).collect();
            for item in self.database.items(&self.database.events, keys, self.deadline).await? {
                let recorded = event_item::read(item)?;
                found.insert(keys::event(&recorded.event.tenant, &recorded.event.id), recorded);
            }
        }
        Ok(found)
    }
}

impl Database {
    /// The items of a table with these keys, at most [`KEYS`]; missing ones are left out.
    pub async fn items(
        &self,
        table: &str,
        mut keys: Vec<Key>,
        deadline: Deadline,
    ) -> Result<Vec<Item>, Unavailable> {
        let mut found = Vec::with_capacity(keys.len());
        let mut pauses = Pauses::until(deadline);
        while !keys.is_empty() {
            // The builder only fails without keys.
            #[allow(clippy::expect_used)]
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build()
                .expect("keys are given");
            let call = self.client.batch_get_item().request_items(table, wanted);
            let (items, undone) =
                retry(deadline, || dynamodb_json::batch_get(call.clone())).await?;
            found.extend(items);
            keys = undone;
            if !keys.is_empty() && !pauses.pause().await {
                return Err(Unavailable(format!("{} keys stayed unprocessed", keys.len())));
            }
        }
        Ok(found)
    }
}
