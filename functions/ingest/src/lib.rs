//! `POST /v1/events`: validates events and puts them into the trail. In reading order: [`handle`], [`request`] (what the body
//! holds), [`outcome`] (what is answered).
//!
//! Nothing is acknowledged that is not stored, and a bad event never sinks the good ones.

pub mod outcome;
pub mod request;

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_types::SdkConfig;
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    access::{Access, Caller, Permission},
    api,
    config::{ConfigError, Variables},
    event::{Event, EventId},
    ijson::FieldError,
    instant::Instant,
    intake::{self, Intake},
    problem::Problem,
    store::{Store, Trail},
};

use crate::{
    outcome::Outcome,
    request::{Body, IdempotencyKey},
};

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Ingest {
    access: Access,
    store: Store,
}

impl Ingest {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or unusable.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { access: Access::from_variables(variables)?, store: Store::new(variables, aws)? })
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
    Ok(api::answer(Box::pin(post_events(&function, &event.payload)).await))
}

async fn post_events(
    function: &Ingest,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let deadline = api::deadline();
    let caller = function.access.caller(request)?;
    if !caller.may(Permission::Write) && !caller.may(Permission::OwnEvents) {
        caller.require(Permission::Write)?;
    }
    let tenant = caller.tenant(request)?;
    api::Parameters::read(request, &[])?;
    let key = IdempotencyKey::read(request)?;
    let bytes = api::body(request)?;
    let body = Body::read(api::media_type(request).as_deref(), &bytes)?;

    let trail = function.store.trail(tenant, Instant::now(), deadline).await?;
    let read = read_events(&body, &trail, &caller, key.as_ref());
    check_own(&read, &caller)?;

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
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let insertions = trail.insert(events, &caller.recorded_by()).await;
    let mut stored = insertions.into_iter().zip(ids).map(|(insertion, id)| Outcome::of(insertion, id));
    let outcomes =
        outcomes.into_iter().map(|outcome| outcome.or_else(|| stored.next()).unwrap_or(Outcome::lost())).collect();
    Ok(match body {
        Body::One(_) => outcome::answer_one(outcomes)?,
        Body::Many(_) => outcome::answer_many(&outcomes),
    })
}

fn read_events(
    body: &Body<'_>,
    trail: &Trail<'_>,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
) -> Vec<Result<Event, Vec<FieldError>>> {
    let Trail { tenant, now, settings, .. } = trail;
    let intake = Intake { tenant, now: *now, retention: settings.retention() };
    let texts = match body {
        Body::One(text) => std::slice::from_ref(text),
        Body::Many(texts) => texts,
    };
    let default_id = |index| match key {
        Some(key) => EventId::derived(tenant, &caller.sub, key.as_str(), index),
        None => EventId::fresh(),
    };
    texts.iter().enumerate().map(|(index, text)| intake::read(text, &intake, || default_id(index))).collect()
}

/// A device may write events of its own user only; one that is not refuses the whole request, before anything is stored.
fn check_own(events: &[Result<Event, Vec<FieldError>>], caller: &Caller) -> Result<(), Problem> {
    if caller.may(Permission::Write) {
        return Ok(());
    }
    match events.iter().position(|event| event.as_ref().is_ok_and(|event| !caller.is_actor_of(event))) {
        None => Ok(()),
        Some(index) => Err(Problem::forbidden(format!(
            "event {index}: your token has audit:self, so the actor must be a user with your own id or e-mail (both, where both are given; a name only beside the e-mail); nothing of this request was stored"
        ))),
    }
}
