//! The schemas of streams in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    configuration::{
        application::{secret_name, url},
        document::Document,
    },
    json::request_schema::{
        Object, about, either, flag, list, named, text, typed_time, word, words,
    },
    streams::target::{MOST_SECRETS, URL_BYTES},
};

use super::{Shape, Stream};

/// The body of `PUT /v1/streams/{id}`.
#[derive(Debug)]
pub struct StreamRequest;

impl JsonSchema for StreamRequest {
    fn schema_name() -> Cow<'static, str> {
        "StreamRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Object::new("A stream. An existing stream keeps its position.")
            .read_only(Stream::READ_ONLY)
            .required("target", target(generator))
            .optional(
                "shape",
                about("The format of the events. `native` if absent.", word::<Shape>()),
            )
            .optional(
                "filter",
                about(
                    "A filter for the events that are sent; all events if absent.",
                    text(usize::MAX),
                ),
            )
            .optional(
                "include_service",
                about("Whether the service's own events are sent. False if absent.", flag()),
            )
            .optional("from", about("Where a new stream starts; `now` if absent.", start()))
            .example(json!({
                "target": {
                    "kind": "https",
                    "url": "https://siem.example/ingest",
                    "secrets": ["secretsmanager:siem"],
                },
                "shape": "ocsf",
                "filter": "action sw \"session.\"",
                "include_service": true,
                "from": "2026-11-01",
            }))
            .example(json!({"target": {"kind": "eventbridge"}, "from": "now"}))
            .schema()
    }
}

/// The body of `POST /v1/streams/{id}/replay`.
#[derive(Debug)]
pub struct ReplayRequest;

impl JsonSchema for ReplayRequest {
    fn schema_name() -> Cow<'static, str> {
        "ReplayRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::new("Where the stream starts to send again.")
            .required("from", start())
            .example(json!({"from": "2026-11-01T00:00:00Z"}))
            .schema()
    }
}

/// The start of a stream.
fn start() -> Schema {
    about("`now`, `oldest` for the oldest retained event, or a time:", typed_time())
}

fn target(generator: &mut SchemaGenerator) -> Schema {
    let mut secrets = list(secret_name(), 1..=MOST_SECRETS);
    secrets.insert("uniqueItems".to_owned(), true.into());
    let secrets = about("The names of the secrets that sign each request.", secrets);
    let https = Object::new("An address that accepts signed batches by POST.")
        .required("kind", words(&["https"]))
        .required("url", url(URL_BYTES))
        .required("secrets", secrets);
    let own = Object::new("The deployment's own bucket or bus for streams.")
        .required("kind", about("The bucket, or the bus.", words(&["s3", "eventbridge"])));
    either(
        "Where the events are sent.",
        [
            named("HttpsTargetRequest", https.schema(), generator),
            named("OwnTargetRequest", own.schema(), generator),
        ],
    )
}
