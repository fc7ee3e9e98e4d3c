//! The schema of plans of reviews in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::{
    configuration::document::Document,
    json::{
        object_reader::NAME_BYTES,
        request_schema::{Object, about, text, texts, time_zone, typed_time, whole, word},
    },
    reviews::review::{MOST_REVIEWERS, MOST_SAMPLED, Of},
    time::schedule::Period,
};

use super::{MOST_DAYS, MOST_NAME, MOST_PAST, ReviewPlan};

/// The body of `PUT /v1/review-plans/{id}`.
#[derive(Debug)]
pub struct ReviewPlanRequest;

impl JsonSchema for ReviewPlanRequest {
    fn schema_name() -> Cow<'static, str> {
        "ReviewPlanRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let sample = Object::new("A sample for each review; all items if absent. The seed is the plan's id and the period, so anyone can draw it again.")
            .required("size", about("The number of items.", whole(1..=MOST_SAMPLED)));
        let at = json_schema!({
            "type": "string",
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
            "description": "The time of day at which a review is opened, on the first day after its period; 06:00 if absent.",
        });
        let since = format!(
            "A time in the first period to review; the current period if absent. Periods that are over by then, at most {MOST_PAST}, are reviewed at once."
        );
        Object::new("A plan of reviews. After each period the service opens a review of it.")
            .read_only(ReviewPlan::READ_ONLY)
            .required(
                "name",
                about("The display name. Each review adds its period to it.", text(MOST_NAME)),
            )
            .required("every", about("The period of each review.", word::<Period>()))
            .optional("at", at)
            .optional(
                "tz",
                about("The zone of the periods and of the time of day; the tenant's if absent.", time_zone()),
            )
            .optional("since", about(&since, typed_time()))
            .required("of", about("What is reviewed.", word::<Of>()))
            .optional(
                "target",
                about(
                    "Only access to this target, or the policies of this package, by id or name.",
                    text(NAME_BYTES),
                ),
            )
            .optional(
                "person",
                about(
                    "Only access of this person, by id, name or address. Not for policies.",
                    text(NAME_BYTES),
                ),
            )
            .optional(
                "account",
                about(
                    "Only access with this account, by id or name. Not for policies.",
                    text(NAME_BYTES),
                ),
            )
            .optional("sample", sample.schema())
            .optional(
                "due_days",
                about(
                    "The days that reviewers have: a review is due at the end of the last of them. No due date if absent.",
                    whole(1..=MOST_DAYS),
                ),
            )
            .optional(
                "reviewers",
                about(
                    "The addresses of the reviewers; every operator if absent.",
                    texts(1..=MOST_REVIEWERS),
                ),
            )
            .example(json!({
                "name": "CRM access",
                "every": "quarter",
                "at": "06:00",
                "tz": "Europe/Paris",
                "since": "2026-10-01",
                "of": "sessions",
                "target": "CRM",
                "person": "alex@nikpot.com",
                "account": "msptech-demo",
                "sample": {"size": 25},
                "due_days": 14,
                "reviewers": ["morgan@acme.example"],
            }))
            .schema()
    }
}
