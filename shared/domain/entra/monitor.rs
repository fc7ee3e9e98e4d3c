//! A record of the audit log as Azure Monitor delivers it to an event hub or a storage account: the
//! record is in `properties`, and the members around it describe the delivery.
//!
//! The id is that of the record, so a record that arrives by Graph and by Azure Monitor is one event.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    json::strict_json::FieldError,
    trail::{event::EventId, event_validation::Intake},
};

use crate::entra::{
    audit::{self, Delivery},
    draft::Draft,
    graph::{Object, name},
};

/// The categories of the audit log; the second is that of its first version.
const CATEGORIES: [&str; 2] = ["AuditLogs", "Audit"];

/// Members around the record that are kept. The others repeat members of the record.
const ENVELOPE: [&str; 11] = [
    "time",
    "resourceId",
    "tenantId",
    "operationVersion",
    "resultType",
    "resultSignature",
    "resultDescription",
    "callerIpAddress",
    "identity",
    "level",
    "location",
];

/// The record as one event; none if it is of another log.
pub fn read(object: &Object<'_>, intake: &Intake<'_>) -> Result<Vec<Draft>, FieldError> {
    if !is_of_audit_log(object)? {
        return Ok(Vec::new());
    }
    let properties = object
        .object(&["properties"])?
        .ok_or_else(|| object.wrong("properties", "is required: it is the record of the log"))?;
    let envelope: Map<String, Value> = object
        .only(&ENVELOPE)
        .into_iter()
        .filter_map(|(key, value)| match value {
            Value::String(text) => Some((key, name(&text).into())),
            Value::Number(_) | Value::Bool(_) => Some((key, value)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
        .collect();
    let id = match properties.id(&["id"])? {
        Some(_) => None,
        None => Some(id_of(object, intake)),
    };
    let members = completed(object, &properties)?;
    let record = Object::inside(&members, object.place("properties"));
    audit::read_delivered(&record, intake, Delivery { id, envelope: Some(envelope.into()) })
}

/// Why a record becomes no event.
pub fn nothing(object: &Object<'_>) -> String {
    let category = object.text(&["category"]).ok().flatten().unwrap_or_default();
    format!(
        "is of the category {:?}; of Azure Monitor's records, those of the audit log are imported: {}",
        name(category),
        CATEGORIES.join(", ")
    )
}

fn is_of_audit_log(object: &Object<'_>) -> Result<bool, FieldError> {
    let category = object.text(&["category"])?;
    Ok(category
        .is_some_and(|category| CATEGORIES.iter().any(|it| it.eq_ignore_ascii_case(category))))
}

/// The record with what the first version of the log has around it only.
fn completed(
    object: &Object<'_>,
    properties: &Object<'_>,
) -> Result<Map<String, Value>, FieldError> {
    let mut members = properties.members.clone();
    let is_missing = |names: &[&str]| properties.member(names).is_none();
    let mut add = |member: &str, value: Option<Cow<'_, str>>| {
        members.extend(value.map(|value| (member.to_owned(), Value::from(value.into_owned()))));
    };
    if is_missing(&audit::NAMES) {
        add("activityDisplayName", object.text(&["operationName"])?.map(Cow::Borrowed));
    }
    if is_missing(&audit::TIMES) {
        add("activityDateTime", object.text(&["time"])?.map(Cow::Borrowed));
    }
    if is_missing(&audit::RESULTS) {
        add("result", object.word(&["resultType"])?);
    }
    if is_missing(&["category"]) {
        add("category", properties.text(&["auditEventCategory"])?.map(Cow::Borrowed));
    }
    // Its lists are texts where they are empty.
    for list in ["additionalDetails", "targetUpdatedProperties"] {
        if let Some((key, value)) = properties.member(&[list])
            && !value.is_array()
        {
            members.remove(key);
        }
    }
    // Graph writes the results as words, Azure Monitor as numbers.
    if let Some((key, Value::Number(_))) = properties.member(&audit::RESULTS)
        && let Some(result) = audit::result_of(properties)?
    {
        members.insert(key.to_owned(), result.into());
    }
    if is_missing(&audit::INITIATORS)
        && let Some(identity) = object.text(&["identity"])?.filter(|it| *it != "NA")
    {
        let initiator = match identity.contains('@') {
            true => json!({"user": {"userPrincipalName": identity}}),
            false => json!({"app": {"displayName": identity}}),
        };
        members.insert("initiatedBy".to_owned(), initiator);
    }
    Ok(members)
}

/// An id for a record that has none, made of all of it.
fn id_of(object: &Object<'_>, intake: &Intake<'_>) -> String {
    let whole = Value::Object(object.members.clone()).to_string();
    EventId::hash_of(intake.tenant, "entra_record", &whole).as_str().to_owned()
}
