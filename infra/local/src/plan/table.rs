//! A table of a template, as its CreateTable request.

use serde_json::{Value, json};

use crate::{
    known,
    template::{At, TemplateError, intrinsics::Scope},
};

use super::{STACK, names::stream_arn, resource_properties};

/// A table and its name in the engine.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) logical: String,
    pub(crate) name: String,
    pub(crate) stream_arn: Option<String>,
    pub(crate) ttl: Option<String>,
    /// The CreateTable request.
    pub(crate) request: Value,
}

pub(super) fn table(scope: &Scope, logical: &str, resource: &At) -> Result<Table, TemplateError> {
    let properties = resource_properties(scope, resource, known::TABLE)?;
    let name = format!("{STACK}-{logical}");
    let need = |name: &str| {
        properties.get(name).ok_or_else(|| resource.error(format!("{name} is missing")))
    };
    let mut request = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": key_schema(need("KeySchema")?)?,
        "AttributeDefinitions": pairs(need("AttributeDefinitions")?, "AttributeName", "AttributeType")?,
    });
    if let Some(protected) = properties.get("DeletionProtectionEnabled") {
        request["DeletionProtectionEnabled"] = protected.boolean()?.into();
    }
    for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        if let Some(indexes) = properties.get(kind) {
            request[kind] =
                indexes.items()?.iter().map(index).collect::<Result<Vec<_>, _>>()?.into();
        }
    }
    let mut stream = None;
    if let Some(specification) = properties.get("StreamSpecification") {
        specification.entries_of(&["StreamViewType"])?;
        let view = specification.need("StreamViewType")?.text()?.to_owned();
        request["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
        stream = Some(stream_arn(&name));
    }
    let mut ttl = None;
    if let Some(specification) = properties.get("TimeToLiveSpecification") {
        specification.entries_of(&["AttributeName", "Enabled"])?;
        if specification.need("Enabled")?.boolean()? {
            ttl = Some(specification.need("AttributeName")?.text()?.to_owned());
        }
    }
    Ok(Table { logical: logical.to_owned(), name, stream_arn: stream, ttl, request })
}

fn index(index: &At) -> Result<Value, TemplateError> {
    // Throughput settings are ignored, because tables have no capacity limits here.
    index.entries_of(&[
        "IndexName",
        "KeySchema",
        "OnDemandThroughput",
        "Projection",
        "ProvisionedThroughput",
    ])?;
    let projection = index.need("Projection")?;
    projection.entries_of(&["NonKeyAttributes", "ProjectionType"])?;
    let mut projected = json!({"ProjectionType": projection.need("ProjectionType")?.text()?});
    if let Some(names) = projection.get("NonKeyAttributes") {
        projected["NonKeyAttributes"] = names.texts()?.into();
    }
    Ok(json!({
        "IndexName": index.need("IndexName")?.text()?,
        "KeySchema": key_schema(&index.need("KeySchema")?)?,
        "Projection": projected,
    }))
}

fn key_schema(at: &At) -> Result<Value, TemplateError> {
    pairs(at, "AttributeName", "KeyType")
}

/// A list of mappings with two texts each.
fn pairs(at: &At, first: &str, second: &str) -> Result<Value, TemplateError> {
    let pair = |item: &At| -> Result<Value, TemplateError> {
        item.entries_of(&[first, second])?;
        Ok(json!({first: item.need(first)?.text()?, second: item.need(second)?.text()?}))
    };
    Ok(at.items()?.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into())
}
