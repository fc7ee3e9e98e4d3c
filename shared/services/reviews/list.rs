//! Lists reviews and the items of a review.

use std::collections::HashMap;

use shared_domain::{
    access::{access_answer::AccessAnswer, access_record::Access, kept_events},
    configuration::{access_package::Package, document::Document},
    reviews::{
        review::{Fixed, Review},
        review_answer::{
            LateEventAnswer, OpenedPolicyAnswer, ReviewItemAnswer, ReviewSubjectAnswer,
            ReviewedPackageAnswer,
        },
        review_item::{self, Item, What},
    },
    time::timestamp::Instant,
    trail::{
        event::{EventId, Recorded},
        search::Order,
    },
};
use shared_storage::{
    ReadError, TenantScope,
    documents::StoredDocument,
    keys,
    partitions::Partition,
    projections::{Projection, ProjectionKind},
};

use super::step::stored_review;
use crate::access_projection::access_lists::ALL;

pub(super) const READS: usize = 8;
const SHOWN: i32 = 100;
/// Maximum number of versions of a package that are read for one policy.
const MOST_VERSIONS: u64 = 100;

pub async fn review(scope: &TenantScope<'_>, id: &str) -> Result<Option<Review>, ReadError> {
    Ok(stored_review(scope, id).await?.map(|stored| stored.review))
}

/// Reviews after a position, the newest first, each with its position, and whether there may be
/// more.
pub async fn reviews(
    scope: &TenantScope<'_>,
    after: Option<&str>,
) -> Result<(Vec<(String, Option<Review>)>, bool), ReadError> {
    let always = [Instant::from_millis(0), Instant::from_millis(253_402_300_799_999)];
    let (listed, next) =
        scope.listed(ProjectionKind::Review, ALL, always, Order::Descending, after).await?;
    let ids: Vec<String> = listed.iter().map(|(_, id)| id.clone()).collect();
    let mut found: HashMap<String, Review> = HashMap::new();
    for projection in scope.projections(ProjectionKind::Review, &ids).await? {
        found.insert(projection.key.clone(), projection.read()?);
    }
    let read = |(at, id): (Instant, String)| {
        // A place may remain from a request with the same id that was not stored.
        let review = found.get(&id).filter(|review| review.opened_at == at).cloned();
        (keys::list_place(at, &id), review)
    };
    Ok((listed.into_iter().map(read).collect(), next.is_some()))
}

/// Items of a review after an item, by id, and whether there may be more.
pub async fn review_items(
    scope: &TenantScope<'_>,
    review: &Review,
    after: Option<&str>,
) -> Result<(Vec<Item>, bool), ReadError> {
    match &review.fixed {
        Some(fixed) => items_after(scope, &review.id, fixed, after, Some(SHOWN)).await,
        None => Ok((Vec::new(), false)),
    }
}

pub(super) async fn items_after(
    scope: &TenantScope<'_>,
    review: &str,
    fixed: &Fixed,
    after: Option<&str>,
    most: Option<i32>,
) -> Result<(Vec<Item>, bool), ReadError> {
    let partition = Partition::new(keys::review_items(&scope.tenant, review, &fixed.place));
    let partition = match most {
        Some(most) => partition.at_most(most),
        None => partition,
    };
    let page = scope.page(&partition, after).await?;
    let read = |item| Projection::of(item).map_err(ReadError::from)?.read::<Item>();
    Ok((page.items.into_iter().map(read).collect::<Result<_, _>>()?, page.next.is_some()))
}

