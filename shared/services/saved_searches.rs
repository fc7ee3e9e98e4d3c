//! Which searches are saved? Which of their runs are there, and which does a schedule make now?
//!
//! What is saved is a document, which stands in a queue under the time of its next run while it has a schedule. A run, the export that it asks
//! for, the event that tells of it and the document's next time are one transaction, which expects the time that was read: so each time has one
//! run, whoever is killed in between, and however many look at the same time.

use crate::export_jobs;
use futures::{StreamExt, TryStreamExt, stream};

use crate::export_jobs::{Begun, JobKey, StoredJob};
use shared_domain::{
    exports::{
        export_job::Job,
        saved_search::{Configured, Origin, Run, Saved},
    },
    json::object_reader::TEXT_BYTES,
    time::timestamp::Instant,
    trail::{
        actions::ExportAction,
        event::{Event, EventId, Outcome, Party, RecordedBy},
        search::Order,
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    ReadError, TenantScope,
    attributes::{number, text},
    capacity::Full,
    documents::{Document, Kind},
    event_item::{Damaged, Item},
    keys,
    partitions::Partition,
    transaction::{Attribute, Change, Commit},
};

/// Runs that are read together.
const TOGETHER: i32 = 50;
/// Exports of theirs that are read side by side.
const AT_ONCE: usize = 8;

/// A run of a schedule whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct DueRun {
    /// The saved search's id.
    pub id: String,
    /// What is saved.
    pub saved: Saved,
    /// The time.
    pub at: Instant,
}

/// What became of a run that a schedule makes.
#[derive(Clone, Debug, PartialEq)]
pub enum DueBegun {
    /// It is there now, with this job.
    New(Box<StoredJob>),
    /// Another was quicker, or the saved search was changed meanwhile; what is still due is found again.
    Before,
    /// As many exports of schedules as may be are under way.
    Full,
}

impl DueRun {
    /// The time after it.
    fn next(&self) -> Option<Instant> {
        self.saved.next_run(self.at)
    }
}

/// Who tells of what schedules do.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/export".to_owned(), client_id: None }
}

/// A document as a saved search, unless it was deleted.
///
/// # Errors
/// It is not as this service writes it.
pub fn read_saved(document: Document) -> Result<Option<Configured>, ReadError> {
    let saved: Option<Saved> = document.read()?;
    Ok(saved.map(|saved| {
        let next_run_at = document.due_at.filter(|_| saved.schedule.is_some());
        Configured { id: document.id, saved, next_run_at }
    }))
}

/// A saved search as events name it.
pub fn shown(id: &str, name: Option<String>) -> Party {
    Party { kind: Some("saved".to_owned()), id: Some(id.to_owned()), name, email: None }
}

/// The saved search of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn saved(scope: &TenantScope<'_>, id: &str) -> Result<Option<Configured>, ReadError> {
    scope.document(Kind::Saved, id).await?.map(read_saved).transpose().map(Option::flatten)
}

/// Every saved search.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn all_saved(scope: &TenantScope<'_>) -> Result<Vec<Configured>, ReadError> {
    let documents = scope.all_documents(Kind::Saved).await?;
    documents.into_iter().filter_map(|document| read_saved(document).transpose()).collect()
}

/// Stores a run that somebody asked for, with its job, which is due at once; or why there is no place for it.
///
/// # Errors
/// The storage did not answer. It may be stored or not.
pub async fn begin_run(
    scope: &TenantScope<'_>,
    origin: Origin,
    job: &Job,
) -> Result<Result<Box<StoredJob>, Full>, ReadError> {
    let run = Run { origin, export: Some(job.id.clone()), error: None };
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let with = vec![run_kept(scope, &run)?];
        match export_jobs::begin_export_with(scope, job, None, scope.now, with).await? {
            Some(Begun::New(stored) | Begun::Same(stored)) => return Ok(Ok(stored)),
            Some(Begun::Full(full)) => return Ok(Err(full)),
            // Another export was begun in the same moment.
            Some(Begun::Other) | None => {
                pauses.after_conflict("the number of exports under way").await?
            }
        }
    }
}

/// The run that a schedule is to make now, the first of them where several were missed; none where its time has not come.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn due_run(scope: &TenantScope<'_>, id: &str) -> Result<Option<DueRun>, ReadError> {
    let Some(document) = scope.document(Kind::Saved, id).await? else { return Ok(None) };
    let at = document.due_at.filter(|at| *at <= scope.now);
    let saved = document.read()?;
    Ok(at.zip(saved).map(|(at, saved)| DueRun { id: id.to_owned(), saved, at }))
}

