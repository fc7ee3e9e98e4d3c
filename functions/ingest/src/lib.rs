//! `POST /v1/events`: validates events and puts them into the trail. In reading order: [`handle`], [`request_body`] (what the body
//! holds), [`outcome`] (what is answered), [`entra`] (what Microsoft Graph's objects come to).
//!
//! Nothing is acknowledged that is not stored, and a bad event never sinks the good ones.

pub mod entra;
pub mod outcome;
pub mod request_body;

use shared::http::authorization;
use shared::platform::clock;
use shared::platform::environment;
use shared::platform::random;
use shared::services::id_conflicts;
use shared::services::windows;
use std::{collections::HashSet, sync::Arc};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_types::SdkConfig;
use futures::{StreamExt, stream};
use http::Method;
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    domain::{
        configuration::application::Place,
        identity::caller::{Caller, Permission},
        json::strict_json::FieldError,
        trail::{
            actions::ACTIONS,
            event::{Event, EventId, RecordedBy, Tenant},
            event_validation::{self, Intake},
            key::Key,
        },
        windows::{
            account_names,
            effect::{self, Effect},
        },
    },
    http::{
        authorization::Access,
        problem::Problem,
        refusals,
        request::{self, IdempotencyKey},
        route::{self, Answer, Needs, Route},
    },
    platform::{
        deployment_key::DeploymentKey,
        disable_trigger::Sweep,
        environment::{ConfigError, Variables},
    },
    services::windows::Recording,
    storage::{Database, ReadError, TenantScope, insert_events::Insertion},
};
use tokio::time::Instant as Deadline;

use crate::{outcome::Outcome, request_body::Body};

/// Sequences of events that are stored side by side.
const AT_ONCE: usize = 8;

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Ingest {
    access: Access,
    database: Database,
    place: Place,
    sweep: Sweep,
    key: DeploymentKey,
}

impl Ingest {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            access: Access::from_variables(variables)?,
            database: Database::new(variables, aws)?,
            place: environment::place(variables)?,
            sweep: Sweep::new(variables, aws)?,
            key: DeploymentKey::new(variables, aws)?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// None: what goes wrong is answered as a problem.
pub async fn handle(
    function: Arc<Ingest>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, Error> {
    // Boxed: the SDK's futures nest deeper than the compiler lays out in one piece.
    Ok(request::answer(Box::pin(answer(&function, &event.payload)).await))
}

/// What answers a route.
type Handler =
    for<'c> fn(&'c Ingest, &'c ApiGatewayV2httpRequest, &'c Caller, Deadline) -> Answer<'c>;

/// The table.
pub const ROUTES: &[Route<Handler>] = &[Route {
    method: Method::POST,
    path: "/v1/events",
    needs: Needs::Either(Permission::Write, Permission::OwnEvents),
    handler: |function, request, caller, deadline| {
        Box::pin(post_events(function, request, caller, deadline))
    },
}];

async fn answer(
    function: &Ingest,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let deadline = request::deadline();
    let caller = function.access.caller(request)?;
    let row = route::find(ROUTES, request)?;
    row.needs.check(&caller)?;
    (row.handler)(function, request, &caller, deadline).await
}

async fn post_events(
    function: &Ingest,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    deadline: Deadline,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let tenant = authorization::tenant(caller, request)?;
    let parameters = request::Parameters::read(request, &["format"])?;
    let key = IdempotencyKey::read(request)?;
    let bytes = request::body(request)?;
    if let Some(format) = parameters.get("format") {
        if format != "entra" {
            return Err(Problem::bad_request(format!(
                "\"format\": {format:?} must be entra, or left out"
            )));
        }
        authorization::require(caller, Permission::Write)?;
        let objects = request_body::objects(request::media_type(request).as_deref(), &bytes)?;
        let scope = function.database.scope(tenant, clock::now(), deadline).await?;
        let imported = entra::import(function, &scope, caller, &objects).await;
        if let Err(problem) = &imported
            && problem.status == 403
        {
            refusals::record(&scope, request, caller, problem).await?;
        }
        return imported;
    }
    let body = Body::read(request::media_type(request).as_deref(), &bytes)?;

    let scope = function.database.scope(tenant, clock::now(), deadline).await?;
    let sender = Sender::of(caller);
    // Ids are made with the deployment's key where the caller may not choose them, or leaves them to its Idempotency-Key.
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

    // Events that could not be read keep their place among the outcomes; the others are stored.
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(read.len());
    let mut events = Vec::with_capacity(read.len());
    for event in read {
        match event {
            Ok(event) => {
                events.push(event);
                outcomes.push(None);
            }
            Err(errors) => outcomes.push(Some(Outcome::Invalid(errors))),
        }
    }
    let differs = |_: &Event, _: &Event| false;
    let stored = store(function, &scope, events, &caller.recorded_by(), sender, differs).await?;
    let mut stored = stored.into_iter();
    let outcomes = outcomes
        .into_iter()
        .map(|outcome| outcome.or_else(|| stored.next()).unwrap_or(Outcome::lost()))
        .collect();
    Ok(match body {
        Body::One(_) => outcome::answer_one(outcomes)?,
        Body::Many(_) => outcome::answer_many(&outcomes),
    })
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
    let texts = match body {
        Body::One(text) => std::slice::from_ref(text),
        Body::Many(texts) => texts,
    };
    let default_id = |index| match (key, secret) {
        (Some(key), Some(secret)) => {
            EventId::of_request(secret, tenant, &caller.sub, key.as_str(), index)
        }
        _ => random::event_id(),
    };
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| event_validation::read(text, &intake, || default_id(index)))
        .collect()
}

