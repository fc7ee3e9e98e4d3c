//! The schema of a request to resolve a finding.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::json::{
    object_reader::{NAME_BYTES, TEXT_BYTES},
    request_schema::{Object, about, text, whole, word},
};

use super::Verdict;

/// The body of `POST /v1/findings/{id}/disposition`.
#[derive(Debug)]
pub struct DispositionRequest;

impl JsonSchema for DispositionRequest {
    fn schema_name() -> Cow<'static, str> {
        "DispositionRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::new("What an operator decides about a finding.")
            .required("disposition", about("The resolution.", word::<Verdict>()))
            .required("reason", about("Why.", text(TEXT_BYTES)))
            .optional("owner", about("Who owns the finding from now on.", text(NAME_BYTES)))
            .optional(
                "updates",
                about(
                    "The number of updates of the finding that the operator has read. If there are more by now, the answer is 409.",
                    whole(0..=u32::MAX),
                ),
            )
            .example(json!({
                "disposition": "investigating",
                "reason": "Asked the team lead",
                "owner": "morgan@acme.example",
                "updates": 0,
            }))
            .schema()
    }
}
