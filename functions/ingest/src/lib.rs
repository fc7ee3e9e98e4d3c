//! `POST /v1/events`: validates events and stores them in the trail. In reading order: [`api`], [`routes`],
//! [`request_body`] (parsing), [`outcome`] (responses).
//!
//! An event is acknowledged only after it is stored. An invalid event does not stop the others.

pub mod outcome;
pub mod request_body;
pub mod routes;

use std::sync::Arc;

use aws_types::SdkConfig;
use shared::{
    domain::{
        identity::caller::{Caller, Permission},
        json::strict_json::FieldError,
        time::timestamp::Instant,
        trail::{
            actions::definitions,
            event::{Event, EventId, HISTORY_AFTER, Tenant},
            event_validation::{self, Intake},
            key::Key,
        },
    },
    http::{
        api::Api,
        authorization::{self, Access},
        problem::Problem,
        refusals,
        request::{self, IdempotencyKey, Request},
        route::Answer,
    },
    platform::{
        clock,
        deployment_key::DeploymentKey,
        environment::{ConfigError, Variables},
        random,
    },
    services::{
        entra_import::{self, Imported},
        store_events::{Recorder, Sender, StoreOutcome},
    },
    storage::{Database, ReadError, TenantScope},
};

use crate::{
    outcome::EventsAnswer,
    request_body::{Body, EventsInput, Format},
    routes::{Call, IngestRoute, ROUTES},
};

/// What the function keeps between invocations: its configuration and clients.
#[derive(Debug)]
pub struct Ingest {
    access: Access,
    database: Database,
    recorder: Recorder,
    key: DeploymentKey,
}

impl Ingest {
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            access: Access::from_variables(variables)?,
            database: Database::new(variables, aws)?,
            recorder: Recorder::new(variables, aws)?,
            key: DeploymentKey::new(variables, aws)?,
        })
    }
}

/// The API of this function.
///
/// # Errors
/// A variable is missing or invalid.
pub fn api(variables: &Variables, aws: &SdkConfig) -> Result<Api, ConfigError> {
    let function = Arc::new(Ingest::new(variables, aws)?);
    Ok(Api::default().routes(&function, ROUTES, dispatch))
}

fn dispatch<'r>(
    function: &'r Ingest,
    row: &'static IngestRoute,
    request: &'r Request,
) -> Answer<'r> {
    Box::pin(async move {
        let deadline = request::deadline();
        let caller = &function.access.caller(request)?;
        row.needs.check(caller)?;
        (row.handler)(&Call { function, request, caller, deadline }).await
    })
}

pub(crate) async fn post_events(
    call: &Call<'_>,
    (key, input): (Option<IdempotencyKey>, EventsInput),
) -> Result<EventsAnswer, Problem> {
    let Call { function, request, caller, deadline } = *call;
    let tenant = authorization::tenant(caller, request)?;
    let is_history = input.is_history;
    if is_history {
        may_send_history(call, tenant).await?;
    }
    let bytes = request::body(request)?;
    if let Some(Format::Entra) = input.format {
        authorization::require(caller, Permission::Write)?;
        let objects = request_body::objects(request::media_type(request).as_deref(), bytes)?;
        let scope = function.database.scope(tenant, clock::now(), deadline).await?;
        let context = request_body::context(bytes);
        let recorder = &function.recorder;
        let context = context.as_deref();
        let before = history_before(&scope, is_history);
        let imported =
            entra_import::import(recorder, &scope, caller, &objects, context, before).await?;
        // A request with a single object is answered for that object.
        if let [Imported { is_reserved: true, errors, .. }] = &*imported {
            let why = errors.first().map(|error| error.detail.clone()).unwrap_or_default();
            let problem = Problem::forbidden(why);
            refusals::record(&scope, request, caller, &problem).await?;
            return Err(problem);
        }
        return Ok(EventsAnswer::Imported(outcome::answer_import(imported)));
    }
    let body = Body::read(request::media_type(request).as_deref(), bytes)?;

    let scope = function.database.scope(tenant, clock::now(), deadline).await?;
    let sender = Sender::of(caller);
    // The deployment's key is needed to derive event ids: always for a device, which may not choose
    // them, and for a machine that sends an Idempotency-Key.
    let secret = match (&sender, &key) {
        (Sender::Machine, None) => None,
        (Sender::Device, _) | (Sender::Machine, Some(_)) => {
            Some(function.key.read(deadline).await.map_err(ReadError::from)?)
        }
    };
    let read = read_events(&body, &scope, caller, key.as_ref(), secret);
    let read = match (sender, secret) {
        (Sender::Device, Some(secret)) => of_device(read, caller, tenant, secret)?,
        (Sender::Device | Sender::Machine, _) => read,
    };

    // An event that could not be read keeps its place among the outcomes; the others are stored.
    let mut outcomes: Vec<Option<StoreOutcome>> = Vec::with_capacity(read.len());
    let mut events = Vec::with_capacity(read.len());
    for event in read {
        match event {
            Ok(event) => {
                events.push(event);
                outcomes.push(None);
            }
            Err(errors) => outcomes.push(Some(StoreOutcome::Invalid(errors))),
        }
    }
    let differs = |_: &Event, _: &Event| false;
    let (by, before) = (caller.recorded_by(), history_before(&scope, is_history));
    let stored = function.recorder.store(&scope, events, &by, before, sender, differs).await?;
    let mut stored = stored.into_iter();
    let outcomes = outcomes
        .into_iter()
        .map(|outcome| outcome.or_else(|| stored.next()).unwrap_or(StoreOutcome::lost()))
        .zip(body.events())
        .map(|(outcome, event)| match &key {
            Some(key) if outcome.is_conflict() && !request_body::has_id(event) => {
                outcome.under_key(key.as_str())
            }
            Some(_) | None => outcome,
        })
        .collect();
    Ok(match body {
        Body::One(_) => outcome::answer_one(outcomes)?,
        Body::Many(_) => EventsAnswer::Several(outcome::answer_many(outcomes, is_history)),
    })
}

