//! Demonstration data, posted to the running API like any portal's.

mod week;

use serde_json::{Value, json};
use shared::instant::Instant;

use crate::{Running, TokenRequest};

/// The tenant of the demonstration, and of the tokens that are printed at start.
pub const TENANT: &str = "acme";

/// The demonstration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No token was minted.
    #[error("no token for the demonstration: {0}")]
    Token(String),
    /// The API was not reached.
    #[error("the demonstration could not be posted: {0}")]
    Http(#[from] reqwest::Error),
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
    let token = stack.token(&request).map_err(|error| DemoError::Token(error.to_string()))?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    for batch in batches {
        let body = json!({"events": batch}).to_string();
        let request = client.post(format!("{}/v1/events", stack.url())).bearer_auth(&token);
        let response = request.header("content-type", "application/json").body(body).send().await?;
        let status = response.status();
        let text = response.text().await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let stored = |result: &Value| matches!(result["status"].as_str(), Some("created" | "duplicate"));
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !status.is_success() || results.len() != batch.len() || !results.iter().all(stored) {
            return Err(DemoError::NotStored(format!("{status}: {text}")));
        }
    }
    Ok(())
}
