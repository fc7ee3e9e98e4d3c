//! Which export jobs are there? Which is due? Who works on it?
//!
//! A job is one item: what was asked for, which stays, and how far it is, which changes only from the generation that was read. Whoever
//! works on it has it until the time under which it stands in the queue; a job that nobody renews there is taken up by the next.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use shared_domain::{
    exports::{
        export_job::{Job, Progress},
        saved_search::{Cause, Origin},
    },
    time::timestamp::Instant,
    trail::event::{Event, EventId, Party, RecordedBy, Tenant},
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    Database, ReadError, TenantScope,
    capacity::{Full, Holder, Places, Taken},
    event_item::{Damaged, Item},
    keys,
    transaction::{Attribute, Change, Commit},
};

/// A job as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// What was asked for.
    pub job: Job,
    /// How far it is.
    pub progress: Progress,
    /// The run that has it, if one has.
    pub run: Option<String>,
    /// When the next thing is to be done for it; until then the run that has it has it alone.
    pub due_at: Option<Instant>,
    generation: u64,
}

/// What a job becomes by a change.
#[derive(Clone, Debug)]
pub struct Next {
    /// How far it is then.
    pub progress: Progress,
    /// The run that has it then.
    pub run: Option<String>,
    /// When the next thing is to be done for it.
    pub due_at: Option<Instant>,
}

/// A key by which a caller may ask for the same job again.
#[derive(Clone, Debug)]
pub struct JobKey {
    /// What the caller and the key come to.
    pub name: String,
    /// What it was given for.
    pub digest: String,
}

/// What asking for a job came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// It is there now.
    New(Box<StoredJob>),
    /// It was there already, asked for by the same key.
    Same(Box<StoredJob>),
    /// The key was given for something else.
    Other,
    /// The tenant, or the caller, has as many under way as they may.
    Full(Full),
}

/// Exports that people ask for which a tenant may have under way at a time.
pub const EXPORTS: Places = Places { what: "exports", most: 10, are_shared: true };
/// The same of those that schedules make, so that neither stand in the other's way.
pub const SCHEDULED_EXPORTS: Places =
    Places { what: "scheduled_exports", most: 5, are_shared: false };
/// Jobs read side by side.
const AT_ONCE: usize = 5;

fn is_scheduled(job: &Job) -> bool {
    job.saved.as_ref().is_some_and(|origin| origin.cause == Cause::Schedule)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl StoredJob {
    /// One that is to be stored, due at a time.
    fn new(job: Job, due_at: Instant) -> Self {
        Self { job, progress: Progress::none(), run: None, due_at: Some(due_at), generation: 1 }
    }

    /// This job after a change.
    fn becoming(&self, next: Next) -> Self {
        let Next { progress, run, due_at } = next;
        Self { progress, run, due_at, generation: self.generation + 1, job: self.job.clone() }
    }

    /// The attributes that change.
    fn attributes(&self) -> Result<Vec<Attribute>, Damaged> {
        let progress = serde_json::to_string(&self.progress)
            .map_err(|_| Damaged::new(&self.job.id, "progress"))?;
        let mut set = vec![("progress", text(&progress)), ("generation", number(self.generation))];
        set.extend(self.run.as_ref().map(|run| ("run", text(run))));
        if let Some(at) = self.due_at {
            set.push(("due", text(keys::EXPORTS_DUE)));
            set.push(("due_at", text(&at.to_string())));
        }
        Ok(set)
    }

    /// What makes this of what stands there in the generation before.
    fn update(&self, tenant: &Tenant) -> Result<Change, Damaged> {
        let remove: &[&str] = match (&self.run, self.due_at) {
            (Some(_), Some(_)) => &[],
            (None, Some(_)) => &["run"],
            (Some(_), None) => &["due", "due_at"],
            (None, None) => &["run", "due", "due_at"],
        };
        let expected = ("generation", number(self.generation - 1));
        Ok(Change::Update {
            key: [keys::exports(tenant), self.job.id.clone()],
            set: self.attributes()?,
            remove,
            expected,
        })
    }

    fn of(mut item: Item) -> Result<Self, Damaged> {
        let mut take = |name| match item.remove(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text),
            _ => None,
        };
        let id = take("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&id, attribute);
        let job = take("job").and_then(|json| serde_json::from_str(&json).ok());
        let progress = take("progress").and_then(|json| serde_json::from_str(&json).ok());
        Ok(Self {
            job: job.ok_or_else(|| damaged("job"))?,
            progress: progress.ok_or_else(|| damaged("progress"))?,
            run: take("run"),
            due_at: take("due_at").and_then(|at| at.parse().ok()),
            generation: take("generation")
                .and_then(|it| it.parse().ok())
                .ok_or_else(|| damaged("generation"))?,
        })
    }

    /// Whether a run has it and may still be at work.
    pub fn is_held(&self, now: Instant) -> bool {
        self.run.is_some() && self.due_at.is_some_and(|due_at| now < due_at)
    }
}

/// Stores a job, with `export.requested`, unless one was asked for by the same key. It is due at a time.
///
/// # Errors
/// The storage did not answer. It may be stored or not; asking again by the same key is safe.
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
            // The same key, given twice at the same time: the other call was quicker.
            None => pauses.after_conflict("the number of exports under way").await?,
        }
    }
}

