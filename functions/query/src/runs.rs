//! The runs of a saved search: when each was made, why, and which export it made.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde_json::Value;
use shared::services::saved_searches;
use shared::{
    domain::{
        configuration::document::Document,
        exports::saved_search::{Run, Saved},
    },
    http::{
        pagination,
        problem::Problem,
        request::{self, Parameters},
    },
    services::{documents, export_jobs::StoredJob},
};

use crate::routes::TenantCall;

/// `GET /v1/saved/{id}/runs`: the runs, newest first, each with the current state of its export.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let mut parameters = Parameters::read(request, &["limit", "cursor"])?;
    let missing = || Problem::not_found(Saved::KIND.missing());
    let id = request::configured_id(request).map_err(|_| missing())?;
    documents::get::<Saved>(scope, id).await?.ok_or_else(missing)?;
    // Binds the cursor to this saved search.
    parameters.set("saved", id);
    let answered =
        |(place, run, stored): (String, Run, Option<StoredJob>)| -> (String, Option<Value>) {
            let export = stored.as_ref().map(|stored| (&stored.job, &stored.progress));
            (place, Some(run.answered(export, scope.now)))
        };
    let read = async |before: Option<&str>| {
        let (runs, goes_on) = saved_searches::saved_runs(scope, id, before).await?;
        Ok::<_, Problem>((runs.into_iter().map(answered).collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, "runs", read).await
}
