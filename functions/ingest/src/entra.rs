//! `POST /v1/events?format=entra`: what the objects of an export of Microsoft Graph come to. An object may be several events, or a package or
//! an organisation of the tenant.

use shared::services::access_packages;
use std::collections::HashMap;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use futures::{StreamExt, stream};
use serde::Serialize;
use shared::{
    domain::{
        entra::{self, Told},
        identity::caller::{Caller, Permission},
        json::strict_json::FieldError,
        trail::{
            event::{Event, EventId},
            event_validation::Intake,
        },
    },
    http::{problem::Problem, request},
    storage::{ReadError, TenantScope, documents::Configured},
};

use crate::{
    AT_ONCE, Ingest, Sender,
    outcome::{Outcome, Space},
};

/// What became of an object. The later outweighs the earlier where an object is several events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// Nothing of it is new.
    Duplicate,
    /// Something of it is in the trail now that was not.
    Created,
    /// It contradicts what the trail holds.
    Conflict,
    /// It cannot be taken as it is.
    Invalid,
    /// The storage did not say whether it is stored; sending it again is safe.
    Unavailable,
}

/// What is answered of one object.
#[derive(Debug, Serialize)]
struct Imported {
    index: usize,
    /// The event that comes first, or the package or organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Every event of it, the earliest first.
    ids: Vec<EventId>,
    status: Status,
    /// That of a package or organisation, as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Imported {
    fn new(index: usize) -> Self {
        Self {
            index,
            id: None,
            ids: Vec::new(),
            status: Status::Duplicate,
            version: None,
            retryable: None,
            errors: Vec::new(),
        }
    }

    fn end(&mut self, status: Status, errors: impl IntoIterator<Item = FieldError>) {
        self.status = self.status.max(status);
        self.errors.extend(errors);
    }
}

/// Imports objects, and says of each, in their order, what became of it. A bad object never sinks the good ones.
///
/// # Errors
/// 403 where the only object would change what was configured by hand and the caller is no administrator. Among others such an object is
/// `invalid`, so that it never sinks the events beside it. 503 where nothing could be begun.
pub async fn import(
    function: &Ingest,
    scope: &TenantScope<'_>,
    caller: &Caller,
    objects: &[&str],
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let intake = Intake {
        tenant: &scope.tenant,
        now: scope.now,
        retention: scope.settings.retention_at(scope.now),
    };
    let mut imported: Vec<_> = (0..objects.len()).map(Imported::new).collect();
    let (mut events, mut documents) = (Vec::new(), Vec::new());
    for (index, object) in objects.iter().enumerate() {
        match entra::read(object, &intake) {
            Ok(Told::Events(told)) => events.extend(told.into_iter().map(|event| (index, event))),
            Ok(document @ (Told::Package(_) | Told::Organisation(_))) => {
                documents.push((index, document))
            }
            Err(errors) => imported[index].end(Status::Invalid, errors),
        }
    }

    // Pages mostly come the newest first. What opens a window has to be told before what ends it.
    events.sort_by_key(|(_, event): &(usize, Event)| event.occurred_at);
    let (places, events): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let is_same = |sent: &Event, stored: &Event| !entra::contradicts(sent, stored);
    let outcomes =
        crate::store(function, scope, events, &caller.recorded_by(), Sender::Machine, is_same)
            .await?;
    for ((index, id), outcome) in places.into_iter().zip(ids).zip(outcomes) {
        let status = match outcome {
            Outcome::Created(_) => Status::Created,
            Outcome::Duplicate(_) => Status::Duplicate,
            Outcome::Conflict(..) => Status::Conflict,
            Outcome::Invalid(_) => Status::Invalid,
            Outcome::Unavailable(_) => Status::Unavailable,
        };
        let entry = &mut imported[index];
        // What is wrong with an event that was made of the object is no single place in it.
        let of_event = |error: &FieldError| {
            FieldError::new("", format!("event {id}: {} {}", error.pointer, error.detail))
        };
        entry.end(status, outcome.errors().iter().map(of_event));
        entry.id.get_or_insert_with(|| id.as_str().to_owned());
        entry.ids.push(id);
    }

    for (index, id, result) in configure(scope, caller, documents).await {
        let entry = &mut imported[index];
        match result {
            Ok((Configured::Created | Configured::Changed, version)) => {
                entry.end(Status::Created, []);
                entry.version = Some(version);
            }
            // Packages and organisations are not counted.
            Ok((Configured::Unchanged | Configured::Full(_), version)) => {
                entry.version = Some(version)
            }
            Ok((Configured::Taken(alias, other), _)) => {
                let detail = format!(
                    "{:?} is the name of the package {other:?}; rename or delete that one first",
                    alias.name
                );
                entry.end(Status::Conflict, [FieldError::new("/displayName", detail)]);
            }
            Err(NotConfigured::Reserved) if objects.len() == 1 => {
                return Err(Problem::forbidden(reserved(&id)));
            }
            Err(NotConfigured::Reserved) => {
                entry.end(Status::Invalid, [FieldError::new("", reserved(&id))])
            }
            Err(NotConfigured::Read(ReadError::TooLarge(why))) => {
                entry.end(Status::Invalid, [FieldError::new("", why.to_string())]);
            }
            Err(NotConfigured::Read(error)) => {
                tracing::warn!(%id, %error, "what was imported of {id} was not stored: {error}");
                entry.end(Status::Unavailable, []);
            }
        }
        entry.id = Some(id);
    }
    Ok(answer(imported))
}

