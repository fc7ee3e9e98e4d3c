//! Windows: the times during which accounts may be enabled, and how each window ended.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde_json::json;
use shared::http::read_audit;
use shared::services::window_orders;
use shared::services::windows;
use shared::{
    domain::{
        text::case_folding::fold_identity,
        trail::event::Party,
        windows::window::{STATES, Window},
    },
    http::{
        pagination,
        problem::Problem,
        read_audit::Question,
        request::{self, Parameters},
    },
};

use crate::routes::TenantCall;

/// Most windows that one page reads when closed windows are included. Closed windows are kept for
/// years, and those of one account may be few among them.
const MOST_READ: usize = 2000;

const OVERDUE: &str = STATES[3];
const CLOSED: &str = STATES[4];

/// `GET /v1/windows/{id}`: one window.
pub async fn one(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("no window with this id is in the tenant's trail");
    let id = request::configured_id(request).map_err(|_| missing())?;
    let window = windows::window(scope, id).await?.ok_or_else(missing)?.window;
    Ok(request::json(200, &window.answered(scope.now)))
}

/// `GET /v1/windows`: windows, newest first, filtered by account, application or states
/// (`state=open,overdue`). Closed windows are read only if they are requested.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters =
        Parameters::read(request, &["state", "account", "application", "limit", "cursor"])?;
    let states = parameters.read_as("state", |text| {
        let known = |text: &str| {
            let state = STATES.iter().find(|state| **state == text).copied();
            state.ok_or_else(|| format!("{text:?} must be one of {}", STATES.join(", ")))
        };
        text.split(',').map(known).collect::<Result<Vec<_>, _>>()
    })?;
    let account = parameters.get("account").map(fold_identity);
    let application = parameters.get("application");
    let is_wanted = |window: &Window| {
        states.as_ref().is_none_or(|states| states.contains(&window.state(scope.now)))
            && account.as_ref().is_none_or(|account| window.is_called(account))
            && application.is_none_or(|id| {
                window.application.as_ref().is_some_and(|application| application.id == id)
            })
    };
    let answered = |window: &Window| is_wanted(window).then(|| window.answered(scope.now));
    let asked = pagination::Asked::read(scope, reader, &parameters, "windows")?;
    let page = async {
        match (states.as_deref(), parameters.get("account")) {
            (Some(states), Some(account)) if !states.contains(&CLOSED) => {
                let named = Party { name: Some(account.to_owned()), ..Party::default() };
                let mut windows = windows::open_windows_of(scope, &named).await?;
                windows.sort_unstable_by(|a, b| b.window.id.cmp(&a.window.id));
                let read = async |before: Option<&str>| {
                    let rest = windows
                        .iter()
                        .map(|it| &it.window)
                        .filter(|it| before.is_none_or(|id| it.id.as_str() < id));
                    Ok::<_, Problem>((
                        rest.map(|window| (window.id.clone(), answered(window))).collect(),
                        false,
                    ))
                };
                asked.answer(scope, read).await
            }
            (Some(states), _) if !states.contains(&CLOSED) => {
                let has_others = states.iter().any(|state| *state != OVERDUE);
                let live = windows::live_windows(scope, states.contains(&OVERDUE), has_others);
                let read = async |before: Option<&str>| {
                    let (page, goes_on) = live.page(before).await?;
                    let read = |(id, window): (String, Option<Window>)| {
                        (id, window.as_ref().and_then(answered))
                    };
                    Ok::<_, Problem>((page.into_iter().map(read).collect(), goes_on))
                };
                asked.answer(scope, read).await
            }
            _ => {
                let read = async |before: Option<&str>| {
                    let (windows, goes_on) = windows::windows(scope, before).await?;
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

/// `GET /v1/windows/orders/{id}`: the progress of an order to end windows, and the current state
/// of the windows that it has ended so far.
pub async fn order(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["limit", "cursor"])?;
    let missing = || Problem::not_found("no order with this id is in the tenant's trail");
    let id = request::configured_id(request).map_err(|_| missing())?;
    let stored = window_orders::order(scope, id).await?.ok_or_else(missing)?;
    let read = async |after: Option<&str>| {
        let (page, goes_on) = window_orders::ended_by(scope, id, after).await?;
        let read = |(id, window): (String, Option<Window>)| {
            (id, window.map(|window| window.answered(scope.now)))
        };
        Ok::<_, Problem>((page.into_iter().map(read).collect(), goes_on))
    };
    let word = format!("windows of {id}");
    let page = pagination::Asked::read(scope, reader, &parameters, &word)?.page(scope, read);
    let (windows, next) =
        read_audit::on_record(scope, reader.caller, Question::of_order(id, &parameters), page)
            .await?;
    let mut answer = stored.order.answered(&stored.progress);
    answer["ended"] = json!(window_orders::count_ended_by(scope, id).await?);
    answer["windows"] = json!(windows);
    answer["next"] = json!(next);
    Ok(request::json(200, &answer))
}
