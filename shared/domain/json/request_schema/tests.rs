//! Compares the schema of each body with its reader: for the examples, and for each change of an example.
//! A reader refuses more than its schema, never less.

use std::time::Duration;

use schemars::generate::SchemaSettings;

use super::*;
use crate::{
    configuration::{
        access_package::{Package, PackageRequest},
        address_policy::Place,
        application::{Application, ApplicationRequest},
        application_test::TestApplicationRequest,
        organisation::{Organisation, OrganisationRequest},
        settings::{Settings, SettingsRequest},
    },
    findings::finding::{self, DispositionRequest},
    identity::person::{Person, PersonRequest},
    json::strict_json::FieldError,
    reviews::{
        review::{self, DecisionRequest, ReviewRequest, SignOffRequest},
        review_item,
        review_plan::{ReviewPlan, ReviewPlanRequest},
    },
    streams::stream::{self, ReplayRequest, StreamRequest},
    trail::{
        event::{Actor, EventId, Tenant},
        event_schema::EventRequest,
        event_validation::{self, Intake},
    },
    windows::window_commands::{
        EndWindowRequest, EndWindowsRequest, Ending, ExtendWindowRequest, Extension,
    },
};

type Errors = Vec<FieldError>;
type Reader = Box<dyn Fn(&str) -> Result<(), Errors>>;

/// The body of one kind of request.
struct Body {
    name: String,
    schema: Value,
    read: Reader,
}

fn body<T: JsonSchema, R>(read: impl Fn(&str) -> Result<R, Errors> + 'static) -> Body {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    Body {
        name: T::schema_name().into_owned(),
        schema: generator.into_root_schema_for::<T>().to_value(),
        read: Box::new(move |json| read(json).map(drop)),
    }
}

fn bodies() -> Vec<Body> {
    const PLACE: Place = Place::Deployed;
    let settings = Settings { retention_days: 400, zone: "UTC".to_owned(), ..Settings::default() };
    vec![
        body::<SettingsRequest, _>(move |json| settings.changed_by(json, PLACE, now())),
        body::<PersonRequest, _>(Person::read),
        body::<ApplicationRequest, _>(|json| Application::read(json, PLACE)),
        body::<TestApplicationRequest, _>(TestApplicationRequest::read),
        body::<PackageRequest, _>(Package::read),
        body::<OrganisationRequest, _>(Organisation::read),
        body::<StreamRequest, _>(|json| stream::RequestedStream::read(json, PLACE, "UTC")),
        body::<ReplayRequest, _>(|json| stream::read_replay(json, "UTC")),
        body::<ExtendWindowRequest, _>(Extension::read),
        body::<EndWindowRequest, _>(|json| Ending::read(json, false)),
        body::<EndWindowsRequest, _>(|json| Ending::read(json, true)),
        body::<DispositionRequest, _>(finding::Said::read),
        body::<ReviewRequest, _>(|json| review::RequestedReview::read(json, "UTC")),
        body::<ReviewPlanRequest, _>(|json| {
            ReviewPlan::read(json, "UTC", Actor::system(), now(), None)
        }),
        body::<DecisionRequest, _>(review_item::Said::read),
        body::<SignOffRequest, _>(review::read_sign_off),
        event(),
    ]
}

