//! Sessions, computed from their events: the list, and one session.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        access::{access_key::Key, access_record::Access, kept_events, session::Story},
        json::object_reader::NAME_BYTES,
        time::timestamp::Instant,
        trail::{
            actions::{RequestState, SessionAction},
            event::{EventId, Scope},
            position::Position,
            search::{Order, Range},
        },
        windows::window_answer::WindowAnswer,
    },
    http::{
        cursor::Binding,
        input::{Id, Query},
        output::{Json, List, Listed},
        pagination::{TIME_FOR_ONE_READ, limit},
        parameters::{Cursor, Limit, ZoneName},
        problem::Problem,
        read_audit::{self, Question},
        search_parameters::range,
    },
    services::{access_projection, windows},
    storage::{
        TenantScope,
        keys::{self, Lane, Part},
        list_events::{Index, Pace},
        projections::ProjectionKind,
    },
};
use tokio::time::Instant as Deadline;

use crate::routes::TenantCall;

/// Most sessions on a page. Each session takes a read of its own.
const MOST: usize = 100;
/// Most sessions that are read for a page of those in one state.
const MOST_READ: usize = 500;
/// Sessions that are read in parallel.
const AT_ONCE: usize = 8;

/// `GET /v1/sessions/{id}`: one session. 404 when the tenant's trail has no event of it.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<Session>, Problem> {
    let missing = || Problem::not_found("the tenant has no session with this id");
    let id = Some(id.as_str()).filter(|id| id.len() <= NAME_BYTES).ok_or_else(missing)?;
    session(scope, id, Uses::OfAccount).await?.map(Json).ok_or_else(missing)
}

