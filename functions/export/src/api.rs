//! The API of export jobs: request, list and cancel jobs, and get links to their files.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use http::Method;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use shared::{
    domain::{
        exports::{
            export_answer::{
                ExportAnswer, ExportFileAnswer, ExportLinksAnswer, FileLinkAnswer,
                ManifestLinkAnswer,
            },
            export_job::{self, ExportState, Job, PARAMETERS, RequestedExport},
            manifest::ManifestAnswer,
        },
        identity::caller::Caller,
        json::object_reader::NAME_BYTES,
        trail::{
            actions::ExportAction,
            event::{Digest, Event, EventId, Outcome, Party},
        },
    },
    http::{
        api::Api,
        authorization,
        export_request::{ExportMembers, ExportRequest},
        input::{EmptyBody, Id, OptionalBody, Query},
        output::{Accepted, Json, List},
        pagination,
        parameter_reader::Types,
        parameters::PageQuery,
        problem::Problem,
        reader::Reader,
        request::{self, IdempotencyKey, Request},
    },
    platform::random,
    services::export_jobs::{self, Begun, JobContent, JobKey, Next, StoredJob},
    storage::{ReadError, TenantScope, capacity::Full},
};

use crate::{
    Export,
    routes::{Call, ExportRoute, ROUTES},
};

/// How long a link is valid.
const LINK: Duration = Duration::from_secs(600);

/// The API of this function.
pub(crate) fn api(function: &Arc<Export>) -> Api {
    Api::default().routes(function, ROUTES, |function, row, request| {
        Box::pin(dispatch(function, row, request))
    })
}

/// Calls the row's handler if the caller has the permission. An attempt to start or use an export
/// without it is recorded.
async fn dispatch(
    function: &Export,
    row: &ExportRoute,
    request: &Request,
) -> Result<Response, Problem> {
    let caller = &function.access.caller(request)?;
    let now = function.database.clock().now();
    let tenant = authorization::tenant(caller, request)?;
    let scope = function.database.scope(tenant, now, request::deadline()).await?;
    let call = Call { function, scope, request, caller };
    let Err(problem) = row.needs.check(caller) else { return (row.handler)(&call).await };
    if row.method != Method::GET {
        // The id in the path is that of a saved search, where it is not an export's.
        let export = request
            .path_parameters
            .get("id")
            .filter(|id| row.path.starts_with("/v1/exports/") && id.len() <= NAME_BYTES);
        record_refusal(&call, export.cloned()).await;
    }
    Err(problem)
}

/// Records that the caller of a route has no permission.
async fn record_refusal(Call { scope, request, caller, .. }: &Call<'_>, export: Option<String>) {
    let reason = format!("FORBIDDEN: {} without the permission audit:read", request.route);
    refused(scope, request, caller, export, &reason, None).await;
}

/// Records a refusal, about an existing export or the request for a new one.
async fn refused(
    scope: &TenantScope<'_>,
    request: &Request,
    caller: &Caller,
    export: Option<String>,
    reason: &str,
    asked: Option<&RequestedExport>,
) {
    let id = EventId::of_service(&scope.tenant, ExportAction::Failed, &["refused", &request.id]);
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

/// `POST /v1/exports`: requests an export.
pub(crate) async fn create(
    Call { function, scope, request, caller }: &Call<'_>,
    (key, body): (Option<IdempotencyKey>, OptionalBody<ExportRequest>),
) -> Result<Accepted<ExportAnswer>, Problem> {
    let (members, faults) = match body.json() {
        Some(json) => request::object(json)?,
        None => (Map::new(), Vec::new()),
    };
    // The request as it was sent, because defaults may change before it is sent again.
    let digest =
        Digest(Sha256::digest(Value::Object(members.clone()).to_string()).into()).to_string();
    let known: Vec<_> = PARAMETERS.into_iter().chain(["columns", "report"]).collect();
    let members = ExportMembers::new(members, &known, Types::Checked).with_errors(faults);
    let asked = members.read(scope).map_err(Problem::wrong_parameters)?;

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
            let detail =
                "this Idempotency-Key was already used for a different export; use another key";
            return Err(Problem::conflict(detail, Vec::new()));
        }
    };
    Ok(Accepted {
        body: ExportAnswer::new(&stored.job, &stored.progress, scope.now),
        location: Some(format!("/v1/exports/{}", stored.job.id)),
    })
}

/// The response if a limit of concurrent exports is reached, which is recorded: 429 for the
/// tenant's limit, 409 for the caller's.
pub(crate) async fn no_place(
    scope: &TenantScope<'_>,
    request: &Request,
    caller: &Caller,
    asked: &RequestedExport,
    full: Full,
) -> Problem {
    let reason = match full {
        Full::Tenant(most) => {
            format!("{most} exports are in progress, which is the maximum for a tenant")
        }
        Full::Caller(most) => {
            format!("{most} of your exports are in progress, which is the maximum for one caller")
        }
    };
    refused(scope, request, caller, None, &reason, Some(asked)).await;
    let detail = format!("{reason}; wait until one is complete, or cancel one");
    match full {
        Full::Tenant(_) => Problem::too_many(detail),
        Full::Caller(_) => Problem::conflict(detail, Vec::new()),
    }
}

