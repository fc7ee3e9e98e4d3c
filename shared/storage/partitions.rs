//! Reads partitions of the state table: consistently, in the order of the sort keys.

use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError, TenantScope,
    attributes::{key, text},
    dynamodb_json,
    event_item::Item,
    retry,
};
use shared_domain::trail::search::Order;
use shared_platform::backoff::Unavailable;

/// The items of a partition to read.
#[derive(Clone, Debug)]
pub struct Partition {
    pk: String,
    bounds: Bounds,
    order: Order,
    most: Option<i32>,
}

#[derive(Clone, Debug)]
enum Bounds {
    None,
    Prefix(String),
    Between(String, String),
}

/// A page of the items of a partition.
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Item>,
    /// The sort key after which there may be more.
    pub next: Option<String>,
}

impl Partition {
    pub fn new(pk: String) -> Self {
        Self { pk, bounds: Bounds::None, order: Order::Ascending, most: None }
    }

    /// Only items whose sort keys begin with `prefix`.
    #[must_use]
    pub fn beginning_with(self, prefix: &str) -> Self {
        Self { bounds: Bounds::Prefix(prefix.to_owned()), ..self }
    }

    /// Only items whose sort keys are between two keys, both included.
    #[must_use]
    pub fn between(self, first: impl ToString, last: impl ToString) -> Self {
        Self { bounds: Bounds::Between(first.to_string(), last.to_string()), ..self }
    }

    #[must_use]
    pub fn in_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// At most so many items in a page. Otherwise a page is one megabyte.
    #[must_use]
    pub fn at_most(self, most: i32) -> Self {
        Self { most: Some(most), ..self }
    }
}

impl Database {
    /// A page of a partition, after a sort key.
    pub async fn page(
        &self,
        partition: &Partition,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Page, Unavailable> {
        let Partition { pk, bounds, order, most } = partition;
        let call = self
            .client
            .query()
            .table_name(&self.state)
            .consistent_read(true)
            .expression_attribute_values(":pk", text(pk))
            .scan_index_forward(*order == Order::Ascending)
            .set_limit(*most)
            .set_exclusive_start_key(after.map(|after| key(pk, after)));
        let call = match bounds {
            Bounds::None => call.key_condition_expression("pk = :pk"),
            Bounds::Prefix(prefix) => call
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", text(prefix)),
            Bounds::Between(first, last) => call
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":first", text(first))
                .expression_attribute_values(":last", text(last)),
        };
        let page = retry(deadline, || dynamodb_json::query(call.clone())).await?;
        let next = page.next.and_then(|mut key| match key.remove("sk")? {
            aws_sdk_dynamodb::types::AttributeValue::S(sk) => Some(sk),
            _ => None,
        });
        Ok(Page { items: page.items, next })
    }

    /// The results of `read` for all items of a partition. Only one page of items is in memory at a
    /// time, because an item takes some kilobytes.
    pub async fn all<T>(
        &self,
        partition: &Partition,
        deadline: Deadline,
        mut read: impl FnMut(Item) -> Option<T>,
    ) -> Result<Vec<T>, Unavailable> {
        let (mut taken, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(partition, after.as_deref(), deadline).await?;
            taken.extend(page.items.into_iter().filter_map(&mut read));
            after = page.next;
            if after.is_none() {
                return Ok(taken);
            }
        }
    }
}

impl TenantScope<'_> {
    /// A page of a partition, after a sort key.
    pub async fn page(
        &self,
        partition: &Partition,
        after: Option<&str>,
    ) -> Result<Page, ReadError> {
        Ok(self.database.page(partition, after, self.deadline).await?)
    }

    /// The same as [`Database::all`].
    pub async fn all<T>(
        &self,
        partition: &Partition,
        read: impl FnMut(Item) -> Option<T>,
    ) -> Result<Vec<T>, ReadError> {
        Ok(self.database.all(partition, self.deadline, read).await?)
    }
}
