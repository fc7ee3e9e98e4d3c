//! The description of one route for OpenAPI 3.1: its parameters, its body and its answers, from
//! the types that its handler takes and gives.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// One operation while its input and output describe themselves.
#[derive(Debug)]
pub struct Operation<'g> {
    /// Makes the schemas of what callers send.
    requests: &'g mut SchemaGenerator,
    /// Makes the schemas of what the service answers.
    answers: &'g mut SchemaGenerator,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
}

impl<'g> Operation<'g> {
    pub fn new(requests: &'g mut SchemaGenerator, answers: &'g mut SchemaGenerator) -> Self {
        let (parameters, responses) = Default::default();
        Self { requests, answers, parameters, body: None, responses }
    }

    pub fn path_parameter(&mut self, name: &str, description: &str, schema: &Value) {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        }));
    }

    /// A query parameter whose type is not a field of a Rust type.
    pub fn query_parameter(
        &mut self,
        name: &str,
        is_required: bool,
        description: &str,
        schema: &Value,
    ) {
        self.parameters.push(json!({
            "name": name, "in": "query", "required": is_required, "description": description, "schema": schema,
        }));
    }

    pub fn header_parameter(&mut self, name: &str, description: &str, schema: &Value) {
        self.parameters.push(json!({
            "name": name, "in": "header", "description": description, "schema": schema,
        }));
    }

    /// The fields of `T` are query parameters.
    pub fn query_parameters<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(self.requests).to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|it| it.remove("description"));
            // A parameter is left out, never null.
            if let Some(Value::Array(types)) = schema.get_mut("type") {
                types.retain(|it| it != "null");
                if let [only] = types.as_slice() {
                    schema["type"] = only.clone();
                }
            }
            if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
                any.retain(|it| it["type"] != "null");
                if let [only] = any.as_slice() {
                    schema = only.clone();
                }
            }
            let mut parameter = json!({"name": name, "in": "query", "schema": schema});
            if let Some(description) = description {
                parameter["description"] = description;
            }
            if required.contains(&json!(name)) {
                parameter["required"] = json!(true);
            }
            self.parameters.push(parameter);
        }
    }

    /// The request has a JSON body of type `T`.
    pub fn body<T: JsonSchema>(&mut self) {
        self.body_as::<T>("application/json", true);
    }

    /// The request may have a body of type `T` in this media type.
    pub fn body_as<T: JsonSchema>(&mut self, media_type: &str, is_required: bool) {
        let schema = self.requests.subschema_for::<T>();
        let body = self.body.get_or_insert_with(|| json!({"required": is_required, "content": {}}));
        body["content"][media_type] = json!({ "schema": schema });
    }

    /// The route answers this status with a JSON body of type `T`.
    pub fn answer<T: JsonSchema>(&mut self, status: u16, description: &str) {
        self.answer_with(status, description, SchemaGenerator::subschema_for::<T>);
    }

    /// The route answers this status with a JSON body of the schema that `schema` makes.
    pub fn answer_with(
        &mut self,
        status: u16,
        description: &str,
        schema: impl FnOnce(&mut SchemaGenerator) -> Schema,
    ) {
        let schema = schema(self.answers);
        self.responses.insert(
            status.to_string(),
            json!({"description": description, "content": {"application/json": {"schema": schema}}}),
        );
    }

    pub fn no_content(&mut self, status: u16, description: &str) {
        self.responses.insert(status.to_string(), json!({ "description": description }));
    }

    /// The answer with this status has a header.
    pub fn header(&mut self, status: u16, name: &str, description: &str, schema: &Value) {
        self.responses[&status.to_string()]["headers"][name] =
            json!({"description": description, "schema": schema});
    }

    pub fn has_tag(&mut self, status: u16) {
        self.header(
            status,
            "ETag",
            "The version of the document, for the header If-Match of the next change.",
            &json!({"type": "string"}),
        );
    }

    pub fn links_to_next(&mut self) {
        self.header(
            200,
            "Link",
            "The address of the next page, with rel=\"next\" (RFC 8288): a relative reference, to be resolved against the address of the request. None on the last page.",
            &json!({"type": "string"}),
        );
    }

    /// The operation object, to which the caller adds what it knows of the route.
    pub fn finish(self) -> Map<String, Value> {
        let mut operation = Map::new();
        if !self.parameters.is_empty() {
            operation.insert("parameters".to_owned(), self.parameters.into());
        }
        operation.extend(self.body.map(|body| ("requestBody".to_owned(), body)));
        operation.insert("responses".to_owned(), self.responses.into());
        operation
    }
}
