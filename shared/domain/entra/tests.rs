//! Objects from the documentation of Microsoft Graph, v1.0 and beta, and the events they become.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::trail::event::Tenant;

mod approval;
mod assignment;
mod audit;
mod first_versions;
mod monitor;
mod organisation;
mod package;
mod pim;
mod request;

const NOW: &str = "2026-11-22T12:00:00.000Z";

fn read_object(object: &Value) -> Result<Content, Vec<FieldError>> {
    read_from_page(object, None)
}

fn read_from_page(object: &Value, context: Option<&str>) -> Result<Content, Vec<FieldError>> {
    let tenant = Tenant::new("acme").unwrap();
    let intake = Intake {
        tenant: &tenant,
        now: NOW.parse().unwrap(),
        retention: Duration::from_secs(400 * 86_400),
    };
    read_of_page(&object.to_string(), context, &intake)
}

fn events(object: &Value) -> Vec<Event> {
    match read_object(object) {
        Ok(Content::Events(events)) => events,
        other => panic!("{object}: {other:?}"),
    }
}

fn event(object: &Value) -> Event {
    let mut events = events(object);
    assert_eq!(events.len(), 1, "{object}");
    events.remove(0)
}

/// Why nothing is stored of an object.
fn nothing(object: &Value) -> String {
    match read_object(object) {
        Ok(Content::Nothing(reason)) => reason,
        other => panic!("{object}: {other:?}"),
    }
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn audits() -> Vec<Value> {
    fixture(include_str!("fixtures/directory_audits.json"))["value"].as_array().unwrap().clone()
}

fn request() -> Value {
    fixture(include_str!("fixtures/request.json"))
}

fn assignment() -> Value {
    fixture(include_str!("fixtures/assignment.json"))
}

fn with(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// Asserts that the object is rejected at that place.
fn refused(object: &Value, pointer: &str, part: &str) {
    let errors = read_object(object).expect_err(&object.to_string());
    assert!(
        errors.iter().any(|error| error.pointer == pointer && error.detail.contains(part)),
        "{object}: {errors:?}"
    );
}

fn detail<'e>(event: &'e Event, pointer: &str) -> &'e Value {
    static NONE: Value = Value::Null;
    let (first, rest) = pointer
        .split_once('/')
        .map_or((pointer, String::new()), |(first, rest)| (first, format!("/{rest}")));
    event.details.as_ref().and_then(|details| details.get(first)?.pointer(&rest)).unwrap_or(&NONE)
}

#[test]
fn what_is_wrong_is_named_where_it_stands_in_the_object() {
    refused(&json!([]), "", "object");
    refused(&json!({"id": "x", "displayName": "y"}), "", "@odata.type");
    refused(
        &json!({"@odata.type": "#microsoft.graph.user", "id": "x"}),
        "/@odata.type",
        "directoryAudit",
    );
    refused(&json!({"id": "s", "reviewResult": "Approved"}), "", "$expand=stages");
    let audit = audits()[0].clone();
    refused(&with(audit.clone(), json!({"id": null})), "/id", "required");
    refused(
        &with(audit.clone(), json!({"activityDateTime": "yesterday"})),
        "/activityDateTime",
        "RFC 3339",
    );
    refused(
        &with(audit.clone(), json!({"activityDateTime": "2019-01-01T00:00:00Z"})),
        "/activityDateTime",
        "400 days",
    );
    refused(
        &with(audit.clone(), json!({"activityDisplayName": 7})),
        "/activityDisplayName",
        "string",
    );
    refused(&with(audit.clone(), json!({"targetResources": {}})), "/targetResources", "list");
    refused(&with(audit, json!({"targetResources": [1]})), "/targetResources/0", "object");
    refused(&with(request(), json!({"accessPackage": null})), "/accessPackage", "$expand");
    refused(&with(request(), json!({"requestor": null})), "/requestor", "$expand");
    refused(&with(request(), json!({"completedDateTime": null})), "/completedDateTime", "required");
    refused(
        &with(request(), json!({"createdDateTime": "2031-01-01T00:00:00Z"})),
        "/createdDateTime",
        "future",
    );
    refused(&with(assignment(), json!({"schedule": null})), "/schedule", "since when");
    let mut approval = fixture(include_str!("fixtures/approval.json"));
    approval["stages"][0]["reviewedBy"] = Value::Null;
    refused(&approval, "/stages/0/reviewedBy", "who decided");
    let mut package = fixture(include_str!("fixtures/package.json"));
    package["resourceRoleScopes"][0]["role"] = Value::Null;
    refused(&package, "/resourceRoleScopes/0/role", "$expand");
    let mut package = fixture(include_str!("fixtures/package.json"));
    package["assignmentPolicies"][0]["expiration"]["duration"] = "P1M".into();
    refused(&package, "/assignmentPolicies/0/expiration/duration", "ISO 8601");
}

/// The pointers of all values inside a value.
fn places(at: &str, value: &Value, places: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (strict_json::pointer_to(at, key), value)).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect()
        }
        _ => Vec::new(),
    };
    for (place, value) in inner {
        self::places(&place, value, places);
        places.push(place);
    }
}

#[test]
fn whatever_stands_in_a_member_an_object_is_taken_or_its_place_is_named() {
    let objects = [
        audits()[0].clone(),
        audits()[1].clone(),
        request(),
        fixture(include_str!("fixtures/request_beta.json")),
        assignment(),
        fixture(include_str!("fixtures/assignment_beta.json")),
        fixture(include_str!("fixtures/approval.json")),
        fixture(include_str!("fixtures/package.json")),
        fixture(include_str!("fixtures/package_beta.json")),
        fixture(include_str!("fixtures/organisation.json")),
        fixture(include_str!("fixtures/pim_request.json")),
        fixture(include_str!("fixtures/pim_group_request.json")),
        fixture(include_str!("fixtures/pim_instance.json")),
        fixture(include_str!("fixtures/pim_schedule.json")),
        pim::record(0),
        pim::record(3),
        fixture(include_str!("fixtures/app_role_service_principal.json")),
        fixture(include_str!("fixtures/directory_audits_first.json"))["value"][1].clone(),
        fixture(include_str!("fixtures/monitor.json"))["records"][0].clone(),
        fixture(include_str!("fixtures/monitor.json"))["records"][2].clone(),
        with(request(), json!({"requestType": "teleport"})),
    ];
    let values = [
        Value::Null,
        json!(true),
        json!(-7.5),
        json!(""),
        json!(" \u{200b}"),
        json!("x".repeat(5000)),
        json!("2026-10-01T00:00:00Z"),
        json!([]),
        json!([7]),
        json!({}),
    ];
    for object in &objects {
        let mut all = Vec::new();
        places("", object, &mut all);
        for (place, value) in
            all.iter().flat_map(|place| values.iter().map(move |value| (place, value)))
        {
            let mut changed = object.clone();
            *changed.pointer_mut(place).unwrap() = value.clone();
            let Err(errors) = read_object(&changed) else { continue };
            assert!(!errors.is_empty(), "{place} {value}");
            for FieldError { pointer, detail } in errors {
                // A missing member is reported inside the object that lacks it.
                let around = pointer.rsplit_once('/').map_or("", |(around, _)| around);
                assert!(
                    changed.pointer(around).is_some_and(|it| it.is_object() || it.is_array()),
                    "{place}: {pointer} {detail}"
                );
                assert!(!detail.is_empty());
            }
        }
    }
}