/// The same once, together with other changes; none where something is not as these or the key expect it, and then nothing was done.
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
    // The key is read after the places: a call with the same key that took the last place meanwhile is seen by its key.
    if let Some(key) = key {
        let item = scope
            .database
            .state_item(keys::export_keys(&scope.tenant), &key.name, scope.deadline)
            .await?;
        if let Some(item) = item {
            let holds = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            if holds("digest") != Some(&key.digest) {
                return Ok(Some(Begun::Other));
            }
            let id = holds("job").cloned().unwrap_or_default();
            return match export(scope, &id).await? {
                Some(there) => Ok(Some(Begun::Same(Box::new(there)))),
                None => Err(Damaged::new(&key.name, "job").into()),
            };
        }
    }
    if let Some(full) = places.full(&holders, &job.recorded_by.sub) {
        return Ok(Some(Begun::Full(full)));
    }
    holders.push(Holder { id: job.id.clone(), by: Some(job.recorded_by.sub.clone()) });
    let stored = StoredJob::new(job.clone(), due_at);
    let [pk, kept_until] = [keys::exports(&scope.tenant), kept_until(scope)];
    let ttl = ("ttl", AttributeValue::N(kept_until));
    let content = serde_json::to_string(job).map_err(|_| Damaged::new(&job.id, "job"))?;
    let mut item =
        vec![("pk", text(&pk)), ("sk", text(&job.id)), ("job", text(&content)), ttl.clone()];
    item.extend(stored.attributes()?);
    let mut changes = vec![Change::Insert(item)];
    changes.extend(key.map(|JobKey { name, digest }| {
        let pk = keys::export_keys(&scope.tenant);
        let named = [
            ("pk", text(&pk)),
            ("sk", text(name)),
            ("job", text(&job.id)),
            ("digest", text(digest)),
            ttl,
        ];
        Change::Insert(named.into())
    }));
    changes.push(places.take(&scope.tenant, &taken, &holders)?);
    changes.extend(with);
    let mut event = export_event(scope, job, "export.requested", &[], job.snapshot);
    event.actor = job.created_by.clone();
    event.details.get_or_insert_default().extend(asked(job));
    // A schedule has no name of its own; what it belongs to, and whose that is, has to be in the trail.
    event.reason = job.saved.as_ref().filter(|saved| saved.cause == Cause::Schedule).map(|saved| {
        let Origin { name, id, owner, .. } = saved;
        format!(
            "the schedule of the saved search \"{name}\" ({id}), saved by {}, asked for it",
            owner.shown()
        )
    });
    match scope.commit(vec![event], None, &job.recorded_by, changes).await? {
        Commit::Done(_) => Ok(Some(Begun::New(Box::new(stored)))),
        Commit::Stale | Commit::Taken(_) => Ok(None),
    }
}

