//! Plans of reviews. Any operator may change them, as any may open a review.

use serde_json::json;
use shared::{
    domain::{
        configuration::{
            document::{Configured, Document},
            read_only::Repeated,
        },
        reviews::review_plan::{self, MOST_ID, MOST_PLANS, ReviewPlan, ReviewPlanRequest},
    },
    http::{
        description::Operation,
        input::{Body, Id, Part},
        output::{NoContent, Stored},
        problem::Problem,
        request::Request,
    },
    services::documents,
    storage::{
        capacity::Places,
        documents::{DocumentChange, DocumentOutcome, Due, StoredDocument},
    },
};

use crate::{
    configured::{checked, configure, delete_if, errors_beside, is_new, missing},
    routes::Call,
};

/// The plans of a tenant.
const PLACES: Places = Places { what: "review_plan", most: MOST_PLANS, are_shared: false };

/// The id in the path of a plan that is stored. It is part of the ids of its reviews.
#[derive(Debug)]
pub struct PlanId(String);

impl Part for PlanId {
    fn read(request: &Request) -> Result<Self, Problem> {
        let id = request.path_id();
        if review_plan::is_id(id) {
            return Ok(Self(id.to_owned()));
        }
        let detail = format!("the id of a review plan must be 1 to {MOST_ID} of A-Z a-z 0-9 _ -");
        Err(Problem::bad_request(detail))
    }

    fn describe(operation: &mut Operation<'_>) {
        let pattern = format!("^[A-Za-z0-9_-]{{1,{MOST_ID}}}$");
        let schema = json!({"type": "string", "pattern": pattern});
        operation.path_parameter("id", "The id, which is part of the ids of its reviews.", &schema);
    }
}

/// `PUT /v1/review-plans/{id}`: replaces the plan.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where the tenant has as many as it may; 503.
pub async fn put(
    call: &Call<'_>,
    (PlanId(id), body): (PlanId, Body<ReviewPlanRequest>),
) -> Result<Stored<Configured<ReviewPlan>>, Problem> {
    let Call { scope, caller, .. } = call;
    let id = id.as_str();
    let repeated = Repeated::of(body.json(), ReviewPlan::READ_ONLY);
    let current = documents::get::<ReviewPlan>(scope, id).await?;
    let errors = errors_beside(id, &repeated, current.as_ref())?;
    let stored = current.as_ref().map(|current| &current.document);
    let zone = &scope.settings.zone;
    let read = ReviewPlan::read(body.json(), zone, caller.actor(), scope.now, stored);
    let read = checked::<ReviewPlan, _>(read, errors)?;
    let mut answer = None;
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let mut plan = read.clone();
        let before: Option<ReviewPlan> = documents::read(there)?;
        if let Some(before) = &before {
            plan.owner = before.owner.clone();
        }
        let due_before = there.and_then(|there| there.due_at);
        let next = plan.next_opening(before.as_ref().zip(due_before), scope.now);
        let due = match due_before {
            Some(due) if due == next => Due::AsBefore,
            _ => Due::At(next),
        };
        let change =
            DocumentChange { due, places: Some(PLACES), ..DocumentChange::stored(id, &plan)? };
        answer = Some((plan, next));
        Ok(change)
    };
    let (outcome, version) = configure::<ReviewPlan>(call, id, want).await?;
    if let DocumentOutcome::Full(_) = outcome {
        return Err(Problem::conflict(
            format!(
                "the tenant has {MOST_PLANS} review plans, which is the maximum; delete one that nobody needs"
            ),
            Vec::new(),
        ));
    }
    let is_new = is_new::<ReviewPlan>(outcome)?;
    // `want` was called at least once.
    let (document, next) = answer.ok_or_else(|| Problem::internal(&"nothing was stored"))?;
    let body = Configured { due_at: Some(next), ..Configured::new(id, version, document) };
    Ok(Stored { body, is_new, version })
}

/// `DELETE /v1/review-plans/{id}`: no further reviews are opened. Those that are open stay.
///
/// # Errors
/// 404, 503.
pub async fn delete(call: &Call<'_>, id: Id) -> Result<NoContent, Problem> {
    delete_if::<ReviewPlan>(call, id.or(missing::<ReviewPlan>)?, |_| Ok(())).await
}
