//! Demonstration data, posted to the running API as a portal would.

mod company;
mod week;

use shared::platform::clock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{Running, TokenError, TokenRequest};

/// The tenant of the demonstration, and of the tokens that are printed at start.
pub const TENANT: &str = "acme";

/// The demonstration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No token could be minted.
    #[error("the token for the demonstration could not be created: {0}")]
    Token(#[from] TokenError),
    /// The API cannot be reached.
    #[error("the events of the demonstration could not be sent: {0}")]
    Http(Box<dyn std::error::Error + Send + Sync>),
    /// The API refused posted data.
    #[error("the events of the demonstration were not stored: {0}")]
    NotStored(String),
}

/// Loads the demonstration: one company, its events of a week, and access that is active now.
///
/// # Errors
/// Something was not stored.
pub async fn load(stack: &Running) -> Result<(), DemoError> {
    let now = clock::now();
    let token = |scope: &str| {
        stack.token(&TokenRequest {
            tenant: Some(TENANT.to_owned()),
            client_id: Some("demo".to_owned()),
            scope: Some(scope.to_owned()),
            ..TokenRequest::default()
        })
    };
    let (portal, admin) = (token("audit:write")?, token("audit:read audit:operate audit:admin")?);
    // The configuration comes first, because checkpoints use it.
    for (path, body) in company::documents() {
        stored(send(stack, &admin, Method::PUT, &path, body.to_string()).await)?;
    }
    for batch in week::batches(now).iter().chain([&week::just_now(now)]) {
        let text = stored(
            send(stack, &portal, Method::POST, "/v1/events", json!({"events": batch}).to_string())
                .await,
        )?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let is_stored =
            |result: &Value| matches!(result["status"].as_str(), Some("created" | "duplicate"));
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        if results.len() != batch.len() || !results.iter().all(is_stored) {
            return Err(DemoError::NotStored(text));
        }
    }
    followed(stack, &admin).await?;
    stored(
        send(stack, &admin, Method::POST, "/v1/reviews", company::review(now).to_string()).await,
    )?;
    Ok(())
}

/// Waits until the access records are stored, because a review takes those that exist when it is opened. The last event is processed last.
async fn followed(stack: &Running, token: &str) -> Result<(), DemoError> {
    for _ in 0..100 {
        let path = format!("/v1/reports/access?account={}", week::LAST_ACCOUNT);
        let text = stored(send(stack, token, Method::GET, &path, String::new()).await)?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if answer["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(DemoError::NotStored("the events gave no access records".into()))
}

/// The text of a successful response.
fn stored(
    answer: Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<String, DemoError> {
    match answer.map_err(DemoError::Http)? {
        (status, text) if status.is_success() => Ok(text),
        (status, text) => Err(DemoError::NotStored(format!("{status}: {text}"))),
    }
}

/// Sends a JSON request.
async fn send(
    stack: &Running,
    token: &str,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let address = stack.url().trim_start_matches("http://");
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(stream).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
