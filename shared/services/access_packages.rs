//! Reads earlier versions of an access package.

use shared_domain::{
    configuration::{
        access_package::Package,
        document::{Configured, Document},
    },
    time::timestamp::Instant,
    trail::event::EventId,
};
use shared_storage::{ReadError, TenantScope, event_item::Damaged};

use crate::documents;

/// Maximum number of versions that are searched for the one in force at a given time.
const MOST_VERSIONS: usize = 50;

/// The package at a version, to judge a decision that was made under that version. None if it never
/// had that version, was deleted at that version, or if the trail no longer retains the event of
/// that version.
pub async fn package_at(
    scope: &TenantScope<'_>,
    id: &str,
    version: u64,
) -> Result<Option<Configured<Package>>, ReadError> {
    let event_id =
        EventId::of_service(&scope.tenant, Package::KIND.action, &[id, &version.to_string()]);
    if let Some(recorded) = scope.event(&event_id).await? {
        let new = recorded.event.details.and_then(|mut details| details.remove("new"));
        let package: Option<Package> =
            new.map(serde_json::from_value).transpose().map_err(|_| Damaged::new(id, "content"))?;
        return Ok(package.map(|package| Configured::new(id, version, package)));
    }
    // The current version may be older than the oldest retained event.
    Ok(documents::get(scope, id).await?.filter(|it: &Configured<Package>| it.version == version))
}

/// The package as it was at a time. None if it did not exist then, or if the trail no longer
/// retains the event.
pub async fn package_when(
    scope: &TenantScope<'_>,
    id: &str,
    at: Instant,
) -> Result<Option<Configured<Package>>, ReadError> {
    let Some(now) = documents::get::<Package>(scope, id).await? else { return Ok(None) };
    for version in (1..=now.version).rev().take(MOST_VERSIONS) {
        let event_id =
            EventId::of_service(&scope.tenant, Package::KIND.action, &[id, &version.to_string()]);
        if scope.event(&event_id).await?.is_some_and(|recorded| recorded.event.occurred_at <= at) {
            return package_at(scope, id, version).await;
        }
    }
    Ok(None)
}
