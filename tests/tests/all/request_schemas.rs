//! The schemas of bodies whose readers need a tenant: searches, exports and saved searches.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use shared::http::{
    export_request::ExportRequest,
    saved_search_request::SavedSearchRequest,
    search_parameters::{EventCountRequest, EventSearchRequest},
};
use tests::Stack;

/// A schema of an object without alternatives, and its examples.
type Form = (Value, Vec<Value>);

/// The forms that a body may have.
fn forms<T: JsonSchema>() -> Vec<Form> {
    let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
    let alternatives = ["oneOf", "anyOf"].into_iter().find_map(|key| schema[key].as_array());
    let forms = alternatives.cloned().unwrap_or_else(|| vec![schema]);
    let examples = |form: &Value| form["examples"].as_array().cloned().unwrap_or_default();
    forms.into_iter().map(|form| (examples(&form), form)).map(|(its, form)| (form, its)).collect()
}

async fn check<T: JsonSchema>(stack: &Stack, method: &str, path: &str) {
    let token = stack.reader("acme");
    let send = async |body: &Value| match method {
        "PUT" => stack.put(&token, path, body).await,
        _ => stack.post(&token, path, body).await,
    };
    for (form, examples) in forms::<T>() {
        for example in examples {
            let answer = send(&example).await;
            assert!(answer.status.is_success(), "{path} {example}: {}", answer.text);
            let mut unknown = example.clone();
            unknown["zzz_unknown"] = json!(1);
            assert!(send(&unknown).await.status.is_client_error(), "{path} {unknown}");
            for key in form["properties"].as_object().unwrap().keys() {
                let mut changed = example.clone();
                changed[key] = json!([[]]);
                let answer = send(&changed).await;
                assert!(answer.status.is_client_error(), "{path} {changed}");
                let is_known = !answer.text.contains("unknown field")
                    && !answer.text.contains("no known field");
                assert!(is_known, "{path} {changed}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn searches_and_exports_are_read_as_their_schemas_say() {
    let stack = Stack::start().await;
    check::<EventSearchRequest>(&stack, "POST", "/v1/events/search").await;
    check::<EventCountRequest>(&stack, "POST", "/v1/events/counts").await;
    check::<ExportRequest>(&stack, "POST", "/v1/exports").await;
    check::<SavedSearchRequest>(&stack, "PUT", "/v1/saved/example").await;
    stack.stop().await;
}
