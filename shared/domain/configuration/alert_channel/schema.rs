//! The schemas of channels in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::{
    configuration::application::secret_name,
    findings::rules::Severity,
    json::request_schema::{Object, about, id, list, text, word},
};

use super::{AlertChannelKind, Channel, MOST_RULES, WORD_BYTES};

const KINDS: &str = "A webhook of Slack or Microsoft Teams, or the deployment's own topic of Amazon SNS or bus of Amazon EventBridge.";

/// A channel in the body of `PUT /v1/settings`.
#[derive(Debug)]
pub struct AlertChannelRequest;

impl JsonSchema for AlertChannelRequest {
    fn schema_name() -> Cow<'static, str> {
        "AlertChannelRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let rule = json_schema!({
            "type": "string",
            "pattern": format!(r"^[A-Za-z0-9_.]{{0,{WORD_BYTES}}}\*?$"),
            "description": "The name of a rule (`GET /v1/checkpoints`), or how names of rules begin and a star: `approval.*`.",
        });
        let address = "For `slack` and `teams` only, which need it: the name of the secret with the address of the webhook.";
        Object::like::<Channel>("A channel and the findings that it is notified of.")
            .required("id", id(WORD_BYTES))
            .required("kind", about(KINDS, word::<AlertChannelKind>()))
            .optional("url", about(address, secret_name()))
            .optional("rules", list(rule, 1..=MOST_RULES))
            .optional("severity", word::<Severity>())
            .schema()
    }
}

/// The body of `POST /v1/alerts/test`.
#[derive(Debug)]
pub struct TestAlertRequest;

impl JsonSchema for TestAlertRequest {
    fn schema_name() -> Cow<'static, str> {
        "TestAlertRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::new("The channel to which a test message is sent.")
            .required("channel", about("The id of a channel in the settings.", text(WORD_BYTES)))
            .example(json!({"channel": "security"}))
            .schema()
    }
}
