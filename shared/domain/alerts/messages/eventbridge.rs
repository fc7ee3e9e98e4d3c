//! The EventBridge entry of an alert.

use serde_json::{Map, Value, json};

use crate::{
    alerts::alert::{About, Alert},
    time::timestamp::Instant,
    trail::event::Tenant,
};

/// The `Source` of the service's events on a bus.
pub const EVENT_SOURCE: &str = "jit-audit";

/// An entry for an EventBridge bus.
#[derive(Clone, Debug, PartialEq)]
pub struct BusEvent {
    pub detail_type: &'static str,
    pub detail: Value,
    pub time: Instant,
}

/// The entry for an alert. A subscriber recognises a repeated delivery by `alert`, the alert's id.
pub fn for_eventbridge(tenant: &Tenant, alert: &Alert, link: Option<&str>) -> BusEvent {
    let told = [
        ("alert", Some(json!(alert.id))),
        ("tenant", Some(json!(tenant))),
        ("finding", alert.finding.as_ref().map(|finding| json!(finding))),
        ("export", alert.export.as_ref().map(|export| json!(export))),
        ("event", alert.event.as_ref().map(|event| json!(event))),
        ("rule", Some(json!(alert.rule))),
        ("severity", alert.severity.map(|severity| json!(severity))),
        ("message", Some(json!(alert.sentence))),
        ("link", link.map(|link| json!(link))),
        ("occurred_at", Some(json!(alert.occurred_at))),
    ];
    let detail = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    BusEvent {
        detail_type: match alert.about() {
            About::Finding(_) | About::Findings => "Finding raised",
            About::Report { is_ready: true } => "Report ready",
            About::Report { is_ready: false } => "Report failed",
            About::Test => "Test message",
        },
        detail: detail.collect::<Map<_, _>>().into(),
        time: alert.occurred_at,
    }
}