/// `GET /v1/exports`: jobs, the newest first.
pub(crate) async fn list(
    Call { function, scope, caller, .. }: &Call<'_>,
    parameters: Query<PageQuery>,
) -> Result<List<ExportAnswer>, Problem> {
    let key = function.key.read(scope.deadline).await.map_err(ReadError::from)?;
    let read = |before: Option<String>| async move {
        let (jobs, goes_on) = export_jobs::exports(scope, before.as_deref()).await?;
        let read = |stored: StoredJob| {
            let answered = ExportAnswer::new(&stored.job, &stored.progress, scope.now);
            (stored.content.job.id, Some(answered))
        };
        Ok::<_, Problem>((jobs.into_iter().map(read).collect(), goes_on))
    };
    pagination::list(scope, &Reader { caller, key }, &parameters, read).await
}

/// `GET /v1/exports/{id}`: one job.
pub(crate) async fn one(
    Call { scope, .. }: &Call<'_>,
    id: Id,
) -> Result<Json<ExportAnswer>, Problem> {
    let JobContent { job, progress } = named(scope, &id).await?.content;
    Ok(Json(ExportAnswer::new(&job, &progress, scope.now)))
}

/// The job in the path.
async fn named(scope: &TenantScope<'_>, id: &Id) -> Result<StoredJob, Problem> {
    let missing = || Problem::not_found("the tenant has no export with this id");
    export_jobs::export(scope, id.or(missing)?).await?.ok_or_else(missing)
}

/// `POST /v1/exports/{id}/links`: links to the files. The recipient is recorded before the links
/// are returned.
pub(crate) async fn links(
    Call { function, scope, request, caller }: &Call<'_>,
    (id, EmptyBody): (Id, EmptyBody),
) -> Result<Json<ExportLinksAnswer>, Problem> {
    let JobContent { job, progress } = named(scope, &id).await?.content;
    // Links are valid for whole seconds.
    let state = export_job::shown_state(&progress, scope.now.plus(Duration::from_secs(1)));
    let (ExportState::Ready, Some(manifest_file)) = (state, &progress.manifest) else {
        return Err(match state {
            ExportState::Expired => Problem::gone(
                "the files of this export have expired and were deleted; create the export again",
            ),
            ExportState::Failed | ExportState::Canceled => {
                Problem::conflict(format!("this export is {state}; create it again"), Vec::new())
            }
            ExportState::Queued | ExportState::Running | ExportState::Ready => Problem::conflict(
                format!("this export is {state}; request the links again when it is ready"),
                Vec::new(),
            ),
        });
    };

    let mut event =
        export_jobs::export_event(scope, &job, ExportAction::LinkMinted, &[&request.id], scope.now);
    event.actor = caller.actor();
    let expires_at = scope.now.plus(LINK).min(progress.expires_at.unwrap_or(scope.now));
    let told = [("files", json!(progress.place.files.len())), ("expires_at", json!(expires_at))];
    event
        .details
        .get_or_insert_default()
        .extend(told.map(|(name, value)| (name.to_owned(), value)));
    scope.insert_own(event, &caller.recorded_by()).await.map_err(|error| {
        tracing::warn!(%error, "links were not given because that could not be put on record: {error}");
        Problem::unavailable("no links were created, because the request could not be recorded; try again")
    })?;

    let valid_for =
        Duration::from_millis(u64::try_from(expires_at.millis() - scope.now.millis()).unwrap_or(0));
    let bucket = &function.bucket;
    let link = |key: String, name: String| async move {
        let link = bucket.link(&key, &name, valid_for).await;
        link.map_err(|error| {
            tracing::error!(%error, "a link could not be signed: {error}");
            Problem::unavailable("the links could not be signed; try again")
        })
    };
    let mut files = Vec::with_capacity(progress.place.files.len());
    for file in &progress.place.files {
        let url = link(file.key.clone(), file.name.clone()).await?;
        files.push(FileLinkAnswer { file: ExportFileAnswer::from(file), url, expires_at });
    }
    let sheet = job.sheet().map_err(|error| Problem::internal(&error))?;
    let name = job.manifest_name();
    let manifest = ManifestLinkAnswer {
        manifest: ManifestAnswer::new(&scope.tenant, &job, &progress.place, &sheet),
        url: link(manifest_file.key.clone(), name.clone()).await?,
        sha256: manifest_file.sha256.clone(),
        name,
        expires_at,
    };
    Ok(Json(ExportLinksAnswer { files, manifest }))
}

/// `POST /v1/exports/{id}/cancel`: cancels a job. Repeating this has no effect.
pub(crate) async fn cancel(
    Call { function, scope, caller, .. }: &Call<'_>,
    (id, EmptyBody): (Id, EmptyBody),
) -> Result<Json<ExportAnswer>, Problem> {
    loop {
        let stored = named(scope, &id).await?;
        let JobContent { job, progress } = &stored.content;
        let state = export_job::shown_state(progress, scope.now);
        if state == ExportState::Canceled {
            return Ok(Json(ExportAnswer::new(job, progress, scope.now)));
        }
        if !state.is_under_way() {
            let detail = format!(
                "this export is already {state}; only a queued or running export can be canceled"
            );
            return Err(Problem::conflict(detail, Vec::new()));
        }
        let mut progress = progress.clone();
        progress.state = ExportState::Canceled;
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
                return Ok(Json(ExportAnswer::new(&canceled.job, &canceled.progress, scope.now)));
            }
            // A run stored its progress at the same moment.
            None if tokio::time::Instant::now() < scope.deadline => {}
            None => {
                return Err(Problem::unavailable(
                    "the export was changed by other requests at the same time; cancel it again",
                ));
            }
        }
    }
}
