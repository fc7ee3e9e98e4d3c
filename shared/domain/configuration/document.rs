//! A configured document: an id, a version that counts its changes, and a content of some kind. No
//! two documents of a kind share an alias.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    configuration::{
        address_policy::Place,
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly},
    },
    json::{request_schema, strict_json::FieldError},
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::event::Party,
};

/// The type of a kind of document.
pub trait Document: Clone + PartialEq + Serialize + DeserializeOwned + JsonSchema {
    const KIND: DocumentKind;
    /// Whether API responses contain the version.
    const SHOWS_VERSION: bool = false;
    /// The members of API responses that only the service sets, which a `PUT` may repeat.
    const READ_ONLY: &'static [ReadOnly] = &[ID];
    /// Whether there always is such a document: with defaults, until it is changed first.
    const ALWAYS_EXISTS: bool = false;
    /// Whether documents may have scheduled runs.
    const IS_SCHEDULED: bool = false;

    /// The name in events.
    fn name(&self) -> Option<&str> {
        None
    }

    /// The e-mail address in events.
    fn email(&self) -> Option<&str> {
        None
    }

    /// The aliases.
    fn other_names(&self) -> Vec<OtherName> {
        Vec::new()
    }

    /// The texts that the parameter `q` searches in addition to the id.
    fn searchable(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The content for readers of the trail.
    fn public(content: Value) -> Value {
        content
    }

    /// The time of the next scheduled run of a document that is due at `due_at`.
    fn next_run_at(&self, _due_at: Option<Instant>) -> Option<Instant> {
        None
    }

    /// The document as a party of events.
    fn shown(id: &str, document: Option<&Self>) -> Party {
        Party {
            kind: Some(Self::KIND.word.to_owned()),
            id: Some(id.to_owned()),
            name: document.and_then(Self::name).map(str::to_owned),
            email: document.and_then(Self::email).map(str::to_owned),
        }
    }

    /// The error of a document whose alias another document has: the problem, and the detail at the
    /// alias.
    fn taken(name: &str, other: &str) -> (String, String) {
        let noun = Self::KIND.noun;
        let detail = format!(
            "the {noun} {other:?} already has the name {name:?}; rename or delete it first"
        );
        (format!("another {noun} has this name"), detail)
    }
}

/// A document that a `PUT` reads from the request's body alone.
pub trait PutDocument: Document {
    /// The schema of the body.
    type Request: JsonSchema;

    /// Reads the body of a request to configure the document.
    ///
    /// # Errors
    /// All errors found.
    fn from_body(json: &str, id: &str, place: Place) -> Result<Self, Vec<FieldError>>;
}

/// An alias of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherName {
    /// The kind of name: an id and an address with the same text are different aliases.
    pub kind: char,
    /// The name, compared without regard to case.
    pub name: String,
    /// Its JSON Pointer in the document.
    pub pointer: String,
}

/// The kind of the alias that is a document's display name.
pub const DISPLAY_NAME: char = 'n';

impl OtherName {
    /// The alias of a document whose display name is unique within its kind.
    pub fn display(name: &str) -> Self {
        Self { kind: DISPLAY_NAME, name: name.to_owned(), pointer: "/name".to_owned() }
    }

    /// The alias in keys.
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind, fold_identity(&self.name))
    }
}

/// A document in an API response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured<T> {
    pub id: String,
    /// Number of changes: the `version` in the `policy` of a decision.
    pub version: u64,
    pub document: T,
    /// When the document is due for processing.
    pub due_at: Option<Instant>,
}

impl<T: Document> Configured<T> {
    /// A document without periodic work.
    pub fn new(id: impl Into<String>, version: u64, document: T) -> Self {
        Self { id: id.into(), version, document, due_at: None }
    }

    /// The time of the next scheduled run.
    pub fn next_run_at(&self) -> Option<Instant> {
        self.document.next_run_at(self.due_at)
    }
}

impl<T: Document> JsonSchema for Configured<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Configured{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        let mut properties =
            json!({"id": {"type": "string", "description": "The id in the address."}});
        let mut required = vec![json!("id")];
        if T::SHOWS_VERSION {
            properties["version"] = json!({
                "type": "integer",
                "minimum": 0,
                "description": "How often the document was changed.",
            });
            required.push(json!("version"));
        }
        if T::IS_SCHEDULED {
            let about = "When the schedule starts the next run. Absent without a schedule.";
            let time = request_schema::about(about, generator.subschema_for::<Instant>());
            properties["next_run_at"] = time.to_value();
        }
        if let Some(Value::Array(own)) = schema.remove("required") {
            required.extend(own);
        }
        if let (Value::Object(own), Some(Value::Object(all))) =
            (properties, schema.get_mut("properties"))
        {
            all.extend(own);
        }
        schema.insert("required".to_owned(), required.into());
        schema
    }
}

impl<T: Document> Serialize for Configured<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Answer<'d, T> {
            id: &'d str,
            #[serde(skip_serializing_if = "Option::is_none")]
            version: Option<u64>,
            #[serde(flatten)]
            document: &'d T,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_run_at: Option<Instant>,
        }
        let Self { id, version, document, .. } = self;
        let version = T::SHOWS_VERSION.then_some(*version);
        Answer { id, version, document, next_run_at: self.next_run_at() }.serialize(serializer)
    }
}
