//! Opens a review and collects its items.

use std::time::Duration;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use serde_json::{Map, Value, json};
use shared_domain::{
    configuration::{access_package::Package, document::Configured},
    reports::{
        access_reports::AccessReport,
        report::{Query, Report},
    },
    reviews::{
        review::{self, Fixed, Of, Review, Stage},
        review_item::{self, Item},
    },
    text::case_folding::fold,
    trail::actions::ReviewAction,
};
use shared_platform::{backoff::Unavailable, random};
use shared_storage::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::Damaged,
    keys,
    projections::{ProjectionKind, ProjectionWrite},
};

use super::{
    list::review,
    step::{ReviewChange, places, review_event, step_review, stored_review},
};
use crate::{documents, reports};

/// Decisions in one transaction. Of its 100 statements, each decision takes two and the review one.
pub(super) const TOGETHER: usize = 40;
/// How long the caller that opened a review collects its items before another run takes over.
const GATHERING: Duration = Duration::from_secs(30);
/// The same for the run that takes over.
pub(super) const GATHERING_AGAIN: Duration = Duration::from_secs(180);

/// The result of a request for a review.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    New(Box<Review>),
    /// The review exists already, with the same request.
    Same(Box<Review>),
    /// Another review has that id.
    Other,
}

/// Stores a review whose items are not collected yet, unless a review with that id exists.
///
/// # Errors
/// After an error, the change may or may not be stored. A retry is safe.
pub async fn open_review(scope: &TenantScope<'_>, review: Review) -> Result<Opened, ReadError> {
    let due = Some(scope.now.plus(GATHERING));
    let kept = ProjectionWrite {
        key: &review.id,
        content: &review,
        places: places(&review),
        due,
        expires_at: None,
    };
    let there = stored_review(scope, &review.id).await?;
    if there.is_none() && scope.keep(ProjectionKind::Review, None, kept).await? {
        return Ok(Opened::New(Box::new(review)));
    }
    let there = match there {
        Some(there) => Some(there.review),
        None => self::review(scope, &review.id).await?,
    };
    match there {
        Some(there) if there.sent == review.sent => Ok(Opened::Same(Box::new(there))),
        Some(_) => Ok(Opened::Other),
        None => Err(Unavailable(format!("review {:?} was not confirmed", review.id)).into()),
    }
}

/// Collects the items of a review and opens it, with the event `review.opened`. If another run has
/// opened it, nothing is changed.
///
/// # Errors
/// The storage did not answer in time. Beginning again is safe.
pub async fn fill_review(scope: &TenantScope<'_>, id: &str) -> Result<Option<Review>, ReadError> {
    let Some(review) = review(scope, id).await? else { return Ok(None) };
    if review.stage != Stage::Opening {
        return Ok(Some(review));
    }
    let all = reviewed(scope, &review).await?;
    let found = all.len() as u64;
    let items = review_item::sampled(all, review.asked.sample.as_ref());
    let place = format!("{:016x}", random::number());
    write_items(scope, id, &place, &items).await?;
    let sha256 = review_item::items_hash(&items);
    let fixed = Fixed { place, at: scope.now, found, items: items.len() as u64, sha256 };
    let recorded_by = review.recorded_by.clone();
    let fixed = &fixed;
    step_review(scope, id, &recorded_by, |mut review, generation| async move {
        if review.stage != Stage::Opening {
            return Ok(ReviewChange::None(review));
        }
        let mut event = review_event(
            scope,
            &review,
            ReviewAction::Opened,
            generation,
            review.opened_by.clone(),
        );
        let facts = [
            ("items", json!(fixed.items)),
            ("found", json!(fixed.found)),
            ("items_sha256", json!(fixed.sha256)),
        ];
        let mut details = match serde_json::to_value(&review.asked) {
            Ok(Value::Object(asked)) => asked,
            _ => Map::new(),
        };
        details.extend(facts.map(|(name, value)| (name.to_owned(), value)));
        if let Some(plan) = &review.plan {
            details.insert("plan".to_owned(), json!(plan));
        }
        event.details = Some(details);
        review.stage = Stage::Open;
        review.fixed = Some(fixed.clone());
        let then = review.clone();
        Ok(ReviewChange::To {
            review: Box::new(review),
            events: vec![event],
            changes: Vec::new(),
            then,
        })
    })
    .await
}

/// All items that the review may contain.
async fn reviewed(scope: &TenantScope<'_>, review: &Review) -> Result<Vec<Item>, ReadError> {
    let review::RequestedReview { of, since, until, target, person, account, .. } = &review.asked;
    let mut items = Vec::new();
    match of {
        Of::Sessions => {
            let query = Query {
                since: Some(*since),
                until: Some(*until),
                target: target.clone(),
                person: person.clone(),
                account: account.clone(),
                ..Query::of(Report::Access(AccessReport::Access))
            };
            reports::each_access(scope, &query, |access| items.push(Item::of_access(access)))
                .await?;
        }
        Of::Policies => {
            let is_meant = |it: &Configured<Package>| {
                let names = [&it.id, &it.document.name];
                target
                    .as_ref()
                    .is_none_or(|target| names.iter().any(|name| fold(name) == fold(target)))
            };
            for package in documents::all(scope).await?.iter().filter(|it| is_meant(it)) {
                items.extend(Item::of_package(package));
            }
        }
    }
    Ok(items)
}

async fn write_items(
    scope: &TenantScope<'_>,
    review: &str,
    place: &str,
    items: &[Item],
) -> Result<(), ReadError> {
    let pk = keys::review_items(&scope.tenant, review, place);
    let mut requests = Vec::with_capacity(items.len());
    for item in items {
        let content = serde_json::to_string(item).map_err(|_| Damaged::new(&item.id, "content"))?;
        let attributes = [
            ("pk", text(&pk)),
            ("sk", text(&item.id)),
            ("content", text(content)),
            ("generation", number(0)),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
        // The builder only fails without an item.
        #[allow(clippy::expect_used)]
        let put =
            PutRequest::builder().set_item(Some(attributes)).build().expect("an item is given");
        requests.push(WriteRequest::builder().put_request(put).build());
    }
    scope.write_all(&requests).await
}
