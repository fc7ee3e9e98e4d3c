//! How far is a stream? Who works on it?
//!
//! What a stream is stands in its document, and how far it is in attributes beside it: people change the one, from the document's generation, and
//! who works on it the other, from a step. Neither waits for the other. Who works on a stream has it until the time under which it stands in the
//! queue.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared_domain::findings::finding_event::finding_event;
use tokio::time::Instant as Deadline;

use crate::access_projection::recorder;
use shared_domain::{
    findings::{checkpoints, rules},
    streams::stream::{self, Answered, Progress, Stream, Test, TestState},
    time::timestamp::Instant,
    trail::{
        event::{Actor, Event, EventId, Party, Tenant},
        filter::Filter,
    },
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    Database, ReadError, TenantScope,
    documents::{DueDocument, Kind},
    event_item::{Damaged, Item},
    feed::Wants,
    keys,
    transaction::{Attribute, Change, Commit},
};

/// A stream as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStream {
    /// Its id.
    pub id: String,
    /// What it is; none of one that was deleted.
    pub stream: Option<Stream>,
    /// How far it is.
    pub progress: Progress,
    /// The run that has it, if one has.
    pub run: Option<String>,
    /// When somebody is to work on it; until then the run that has it has it alone.
    pub due_at: Option<Instant>,
    /// The queue that it stands in.
    queue: Option<String>,
    /// How often people changed it.
    generation: u64,
    /// How often who worked on it changed something.
    step: u64,
}

/// What a stream becomes by a step.
#[derive(Clone, Debug)]
pub struct Next {
    /// How far it is then.
    pub progress: Progress,
    /// The run that has it then.
    pub run: Option<String>,
    /// When somebody is to work on it.
    pub due: Due,
}

/// When somebody is to work on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// When it was.
    AsBefore,
    /// At that time.
    Awaited(Instant),
    /// Some time after it, unless somebody is called before.
    Rests(Instant),
    /// Never.
    Never,
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl StoredStream {
    fn of(mut item: Item) -> Result<Self, Damaged> {
        let mut take = |name| match item.remove(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text),
            _ => None,
        };
        let id = take("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&id, attribute);
        let content = take("content").map(|json| serde_json::from_str::<Option<Stream>>(&json));
        let progress = take("progress").map(|json| serde_json::from_str(&json));
        Ok(Self {
            stream: content.transpose().map_err(|_| damaged("content"))?.flatten(),
            progress: progress.transpose().map_err(|_| damaged("progress"))?.unwrap_or_default(),
            run: take("run"),
            due_at: take("due_at").and_then(|at| at.parse().ok()),
            queue: take("due"),
            generation: take("generation")
                .and_then(|it| it.parse().ok())
                .ok_or_else(|| damaged("generation"))?,
            step: take("step").and_then(|step| step.parse().ok()).ok_or_else(|| damaged("step"))?,
            id,
        })
    }

    /// Whether a run has it and may still be at work.
    pub fn is_held(&self, now: Instant) -> bool {
        self.run.is_some() && self.due_at.is_some_and(|due_at| now < due_at)
    }

    /// Which events it sends.
    ///
    /// # Errors
    /// The filter is not what this version reads, which it was when the stream was configured.
    pub fn wants(&self) -> Result<Wants, ReadError> {
        let Some(Stream { filter, include_service, .. }) = &self.stream else {
            return Ok(Wants::default());
        };
        let filter = filter.as_deref().map(Filter::read).transpose();
        let filter = filter.map_err(|_| Damaged::new(&self.id, "content"))?;
        Ok(Wants { filter, words: None, include_service: *include_service })
    }

    /// Whether people asked for something that who knew it as `before` has not done: they changed it, or want a test.
    pub fn is_asked_for(&self, before: &Self) -> bool {
        let test = self.progress.test.as_ref();
        self.generation != before.generation
            || test.is_some_and(|test| test.state == TestState::Waiting)
    }

    /// Whether it has a time of its own, before which nobody has to come: its target fails, or events gather for a file.
    pub fn has_its_time(&self) -> bool {
        self.progress.attempts > 0 || self.progress.gathers
    }

    fn becoming(&self, tenant: &Tenant, next: Next) -> Self {
        let Next { progress, run, due } = next;
        let (queue, due_at) = match due {
            Due::AsBefore => (self.queue.clone(), self.due_at),
            Due::Awaited(at) => {
                (Some(keys::documents_due(Kind::Stream, tenant, &self.id)), Some(at))
            }
            Due::Rests(at) => (Some(keys::stream_rests(tenant, &self.id)), Some(at)),
            Due::Never => (None, None),
        };
        Self { progress, run, due_at, queue, step: self.step + 1, ..self.clone() }
    }
}

