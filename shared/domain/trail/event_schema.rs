//! The schemas of events in requests, and an example of each action.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{
    json::{
        object_reader::{NAME_BYTES, TEXT_BYTES},
        request_schema::{
            Object, about, either, id, instant, length, list, matching, named, text, texts, whole,
            word, words,
        },
    },
    trail::{
        actions::{Writer, definitions},
        event::{Actor, Event, Origin, Outcome, Party, Policy, Scope, Session, Ticket},
        event_validation::{ID_BYTES, MAX_APPROVALS_NEEDED, MAX_ROLES},
    },
};

/// Maximum number of events in one request.
const MAX_EVENTS: usize = 500;
/// The guide that has an example of each action that callers write.
const GUIDE: &str = include_str!("../../../docs/events.md");

/// The body of `POST /v1/events`: one event, or several.
#[derive(Debug)]
pub struct EventsRequest;

impl JsonSchema for EventsRequest {
    fn schema_name() -> Cow<'static, str> {
        "EventsRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let event = generator.subschema_for::<EventRequest>();
        let several = Object::new(
            "Several events. An invalid event does not affect the others: the answer has an outcome for each event.",
        )
        .required(
            "events",
            about(
                "Each is checked and stored by itself.",
                list(event.clone(), 0..=MAX_EVENTS),
            ),
        )
        .example(json!({"events": examples().take(2).collect::<Vec<_>>()}));
        let several = named("SeveralEventsRequest", several.schema(), generator);
        either("One event, or a list of events. At most 4 MiB.", [event, several])
    }
}

/// An event as callers send it.
#[derive(Debug)]
pub struct EventRequest;

impl JsonSchema for EventRequest {
    fn schema_name() -> Cow<'static, str> {
        "NewEvent".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let party = generator.subschema_for::<PartyRequest>();
        let actor = generator.subschema_for::<ActorRequest>();
        let window = window(generator);
        let whole_event = Object::like::<Event>(
            "An event, of at most 64 KiB. Which members an action needs besides `action`, `occurred_at` and `actor` is in `GET /v1/actions`. \
             `roles` is for `roles.assigned` and `roles.removed`, `window` for actions that open a window. \
             With the outcome `failure`, `reason` is required.",
        )
        .optional("id", about("Generated if absent.", event_id()))
        .required("action", action())
        .required("occurred_at", about("RFC 3339 with an offset, at most 5 minutes in the future and not older than the retention.", instant()))
        .required("actor", actor)
        .optional("subject", party.clone())
        .optional("account", party.clone())
        .optional("target", party.clone())
        .optional("session", session())
        .optional("request_id", addressable())
        .optional("justification", text(TEXT_BYTES))
        .optional("reason", text(TEXT_BYTES))
        .optional("ticket", ticket())
        .optional("approver", party)
        .optional("policy", policy())
        .optional("roles", texts(1..=MAX_ROLES))
        .optional("outcome", about("`success` if absent.", word::<Outcome>()))
        .optional("window", window)
        .optional("source", source())
        .optional("details", json_schema!({"type": "object"}));
        examples().fold(whole_event, Object::example).schema()
    }
}

/// The actor of an event in a request.
#[derive(Debug)]
pub struct ActorRequest;

impl JsonSchema for ActorRequest {
    fn schema_name() -> Cow<'static, str> {
        "ActorRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::like::<Actor>(
            "Who acted: a person or a program by at least one of id, name and email, or the system itself without these. \
             Only some actions accept the system.",
        )
        .required("type", words(&["user", "scm", "service", "system"]))
        .optional("id", text(NAME_BYTES))
        .optional("name", text(NAME_BYTES))
        .optional("email", text(NAME_BYTES))
        .schema()
    }
}

/// A person, account or thing of an event in a request.
#[derive(Debug)]
pub struct PartyRequest;

