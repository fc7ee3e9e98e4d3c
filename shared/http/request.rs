//! Parses requests of the gateway (parameters, headers, body) and builds its responses.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::{Duration, Instant as Deadline};

use crate::problem::Problem;
use shared_domain::json::{object_reader::NAME_BYTES, strict_json};
use shared_storage::ReadError;

/// Time limit of a request. The gateway waits 30 s and the function ends after 29 s. A response
/// that says what was not done is better than a timeout.
pub const TIME: Duration = Duration::from_secs(20);

/// The deadline of a request that starts now.
pub fn deadline() -> Deadline {
    Deadline::now() + TIME
}

/// 204: done, without a body.
pub fn no_content() -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = 204;
    response
}

/// A JSON response.
pub fn json(status: u16, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    match serde_json::to_string(body) {
        Ok(body) => response(status, "application/json", body),
        Err(error) => problem(&Problem::internal(&error)),
    }
}

/// A JSON response from JSON text.
pub fn json_text(status: u16, body: String) -> ApiGatewayV2httpResponse {
    response(status, "application/json", body)
}

/// A problem document as a response.
pub fn problem(problem: &Problem) -> ApiGatewayV2httpResponse {
    // A problem has only texts and numbers, which can always be serialized.
    let body = serde_json::to_string(problem).unwrap_or_default();
    let mut response = response(problem.status, "application/problem+json", body);
    let pause = match problem.status {
        503 => Some("2"),
        429 => Some("60"),
        _ => None,
    };
    response
        .headers
        .extend(pause.map(|pause| (header::RETRY_AFTER, HeaderValue::from_static(pause))));
    response
}

/// The response, or the problem as a response.
pub fn answer(result: Result<ApiGatewayV2httpResponse, Problem>) -> ApiGatewayV2httpResponse {
    result.unwrap_or_else(|error| problem(&error))
}

