//! Stores export jobs, finds those that are due, and leases them to runs.
//!
//! A job is one item. The request never changes; the progress changes only if the generation is
//! still the one that was read. A run holds the lease of a job until the job's time in the queue.
//! If the run does not renew the lease, another run takes over the job.

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use shared_domain::{
    exports::{
        export_job::{Job, Progress},
        saved_search::{Cause, Origin},
    },
    time::timestamp::Instant,
    trail::{
        actions::ExportAction,
        event::{Event, EventId, Party, RecordedBy},
        search::Order,
    },
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    Database, ReadError, TenantScope,
    attributes::{number, text},
    capacity::{Full, Holder, Places, Taken},
    event_item::Damaged,
    keys,
    lease::{Content, Due, Leased, Queued, json},
    partitions::Partition,
    transaction::{Change, Commit},
};

/// A job as it was read.
pub type StoredJob = Leased<JobContent>;

/// What is stored of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobContent {
    /// What was asked for.
    #[serde(with = "json")]
    pub job: Job,
    /// How far it is.
    #[serde(with = "json")]
    pub progress: Progress,
}

impl Content for JobContent {
    const FIXED: &'static [&'static str] = &["job"];
    const CHANGING: &'static [&'static str] = &["progress"];
}

/// The next state of a job.
#[derive(Clone, Debug)]
pub struct Next {
    pub progress: Progress,
    pub run: Option<String>,
    /// When the job is due then.
    pub due_at: Option<Instant>,
}

/// The idempotency key of a request for a job.
#[derive(Clone, Debug)]
pub struct JobKey {
    /// The hash of caller and key.
    pub name: String,
    /// The hash of the request.
    pub digest: String,
}

/// The result of a request for a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// The job is new.
    New(Box<StoredJob>),
    /// The job exists already, with the same key and request.
    Same(Box<StoredJob>),
    /// The key was used for another request.
    Other,
    /// The tenant or the caller has reached the limit of concurrent jobs.
    Full(Full),
}

/// Maximum number of concurrent exports that people request.
pub const EXPORTS: Places = Places { what: "exports", most: 10, are_shared: true };
/// The same for scheduled exports, so that neither kind blocks the other.
pub const SCHEDULED_EXPORTS: Places =
    Places { what: "scheduled_exports", most: 5, are_shared: false };
/// Jobs read concurrently.
const AT_ONCE: usize = 5;

fn is_scheduled(job: &Job) -> bool {
    job.saved.as_ref().is_some_and(|origin| origin.cause == Cause::Schedule)
}

fn queued(at: Instant) -> Queued {
    Queued { queue: keys::EXPORTS_DUE.to_owned(), at }
}

/// A job after a change.
fn after(before: &StoredJob, next: Next) -> StoredJob {
    let Next { progress, run, due_at } = next;
    let content = JobContent { job: before.job.clone(), progress };
    before.next(content, run, due_at.map(queued))
}

/// Stores a job, with the event `export.requested`, unless a job with the same key exists.
///
/// # Errors
/// After an error, the change may or may not be stored. A retry is safe.
pub async fn begin_export(
    scope: &TenantScope<'_>,
    job: Job,
    key: Option<&JobKey>,
    due_at: Instant,
) -> Result<Begun, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        match begin_export_with(scope, &job, key, due_at, Vec::new()).await? {
            Some(begun) => return Ok(begun),
            // A concurrent call with the same key was first.
            None => pauses.after_conflict("the number of exports under way").await?,
        }
    }
}

/// Like [`begin_export`] in one attempt, together with other changes. None if anything was changed
/// concurrently; then nothing is stored.
pub async fn begin_export_with(
    scope: &TenantScope<'_>,
    job: &Job,
    key: Option<&JobKey>,
    due_at: Instant,
    with: Vec<Change>,
) -> Result<Option<Begun>, ReadError> {
    let places = if is_scheduled(job) { SCHEDULED_EXPORTS } else { EXPORTS };
    let taken = scope.taken(&places).await?;
    let mut holders = under_way(scope, &taken, is_scheduled(job)).await?;
    // The key is read after the places, so that a concurrent call with the same key that took the
    // last place is recognised by its key.
    if let Some(key) = key {
        let item = scope
            .database
            .state_item(keys::export_keys(&scope.tenant), &key.name, scope.deadline)
            .await?;
        if let Some(item) = item {
            if item.text("digest") != Some(&key.digest) {
                return Ok(Some(Begun::Other));
            }
            return match export(scope, item.text("job").unwrap_or_default()).await? {
                Some(there) => Ok(Some(Begun::Same(Box::new(there)))),
                None => Err(Damaged::new(&key.name, "job").into()),
            };
        }
    }
    if let Some(full) = places.full(&holders, &job.recorded_by.sub) {
        return Ok(Some(Begun::Full(full)));
    }
    holders.push(Holder { id: job.id.clone(), by: Some(job.recorded_by.sub.clone()) });
    let pk = keys::exports(&scope.tenant);
    let content = JobContent { job: job.clone(), progress: Progress::none() };
    let stored = Leased::new(pk, &scope.tenant, &job.id, content, Some(queued(due_at)));
    let ttl = kept_until(scope);
    let mut changes = vec![stored.insertion(Some(ttl))?];
    changes.extend(key.map(|JobKey { name, digest }| {
        let pk = keys::export_keys(&scope.tenant);
        let named = [
            ("pk", text(pk)),
            ("sk", text(name)),
            ("job", text(&job.id)),
            ("digest", text(digest)),
            ("ttl", number(ttl)),
        ];
        Change::Insert(named.into())
    }));
    changes.push(places.take(&scope.tenant, &taken, &holders)?);
    changes.extend(with);
    let mut event = export_event(scope, job, ExportAction::Requested, &[], job.snapshot);
    event.actor = job.created_by.clone();
    event.details.get_or_insert_default().extend(asked(job));
    // A schedule is no actor with a name. The trail has to contain the saved search and its owner.
    event.reason = job.saved.as_ref().filter(|saved| saved.cause == Cause::Schedule).map(|saved| {
        let Origin { name, id, owner, .. } = saved;
        format!(
            "requested by the schedule of the saved search \"{name}\" ({id}), which {} saved",
            owner.shown()
        )
    });
    match scope.commit(vec![event], None, &job.recorded_by, changes).await? {
        Commit::Done(_) => Ok(Some(Begun::New(Box::new(stored)))),
        Commit::Stale | Commit::Taken(_) => Ok(None),
    }
}

