//! Stores and deletes configured documents of any kind.

use serde::Serialize;
use shared::{
    domain::{
        configuration::{
            document::{Configured, Document, OtherName, PutDocument},
            read_only::Repeated,
        },
        json::strict_json::FieldError,
    },
    http::{
        input::{Body, Id},
        output::{NoContent, Stored},
        problem::Problem,
    },
    services::documents,
    storage::documents::{DocumentChange, DocumentOutcome, Due, Precondition, StoredDocument},
};

use crate::routes::Call;

/// `PUT /v1/people/{id}` and the same route of other kinds: replaces the document.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another document has one of its names;
/// 503.
pub async fn put<T: PutDocument>(
    call: &Call<'_>,
    (id, body): (Id, Body<T::Request>),
) -> Result<Stored<Configured<T>>, Problem> {
    let (document, version) = read(call, &id, &body).await?;
    store(call, &id, document, version).await
}

/// The document in the body of a `PUT`, and the version that the body says it was read in.
///
/// # Errors
/// 400 and 422 for what is wrong with it or its id.
pub async fn read<T: PutDocument>(
    call: &Call<'_>,
    id: &Id,
    body: &Body<T::Request>,
) -> Result<(T, Option<u64>), Problem> {
    let id = id.checked()?;
    let repeated = Repeated::of(body.json(), T::READ_ONLY);
    let errors = repeated_errors::<T>(call, id, &repeated).await?;
    let document = T::from_body(body.json(), id, call.function.place);
    Ok((checked::<T, T>(document, errors)?, repeated.version()))
}

/// What a body was read to, unless there are errors of the members that it repeats.
///
/// # Errors
/// 422 with the errors of both.
pub fn checked<T: Document, R>(
    read: Result<R, Vec<FieldError>>,
    repeated: Vec<FieldError>,
) -> Result<R, Problem> {
    match read {
        Ok(read) if repeated.is_empty() => Ok(read),
        read => {
            let own = read.err().unwrap_or_default();
            Err(refused::<T>(repeated.into_iter().chain(own).collect()))
        }
    }
}

/// The errors of what a body repeats of the answer.
///
/// # Errors
/// 503.
pub async fn repeated_errors<T: Document>(
    call: &Call<'_>,
    id: &str,
    repeated: &Repeated,
) -> Result<Vec<FieldError>, Problem> {
    let current = match repeated.needs_current() {
        true => documents::get::<T>(&call.scope, id).await?,
        false => None,
    };
    errors_beside(id, repeated, current.as_ref())
}

/// The errors of what a body repeats, where `current` is what the service answers now.
///
/// # Errors
/// 500 if that is no JSON.
pub fn errors_beside(
    id: &str,
    repeated: &Repeated,
    current: Option<&impl Serialize>,
) -> Result<Vec<FieldError>, Problem> {
    let current = current.map(serde_json::to_value).transpose();
    let current = current.map_err(|error| Problem::internal(&error))?;
    Ok(repeated.errors(id, current.as_ref()))
}

/// 422: the errors of a document.
pub fn refused<T: Document>(errors: Vec<FieldError>) -> Problem {
    Problem::invalid(format!("the {} was not stored", T::KIND.noun), errors)
}

/// 404: no document has the id.
pub fn missing<T: Document>() -> Problem {
    Problem::not_found(T::KIND.missing())
}

/// Replaces a document. `version` is the one that the request was made for, if it says so.
///
/// # Errors
/// 409 where another version is stored, or another document has one of its names; 503.
pub async fn store<T: Document>(
    call: &Call<'_>,
    id: &Id,
    document: T,
    version: Option<u64>,
) -> Result<Stored<Configured<T>>, Problem> {
    let id = id.checked()?;
    let want = |there: Option<&StoredDocument>| {
        let change = DocumentChange::stored(id, &document)?;
        check_version::<T>(there, &change, version)
            .map_err(|(problem, error)| Problem::conflict(problem, vec![error]))?;
        Ok::<_, Problem>(change)
    };
    let (outcome, version) = configure::<T>(call, id, want).await?;
    let is_new = is_new::<T>(outcome)?;
    let body = Configured::new(id, version, document);
    Ok(Stored { body, is_new, version })
}

