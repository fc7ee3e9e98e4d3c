//! Opening reviews, deciding about their items, and signing them off. The reviewer is the caller.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{
    domain::{
        identity::caller::Caller,
        json::strict_json::FieldError,
        reviews::{
            review::{
                self, DecisionsRequest, MOST_DECISIONS, RequestedReview, Review, ReviewRequest,
                SignOffRequest, Stage,
            },
            review_answer::ReviewAnswer,
            review_item::{Decided, Said},
        },
    },
    http::{
        input::{Body, Id, OptionalBody},
        output::{Created, Json},
        problem::Problem,
        request::{self, IdempotencyKey},
    },
    platform::{backoff::Unavailable, random},
    services::reviews::{self, DecisionOutcome, Ended, Opened},
    storage::{ReadError, TenantScope},
};

use crate::routes::Call;

/// Maximum number of items listed in a response.
const MOST_NAMED: usize = 20;

/// `POST /v1/reviews`: opens a review. A repeated request with the same id, or idempotency key, returns
/// the same review.
///
/// # Errors
/// 409 where another review has the id; 422 for what is wrong with the request; 503.
pub async fn open(
    Call { scope, caller, .. }: &Call<'_>,
    (key, body): (Option<IdempotencyKey>, Body<ReviewRequest>),
) -> Result<Created<ReviewAnswer>, Problem> {
    let refused = |errors| Problem::invalid("the review was not opened", errors);
    let (id, asked) = RequestedReview::read(body.json(), &scope.settings.zone).map_err(refused)?;
    let is_late = asked.due_at.is_some_and(|due| due <= scope.now);
    let id = match (id, key) {
        (Some(id), None) => id,
        (None, None) => random::event_id().to_string(),
        // No caller can send such an id, so nobody else can take it.
        (None, Some(key)) => {
            format!("{}{}", review::KEYED, key.id_of("review", &scope.tenant, caller))
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request(
                "send either the header Idempotency-Key or the review's id, not both; either one identifies the review when a request is repeated",
            ));
        }
    };
    // A review that was opened before its due time exists already and may be requested again later.
    if is_late && reviews::review(scope, &id).await?.is_none() {
        return Err(refused(vec![FieldError::new(
            "/due_at",
            "is in the past; it must be later than now",
        )]));
    }
    let review = Review::new(id, asked, review::sent(body.json()), caller, scope.now);
    let (is_new, mut review) = match reviews::open_review(scope, review).await? {
        Opened::New(review) => (true, *review),
        Opened::Same(review) => (false, *review),
        Opened::Other => {
            let detail = "another review has this id or Idempotency-Key; use a different one, or send the same content as for that review";
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
    let location = format!("/v1/reviews/{}", review.id);
    Ok(Created { body: review.answered(scope.now), is_new, location })
}

/// The review in the path, if the caller may review.
async fn reviewed(scope: &TenantScope<'_>, id: &Id, caller: &Caller) -> Result<Review, Problem> {
    let id = Some(id.as_str()).filter(|id| review::is_id(id)).ok_or_else(missing)?;
    let review = reviews::review(scope, id).await?.ok_or_else(missing)?;
    match reviews::no_reviewer(scope, &review, caller).await? {
        Some(why) => Err(Problem::forbidden(why)),
        None => Ok(review),
    }
}

fn missing() -> Problem {
    Problem::not_found("the tenant has no review with this id")
}

/// `POST /v1/reviews/{id}/decisions`: stores the caller's decision about one or several items.
///
/// # Errors
/// 403 where the review is for others; 404; 409 where it takes no decisions, or where the caller had a part in the item; 422 for what is
/// wrong with the request; 503. Of several each has an outcome of its own.
pub async fn decide(
    Call { scope, caller, .. }: &Call<'_>,
    (id, body): (Id, Body<DecisionsRequest>),
) -> Result<Json<DecisionsAnswer>, Problem> {
    let mut members = request::members(body.json())?;
    let review = reviewed(scope, &id, caller).await?;
    match review.stage {
        Stage::Open => {}
        Stage::Opening => {
            return Err(Problem::conflict(
                "the items of the review are still being collected; try again later",
                Vec::new(),
            ));
        }
        Stage::SignedOff => {
            let detail = "the review is signed off and cannot be changed any more";
            return Err(Problem::conflict(detail, Vec::new()));
        }
    }
    let Some(decisions) = members.remove("decisions") else {
        return one(scope, &review, body.json(), caller).await.map(DecisionsAnswer::One).map(Json);
    };
    let refused = |pointer: &str, detail: String| {
        Problem::invalid("nothing was decided", vec![FieldError::new(pointer, detail)])
    };
    if let Some(other) = members.keys().next() {
        return Err(refused(
            &format!("/{other}"),
            "is no known field beside decisions; remove it".to_owned(),
        ));
    }
    let Value::Array(decisions) = decisions else {
        return Err(refused("/decisions", "must be a list".to_owned()));
    };
    if !(1..=MOST_DECISIONS).contains(&decisions.len()) {
        let detail = format!("has {} entries; it must have 1 to {MOST_DECISIONS}", decisions.len());
        return Err(refused("/decisions", detail));
    }
    several(scope, &review, &decisions, caller).await.map(DecisionsAnswer::Several).map(Json)
}

/// What became of the decisions of a request.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DecisionsAnswer {
    One(DecisionAnswer),
    Several(DecisionResults),
}

