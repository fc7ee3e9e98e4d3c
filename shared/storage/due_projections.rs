//! The queue of projections that are due for a refresh.

use std::collections::HashMap;

use shared_domain::{time::timestamp::Instant, trail::event::Tenant};
use shared_platform::backoff::Unavailable;
use tokio::time::Instant as Deadline;

use crate::{
    Database, attributes::text, event_item::Item, keys, lease, projections::ProjectionKind,
    transaction::Change,
};

/// The size of a page of due items, the number of pages, and the maximum number of items from one
/// part of the queue.
const DUE: i32 = 100;
const DUE_PAGES: usize = 20;
const MOST_DUE: usize = 100;
/// The same maximum for one tenant.
const DUE_OF_TENANT: usize = 25;

/// A projection that is due for a refresh.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    pub tenant: Tenant,
    pub kind: ProjectionKind,
    pub key: String,
    pub at: Instant,
}

impl Database {
    /// Moves a due time, or removes it, unless it was changed meanwhile.
    pub async fn postpone(
        &self,
        due: &Due,
        to: Option<Instant>,
        deadline: Deadline,
    ) -> Result<(), Unavailable> {
        let pk = keys::projections(due.kind.as_ref(), &due.tenant);
        let expected = ("due_at", text(due.at));
        if due.kind == ProjectionKind::Later && to.is_none() {
            let change = Change::Delete { key: [pk, due.key.clone()], expected };
            self.alone(change, deadline, &mut false).await?;
            return Ok(());
        }
        let (set, remove): (Vec<_>, &'static [&'static str]) = match to {
            Some(at) => (vec![("due_at", text(at))], &[]),
            None => (Vec::new(), &["due", "due_at"]),
        };
        let change = Change::Update { key: [pk, due.key.clone()], set, remove, expected };
        let mut is_repeated = false;
        self.alone(change, deadline, &mut is_repeated).await?;
        Ok(())
    }

    /// The projections of all tenants that are due by `until`: the first ones of each tenant in
    /// each part of the queue.
    pub async fn due_projections(
        &self,
        until: Instant,
        deadline: Deadline,
    ) -> Result<Vec<Due>, Unavailable> {
        let mut found = Vec::new();
        for shard in 0..keys::DUE_SHARDS {
            let (queue, mut start, mut first) = (keys::watch_due(shard), None, Vec::new());
            let mut tenants: HashMap<Tenant, usize> = HashMap::new();
            let read = |item: &Item| {
                let kind = ProjectionKind::of(item.text("pk")?)?;
                let lease::Due { tenant, id, at } = lease::Due::of(item)?;
                Some(Due { tenant, kind, key: id, at })
            };
            for _ in 0..DUE_PAGES {
                let page = self.due_page(&queue, until, Some(DUE), start, deadline).await?;
                let due = page.items.iter().filter_map(read);
                // No tenant blocks the others, however many due items it has.
                first.extend(due.filter(|due| {
                    let count = tenants.entry(due.tenant.clone()).or_default();
                    *count += 1;
                    *count <= DUE_OF_TENANT
                }));
                start = page.next;
                if start.is_none() || first.len() >= MOST_DUE {
                    break;
                }
            }
            found.extend(first);
        }
        found.sort_by_key(|due| due.at);
        Ok(found)
    }
}
