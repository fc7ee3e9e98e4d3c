//! Alerts: which alert went to which channel, and whether the channel accepted it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::{
    domain::alerts::{alert::AlertAnswer, delivery::AlertState},
    http::{
        input::{Id, Query},
        output::{Json, List, Listed},
        pagination,
        parameters::{Cursor, Limit},
        problem::Problem,
    },
    services::alert_outbox::{self, AlertContent, StoredAlert},
};

use crate::routes::TenantCall;

/// `GET /v1/alerts/{id}`: one alert.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<AlertAnswer>, Problem> {
    let missing =
        || Problem::not_found("the tenant has no alert with this id; alerts are kept for 30 days");
    let stored = alert_outbox::alert(scope, id.or(missing)?).await?.ok_or_else(missing)?;
    let AlertContent { alert, progress } = stored.content;
    Ok(Json(AlertAnswer::new(alert, progress)))
}

/// The parameters of `GET /v1/alerts`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AlertsQuery {
    pub state: Option<AlertState>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
}

/// `GET /v1/alerts`: alerts, newest first, optionally filtered by state.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<AlertsQuery>,
) -> Result<List<AlertAnswer>, Problem> {
    let (state, asked) = parameters.check(|values, parameters| {
        let asked = pagination::Asked::read(scope, reader, parameters, AlertAnswer::LIST);
        Some((values.state, asked))
    })?;
    let read = |before: Option<String>| async move {
        let (alerts, goes_on) = alert_outbox::alerts(scope, before.as_deref()).await?;
        let read = |stored: StoredAlert| {
            let AlertContent { alert, progress } = stored.content;
            let is_wanted = state.is_none_or(|state| progress.state == state);
            (alert.id.clone(), is_wanted.then(|| AlertAnswer::new(alert, progress)))
        };
        Ok::<_, Problem>((alerts.into_iter().map(read).collect(), goes_on))
    };
    asked.answer(scope, read).await
}
