//! The schemas of searches in JSON bodies.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use shared_domain::{
    json::request_schema::{Object, about, flag, text, time_zone, typed_time, whole, words},
    trail::filter,
};

/// What the member `tz` says.
const TIME_ZONE: &str = "The zone of times without an offset; the tenant's if absent.";

/// The body of `POST /v1/events/search`.
#[derive(Debug)]
pub struct EventSearchRequest;

impl JsonSchema for EventSearchRequest {
    fn schema_name() -> Cow<'static, str> {
        "EventSearchRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let limit = "Maximum number of events of the page; 100 if absent.";
        search_members(Object::new("A search for events, a page at a time."))
            .optional(
                "order",
                about("By the time of occurrence; `desc` if absent.", words(&["asc", "desc"])),
            )
            .optional("limit", about(limit, whole(1..=1000)))
            .optional("cursor", cursor())
            .example(json!({
                "since": "2026-11-01",
                "until": "2026-12-01T00:00:00Z",
                "tz": "Europe/Paris",
                "filter": "action eq \"session.granted\" and target.name eq \"orders\"",
                "q": "price",
                "include_service": false,
                "order": "asc",
                "limit": 50,
            }))
            .schema()
    }
}

/// The body of `POST /v1/events/counts`.
#[derive(Debug)]
pub struct EventCountRequest;

impl JsonSchema for EventCountRequest {
    fn schema_name() -> Cow<'static, str> {
        "EventCountRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        search_members(Object::new("A search whose events are counted in intervals."))
            .required("by", about("The interval of one count.", words(&["minute", "hour", "day"])))
            .optional("cursor", cursor())
            .example(json!({"since": "2026-11-01", "until": "2026-12-01", "by": "day"}))
            .schema()
    }
}

fn cursor() -> Schema {
    json_schema!({
        "type": "string",
        "description": "`next` of the answer before, with the same search.",
    })
}

/// Adds the members that every search has.
pub(crate) fn search_members(object: Object) -> Object {
    let hidden = "Whether the service's own events are included. False if absent.";
    object
        .optional("since", about("Start of the range, inclusive.", typed_time()))
        .optional("until", about("End of the range, exclusive; after `since`.", typed_time()))
        .optional("tz", about(TIME_ZONE, time_zone()))
        .optional("filter", about("A filter for events.", text(filter::MAX_BYTES)))
        .optional(
            "q",
            about(
                &format!(
                    "Words that all occur in what a person sees of the event: in a column other than times and the digest, or in the details. At most {}.",
                    filter::MAX_TERMS
                ),
                text(filter::MAX_BYTES),
            ),
        )
        .optional("include_service", about(hidden, flag()))
}
