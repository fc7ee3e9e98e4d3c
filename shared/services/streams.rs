//! The configuration and progress of streams, and their leases.
//!
//! The configuration of a stream is the content of its document; its progress is in attributes of
//! the same item. People change the configuration on condition of the generation. Runs change the
//! progress on condition of the step. Neither waits for the other. A run holds the lease of a
//! stream until the stream's time in the queue.

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared_domain::findings::finding_event::finding_event;
use tokio::time::Instant as Deadline;

use crate::access_projection::recorder;
use shared_domain::{
    configuration::document::Document,
    findings::{checkpoints, rules},
    streams::{
        progress::{Progress, Test, TestState},
        stream::{self, Stream, StreamAnswer},
    },
    time::timestamp::Instant,
    trail::{
        actions::{ConfigurationAction, FindingAction},
        event::{Actor, Event, EventId},
        filter::Filter,
    },
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    Database, ReadError, TenantScope,
    attributes::number,
    event_item::Damaged,
    feed::Wants,
    keys,
    lease::{self, Content, Leased, Queued, json},
    partitions::Partition,
    transaction::{Change, Commit},
};

/// A stream as it was read.
pub type StoredStream = Leased<StreamContent>;

/// What is stored of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamContent {
    /// The configuration; none for a deleted stream.
    #[serde(rename = "content", default, with = "json")]
    pub stream: Option<Stream>,
    /// How far it is.
    #[serde(default, with = "json")]
    pub progress: Progress,
    /// Number of changes of the configuration.
    pub generation: u64,
}

impl Content for StreamContent {
    const FIXED: &'static [&'static str] = &["content", "generation"];
    const CHANGING: &'static [&'static str] = &["progress"];
    const GENERATION: &'static str = "step";
}

/// The next state of a stream.
#[derive(Clone, Debug)]
pub struct Next {
    pub progress: Progress,
    pub run: Option<String>,
    pub due: Due,
}

/// When a stream is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At the same time as before.
    AsBefore,
    /// At that time.
    Awaited(Instant),
    /// Some time after it, unless a run is invoked before.
    Rests(Instant),
    Never,
}

/// Which events a stream sends.
///
/// # Errors
/// The filter is not what this version reads, which it was when the stream was configured.
pub fn wants(stored: &StoredStream) -> Result<Wants, ReadError> {
    let Some(Stream { filter, include_service, .. }) = &stored.stream else {
        return Ok(Wants::default());
    };
    let filter = filter.as_deref().map(Filter::read).transpose();
    let filter = filter.map_err(|_| Damaged::new(&stored.id, "content"))?;
    Ok(Wants { filter, words: None, include_service: *include_service })
}

impl StreamContent {
    /// Whether people have requested something since `before` was read: a changed configuration or
    /// a test.
    pub fn is_asked_for(&self, before: &Self) -> bool {
        let test = self.progress.test.as_ref();
        self.generation != before.generation
            || test.is_some_and(|test| test.state == TestState::Waiting)
    }

    /// Whether the stream has to wait until its due time: its target fails, or events are collected
    /// for a file.
    pub fn has_its_time(&self) -> bool {
        self.progress.attempts > 0 || self.progress.gathers
    }
}

/// A stream after a step.
fn after(before: &StoredStream, next: Next) -> StoredStream {
    let Next { progress, run, due } = next;
    let (tenant, id) = (&before.tenant, &before.id);
    let queued = match due {
        Due::AsBefore => before.queued.clone(),
        Due::Awaited(at) => {
            Some(Queued { queue: keys::documents_due(Stream::KIND, tenant, id), at })
        }
        Due::Rests(at) => Some(Queued { queue: keys::stream_rests(tenant, id), at }),
        Due::Never => None,
    };
    let content = StreamContent { progress, ..before.content.clone() };
    before.next(content, run, queued)
}

/// The stream with that id, even if it was deleted.
pub async fn stream(scope: &TenantScope<'_>, id: &str) -> Result<Option<StoredStream>, ReadError> {
    let pk = keys::documents(Stream::KIND, &scope.tenant);
    StoredStream::read(scope.database, pk, id, scope.deadline).await
}

/// Streams after `after` by id, and whether there may be more.
pub async fn streams(
    scope: &TenantScope<'_>,
    after: Option<&str>,
) -> Result<(Vec<StoredStream>, bool), ReadError> {
    let partition = Partition::new(keys::documents(Stream::KIND, &scope.tenant));
    let page = scope.page(&partition, after).await?;
    let streams = page.items.into_iter().map(StoredStream::of).collect::<Result<_, _>>()?;
    Ok((streams, page.next.is_some()))
}

/// A stream in an API response; none if it was deleted.
pub async fn answered_stream(
    scope: &TenantScope<'_>,
    stored: &StoredStream,
) -> Result<Option<StreamAnswer>, ReadError> {
    let Some(stream) = &stored.stream else { return Ok(None) };
    let progress = stored.progress.clone().of(stream);
    let oldest = scope.recorded_after(&progress.after(stream), &wants(stored)?).await?;
    Ok(Some(StreamAnswer::new(&stored.id, stream, progress, stored.due_at(), oldest, scope.now)))
}

