//! Saved searches and their runs, on request and by schedule.
//!
//! A saved search is a document. While it has a schedule, it is in a queue under the time of its
//! next run. A run, its export, its event and the document's next time are written in one
//! transaction, on the condition that the time is still the one that was read. So each time has
//! exactly one run, even if runs stop or work concurrently.

use crate::export_jobs;
use futures::{StreamExt, TryStreamExt, stream};

use crate::export_jobs::{Begun, JobKey, StoredJob};
use shared_domain::{
    configuration::document::Document,
    exports::{
        export_job::Job,
        saved_search::{Origin, Run, Saved},
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
    event_item::{Damaged, Item},
    keys,
    partitions::Partition,
    transaction::{Attribute, Change, Commit},
};

/// Runs read at a time.
const TOGETHER: i32 = 50;
/// Exports of runs that are read concurrently.
const AT_ONCE: usize = 8;

/// A scheduled run that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct DueRun {
    pub id: String,
    pub saved: Saved,
    pub at: Instant,
}

/// The result of starting a scheduled run.
#[derive(Clone, Debug, PartialEq)]
pub enum DueBegun {
    /// The run and its job are new.
    New(Box<StoredJob>),
    /// Another worker was first, or the saved search was changed; anything still due is found
    /// again.
    Before,
    /// The limit of concurrent scheduled exports is reached.
    Full,
}

impl DueRun {
    fn next(&self) -> Option<Instant> {
        self.saved.next_run(self.at)
    }
}

/// The recorder of scheduled runs.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/export".to_owned(), client_id: None, history: false }
}

/// Stores a requested run with its job, which is due at once. An inner error says that the limit of
/// concurrent exports is reached.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn begin_run(
    scope: &TenantScope<'_>,
    origin: Origin,
    job: &Job,
    key: Option<&JobKey>,
) -> Result<Begun, ReadError> {
    let run = Run { origin, export: Some(job.id.clone()), error: None };
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let with = vec![run_kept(scope, &run)?];
        match export_jobs::begin_export_with(scope, job, key, scope.now, with).await? {
            Some(begun) => return Ok(begun),
            // Another export was started at the same moment.
            None => pauses.after_conflict("the number of exports under way").await?,
        }
    }
}

/// The scheduled run that is due, the earliest if several were missed; none if none is due.
pub async fn due_run(scope: &TenantScope<'_>, id: &str) -> Result<Option<DueRun>, ReadError> {
    let Some(document) = scope.document(Saved::KIND, id).await? else { return Ok(None) };
    let at = document.due_at.filter(|at| *at <= scope.now);
    let saved = document.read()?;
    Ok(at.zip(saved).map(|(at, saved)| DueRun { id: id.to_owned(), saved, at }))
}

/// Stores a scheduled run with its job, which is due at once, and sets the schedule to its next
/// time.
///
/// # Errors
/// After an error, the change may or may not be stored. A retry is safe.
pub async fn begin_due_run(
    scope: &TenantScope<'_>,
    due: &DueRun,
    origin: Origin,
    job: &Job,
) -> Result<DueBegun, ReadError> {
    let run = Run { origin, export: Some(job.id.clone()), error: None };
    let with = vec![run_kept(scope, &run)?, forward(scope, due)];
    // Each time has one run, even if the schedule was set back.
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

/// Records that a scheduled run has no export, and why, and sets the schedule to its next time: a
/// request that cannot be met must not block later ones.
///
/// # Errors
/// After an error, the change may or may not be stored. A retry is safe.
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

/// Runs of a saved search before `before`, the newest first, each with its position and export, and
/// whether there may be more.
pub async fn saved_runs(
    scope: &TenantScope<'_>,
    id: &str,
    before: Option<&str>,
) -> Result<(Vec<(String, Run, Option<StoredJob>)>, bool), ReadError> {
    let partition = Partition::new(keys::saved_runs(&scope.tenant, id))
        .in_order(Order::Descending)
        .at_most(TOGETHER);
    let page = scope.page(&partition, before).await?;
    let read = |item: Item| async move {
        let (place, run) = read_run(&item)?;
        let job = match &run.export {
            Some(export) => export_jobs::export(scope, export).await?,
            None => None,
        };
        Ok::<_, ReadError>((place, run, job))
    };
    let reads: Vec<_> = page.items.into_iter().map(read).collect();
    let runs = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    Ok((runs, page.next.is_some()))
}

/// The change that stores a run, with the retention of its export.
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

/// The change that sets the schedule to its next time, unless that was done already.
fn forward(scope: &TenantScope<'_>, due: &DueRun) -> Change {
    let next = due.next();
    Change::Update {
        key: [keys::documents(Saved::KIND, &scope.tenant), due.id.clone()],
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