/// A stored decision.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionAnswer {
    /// The id of the item.
    pub item: String,
    /// The decision with who made it, and when.
    pub decision: Option<Decided>,
}

/// The outcomes of several decisions: how many had each, and each in the order of the request.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct DecisionResults {
    /// How many decisions are stored now.
    pub decided: u64,
    /// How many were stored before.
    pub unchanged: u64,
    /// How many the caller may not make, as `detail` of their results says.
    pub refused: u64,
    /// How many have errors, which their results list.
    pub invalid: u64,
    /// How many the storage did not confirm. Send them again.
    pub unavailable: u64,
    /// The outcome of each decision, in the order of the request.
    pub results: Vec<DecisionResult>,
}

/// The outcome of one decision.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionResult {
    /// The place of the decision in the request, from 0.
    pub index: usize,
    pub status: DecisionStatus,
    /// The id of the item, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The stored decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
    /// Why the decision was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What is wrong with the decision, by JSON Pointers into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionStatus {
    /// It is stored now.
    Decided,
    /// The same decision was stored before.
    Unchanged,
    /// The caller may not make it.
    Refused,
    /// It has errors.
    Invalid,
    /// The storage did not confirm the decision. Send it again.
    Unavailable,
}

async fn one(
    scope: &TenantScope<'_>,
    review: &Review,
    body: &str,
    caller: &Caller,
) -> Result<DecisionAnswer, Problem> {
    let refused = |errors| Problem::invalid("the item was not decided", errors);
    let said = Said::read(body).map_err(refused)?;
    let mut outcomes =
        reviews::decide_review(scope, &review.id, caller, std::slice::from_ref(&said))
            .await?
            .ok_or_else(missing)?;
    match outcomes.pop() {
        Some(DecisionOutcome::Decided(item) | DecisionOutcome::Unchanged(item)) => {
            Ok(DecisionAnswer { item: item.id, decision: item.decided })
        }
        Some(DecisionOutcome::Refused(why)) => Err(Problem::conflict(why, Vec::new())),
        Some(DecisionOutcome::Missing) => {
            Err(refused(vec![FieldError::new("/item", not_in_it(&said))]))
        }
        Some(DecisionOutcome::Unavailable) | None => {
            Err(ReadError::from(Unavailable("the decision was not confirmed".to_owned())).into())
        }
    }
}

fn not_in_it(said: &Said) -> String {
    format!("{:?} is not an item of this review", said.item)
}

