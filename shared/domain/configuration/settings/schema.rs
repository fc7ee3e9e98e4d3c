//! The schema of the body that changes the settings.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::{
    configuration::{
        alert_channel::{AlertChannelRequest, MOST_CHANNELS},
        document::Document,
    },
    json::request_schema::{Object, list, time_zone, whole},
};

use super::{MAX_RETENTION_DAYS, MIN_RETENTION_DAYS, Settings, THRESHOLDS, Thresholds};

/// The body of `PUT /v1/settings`.
#[derive(Debug)]
pub struct SettingsRequest;

impl JsonSchema for SettingsRequest {
    fn schema_name() -> Cow<'static, str> {
        "SettingsRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let thresholds = THRESHOLDS.into_iter().fold(
            Object::like::<Thresholds>("The thresholds to change."),
            |object, (key, range)| object.optional(key, whole(range)),
        );
        let hold = json_schema!({
            "type": ["string", "null"],
            "format": "date-time",
            "description": "The start of the legal hold, not in the future; null lifts the hold.",
        });
        let channels = list(generator.subschema_for::<AlertChannelRequest>(), 0..=MOST_CHANNELS);
        Object::like::<Settings>(
            "The settings to change. Settings that are left out stay as they are. A list replaces the whole list.",
        )
        .read_only(Settings::READ_ONLY)
        .optional("retention_days", whole(MIN_RETENTION_DAYS..=MAX_RETENTION_DAYS))
        .optional("zone", time_zone())
        .optional("thresholds", thresholds.schema())
        .optional("alerts", channels)
        .optional("hold_since", hold)
        .example(json!({
            "retention_days": 730,
            "zone": "Europe/Paris",
            "thresholds": {"revocation_seconds": 600},
            "alerts": [{"id": "security-sns", "kind": "sns", "severity": "high"}],
        }))
        .example(json!({
            "hold_since": "2026-11-01T00:00:00Z",
            "alerts": [{
                "id": "security",
                "kind": "slack",
                "url": "secretsmanager:slack-security",
                "rules": ["revocation.overdue", "approval.*"],
            }],
        }))
        .schema()
    }
}
