//! The configuration and progress of connections, and their leases.
//!
//! The configuration of a connection is the content of its document; its progress is in an attribute
//! of the same item. People change the configuration on condition of the generation. Runs change the
//! progress on condition of the step. Neither waits for the other.

pub mod people;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared_domain::{
    collect::{
        connection_answer::ConnectionAnswer,
        progress::{ConnectionTest, ConnectionTestState, GAP, Gap, Progress},
        source::Source,
    },
    configuration::{connection::Connection, document::Document},
    findings::{checkpoints, finding_event::finding_event, rules},
    identity::caller::{Caller, Permission},
    time::timestamp::Instant,
    trail::{
        actions::{ConfigurationAction, FindingAction},
        event::{Actor, Event, EventId, Tenant},
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    ReadError, TenantScope,
    attributes::number,
    event_item::Damaged,
    keys,
    lease::{Content, Leased, Queued, json},
    partitions::Partition,
    transaction::{Change, Commit},
};

use crate::access_projection::recorder;

/// A connection as it was read.
pub type StoredConnection = Leased<ConnectionContent>;

/// What is stored of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionContent {
    /// The configuration; none for a deleted connection.
    #[serde(rename = "content", default, with = "json")]
    pub connection: Option<Connection>,
    /// How far it is.
    #[serde(default, with = "json")]
    pub progress: Progress,
    /// Number of changes of the configuration.
    pub generation: u64,
}

impl Content for ConnectionContent {
    const FIXED: &'static [&'static str] = &["content", "generation"];
    const CHANGING: &'static [&'static str] = &["progress"];
    const GENERATION: &'static str = "step";
}

/// The next state of a connection.
#[derive(Clone, Debug)]
pub struct Next {
    pub progress: Progress,
    pub run: Option<String>,
    /// When it is due, or when the lease of the run ends. None if it is never due again.
    pub due_at: Option<Instant>,
}

/// Who imports what a connection collects.
pub fn collector(tenant: &Tenant, connection: &str) -> Caller {
    Caller {
        tenants: vec![tenant.clone()],
        permissions: vec![Permission::Write],
        sub: "jit-audit/collect".to_owned(),
        email: None,
        client_id: Some(connection.to_owned()),
        is_machine: true,
        names: Vec::new(),
    }
}

/// The connection with that id, even if it was deleted.
pub async fn connection(
    scope: &TenantScope<'_>,
    id: &str,
) -> Result<Option<StoredConnection>, ReadError> {
    let pk = keys::documents(Connection::KIND, &scope.tenant);
    StoredConnection::read(scope.database, pk, id, scope.deadline).await
}

/// Connections after `after` by id, and whether there may be more.
pub async fn connections(
    scope: &TenantScope<'_>,
    after: Option<&str>,
) -> Result<(Vec<StoredConnection>, bool), ReadError> {
    let partition = Partition::new(keys::documents(Connection::KIND, &scope.tenant));
    let page = scope.page(&partition, after).await?;
    let connections = page.items.into_iter().map(StoredConnection::of).collect::<Result<_, _>>()?;
    Ok((connections, page.next.is_some()))
}

/// A connection in an API response; none if it was deleted.
pub fn answered(stored: &StoredConnection) -> Option<ConnectionAnswer> {
    let connection = stored.connection.as_ref()?;
    let (version, progress) = (stored.content.generation, stored.progress.clone());
    Some(ConnectionAnswer::new(&stored.id, connection, version, progress))
}

fn after(before: &StoredConnection, next: Next) -> StoredConnection {
    let Next { progress, run, due_at } = next;
    let queue = || keys::documents_due(Connection::KIND, &before.tenant, &before.id);
    let queued = due_at.map(|at| Queued { queue: queue(), at });
    before.next(ConnectionContent { progress, ..before.content.clone() }, run, queued)
}

/// The change from `before` to `next`.
fn step(before: &StoredConnection, next: &StoredConnection) -> Result<Change, Damaged> {
    match next.queued {
        Some(_) => next.change(before),
        // A connection that leaves its queue must not be reconfigured concurrently; otherwise the
        // new configuration would be in no queue.
        None => next.change_expecting(("generation", number(before.content.generation))),
    }
}

