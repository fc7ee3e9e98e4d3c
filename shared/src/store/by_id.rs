//! Which event has this id?

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant as Deadline;

use crate::{
    event::{EventId, Recorded, Tenant},
    instant::Instant,
    store::{Pauses, ReadError, Store, item, keys},
};

impl Store {
    /// The tenant's event with that id, unless it is past its retention.
    ///
    /// # Errors
    /// The storage did not answer, or the item is damaged.
    pub async fn event_by_id(
        &self,
        tenant: &Tenant,
        id: &EventId,
        now: Instant,
        deadline: Deadline,
    ) -> Result<Option<Recorded>, ReadError> {
        let key = AttributeValue::S(keys::event(tenant, id));
        let call = self.client.get_item().table_name(&self.events).key("pk", key).consistent_read(true);
        let output = Pauses::retry(deadline, || call.clone().send()).await?;
        let recorded = output.item.map(item::read).transpose()?;
        Ok(recorded.filter(|recorded| self.shows(recorded.event.occurred_at, recorded.expires_at, now)))
    }
}
