//! The description of the API (OpenAPI 3.1), from the tables of routes of all functions, with the
//! [`examples`] of answers. [`reference`] makes the tables of its guide.

mod examples;
pub mod reference;

use std::collections::BTreeMap;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use shared::{
    domain::identity::caller::Permission,
    http::{
        authorization,
        description::Operation,
        problem::Problem,
        route::{Description, Needs, Route},
    },
};

const SCHEMAS: &str = "/components/schemas";

/// The groups of operations, by the first part of their paths, in the order in which they are read.
const TAGS: &[(&str, &str)] = &[
    ("events", "The audit trail: recording, reading and searching events."),
    ("feed", "Events in the order of recording."),
    ("actions", "The catalogue of actions."),
    ("sessions", "Requests for access, from creation to end."),
    ("windows", "The times during which accounts may stay enabled."),
    ("settings", "The settings of a tenant."),
    ("people", "People, with their names in different systems."),
    ("applications", "Applications whose accounts the service disables, and their directories."),
    ("packages", "Access packages and their policies."),
    ("organisations", "Connected organisations."),
    ("connections", "Directories from which the service collects records."),
    ("streams", "Forwarding of events to other systems."),
    ("exports", "Files of events and reports."),
    ("saved", "Saved searches and reports, and their schedules."),
    (
        "reports",
        "Reports on access. Reading is recorded as `report.run`, once an hour for each caller and query.",
    ),
    ("checkpoints", "The rules that raise findings."),
    ("findings", "Violations of checkpoints."),
    ("projections", "What the service computes from the trail."),
    ("alerts", "Messages about findings, and their deliveries."),
    ("reviews", "Access reviews."),
    ("review-plans", "Plans of access reviews: reviews that the service opens after each period."),
    ("calendar", "What is due in a range of time."),
    ("me", "The caller."),
    ("openapi.json", "This description."),
];

/// What is the same for all tenants.
const OF_NO_TENANT: [&str; 2] = ["/v1/actions", "/v1/reports"];

/// The start of the sentence about permissions at the end of a description.
const PERMISSIONS: &str = " Needs the permission ";

/// A row of a table, without its handler.
struct Row {
    name: &'static str,
    about: &'static str,
    method: String,
    path: &'static str,
    needs: Needs,
    description: Description,
}

fn rows() -> Vec<Row> {
    fn of<H>(table: &'static [Route<H>]) -> impl Iterator<Item = Row> {
        table.iter().map(|route| Row {
            name: route.name,
            about: route.about,
            method: route.method.as_str().to_ascii_lowercase(),
            path: route.path,
            needs: route.needs,
            description: route.description,
        })
    }
    of(ingest::routes::ROUTES)
        .chain(of(query::routes::SERVICE_ROUTES))
        .chain(of(query::routes::TENANT_ROUTES))
        .chain(of(manage::routes::ROUTES))
        .chain(of(export::routes::ROUTES))
        .chain(of(portal::routes::ROUTES))
        // The page's own files are no API.
        .filter(|row| row.path != "/" && !row.path.starts_with("/page/"))
        .collect()
}

