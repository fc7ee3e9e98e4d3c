//! The schemas of requests about reviews.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    json::{
        object_reader::{NAME_BYTES, TEXT_BYTES},
        request_schema::{
            Object, about, either, id, list, named, text, texts, time_zone, typed_time, whole, word,
        },
    },
    reviews::review_item::{Decision, ITEM_BYTES},
};

use super::{MOST_DECISIONS, MOST_REVIEWERS, MOST_SAMPLED, Of};

/// The body of `POST /v1/reviews`.
#[derive(Debug)]
pub struct ReviewRequest;

impl JsonSchema for ReviewRequest {
    fn schema_name() -> Cow<'static, str> {
        "ReviewRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let sample = Object::new("A sample that anyone can reproduce; all items if absent.")
            .required("size", about("The number of items.", whole(1..=MOST_SAMPLED)))
            .required("seed", about("The seed that selects the items.", text(NAME_BYTES)));
        Object::new("A review of the access in a period, or of approval policies.")
            .optional("id", about("The id of the review. Generated if absent.", id(64)))
            .required("name", about("The display name.", text(NAME_BYTES)))
            .required("of", about("What is reviewed.", word::<Of>()))
            .optional(
                "tz",
                about("The zone of times without an offset; the tenant's if absent.", time_zone()),
            )
            .required("since", about("Start of the period, inclusive.", typed_time()))
            .required("until", about("End of the period, exclusive; after `since`.", typed_time()))
            .optional("due_at", about("When the sign-off is due, in the future.", typed_time()))
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
                "reviewers",
                about(
                    "The addresses of the reviewers; every operator if absent.",
                    texts(1..=MOST_REVIEWERS),
                ),
            )
            .example(json!({
                "id": "crm-2026-q4",
                "name": "CRM, fourth quarter",
                "of": "sessions",
                "tz": "Europe/Paris",
                "since": "2026-10-01",
                "until": "2027-01-01",
                "due_at": "2027-01-15T18:00:00Z",
                "target": "CRM",
                "person": "alex@nikpot.com",
                "account": "msptech-demo",
                "sample": {"size": 25, "seed": "2026-q4"},
                "reviewers": ["morgan@acme.example"],
            }))
            .schema()
    }
}

/// A decision about one item of a review.
#[derive(Debug)]
pub struct DecisionRequest;

impl JsonSchema for DecisionRequest {
    fn schema_name() -> Cow<'static, str> {
        "DecisionRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::new("A decision about one item of a review.")
            .required("item", about("The id of the item.", text(ITEM_BYTES)))
            .required("decision", about("The decision.", word::<Decision>()))
            .required("reason", about("Why.", text(TEXT_BYTES)))
            .example(json!({
                "item": "s:s-68",
                "decision": "appropriate",
                "reason": "The incident needed it",
            }))
            .schema()
    }
}

/// The body of `POST /v1/reviews/{id}/decisions`.
#[derive(Debug)]
pub struct DecisionsRequest;

impl JsonSchema for DecisionsRequest {
    fn schema_name() -> Cow<'static, str> {
        "DecisionsRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let decision = generator.subschema_for::<DecisionRequest>();
        let several = Object::new("Several decisions. An invalid entry does not affect the others: the answer has an outcome for each entry.")
            .required(
                "decisions",
                about("One for each item at most.", list(decision.clone(), 1..=MOST_DECISIONS)),
            )
            .example(json!({"decisions": [
                {"item": "s:s-68", "decision": "appropriate", "reason": "The incident needed it"},
                {"item": "s:s-69", "decision": "revoke", "reason": "The contract has ended"},
            ]}));
        let several = named("SeveralDecisionsRequest", several.schema(), generator);
        either("One decision, or several.", [decision, several])
    }
}

/// The body of `POST /v1/reviews/{id}/sign-off`, which may be left out.
#[derive(Debug)]
pub struct SignOffRequest;

impl JsonSchema for SignOffRequest {
    fn schema_name() -> Cow<'static, str> {
        "SignOffRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::new("Why the review is signed off.")
            .optional("reason", about("A remark that is recorded.", text(TEXT_BYTES)))
            .example(json!({"reason": "All access is justified"}))
            .schema()
    }
}
