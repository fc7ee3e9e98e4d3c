//! Sessions, computed from their events: the list, and one session.

use futures::{StreamExt, TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        access::{access_key::Key, access_record::Access, session::Story},
        json::object_reader::NAME_BYTES,
        time::timestamp::Instant,
        trail::{
            actions::SessionAction,
            event::Scope,
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
    services::windows,
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
/// Sessions that are read in parallel.
const AT_ONCE: usize = 8;

/// `GET /v1/sessions/{id}`: one session. 404 when the tenant's trail has no event of it.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<Session>, Problem> {
    let missing = || Problem::not_found("the tenant has no session with this id");
    let id = Some(id.as_str()).filter(|id| id.len() <= NAME_BYTES).ok_or_else(missing)?;
    session(scope, id).await?.map(Json).ok_or_else(missing)
}

/// The parameters of `GET /v1/sessions`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SessionsQuery {
    /// Only sessions requested at or after this time: RFC 3339, or a date or time in `tz`.
    pub since: Option<String>,
    /// Only sessions requested before this time. A date is its first moment.
    pub until: Option<String>,
    pub tz: Option<ZoneName>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/sessions`: the sessions requested in a time range, most recently requested first.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<SessionsQuery>,
) -> Result<List<Session>, Problem> {
    let limit = limit(&parameters)?.min(MOST);
    let binding =
        Binding::new(&scope.tenant, reader, "sessions", &parameters.identity(&["limit", "cursor"]));
    let range = Range { order: Order::Descending, ..range(scope, &parameters, Some(&binding))? };
    let page = page(scope, range, limit, &binding);
    read_audit::on_record(scope, reader.caller, Question::of_list("sessions", &parameters), page)
        .await
}

async fn page(
    scope: &TenantScope<'_>,
    range: Range,
    limit: usize,
    binding: &Binding<'_>,
) -> Result<List<Session>, Problem> {
    let after = range.after.clone();
    let mut events = scope.list(Index::ByTime, range, Pace::Megabytes, &[Lane::Shown]);
    let mut ids: Vec<String> = Vec::new();
    let mut last = None;
    let next = loop {
        if ids.len() == limit {
            // If this read fails, return a cursor anyway: the next page finds out if there is more.
            break if events.goes_on().await.unwrap_or(true) { last } else { None };
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
            if !ids.contains(&session.id) {
                ids.push(session.id);
            }
            last = Some(position);
        }
    };
    let sessions: Vec<_> = ids.iter().map(|id| session(scope, id)).collect();
    let sessions: Vec<Option<Session>> =
        stream::iter(sessions).buffered(AT_ONCE).try_collect().await?;
    let next = next.map(|position| binding.cursor(&position));
    Ok(List { items: sessions.into_iter().flatten().collect(), next })
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

/// Reads the session's events and summarizes them; `None` if there are none.
async fn session(scope: &TenantScope<'_>, id: &str) -> Result<Option<Session>, Problem> {
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
    let mut story = Story::of(id, of_session);
    story.state = story.state_at(scope.now);
    let window = match &story.opened {
        Some(id) => windows::window(scope, id).await?.map(|it| it.window.answered(scope.now)),
        None => None,
    };
    let access =
        scope.projection(ProjectionKind::Access, &Key::Session(id.to_owned()).to_string()).await?;
    let access: Option<Access> = access.map(|access| access.read()).transpose()?;
    let findings = access.iter().flat_map(Access::open_findings).map(str::to_owned).collect();
    Ok(Some(Session { story, window, findings }))
}
