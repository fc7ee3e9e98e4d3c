//! The runs of a saved search: when each was made, why, and which export it made.

use shared::{
    domain::{
        configuration::document::Document,
        exports::saved_search::{Run, RunAnswer, Saved},
    },
    http::{
        input::{Id, Query},
        output::List,
        pagination,
        parameters::PageQuery,
        problem::Problem,
    },
    services::{documents, export_jobs::StoredJob, saved_searches},
};

use crate::routes::TenantCall;

/// `GET /v1/saved/{id}/runs`: the runs, newest first, each with the current state of its export.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    (id, mut parameters): (Id, Query<PageQuery>),
) -> Result<List<RunAnswer>, Problem> {
    let missing = || Problem::not_found(Saved::KIND.missing());
    let id = id.or(missing)?;
    documents::get::<Saved>(scope, id).await?.ok_or_else(missing)?;
    // Binds the cursor to this saved search.
    parameters.set("saved", id);
    let answered =
        &|(place, run, stored): (String, Run, Option<StoredJob>)| -> (String, Option<RunAnswer>) {
            let export = stored.as_ref().map(|stored| (&stored.job, &stored.progress));
            (place, Some(run.answered(export, scope.now)))
        };
    let read = |before: Option<String>| async move {
        let (runs, goes_on) = saved_searches::saved_runs(scope, id, before.as_deref()).await?;
        Ok::<_, Problem>((runs.into_iter().map(answered).collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, read).await
}