/// Of those that took a place, the jobs that are still under way.
async fn under_way(
    scope: &TenantScope<'_>,
    taken: &Taken,
    are_scheduled: bool,
) -> Result<Vec<Holder>, ReadError> {
    let is_under_way =
        |it: &StoredJob| it.progress.state.is_under_way() && is_scheduled(&it.job) == are_scheduled;
    if taken.is_new() {
        // Those that were begun before places were counted.
        let (jobs, _) = exports(scope, None).await?;
        let holder = |it: StoredJob| Holder { id: it.job.id, by: Some(it.job.recorded_by.sub) };
        return Ok(jobs.into_iter().filter(is_under_way).map(holder).collect());
    }
    let reads = taken.holders.iter().map(async |holder| {
        let job = export(scope, &holder.id).await?;
        Ok::<_, ReadError>(job.filter(is_under_way).map(|_| holder.clone()))
    });
    let held: Vec<Option<Holder>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    Ok(held.into_iter().flatten().collect())
}

/// An event about a job. `about` tells it from others of that action about the same job.
pub fn export_event(
    scope: &TenantScope<'_>,
    job: &Job,
    action: &'static str,
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
    event.details = job.told();
    event
}

/// The job of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn export(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredJob>, ReadError> {
    let item = scope.database.state_item(keys::exports(&scope.tenant), id, scope.deadline).await?;
    Ok(item.map(StoredJob::of).transpose()?)
}

/// Jobs, the newest first, from `before` on; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn exports(
    scope: &TenantScope<'_>,
    before: Option<&str>,
) -> Result<(Vec<StoredJob>, bool), ReadError> {
    let (items, goes_on) =
        scope.state_page(keys::exports(&scope.tenant), None, before, false).await?;
    let jobs = items.into_iter().map(StoredJob::of).collect::<Result<_, _>>()?;
    Ok((jobs, goes_on))
}

/// Makes a job what `next` is; none where it is not as `before` any more, and then nothing was done.
///
/// # Errors
/// The storage did not answer. It may be done or not.
pub async fn advance_export(
    scope: &TenantScope<'_>,
    before: &StoredJob,
    next: Next,
) -> Result<Option<StoredJob>, ReadError> {
    let next = before.becoming(next);
    let mut is_repeated = false;
    if scope.database.alone(next.update(&scope.tenant)?, scope.deadline, &mut is_repeated).await? {
        return Ok(Some(next));
    }
    // An attempt that looked like a failure may have done it.
    if is_repeated && export(scope, &next.job.id).await?.as_ref() == Some(&next) {
        return Ok(Some(next));
    }
    Ok(None)
}

/// The same with an event that tells of it, both or neither.
///
/// # Errors
/// The storage did not answer. It may be done or not.
pub async fn conclude_export(
    scope: &TenantScope<'_>,
    before: &StoredJob,
    next: Next,
    event: Event,
    by: &RecordedBy,
) -> Result<Option<StoredJob>, ReadError> {
    let next = before.becoming(next);
    match scope.commit(vec![event], None, by, vec![next.update(&scope.tenant)?]).await? {
        Commit::Done(_) => Ok(Some(next)),
        Commit::Stale | Commit::Taken(_) => Ok(None),
    }
}

/// Until when what belongs to a job is kept, as TTL counts.
pub fn kept_until(scope: &TenantScope<'_>) -> String {
    scope.now.plus(scope.settings.kept_at(scope.now)).seconds().to_string()
}

/// What the trail tells of a job: all that was asked for, in clear.
fn asked(job: &Job) -> Map<String, Value> {
    match serde_json::to_value(&job.asked) {
        Ok(Value::Object(asked)) => {
            asked.into_iter().filter(|(_, value)| !value.is_null()).collect()
        }
        Ok(_) | Err(_) => Map::new(),
    }
}

/// A job that something is to be done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// When.
    pub at: Instant,
}

/// The jobs that are due until a time, the first due first.
///
/// # Errors
/// The storage did not answer.
pub async fn due_exports(
    database: &Database,
    until: Instant,
    deadline: tokio::time::Instant,
) -> Result<Vec<Due>, ReadError> {
    let page = database.due_page(keys::EXPORTS_DUE, until, None, None, deadline).await?;
    let read = |item: Item| {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        let tenant = keys::tenant_of_exports(text("pk")?)?;
        Some(Due { tenant, id: text("sk")?.clone(), at: text("due_at")?.parse().ok()? })
    };
    Ok(page.items.into_iter().filter_map(read).collect())
}
