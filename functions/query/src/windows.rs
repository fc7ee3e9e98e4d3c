//! Windows: the times during which accounts may be enabled, and how each window ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        text::case_folding::fold_identity,
        trail::event::Party,
        windows::{
            window::{Window, WindowState},
            window_answer::WindowAnswer,
            window_commands::EndOrderAnswer,
        },
    },
    http::{
        input::{Id, Query},
        output::{Json, List, Page},
        pagination,
        parameters::{Cursor, Limit, PageQuery},
        problem::Problem,
        read_audit::{self, Question},
    },
    services::{window_orders, windows},
};
use strum::VariantNames;

use crate::routes::TenantCall;

/// Most windows that one page reads when closed windows are included. Closed windows are kept for
/// years, and those of one account may be few among them.
const MOST_READ: usize = 2000;

/// `GET /v1/windows/{id}`: one window.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<WindowAnswer>, Problem> {
    let missing = || Problem::not_found("the tenant has no window with this id");
    let window = windows::window(scope, id.or(missing)?).await?.ok_or_else(missing)?.window;
    Ok(Json(window.answered(scope.now)))
}

/// The parameters of `GET /v1/windows`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WindowsQuery {
    /// States, separated by commas: `scheduled`, `open`, `claimed`, `overdue`, `closed`. All states, if
    /// it is left out.
    pub state: Option<String>,
    /// An account, by id, name or e-mail address.
    pub account: Option<String>,
    /// The id of an application.
    pub application: Option<String>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/windows`: windows, newest first, filtered by account, application or states
/// (`state=open,overdue`). Closed windows are read only if they are requested.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<WindowsQuery>,
) -> Result<List<WindowAnswer>, Problem> {
    let (states, asked) = parameters.check(|_, parameters| {
        let states = parameters.read_as("state", |text| {
            let known = |text: &str| {
                text.parse::<WindowState>().map_err(|_| {
                    format!("{text:?} must be one of {}", WindowState::VARIANTS.join(", "))
                })
            };
            text.split(',').map(known).collect::<Result<Vec<_>, _>>()
        });
        Some((states, pagination::Asked::read(scope, reader, parameters, "windows")))
    })?;
    let account = parameters.get("account").map(fold_identity);
    let application = parameters.get("application");
    let is_wanted = &|window: &Window| {
        states.as_ref().is_none_or(|states| states.contains(&window.state(scope.now)))
            && account.as_ref().is_none_or(|account| window.is_called(account))
            && application.is_none_or(|id| {
                window.application.as_ref().is_some_and(|application| application.id == id)
            })
    };
    let answered = &|window: &Window| is_wanted(window).then(|| window.answered(scope.now));
    let page = async {
        match (states.as_deref(), parameters.get("account")) {
            (Some(states), Some(account)) if !states.contains(&WindowState::Closed) => {
                let named = Party { name: Some(account.to_owned()), ..Party::default() };
                let mut windows = windows::open_windows_of(scope, &named).await?;
                windows.sort_unstable_by(|a, b| b.window.id.cmp(&a.window.id));
                let windows = &windows;
                let read = |before: Option<String>| async move {
                    let rest = windows
                        .iter()
                        .map(|it| &it.window)
                        .filter(|it| before.as_ref().is_none_or(|id| it.id < *id));
                    Ok::<_, Problem>((
                        rest.map(|window| (window.id.clone(), answered(window))).collect(),
                        false,
                    ))
                };
                asked.answer(scope, read).await
            }
            (Some(states), _) if !states.contains(&WindowState::Closed) => {
                let has_others = states.iter().any(|state| *state != WindowState::Overdue);
                let live = &windows::live_windows(
                    scope,
                    states.contains(&WindowState::Overdue),
                    has_others,
                );
                let read = |before: Option<String>| async move {
                    let (page, goes_on) = live.page(before.as_deref()).await?;
                    let read = |(id, window): (String, Option<Window>)| {
                        (id, window.as_ref().and_then(answered))
                    };
                    Ok::<_, Problem>((page.into_iter().map(read).collect(), goes_on))
                };
                asked.answer(scope, read).await
            }
            _ => {
                let read = |before: Option<String>| async move {
                    let (windows, goes_on) = windows::windows(scope, before.as_deref()).await?;
                    let read = |window: Window| (window.id.clone(), answered(&window));
                    Ok::<_, Problem>((windows.into_iter().map(read).collect(), goes_on))
                };
                asked.reading_at_most(MOST_READ).answer(scope, read).await
            }
        }
    };
    read_audit::on_record(scope, reader.caller, Question::of_list("windows", &parameters), page)
        .await
}

/// An order to end windows, with one page of the windows that it has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrderPage {
    #[serde(flatten)]
    pub order: EndOrderAnswer,
    /// How many windows it has ended so far.
    pub ended: u64,
    /// A page of the windows that the order has ended, in their current state.
    pub windows: Vec<WindowAnswer>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

/// `GET /v1/windows/orders/{id}`: the progress of an order to end windows, and the current state
/// of the windows that it has ended so far.
pub async fn order(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    (id, parameters): (Id, Query<PageQuery>),
) -> Result<Page<OrderPage>, Problem> {
    let missing = || Problem::not_found("the tenant has no order with this id");
    let id = id.or(missing)?;
    let stored = window_orders::order(scope, id).await?.ok_or_else(missing)?;
    let read = |after: Option<String>| async move {
        let (page, goes_on) = window_orders::ended_by(scope, id, after.as_deref()).await?;
        let read = |(id, window): (String, Option<Window>)| {
            (id, window.map(|window| window.answered(scope.now)))
        };
        Ok::<_, Problem>((page.into_iter().map(read).collect(), goes_on))
    };
    let word = format!("windows of {id}");
    let asked = parameters
        .check(|_, parameters| Some(pagination::Asked::read(scope, reader, parameters, &word)))?;
    let page = asked.page(scope, read);
    let (windows, next) =
        read_audit::on_record(scope, reader.caller, Question::of_order(id, &parameters), page)
            .await?;
    let order = stored.order.answered(&stored.progress);
    let ended = window_orders::count_ended_by(scope, id).await?;
    let body = OrderPage { order, ended, windows, next: next.clone() };
    Ok(Page { body, next })
}
