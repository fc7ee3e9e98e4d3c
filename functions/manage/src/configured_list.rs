//! Stores many documents of one kind in one request.

use std::{borrow::Cow, collections::HashSet, marker::PhantomData};

use futures::{StreamExt, stream};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::{
    domain::{
        configuration::{
            document::{Document, OtherName, PutDocument},
            read_only::Repeated,
        },
        json::{
            object_reader::MAX_ERRORS,
            request_schema::{self, about, list},
            strict_json::{FieldError, pointer_to},
            wrong_value::wrong_type,
        },
    },
    http::{
        input::{Id, ListBody},
        output::Json,
        problem::Problem,
        request::{self, MAX_JSON_BYTES},
    },
    storage::{
        ReadError,
        documents::{DocumentChange, DocumentOutcome, Precondition, StoredDocument},
    },
};

use crate::{configured::check_version, routes::Call};

/// Most documents in a request.
pub const MOST: usize = 500;

/// Documents that are stored in parallel.
const AT_ONCE: usize = 8;

/// `PUT /v1/people` and the same route of other kinds: creates or replaces many documents. Each is
/// stored by itself, with its event. An invalid one does not affect the others, and a document that
/// the request does not name stays as it is.
///
/// # Errors
/// 400 and 422 for what is wrong with the request as a whole.
pub async fn put<T: PutDocument + Send + Sync>(
    call: &Call<'_>,
    body: ListBody<DocumentsRequest<T>>,
) -> Result<Json<DocumentResults>, Problem> {
    if call.precondition != Precondition::None {
        return Err(Problem::bad_request(
            "this call takes no header If-Match or If-None-Match; PUT a single document to use them",
        ));
    }
    let entries = entries::<T>(request::members(body.json())?)?;
    let mut named = HashSet::new();
    let mut results = Vec::with_capacity(entries.len());
    let mut documents = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let mut result = DocumentResult::new(index);
        match id_of(&entry) {
            Err(error) => result.errors = vec![error],
            Ok(id) if !named.insert(id.clone()) => {
                let detail = "is the id of an earlier entry of this request; send one of them";
                result.errors = vec![FieldError::new("/id", detail)];
                result.id = Some(id);
            }
            Ok(id) => {
                match read::<T>(call, &id, &entry) {
                    Ok((document, version)) => {
                        documents.push(Entry { index, id: id.clone(), document, version });
                    }
                    Err(errors) => result.errors = errors,
                }
                result.id = Some(id);
            }
        }
        results.push(result);
    }
    let is_conflict = |stored: &Stored| stored.status == DocumentStatus::Conflict;
    let work: Vec<_> = documents.iter().map(|document| store(call, document)).collect();
    let mut stored: Vec<_> = stream::iter(work).buffered(AT_ONCE).collect().await;
    // A name may have moved from one entry to another: its new owner is stored again, now that the
    // old one has given it up.
    let mut left = usize::MAX;
    loop {
        let refused: Vec<_> =
            stored.iter().enumerate().filter(|(_, it)| is_conflict(it)).map(|(at, _)| at).collect();
        if refused.is_empty() || refused.len() >= left {
            break;
        }
        left = refused.len();
        for at in refused {
            stored[at] = store(call, &documents[at]).await;
        }
    }
    for (entry, Stored { status, version, errors }) in documents.iter().zip(stored) {
        let result: &mut DocumentResult = &mut results[entry.index];
        (result.status, result.version, result.errors) = (status, version, errors);
        result.retryable = (status == DocumentStatus::Unavailable).then_some(true);
    }
    Ok(Json(DocumentResults::of(results)))
}