/// Checks the version that a body says it was made for. A repeated request whose first attempt was
/// stored succeeds.
///
/// # Errors
/// Another version is stored: what the problem is, and the error of the member.
pub fn check_version<T: Document>(
    there: Option<&StoredDocument>,
    change: &DocumentChange,
    version: Option<u64>,
) -> Result<(), (String, FieldError)> {
    let there = there.filter(|there| there.content.is_some());
    let Some(version) = version else { return Ok(()) };
    let noun = T::KIND.noun;
    let (problem, detail) = match there {
        Some(there) if there.generation == version || there.content == change.content => {
            return Ok(());
        }
        Some(there) => (
            format!("the {noun} changed since you read it"),
            format!(
                "is {version}, but version {} is stored by now: read the {noun} again, and make your change to that",
                there.generation
            ),
        ),
        None => (
            format!("there is no {noun} with this id, so it has no version"),
            format!("is {version}; leave it out to create the {noun}"),
        ),
    };
    Err((problem, FieldError::new("/version", detail)))
}

/// Changes a document to what `want` returns, if it is in the state that the request expects.
/// Returns the document's version too.
///
/// # Errors
/// 412 if it is not; the error of `want`; 503.
pub async fn configure<T: Document>(
    Call { scope, caller, precondition, .. }: &Call<'_>,
    id: &str,
    mut want: impl FnMut(Option<&StoredDocument>) -> Result<DocumentChange, Problem>,
) -> Result<(DocumentOutcome, u64), Problem> {
    let want = |there: Option<&StoredDocument>| {
        Ok::<_, Problem>(DocumentChange { only_if: precondition.clone(), ..want(there)? })
    };
    let (outcome, version) = scope.configure::<T, _>(id, caller, want).await?;
    if let DocumentOutcome::NotAsExpected { exists } = outcome {
        let noun = T::KIND.noun;
        return Err(Problem::precondition_failed(match precondition {
            Precondition::IsNew if T::ALWAYS_EXISTS => format!(
                "there always are {noun}, so they cannot be created; to change them only as you read them, send their ETag as If-Match"
            ),
            Precondition::IsNew => format!(
                "version {version} is stored here already; leave If-None-Match out to change it"
            ),
            _ if !exists && !T::ALWAYS_EXISTS => {
                format!("there is no {noun} with this id; leave If-Match out to create one")
            }
            _ => format!(
                "the {noun} changed since you read it: its version is {version} now. Read it again, and make your change to that"
            ),
        }));
    }
    Ok((outcome, version))
}

/// Whether a `PUT` created the document.
///
/// # Errors
/// 409 where another document has one of its names.
pub fn is_new<T: Document>(outcome: DocumentOutcome) -> Result<bool, Problem> {
    match outcome {
        DocumentOutcome::Created => Ok(true),
        // `Full` is handled by the handlers of kinds with a maximum number, `NotAsExpected` by
        // `configure`.
        DocumentOutcome::Changed
        | DocumentOutcome::Unchanged
        | DocumentOutcome::Full(_)
        | DocumentOutcome::NotAsExpected { .. } => Ok(false),
        DocumentOutcome::Taken(OtherName { name, pointer, .. }, other) => {
            let (problem, detail) = T::taken(&name, &other);
            Err(Problem::conflict(problem, vec![FieldError::new(pointer, detail)]))
        }
    }
}

/// `DELETE /v1/packages/{id}` and the same route of other kinds: deletes the document.
///
/// # Errors
/// 404, 503.
pub async fn delete<T: Document>(call: &Call<'_>, id: Id) -> Result<NoContent, Problem> {
    delete_if::<T>(call, id.checked()?, |_| Ok(())).await
}

/// Deletes the document if `check` allows it.
///
/// # Errors
/// The error of `check` about the document that is there; 404; 503.
pub async fn delete_if<T: Document>(
    call: &Call<'_>,
    id: &str,
    check: impl Fn(&T) -> Result<(), Problem>,
) -> Result<NoContent, Problem> {
    // The state before this request, even if an attempt without an answer has changed it.
    let mut is_first = true;
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before = documents::read::<T>(there)?;
        match &before {
            Some(before) => check(before)?,
            None if is_first => return Err(missing::<T>()),
            None => {}
        }
        is_first = false;
        Ok(DocumentChange { due: Due::Never, ..DocumentChange::deleted(id, before.as_ref()) })
    };
    configure::<T>(call, id, want).await?;
    Ok(NoContent)
}