/// Items in an API response: each with the current state of its subject, and its decision.
pub async fn shown_items(
    scope: &TenantScope<'_>,
    review: &Review,
    items: &[Item],
) -> Result<Vec<ReviewItemAnswer>, ReadError> {
    let accesses = accesses_of(scope, items.iter()).await?;
    let has_changed = |item: &Item, access: &Access| {
        item.what != What::Access(review_item::access_digest(access))
    };
    let late = match &review.signed_off {
        Some(signed_off) => {
            // If the record has not changed, no event arrived late.
            let changed = items
                .iter()
                .filter_map(|item| accesses.get(&item.id).filter(|it| has_changed(item, it)));
            let ids: Vec<EventId> =
                changed.flat_map(|access| access.events.iter().cloned()).collect();
            let events = scope.events_of(&ids).await?.into_iter();
            let is_late = |it: &Recorded| {
                it.recorded_at > signed_off.at && !kept_events::is_afterthought(&it.event)
            };
            events.filter(is_late).map(|it| (it.event.id.clone(), it)).collect()
        }
        None => HashMap::new(),
    };
    let mut packages = HashMap::new();
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        let (subject, changed_since_opened, arrived) = match &item.what {
            What::Access(_) => {
                let access = accesses.get(&item.id);
                let has_changed = access.is_none_or(|access| has_changed(item, access));
                let events = access.iter().flat_map(|it| &it.events);
                let arrived: Vec<_> =
                    events.filter_map(|id| late.get(id)).map(LateEventAnswer::from).collect();
                let access = access.map(|access| Box::new(AccessAnswer::of(access, scope.now)));
                (ReviewSubjectAnswer::Access { access }, has_changed, arrived)
            }
            What::Policy { package, name, version, policy } => {
                let now = match packages.get(package) {
                    Some(now) => now,
                    None => {
                        let now = scope.document(Package::KIND, package).await?;
                        let number = now.as_ref().map_or(0, |now| now.generation);
                        let now =
                            now.map(StoredDocument::configured::<Package>).transpose()?.flatten();
                        packages.entry(package.clone()).or_insert((number, now))
                    }
                };
                let (number, now) = (now.0, now.1.as_ref());
                let is_now = now.and_then(|now| now.document.policy(&policy.id));
                let has_changed = is_now != Some(&**policy);
                let subject = ReviewSubjectAnswer::Policy {
                    package: ReviewedPackageAnswer {
                        id: package.clone(),
                        name: now.map_or(name, |now| &now.document.name).clone(),
                        version: now.map(|it| it.version),
                    },
                    policy: is_now.cloned().map(Box::new),
                    opened: OpenedPolicyAnswer { version: *version, policy: policy.clone() },
                };
                let arrived = match &review.signed_off {
                    Some(signed_off) => {
                        versions_after(scope, package, *version, number, signed_off.at).await?
                    }
                    None => Vec::new(),
                };
                (subject, has_changed, arrived)
            }
        };
        shown.push(ReviewItemAnswer {
            item: item.id.clone(),
            decision: item.decided.clone(),
            subject,
            changed_since_opened,
            arrived_after_sign_off: review.signed_off.as_ref().map(|_| arrived),
        });
    }
    Ok(shown)
}

/// Versions of a package since a version that were recorded after a time.
async fn versions_after(
    scope: &TenantScope<'_>,
    id: &str,
    since: u64,
    now: u64,
    after: Instant,
) -> Result<Vec<LateEventAnswer>, ReadError> {
    let first = (since + 1).max(now.saturating_sub(MOST_VERSIONS));
    let event = |version: u64| {
        EventId::of_service(&scope.tenant, Package::KIND.action, &[id, &version.to_string()])
    };
    let events: Vec<EventId> = (first..=now).map(event).collect();
    let mut arrived = scope.events_of(&events).await?;
    arrived.retain(|recorded| recorded.recorded_at > after);
    arrived.sort_by_key(|recorded| recorded.recorded_at);
    Ok(arrived.iter().map(LateEventAnswer::from).collect())
}

/// The access records of items, by id.
pub(super) async fn accesses_of(
    scope: &TenantScope<'_>,
    items: impl Iterator<Item = &Item>,
) -> Result<HashMap<String, Access>, ReadError> {
    let ids: Vec<String> = items
        .filter(|item| matches!(item.what, What::Access(_)))
        .map(|item| item.id.clone())
        .collect();
    let mut found = HashMap::new();
    for projection in scope.projections(ProjectionKind::Access, &ids).await? {
        found.insert(projection.key.clone(), projection.read()?);
    }
    Ok(found)
}