/// The entries of the list.
fn entries<T: Document>(mut members: Map<String, Value>) -> Result<Vec<Value>, Problem> {
    let list = T::KIND.list;
    let entries = match members.remove(list) {
        Some(Value::Array(entries)) if (1..=MOST).contains(&entries.len()) => Ok(entries),
        Some(Value::Array(entries)) => {
            Err(format!("has {} entries; send 1 to {MOST} in one request", entries.len()))
        }
        Some(other) => Err(wrong_type(&other, "a list of objects")),
        None => Err(format!("is required: a list of 1 to {MOST} objects")),
    };
    let other = |key: &String| {
        FieldError::new(pointer_to("", key), format!("is no known field; send {list:?} alone"))
    };
    let others = members.keys().take(MAX_ERRORS).map(other);
    match entries {
        Ok(entries) if members.is_empty() => Ok(entries),
        entries => {
            let own = entries.err().map(|detail| FieldError::new(pointer_to("", list), detail));
            Err(Problem::invalid("nothing was stored", own.into_iter().chain(others).collect()))
        }
    }
}

fn id_of(entry: &Value) -> Result<String, FieldError> {
    match entry.as_object().map(|entry| entry.get("id")) {
        Some(Some(Value::String(id))) if Id::is_valid(id) => Ok(id.clone()),
        Some(Some(Value::String(_))) => Err(FieldError::new("/id", Id::RULE)),
        Some(Some(other)) => Err(FieldError::new("/id", wrong_type(other, "a string"))),
        Some(None) => Err(FieldError::new("/id", "is required: the id of the document")),
        None => Err(FieldError::new("", wrong_type(entry, "an object"))),
    }
}

/// A document of the request.
struct Entry<T> {
    /// Its place in the request.
    index: usize,
    id: String,
    document: T,
    /// The version that it was read in, if it says so.
    version: Option<u64>,
}

fn read<T: PutDocument>(
    call: &Call<'_>,
    id: &str,
    entry: &Value,
) -> Result<(T, Option<u64>), Vec<FieldError>> {
    let json = entry.to_string();
    if json.len() > MAX_JSON_BYTES {
        let detail = format!(
            "has {} bytes; the maximum for one document is 64 KiB ({MAX_JSON_BYTES} bytes)",
            json.len()
        );
        return Err(vec![FieldError::new("", detail)]);
    }
    let repeated = Repeated::of(&json, T::READ_ONLY);
    // No kind of these has a member that only the stored document tells.
    let errors = repeated.errors(id, None);
    match T::from_body(&json, id, call.function.place) {
        Ok(document) if errors.is_empty() => Ok((document, repeated.version())),
        read => Err(errors.into_iter().chain(read.err().unwrap_or_default()).collect()),
    }
}

/// Why a document was not stored.
enum Unstored {
    /// Another version is stored: what the problem is, and the error of the version.
    Version((String, FieldError)),
    Storage(ReadError),
}

impl From<ReadError> for Unstored {
    fn from(error: ReadError) -> Self {
        Self::Storage(error)
    }
}

/// What became of a document.
struct Stored {
    status: DocumentStatus,
    version: Option<u64>,
    errors: Vec<FieldError>,
}

async fn store<T: PutDocument>(
    Call { scope, caller, .. }: &Call<'_>,
    Entry { id, document, version, .. }: &Entry<T>,
) -> Stored {
    let want = |there: Option<&StoredDocument>| {
        let change = DocumentChange::stored(id, document)?;
        check_version::<T>(there, &change, *version).map_err(Unstored::Version)?;
        Ok(change)
    };
    match scope.configure::<T, Unstored>(id, caller, want).await {
        Ok((outcome, version)) => {
            let (status, errors) = match outcome {
                DocumentOutcome::Created => (DocumentStatus::Created, Vec::new()),
                DocumentOutcome::Changed => (DocumentStatus::Changed, Vec::new()),
                DocumentOutcome::Unchanged => (DocumentStatus::Unchanged, Vec::new()),
                DocumentOutcome::Taken(OtherName { name, pointer, .. }, other) => {
                    let (_, detail) = T::taken(&name, &other);
                    (DocumentStatus::Conflict, vec![FieldError::new(pointer, detail)])
                }
                // These kinds have no maximum number, and no precondition was given.
                DocumentOutcome::Full(_) | DocumentOutcome::NotAsExpected { .. } => {
                    (DocumentStatus::Unavailable, Vec::new())
                }
            };
            let is_stored = errors.is_empty();
            Stored { status, version: is_stored.then_some(version), errors }
        }
        Err(Unstored::Version((_, error))) => {
            Stored { status: DocumentStatus::Conflict, version: None, errors: vec![error] }
        }
        Err(Unstored::Storage(ReadError::TooLarge(error))) => {
            let error = FieldError::new("", error.to_string());
            Stored { status: DocumentStatus::Invalid, version: None, errors: vec![error] }
        }
        Err(Unstored::Storage(error)) => {
            tracing::warn!(%error, "a document of a list was not stored: {error}");
            Stored { status: DocumentStatus::Unavailable, version: None, errors: Vec::new() }
        }
    }
}

