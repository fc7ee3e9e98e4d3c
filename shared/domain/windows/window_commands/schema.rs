//! The schemas of commands about windows.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    json::{
        object_reader::TEXT_BYTES,
        request_schema::{Object, about, instant, length, text},
    },
    trail::{event_schema::ActorRequest, filter},
};

/// Adds the members that every command has.
fn command(object: Object, generator: &mut SchemaGenerator) -> Object {
    let actor = "The person for whom a machine acts. Only a machine may give it; otherwise the caller acts.";
    object
        .required("reason", about("Why. It is recorded in the event.", text(TEXT_BYTES)))
        .optional("actor", about(actor, generator.subschema_for::<ActorRequest>()))
}

/// The body of `POST /v1/windows/{id}/extend`.
#[derive(Debug)]
pub struct ExtendWindowRequest;

impl JsonSchema for ExtendWindowRequest {
    fn schema_name() -> Cow<'static, str> {
        "ExtendWindowRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = Object::new("The new end: either `ends_at` or `duration`.")
            .optional("ends_at", about("The new end.", instant()))
            .optional("duration", about("The length from the start of the window.", length()))
            .example(json!({
                "duration": "PT8H",
                "reason": "The migration takes longer",
                "actor": {"type": "user", "email": "morgan@acme.example"},
            }))
            .example(json!({"ends_at": "2026-11-22T18:00:00Z", "reason": "Until the change ends"}));
        command(object, generator).schema()
    }
}

/// The body of `POST /v1/windows/{id}/end`, `…/retry` and `…/close`.
#[derive(Debug)]
pub struct EndWindowRequest;

impl JsonSchema for EndWindowRequest {
    fn schema_name() -> Cow<'static, str> {
        "EndWindowRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = Object::new("Why the window is ended, retried or closed.").example(json!({
            "reason": "The work is done",
            "actor": {"type": "user", "email": "morgan@acme.example"},
        }));
        command(object, generator).schema()
    }
}

/// The body of `POST /v1/windows/end`.
#[derive(Debug)]
pub struct EndWindowsRequest;

impl JsonSchema for EndWindowsRequest {
    fn schema_name() -> Cow<'static, str> {
        "EndWindowsRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = Object::new("Which requests are ended, and why.")
            .required(
                "filter",
                about("A filter for the events of the requests to end.", text(filter::MAX_BYTES)),
            )
            .example(json!({
                "filter": "actor.email eq \"alex@nikpot.com\"",
                "reason": "Alex leaves the company",
                "actor": {"type": "user", "email": "morgan@acme.example"},
            }));
        command(object, generator).schema()
    }
}