/// Stores the next state of a connection. None after a concurrent change; then nothing is stored.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn advance(
    scope: &TenantScope<'_>,
    before: &StoredConnection,
    next: Next,
) -> Result<Option<StoredConnection>, ReadError> {
    let next = after(before, next);
    let mut is_repeated = false;
    let change = step(before, &next)?;
    if scope.database.alone(change, scope.deadline, &mut is_repeated).await? {
        return Ok(Some(next));
    }
    // An attempt that seemed to fail may have been stored.
    let there = if is_repeated { connection(scope, &next.id).await? } else { None };
    let is_done = there.is_some_and(|it| {
        (it.generation(), &it.run, &it.progress) == (next.generation(), &next.run, &next.progress)
    });
    Ok(is_done.then_some(next))
}

/// Like [`advance`], together with the event and the finding about records that are missing, in one
/// transaction.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn advance_with_gap(
    scope: &TenantScope<'_>,
    before: &StoredConnection,
    mut next: Next,
    source: Source,
    gap: &Gap,
) -> Result<Option<StoredConnection>, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        next.progress.gaps += 1;
        let events = gap_events(scope, before, next.progress.gaps, source, gap);
        let done = after(before, next.clone());
        let change = step(before, &done)?;
        match scope.commit(events, None, &recorder(), vec![change]).await? {
            Commit::Done(_) => return Ok(Some(done)),
            Commit::Stale => return Ok(None),
            // The state was restored from a backup and the trail is ahead of it, or the connection
            // was deleted and made again: that number is taken.
            Commit::Taken(_) => {
                pauses.after_conflict(format!("connection {:?}", before.id)).await?;
            }
        }
    }
}

fn gap_events(
    scope: &TenantScope<'_>,
    stored: &StoredConnection,
    number: u32,
    source: Source,
    gap: &Gap,
) -> Vec<Event> {
    let tenant = &scope.tenant;
    let action = ConfigurationAction::ConnectionGap;
    let id = EventId::of_service(tenant, action, &[&stored.id, &number.to_string()]);
    let mut event = Event::of_service(id.clone(), tenant, action, scope.now, Actor::system());
    event.target = Some(Connection::shown(&stored.id, stored.connection.as_ref()));
    let why =
        format!("{source} from {} to {} may be incomplete: {}", gap.from, gap.until, gap.reason);
    event.reason = Some(why.clone());
    let details = json!({"source": source, "from": gap.from, "until": gap.until});
    event.details = details.as_object().cloned();
    let finding = checkpoints::finding_id(tenant, GAP, &format!("{} {number}", stored.id));
    let details = json!({
        "rule": GAP, "round": 1, "connection": stored.id, "evidence": [id],
        "severity": rules::rule_of(GAP).map(|rule| rule.severity),
    });
    let why = format!("connection {}: {why}", stored.id);
    let raised = finding_event(
        tenant,
        scope.now,
        FindingAction::Raised,
        &finding,
        &[1],
        &why,
        details,
        |_| {},
    );
    vec![event, raised]
}

/// Requests a test of a connection. The next run does it. None if the connection does not exist.
///
/// # Errors
/// After an error, the change may or may not be stored.
pub async fn ask_for_test(
    scope: &TenantScope<'_>,
    id: &str,
    asked_by: &str,
) -> Result<Option<StoredConnection>, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let Some(before) = connection(scope, id).await?.filter(|it| it.connection.is_some()) else {
            return Ok(None);
        };
        let test = ConnectionTest {
            state: ConnectionTestState::Waiting,
            asked_by: asked_by.to_owned(),
            asked_at: scope.now,
            done_at: None,
            error: None,
            sources: Vec::new(),
        };
        let progress = Progress { test: Some(test), ..before.progress.clone() };
        let next = Next { progress, run: before.run.clone(), due_at: before.due_at() };
        match advance(scope, &before, next).await? {
            Some(next) => return Ok(Some(next)),
            None => pauses.after_conflict(format!("connection {id:?}")).await?,
        }
    }
}
