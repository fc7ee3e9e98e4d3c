//! Events of about a kilobyte, as a portal sends them, and the items they become.

use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::platform::clock;
use shared::{
    domain::trail::{
        event::{Recorded, RecordedBy, Tenant},
        event_validation::{self, Intake},
    },
    storage::event_item,
};
use std::time::Duration;

const DAY: u64 = 86_400;

/// An event that is `seconds` old. People, accounts and applications recur.
pub fn event(id: &str, n: usize, seconds: u64) -> Value {
    json!({
        "id": id, "action": "entra.account.requested", "occurred_at": tests::seconds_ago(seconds),
        "actor": {"type": "user", "id": format!("5f0f3c1e-8f0b-4c55-9d1e-0c6f0a4b{:04}", n % 50), "email": format!("alex{}@nikpot.com", n % 50)},
        "target": {"type": "application", "id": format!("entra-{}", n % 20), "name": format!("Entra 365 onmicrosoft {}", n % 20)},
        "account": {"name": format!("msptech{}@NETORGFT11060369.onmicrosoft.com", n % 40)},
        "session": {"id": format!("session-{}", n % 150), "scope": "session"},
        "justification": "Reset MFA for a user who was locked out after a change of telephone; asked for by the service desk in ticket INC-2041, to be done together with the user on the line. Recovery codes are to be handed over in person, as the policy for external accounts wants it since March.",
        "window": false
    })
}

/// A list of `count` events with different ids.
pub fn list(name: &str, count: usize) -> Value {
    json!({"events": (0..count).map(|n| event(&format!("{name}-{n}"), n, 60 + n as u64)).collect::<Vec<_>>()})
}

/// The same events as database items.
pub fn items(tenant: &str, list: &Value) -> Vec<Vec<(&'static str, AttributeValue)>> {
    let tenant = Tenant::new(tenant).unwrap();
    let now = clock::now();
    let intake = Intake { tenant: &tenant, now, retention: Duration::from_secs(400 * DAY) };
    list["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let event = event_validation::read(
                &event.to_string(),
                &intake,
                shared::platform::random::event_id,
            )
            .unwrap();
            let digest = event.digest();
            let expires_at = event.occurred_at.plus(intake.retention);
            let recorded_by = RecordedBy { sub: "portal".into(), client_id: None, history: false };
            event_item::attributes(&Recorded {
                event,
                recorded_at: now,
                recorded_by,
                digest,
                opened: None,
                expires_at,
            })
        })
        .collect()
}

/// The approximate size of an item in bytes, as DynamoDB counts it.
pub fn size(item: &[(&'static str, AttributeValue)]) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::B(blob) => blob.as_ref().len(),
        _ => 1,
    };
    item.iter().map(|(name, it)| name.len() + value(it)).sum()
}

/// The statements that insert `items`, in batches of 25.
pub fn batches(
    table: &str,
    items: Vec<Vec<(&'static str, AttributeValue)>>,
) -> Vec<Vec<BatchStatementRequest>> {
    let statements: Vec<_> = items
        .into_iter()
        .map(|item| {
            let places: Vec<_> = item.iter().map(|(name, _)| format!("'{name}': ?")).collect();
            BatchStatementRequest::builder()
                .statement(format!("INSERT INTO \"{table}\" VALUE {{{}}}", places.join(", ")))
                .set_parameters(Some(item.into_iter().map(|(_, value)| value).collect()))
                .build()
                .unwrap()
        })
        .collect();
    statements.chunks(25).map(<[_]>::to_vec).collect()
}

/// The environment variables from the template, for functions outside a stack.
pub const VARIABLES: [(&str, &str); 17] = [
    ("EVENTS_TABLE", "events"),
    ("STATE_TABLE", "state"),
    ("TENANT_CLAIM", "tenant"),
    ("EMAIL_CLAIM", "email"),
    ("ROLE_CLAIM", "roles"),
    ("ROLE_MAP", "{}"),
    ("READ_SCOPE", "audit:read"),
    ("WRITE_SCOPE", "audit:write"),
    ("SELF_SCOPE", "audit:self"),
    ("OPERATE_SCOPE", "audit:operate"),
    ("ADMIN_SCOPE", "audit:admin"),
    ("RETENTION_DAYS", "400"),
    ("ZONE", "UTC"),
    ("FEED_LAG_SECONDS", "10"),
    ("ONE_MACHINE", "false"),
    ("DISABLE_FUNCTION", "disable"),
    ("DEPLOYMENT_KEY", "deployment-key"),
];

/// The Lambda event for a body that a portal posts.
pub fn request(body: &Value) -> String {
    let claims = json!({"iss": "i", "sub": "portal", "tenant": "acme", "scope": "audit:write"});
    let token = format!("Bearer h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    json!({
        "version": "2.0", "routeKey": "POST /v1/events", "rawPath": "/v1/events", "rawQueryString": "",
        "headers": {"authorization": token, "content-type": "application/json"},
        "requestContext": {"routeKey": "POST /v1/events", "requestId": "r", "http": {"method": "POST", "path": "/v1/events"},
            "authorizer": {"jwt": {"claims": claims}}},
        "body": body.to_string(), "isBase64Encoded": false
    })
    .to_string()
}
