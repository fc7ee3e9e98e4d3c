//! Opens the reviews that a plan has due.
//!
//! A plan is a document. It is in a queue under the time of its next opening. A review is stored
//! before that time moves on, and its id is made of plan and period, so a run that stops in between
//! is repeated and opens nothing twice.

use shared_domain::{
    configuration::document::Document, reviews::review_plan::ReviewPlan, time::timestamp::Instant,
};
use shared_storage::{ReadError, TenantScope, attributes::text, keys, transaction::Change};

use super::create::{fill_review, open_review};
use crate::access_projection;

/// Reviews of one plan that are opened in a run. Further ones follow with the next run.
const AT_ONCE: usize = 5;

/// Opens the reviews of a plan that are due, the earliest first, and returns their ids.
///
/// # Errors
/// The storage did not answer in time. What was not opened stays due.
pub async fn open_planned(scope: &TenantScope<'_>, id: &str) -> Result<Vec<String>, ReadError> {
    let mut opened = Vec::new();
    while opened.len() < AT_ONCE {
        let Some(document) = scope.document(ReviewPlan::KIND, id).await? else { break };
        let due = document.due_at.filter(|at| *at <= scope.now);
        let (Some(due), Some(plan)) = (due, document.read::<ReviewPlan>()?) else { break };
        let review = plan.review(id, due, access_projection::recorder(), scope.now);
        let review_id = review.id.clone();
        // A review that is there was opened by a run that stopped here, or by an earlier plan with
        // this id, for the same period.
        open_review(scope, review).await?;
        let forward = forward(scope, id, due, plan.opening_after(due));
        scope.database.alone(forward, scope.deadline, &mut false).await?;
        // If this fails, the review is due by itself, and a later run collects its items.
        fill_review(scope, &review_id).await?;
        opened.push(review_id);
    }
    Ok(opened)
}

/// The change that sets a plan to its next opening, unless that was done already.
fn forward(scope: &TenantScope<'_>, id: &str, due: Instant, next: Instant) -> Change {
    Change::Update {
        key: [keys::documents(ReviewPlan::KIND, &scope.tenant), id.to_owned()],
        set: vec![("due_at", text(next))],
        remove: &[],
        expected: ("due_at", text(due)),
    }
}
