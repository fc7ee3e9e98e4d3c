//! `GET /v1/actions` (the catalogue of actions) and `GET /v1/me` (the caller's own rights).

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde::Serialize;
use shared::services::windows;
use shared::{
    domain::{
        identity::caller::Permission,
        time::timestamp::Instant,
        trail::{
            actions::{Category, Source, State, Writer, definitions, message_template},
            event::Tenant,
        },
    },
    http::{
        authorization,
        problem::Problem,
        request::{self, Parameters},
    },
    platform::clock,
};

use crate::{Query, routes::Call};

/// `GET /v1/actions`: the catalogue of actions. It takes no parameters.
pub async fn actions(Call { request, .. }: &Call<'_>) -> Result<ApiGatewayV2httpResponse, Problem> {
    #[derive(Serialize)]
    struct Row {
        action: &'static str,
        label: &'static str,
        category: Category,
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_status: Option<&'static str>,
        /// The message templates of the action. The last one is the default.
        sentences: Vec<&'static str>,
        /// The message template for an attempt that failed.
        #[serde(skip_serializing_if = "str::is_empty")]
        failed_sentence: &'static str,
        /// JSON pointers to the fields that the default template and the label need.
        required: Vec<String>,
        written_by: Writer,
        /// Whether a device (`audit:self`) may write this action about its own user.
        by_devices: bool,
        opens_window: bool,
        source: Source,
    }
    Parameters::read(request, &[])?;
    let rows: Vec<_> = definitions()
        .map(|action| Row {
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
    Ok(request::json(200, &serde_json::json!({ "actions": rows })))
}

/// `GET /v1/me`: the caller's identity, tenants and permissions. A caller with several
/// tenants may call it without naming one, to find out which tenants there are. It takes no
/// parameters.
pub async fn me(call: &Call<'_>) -> Result<ApiGatewayV2httpResponse, Problem> {
    #[derive(Serialize)]
    struct Me<'c> {
        tenant: Option<&'c Tenant>,
        tenants: &'c [Tenant],
        sub: &'c str,
        email: Option<&'c str>,
        client_id: Option<&'c str>,
        permissions: &'c [Permission],
        zone: &'c str,
        retention_days: u32,
        now: Instant,
        /// When the service last looked for due windows.
        swept_at: Option<Instant>,
    }
    let Call { function: Query { database, .. }, caller, request } = call;
    let (now, deadline) = (clock::now(), request::deadline());
    let scope = if authorization::names_tenant(caller, request) {
        let tenant = authorization::tenant(caller, request)?;
        Some(database.scope(tenant, now, deadline).await?)
    } else {
        None
    };
    Parameters::read(request, &[])?;
    let settings = scope.as_ref().map_or(database.default_settings(), |scope| &scope.settings);
    Ok(request::json(
        200,
        &Me {
            tenant: scope.as_ref().map(|scope| &scope.tenant),
            tenants: &caller.tenants,
            sub: &caller.sub,
            email: caller.email.as_deref(),
            client_id: caller.client_id.as_deref(),
            permissions: &caller.permissions,
            zone: &settings.zone,
            retention_days: settings.retention_days,
            now,
            swept_at: windows::swept_at(database, deadline).await?,
        },
    ))
}
