//! Problems: every error this service answers, as RFC 9457 problem details.
//!
//! Policy: what a caller can mend is 4xx with a `detail` that says how; what another system does to us (throttling, timeouts)
//! is 503 with `Retry-After` and never looks like an answer; what is wrong in us is 500, logged once here, without its
//! insides. What the gateway itself refuses (no token, unknown route, size, rate) never comes here.

use serde::Serialize;

use shared_domain::json::strict_json::FieldError;

/// One problem, ready to be answered.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct Problem {
    /// The status phrase of HTTP.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, for a person.
    pub detail: String,
    /// What is wrong with single fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { title, status, detail: detail.into(), errors: Vec::new() }
    }

    /// 400: the request cannot be read, or a parameter is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad Request", detail)
    }

    /// 403: the token does not permit it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", detail)
    }

    /// 404: not in this tenant's trail.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "Not Found", detail)
    }

    /// 409: something else is there already.
    pub fn conflict(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(409, "Conflict", detail) }
    }

    /// 410: it was there and is gone for good.
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(410, "Gone", detail)
    }

    /// 413: more than one request may carry.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "Content Too Large", detail)
    }

    /// 415: a content type that is not taken.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(415, "Unsupported Media Type", detail)
    }

    /// 422: readable, but its fields are wrong.
    pub fn invalid(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(422, "Unprocessable Content", detail) }
    }

    /// 429: more at a time than one tenant is given.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(429, "Too Many Requests", detail)
    }

    /// 500: our fault. The cause is logged here and stays here.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed: {cause}");
        Self::new(
            500,
            "Internal Server Error",
            "something is wrong in the service; it has been logged",
        )
    }

    /// 503: the storage did not answer in time. Nothing that was not acknowledged counts as stored; sending it again is safe.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, "Service Unavailable", detail)
    }
}
