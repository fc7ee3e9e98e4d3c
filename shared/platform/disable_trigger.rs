//! Starts the function that ends windows, without waiting for its schedule. The schedule is the
//! guarantee: if a call is lost, it ends the window a minute later.

use std::time::Duration;

use aws_types::SdkConfig;
use serde_json::{Value, json};

use crate::{
    aws_client::{Aws, CallError},
    environment::{ConfigError, Variables},
};
use shared_domain::{time::timestamp::Instant, windows::window::Window};

/// How far a run of that function looks ahead for windows that end.
pub const AHEAD: Duration = Duration::from_secs(150);

/// Starts the function that ends windows.
#[derive(Clone, Debug)]
pub struct Sweep {
    aws: Aws,
    function: String,
}

impl Sweep {
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { aws: Aws::new(aws), function: variables.text("DISABLE_FUNCTION")?.to_owned() })
    }

    /// Starts it if one of these windows ends so soon that the next scheduled run may be too late.
    pub async fn wake_for(&self, windows: &[Window], now: Instant) {
        let ends_soon = windows.iter().filter_map(Window::due_at).any(|due| due <= now.plus(AHEAD));
        if ends_soon && let Err(error) = self.wake(&json!({})).await {
            tracing::warn!(%error, "the function that ends windows was not started, its schedule will start it: {error}");
        }
    }

    /// Starts it with the payload `what`.
    ///
    /// # Errors
    /// The call is not known to have started a run.
    pub async fn wake(&self, what: &Value) -> Result<(), CallError> {
        self.aws.invoke(&self.function, what).await
    }
}