/// The streams that are due as soon as an event is recorded.
pub async fn streams_to_wake(scope: &TenantScope<'_>) -> Result<Vec<String>, ReadError> {
    let partition = Partition::new(keys::documents(Stream::KIND, &scope.tenant));
    let waking = |item| match StoredStream::of(item) {
        Ok(it) if it.stream.is_some() && !it.has_its_time() && !it.is_held(scope.now) => {
            Some(it.id)
        }
        Ok(_) => None,
        // An unreadable stream must not block the others.
        Err(error) => {
            tracing::error!(%error, "a stream of {} cannot be read: {error}", scope.tenant);
            None
        }
    };
    scope.all(&partition, waking).await
}

/// Stores the next state of a stream. None after a concurrent change; then nothing is stored.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn advance_stream(
    scope: &TenantScope<'_>,
    before: &StoredStream,
    next: Next,
) -> Result<Option<StoredStream>, ReadError> {
    let next = after(before, next);
    let mut is_repeated = false;
    let change = step(before, &next)?;
    if scope.database.alone(change, scope.deadline, &mut is_repeated).await? {
        return Ok(Some(next));
    }
    // An attempt that seemed to fail may have been stored.
    let there = if is_repeated { stream(scope, &next.id).await? } else { None };
    let is_done = there.is_some_and(|it| {
        // Who changes what the stream is makes no step.
        (it.generation(), &it.run, &it.progress) == (next.generation(), &next.run, &next.progress)
    });
    Ok(is_done.then_some(next))
}

/// Like [`advance_stream`], together with the events that the stream is paused or resumed and with
/// its finding, in one transaction.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn record_stream_event(
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
                // The number of sent events does not tell, because a replay resets it.
                let why = match (
                    &before.stream,
                    before.progress.last_sent_at < next.progress.last_sent_at,
                ) {
                    (None, _) => "the stream was deleted",
                    (Some(_), true) => "the target accepts events again",
                    (Some(_), false) => {
                        "the events that the target did not accept will not be sent any more"
                    }
                };
                vec![stream_finding(scope, FindingAction::Withdrawn, before, &next.progress, why)]
            }
        };
        let done = after(before, next.clone());
        let change = step(before, &done)?;
        match scope.commit(events, None, &recorder(), vec![change]).await? {
            Commit::Done(_) => return Ok(Some(done)),
            Commit::Stale => return Ok(None),
            // The state was restored from a backup and the trail is ahead of it: that round is
            // recorded already.
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

/// Requests a test message to the target of a stream. The next run sends it. None if the stream
/// does not exist.
///
/// # Errors
/// After an error, the change may or may not be stored.
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

/// The change from `before` to `next`.
fn step(before: &StoredStream, next: &StoredStream) -> Result<Change, Damaged> {
    match next.queued {
        Some(_) => next.change(before),
        // A stream that leaves its queue must not be reconfigured concurrently; otherwise the new
        // configuration would be in no queue.
        None => next.change_expecting(("generation", number(before.content.generation))),
    }
}

/// The events of a paused stream: the pause, and the finding that leads to an alert.
fn paused(scope: &TenantScope<'_>, stored: &StoredStream, progress: &Progress) -> Vec<Event> {
    let action = ConfigurationAction::StreamPaused;
    let id =
        EventId::of_service(&scope.tenant, action, &[&stored.id, &progress.pauses.to_string()]);
    let mut event = Event::of_service(id, &scope.tenant, action, scope.now, Actor::system());
    event.target = Some(Stream::shown(&stored.id, None));
    let error = progress.error.clone().unwrap_or_default();
    event.reason = Some(error.clone());
    let details = json!({
        "attempts": progress.attempts, "failing_since": progress.failing_since,
        "place": progress.place.as_ref().map(|place| place.at),
    });
    event.details = details.as_object().cloned();
    let why = format!(
        "no events reach the target of stream {}: {error}; the stream keeps its position and is retried",
        stored.id
    );
    vec![event, stream_finding(scope, FindingAction::Raised, stored, progress, &why)]
}

fn stream_finding(
    scope: &TenantScope<'_>,
    action: FindingAction,
    stored: &StoredStream,
    progress: &Progress,
    why: &str,
) -> Event {
    let finding = checkpoints::finding_id(&scope.tenant, stream::PAUSED, &stored.id);
    let mut details =
        json!({"rule": stream::PAUSED, "round": progress.pauses, "stream": stored.id});
    if action == FindingAction::Raised {
        let paused = EventId::of_service(
            &scope.tenant,
            ConfigurationAction::StreamPaused,
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

/// Streams that are overdue: no run was invoked for a long time, or a run died. Due streams with a
/// time of their own are in [`Database::due_documents`].
/// [`Database::due_documents`].
pub async fn streams_that_rested(
    database: &Database,
    until: Instant,
    deadline: Deadline,
) -> Result<Vec<lease::Due>, Unavailable> {
    database.all_due(keys::stream_rests_in, until, deadline).await
}
