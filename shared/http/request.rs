//! The HTTP side of a function: from the gateway's event to parameters and a body, and from a result to its response.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::{Duration, Instant as Deadline};

use crate::problem::Problem;
use shared_domain::json::{object_reader::NAME_BYTES, strict_json};
use shared_storage::ReadError;

/// How long a request may work. The gateway waits 30 s, the function lives 29; an answer that says what was not done is worth
/// more than none.
pub const TIME: Duration = Duration::from_secs(20);

/// The moment at which a request that begins now stops working.
pub fn deadline() -> Deadline {
    Deadline::now() + TIME
}

/// 204: done, and there is nothing to say.
pub fn no_content() -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = 204;
    response
}

/// A JSON answer.
pub fn json(status: u16, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    match serde_json::to_string(body) {
        Ok(body) => response(status, "application/json", body),
        Err(error) => problem(&Problem::internal(&error)),
    }
}

/// A JSON answer whose text is there already.
pub fn json_text(status: u16, body: String) -> ApiGatewayV2httpResponse {
    response(status, "application/json", body)
}

/// A problem as an answer.
pub fn problem(problem: &Problem) -> ApiGatewayV2httpResponse {
    // A problem holds texts and numbers, which always serialise.
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

/// The answer, or the problem as one.
pub fn answer(result: Result<ApiGatewayV2httpResponse, Problem>) -> ApiGatewayV2httpResponse {
    result.unwrap_or_else(|error| problem(&error))
}

fn response(status: u16, content_type: &'static str, body: String) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    response.headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Trails hold names and reasons: nothing on the way may keep them, and no browser may guess another type.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    response.body = Some(body.into());
    response
}

/// How many bytes of Lambda's answer a text takes: it is sent as a JSON string, with quotes and backslashes escaped.
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

/// The request's body, decoded where the gateway coded it.
///
/// # Errors
/// 400 where it is not base64 although the gateway says so, 415 where it is compressed.
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

/// The media type of the request's body, lower-case and without parameters.
pub fn media_type(request: &ApiGatewayV2httpRequest) -> Option<String> {
    let value = request.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Longest JSON body of a search or a change, in bytes.
const MAX_JSON_BYTES: usize = 64 * 1024;

/// The text of a JSON body, unread.
///
/// # Errors
/// 415 for another content type, 413 for too much, 400 where it is not UTF-8.
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

/// The members of a JSON body that is an object.
///
/// # Errors
/// 400 and 415, each for what is wrong.
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

/// The id in the path of something that is configured.
///
/// # Errors
/// 400: longer than 256 bytes, or with control characters.
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

/// The `Idempotency-Key` header: the same key from the same caller asks for the same thing, once.
#[derive(Debug)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the header, if there is one.
    ///
    /// # Errors
    /// 400: empty, longer than 255 characters, or not printable ASCII.
    pub fn read(request: &ApiGatewayV2httpRequest) -> Result<Option<Self>, Problem> {
        let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
        match value.to_str().map(str::trim) {
            // Two headers of one name arrive joined by a comma: another key than either.
            Ok(key) if (1..=255).contains(&key.len()) && !key.contains(',') => {
                Ok(Some(Self(key.to_owned())))
            }
            _ => Err(Problem::bad_request(
                "header Idempotency-Key must be given once: 1 to 255 printable ASCII characters without a comma",
            )),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The query parameters of a request, each taken once.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query string.
    ///
    /// # Errors
    /// 400 for a parameter that is not among `known` or comes twice: a wrong parameter must never turn into a default.
    pub fn read(request: &ApiGatewayV2httpRequest, known: &[&str]) -> Result<Self, Problem> {
        let query = request.raw_query_string.as_deref().unwrap_or_default();
        // Broken coding would be read as the replacement character, and something else be looked for than was meant.
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

    /// Reads the same from a JSON body, an object whose values are texts, numbers or booleans.
    ///
    /// # Errors
    /// 400 and 415, each for what is wrong.
    pub fn from_body(request: &ApiGatewayV2httpRequest, known: &[&str]) -> Result<Self, Problem> {
        Self::from_members(json_members(request)?, known)
    }

    /// The same from members that were read from it.
    ///
    /// # Errors
    /// 400 for what is wrong.
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

    /// Adds what an address says beside its query string.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// A parameter's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A parameter read by `read`.
    ///
    /// # Errors
    /// 400 with the sentence that `read` gives.
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
    /// 400: it is neither.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.read_as(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} must be true or false")),
        })
    }

    /// What identifies the query: all its parameters but `apart`, in a fixed order.
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
