//! The API of export jobs: request, list and cancel jobs, and get links to their files.

use shared::http::authorization;
use shared::http::export_request;
use shared::platform::random;
use shared::services::export_jobs;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use shared::{
    domain::{
        exports::{
            export_files,
            export_job::{self, Asked, Job, PARAMETERS, State},
            manifest,
        },
        identity::caller::{Caller, Permission::Read},
        json::object_reader::NAME_BYTES,
        trail::{
            actions::ExportAction,
            event::{Digest, Event, EventId, Outcome, Party},
        },
    },
    http::{
        pagination,
        problem::Problem,
        reader::Reader,
        request::{self, IdempotencyKey, Parameters},
        route::{self, Answer, Route},
    },
    services::export_jobs::{Begun, JobContent, JobKey, Next, StoredJob},
    storage::{ReadError, TenantScope, capacity::Full},
};

use crate::{Export, saved};

pub struct Call<'c> {
    pub(crate) function: &'c Export,
    pub(crate) scope: TenantScope<'c>,
    pub(crate) request: &'c ApiGatewayV2httpRequest,
    pub(crate) caller: &'c Caller,
}

/// The handler of a route. The variant says what a call without permission leaves in the trail.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Nothing: the call only reads.
    Reads(for<'c> fn(&'c Call<'c>) -> Answer<'c>),
    /// The attempt to start an export.
    Begins(for<'c> fn(&'c Call<'c>) -> Answer<'c>),
    /// The attempt to use the export in the path.
    Uses(for<'c> fn(&'c Call<'c>) -> Answer<'c>),
}

use Handler::{Begins, Reads, Uses};

#[rustfmt::skip]
pub const ROUTES: &[Route<Handler>] = &[
    Route::get("/v1/exports", Read, Reads(|it| Box::pin(list(it)))),
    Route::get("/v1/exports/{id}", Read, Reads(|it| Box::pin(one(it)))),
    Route::post("/v1/exports", Read, Begins(|it| Box::pin(create(it)))),
    Route::post("/v1/exports/{id}/links", Read, Uses(|it| Box::pin(links(it)))),
    Route::post("/v1/exports/{id}/cancel", Read, Uses(|it| Box::pin(cancel(it)))),
    Route::post("/v1/saved/{id}/runs", Read, Begins(|it| Box::pin(saved::run(it)))),
];

/// How long a link is valid.
const LINK: Duration = Duration::from_secs(600);

/// Handles one request. Every refusal is recorded.
pub async fn answer(
    function: &Export,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let caller = &function.access.caller(request)?;
    let Route { needs, handler, .. } = route::find(ROUTES, request)?;
    let now = function.database.clock().now();
    let tenant = authorization::tenant(caller, request)?;
    let scope = function.database.scope(tenant, now, request::deadline()).await?;
    let call = Call { function, scope, request, caller };
    let Err(problem) = needs.check(caller) else {
        let (Reads(answer) | Begins(answer) | Uses(answer)) = handler;
        return answer(&call).await;
    };
    match handler {
        Reads(_) => {}
        Begins(_) => record_refusal(&call, None).await,
        Uses(_) => {
            let id = request.path_parameters.get("id").filter(|id| id.len() <= NAME_BYTES);
            record_refusal(&call, id.cloned()).await;
        }
    }
    Err(problem)
}

/// Records that the caller of a route has no permission.
async fn record_refusal(Call { scope, request, caller, .. }: &Call<'_>, export: Option<String>) {
    let route = request.request_context.route_key.as_deref().unwrap_or_default();
    let reason = format!("FORBIDDEN: {route} without the permission audit:read");
    refused(scope, request, caller, export, &reason, None).await;
}

/// Records a refusal, about an existing export or the request for a new one.
async fn refused(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    export: Option<String>,
    reason: &str,
    asked: Option<&Asked>,
) {
    let about = request.request_context.request_id.as_deref().unwrap_or_default();
    let id = EventId::of_service(&scope.tenant, ExportAction::Failed, &["refused", about]);
    let mut event =
        Event::of_service(id, &scope.tenant, ExportAction::Failed, scope.now, caller.actor());
    let name = asked.map(|asked| asked.file_name.clone());
    let name = name.or_else(|| export.is_none().then(|| "(new)".to_owned()));
    event.target = Some(Party { kind: Some("export".to_owned()), id: export, name, email: None });
    event.outcome = Outcome::Failure;
    event.reason = Some(reason.to_owned());
    event.details = asked.map(|asked| json!(asked)).and_then(|asked| asked.as_object().cloned());
    if let Err(error) = scope.insert_own(event, &caller.recorded_by()).await {
        tracing::error!(%error, "a refused export could not be put on record: {error}");
    }
}