/// The body of a `PUT` of many documents.
#[derive(Debug)]
pub struct DocumentsRequest<T>(PhantomData<fn() -> T>);

impl<T: PutDocument> JsonSchema for DocumentsRequest<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}List", T::Request::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut entry = T::Request::json_schema(generator);
        let id = about("The id that the document has in addresses.", request_schema::text(256));
        if let Some(Value::Object(properties)) = entry.get_mut("properties") {
            properties.insert("id".to_owned(), id.to_value());
        }
        let mut required = vec![json!("id")];
        if let Some(Value::Array(own)) = entry.remove("required") {
            required.extend(own);
        }
        entry.insert("required".to_owned(), required.into());
        let example = match entry.remove("examples") {
            Some(Value::Array(examples)) => examples.into_iter().next(),
            _ => None,
        };
        let entries = list(entry, 1..=MOST);
        let mut body = request_schema::Object::new(
            "Many documents. A document that is not in the list stays as it is.",
        )
        .required(T::KIND.list, entries);
        if let Some(Value::Object(mut example)) = example {
            example.insert("id".to_owned(), json!("example-1"));
            body = body.example(json!({T::KIND.list: [example]}));
        }
        body.schema()
    }
}

/// What became of the documents of a request: how many had each outcome, and each in the order of
/// the request.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct DocumentResults {
    /// Documents that are new.
    pub created: usize,
    /// Documents that were replaced.
    pub changed: usize,
    /// Documents that were stored with this content before.
    pub unchanged: usize,
    /// Documents that were not stored, because another document has one of their names, or another
    /// version is stored than they say.
    pub conflict: usize,
    /// Documents that were not stored, because their content is wrong.
    pub invalid: usize,
    /// Documents that the storage did not confirm. Send them again.
    pub unavailable: usize,
    /// The outcome of each document.
    pub results: Vec<DocumentResult>,
}

/// What became of one document.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DocumentResult {
    /// The place of the document in the request, from 0.
    pub index: usize,
    /// The id of the document, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What became of it.
    pub status: DocumentStatus,
    /// The version that is stored now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// `true` if the same document may be sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// Why it was not stored. The pointers start at the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The outcome of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    Created,
    Changed,
    Unchanged,
    Conflict,
    Invalid,
    Unavailable,
}

impl DocumentResult {
    fn new(index: usize) -> Self {
        Self {
            index,
            id: None,
            status: DocumentStatus::Invalid,
            version: None,
            retryable: None,
            errors: Vec::new(),
        }
    }
}

impl DocumentResults {
    fn of(results: Vec<DocumentResult>) -> Self {
        let count = |status| results.iter().filter(|result| result.status == status).count();
        Self {
            created: count(DocumentStatus::Created),
            changed: count(DocumentStatus::Changed),
            unchanged: count(DocumentStatus::Unchanged),
            conflict: count(DocumentStatus::Conflict),
            invalid: count(DocumentStatus::Invalid),
            unavailable: count(DocumentStatus::Unavailable),
            results,
        }
    }
}