/// The parameters of `GET /v1/sessions`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SessionsQuery {
    /// Only sessions requested at or after this time: RFC 3339, or a date or time in `tz`.
    pub since: Option<String>,
    /// Only sessions requested before this time. A date is its first moment.
    pub until: Option<String>,
    pub tz: Option<ZoneName>,
    /// Only sessions that are in this state now. A session that nobody decided by its planned end
    /// is `TIMED_OUT`.
    pub state: Option<RequestState>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/sessions`: the sessions requested in a time range, most recently requested first, or
/// those of them in one state.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<SessionsQuery>,
) -> Result<List<Session>, Problem> {
    let binding =
        Binding::new(&scope.tenant, reader, "sessions", &parameters.identity(&["limit", "cursor"]));
    let (range, limit, state) = parameters.check(|values, parameters| {
        let range = range(scope, parameters, Some(&binding));
        let range = Range { order: Order::Descending, ..range };
        Some((range, limit(parameters).min(MOST), values.state))
    })?;
    let page = page(scope, range, limit, state, &binding);
    read_audit::on_record(scope, reader.caller, Question::of_list("sessions", &parameters), page)
        .await
}

async fn page(
    scope: &TenantScope<'_>,
    range: Range,
    limit: usize,
    state: Option<RequestState>,
    binding: &Binding<'_>,
) -> Result<List<Session>, Problem> {
    let after = range.after.clone();
    let mut events = scope.list(Index::ByTime, range, Pace::Megabytes, &[Lane::Shown]);
    // The requests found so far, each with its position. The sessions of the first `read` are read.
    let mut ids: Vec<(String, Position)> = Vec::new();
    let (mut read, mut last, mut sessions) = (0, None, Vec::new());
    let next = loop {
        let room = limit - sessions.len();
        // Most sessions may be in another state than the wanted one, so some are read ahead.
        if ids.len() - read == if state.is_some() { room.max(AT_ONCE) } else { room } {
            sessions.extend(in_state(scope, &ids[read..], state).await?);
            read = ids.len();
            if sessions.len() >= limit || read >= MOST_READ {
                // If this read fails, return a cursor anyway: the next page finds out if there is
                // more.
                break if events.goes_on().await.unwrap_or(true) { last } else { None };
            }
        }
        // Before the first event of the first page there is no position to continue from.
        if Deadline::now() >= scope.deadline - 2 * TIME_FOR_ONE_READ
            && let Some(position) = events.position.take().or(after.clone())
        {
            break Some(position);
        }
        let Some(recorded) = events.next().await? else { break None };
        let position = Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() };
        let is_request = recorded.event.action == SessionAction::Created;
        if let Some(session) =
            recorded.event.session.filter(|session| is_request && session.scope == Scope::Session)
        {
            last = Some(position.clone());
            if !ids.iter().any(|(id, _)| *id == session.id) {
                ids.push((session.id, position));
            }
        }
    };
    sessions.extend(in_state(scope, &ids[read..], state).await?);
    let next = match sessions.get(limit - 1) {
        Some((_, position)) if sessions.len() > limit => Some(position.clone()),
        _ => next,
    };
    sessions.truncate(limit);
    let next = next.map(|position| binding.cursor(&position));
    Ok(List { items: sessions.into_iter().map(|(session, _)| session).collect(), next })
}

/// The sessions with these ids that are in a state, each with its position.
async fn in_state(
    scope: &TenantScope<'_>,
    ids: &[(String, Position)],
    state: Option<RequestState>,
) -> Result<Vec<(Session, Position)>, Problem> {
    let read: Vec<_> = ids.iter().map(|(id, _)| session(scope, id, Uses::Named)).collect();
    let read: Vec<Option<Session>> = stream::iter(read).buffered(AT_ONCE).try_collect().await?;
    let found = read.into_iter().zip(ids);
    let found = found.filter_map(|(session, (_, at))| Some((session?, at.clone())));
    Ok(found.filter(|(it, _)| state.is_none_or(|state| it.story.state == Some(state))).collect())
}

/// A session in a response.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Session {
    #[serde(flatten)]
    pub story: Story,
    /// The window that the session opened, in its current state.
    pub window: Option<WindowAnswer>,
    /// The ids of the findings about the session that are not closed.
    pub findings: Vec<String>,
}

impl Listed for Session {
    const LIST: &'static str = "sessions";
}

/// Which uses the timeline of a session contains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uses {
    /// Those that name the session.
    Named,
    /// Also those that name only its account, while the session has it.
    OfAccount,
}

/// Reads the session's events and summarizes them; `None` if there are none.
async fn session(
    scope: &TenantScope<'_>,
    id: &str,
    uses: Uses,
) -> Result<Option<Session>, Problem> {
    let index = Index::Involved {
        name: "by_session",
        key: "session_key",
        partition: keys::involved(&scope.tenant, Part::Id, id),
    };
    let always = Range {
        since: Instant::from_millis(i64::MIN),
        until: Instant::from_millis(i64::MAX),
        order: Order::Ascending,
        after: None,
    };
    let mut events = scope.list(index, always, Pace::Items(100), &[Lane::Shown]);
    let mut of_session = Vec::new();
    while let Some(recorded) = events.next().await? {
        // The index ignores case; session ids are case-sensitive.
        if recorded.event.session.as_ref().is_some_and(|session| session.id == id) {
            of_session.push(recorded);
        }
    }
    if of_session.is_empty() {
        return Ok(None);
    }
    let access =
        scope.projection(ProjectionKind::Access, &Key::Session(id.to_owned()).to_string()).await?;
    let access: Option<Access> = access.map(|access| access.read()).transpose()?;
    if let Some(access) =
        access.as_ref().filter(|access| uses == Uses::OfAccount && access.uses > 0)
    {
        let known: HashSet<&EventId> =
            of_session.iter().map(|recorded| &recorded.event.id).collect();
        let others: Vec<EventId> =
            access.events.iter().filter(|id| !known.contains(id)).cloned().collect();
        let others = scope.events_of(&others).await?.into_iter();
        of_session.extend(others.filter(|recorded| kept_events::is_use(&recorded.event)));
    }
    let people = access_projection::people_of_session(scope, &of_session).await?;
    let mut story = Story::of(id, of_session, &people);
    story.state = story.state_at(scope.now);
    let window = match &story.opened {
        Some(id) => windows::window(scope, id).await?.map(|it| it.window.answered(scope.now)),
        None => None,
    };
    let findings = access.iter().flat_map(Access::open_findings).map(str::to_owned).collect();
    Ok(Some(Session { story, window, findings }))
}