/// Stores several decisions. An invalid one does not affect the others.
async fn several(
    scope: &TenantScope<'_>,
    review: &Review,
    decisions: &[Value],
    caller: &Caller,
) -> Result<DecisionResults, Problem> {
    let mut named = HashSet::new();
    let read = |decision: &Value| {
        let said = Said::read(&decision.to_string())?;
        match named.insert(said.item.clone()) {
            true => Ok(said),
            false => Err(vec![FieldError::new(
                "/item",
                "is already decided by another entry of this request; send each item once",
            )]),
        }
    };
    let read: Vec<Result<Said, Vec<FieldError>>> = decisions.iter().map(read).collect();
    let said: Vec<Said> = read.iter().filter_map(|said| said.as_ref().ok().cloned()).collect();
    let mut outcomes = reviews::decide_review(scope, &review.id, caller, &said)
        .await?
        .ok_or_else(missing)?
        .into_iter();
    let mut answer = DecisionResults::default();
    for (index, read) in read.into_iter().enumerate() {
        let result = match read {
            Err(errors) => DecisionResult {
                errors,
                ..DecisionResult::of(index, None, DecisionStatus::Invalid)
            },
            Ok(said) => {
                let result = |status| DecisionResult::of(index, Some(said.item.clone()), status);
                match outcomes.next() {
                    Some(DecisionOutcome::Decided(item)) => {
                        DecisionResult { decision: item.decided, ..result(DecisionStatus::Decided) }
                    }
                    Some(DecisionOutcome::Unchanged(item)) => DecisionResult {
                        decision: item.decided,
                        ..result(DecisionStatus::Unchanged)
                    },
                    Some(DecisionOutcome::Refused(why)) => {
                        DecisionResult { detail: Some(why), ..result(DecisionStatus::Refused) }
                    }
                    Some(DecisionOutcome::Missing) => DecisionResult {
                        errors: vec![FieldError::new("/item", not_in_it(&said))],
                        ..result(DecisionStatus::Invalid)
                    },
                    Some(DecisionOutcome::Unavailable) | None => {
                        result(DecisionStatus::Unavailable)
                    }
                }
            }
        };
        *answer.count(result.status) += 1;
        answer.results.push(result);
    }
    Ok(answer)
}

impl DecisionResults {
    fn count(&mut self, status: DecisionStatus) -> &mut u64 {
        match status {
            DecisionStatus::Decided => &mut self.decided,
            DecisionStatus::Unchanged => &mut self.unchanged,
            DecisionStatus::Refused => &mut self.refused,
            DecisionStatus::Invalid => &mut self.invalid,
            DecisionStatus::Unavailable => &mut self.unavailable,
        }
    }
}

impl DecisionResult {
    fn of(index: usize, item: Option<String>, status: DecisionStatus) -> Self {
        Self { index, status, item, decision: None, detail: None, errors: Vec::new() }
    }
}

/// `POST /v1/reviews/{id}/sign-off`: signs off a review in which every item has a decision.
///
/// # Errors
/// 403 where the review is for others; 404; 409 where items are still to be decided, or by others, or somebody else signed it off; 422 for what is wrong with
/// the request; 503.
pub async fn sign_off(
    Call { scope, caller, .. }: &Call<'_>,
    (id, body): (Id, OptionalBody<SignOffRequest>),
) -> Result<Json<ReviewAnswer>, Problem> {
    let reason = review::read_sign_off(body.json().unwrap_or("{}"));
    let reason =
        reason.map_err(|errors| Problem::invalid("the review was not signed off", errors))?;
    let review = reviewed(scope, &id, caller).await?;
    let conflict = |detail: String| Err(Problem::conflict(detail, Vec::new()));
    match reviews::sign_off_review(scope, &review.id, caller, reason.as_deref())
        .await?
        .ok_or_else(missing)?
    {
        Ended::Now(review) => Ok(Json(review.answered(scope.now))),
        // A repeated request, such as a retry after a lost response.
        Ended::Before(review)
            if review
                .signed_off
                .as_ref()
                .is_some_and(|it| it.by == caller.actor() && it.reason == reason) =>
        {
            Ok(Json(review.answered(scope.now)))
        }
        Ended::Before(_) => conflict("the review is already signed off".to_owned()),
        Ended::Opening => conflict(
            "the items of the review are still being collected; try again later".to_owned(),
        ),
        Ended::Partial(items) => {
            let some: Vec<_> = items.iter().take(MOST_NAMED).map(String::as_str).collect();
            conflict(format!(
                "items decided by a person who, as later events show, took part in them: {}; another person has to decide {}",
                items.len(),
                some.join(", ")
            ))
        }
        Ended::Undecided(count) => conflict(format!(
            "items not decided yet: {count}; GET /v1/reviews/{}/items?decided=false lists them",
            review.id
        )),
    }
}