/// # Errors
/// 400 for a body that is not empty: nothing that is sent may be ignored.
pub(crate) fn no_body(request: &ApiGatewayV2httpRequest) -> Result<(), Problem> {
    Parameters::read(request, &[])?;
    match String::from_utf8_lossy(&request::body(request)?).trim() {
        "" | "{}" => Ok(()),
        _ => Err(Problem::bad_request("this call takes no body; send none")),
    }
}

/// `POST /v1/exports`: requests an export.
async fn create(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let key = IdempotencyKey::read(request)?;
    let mut members = if request::body(request)?.is_empty() {
        Map::new()
    } else {
        request::json_members(request)?
    };
    // The request as it was sent, because defaults may change before it is sent again.
    let digest =
        Digest(Sha256::digest(Value::Object(members.clone()).to_string()).into()).to_string();
    let (columns, report) = (members.remove("columns"), members.remove("report"));
    let known: Vec<_> = PARAMETERS.into_iter().chain(["columns", "report"]).collect();
    let asked = export_request::read_export(
        scope,
        &Parameters::from_members(members, &known)?,
        columns,
        report,
    )?;

    let recorded_by = caller.recorded_by();
    // A repeated request finds its job, however many others are in progress by now.
    let key = key.map(|key| JobKey {
        name: EventId::hash_of(&scope.tenant, &recorded_by.sub, key.as_str()).to_string(),
        digest,
    });
    let job = Job {
        id: random::event_id().to_string(),
        snapshot: scope.now,
        retention_days: scope.settings.reach_days(scope.now),
        created_by: caller.actor(),
        recorded_by,
        asked,
        saved: None,
    };
    let asked = job.asked.clone();
    let stored = match export_jobs::begin_export(scope, job, key.as_ref(), scope.now).await? {
        Begun::New(stored) => {
            function.call_worker("", &scope.tenant, &stored.job.id).await;
            stored
        }
        Begun::Same(stored) => stored,
        Begun::Full(full) => return Err(no_place(scope, request, caller, &asked, full).await),
        Begun::Other => {
            let detail = "this Idempotency-Key was given for an export that asked for something else; use another key";
            return Err(Problem::conflict(detail, Vec::new()));
        }
    };
    Ok(begun(&stored.job.id, &export_job::answered(&stored.job, &stored.progress, scope.now)))
}

/// The response if a limit of concurrent exports is reached, which is recorded: 429 for the
/// tenant's limit, 409 for the caller's.
pub(crate) async fn no_place(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    asked: &Asked,
    full: Full,
) -> Problem {
    let reason = match full {
        Full::Tenant(most) => {
            format!("{most} exports are under way, which is the most for a tenant")
        }
        Full::Caller(most) => {
            format!("{most} of your exports are under way, which is the most for one caller")
        }
    };
    refused(scope, request, caller, None, &reason, Some(asked)).await;
    let detail = format!("{reason}; wait until one is ready, or cancel one");
    match full {
        Full::Tenant(_) => Problem::too_many(detail),
        Full::Caller(_) => Problem::conflict(detail, Vec::new()),
    }
}

/// The response for a new job, with its location.
pub(crate) fn begun(job: &str, body: &Value) -> ApiGatewayV2httpResponse {
    let mut response = request::json(202, body);
    let location = HeaderValue::try_from(format!("/v1/exports/{job}"));
    response.headers.extend(location.ok().map(|location| (header::LOCATION, location)));
    response
}

/// `GET /v1/exports`: jobs, the newest first.
async fn list(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let key = function.key.read(scope.deadline).await.map_err(ReadError::from)?;
    let parameters = Parameters::read(request, &["limit", "cursor"])?;
    let read = async |before: Option<&str>| {
        let (jobs, goes_on) = export_jobs::exports(scope, before).await?;
        let read = |stored: StoredJob| {
            let answered = export_job::answered(&stored.job, &stored.progress, scope.now);
            (stored.content.job.id, Some(answered))
        };
        Ok::<_, Problem>((jobs.into_iter().map(read).collect(), goes_on))
    };
    pagination::list(scope, &Reader { caller, key }, &parameters, "exports", read).await
}

/// `GET /v1/exports/{id}`: one job.
async fn one(Call { scope, request, .. }: &Call<'_>) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let JobContent { job, progress } = named(scope, request).await?.content;
    Ok(request::json(200, &export_job::answered(&job, &progress, scope.now)))
}

/// The job in the path.
async fn named(
    scope: &TenantScope<'_>,
    request: &ApiGatewayV2httpRequest,
) -> Result<StoredJob, Problem> {
    let missing = || Problem::not_found("no export with this id is in the tenant's trail");
    let id = request::configured_id(request).map_err(|_| missing())?;
    export_jobs::export(scope, id).await?.ok_or_else(missing)
}

