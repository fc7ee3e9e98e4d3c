//! Processes a batch of the events stream. A batch may be delivered again and in another order; the
//! results do not depend on that.

use shared::services::access_projection;
use shared::services::alert_outbox;
use shared::services::streams;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::{
    domain::{
        time::timestamp::Instant,
        trail::{
            actions::{Action, ExportAction, FindingAction},
            event::{Recorded, Tenant},
        },
    },
    platform::{backoff::Unavailable, metrics::Metric},
    services::access_projection::recorder,
    storage::{ReadError, TenantScope, event_item, keys},
};
use tokio::time::Instant as Deadline;

use crate::Watch;

/// Part of the invocation's time that is reserved for work in progress.
const MARGIN: Duration = Duration::from_secs(5);

/// A tenant's share of the time of a batch.
const SHARE: Duration = Duration::from_secs(5);
/// Timeout for starting the deliveries of all streams.
const WAKING: Duration = Duration::from_secs(5);
/// Tenants that are processed in parallel.
const AT_ONCE: usize = 8;

/// What a batch leaves to later runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchOutcome {
    pub queued: usize,
    /// Events that exceeded their tenant's share of the time and were deferred.
    pub put_off: usize,
    /// Events that were recorded too late for readers of the feed.
    pub late: usize,
}

/// Processes the events of a batch, and queues alerts for its findings and finished exports.
/// Tenants are processed in parallel, each with its share of the time, so none waits for another.
///
/// # Errors
/// The storage did not answer. Lambda has to deliver the batch again.
pub async fn take(
    function: &Watch,
    records: &[Value],
    end: Deadline,
) -> Result<BatchOutcome, Unavailable> {
    let mut events: HashMap<Tenant, Vec<Recorded>> = HashMap::new();
    for record in records.iter().filter(|record| record["eventName"] == "INSERT") {
        match event_item::of_image(&record["dynamodb"]["NewImage"]) {
            Ok(recorded) => events.entry(recorded.event.tenant.clone()).or_default().push(recorded),
            // A record that cannot be read never will be, and must not block those after it.
            Err(error) => {
                function.put_aside(&record["dynamodb"]["Keys"]["pk"]["S"], &error.into()).await?
            }
        }
    }
    let deadline = end - MARGIN;
    let last = |events: &Vec<Recorded>| events.iter().map(|it| it.recorded_at).max();
    let reached: Vec<(Tenant, Instant)> = events
        .iter()
        .filter_map(|(tenant, events)| Some((tenant.clone(), last(events)?)))
        .collect();
    let taking =
        events.into_iter().map(|(tenant, events)| take_from(function, tenant, events, deadline));
    // Finish all tenants before the failure of one causes the batch to be delivered again.
    let outcomes: Vec<_> = stream::iter(taking).buffer_unordered(AT_ONCE).collect().await;
    let mut all = BatchOutcome::default();
    for outcome in outcomes {
        let BatchOutcome { queued, put_off, late } = outcome?;
        all.queued += queued;
        all.put_off += put_off;
        all.late += late;
    }
    // This has to be last. If the batch is delivered again, readers must not have passed its
    // events.
    let passing = reached.into_iter().map(|(tenant, to)| let_pass(function, tenant, to, deadline));
    stream::iter(passing).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    // Most batches have neither.
    if all.late > 0 || all.put_off > 0 {
        function
            .metrics
            .emit(&[Metric::count("LateEvents", all.late), Metric::count("PutOff", all.put_off)]);
    }
    Ok(all)
}

/// Allows readers of a tenant's feed to read up to `to`.
async fn let_pass(
    function: &Watch,
    tenant: Tenant,
    to: Instant,
    deadline: Deadline,
) -> Result<(), Unavailable> {
    let passed = async {
        let scope =
            function.database.scope(&tenant, function.database.clock().now(), deadline).await?;
        scope.let_pass(to).await
    };
    match passed.await {
        Ok(()) => Ok(()),
        Err(ReadError::Unavailable(error)) => Err(error),
        Err(error) => function.put_aside(&Value::from(tenant.as_str()), &error).await,
    }
}