/// Stores events, and says of each, in their order, what became of it. Those that open or end windows are stored each in one transaction
/// with what it does, one after the other where they are about the same account or session, the rest in batches. `is_same` says of an
/// event, and of another that has its id, whether they tell the same although they do not read the same.
///
/// An event whose id another sender has taken is a finding. Where that cannot be raised the event counts as unavailable, so that it is sent again.
async fn store(
    function: &Ingest,
    scope: &TenantScope<'_>,
    events: Vec<Event>,
    by: &RecordedBy,
    sender: Sender,
    is_same: impl Fn(&Event, &Event) -> bool,
) -> Result<Vec<Outcome>, Problem> {
    // Logging off ends windows of some applications only, and is as frequent as logging on.
    let is_logged_off = events.iter().any(|event| effect::effect(event) == Some(Effect::LogsOff));
    let ends_on_log_off = is_logged_off
        && windows::applications(scope)
            .await?
            .iter()
            .any(|application| application.application.end_on_log_off);
    let has_effect = |event: &Event| match effect::effect(event) {
        None => false,
        Some(Effect::LogsOff) => ends_on_log_off,
        Some(_) => true,
    };
    // Of an id that comes twice the first is written, so whatever shares one goes the same way.
    let alone: HashSet<EventId> =
        events.iter().filter(|event| has_effect(event)).map(|it| it.id.clone()).collect();
    let (mut places, mut batch, mut outcomes) =
        (Vec::new(), Vec::new(), Vec::with_capacity(events.len()));
    let mut sequence = Vec::new();
    for (place, event) in events.into_iter().enumerate() {
        outcomes.push(Outcome::lost());
        if alone.contains(&event.id) {
            sequence.push((place, event));
        } else {
            places.push((place, event.id.clone()));
            batch.push(event);
        }
    }
    let mut taken = Vec::new();
    let mut note_taken = |place: usize, insertion: &Insertion| {
        if let Insertion::Conflict(sent, there) = insertion
            && there.recorded_by.sub != by.sub
            && !is_same(sent, &there.event)
        {
            taken.push((place, (**sent).clone(), there.clone()));
        }
    };
    for (insertion, (place, id)) in scope.insert(batch, by).await.into_iter().zip(places) {
        note_taken(place, &insertion);
        outcomes[place] = Outcome::of(insertion, id, &is_same);
    }
    let mut changed = Vec::new();
    let recordings = in_sequences(sequence).into_iter().map(|sequence| async move {
        let mut recordings = Vec::with_capacity(sequence.len());
        for (place, event) in sequence {
            let id = event.id.clone();
            recordings.push((
                place,
                id,
                windows::record(scope, event, by, function.place, sender == Sender::Device).await,
            ));
        }
        recordings
    });
    let recordings: Vec<_> = stream::iter(recordings).buffer_unordered(AT_ONCE).collect().await;
    for (place, id, (recording, windows)) in recordings.into_iter().flatten() {
        if let Recording::Judged(insertion) = &recording {
            note_taken(place, insertion);
        }
        outcomes[place] = Outcome::of_recording(recording, id, &is_same);
        changed.extend(windows);
    }
    function.sweep.wake_for(&changed, scope.now).await;
    if !taken.is_empty() {
        let (places, refused): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|(place, sent, there)| (place, (sent, there))).unzip();
        let ids: Vec<_> = refused.iter().map(|(sent, _)| sent.id.clone()).collect();
        let raised = id_conflicts::raise_taken_ids(scope, refused, by).await;
        for ((place, id), _) in
            places.into_iter().zip(ids).zip(raised).filter(|(_, is_raised)| !is_raised)
        {
            outcomes[place] = Outcome::Unavailable(Some(id));
        }
    }
    Ok(outcomes)
}

