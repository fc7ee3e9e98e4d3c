//! Stores and deletes configured documents of any kind.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::{
    domain::{
        configuration::document::{Configured, Document, OtherName, PutDocument},
        json::strict_json::FieldError,
    },
    http::{problem::Problem, request},
    services::documents,
    storage::documents::{DocumentOutcome, Due, StoredDocument, Wanted},
};

use crate::routes::Call;

/// `PUT /v1/people/{id}` and the same route of other kinds: replaces the document.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another document has one of its names;
/// 503.
pub async fn put<T: PutDocument>(call: &Call<'_>) -> Result<ApiGatewayV2httpResponse, Problem> {
    let (id, document) = read::<T>(call)?;
    store(call, id, document).await
}

/// The id in the path of a `PUT`, and the document in its body.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with them.
pub fn read<'c, T: PutDocument>(call: &Call<'c>) -> Result<(&'c str, T), Problem> {
    let Call { function, request, .. } = *call;
    let id = request::configured_id(request)?;
    let document = T::from_body(&request::json_body(request)?, id, function.place);
    Ok((id, document.map_err(refused::<T>)?))
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
    Call { scope, caller, .. }: &Call<'_>,
    id: &str,
    document: T,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let want = |_: Option<&StoredDocument>| Ok::<_, Problem>(Wanted::stored(id, &document)?);
    let (outcome, version) = scope.configure::<T, _>(id, caller, want).await?;
    Ok(request::json(status::<T>(outcome)?, &Configured::new(id, version, document)))
}

/// The status of the response to a `PUT`.
///
/// # Errors
/// 409 where another document has one of its names.
pub fn status<T: Document>(outcome: DocumentOutcome) -> Result<u16, Problem> {
    match outcome {
        DocumentOutcome::Created => Ok(201),
        // Handlers of kinds with a maximum number handle `Full` before.
        DocumentOutcome::Changed | DocumentOutcome::Unchanged | DocumentOutcome::Full(_) => Ok(200),
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
pub async fn delete<T: Document>(call: &Call<'_>) -> Result<ApiGatewayV2httpResponse, Problem> {
    delete_if::<T>(call, request::configured_id(call.request)?, |_| Ok(())).await
}

/// Deletes the document if `check` allows it.
///
/// # Errors
/// The error of `check` about the document that is there; 404; 503.
pub async fn delete_if<T: Document>(
    Call { scope, caller, .. }: &Call<'_>,
    id: &str,
    check: impl Fn(&T) -> Result<(), Problem>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    // The state before this request, even if an attempt without an answer has changed it.
    let mut is_first = true;
    let want = |there: Option<&StoredDocument>| -> Result<Wanted, Problem> {
        let before = documents::read::<T>(there)?;
        match &before {
            Some(before) => check(before)?,
            None if is_first => return Err(missing::<T>()),
            None => {}
        }
        is_first = false;
        Ok(Wanted { due: Due::Never, ..Wanted::deleted(id, before.as_ref()) })
    };
    scope.configure::<T, _>(id, caller, want).await?;
    Ok(request::no_content())
}
