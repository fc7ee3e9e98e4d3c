//! Parses items directly from DynamoDB's JSON.
//!
//! The SDK builds a nested map for each item, which takes most of the time of reading a page. The
//! SDK still signs and sends each call and handles errors. Only the body of a successful response
//! is parsed here, into a list of attributes.
//!
//! An interceptor installs this deserializer for successful responses. The parsed items are stored
//! in the interceptor, because the operation can only return its own type.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{
        batch_get_item::{
            BatchGetItemError, BatchGetItemOutput, builders::BatchGetItemFluentBuilder,
        },
        query::{QueryError, QueryOutput, builders::QueryFluentBuilder},
    },
    primitives::Blob,
    types::AttributeValue,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeDeserializationInterceptorContextRef, Error, Output},
        },
        orchestrator::{HttpResponse, OrchestratorError},
        runtime_components::RuntimeComponents,
        ser_de::{DeserializeResponse, SharedResponseDeserializer},
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor},
};

use crate::event_item::Item;

/// A key in the SDK's format.
pub type Key = HashMap<String, AttributeValue>;

#[derive(Debug)]
pub struct Page {
    pub items: Vec<Item>,
    /// The start of the next page, if there is one.
    pub next: Option<Key>,
}

/// Sends a query and parses its items.
pub async fn query(call: QueryFluentBuilder) -> Result<Page, SdkError<QueryError>> {
    let reader = Reader::<Found>::new(|| Output::erase(QueryOutput::builder().build()));
    call.customize().interceptor(reader.clone()).send().await?;
    let found = reader.take()?;
    Ok(Page { items: found.items, next: found.last_evaluated_key.map(Item::into_key) })
}

/// Sends a batch read of one table and parses its items. Also returns the unprocessed keys.
pub async fn batch_get(
    call: BatchGetItemFluentBuilder,
) -> Result<(Vec<Item>, Vec<Key>), SdkError<BatchGetItemError>> {
    let reader = Reader::<Got>::new(|| Output::erase(BatchGetItemOutput::builder().build()));
    call.customize().interceptor(reader.clone()).send().await?;
    let got = reader.take()?;
    let items = got.responses.into_values().flatten().collect();
    let undone = got
        .unprocessed_keys
        .into_values()
        .flat_map(|table| table.keys)
        .map(Item::into_key)
        .collect();
    Ok((items, undone))
}

/// The response to Query. A response without items is an error, so that it is not taken for an
/// empty page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    items: Vec<Item>,
    last_evaluated_key: Option<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    responses: HashMap<String, Vec<Item>>,
    #[serde(default)]
    unprocessed_keys: HashMap<String, Undone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Undone {
    keys: Vec<Item>,
}

/// Parses the body of a successful response.
struct Reader<Body> {
    read: Arc<Mutex<Option<Body>>>,
    /// An empty response of the operation.
    empty: fn() -> Output,
}

impl<Body> Reader<Body> {
    fn new(empty: fn() -> Output) -> Self {
        Self { read: Arc::default(), empty }
    }

    fn take<E, R>(&self) -> Result<Body, SdkError<E, R>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        read.ok_or_else(|| {
            SdkError::construction_failure(
                "a success other than 200, which DynamoDB does not answer",
            )
        })
    }
}

impl<Body> Clone for Reader<Body> {
    fn clone(&self) -> Self {
        Self { read: self.read.clone(), empty: self.empty }
    }
}

impl<Body> fmt::Debug for Reader<Body> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl<Body: DeserializeOwned + Send + 'static> Intercept for Reader<Body> {
    fn name(&self) -> &'static str {
        "items from the wire"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // The operation's own deserializer handles errors.
        if context.response().status().as_u16() == 200 {
            config.interceptor_state().store_put(SharedResponseDeserializer::new(self.clone()));
        }
        Ok(())
    }
}

