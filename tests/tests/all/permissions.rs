//! Permissions of every route, for every kind of caller. A new route needs a row here.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;
use shared::{
    domain::identity::caller::Permission,
    http::route::{Needs as RouteNeeds, Route},
};
use tests::{Answer, Stack, send};

/// The permissions. A caller needs one of those that a route lists.
type Needs = &'static [&'static str];

const OPEN: Option<Needs> = None;
const READ: Option<Needs> = Some(&["read"]);
const WRITE: Option<Needs> = Some(&["write", "self"]);
const OPERATE: Option<Needs> = Some(&["operate"]);
const ADMIN: Option<Needs> = Some(&["admin"]);

/// Each route with the permissions that admit a caller.
#[rustfmt::skip]
const ROUTES: &[(&str, Option<Needs>)] = &[
    ("GET /", OPEN),
    ("GET /openapi.json", OPEN),
    ("GET /page/{file+}", OPEN),

    ("POST /v1/events", WRITE),

    ("GET /v1/events", READ),
    ("POST /v1/events/search", READ),
    ("POST /v1/events/counts", READ),
    ("GET /v1/events/{id}", READ),
    ("GET /v1/feed", READ),
    ("GET /v1/sessions", READ),
    ("GET /v1/sessions/{id}", READ),
    ("GET /v1/actions", READ),
    ("GET /v1/me", READ),
    ("GET /v1/calendar", READ),
    ("GET /v1/windows", READ),
    ("GET /v1/windows/{id}", READ),
    ("GET /v1/windows/orders/{id}", READ),
    ("GET /v1/reports", READ),
    ("GET /v1/reports/{report}", READ),
    ("GET /v1/reports/requests/{id}", READ),
    ("GET /v1/checkpoints", READ),
    ("GET /v1/findings", READ),
    ("GET /v1/findings/{id}", READ),
    ("GET /v1/reviews", READ),
    ("GET /v1/reviews/{id}", READ),
    ("GET /v1/reviews/{id}/items", READ),
    ("GET /v1/review-plans", READ),
    ("GET /v1/review-plans/{id}", READ),
    ("GET /v1/settings", READ),
    ("GET /v1/people", READ),
    ("GET /v1/people/{id}", READ),
    ("GET /v1/applications", READ),
    ("GET /v1/applications/{id}", READ),
    ("GET /v1/applications/{id}/test", READ),
    ("GET /v1/packages", READ),
    ("GET /v1/packages/{id}", READ),
    ("GET /v1/organisations", READ),
    ("GET /v1/organisations/{id}", READ),
    ("GET /v1/connections", READ),
    ("GET /v1/connections/{id}", READ),
    ("GET /v1/streams", READ),
    ("GET /v1/streams/{id}", READ),
    ("GET /v1/alerts", READ),
    ("GET /v1/alerts/{id}", READ),

    ("POST /v1/exports", READ),
    ("GET /v1/exports", READ),
    ("GET /v1/exports/{id}", READ),
    ("POST /v1/exports/{id}/links", READ),
    ("POST /v1/exports/{id}/cancel", READ),
    ("GET /v1/saved", READ),
    ("GET /v1/saved/{id}", READ),
    ("GET /v1/saved/{id}/runs", READ),
    ("POST /v1/saved/{id}/runs", READ),
    ("PUT /v1/saved/{id}", READ),
    ("DELETE /v1/saved/{id}", READ),

    ("POST /v1/windows/{id}/extend", OPERATE),
    ("POST /v1/windows/{id}/end", OPERATE),
    ("POST /v1/windows/{id}/retry", OPERATE),
    ("POST /v1/windows/{id}/close", OPERATE),
    ("POST /v1/windows/end", OPERATE),
    ("POST /v1/windows/reconcile", OPERATE),
    ("POST /v1/findings/{id}/disposition", OPERATE),
    ("POST /v1/reviews", OPERATE),
    ("POST /v1/reviews/{id}/decisions", OPERATE),
    ("POST /v1/reviews/{id}/sign-off", OPERATE),
    ("PUT /v1/review-plans/{id}", OPERATE),
    ("DELETE /v1/review-plans/{id}", OPERATE),

    ("PUT /v1/settings", ADMIN),
    ("PUT /v1/people", ADMIN),
    ("PUT /v1/people/{id}", ADMIN),
    ("PUT /v1/applications/{id}", ADMIN),
    ("DELETE /v1/applications/{id}", ADMIN),
    ("POST /v1/applications/{id}/test", ADMIN),
    ("PUT /v1/packages", ADMIN),
    ("PUT /v1/packages/{id}", ADMIN),
    ("DELETE /v1/packages/{id}", ADMIN),
    ("PUT /v1/organisations", ADMIN),
    ("PUT /v1/organisations/{id}", ADMIN),
    ("DELETE /v1/organisations/{id}", ADMIN),
    ("PUT /v1/connections/{id}", ADMIN),
    ("DELETE /v1/connections/{id}", ADMIN),
    ("POST /v1/connections/{id}/test", ADMIN),
    ("PUT /v1/streams/{id}", ADMIN),
    ("DELETE /v1/streams/{id}", ADMIN),
    ("POST /v1/streams/{id}/replay", ADMIN),
    ("POST /v1/streams/{id}/test", ADMIN),
    ("POST /v1/alerts/test", ADMIN),
    ("POST /v1/projections/rebuild", ADMIN),
];

