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
    /// Errors of single fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { title, status, detail: detail.into(), errors: Vec::new() }
    }

    /// 400: the request cannot be parsed, or a parameter is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad Request", detail)
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
        Self { errors, ..Self::new(409, "Conflict", detail) }
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
        Self { errors, ..Self::new(422, "Unprocessable Content", detail) }
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