/// An event with its place in the request.
type Placed = (usize, Event);

/// Events in sequences that may go side by side: those that share an id, an account or a session are in one, in their order.
fn in_sequences(events: Vec<Placed>) -> Vec<Vec<Placed>> {
    let mut sequences: Vec<(HashSet<String>, Vec<Placed>)> = Vec::new();
    for (place, event) in events {
        let session = event.session.iter().map(|session| format!("session {}", session.id));
        let parties =
            [Some(account_names::account_of(&event)), event.account.clone(), event.subject.clone()];
        let accounts = parties
            .iter()
            .flatten()
            .flat_map(account_names::names)
            .map(|name| format!("account {name}"));
        let mut keys: HashSet<String> =
            session.chain(accounts).chain([format!("id {}", event.id)]).collect();
        let mut together = Vec::new();
        let (related, others): (Vec<_>, Vec<_>) =
            sequences.into_iter().partition(|(known, _)| !known.is_disjoint(&keys));
        sequences = others;
        for (known, events) in related {
            keys.extend(known);
            together.extend(events);
        }
        together.push((place, event));
        together.sort_by_key(|(place, _)| *place);
        sequences.push((keys, together));
    }
    sequences.into_iter().map(|(_, events)| events).collect()
}

/// Who sends events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// It may write any action of the catalogue, about anybody.
    Machine,
    /// It may write the actions of devices, about its own person.
    Device,
}

impl Sender {
    fn of(caller: &Caller) -> Self {
        if caller.may(Permission::Write) { Self::Machine } else { Self::Device }
    }
}

/// The events of a device, each under an id of its person's own namespace. One that no device may write refuses the whole request, before anything
/// is stored.
fn of_device(
    events: Vec<Result<Event, Vec<FieldError>>>,
    caller: &Caller,
    tenant: &Tenant,
    secret: &Key,
) -> Result<Vec<Result<Event, Vec<FieldError>>>, Problem> {
    let refused = |event: &Event| {
        if !event.is_of_device() {
            let actions: Vec<_> =
                ACTIONS.iter().filter(|it| it.is_device).map(|it| it.name).collect();
            return Some(format!(
                "your token has audit:self, which is for {} alone",
                actions.join(", ")
            ));
        }
        let whose = "your token has audit:self, so the actor must be a user with your own id or e-mail (both, where both are given; a name only beside the e-mail)";
        if !caller.is_actor_of(event) {
            return Some(whose.to_owned());
        }
        let is_own = event.subject.as_ref().is_none_or(|subject| caller.is(subject));
        (!is_own).then(|| {
            format!(
                "{whose}; a subject, where there is one, must be the same person, without a name"
            )
        })
    };
    let first = events
        .iter()
        .enumerate()
        .find_map(|(index, event)| Some((index, refused(event.as_ref().ok()?)?)));
    if let Some((index, why)) = first {
        return Err(Problem::forbidden(format!(
            "event {index}: {why}; nothing of this request was stored"
        )));
    }
    let own = |event: Event| {
        let id = EventId::of_device(secret, tenant, &caller.sub, &event.id);
        Event { id, ..event }
    };
    Ok(events.into_iter().map(|event| event.map(own)).collect())
}