/// Stores a run that a schedule makes, with its job, which is due at once, and puts the schedule forward.
///
/// # Errors
/// The storage did not answer. It may be done or not; asking again is safe.
pub async fn begin_due_run(
    scope: &TenantScope<'_>,
    due: &DueRun,
    origin: Origin,
    job: &Job,
) -> Result<DueBegun, ReadError> {
    let run = Run { origin, export: Some(job.id.clone()), error: None };
    let with = vec![run_kept(scope, &run)?, forward(scope, due)];
    // Also where the schedule was set back, each time has one run.
    let name = EventId::of_service(&scope.tenant, "saved.run", &[&due.id, &due.at.to_string()])
        .to_string();
    let key = JobKey { digest: name.clone(), name };
    match export_jobs::begin_export_with(scope, job, Some(&key), scope.now, with).await? {
        Some(Begun::New(stored)) => Ok(DueBegun::New(stored)),
        Some(Begun::Full(_)) => Ok(DueBegun::Full),
        Some(Begun::Same(_) | Begun::Other) => {
            scope.database.alone(forward(scope, due), scope.deadline, &mut false).await?;
            Ok(DueBegun::Before)
        }
        None => Ok(DueBegun::Before),
    }
}

/// Stores that a run of a schedule made no export, and why, tells it, and puts the schedule forward: what cannot be asked for must not
/// stand before what can.
///
/// # Errors
/// The storage did not answer. It may be done or not; asking again is safe.
pub async fn fail_due_run(
    scope: &TenantScope<'_>,
    due: &DueRun,
    origin: Origin,
    reason: &str,
) -> Result<(), ReadError> {
    let about = ["saved", &due.id, &due.at.to_string()];
    let id = EventId::of_service(&scope.tenant, ExportAction::Failed, &about);
    let mut event = Event::of_service(
        id,
        &scope.tenant,
        ExportAction::Failed,
        scope.now,
        shared_domain::trail::event::Actor::system(),
    );
    event.target = Some(Party {
        kind: Some("export".to_owned()),
        name: Some(origin.name.clone()),
        ..Party::default()
    });
    event.outcome = Outcome::Failure;
    event.reason = Some(reason[..reason.floor_char_boundary(TEXT_BYTES)].to_owned());
    event.details = Some([("saved".to_owned(), serde_json::json!(origin))].into_iter().collect());
    let run = Run { origin, export: None, error: Some(reason.to_owned()) };
    let changes = vec![run_kept(scope, &run)?, forward(scope, due)];
    match scope.commit(vec![event], None, &recorder(), changes).await? {
        Commit::Done(_) | Commit::Stale => {}
        Commit::Taken(_) => {
            scope.database.alone(forward(scope, due), scope.deadline, &mut false).await?;
        }
    }
    Ok(())
}

/// Runs of a saved search, the newest first, from `before` on, each with its place and its export; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn saved_runs(
    scope: &TenantScope<'_>,
    id: &str,
    before: Option<&str>,
) -> Result<(Vec<(String, Run, Option<StoredJob>)>, bool), ReadError> {
    let partition = Partition::new(keys::saved_runs(&scope.tenant, id))
        .in_order(Order::Descending)
        .at_most(TOGETHER);
    let page = scope.page(&partition, before).await?;
    let read = async |item: Item| {
        let (place, run) = read_run(&item)?;
        let job = match &run.export {
            Some(export) => export_jobs::export(scope, export).await?,
            None => None,
        };
        Ok::<_, ReadError>((place, run, job))
    };
    let runs = stream::iter(page.items).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok((runs, page.next.is_some()))
}

/// What keeps a run, as long as its export is known.
fn run_kept(scope: &TenantScope<'_>, run: &Run) -> Result<Change, ReadError> {
    let Origin { id, at, .. } = &run.origin;
    let content = serde_json::to_string(run).map_err(|_| Damaged::new(id, "run"))?;
    let item: Vec<Attribute> = vec![
        ("pk", text(keys::saved_runs(&scope.tenant, id))),
        ("sk", text(keys::saved_run(*at, run.export.as_deref()))),
        ("run", text(content)),
        ("ttl", number(export_jobs::kept_until(scope))),
    ];
    Ok(Change::Insert(item))
}

/// What puts a schedule forward, unless somebody did.
fn forward(scope: &TenantScope<'_>, due: &DueRun) -> Change {
    let next = due.next();
    Change::Update {
        key: [keys::documents(Kind::Saved, &scope.tenant), due.id.clone()],
        set: next.map(|next| ("due_at", text(next))).into_iter().collect(),
        remove: if next.is_some() { &[] } else { &["due", "due_at"] },
        expected: ("due_at", text(due.at)),
    }
}

fn read_run(item: &Item) -> Result<(String, Run), Damaged> {
    let place = item.text("sk").unwrap_or_default();
    let run = item.text("run").and_then(|json| serde_json::from_str(json).ok());
    Ok((place.to_owned(), run.ok_or_else(|| Damaged::new(place, "run"))?))
}