/// The jobs in progress among those that hold a place.
async fn under_way(
    scope: &TenantScope<'_>,
    taken: &Taken,
    are_scheduled: bool,
) -> Result<Vec<Holder>, ReadError> {
    let is_under_way =
        |it: &StoredJob| it.progress.state.is_under_way() && is_scheduled(&it.job) == are_scheduled;
    if taken.is_new() {
        // Jobs from before places were counted.
        let (jobs, _) = exports(scope, None).await?;
        let holder = |it: StoredJob| Holder {
            by: Some(it.content.job.recorded_by.sub),
            id: it.content.job.id,
        };
        return Ok(jobs.into_iter().filter(is_under_way).map(holder).collect());
    }
    let reads: Vec<_> = taken
        .holders
        .iter()
        .map(|holder| async move {
            let job = export(scope, &holder.id).await?;
            Ok::<_, ReadError>(job.filter(is_under_way).map(|_| holder.clone()))
        })
        .collect();
    let held: Vec<Option<Holder>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    Ok(held.into_iter().flatten().collect())
}

/// An event about a job. `about` distinguishes several events with the same action.
pub fn export_event(
    scope: &TenantScope<'_>,
    job: &Job,
    action: ExportAction,
    about: &[&str],
    at: Instant,
) -> Event {
    let about: Vec<_> = [job.id.as_str()].into_iter().chain(about.iter().copied()).collect();
    let id = EventId::of_service(&scope.tenant, action, &about);
    let mut event = Event::of_service(
        id,
        &scope.tenant,
        action,
        at,
        shared_domain::trail::event::Actor::system(),
    );
    event.target = Some(Party {
        kind: Some("export".to_owned()),
        id: Some(job.id.clone()),
        name: Some(job.asked.file_name.clone()),
        email: None,
    });
    event.details = job.event_details();
    event
}

pub async fn export(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredJob>, ReadError> {
    StoredJob::read(scope.database, keys::exports(&scope.tenant), id, scope.deadline).await
}

/// Jobs before `before`, the newest first, and whether there may be more.
pub async fn exports(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<StoredJob>, bool), ReadError> {
    let partition = Partition::new(keys::exports(&scope.tenant)).in_order(Order::Descending);
    let page = scope.page(&partition, before).await?;
    let jobs = page.items.into_iter().map(StoredJob::of).collect::<Result<_, _>>()?;
    Ok((jobs, page.next.is_some()))
}

/// Stores the next state of a job. None if the job was changed since `before` was read; then
/// nothing is stored.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn advance_export(
    scope: &TenantScope<'_>,
    before: &StoredJob,
    next: Next,
) -> Result<Option<StoredJob>, ReadError> {
    let next = after(before, next);
    Ok(next.save(scope.database, before, scope.deadline).await?.then_some(next))
}

/// Like [`advance_export`], with an event in the same transaction.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn conclude_export(
    scope: &TenantScope<'_>,
    before: &StoredJob,
    next: Next,
    event: Event,
    by: &RecordedBy,
) -> Result<Option<StoredJob>, ReadError> {
    let next = after(before, next);
    match scope.commit(vec![event], None, by, vec![next.change(before)?]).await? {
        Commit::Done(_) => Ok(Some(next)),
        Commit::Stale | Commit::Taken(_) => Ok(None),
    }
}

/// When the data of a job expires, in seconds since 1970, as DynamoDB's TTL expects.
pub fn kept_until(scope: &TenantScope<'_>) -> i64 {
    scope.now.plus(scope.settings.kept_at(scope.now)).seconds()
}

/// The request in the details of an event.
fn asked(job: &Job) -> Map<String, Value> {
    match serde_json::to_value(&job.asked) {
        Ok(Value::Object(asked)) => {
            asked.into_iter().filter(|(_, value)| !value.is_null()).collect()
        }
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The jobs that are due at a time, the earliest first.
pub async fn due_exports(
    database: &Database,
    until: Instant,
    deadline: tokio::time::Instant,
) -> Result<Vec<Due>, Unavailable> {
    database.first_due(keys::EXPORTS_DUE, until, deadline).await
}
