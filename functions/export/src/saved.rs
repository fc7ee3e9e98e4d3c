//! Runs of saved searches, on request and by schedule. Each is an ordinary export.

use std::time::Duration;

use shared::{
    domain::{
        configuration::document::Document,
        exports::{
            export_job::{Job, RequestedExport},
            saved_search::{Cause, Origin, Run, RunAnswer, Saved},
        },
        json::strict_json::FieldError,
        trail::event::Actor,
    },
    http::{
        input::{EmptyBody, Id},
        output::Accepted,
        problem::{Problem, RequestError},
        request::IdempotencyKey,
        saved_search_request,
    },
    platform::random,
    services::{
        documents,
        export_jobs::{Begun, JobKey},
        saved_searches::{self, DueBegun, DueRun, recorder},
    },
    storage::{ReadError, TenantScope, lease::Due},
};
use tokio::time::Instant as Deadline;

use crate::{Export, api::no_place, routes::Call};

/// Missed runs of one saved search that are made up for at a time. Further ones follow a minute
/// later, so that a schedule that has not run for a year does not take all workers.
const AT_ONCE: usize = 5;
/// Time limit of starting one run.
const TIME: Duration = Duration::from_secs(20);

/// `POST /v1/saved/{id}/runs`: runs a saved search now.
///
/// # Errors
/// 400 for a body; 404; 409 where what is saved cannot be asked for any more; 429 where the tenant has as many exports under way as it may; 503.
pub async fn run(
    Call { function, scope, request, caller }: &Call<'_>,
    (id, (key, EmptyBody)): (Id, (Option<IdempotencyKey>, EmptyBody)),
) -> Result<Accepted<RunAnswer>, Problem> {
    let missing = || Problem::not_found(Saved::KIND.missing());
    let id = id.or(missing)?;
    let saved = documents::get::<Saved>(scope, id).await?.ok_or_else(missing)?.document;
    let asked = saved_search_request::export_at(&saved, scope, scope.now, Cause::Asked);
    let asked = asked.map_err(|errors| {
        let why = RequestError::sentence(&errors);
        let errors = errors.into_iter().map(FieldError::from).collect();
        Problem::conflict(format!("the saved search is no longer valid: {why}"), errors)
    })?;
    let origin = saved.origin(id, Some(&asked), scope.now, Cause::Asked);
    let job = Job {
        created_by: caller.actor(),
        recorded_by: caller.recorded_by(),
        ..job(scope, asked, &origin)
    };
    let key = key.map(|key| JobKey {
        name: key.id_of("run", &scope.tenant, caller).to_string(),
        digest: id.to_owned(),
    });
    let begun = saved_searches::begin_run(scope, origin.clone(), &job, key.as_ref()).await?;
    let stored = match begun {
        Begun::New(stored) => {
            function.call_worker("", &scope.tenant, &stored.job.id).await;
            stored
        }
        Begun::Same(stored) => stored,
        Begun::Full(full) => return Err(no_place(scope, request, caller, &job.asked, full).await),
        Begun::Other => {
            let detail = "this Idempotency-Key was already used to run another saved search; use another key";
            return Err(Problem::conflict(detail, Vec::new()));
        }
    };
    let origin = stored.job.saved.clone().unwrap_or(origin);
    let run = Run { origin, export: Some(stored.job.id.clone()), error: None };
    Ok(Accepted {
        body: run.answered(Some((&stored.job, &stored.progress)), scope.now),
        location: Some(format!("/v1/exports/{}", stored.job.id)),
    })
}

/// Starts the due runs of a saved search, the earliest first. Errors are logged and do not block
/// other searches: the next minute finds the run again. Returns whether the tenant may start
/// further exports; otherwise its runs stay due.
pub async fn begin_due(function: &Export, own_name: &str, due: &Due, end: Deadline) -> bool {
    for _ in 0..AT_ONCE {
        match begin_first(function, own_name, due, end).await {
            Ok(First::Begun) => {}
            Ok(First::None) => return true,
            Ok(First::NoRoom) => return false,
            Err(error) => {
                tracing::error!(%error, "the run of saved search {} of {} is put off: {error}", due.id, due.tenant);
                return true;
            }
        }
    }
    true
}

/// The result for the first due run.
enum First {
    Begun,
    None,
    /// The limit of concurrent exports is reached.
    NoRoom,
}

async fn begin_first(
    function: &Export,
    own_name: &str,
    due: &Due,
    end: Deadline,
) -> Result<First, ReadError> {
    let now = function.database.clock().now();
    let scope = function.database.scope(&due.tenant, now, end.min(Deadline::now() + TIME)).await?;
    let Some(due) = saved_searches::due_run(&scope, &due.id).await? else { return Ok(First::None) };
    let DueRun { id, saved, at } = &due;
    match saved_search_request::export_at(saved, &scope, *at, Cause::Schedule) {
        Ok(asked) => {
            let origin = saved.origin(id, Some(&asked), *at, Cause::Schedule);
            let job = job(&scope, asked, &origin);
            match saved_searches::begin_due_run(&scope, &due, origin, &job).await? {
                DueBegun::New(stored) => {
                    function.call_worker(own_name, &scope.tenant, &stored.job.id).await
                }
                DueBegun::Before => {}
                DueBegun::Full => return Ok(First::NoRoom),
            }
        }
        Err(errors) => {
            let reason = &RequestError::sentence(&errors);
            tracing::error!(%reason, "saved search {id} of {} cannot be run any more: {reason}", scope.tenant);
            let origin = saved.origin(id, None, *at, Cause::Schedule);
            saved_searches::fail_due_run(&scope, &due, origin, reason).await?;
        }
    }
    Ok(First::Begun)
}

/// The job of a scheduled run.
fn job(scope: &TenantScope<'_>, asked: RequestedExport, origin: &Origin) -> Job {
    Job {
        id: random::event_id().to_string(),
        snapshot: scope.now,
        retention_days: scope.settings.reach_days(scope.now),
        created_by: Actor::system(),
        recorded_by: recorder(),
        asked,
        saved: Some(origin.clone()),
    }
}
