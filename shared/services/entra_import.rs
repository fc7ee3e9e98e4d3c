//! Imports objects of Microsoft Graph. One object becomes one or more events, or an access package
//! or organisation of the tenant.

use std::collections::HashMap;

use futures::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Serialize;
use shared_domain::{
    entra::{self, Content},
    identity::caller::{Caller, Permission},
    json::strict_json::FieldError,
    time::timestamp::Instant,
    trail::{
        event::{Event, EventId},
        event_validation::Intake,
    },
};
use shared_storage::{ReadError, TenantScope, documents::DocumentOutcome};

use crate::{
    documents,
    store_events::{AT_ONCE, Recorder, Sender, StoreOutcome},
};

/// The outcome of one object. If an object becomes several events, the last variant in this order
/// wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ImportStatus")]
pub enum Status {
    /// Nothing of it is to be stored. The reason says why.
    Ignored,
    /// All of it was stored before.
    Duplicate,
    /// At least one part of it is new and is stored now.
    Created,
    /// It contradicts what is stored.
    Conflict,
    /// The object is not valid, or may not be imported.
    Invalid,
    /// The storage did not confirm the write. The client can safely send the object again.
    Unavailable,
}

/// The outcome of one object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ImportResult")]
pub struct Imported {
    /// The place of the object in the request, from 0.
    pub index: usize,
    /// The id of the first event, or of the package or organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The ids of all events of the object, earliest first.
    pub ids: Vec<EventId>,
    pub status: Status,
    /// True if all events of the object are recorded as history. With `history=true`, false if at
    /// least one is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<bool>,
    /// Why nothing of the object is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The current version of the package or organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// True if the object may be sent again as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What is wrong with the object, by JSON Pointers into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Whether it would change a document that was configured by hand, which only an administrator
    /// may do.
    #[serde(skip)]
    pub is_reserved: bool,
}

impl Imported {
    fn new(index: usize) -> Self {
        Self {
            index,
            id: None,
            ids: Vec::new(),
            status: Status::Ignored,
            history: None,
            reason: None,
            version: None,
            retryable: None,
            errors: Vec::new(),
            is_reserved: false,
        }
    }

    fn end(&mut self, status: Status, errors: impl IntoIterator<Item = FieldError>) {
        self.status = self.status.max(status);
        self.errors.extend(errors);
    }
}

/// Imports objects and returns one result for each, in the order of the request. An invalid object
/// does not stop the import of the others. `context` is the `@odata.context` of their page. Events that
/// occurred before `history_before` are recorded as history.
///
/// # Errors
/// The import could not start.
pub async fn import(
    recorder: &Recorder,
    scope: &TenantScope<'_>,
    caller: &Caller,
    objects: &[&str],
    context: Option<&str>,
    history_before: Option<Instant>,
) -> Result<Vec<Imported>, ReadError> {
    let intake = Intake {
        tenant: &scope.tenant,
        now: scope.now,
        retention: scope.settings.retention_at(scope.now),
    };
    let mut imported: Vec<_> = (0..objects.len()).map(Imported::new).collect();
    let (mut events, mut documents) = (Vec::new(), Vec::new());
    for (index, object) in objects.iter().enumerate() {
        match entra::read_of_page(object, context, &intake) {
            Ok(Content::Events(read)) => {
                events.extend(read.into_iter().map(|event| (index, event)))
            }
            Ok(Content::Nothing(reason)) => imported[index].reason = Some(reason),
            Ok(document @ (Content::Package(_) | Content::Organisation(_))) => {
                documents.push((index, document))
            }
            Err(errors) => imported[index].end(Status::Invalid, errors),
        }
    }

    // Graph mostly returns the newest first, but an event that opens a window has to be stored
    // before the event that ends it.
    events.sort_by_key(|(_, event): &(usize, Event)| event.occurred_at);
    let (places, events): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let is_same = |sent: &Event, stored: &Event| !entra::contradicts(sent, stored);
    let by = caller.recorded_by();
    let outcomes =
        recorder.store(scope, events, &by, history_before, Sender::Machine, is_same).await?;
    for ((index, id), outcome) in places.into_iter().zip(ids).zip(outcomes) {
        let status = match outcome {
            StoreOutcome::Created(_) => Status::Created,
            StoreOutcome::Duplicate(_) => Status::Duplicate,
            StoreOutcome::Conflict(..) => Status::Conflict,
            StoreOutcome::Invalid(_) => Status::Invalid,
            StoreOutcome::Unavailable(_) => Status::Unavailable,
        };
        let entry = &mut imported[index];
        if let Some(is_history) = outcome.is_history() {
            let are_all = entry.history.unwrap_or(true) && is_history;
            entry.history = (are_all || history_before.is_some()).then_some(are_all);
        }
        // An event has no single place in the object that it was made from, so its pointer is "".
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
            Ok((DocumentOutcome::Created | DocumentOutcome::Changed, version)) => {
                entry.end(Status::Created, []);
                entry.version = Some(version);
            }
            // An import does not count packages and organisations, so `Full` changes nothing here.
            Ok((
                DocumentOutcome::Unchanged
                | DocumentOutcome::Full(_)
                | DocumentOutcome::NotAsExpected { .. },
                version,
            )) => {
                entry.end(Status::Duplicate, []);
                entry.version = Some(version);
            }
            Ok((DocumentOutcome::Taken(name, other), _)) => {
                let detail = format!(
                    "the package {other:?} already has the name {:?}; rename or delete it first",
                    name.name
                );
                entry.end(Status::Conflict, [FieldError::new("/displayName", detail)]);
            }
            Err(NotConfigured::Reserved) => {
                entry.is_reserved = true;
                entry.end(Status::Invalid, [FieldError::new("", reserved(&id))]);
            }
            Err(NotConfigured::Read(ReadError::TooLarge(why))) => {
                entry.end(Status::Invalid, [FieldError::new("", why.to_string())]);
            }
            Err(NotConfigured::Read(error)) => {
                tracing::warn!(%id, %error, "import: document {id} was not stored: {error}");
                entry.end(Status::Unavailable, []);
            }
        }
        entry.id = Some(id);
    }
    Ok(imported)
}