/// The stream of that id, one that was deleted as well.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn stream(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredStream>, ReadError> {
    let item = scope
        .database
        .state_item(keys::documents(Kind::Stream, &scope.tenant), id, scope.deadline)
        .await?;
    Ok(item.map(StoredStream::of).transpose()?)
}

/// The streams in the order of their ids, those after `after`; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn streams(
    scope: &TenantScope<'_>,
    after: Option<&str>,
) -> Result<(Vec<StoredStream>, bool), ReadError> {
    let (items, goes_on) =
        scope.state_page(keys::documents(Kind::Stream, &scope.tenant), None, after, true).await?;
    Ok((items.into_iter().map(StoredStream::of).collect::<Result<_, _>>()?, goes_on))
}

/// A stream as it is answered; none of one that was deleted.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn answered_stream(
    scope: &TenantScope<'_>,
    stored: &StoredStream,
) -> Result<Option<Answered>, ReadError> {
    let Some(stream) = &stored.stream else { return Ok(None) };
    let progress = stored.progress.clone().of(stream);
    let oldest = scope.recorded_after(&progress.after(stream), &stored.wants()?).await?;
    Ok(Some(Answered::new(&stored.id, stream, progress, stored.due_at, oldest, scope.now)))
}

/// The streams that wait for what is recorded: somebody is to work on them as soon as something was.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn streams_to_wake(scope: &TenantScope<'_>) -> Result<Vec<String>, ReadError> {
    let (mut waking, mut after) = (Vec::new(), None::<String>);
    loop {
        let pk = keys::documents(Kind::Stream, &scope.tenant);
        let (items, goes_on) = scope.state_page(pk, None, after.as_deref(), true).await?;
        for item in items {
            after = item.get("sk").and_then(|id| id.as_s().ok()).cloned();
            match StoredStream::of(item) {
                Ok(it) if it.stream.is_some() && !it.has_its_time() && !it.is_held(scope.now) => {
                    waking.push(it.id)
                }
                Ok(_) => {}
                // One that cannot be read must not hold up the others.
                Err(error) => {
                    tracing::error!(%error, "a stream of {} cannot be read: {error}", scope.tenant)
                }
            }
        }
        if !goes_on {
            return Ok(waking);
        }
    }
}

/// Makes a stream what `next` is; none where somebody else made a step meanwhile, and then nothing was done.
///
/// # Errors
/// The storage did not answer. It may be done or not.
pub async fn advance_stream(
    scope: &TenantScope<'_>,
    before: &StoredStream,
    next: Next,
) -> Result<Option<StoredStream>, ReadError> {
    let next = before.becoming(&scope.tenant, next);
    let mut is_repeated = false;
    if scope
        .database
        .alone(step_of(scope, before, &next)?, scope.deadline, &mut is_repeated)
        .await?
    {
        return Ok(Some(next));
    }
    // An attempt that looked like a failure may have done it.
    let there = if is_repeated { stream(scope, &next.id).await? } else { None };
    let is_done = there.is_some_and(|it| {
        (it.step, &it.run, &it.progress) == (next.step, &next.run, &next.progress)
    });
    Ok(is_done.then_some(next))
}

/// The same, and the trail tells that the stream is paused, or goes on: the event, and its finding. Both or neither.
///
/// # Errors
/// The storage did not answer. It may be done or not.
pub async fn tell_of_stream(
    scope: &TenantScope<'_>,
    before: &StoredStream,
    mut next: Next,
) -> Result<Option<StoredStream>, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let events = match next.progress.paused_at {
            None => {
                next.progress.paused_at = Some(scope.now);
                next.progress.pauses += 1;
                paused(scope, before, &next.progress)
            }
            Some(_) => {
                next.progress.paused_at = None;
                // Not by how much was sent, which a replay counts anew.
                let why = match (
                    &before.stream,
                    before.progress.last_sent_at < next.progress.last_sent_at,
                ) {
                    (None, _) => "the stream was deleted",
                    (Some(_), true) => "the target takes what is sent",
                    (Some(_), false) => "what the target did not take is not to be sent any more",
                };
                vec![stream_finding(scope, "finding.withdrawn", before, &next.progress, why)]
            }
        };
        let done = before.becoming(&scope.tenant, next.clone());
        let change = step_of(scope, before, &done)?;
        match scope.commit(events, None, &recorder(), vec![change]).await? {
            Commit::Done(_) => return Ok(Some(done)),
            Commit::Stale => return Ok(None),
            // The state was restored from a backup, and the trail is ahead of it: that round is told already.
            Commit::Taken(_) if next.progress.paused_at.is_none() => {
                return advance_stream(scope, before, next).await;
            }
            Commit::Taken(_) => {
                pauses.after_conflict(format!("stream {:?}", before.id)).await?;
                next.progress.paused_at = None;
            }
        }
    }
}