/// Processes one tenant's events of a batch.
async fn take_from(
    function: &Watch,
    tenant: Tenant,
    events: Vec<Recorded>,
    deadline: Deadline,
) -> Result<BatchOutcome, Unavailable> {
    let now = function.database.clock().now();
    let scope = match function.database.scope(&tenant, now, deadline).await {
        Ok(scope) => scope,
        Err(ReadError::Unavailable(error)) => return Err(error),
        Err(error) => {
            function.put_aside(&Value::from(tenant.as_str()), &error).await?;
            return Ok(BatchOutcome::default());
        }
    };
    let is_for_alerts = |it: &&Recorded| {
        matches!(
            it.event.action,
            Action::Finding(FindingAction::Raised | FindingAction::Updated)
                | Action::Export(ExportAction::Ready | ExportAction::Failed)
        )
    };
    let for_alerts: Vec<Recorded> = events.iter().filter(is_for_alerts).cloned().collect();
    let mut outcome = BatchOutcome::default();
    scope.mark_days_of(&events).await?;
    match scope.record_shorter_retention(&recorder()).await {
        Ok(()) => {}
        Err(ReadError::Unavailable(error)) => return Err(error),
        Err(error) => function.put_aside(&Value::from(tenant.as_str()), &error).await?,
    }
    let following = tokio::time::timeout(SHARE, follow(function, &scope, events.clone()));
    let (followed, listed) = tokio::join!(following, scope.list_late(&events));
    match listed {
        Ok(late) => outcome.late = late,
        Err(ReadError::Unavailable(error)) => return Err(error),
        Err(error) => function.put_aside(&Value::from(tenant.as_str()), &error).await?,
    }
    match followed {
        Ok(followed) => followed?,
        Err(_) => {
            tracing::warn!(
                "{} events of {tenant} exceed its share of the batch's time and are deferred",
                events.len()
            );
            outcome.put_off = events.len();
            match access_projection::follow_in_a_while(&scope, &events).await {
                Ok(()) => {}
                Err(ReadError::Unavailable(error)) => return Err(error),
                Err(error) => function.put_aside(&Value::from(tenant.as_str()), &error).await?,
            }
        }
    }
    for event in for_alerts {
        let alerts = match event.event.action {
            Action::Finding(_) => alert_outbox::queue_alerts(&scope, &event).await,
            _ => alert_outbox::queue_report_alerts(&scope, &event).await,
        };
        match alerts {
            Ok(count) => outcome.queued += count,
            Err(ReadError::Unavailable(error)) => return Err(error),
            Err(error) => function.put_aside(&Value::from(event.event.id.as_str()), &error).await?,
        }
    }
    Ok(outcome)
}

/// Starts the streams that wait for new events, of all tenants in the batch. This takes a few
/// seconds at most, beside the batch; the schedule starts a stream that was missed some minutes
/// later.
pub async fn wake_streams(function: &Watch, records: &[Value]) {
    let tenant =
        |record: &Value| Some(keys::read_event(record["dynamodb"]["Keys"]["pk"]["S"].as_str()?)?.0);
    let tenants: HashSet<Tenant> = records.iter().filter_map(tenant).collect();
    let wake = async |tenant: Tenant| {
        let (now, deadline) = (function.database.clock().now(), Deadline::now() + WAKING);
        let woken = async {
            let scope = function.database.scope(&tenant, now, deadline).await?;
            for id in streams::streams_to_wake(&scope).await? {
                function.wake_stream(&tenant, &id).await;
            }
            Ok::<_, ReadError>(())
        };
        if let Err(error) = woken.await {
            tracing::warn!(%error, "reading which streams of {tenant} wait failed: {error}");
        }
    };
    let waking = stream::iter(tenants).for_each_concurrent(AT_ONCE, wake);
    if tokio::time::timeout(WAKING, waking).await.is_err() {
        tracing::warn!("not all streams were started in time, the schedule will start the others");
    }
}

/// Updates the projections with these events. If stored data is damaged, each event is processed on
/// its own, so that one does not block the others.
pub(crate) async fn follow(
    function: &Watch,
    scope: &TenantScope<'_>,
    events: Vec<Recorded>,
) -> Result<(), Unavailable> {
    match access_projection::follow(scope, events.clone()).await {
        Ok(()) => return Ok(()),
        Err(ReadError::Unavailable(error)) => return Err(error),
        Err(ReadError::Damaged(_) | ReadError::TooLarge(_)) => {}
    }
    for recorded in events {
        let id = recorded.event.id.clone();
        match access_projection::follow(scope, vec![recorded]).await {
            Ok(()) => {}
            Err(ReadError::Unavailable(error)) => return Err(error),
            Err(error) => function.put_aside(&Value::from(id.as_str()), &error).await?,
        }
    }
    Ok(())
}

impl Watch {
    /// Sends something that cannot be processed to the dead-letter queue, for the operator. The
    /// event stays in the trail, and a rebuild processes it again.
    async fn put_aside(&self, what: &Value, error: &ReadError) -> Result<(), Unavailable> {
        tracing::error!(%error, "{what} of the events stream cannot be processed and goes to the dead-letter queue: {error}");
        let message = json!({"put_aside": what, "reason": error.to_string()});
        let sent = self.aws.send_message(&self.dead_letters, &message).await;
        sent.map_err(|error| {
            Unavailable(format!("the queue of what is put aside did not take it: {error}"))
        })
    }
}