enum NotConfigured {
    /// The document was configured by hand, and the caller is not an administrator.
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
        "{id:?} was configured by an administrator; to change it with an import, you need the permission audit:admin. Leave it out, or import it as an administrator"
    )
}

/// The result of one document: its index in the request, its id, and its new version.
type OfDocument = (usize, String, Result<(DocumentOutcome, u64), NotConfigured>);

/// Stores documents. Those with the same id are stored one after the other.
async fn configure(
    scope: &TenantScope<'_>,
    caller: &Caller,
    documents: Vec<(usize, Content)>,
) -> Vec<OfDocument> {
    let mut by_id: HashMap<(bool, String), Vec<(usize, Content)>> = HashMap::new();
    for (index, content) in documents {
        let key = match &content {
            Content::Package(package) => (true, package.id.clone()),
            Content::Organisation(organisation) => (false, organisation.id.clone()),
            Content::Events(_) | Content::Nothing(_) => continue,
        };
        by_id.entry(key).or_default().push((index, content));
    }
    let is_admin = caller.may(Permission::Admin);
    let one_id: Vec<_> = by_id
        .into_iter()
        .map(|((_, id), documents)| async move {
            let mut results = Vec::with_capacity(documents.len());
            for (index, content) in documents {
                let result = match &content {
                    Content::Package(package) => {
                        let import = |there, is_reserved| {
                            allowed(there, is_reserved && !is_admin, |it| package.onto(it))
                        };
                        documents::import(scope, &id, caller, import).await
                    }
                    Content::Organisation(organisation) => {
                        let import = |there, is_reserved| {
                            allowed(there, is_reserved && !is_admin, |it| organisation.onto(it))
                        };
                        documents::import(scope, &id, caller, import).await
                    }
                    Content::Events(_) | Content::Nothing(_) => continue,
                };
                results.push((index, id.clone(), result));
            }
            results
        })
        .collect();
    let results: Vec<_> = stream::iter(one_id).buffer_unordered(AT_ONCE).collect().await;
    results.into_iter().flatten().collect()
}

/// The document after the import, or an error if this caller may not change it.
fn allowed<T: Clone + PartialEq>(
    there: Option<T>,
    is_fixed: bool,
    onto: impl FnOnce(Option<T>) -> T,
) -> Result<T, NotConfigured> {
    let after = onto(there.clone());
    if is_fixed && there.as_ref() != Some(&after) {
        return Err(NotConfigured::Reserved);
    }
    Ok(after)
}