/// Why a document was not configured.
enum NotConfigured {
    /// Somebody configured it by hand, and the caller is no administrator.
    Reserved,
    Read(ReadError),
}

impl From<ReadError> for NotConfigured {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

fn reserved(id: &str) -> String {
    format!(
        "{id:?} was configured by hand, and this import would change it, which needs the permission audit:admin; leave it out, or import it as an administrator"
    )
}

/// What came of a document: its place among the objects, its id, and its version by then.
type OfDocument = (usize, String, Result<(Configured, u64), NotConfigured>);

/// Configures what the objects say, those of one id one after the other.
async fn configure(
    scope: &TenantScope<'_>,
    caller: &Caller,
    documents: Vec<(usize, Told)>,
) -> Vec<OfDocument> {
    let mut by_id: HashMap<(bool, String), Vec<(usize, Told)>> = HashMap::new();
    for (index, told) in documents {
        let key = match &told {
            Told::Package(package) => (true, package.id.clone()),
            Told::Organisation(organisation) => (false, organisation.id.clone()),
            Told::Events(_) => continue,
        };
        by_id.entry(key).or_default().push((index, told));
    }
    let is_admin = caller.may(Permission::Admin);
    let one_id = by_id.into_iter().map(|((_, id), documents)| async move {
        let mut results = Vec::with_capacity(documents.len());
        for (index, told) in documents {
            let result = match &told {
                Told::Package(package) => {
                    let want = |there, is_reserved| {
                        allowed(there, is_reserved && !is_admin, |it| package.onto(it))
                    };
                    access_packages::configure_package(scope, &id, caller, true, want).await
                }
                Told::Organisation(organisation) => {
                    let want = |there, is_reserved| {
                        allowed(there, is_reserved && !is_admin, |it| organisation.onto(it))
                    };
                    access_packages::configure_organisation(scope, &id, caller, true, want).await
                }
                Told::Events(_) => continue,
            };
            results.push((index, id.clone(), result));
        }
        results
    });
    let results: Vec<_> = stream::iter(one_id).buffer_unordered(AT_ONCE).collect().await;
    results.into_iter().flatten().collect()
}

/// What an object makes of what is there, unless that is not to be changed.
fn allowed<T: Clone + PartialEq>(
    there: Option<T>,
    is_fixed: bool,
    onto: impl FnOnce(Option<T>) -> T,
) -> Result<Option<T>, NotConfigured> {
    let after = onto(there.clone());
    if is_fixed && there.as_ref() != Some(&after) {
        return Err(NotConfigured::Reserved);
    }
    Ok(Some(after))
}

fn answer(mut imported: Vec<Imported>) -> ApiGatewayV2httpResponse {
    #[derive(Serialize)]
    struct Answer<'i> {
        created: usize,
        duplicate: usize,
        conflict: usize,
        invalid: usize,
        unavailable: usize,
        results: &'i [Imported],
    }
    let mut space = Space::default();
    for entry in &mut imported {
        entry.retryable = (entry.status == Status::Unavailable).then_some(true);
        entry.errors = space.for_errors(&entry.errors).into_owned();
    }
    let count = |status| imported.iter().filter(|entry| entry.status == status).count();
    let (created, duplicate, conflict) =
        (count(Status::Created), count(Status::Duplicate), count(Status::Conflict));
    let (invalid, unavailable) = (count(Status::Invalid), count(Status::Unavailable));
    request::json(
        200,
        &Answer { created, duplicate, conflict, invalid, unavailable, results: &imported },
    )
}