impl<Body: DeserializeOwned + Send + 'static> DeserializeResponse for Reader<Body> {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        let body = response.body().bytes().unwrap_or_default();
        let body = serde_json::from_slice(body)
            .map_err(|error| OrchestratorError::response(error.into()))?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        Ok((self.empty)())
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Attributes;
        impl<'de> Visitor<'de> for Attributes {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                // Enough for most events.
                let mut attributes = Vec::with_capacity(32);
                while let Some((name, Value(value))) = map.next_entry::<String, Value>()? {
                    attributes.push((name, value));
                }
                Ok(Item::from(attributes))
            }
        }
        deserializer.deserialize_map(Attributes)
    }
}

/// A typed value such as `{"S": "text"}`, in the types that this service stores.
struct Value(AttributeValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Typed;
        impl<'de> Visitor<'de> for Typed {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute's value with its type")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let value = match map.next_key::<Type>()? {
                    Some(Type::S) => AttributeValue::S(map.next_value()?),
                    Some(Type::N) => AttributeValue::N(map.next_value()?),
                    Some(Type::Bool) => AttributeValue::Bool(map.next_value()?),
                    Some(Type::B) => {
                        let text: String = map.next_value()?;
                        AttributeValue::B(Blob::new(
                            BASE64_STANDARD.decode(text).map_err(A::Error::custom)?,
                        ))
                    }
                    Some(Type::L) => {
                        let list: Vec<Value> = map.next_value()?;
                        AttributeValue::L(list.into_iter().map(|Value(value)| value).collect())
                    }
                    Some(Type::M) => {
                        let whole: HashMap<String, Value> = map.next_value()?;
                        AttributeValue::M(
                            whole.into_iter().map(|(name, Value(value))| (name, value)).collect(),
                        )
                    }
                    // A type that this service does not write. Reading this attribute reports it as
                    // damaged.
                    Some(Type::Other) => {
                        map.next_value::<IgnoredAny>()?;
                        AttributeValue::Null(true)
                    }
                    None => return Err(A::Error::custom("a value has no type")),
                };
                Ok(Value(value))
            }
        }
        deserializer.deserialize_map(Typed)
    }
}

#[derive(Deserialize)]
enum Type {
    S,
    N,
    B,
    #[serde(rename = "BOOL")]
    Bool,
    L,
    M,
    #[serde(other)]
    Other,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_with_their_types() {
        let body = r#"{"Count":2,"Items":[
            {"pk":{"S":"a\"\u00e9"},"n":{"N":"12"},"b":{"B":"AAEC"},"f":{"BOOL":false},"l":{"L":[{"S":"x"},{"S":"y"}]},"m":{"M":{"z":{"S":"y"}}},"z":{"NULL":true}},
            {}],"ScannedCount":2,"LastEvaluatedKey":{"pk":{"S":"k"}}}"#;
        let body: Found = serde_json::from_str(body).unwrap();
        let mut item = Item::from(Vec::from([
            ("pk".to_owned(), AttributeValue::S("a\"é".into())),
            ("n".to_owned(), AttributeValue::N("12".into())),
            ("b".to_owned(), AttributeValue::B(Blob::new([0, 1, 2]))),
            ("f".to_owned(), AttributeValue::Bool(false)),
            (
                "l".to_owned(),
                AttributeValue::L(vec![
                    AttributeValue::S("x".into()),
                    AttributeValue::S("y".into()),
                ]),
            ),
            (
                "m".to_owned(),
                AttributeValue::M([("z".to_owned(), AttributeValue::S("y".into()))].into()),
            ),
            ("z".to_owned(), AttributeValue::Null(true)),
        ]));
        assert_eq!(body.items[0], item);
        assert_eq!(body.items.len(), 2);
        assert_eq!(
            body.last_evaluated_key.unwrap().into_key(),
            Key::from([("pk".into(), AttributeValue::S("k".into()))])
        );
        assert_eq!(item.remove("n"), Some(AttributeValue::N("12".into())));
        assert_eq!(item.remove("n"), None);
    }

    #[test]
    fn what_is_no_item_is_an_error() {
        for body in [
            r#"{"Items":[{"pk":{}}]}"#,
            r#"{"Items":[{"pk":"x"}]}"#,
            r#"{"Items":[{"pk":{"B":"?"}}]}"#,
            "",
            "{}",
            r#"{"Count":0}"#,
        ] {
            assert!(serde_json::from_str::<Found>(body).is_err(), "{body}");
        }
    }
}