impl JsonSchema for PartyRequest {
    fn schema_name() -> Cow<'static, str> {
        "PartyRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::like::<Party>("A person, account or thing, by at least one of id, name and email.")
            .optional("type", text(NAME_BYTES))
            .optional("id", text(NAME_BYTES))
            .optional("name", text(NAME_BYTES))
            .optional("email", text(NAME_BYTES))
            .schema()
    }
}

fn event_id() -> Schema {
    about("Must not start with `sys_` or `entra_`, in any case.", id(ID_BYTES))
}

/// The actions that callers may write.
fn action() -> Schema {
    let names: Vec<_> = definitions()
        .filter(|action| action.writer != Writer::Service)
        .map(|action| action.name)
        .collect();
    about("What happened.", words(&names))
}

fn session() -> Schema {
    Object::like::<Session>(
        "The session that the event is about. With the scope `role` it has no `starts_at` and no `ends_at`.",
    )
    .required("id", addressable())
    .required("scope", word::<Scope>())
    .optional("roles", texts(1..=MAX_ROLES))
    .optional("username", text(NAME_BYTES))
    .optional("starts_at", instant())
    .optional("ends_at", about("After `starts_at`.", instant()))
    .optional("approvals_needed", whole(0..=MAX_APPROVALS_NEEDED))
    .schema()
}

/// An id that is part of addresses.
fn addressable() -> Schema {
    about(
        "Without `/`, because the id is part of addresses.",
        matching(r"^[^/\u0000]+$", NAME_BYTES),
    )
}

fn ticket() -> Schema {
    Object::like::<Ticket>("The ticket that belongs to the request.")
        .required("id", text(NAME_BYTES))
        .optional("url", text(TEXT_BYTES))
        .optional("system", text(NAME_BYTES))
        .schema()
}

fn policy() -> Schema {
    Object::like::<Policy>("An approval policy in the version that applied.")
        .required("id", text(NAME_BYTES))
        .required("version", text(NAME_BYTES))
        .schema()
}

fn source() -> Schema {
    Object::like::<Origin>("The origin of the event.")
        .optional("ip", text(NAME_BYTES))
        .optional("user_agent", text(TEXT_BYTES))
        .optional("client", text(NAME_BYTES))
        .schema()
}

fn window(generator: &mut SchemaGenerator) -> Schema {
    let asked = Object::new("Either `duration` or `ends_at`.")
        .optional("duration", about("How long the window is.", length()))
        .optional("ends_at", about("When the window ends.", instant()));
    either(
        "The window to open; false to open none. If absent, its length is that of the application.",
        [json_schema!({"const": false}), named("NewWindow", asked.schema(), generator)],
    )
}

/// An example of each action that callers write, in the order of the guide.
pub fn examples() -> impl Iterator<Item = Value> {
    let lines = GUIDE.lines().filter(|line| line.starts_with(r#"{"id": "ex-"#));
    lines.filter_map(|line| serde_json::from_str(line).ok()).map(|mut event: Value| {
        event["occurred_at"] = "2026-11-22T00:26:07Z".into();
        event
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::trail::{
        event::{EventId, Tenant},
        event_validation::{self, Intake},
    };

    #[test]
    fn each_action_of_callers_has_an_example_that_is_accepted() {
        let tenant = Tenant::new("acme").unwrap();
        let now = "2026-11-22T00:30:00Z".parse().unwrap();
        let intake = Intake { tenant: &tenant, now, retention: Duration::from_secs(86_400) };
        let mut actions = Vec::new();
        for example in examples() {
            let id = || EventId::new("none").unwrap();
            let event = event_validation::read(&example.to_string(), &intake, id);
            actions.push(event.unwrap_or_else(|errors| panic!("{example}: {errors:?}")).action);
        }
        for action in definitions().filter(|action| action.writer != Writer::Service) {
            assert!(actions.iter().any(|other| other.as_str() == action.name), "{}", action.name);
        }
    }
}
