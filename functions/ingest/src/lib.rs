//! `POST /v1/events`: validates events and stores them in the trail. In reading order: [`api`], [`routes`],
//! [`request_body`] (parsing), [`outcome`] (responses), [`entra`] (import from Microsoft Graph).
//!
//! An event is acknowledged only after it is stored. An invalid event does not stop the others.

pub mod entra;
pub mod outcome;
pub mod request_body;
pub mod routes;

use std::{collections::HashSet, sync::Arc};

use aws_types::SdkConfig;
use futures::{StreamExt, stream};
use shared::{
    domain::{
        configuration::application::{Application, Place},
        identity::{
            caller::{Caller, Permission},
            matching,
        },
        json::strict_json::FieldError,
        trail::{
            actions::definitions,
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
        disable_trigger::Sweep,
        environment::{self, ConfigError, Variables},
        random,
    },
    services::{
        documents, id_conflicts,
        windows::{self, Recording},
    },
    storage::{Database, ReadError, TenantScope, insert_events::Insertion},
};

use crate::{
    outcome::{EventsAnswer, Outcome},
    request_body::{Body, EventsInput, Format},
    routes::{Call, IngestRoute, ROUTES},
};

/// Sequences of events that are stored in parallel.
const AT_ONCE: usize = 8;

/// What the function keeps between invocations: its configuration and clients.
#[derive(Debug)]
pub struct Ingest {
    access: Access,
    database: Database,
    place: Place,
    sweep: Sweep,
    key: DeploymentKey,
}

impl Ingest {
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
    let bytes = request::body(request)?;
    if let Some(Format::Entra) = input.format {
        authorization::require(caller, Permission::Write)?;
        let objects = request_body::objects(request::media_type(request).as_deref(), bytes)?;
        let scope = function.database.scope(tenant, clock::now(), deadline).await?;
        let context = request_body::context(bytes);
        let imported = entra::import(function, &scope, caller, &objects, context.as_deref()).await;
        if let Err(problem) = &imported
            && problem.status == 403
        {
            refusals::record(&scope, request, caller, problem).await?;
        }
        return imported.map(EventsAnswer::Imported);
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
        Body::Many(_) => EventsAnswer::Several(outcome::answer_many(outcomes)),
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

/// Stores events and returns one outcome for each, in the order of the request.
///
/// An event that opens or ends windows is stored in one transaction with that change; events about
/// the same account or session are stored one after the other. All other events are stored in
/// batches. `is_same` decides whether two events with one id, whose fields differ, mean the same.
///
/// An id that another sender has used raises a finding. If the finding cannot be raised, the event
/// is reported as unavailable, so that the sender retries.
async fn store(
    function: &Ingest,
    scope: &TenantScope<'_>,
    events: Vec<Event>,
    by: &RecordedBy,
    sender: Sender,
    is_same: impl Fn(&Event, &Event) -> bool,
) -> Result<Vec<Outcome>, Problem> {
    // Logging off ends windows of some applications only, and is as frequent as logging on. So the
    // applications are read first, and without such an application these events go in batches.
    let is_logged_off = events.iter().any(|event| effect::effect(event) == Some(Effect::LogsOff));
    let ends_on_log_off = is_logged_off
        && documents::all::<Application>(scope)
            .await?
            .iter()
            .any(|application| application.document.end_on_log_off);
    let has_effect = |event: &Event| match effect::effect(event) {
        None => false,
        Some(Effect::LogsOff) => ends_on_log_off,
        Some(_) => true,
    };
    // If an id occurs twice, the first event is stored. All events with that id take the same path,
    // so that their order is kept.
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
    let recordings: Vec<_> = in_sequences(sequence)
        .into_iter()
        .map(|sequence| async move {
            let mut recordings = Vec::with_capacity(sequence.len());
            for (place, event) in sequence {
                let id = event.id.clone();
                recordings.push((
                    place,
                    id,
                    windows::record(scope, event, by, function.place, sender == Sender::Device)
                        .await,
                ));
            }
            recordings
        })
        .collect();
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

/// An event with its index in the request.
type Placed = (usize, Event);

/// Groups events into sequences that can be stored in parallel. Events that share an id, an account
/// or a session are in one sequence, in the order of the request.
fn in_sequences(events: Vec<Placed>) -> Vec<Vec<Placed>> {
    let mut sequences: Vec<(HashSet<String>, Vec<Placed>)> = Vec::new();
    for (place, event) in events {
        let session = event.session.iter().map(|session| format!("session {}", session.id));
        let parties =
            [Some(account_names::account_of(&event)), event.account.clone(), event.subject.clone()];
        let accounts = parties
            .iter()
            .flatten()
            .flat_map(matching::names)
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

/// The kind of sender, which decides what it may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// May write any action of the catalogue, about any user.
    Machine,
    /// May write the actions of devices only, about its own user only.
    Device,
}

impl Sender {
    fn of(caller: &Caller) -> Self {
        if caller.may(Permission::Write) { Self::Machine } else { Self::Device }
    }
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