fn response(status: u16, content_type: &'static str, body: String) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    response.headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Responses contain names of people: no cache may store them, no browser may guess their
        // type.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    response.body = Some(body.into());
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

/// The request's body, decoded if the gateway encoded it in base64.
///
/// # Errors
/// 400 if it is not the base64 that the gateway announced, 415 if it is compressed.
pub fn body(request: &ApiGatewayV2httpRequest) -> Result<Vec<u8>, Problem> {
    if let Some(coding) =
        request.headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity")
    {
        return Err(Problem::unsupported_media_type(format!(
            "Content-Encoding {coding:?} is not taken; send the body as it is"
        )));
    }
    let body = request.body.as_deref().unwrap_or_default();
    if request.is_base64_encoded {
        BASE64_STANDARD.decode(body).map_err(|_| {
            Problem::bad_request("the body is not readable: its base64 form is broken")
        })
    } else {
        Ok(body.as_bytes().to_vec())
    }
}

/// The media type of the request's body in lower case, without parameters.
pub fn media_type(request: &ApiGatewayV2httpRequest) -> Option<String> {
    let value = request.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Longest JSON body of a search or a change, in bytes.
const MAX_JSON_BYTES: usize = 64 * 1024;

/// The text of a JSON body, not parsed.
///
/// # Errors
/// 415 for another content type, 413 above the size limit, 400 if it is not UTF-8.
pub fn json_body(request: &ApiGatewayV2httpRequest) -> Result<String, Problem> {
    if media_type(request).as_deref() != Some("application/json") {
        return Err(Problem::unsupported_media_type("Content-Type must be application/json"));
    }
    let body = body(request)?;
    if body.len() > MAX_JSON_BYTES {
        let detail = format!(
            "the body is {} bytes long; 64 KiB ({MAX_JSON_BYTES} bytes) are the most",
            body.len()
        );
        return Err(Problem::too_large(detail));
    }
    String::from_utf8(body).map_err(|_| Problem::bad_request("the body is not UTF-8"))
}

/// The members of a JSON body, which must be an object.
///
/// # Errors
/// 400, 413 or 415.
pub fn json_members(request: &ApiGatewayV2httpRequest) -> Result<Map<String, Value>, Problem> {
    match strict_json::read(&json_body(request)?) {
        (Some(Value::Object(members)), faults) if faults.is_empty() => Ok(members),
        (Some(_), faults) if faults.is_empty() => {
            Err(Problem::bad_request("the body must be a JSON object"))
        }
        (_, faults) => {
            let said: Vec<_> = faults
                .iter()
                .map(|fault| format!("{} {}", fault.pointer, fault.detail).trim().to_owned())
                .collect();
            Err(Problem::bad_request(format!("the body {}", said.join("; "))))
        }
    }
}

/// The id of a configuration document, from the path.
///
/// # Errors
/// 400 if it is longer than 256 bytes or has control characters.
pub fn configured_id(request: &ApiGatewayV2httpRequest) -> Result<&str, Problem> {
    let id = request.path_parameters.get("id").map(String::as_str).unwrap_or_default();
    if (1..=NAME_BYTES).contains(&id.len()) && !id.chars().any(char::is_control) && id.trim() == id
    {
        return Ok(id);
    }
    Err(Problem::bad_request(format!(
        "the id in the address must be 1 to {NAME_BYTES} bytes of UTF-8 (percent-coded) without control characters or spaces around it"
    )))
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
    pub fn read(request: &ApiGatewayV2httpRequest) -> Result<Option<Self>, Problem> {
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
}

/// The query parameters of a request. Each occurs once.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses the query string.
    ///
    /// # Errors
    /// 400 for a parameter that is not in `known` or occurs twice, so that a misspelt parameter is
    /// not ignored in favour of its default.
    pub fn read(request: &ApiGatewayV2httpRequest, known: &[&str]) -> Result<Self, Problem> {
        let query = request.raw_query_string.as_deref().unwrap_or_default();
        // Invalid percent-encoding is decoded to the replacement character, which would search for
        // a different text.
        let is_replaced = |text: &str| text.contains('\u{fffd}');
        if form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| is_replaced(&name) || is_replaced(&value))
        {
            return Err(Problem::bad_request("the query string is not percent-coded UTF-8"));
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                let known = if known.is_empty() {
                    "none are".to_owned()
                } else {
                    format!("known are {}", known.join(", "))
                };
                return Err(Problem::bad_request(format!(
                    "unknown query parameter {name:?}; {known}"
                )));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_request(format!(
                    "query parameter {name:?} is given twice"
                )));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// Parses the same parameters from a JSON body: an object with texts, numbers or booleans.
    ///
    /// # Errors
    /// 400, 413 or 415.
    pub fn from_body(request: &ApiGatewayV2httpRequest, known: &[&str]) -> Result<Self, Problem> {
        Self::from_members(json_members(request)?, known)
    }

    /// Parses the same parameters from the members of a JSON body.
    ///
    /// # Errors
    /// 400 for an unknown member or a value of another type.
    pub fn from_members(members: Map<String, Value>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Vec::new();
        for (name, value) in members {
            if !known.contains(&name.as_str()) {
                return Err(Problem::bad_request(format!(
                    "unknown field {name:?}; known are {}",
                    known.join(", ")
                )));
            }
            let value = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(Problem::bad_request(format!(
                        "field {name:?} must be a text, a number or a boolean"
                    )));
                }
            };
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Adds a parameter from the path.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, parsed by `read`.
    ///
    /// # Errors
    /// 400 with the error text of `read`.
    pub fn read_as<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        self.get(name)
            .map(|text| {
                read(text).map_err(|detail| Problem::bad_request(format!("{name:?}: {detail}")))
            })
            .transpose()
    }

    /// A parameter that is true or false.
    ///
    /// # Errors
    /// 400 if it is neither.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.read_as(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} must be true or false")),
        })
    }

    /// The parameters that identify the query, in a fixed order: all but those in `apart`.
    pub fn identity(&self, apart: &[&str]) -> Vec<(&str, &str)> {
        let mut identity: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !apart.contains(name))
            .collect();
        identity.sort_unstable();
        identity
    }
}