/// The description of the API.
pub fn document() -> Value {
    let mut requests = generator(SchemaSettings::draft2020_12());
    let mut answers = generator(SchemaSettings::draft2020_12().for_serialize());
    let problem = answers.subschema_for::<Problem>().to_value();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for row in rows() {
        for (path, name, about, operation) in operations(&row, &mut requests, &mut answers) {
            let described = described(&row, &name, &about, operation);
            paths.entry(path).or_default().insert(row.method.clone(), described);
        }
    }
    let mut responses = Map::new();
    for row in rows() {
        for (status, name, description, _) in errors(&row, true) {
            responses.insert(name.to_owned(), error(status, description, &problem));
        }
    }
    let mut schemas = answers.take_definitions(true);
    schemas.values_mut().for_each(without_null);
    let renamed = merge(&mut schemas, requests.take_definitions(true));
    let mut paths = json!(paths);
    without_booleans(&mut paths);
    let examples = examples::by_name();
    for operation in paths.as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in operation.as_object_mut().into_iter().flat_map(Map::values_mut) {
            for part in ["parameters", "requestBody"] {
                if let Some(part) = operation.get_mut(part) {
                    rename(part, &renamed);
                }
            }
            examples::add_to(operation, &examples);
        }
    }
    schemas.insert("GatewayError".to_owned(), gateway_error());
    let mut schemas = Value::Object(schemas);
    without_booleans(&mut schemas);
    describe_variants(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Jit Audit",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The audit trail for just-in-time access. Times are RFC 3339 in UTC with three decimals. \
                            Lists are read page by page: pass `next` of a page as `cursor`. \
                            Errors are problem documents (RFC 9457). `errors` names all wrong members of a body by JSON Pointers, \
                            or all wrong query parameters. \
                            A member or parameter that is not described is refused.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": TAGS.iter().map(|(name, about)| json!({"name": name, "description": about})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters(),
            "responses": responses,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the configured issuer. Its scopes or roles give the permissions \
                                    audit:read, audit:write, audit:self, audit:operate and audit:admin; \
                                    a claim names the tenant, or several.",
                },
            },
        },
    })
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    settings
        .with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
        .into_generator()
}

/// The operations of a row: path, name, what it does, and what it takes and answers. Each report
/// has an operation of its own, with its own parameters and rows.
fn operations(
    row: &Row,
    requests: &mut SchemaGenerator,
    answers: &mut SchemaGenerator,
) -> Vec<(String, String, String, Map<String, Value>)> {
    if row.path == query::reports::PATH {
        let each = |report: &'static query::reports::Described| {
            let mut operation = Operation::new(requests, answers);
            query::reports::describe(report, &mut operation);
            let name = report.name.replace('-', "_");
            let path = row.path.replace("{report}", report.name);
            let about = format!("The report `{}`: {}", report.name, report.answers);
            (path, format!("report_{name}"), about, operation.finish())
        };
        let mut described: Vec<_> = query::reports::by_name().map(each).collect();
        described.extend(operation_of(row, requests, answers));
        return described;
    }
    operation_of(row, requests, answers).into_iter().collect()
}

/// The operation of a row: path, name, what it does, and what it takes and answers.
fn operation_of(
    row: &Row,
    requests: &mut SchemaGenerator,
    answers: &mut SchemaGenerator,
) -> Option<(String, String, String, Map<String, Value>)> {
    let mut operation = Operation::new(requests, answers);
    row.description.describe(&mut operation);
    Some((row.path.to_owned(), row.name.to_owned(), row.about.to_owned(), operation.finish()))
}

