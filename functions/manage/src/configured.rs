//! Stores and deletes configured documents of any kind.

use shared::{
    domain::{
        configuration::document::{Configured, Document, OtherName, PutDocument},
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
    store(call, &id, read(call, &id, &body)?).await
}

/// The document in the body of a `PUT`.
///
/// # Errors
/// 400 and 422 for what is wrong with it or its id.
pub fn read<T: PutDocument>(
    call: &Call<'_>,
    id: &Id,
    body: &Body<T::Request>,
) -> Result<T, Problem> {
    T::from_body(body.json(), id.checked()?, call.function.place).map_err(refused::<T>)
}

/// 422: the errors of a document.
pub fn refused<T: Document>(errors: Vec<FieldError>) -> Problem {
    Problem::invalid(format!("the {} was not stored", T::KIND.noun), errors)
}

/// 404: no document has the id.
pub fn missing<T: Document>() -> Problem {
    Problem::not_found(T::KIND.missing())
}

/// Replaces a document.
///
/// # Errors
/// 409 where another document has one of its names; 503.
pub async fn store<T: Document>(
    call: &Call<'_>,
    id: &Id,
    document: T,
) -> Result<Stored<Configured<T>>, Problem> {
    let id = id.checked()?;
    let want =
        |_: Option<&StoredDocument>| Ok::<_, Problem>(DocumentChange::stored(id, &document)?);
    let (outcome, version) = configure::<T>(call, id, want).await?;
    let is_new = is_new::<T>(outcome)?;
    let body = Configured::new(id, version, document);
    Ok(Stored { body, is_new, version })
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
            Precondition::IsNew => format!(
                "version {version} is stored here already; leave If-None-Match out to change it"
            ),
            _ if !exists => {
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
