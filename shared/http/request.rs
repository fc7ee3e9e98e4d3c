//! Parses requests of the gateway (parameters, headers, body) and builds its responses.

use std::collections::HashMap;

use axum::{
    body::{self, Body, Bytes},
    extract::{self, RawPathParams},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lambda_http::{RequestExt, request::RequestContext};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::{Duration, Instant as Deadline};

use crate::{
    api,
    problem::{Problem, RequestError},
    route::Route,
};
use shared_domain::{
    identity::caller::Caller,
    json::strict_json::{self, FieldError},
    trail::event::{EventId, Tenant},
};
use shared_storage::ReadError;

/// Time limit of a request. The gateway waits 30 s and the function ends after 29 s. A response
/// that says what was not done is better than a timeout.
pub const TIME: Duration = Duration::from_secs(20);

/// The deadline of a request that starts now.
pub fn deadline() -> Deadline {
    Deadline::now() + TIME
}

/// One request, as API Gateway passed it on.
#[derive(Debug, Default)]
pub struct Request {
    /// The id that the gateway gave it.
    pub id: String,
    pub method: Method,
    /// The path as it was sent, decoded.
    pub path: String,
    /// The route as the template writes it: `GET /v1/events/{id}`.
    pub route: String,
    /// The decoded parameters in the path.
    pub path_parameters: HashMap<String, String>,
    /// The query string, not decoded.
    pub query: String,
    pub headers: HeaderMap,
    /// The claims of the token that the gateway verified, flattened to texts; none if the route
    /// needs no token.
    pub verified_claims: Option<HashMap<String, String>>,
    pub body: Bytes,
}

impl Request {
    /// # Errors
    /// 500 if the event does not come from an HTTP API.
    pub async fn read<H>(
        row: &Route<H>,
        parameters: &RawPathParams,
        request: extract::Request,
    ) -> Result<Self, Problem> {
        let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref().cloned()
        else {
            return Err(Problem::internal(&"the event does not come from an HTTP API"));
        };
        let (parts, body) = request.into_parts();
        Ok(Self {
            id: context.request_id.unwrap_or_default(),
            method: parts.method,
            path: context.http.path.unwrap_or_default(),
            route: row.key(),
            path_parameters: parameters
                .iter()
                .map(|(name, value)| {
                    let value = value.strip_prefix(api::MARK).unwrap_or(value);
                    (name.to_owned(), value.to_owned())
                })
                .collect(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            verified_claims: context
                .authorizer
                .and_then(|authorizer| authorizer.jwt)
                .map(|jwt| jwt.claims),
            // The gateway has limited the body to 6 MB.
            body: body::to_bytes(body, usize::MAX)
                .await
                .map_err(|error| Problem::internal(&error))?,
        })
    }

    /// The parameter `id` in the path.
    pub fn path_id(&self) -> &str {
        self.path_parameters.get("id").map(String::as_str).unwrap_or_default()
    }
}

/// 204: done, without a body.
pub fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A JSON response.
pub fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => response(status, "application/json", body),
        Err(error) => problem(&Problem::internal(&error)),
    }
}

/// A JSON response from JSON text.
pub fn json_text(status: u16, body: String) -> Response {
    response(status, "application/json", body)
}

/// A problem document as a response.
pub fn problem(problem: &Problem) -> Response {
    // A problem has only texts and numbers, which can always be serialized.
    let body = serde_json::to_string(problem).unwrap_or_default();
    let mut response = response(problem.status, "application/problem+json", body);
    let pause = match problem.status {
        503 => Some("2"),
        429 => Some("60"),
        _ => None,
    };
    response
        .headers_mut()
        .extend(pause.map(|pause| (header::RETRY_AFTER, HeaderValue::from_static(pause))));
    response
}

/// The response, or the problem as a response.
pub fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|error| problem(&error))
}

fn response(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    // Every status of this service is one of the constants in `Problem` and the handlers.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Responses contain names of people: no cache may store them, no browser may guess their
        // type.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    response
}

