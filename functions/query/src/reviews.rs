//! Access reviews: the list, one review with its progress, and its items.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::services::reviews;
use shared::{
    domain::reviews::{
        review::{self, Review, STATES},
        review_item::Item,
    },
    http::{
        pagination,
        problem::Problem,
        request::{self, Parameters},
    },
    storage::TenantScope,
};

use crate::routes::TenantCall;

fn missing() -> Problem {
    Problem::not_found("no review with this id is in the tenant's trail")
}

async fn named(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
) -> Result<Review, Problem> {
    let id =
        request.path_parameters.get("id").filter(|id| review::is_id(id)).ok_or_else(missing)?;
    reviews::review(scope, id).await?.ok_or_else(missing)
}

/// `GET /v1/reviews/{id}`: one review.
pub async fn one(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    Ok(request::json(200, &named(scope, request).await?.answered(scope.now)))
}

/// `GET /v1/reviews`: reviews, newest first, optionally filtered by state.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["state", "limit", "cursor"])?;
    let state = parameters.read_as("state", |text| {
        let known = STATES.iter().find(|state| **state == text);
        known.copied().ok_or_else(|| format!("{text:?} must be one of {}", STATES.join(", ")))
    })?;
    let is_wanted = |review: &Review| state.is_none_or(|state| review.state(scope.now) == state);
    let read = async |after: Option<&str>| {
        let (reviews, goes_on) = reviews::reviews(scope, after).await?;
        let answered = |review: Option<Review>| {
            review.filter(is_wanted).map(|review| review.answered(scope.now))
        };
        let read = reviews.into_iter().map(|(place, review)| (place, answered(review)));
        Ok::<_, Problem>((read.collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, "reviews", read).await
}

/// `GET /v1/reviews/{id}/items`: the items of a review in the order of their ids, optionally only
/// those with or without a decision. Each item shows the current state of what is reviewed.
pub async fn items(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let mut parameters = Parameters::read(request, &["decided", "limit", "cursor"])?;
    let is_decided = parameters.flag("decided")?;
    let review = named(scope, request).await?;
    // Binds the cursor to this review.
    parameters.set("review", &review.id);
    let read = async |after: Option<&str>| {
        let (items, goes_on) = reviews::review_items(scope, &review, after).await?;
        let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
        let is_wanted =
            |item: &Item| is_decided.is_none_or(|decided| item.decided.is_some() == decided);
        let wanted: Vec<_> = items.into_iter().filter(is_wanted).collect();
        let mut shown =
            wanted.iter().zip(reviews::shown_items(scope, &review, &wanted).await?).peekable();
        let read = ids.into_iter().map(|id| {
            let answer = shown.next_if(|(item, _)| item.id == id).map(|(_, answer)| answer);
            (id, answer)
        });
        Ok::<_, Problem>((read.collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, "items", read).await
}
