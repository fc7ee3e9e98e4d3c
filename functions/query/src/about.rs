//! `GET /v1/actions` (the catalogue of actions) and `GET /v1/me` (the caller's own rights).

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    domain::{
        identity::caller::Permission,
        time::timestamp::Instant,
        trail::{
            actions::{Category, RequestState, Source, Writer, definitions, message_template},
            event::Tenant,
        },
    },
    http::{authorization, output::Json, problem::Problem, request},
    platform::clock,
    services::windows,
};

use crate::{Query, routes::Call};

/// The catalogue of actions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Actions {
    /// Every action that an event can have, also those that only the service writes.
    pub actions: Vec<ActionAnswer>,
}

/// One action of the catalogue.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActionAnswer {
    /// The name, as in the member `action` of events.
    pub action: &'static str,
    /// The text of the Action column. Like a sentence, it may contain fields.
    pub label: &'static str,
    pub category: Category,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RequestState>,
    /// The status that a request enters, in the words of Microsoft Entra's entitlement management.
    /// Absent if the action does not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_status: Option<&'static str>,
    /// The message templates of the action. The last one is the default.
    pub sentences: Vec<&'static str>,
    /// The message template for an attempt that failed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub failed_sentence: &'static str,
    /// JSON pointers to the fields that the default template and the label need.
    pub required: Vec<String>,
    pub written_by: Writer,
    /// Whether a device (`audit:self`) may write this action about its own user.
    pub by_devices: bool,
    /// Whether such an event opens a window, at whose end the account is disabled.
    pub opens_window: bool,
    pub source: Source,
}

/// `GET /v1/actions`: the catalogue of actions.
pub async fn actions(_: &Call<'_>, (): ()) -> Result<Json<Actions>, Problem> {
    let actions = definitions()
        .map(|action| ActionAnswer {
            action: action.name,
            label: action.label,
            category: action.category,
            state: action.state,
            request_status: action.request_status,
            sentences: action
                .variants
                .iter()
                .map(|(_, sentence)| *sentence)
                .chain([action.sentence])
                .collect(),
            failed_sentence: action.failed,
            required: {
                let mut required: Vec<_> = message_template::required(action.sentence)
                    .chain(message_template::required(action.label))
                    .map(message_template::pointer)
                    .collect();
                required.sort_unstable();
                required.dedup();
                required
            },
            written_by: action.writer,
            by_devices: action.is_device,
            opens_window: action.opens_window,
            source: action.source,
        })
        .collect();
    Ok(Json(Actions { actions }))
}

/// The caller, as the token names it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// The tenant of this call; null if the token has several and the call names none.
    pub tenant: Option<Tenant>,
    /// Every tenant that the token names.
    pub tenants: Vec<Tenant>,
    /// The token's subject.
    pub sub: String,
    /// The e-mail address of the token. Null for a program, or if the address is not verified.
    pub email: Option<String>,
    /// The program that the token was issued to. Null if the token does not say.
    pub client_id: Option<String>,
    /// What the scopes and roles of the token allow.
    pub permissions: Vec<Permission>,
    /// The tenant's time zone.
    pub zone: String,
    /// How many days the tenant's events are stored.
    pub retention_days: u32,
    /// The service's clock.
    pub now: Instant,
    /// When the service last looked for windows that are due.
    pub swept_at: Option<Instant>,
}

/// `GET /v1/me`: the caller's identity, tenants and permissions. A caller with several
/// tenants may call it without naming one, to find out which tenants there are.
pub async fn me(call: &Call<'_>, (): ()) -> Result<Json<Me>, Problem> {
    let Call { function: Query { database, .. }, caller, request } = call;
    let (now, deadline) = (clock::now(), request::deadline());
    let scope = if authorization::names_tenant(caller, request) {
        let tenant = authorization::tenant(caller, request)?;
        Some(database.scope(tenant, now, deadline).await?)
    } else {
        None
    };
    let settings = scope.as_ref().map_or(database.default_settings(), |scope| &scope.settings);
    Ok(Json(Me {
        tenant: scope.as_ref().map(|scope| scope.tenant.clone()),
        tenants: caller.tenants.clone(),
        sub: caller.sub.clone(),
        email: caller.email.clone(),
        client_id: caller.client_id.clone(),
        permissions: caller.permissions.clone(),
        zone: settings.zone.clone(),
        retention_days: settings.retention_days,
        now,
        swept_at: windows::swept_at(database, deadline).await?,
    }))
}
