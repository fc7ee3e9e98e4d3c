//! Every error response of this service, as RFC 9457 problem details.
//!
//! An error that the caller can fix is 4xx, and its `detail` says how. An error of another system
//! (throttling, timeout) is 503 with `Retry-After`, and never looks like an empty answer. An error
//! in this service is 500; it is logged once, here, and its cause is not shown to the caller.
//! Errors of the gateway (no token, unknown route, size, rate) do not pass through here.

use schemars::JsonSchema;
use serde::Serialize;

use shared_domain::json::strict_json::FieldError;

/// A problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct Problem {
    /// The name of the status, such as `Not Found`.
    pub title: &'static str,
    /// The HTTP status of the response.
    pub status: u16,
    /// What is wrong and how to fix it, for a person.
    pub detail: String,
    /// All errors that were found, each with its place: a member of the body, or a query parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RequestError>,
}

/// One error of a request. It has either a `pointer` or a `parameter`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequestError {
    /// A JSON Pointer (RFC 6901) to the value in the body, such as `/actor/email`; empty for the
    /// whole body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The name of the query parameter, such as `limit`; empty for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong and how to correct it.
    pub detail: String,
}

/// The most places that the detail of a problem names.
const MOST_PLACES: usize = 10;

impl RequestError {
    pub fn of_parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.into()), detail: detail.into() }
    }

    /// Whether both are errors of the same value.
    pub fn is_at(&self, other: &Self) -> bool {
        (&self.pointer, &self.parameter) == (&other.pointer, &other.parameter)
    }

    /// The place as people write it: the parameter, or the path of the member.
    fn place(&self) -> &str {
        let path = self.pointer.as_deref().map(|pointer| pointer.trim_start_matches('/'));
        self.parameter.as_deref().or(path).unwrap_or_default()
    }

    /// All errors of a request in short: the only one, or how many there are, where they are, and
    /// the first.
    pub fn sentence(errors: &[Self]) -> String {
        let Some(first) = errors.first() else { return "the request is wrong".to_owned() };
        let said = match first.place() {
            "" => format!("the body {}", first.detail),
            place => format!("{place:?}: {}", first.detail),
        };
        if errors.len() == 1 {
            return said;
        }
        let named = errors.iter().map(Self::place).filter(|place| !place.is_empty());
        let mut places: Vec<_> =
            named.map(|place| format!("{place:?}")).take(MOST_PLACES).collect();
        if errors.len() > MOST_PLACES {
            places.push("…".to_owned());
        }
        let whole = match first.parameter {
            Some(_) => "query parameters",
            None => "members of the body",
        };
        let (count, places) = (errors.len(), places.join(", "));
        format!("{count} {whole} are wrong or missing: {places}. The first is {said}")
    }
}

impl From<FieldError> for RequestError {
    fn from(FieldError { pointer, detail }: FieldError) -> Self {
        Self { pointer: Some(pointer), parameter: None, detail }
    }
}

impl From<RequestError> for FieldError {
    fn from(error: RequestError) -> Self {
        Self::new(error.pointer.unwrap_or_default(), error.detail)
    }
}

impl Problem {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { title, status, detail: detail.into(), errors: Vec::new() }
    }

    fn with(self, errors: Vec<impl Into<RequestError>>) -> Self {
        Self { errors: errors.into_iter().map(Into::into).collect(), ..self }
    }

    /// 400: the request cannot be parsed, or a parameter is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad Request", detail)
    }

    /// 400: query parameters are wrong, or members of a body that stand for parameters.
    pub fn wrong_parameters(errors: Vec<RequestError>) -> Self {
        Self::bad_request(RequestError::sentence(&errors)).with(errors)
    }

    /// 403: the token does not allow it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", detail)
    }

    /// 404: this tenant does not have it.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "Not Found", detail)
    }

    /// 409: it contradicts what is stored.
    pub fn conflict(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self::new(409, "Conflict", detail).with(errors)
    }

    /// 410: it existed and was deleted.
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(410, "Gone", detail)
    }

    /// 412: the document is not in the state that the request expects.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(412, "Precondition Failed", detail)
    }

    /// 413: above a size limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "Content Too Large", detail)
    }

    /// 415: unsupported content type.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(415, "Unsupported Media Type", detail)
    }

    /// 422: the request can be parsed, but its fields are wrong.
    pub fn invalid(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self::new(422, "Unprocessable Content", detail).with(errors)
    }

    /// 429: above one tenant's limit of parallel work.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(429, "Too Many Requests", detail)
    }

    /// 500: a fault of this service. Logs the cause, which the caller does not see.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed: {cause}");
        Self::new(
            500,
            "Internal Server Error",
            "something is wrong in the service; it has been logged",
        )
    }

    /// 503: the storage did not answer in time. What was not acknowledged may or may not be stored;
    /// a retry is safe.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, "Service Unavailable", detail)
    }
}