/// `POST /v1/exports/{id}/links`: links to the files. The recipient is recorded before the links
/// are returned.
async fn links(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    no_body(request)?;
    let JobContent { job, progress } = named(scope, request).await?.content;
    // Links are valid for whole seconds.
    let state = export_job::shown_state(&progress, scope.now.plus(Duration::from_secs(1)));
    let (State::Ready, Some(manifest_file)) = (state, &progress.manifest) else {
        return Err(match state {
            State::Expired => Problem::gone(
                "the files of this export have expired and are deleted; ask for the export anew",
            ),
            State::Failed | State::Canceled => {
                Problem::conflict(format!("this export is {state}; ask for it anew"), Vec::new())
            }
            State::Queued | State::Running | State::Ready => Problem::conflict(
                format!("this export is {state}; ask again when it is ready"),
                Vec::new(),
            ),
        });
    };

    let about = request.request_context.request_id.as_deref().unwrap_or_default();
    let mut event =
        export_jobs::export_event(scope, &job, ExportAction::LinkMinted, &[about], scope.now);
    event.actor = caller.actor();
    let expires_at = scope.now.plus(LINK).min(progress.expires_at.unwrap_or(scope.now));
    let told = [("files", json!(progress.place.files.len())), ("expires_at", json!(expires_at))];
    event
        .details
        .get_or_insert_default()
        .extend(told.map(|(name, value)| (name.to_owned(), value)));
    scope.insert_own(event, &caller.recorded_by()).await.map_err(|error| {
        tracing::warn!(%error, "links were not given because that could not be put on record: {error}");
        Problem::unavailable("that you get links could not be put on record, so there are none; ask again")
    })?;

    let valid_for =
        Duration::from_millis(u64::try_from(expires_at.millis() - scope.now.millis()).unwrap_or(0));
    let link = async |key: &str, name: &str| {
        let link = function.bucket.link(key, name, valid_for).await;
        link.map_err(|error| {
            tracing::error!(%error, "a link could not be signed: {error}");
            Problem::unavailable("the links could not be signed; ask again")
        })
    };
    let mut files = Vec::with_capacity(progress.place.files.len());
    for file in &progress.place.files {
        let mut described = export_files::described(file);
        described["url"] = link(&file.key, &file.name).await?.into();
        described["expires_at"] = json!(expires_at);
        files.push(described);
    }
    let sheet = job.sheet().map_err(|error| Problem::internal(&error))?;
    let mut manifest = manifest::manifest(&scope.tenant, &job, &progress.place, &sheet);
    let name = job.manifest_name();
    manifest["url"] = link(&manifest_file.key, &name).await?.into();
    manifest["sha256"] = manifest_file.sha256.clone().into();
    manifest["name"] = name.into();
    manifest["expires_at"] = json!(expires_at);
    Ok(request::json(200, &json!({"files": files, "manifest": manifest})))
}

/// `POST /v1/exports/{id}/cancel`: cancels a job. Repeating this has no effect.
async fn cancel(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    no_body(request)?;
    loop {
        let stored = named(scope, request).await?;
        let JobContent { job, progress } = &stored.content;
        let state = export_job::shown_state(progress, scope.now);
        if state == State::Canceled {
            return Ok(request::json(200, &export_job::answered(job, progress, scope.now)));
        }
        if !state.is_under_way() {
            let detail = format!(
                "this export is {state} already; only one that is queued or running can be canceled"
            );
            return Err(Problem::conflict(detail, Vec::new()));
        }
        let mut progress = progress.clone();
        progress.state = State::Canceled;
        progress.ended_at = Some(scope.now);
        // The written data is deleted when no run can still be writing.
        let due_at = stored.due_at().filter(|_| stored.is_held(scope.now)).or(Some(scope.now));
        let canceled = Next { progress, run: None, due_at };
        let mut event =
            export_jobs::export_event(scope, job, ExportAction::Canceled, &[], scope.now);
        event.actor = caller.actor();
        match export_jobs::conclude_export(scope, &stored, canceled, event, &caller.recorded_by())
            .await?
        {
            Some(canceled) => {
                function.call_worker("", &scope.tenant, &canceled.job.id).await;
                return Ok(request::json(
                    200,
                    &export_job::answered(&canceled.job, &canceled.progress, scope.now),
                ));
            }
            // A run stored its progress at the same moment.
            None if tokio::time::Instant::now() < scope.deadline => {}
            None => {
                return Err(Problem::unavailable(
                    "the export changed all the time; cancel it again",
                ));
            }
        }
    }
}