/// Asks for a test message to the target of a stream, which whoever works on it next sends. None where there is no such stream.
///
/// # Errors
/// The storage did not answer. It may be asked for or not.
pub async fn ask_for_stream_test(
    scope: &TenantScope<'_>,
    id: &str,
    asked_by: &str,
) -> Result<Option<StoredStream>, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let Some(before) = stream(scope, id).await?.filter(|it| it.stream.is_some()) else {
            return Ok(None);
        };
        let test = Test {
            state: TestState::Waiting,
            asked_by: asked_by.to_owned(),
            asked_at: scope.now,
            sent_at: None,
            error: None,
        };
        let progress = Progress { test: Some(test), ..before.progress.clone() };
        let next = Next { progress, run: before.run.clone(), due: Due::AsBefore };
        match advance_stream(scope, &before, next).await? {
            Some(next) => return Ok(Some(next)),
            None => pauses.after_conflict(format!("stream {id:?}")).await?,
        }
    }
}

/// What makes `next` of what stands there as `before`.
fn step_of(
    scope: &TenantScope<'_>,
    before: &StoredStream,
    next: &StoredStream,
) -> Result<Change, Damaged> {
    let progress =
        serde_json::to_string(&next.progress).map_err(|_| Damaged::new(&next.id, "progress"))?;
    let mut set: Vec<Attribute> = vec![("progress", text(&progress)), ("step", number(next.step))];
    set.extend(next.run.as_ref().map(|run| ("run", text(run))));
    set.extend(next.queue.as_ref().map(|queue| ("due", text(queue))));
    set.extend(next.due_at.map(|at| ("due_at", text(&at.to_string()))));
    let remove: &[&str] = match (&next.run, next.due_at) {
        (Some(_), Some(_)) => &[],
        (None, Some(_)) => &["run"],
        (Some(_), None) => &["due", "due_at"],
        (None, None) => &["run", "due", "due_at"],
    };
    // One that is taken out of its queue must not have become another meanwhile, which would stand in none.
    let expected = match next.due_at {
        Some(_) => ("step", number(before.step)),
        None => ("generation", number(before.generation)),
    };
    Ok(Change::Update {
        key: [keys::documents(Kind::Stream, &scope.tenant), next.id.clone()],
        set,
        remove,
        expected,
    })
}

/// What the trail tells of a stream that is paused: that, and the finding by which somebody learns of it.
fn paused(scope: &TenantScope<'_>, stored: &StoredStream, progress: &Progress) -> Vec<Event> {
    let action = "stream.paused";
    let id =
        EventId::of_service(&scope.tenant, action, &[&stored.id, &progress.pauses.to_string()]);
    let mut event = Event::of_service(id, &scope.tenant, action, scope.now, Actor::system());
    event.target = Some(named(&stored.id));
    let error = progress.error.clone().unwrap_or_default();
    event.reason = Some(error.clone());
    let details = json!({
        "attempts": progress.attempts, "failing_since": progress.failing_since,
        "place": progress.place.as_ref().map(|place| place.at),
    });
    event.details = details.as_object().cloned();
    let why = format!(
        "nothing gets through to stream {}: {error}; its place is kept, and it is tried again",
        stored.id
    );
    vec![event, stream_finding(scope, "finding.raised", stored, progress, &why)]
}

fn stream_finding(
    scope: &TenantScope<'_>,
    action: &str,
    stored: &StoredStream,
    progress: &Progress,
    why: &str,
) -> Event {
    let finding = checkpoints::finding_id(&scope.tenant, stream::PAUSED, &stored.id);
    let mut details =
        json!({"rule": stream::PAUSED, "round": progress.pauses, "stream": stored.id});
    if action == "finding.raised" {
        let paused = EventId::of_service(
            &scope.tenant,
            "stream.paused",
            &[&stored.id, &progress.pauses.to_string()],
        );
        details["severity"] = json!(rules::rule_of(stream::PAUSED).map(|rule| rule.severity));
        details["evidence"] = json!([paused]);
    }
    finding_event(
        &scope.tenant,
        scope.now,
        action,
        &finding,
        &[progress.pauses],
        why,
        details,
        |_| {},
    )
}

/// The streams that nobody was called for although it is time: they rested for long, or whoever worked on them died. Those that are awaited are
/// [`Database::due_documents`].
///
/// # Errors
/// The storage did not answer.
pub async fn streams_that_rested(
    database: &Database,
    until: Instant,
    deadline: Deadline,
) -> Result<Vec<DueDocument>, Unavailable> {
    database.due_in(keys::stream_rests_in, Kind::Stream, until, deadline).await
}

/// How events name a stream.
pub fn named(id: &str) -> Party {
    Party { kind: Some("stream".to_owned()), id: Some(id.to_owned()), name: None, email: None }
}
