//! Access reviews: the list, one review with its progress, and its items.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::{
    domain::reviews::{
        review::{self, Review, ReviewState},
        review_answer::{ReviewAnswer, ReviewItemAnswer},
        review_item::Item,
    },
    http::{
        input::{Id, Query},
        output::{Json, List, Listed},
        pagination,
        parameters::{Cursor, Limit},
        problem::Problem,
    },
    services::reviews,
    storage::TenantScope,
};

use crate::routes::TenantCall;

fn missing() -> Problem {
    Problem::not_found("the tenant has no review with this id")
}

async fn named(scope: &TenantScope<'_>, id: &Id) -> Result<Review, Problem> {
    let id = Some(id.as_str()).filter(|id| review::is_id(id)).ok_or_else(missing)?;
    reviews::review(scope, id).await?.ok_or_else(missing)
}

/// `GET /v1/reviews/{id}`: one review.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<ReviewAnswer>, Problem> {
    Ok(Json(named(scope, &id).await?.answered(scope.now)))
}

/// The parameters of `GET /v1/reviews`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ReviewsQuery {
    pub state: Option<ReviewState>,
    /// Only reviews that the plan with this id opened.
    pub plan: Option<String>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/reviews`: reviews, newest first, optionally filtered by state and plan.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<ReviewsQuery>,
) -> Result<List<ReviewAnswer>, Problem> {
    let (state, plan, asked) = parameters.check(|values, parameters| {
        let asked = pagination::Asked::read(scope, reader, parameters, ReviewAnswer::LIST);
        Some((values.state, values.plan.clone(), asked))
    })?;
    let is_of_plan = |review: &Review, plan: &String| {
        review.plan.as_ref().is_some_and(|origin| origin.id == *plan)
    };
    let is_wanted = &|review: &Review| {
        state.is_none_or(|state| review.state(scope.now) == state)
            && plan.as_ref().is_none_or(|plan| is_of_plan(review, plan))
    };
    let read = |after: Option<String>| async move {
        let (reviews, goes_on) = reviews::reviews(scope, after.as_deref()).await?;
        let answered = |review: Option<Review>| {
            review.filter(is_wanted).map(|review| review.answered(scope.now))
        };
        let read = reviews.into_iter().map(|(place, review)| (place, answered(review)));
        Ok::<_, Problem>((read.collect(), goes_on))
    };
    asked.answer(scope, read).await
}

/// The parameters of `GET /v1/reviews/{id}/items`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ItemsQuery {
    /// Only items with (`true`) or without (`false`) a decision.
    pub decided: Option<bool>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/reviews/{id}/items`: the items of a review in the order of their ids, optionally only
/// those with or without a decision. Each item shows the current state of what is reviewed.
pub async fn items(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    (id, mut parameters): (Id, Query<ItemsQuery>),
) -> Result<List<ReviewItemAnswer>, Problem> {
    let review = named(scope, &id).await?;
    // Binds the cursor to this review.
    parameters.set("review", &review.id);
    let (is_decided, asked) = parameters.check(|values, parameters| {
        let asked = pagination::Asked::read(scope, reader, parameters, ReviewItemAnswer::LIST);
        Some((values.decided, asked))
    })?;
    let review = &review;
    let read = |after: Option<String>| async move {
        let (items, goes_on) = reviews::review_items(scope, review, after.as_deref()).await?;
        let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
        let is_wanted =
            |item: &Item| is_decided.is_none_or(|decided| item.decided.is_some() == decided);
        let wanted: Vec<_> = items.into_iter().filter(is_wanted).collect();
        let mut shown =
            wanted.iter().zip(reviews::shown_items(scope, review, &wanted).await?).peekable();
        let read = ids.into_iter().map(|id| {
            let answer = shown.next_if(|(item, _)| item.id == id).map(|(_, answer)| answer);
            (id, answer)
        });
        Ok::<_, Problem>((read.collect(), goes_on))
    };
    asked.answer(scope, read).await
}
