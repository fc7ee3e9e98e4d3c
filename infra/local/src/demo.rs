//! Demonstration data, posted to the running API like any portal's.

mod week;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shared::instant::Instant;
use tokio::net::TcpStream;

use crate::{Running, TokenError, TokenRequest};

/// The tenant of the demonstration, and of the tokens that are printed at start.
pub const TENANT: &str = "acme";

/// The demonstration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No token was minted.
    #[error("no token for the demonstration: {0}")]
    Token(#[from] TokenError),
    /// The API was not reached.
    #[error("the demonstration could not be posted: {0}")]
    Http(Box<dyn std::error::Error + Send + Sync>),
    /// The API took something else than was posted.
    #[error("the demonstration was not stored: {0}")]
    NotStored(String),
}

/// Loads the demonstration: a week of one company's life.
///
/// # Errors
/// An event was not stored.
pub async fn load(stack: &Running) -> Result<(), DemoError> {
    post(stack, TENANT, &week::batches(Instant::now())).await
}

/// Posts batches of events of one tenant; each has to be created, or be there already.
async fn post(stack: &Running, tenant: &str, batches: &[Vec<Value>]) -> Result<(), DemoError> {
    let request = TokenRequest {
        tenant: Some(tenant.to_owned()),
        client_id: Some("demo".to_owned()),
        scope: Some("audit:write".to_owned()),
        ..TokenRequest::default()
    };
    let token = stack.token(&request)?;
    for batch in batches {
        let body = json!({"events": batch}).to_string();
        let (status, text) = send(stack, &token, body).await.map_err(DemoError::Http)?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let stored = |result: &Value| matches!(result["status"].as_str(), Some("created" | "duplicate"));
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !status.is_success() || results.len() != batch.len() || !results.iter().all(stored) {
            return Err(DemoError::NotStored(format!("{status}: {text}")));
        }
    }
    Ok(())
}

/// Posts to `/v1/events`, as any client would.
async fn send(
    stack: &Running,
    token: &str,
    body: String,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let address = stack.url().trim_start_matches("http://");
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(stream).await?;
    tokio::spawn(connection);
    let request = Request::post("/v1/events")
        .header(header::HOST, address)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