/// Bytes of a text in Lambda's response, which is a JSON string: quotes and backslashes are
/// escaped.
pub fn escaped_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(error) => {
                tracing::warn!(%error, "answered 503: {error}");
                Self::unavailable("the storage did not answer in time; nothing is lost, ask again")
            }
            ReadError::Damaged(error) => Self::internal(&error),
            ReadError::TooLarge(error) => {
                Self::invalid(format!("nothing was stored: {error}"), Vec::new())
            }
        }
    }
}

/// The request's body.
///
/// # Errors
/// 415 if it is compressed.
pub fn body(request: &Request) -> Result<&Bytes, Problem> {
    if let Some(coding) =
        request.headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity")
    {
        return Err(Problem::unsupported_media_type(format!(
            "Content-Encoding {coding:?} is not taken; send the body as it is"
        )));
    }
    Ok(&request.body)
}

/// The media type of the request's body in lower case, without parameters.
pub fn media_type(request: &Request) -> Option<String> {
    let value = request.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Longest JSON body of a search or a change, in bytes.
pub const MAX_JSON_BYTES: usize = 64 * 1024;
/// Longest JSON body with many documents, in bytes.
pub const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// The text of a JSON body of at most `most` bytes, not parsed.
///
/// # Errors
/// 415 for another content type, 413 above the size limit, 400 if it is not UTF-8.
pub fn json_body(request: &Request, most: usize) -> Result<String, Problem> {
    if media_type(request).as_deref() != Some("application/json") {
        return Err(Problem::unsupported_media_type("Content-Type must be application/json"));
    }
    let body = body(request)?;
    if body.len() > most {
        let detail = format!(
            "the body has {} bytes; the maximum is {} KiB ({most} bytes)",
            body.len(),
            most / 1024
        );
        return Err(Problem::too_large(detail));
    }
    String::from_utf8(body.to_vec()).map_err(|_| Problem::bad_request("the body is not UTF-8"))
}

/// The members of a JSON object, and what is wrong with its JSON: keys that are given twice, numbers
/// that lose digits.
///
/// # Errors
/// 400 for anything else than an object.
pub fn object(json: &str) -> Result<(Map<String, Value>, Vec<FieldError>), Problem> {
    match strict_json::read_members(json) {
        (Some(members), faults) => Ok((members, faults)),
        (None, faults) => Err(wrong_body(faults)),
    }
}

/// The members of a JSON object.
///
/// # Errors
/// 400 if anything is wrong with the JSON.
pub fn members(json: &str) -> Result<Map<String, Value>, Problem> {
    let (members, faults) = object(json)?;
    if faults.is_empty() { Ok(members) } else { Err(wrong_body(faults)) }
}

fn wrong_body(faults: Vec<FieldError>) -> Problem {
    Problem::wrong_parameters(faults.into_iter().map(RequestError::from).collect())
}

/// The `Idempotency-Key` header. A second request of the same caller with the same key has no
/// further effect.
#[derive(Debug)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the header, if there is one.
    ///
    /// # Errors
    /// 400 if it is empty, longer than 255 characters, or not printable ASCII.
    pub fn read(request: &Request) -> Result<Option<Self>, Problem> {
        let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
        match value.to_str().map(str::trim) {
            // Two headers of the same name arrive joined by a comma, which would be a third key.
            Ok(key) if (1..=255).contains(&key.len()) && !key.contains(',') => {
                Ok(Some(Self(key.to_owned())))
            }
            _ => Err(Problem::bad_request(
                "header Idempotency-Key must be given once: 1 to 255 printable ASCII characters without a comma",
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of what a request of this caller with this key creates. `what` is a word for its
    /// kind: the same key may be used for things of different kinds. A key has no comma, so no two
    /// kinds share an id.
    pub fn id_of(&self, what: &str, tenant: &Tenant, caller: &Caller) -> EventId {
        EventId::hash_of(tenant, &caller.sub, &format!("{what},{}", self.0))
    }
}