/// Refuses a request with `history=true` of a caller who may not keep alerts from being sent, and
/// records the refusal.
async fn may_send_history(call: &Call<'_>, tenant: &Tenant) -> Result<(), Problem> {
    let Call { function, request, caller, deadline } = *call;
    if caller.may(Permission::Write) && caller.may(Permission::Admin) {
        return Ok(());
    }
    let problem = Problem::forbidden(
        "history=true needs the permissions audit:write and audit:admin, because what is recorded as history alerts nobody",
    );
    let scope = function.database.scope(tenant, clock::now(), deadline).await?;
    refusals::record(&scope, request, caller, &problem).await?;
    Err(problem)
}

/// The time before which an event of the request is history.
fn history_before(scope: &TenantScope<'_>, is_history: bool) -> Option<Instant> {
    is_history.then(|| scope.now.minus(HISTORY_AFTER))
}

fn read_events(
    body: &Body<'_>,
    scope: &TenantScope<'_>,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    secret: Option<&Key>,
) -> Vec<Result<Event, Vec<FieldError>>> {
    let TenantScope { tenant, now, settings, .. } = scope;
    let intake = Intake { tenant, now: *now, retention: settings.retention_at(*now) };
    let default_id = |index| match (key, secret) {
        (Some(key), Some(secret)) => {
            EventId::of_request(secret, tenant, &caller.sub, key.as_str(), index)
        }
        _ => random::event_id(),
    };
    body.events()
        .iter()
        .enumerate()
        .map(|(index, text)| event_validation::read(text, &intake, || default_id(index)))
        .collect()
}

/// Moves the events of a device into the id namespace of its user. One event that a device may not
/// write refuses the whole request before anything is stored.
fn of_device(
    events: Vec<Result<Event, Vec<FieldError>>>,
    caller: &Caller,
    tenant: &Tenant,
    secret: &Key,
) -> Result<Vec<Result<Event, Vec<FieldError>>>, Problem> {
    let refused = |event: &Event| {
        if !event.is_of_device() {
            let actions: Vec<_> =
                definitions().filter(|it| it.is_device).map(|it| it.name).collect();
            return Some(format!(
                "your token has audit:self, which allows {} only",
                actions.join(", ")
            ));
        }
        let whose = "your token has audit:self, so the actor must be a user with your own id or e-mail address (if both are given, both must be yours; a name is allowed only together with the e-mail address)";
        if !caller.is_actor_of(event) {
            return Some(whose.to_owned());
        }
        let is_own = event.subject.as_ref().is_none_or(|subject| caller.is(subject));
        (!is_own).then(|| {
            format!("{whose}; a subject, if given, must be the same person, without a name")
        })
    };
    let first = events
        .iter()
        .enumerate()
        .find_map(|(index, event)| Some((index, refused(event.as_ref().ok()?)?)));
    if let Some((index, why)) = first {
        return Err(Problem::forbidden(format!(
            "event {index}: {why}; no event of this request was stored"
        )));
    }
    let own = |event: Event| {
        let id = EventId::of_device(secret, tenant, &caller.sub, &event.id);
        Event { id, ..event }
    };
    Ok(events.into_iter().map(|event| event.map(own)).collect())
}