fn now() -> crate::time::timestamp::Instant {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn event() -> Body {
    body::<EventRequest, _>(|json| {
        let tenant = Tenant::new("acme").unwrap();
        let intake = Intake { tenant: &tenant, now: now(), retention: Duration::from_secs(86_400) };
        event_validation::read(json, &intake, || EventId::new("none").unwrap())
    })
}

/// The examples of the whole body.
fn examples(schema: &Value) -> Vec<Value> {
    let own = schema["examples"].as_array().cloned().unwrap_or_default();
    assert!(!own.is_empty(), "{schema}");
    own
}

/// Whether a value is valid. Patterns and formats are not checked.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else { return schema != &Value::Bool(false) };
    let valid = |schema: &Value, value: &Value| is_valid(root, schema, value);
    let length = |value: &Value| value.as_str().map(|text| text.chars().count() as u64);
    let items = |value: &Value| value.as_array().map(|list| list.len() as u64);
    keywords.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$ref" => valid(root.pointer(&rule.as_str().unwrap()[1..]).unwrap(), value),
        "type" => {
            let types: Vec<_> = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
            types.iter().any(|name| match name.as_str().unwrap() {
                "string" => value.is_string(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                "null" => value.is_null(),
                other => panic!("{other}"),
            })
        }
        "const" => rule == value,
        "enum" => rule.as_array().unwrap().contains(value),
        "minLength" => length(value).is_none_or(|length| length >= rule.as_u64().unwrap()),
        "maxLength" => length(value).is_none_or(|length| length <= rule.as_u64().unwrap()),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "minItems" => items(value).is_none_or(|count| count >= rule.as_u64().unwrap()),
        "maxItems" => items(value).is_none_or(|count| count <= rule.as_u64().unwrap()),
        "uniqueItems" => value.as_array().is_none_or(|list| {
            list.iter().enumerate().all(|(place, item)| !list[..place].contains(item))
        }),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|item| valid(rule, item))),
        "required" => value.as_object().is_none_or(|members| {
            rule.as_array().unwrap().iter().all(|key| members.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|members| {
            members.iter().all(|(key, value)| rule.get(key).is_none_or(|it| valid(it, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|members| {
            members.keys().all(|key| keywords["properties"].get(key).is_some())
        }),
        "anyOf" => rule.as_array().unwrap().iter().any(|one| valid(one, value)),
        "oneOf" => rule.as_array().unwrap().iter().filter(|one| valid(one, value)).count() == 1,
        "allOf" => rule.as_array().unwrap().iter().all(|one| valid(one, value)),
        "pattern" | "format" | "description" | "examples" | "title" | "$schema" | "$defs" => true,
        other => panic!("{other}"),
    })
}

/// The pointers of all values inside a value.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, it)| (key.clone(), it)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(place, it)| (place.to_string(), it)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in inside {
        let pointer = crate::json::strict_json::pointer_to(at, &key);
        found.push(pointer.clone());
        pointers(value, &pointer, found);
    }
}

fn without(example: &Value, pointer: &str) -> Option<Value> {
    let mut changed = example.clone();
    let (parent, key) = pointer.rsplit_once('/')?;
    changed.pointer_mut(parent)?.as_object_mut()?.remove(key)?;
    Some(changed)
}

/// Each change of the example that may make it invalid.
fn changes(example: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    pointers(example, "", &mut all);
    let mut changes = Vec::new();
    for pointer in &all {
        changes.extend(without(example, pointer));
        let mut put = |value: Value| {
            let mut changed = example.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            changes.push(changed);
        };
        for other in [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(4_294_967_296_u64),
            json!(""),
            json!("x".repeat(5000)),
            json!("now"),
            json!([]),
            json!([null]),
            json!(["x"]),
            json!({}),
            json!({"zzz": 1}),
        ] {
            put(other);
        }
        match example.pointer(pointer).unwrap() {
            Value::Array(list) if !list.is_empty() => put(vec![list[0].clone(); 600].into()),
            Value::Object(members) => {
                let mut more = members.clone();
                more.insert("zzz_unknown".to_owned(), json!("x"));
                put(more.into());
            }
            _ => {}
        }
    }
    changes
}

#[test]
fn examples_are_valid_and_accepted() {
    for Body { name, schema, read } in &bodies() {
        for example in examples(schema) {
            assert!(is_valid(schema, schema, &example), "{name}: {example}");
            read(&example.to_string()).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        }
    }
}

#[test]
fn what_a_schema_refuses_its_reader_refuses() {
    for Body { name, schema, read } in &bodies() {
        for example in examples(schema) {
            for changed in changes(&example) {
                let is_refused = || read(&changed.to_string()).is_err();
                let is_valid = is_valid(schema, schema, &changed);
                assert!(is_valid || is_refused(), "{name} is read, against its schema: {changed}");
            }
        }
    }
}

/// Finds the pointers of the members that the schema knows and the value lacks.
fn members_to_add(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        members_to_add(root, root.pointer(&reference[1..]).unwrap(), value, at, found);
    }
    for alternatives in [&schema["oneOf"], &schema["anyOf"]] {
        let fitting = alternatives.as_array().into_iter().flatten();
        for schema in fitting.filter(|schema| is_valid(root, schema, value)) {
            members_to_add(root, schema, value, at, found);
        }
    }
    if let (Some(properties), Value::Object(members)) = (schema["properties"].as_object(), value) {
        for (key, schema) in properties.iter().filter(|(_, schema)| schema.is_object()) {
            let pointer = format!("{at}/{key}");
            match members.get(key) {
                Some(value) => members_to_add(root, schema, value, &pointer, found),
                None => found.push(pointer),
            }
        }
    }
    for (place, value) in value.as_array().into_iter().flatten().enumerate() {
        members_to_add(root, &schema["items"], value, &format!("{at}/{place}"), found);
    }
}

#[test]
fn readers_know_every_member() {
    for Body { name, schema, read } in &bodies() {
        let examples = examples(schema);
        for example in &examples {
            let mut missing = Vec::new();
            members_to_add(schema, schema, example, "", &mut missing);
            // Another kind of the same object may have the member.
            missing.retain(|pointer| examples.iter().all(|it| it.pointer(pointer).is_none()));
            for pointer in missing {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                let mut changed = example.clone();
                let object = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                object.insert(key.to_owned(), json!([[]]));
                let errors = read(&changed.to_string()).err().unwrap_or_default();
                let is_known = !errors.iter().any(|error| error.detail.contains("no known field"));
                assert!(is_known, "{name}{pointer}: {errors:?}");
            }
        }
    }
}