/// The operation with its name, permission, tenant and errors.
fn described(row: &Row, name: &str, about: &str, mut operation: Map<String, Value>) -> Value {
    let about: Vec<_> = about.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let about = about.join(" ");
    let summary = about.split_inclusive(". ").next().unwrap_or(&about).trim().trim_end_matches('.');
    operation.insert("operationId".to_owned(), name.into());
    operation.insert("summary".to_owned(), summary.into());
    let tag = row.path.trim_start_matches("/v1").trim_start_matches('/');
    let tag = tag.split('/').next().unwrap_or_default();
    operation.insert("tags".to_owned(), json!([tag]));
    let permissions = match row.needs {
        Needs::Nothing => Vec::new(),
        Needs::Permission(permission) => vec![permission],
        Needs::Either(one, other) => vec![one, other],
    };
    let needs: Vec<_> = permissions.iter().map(|it| format!("`{}`", name_of(*it))).collect();
    let mut description = about;
    if !needs.is_empty() {
        description.push_str(&format!("{PERMISSIONS}{}.", needs.join(" or ")));
    }
    operation.insert("description".to_owned(), description.into());
    let security = permissions.iter().map(|it| json!({"token": [name_of(*it)]}));
    operation.insert("security".to_owned(), security.collect());
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        let refer = |name: &str| json!({"$ref": format!("#/components/parameters/{name}")});
        if row.needs != Needs::Nothing && !OF_NO_TENANT.contains(&row.path) {
            parameters.push(refer("Tenant"));
        }
        if is_conditional(row) {
            parameters.push(refer("IfMatch"));
        }
        if row.method == "put" && is_conditional(row) {
            parameters.push(refer("IfNoneMatch"));
        }
    }
    // A search by POST repeats its body, which no link can hold.
    if row.method != "get"
        && let Some(page) = operation.get_mut("responses").and_then(|it| it.get_mut("200"))
        && let Some(headers) = page.get_mut("headers").and_then(Value::as_object_mut)
    {
        headers.remove("Link");
    }
    let has_body = operation.contains_key("requestBody");
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for (status, name, _, is_there) in errors(row, has_body) {
        if is_there {
            responses[status] = json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    operation.into()
}

/// Headers that several operations have.
fn parameters() -> Value {
    json!({
        "Tenant": {
            "name": "Audit-Tenant",
            "in": "header",
            "description": "One of the tenants of the token. Needed if the token has several.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "The ETag of the version that the change is made to; `*` for any. The change is refused if there is another version by now.",
            "schema": {"type": "string", "pattern": r#"^(\*|"[^",]*"(, *"[^",]*")*)$"#},
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "`*`: the change is refused if there is such a document. Not together with If-Match.",
            "schema": {"type": "string", "pattern": "^\\*$"},
        },
    })
}

/// The errors of an operation: status, name, description, and whether the operation has it.
fn errors(row: &Row, has_body: bool) -> [(&'static str, &'static str, &'static str, bool); 14] {
    let is_public = row.needs == Needs::Nothing;
    let changes = row.method != "get";
    let has_id = row.path.contains('{');
    let has_links = row.path == "/v1/exports/{id}/links";
    [
        ("400", "BadRequest", "The request cannot be read, or a parameter is wrong.", !is_public),
        ("401", "Unauthorized", "No valid token.", !is_public),
        ("403", "Forbidden", "The token does not allow it.", !is_public),
        ("404", "NotFound", "The tenant has no such thing, or the token no such tenant.", true),
        ("409", "Conflict", "It contradicts what is stored.", changes),
        ("410", "Gone", "The files have expired and are deleted.", has_links),
        (
            "412",
            "PreconditionFailed",
            "The document has another version, or is there or not there against what the request expects.",
            is_conditional(row),
        ),
        ("413", "ContentTooLarge", "The body is too large.", changes),
        ("415", "UnsupportedMediaType", "The body's media type is not supported.", changes),
        ("422", "UnprocessableContent", "A member is wrong.", has_body || (changes && has_id)),
        ("429", "TooManyRequests", "Too many requests, or too much work is under way.", true),
        ("431", "HeadersTooLarge", "The headers are too large.", true),
        ("500", "ServerError", "A fault of the service. It has been logged.", true),
        ("503", "Unavailable", "No answer in time. A retry is safe.", true),
    ]
}

/// An error is a problem document of this service, or a message of the gateway before it.
fn error(status: &str, description: &str, problem: &Value) -> Value {
    let gateway = json!({"$ref": format!("#{SCHEMAS}/GatewayError")});
    // One schema for both media types, because generated clients look at the first one only.
    let either = json!({"oneOf": [problem, gateway]});
    let content = match status {
        "401" | "431" => json!({"application/json": {"schema": gateway}}),
        _ => json!({
            "application/problem+json": {"schema": either},
            "application/json": {"schema": either},
        }),
    };
    let mut response = json!({"description": description, "content": content});
    if matches!(status, "429" | "503") {
        response["headers"]["Retry-After"] = json!({
            "description": "After how many seconds to try again.",
            "schema": {"type": "integer"},
        });
    }
    response
}

/// Whether it changes one document, which may have changed since the caller read it.
fn is_conditional(row: &Row) -> bool {
    let is_one = row.path.ends_with("{id}") || row.path == "/v1/settings";
    is_one && matches!(row.method.as_str(), "put" | "delete")
}

fn gateway_error() -> Value {
    json!({
        "type": "object",
        "description": "A refusal of API Gateway, before the request came to the service.",
        "properties": {
            "message": {"type": "string", "description": "The reason, such as `Unauthorized`."},
        },
        "required": ["message"],
        "additionalProperties": false,
    })
}

fn name_of(permission: Permission) -> &'static str {
    authorization::scope_name(permission)
}

/// A member that may be left out of an answer is never null, but schemars says so of every `Option`.
/// The summary of a report is the exception: it is an `Option` of an `Option`.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let required: Vec<Value> =
                members.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            let properties = members.get_mut("properties").and_then(Value::as_object_mut);
            for (name, property) in properties.into_iter().flatten() {
                if required.contains(&json!(name)) || name == "summary" {
                    continue;
                }
                for list in ["type", "anyOf"] {
                    let Some(Value::Array(any)) = property.get_mut(list) else { continue };
                    any.retain(|it| it != "null" && it["type"] != "null");
                    if let [only] = any.as_slice() {
                        let only = only.clone();
                        drop(property.as_object_mut().and_then(|property| property.remove(list)));
                        match only {
                            Value::Object(only) => {
                                property
                                    .as_object_mut()
                                    .into_iter()
                                    .for_each(|it| it.extend(only.clone()));
                            }
                            only => property[list] = only,
                        }
                    }
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Describes the members of enums that have no doc comment in Rust: the tag, and the only member of a
/// variant without one, which the variant's own comment is about.
fn describe_variants(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let about = members.get("description").and_then(Value::as_str).map(str::to_owned);
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                let is_only = properties.len() == 1;
                for property in properties.values_mut().filter_map(Value::as_object_mut) {
                    if property.contains_key("description") || property.contains_key("$ref") {
                        continue;
                    }
                    let words = property.get("enum").and_then(Value::as_array);
                    let tag = match words.map(Vec::as_slice) {
                        Some([only]) => Some(only),
                        Some(_) | None => property.get("const"),
                    };
                    let about = match tag.and_then(Value::as_str) {
                        Some(tag) => Some(format!(
                            "Always `{tag}`. It tells this form of the object from the others."
                        )),
                        None => about.clone().filter(|_| is_only),
                    };
                    property.extend(about.map(|about| ("description".to_owned(), about.into())));
                }
            }
            members.values_mut().for_each(describe_variants);
        }
        Value::Array(items) => items.iter_mut().for_each(describe_variants),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Some generators of clients do not know that a schema may be `true` or `false`.
fn without_booleans(value: &mut Value) {
    let as_object = |schema: &mut Value| match schema {
        Value::Bool(true) => *schema = json!({}),
        Value::Bool(false) => *schema = json!({"not": {}}),
        _ => {}
    };
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                properties.values_mut().for_each(as_object);
            }
            members.get_mut("items").into_iter().for_each(as_object);
            members.values_mut().for_each(without_booleans);
        }
        Value::Array(items) => items.iter_mut().for_each(without_booleans),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds the schemas of requests. One that has the name of a different schema of an answer gets
/// another name. Returns the old and new names.
fn merge(
    schemas: &mut Map<String, Value>,
    requests: Map<String, Value>,
) -> BTreeMap<String, String> {
    let differ = |name: &String, schema: &Value| schemas.get(name).is_some_and(|it| it != schema);
    let renamed: BTreeMap<String, String> = requests
        .iter()
        .filter(|(name, schema)| differ(name, schema))
        .map(|(name, _)| (name.clone(), format!("{name}Input")))
        .collect();
    for (name, mut schema) in requests {
        rename(&mut schema, &renamed);
        schemas.insert(renamed.get(&name).cloned().unwrap_or(name), schema);
    }
    renamed
}

/// Changes references to renamed schemas.
fn rename(value: &mut Value, renamed: &BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.rsplit('/').next()
                && let Some(new) = renamed.get(name)
            {
                *reference = format!("#{SCHEMAS}/{new}");
            }
            members.values_mut().for_each(|member| rename(member, renamed));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
