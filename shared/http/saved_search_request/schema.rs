//! The schema of saved searches in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::export_request::export_members;
use shared_domain::{
    configuration::document::Document,
    exports::saved_search::Saved,
    json::{
        object_reader::NAME_BYTES,
        request_schema::{Object, about, text, texts, word, words},
    },
    time::schedule::Weekday,
};

use super::MOST_RECIPIENTS;

/// The pattern of relative ranges.
const RANGE: &str =
    "^(today|yesterday|(this|last) (week|month|quarter|year)|last [1-9][0-9]{0,3} (hours|days))$";

/// The body of `PUT /v1/saved/{id}`.
#[derive(Debug)]
pub struct SavedSearchRequest;

impl JsonSchema for SavedSearchRequest {
    fn schema_name() -> Cow<'static, str> {
        "SavedSearchRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = Object::new(
            "A saved search for events, or a saved report. It has either the relative `range`, or `since` and `until` as an export has them, or neither. \
             With `report`, what selects events is left out: `since`, `until`, `filter`, `q` and `include_service`.",
        );
        let range = json_schema!({
            "type": "string",
            "pattern": RANGE,
            "description": "A range that moves with time: `today`, `last quarter`, `last 30 days`. At most 3653 hours or days. Not together with `since` or `until`, nor for reports that take neither.",
        });
        let recipients =
            "The ids of the channels that are notified of scheduled runs. They need a schedule.";
        export_members(object, generator)
            .read_only(Saved::READ_ONLY)
            .required("name", about("The display name.", text(NAME_BYTES)))
            .optional("range", range)
            .optional("schedule", schedule())
            .optional("recipients", about(recipients, texts(0..=MOST_RECIPIENTS)))
            .example(json!({
                "name": "Denied sessions",
                "filter": "action eq \"session.denied\"",
                "range": "last week",
                "schedule": {"every": "week", "on": "monday", "at": "06:00"},
                "tz": "Europe/Paris",
            }))
            .example(json!({
                "name": "Access of the last quarter",
                "report": {"name": "access"},
                "range": "last quarter",
                "schedule": {"every": "quarter"},
                "profile": "excel",
            }))
            .schema()
    }
}

fn schedule() -> Schema {
    let every = "How often: every day, once a week, or on the first day of each month or quarter.";
    let at = json_schema!({
        "type": "string",
        "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
        "description": "The time of day; 06:00 if absent.",
    });
    let on = "The day of the week; `monday` if absent. Only where `every` is `week`.";
    Object::new("When the search runs.")
        .required("every", about(every, words(&["day", "week", "month", "quarter"])))
        .optional("on", about(on, word::<Weekday>()))
        .optional("at", at)
        .schema()
}
