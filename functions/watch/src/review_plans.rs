//! Opens the reviews that plans have due.

use std::time::Duration;

use futures::{StreamExt, stream};
use shared::{
    domain::{configuration::document::Document, reviews::review_plan::ReviewPlan},
    platform::backoff::Unavailable,
    services::reviews,
    storage::lease::Due,
};
use tokio::time::Instant as Deadline;

use crate::Watch;

/// Timeout for the reviews of one plan.
const TIME: Duration = Duration::from_secs(40);
/// Plans in parallel.
const AT_ONCE: usize = 4;

/// Opens the reviews that are due now, and returns their number. Runs may overlap: each period of a
/// plan has one review. A plan that fails blocks no other, and stays due.
///
/// # Errors
/// The storage did not say which plans are due. They stay due.
pub async fn open_due(function: &Watch, end: Deadline) -> Result<usize, Unavailable> {
    let now = function.database.clock().now();
    let until = end - Duration::from_secs(5);
    let due = function.database.due_documents(ReviewPlan::KIND, now, until).await?;
    let opened = due.iter().map(|due| open(function, due, until));
    let opened: Vec<usize> = stream::iter(opened).buffer_unordered(AT_ONCE).collect().await;
    Ok(opened.into_iter().sum())
}

async fn open(function: &Watch, due: &Due, until: Deadline) -> usize {
    let Due { tenant, id, .. } = due;
    let deadline = until.min(Deadline::now() + TIME);
    let opened = async {
        let now = function.database.clock().now();
        let scope = function.database.scope(tenant, now, deadline).await?;
        reviews::open_planned(&scope, id).await
    };
    match opened.await {
        Ok(opened) => opened.len(),
        Err(error) => {
            tracing::error!(%error, "the reviews of plan {id} of {tenant} are opened later: {error}");
            0
        }
    }
}