const PERMISSIONS: [&str; 5] = ["read", "write", "self", "operate", "admin"];

/// The tables of all functions: the function's name, the route, and what it needs.
pub fn tables() -> Vec<(&'static str, String, RouteNeeds)> {
    fn rows<H>(
        function: &'static str,
        routes: &'static [Route<H>],
    ) -> Vec<(&'static str, String, RouteNeeds)> {
        routes.iter().map(|route| (function, route.key(), route.needs)).collect()
    }
    [
        rows("portal", portal::routes::ROUTES),
        rows("ingest", ingest::routes::ROUTES),
        rows("query", query::routes::SERVICE_ROUTES),
        rows("query", query::routes::TENANT_ROUTES),
        rows("manage", manage::routes::ROUTES),
        rows("export", export::routes::ROUTES),
    ]
    .concat()
}

#[test]
fn every_route_declares_its_permission() {
    let expected: BTreeMap<_, _> =
        ROUTES.iter().map(|(route, needs)| ((*route).to_owned(), *needs)).collect();
    assert_eq!(expected.len(), ROUTES.len(), "a route has two rows");
    let word = |permission| match permission {
        Permission::Read => "read",
        Permission::Write => "write",
        Permission::OwnEvents => "self",
        Permission::Operate => "operate",
        Permission::Admin => "admin",
    };
    let needs = |needs| match needs {
        RouteNeeds::Nothing => None,
        RouteNeeds::Permission(permission) => Some(vec![word(permission)]),
        RouteNeeds::Either(one, other) => Some(vec![word(one), word(other)]),
    };
    let tables = tables();
    let routes: BTreeMap<_, _> =
        tables.iter().map(|(_, route, it)| (route.clone(), needs(*it))).collect();
    assert_eq!(routes.len(), tables.len(), "a route has two rows");
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(route, needs)| (route, needs.map(<[_]>::to_vec))).collect();
    assert_eq!(routes, expected);
}

async fn call(stack: &Stack, route: &str, token: Option<&str>, tenant: Option<&str>) -> Answer {
    let (method, path) = route.split_once(' ').unwrap();
    let path: Vec<_> = path
        .split('/')
        .map(|step| if step.starts_with('{') { "none-such" } else { step })
        .collect();
    let method: Method = method.parse().unwrap();
    let request = stack.request(method.as_str(), &path.join("/"));
    // The body is invalid, so that an admitted caller changes nothing.
    let request = if method == Method::GET || method == Method::DELETE {
        request
    } else {
        request.json(&json!({"none": 1}))
    };
    let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
    send(tenant.into_iter().fold(request, |request, tenant| request.header("Audit-Tenant", tenant)))
        .await
}

#[tokio::test]
async fn each_route_admits_only_the_declared_permissions() {
    let stack = Stack::start().await;
    let token = |tenant: &str, permission: &str| {
        let scope = format!("audit:{permission}");
        stack.minted(json!({"tenant": tenant, "sub": permission, "email": format!("{permission}@{tenant}.example"), "scope": scope}))
    };
    let callers = PERMISSIONS.map(|permission| (permission, token("acme", permission)));
    let everything = PERMISSIONS.map(|permission| format!("audit:{permission}")).join(" ");
    let stranger = stack.minted(json!({"tenant": "other", "sub": "stranger", "scope": everything}));
    let mut wrong = Vec::new();
    for (route, needs) in ROUTES {
        let anonymous = call(&stack, route, None, None).await.status.as_u16();
        let Some(needs) = needs else {
            if !matches!(anonymous, 200 | 404) {
                wrong.push(format!("{route}: public, but the response is {anonymous}"));
            }
            continue;
        };
        if anonymous != 401 {
            wrong.push(format!("{route}: without a token {anonymous}"));
        }
        for (permission, token) in &callers {
            let answer = call(&stack, route, Some(token), None).await;
            let is_refused =
                answer.status == 403 && answer.text.contains("does not have the permission");
            let is_let_in =
                !matches!(answer.status.as_u16(), 401 | 403) && answer.status.as_u16() < 500;
            let is_right = if needs.contains(permission) { is_let_in } else { is_refused };
            if !is_right {
                wrong.push(format!(
                    "{route}: with audit:{permission} {} {}",
                    answer.status, answer.text
                ));
            }
        }
        // A tenant outside the token is not found, whatever permissions the caller has in its own.
        let other = call(&stack, route, Some(&stranger), Some("acme")).await;
        let knows_no_tenant = *route == "GET /v1/actions" || *route == "GET /v1/reports";
        if other.status != 404 && !knows_no_tenant {
            wrong.push(format!(
                "{route}: with another tenant's token {} {}",
                other.status, other.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stack.stop().await;
}
