//! Opening reviews, deciding about their items, and signing them off. The reviewer is the caller.

use shared::platform::random;
use shared::services::reviews;
use std::collections::HashSet;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use shared::{
    domain::{
        identity::caller::Caller,
        json::strict_json::FieldError,
        reviews::{
            review::{self, Asked, MOST_DECISIONS, Review, Stage},
            review_item::Said,
        },
    },
    http::{problem::Problem, request},
    platform::backoff::Unavailable,
    services::reviews::{Ended, Opened, Outcome},
    storage::{ReadError, TenantScope},
};

use crate::routes::Call;

/// Maximum number of items listed in a response.
const MOST_NAMED: usize = 20;

/// `POST /v1/reviews`: opens a review. A repeated request with the caller's id returns the same
/// review.
///
/// # Errors
/// 409 where another review has the id; 422 for what is wrong with the request; 503.
pub async fn open(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let refused = |errors| Problem::invalid("the review was not opened", errors);
    let body = request::json_body(request)?;
    let (id, asked) = Asked::read(&body, &scope.settings.zone).map_err(refused)?;
    let is_late = asked.due_at.is_some_and(|due| due <= scope.now);
    let id = id.unwrap_or_else(|| random::event_id().to_string());
    // A review that was opened before its due time exists already and may be requested again later.
    if is_late && reviews::review(scope, &id).await?.is_none() {
        return Err(refused(vec![FieldError::new(
            "/due_at",
            "is over; a review is due some time after it is opened",
        )]));
    }
    let review = Review::new(id, asked, review::sent(&body), caller, scope.now);
    let (status, mut review) = match reviews::open_review(scope, review).await? {
        Opened::New(review) => (201, *review),
        Opened::Same(review) => (200, *review),
        Opened::Other => {
            let detail = "another review has this id; give this one another, or send what that one was opened with";
            return Err(Problem::conflict(detail, Vec::new()));
        }
    };
    if review.stage == Stage::Opening {
        match reviews::fill_review(scope, &review.id).await {
            Ok(Some(filled)) => review = filled,
            Ok(None) => {}
            // The review is stored, and a later run completes it.
            Err(ReadError::Unavailable(error)) => {
                tracing::warn!(%error, "the items of review {} are gathered later: {error}", review.id);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut response = request::json(status, &review.answered(scope.now));
    let location = HeaderValue::try_from(format!("/v1/reviews/{}", review.id));
    response.headers.extend(location.ok().map(|location| (header::LOCATION, location)));
    Ok(response)
}

/// The review in the path, if the caller may review.
async fn reviewed(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
) -> Result<Review, Problem> {
    let id =
        request.path_parameters.get("id").filter(|id| review::is_id(id)).ok_or_else(missing)?;
    let review = reviews::review(scope, id).await?.ok_or_else(missing)?;
    match reviews::no_reviewer(scope, &review, caller).await? {
        Some(why) => Err(Problem::forbidden(why)),
        None => Ok(review),
    }
}

fn missing() -> Problem {
    Problem::not_found("no review with this id is in the tenant's trail")
}

/// `POST /v1/reviews/{id}/decisions`: stores the caller's decision about one or several items.
///
/// # Errors
/// 403 where the review is for others; 404; 409 where it takes no decisions, or where the caller had a part in the item; 422 for what is
/// wrong with the request; 503. Of several each has an outcome of its own.
pub async fn decide(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let body = request::json_body(request)?;
    let mut members = request::json_members(request)?;
    let review = reviewed(scope, request, caller).await?;
    match review.stage {
        Stage::Open => {}
        Stage::Opening => {
            return Err(Problem::conflict(
                "the items of the review are still being gathered",
                Vec::new(),
            ));
        }
        Stage::SignedOff => {
            let detail = "the review is signed off: nothing in it changes any more";
            return Err(Problem::conflict(detail, Vec::new()));
        }
    }
    let Some(decisions) = members.remove("decisions") else {
        return one(scope, &review, &body, caller).await;
    };
    let refused = |pointer: &str, detail: String| {
        Problem::invalid("nothing was decided", vec![FieldError::new(pointer, detail)])
    };
    if let Some(other) = members.keys().next() {
        return Err(refused(&format!("/{other}"), "is no known field beside decisions".to_owned()));
    }
    let Value::Array(decisions) = decisions else {
        return Err(refused("/decisions", "must be a list".to_owned()));
    };
    if !(1..=MOST_DECISIONS).contains(&decisions.len()) {
        let detail = format!("has {} entries; 1 to {MOST_DECISIONS} may be given", decisions.len());
        return Err(refused("/decisions", detail));
    }
    several(scope, &review, &decisions, caller).await
}

async fn one(
    scope: &TenantScope<'_>,
    review: &Review,
    body: &str,
    caller: &Caller,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let refused = |errors| Problem::invalid("the item was not decided", errors);
    let said = Said::read(body).map_err(refused)?;
    let mut outcomes =
        reviews::decide_review(scope, &review.id, caller, std::slice::from_ref(&said))
            .await?
            .ok_or_else(missing)?;
    match outcomes.pop() {
        Some(Outcome::Decided(item) | Outcome::Unchanged(item)) => {
            Ok(request::json(200, &json!({"item": item.id, "decision": item.decided})))
        }
        Some(Outcome::Refused(why)) => Err(Problem::conflict(why, Vec::new())),
        Some(Outcome::Missing) => Err(refused(vec![FieldError::new("/item", not_in_it(&said))])),
        Some(Outcome::Unavailable) | None => {
            Err(ReadError::from(Unavailable("the decision was not confirmed".to_owned())).into())
        }
    }
}

fn not_in_it(said: &Said) -> String {
    format!("{:?} is no item of this review", said.item)
}

/// Stores several decisions. An invalid one does not affect the others.
async fn several(
    scope: &TenantScope<'_>,
    review: &Review,
    decisions: &[Value],
    caller: &Caller,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let mut named = HashSet::new();
    let read = |decision: &Value| {
        let said = Said::read(&decision.to_string())?;
        match named.insert(said.item.clone()) {
            true => Ok(said),
            false => {
                Err(vec![FieldError::new("/item", "is decided by another entry of this request")])
            }
        }
    };
    let read: Vec<Result<Said, Vec<FieldError>>> = decisions.iter().map(read).collect();
    let said: Vec<Said> = read.iter().filter_map(|said| said.as_ref().ok().cloned()).collect();
    let mut outcomes = reviews::decide_review(scope, &review.id, caller, &said)
        .await?
        .ok_or_else(missing)?
        .into_iter();
    let mut results = Vec::with_capacity(read.len());
    let mut counts =
        json!({"decided": 0, "unchanged": 0, "refused": 0, "invalid": 0, "unavailable": 0});
    for (index, read) in read.into_iter().enumerate() {
        let (status, mut result) = match read {
            Err(errors) => ("invalid", json!({ "errors": errors })),
            Ok(said) => {
                let (status, mut result) = match outcomes.next() {
                    Some(Outcome::Decided(item)) => ("decided", json!({"decision": item.decided})),
                    Some(Outcome::Unchanged(item)) => {
                        ("unchanged", json!({"decision": item.decided}))
                    }
                    Some(Outcome::Refused(why)) => ("refused", json!({ "detail": why })),
                    Some(Outcome::Missing) => {
                        ("invalid", json!({"errors": [FieldError::new("/item", not_in_it(&said))]}))
                    }
                    Some(Outcome::Unavailable) | None => ("unavailable", json!({})),
                };
                result["item"] = said.item.into();
                (status, result)
            }
        };
        counts[status] = (counts[status].as_u64().unwrap_or_default() + 1).into();
        result["index"] = index.into();
        result["status"] = status.into();
        results.push(result);
    }
    counts["results"] = results.into();
    Ok(request::json(200, &counts))
}

/// `POST /v1/reviews/{id}/sign-off`: signs off a review in which every item has a decision.
///
/// # Errors
/// 403 where the review is for others; 404; 409 where items are still to be decided, or by others, or somebody else signed it off; 422 for what is wrong with
/// the request; 503.
pub async fn sign_off(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    // The body is optional.
    let body = if request::body(request)?.is_empty() {
        "{}".to_owned()
    } else {
        request::json_body(request)?
    };
    let reason = review::read_sign_off(&body);
    let reason =
        reason.map_err(|errors| Problem::invalid("the review was not signed off", errors))?;
    let review = reviewed(scope, request, caller).await?;
    let conflict = |detail: String| Err(Problem::conflict(detail, Vec::new()));
    match reviews::sign_off_review(scope, &review.id, caller, reason.as_deref())
        .await?
        .ok_or_else(missing)?
    {
        Ended::Now(review) => Ok(request::json(200, &review.answered(scope.now))),
        // A repeated request, such as a retry after a lost response.
        Ended::Before(review)
            if review
                .signed_off
                .as_ref()
                .is_some_and(|it| it.by == caller.actor() && it.reason == reason) =>
        {
            Ok(request::json(200, &review.answered(scope.now)))
        }
        Ended::Before(_) => conflict("the review is signed off already".to_owned()),
        Ended::Opening => conflict("the items of the review are still being gathered".to_owned()),
        Ended::Partial(items) => {
            let some: Vec<_> = items.iter().take(MOST_NAMED).map(String::as_str).collect();
            conflict(format!(
                "items decided by somebody who, as became known since, had a part in them: {}; somebody else has to decide {}",
                items.len(),
                some.join(", ")
            ))
        }
        Ended::Undecided(count) => conflict(format!(
            "items not decided yet: {count}; GET /v1/reviews/{}/items?decided=false has them",
            review.id
        )),
    }
}
