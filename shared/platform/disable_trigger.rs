//! Sweep: what calls the function that ends windows without waiting for its schedule. The schedule is what can be relied on; a call
//! that is lost costs a minute.

use std::time::Duration;

use aws_types::SdkConfig;
use serde_json::{Value, json};

use crate::{
    aws_client::{Aws, CallError},
    environment::{ConfigError, Variables},
};
use shared_domain::{time::timestamp::Instant, windows::window::Window};

/// A run stays while a window ends within this time, and no longer.
pub const AHEAD: Duration = Duration::from_secs(150);

/// Calls the function that ends windows.
#[derive(Clone, Debug)]
pub struct Sweep {
    aws: Aws,
    function: String,
}

impl Sweep {
    /// Reads its name from the function's environment.
    ///
    /// # Errors
    /// The variable is missing.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { aws: Aws::new(aws), function: variables.text("DISABLE_FUNCTION")?.to_owned() })
    }

    /// Calls it where one of these windows ends so soon that the schedule may come too late.
    pub async fn wake_for(&self, windows: &[Window], now: Instant) {
        let ends_soon = windows.iter().filter_map(Window::due_at).any(|due| due <= now.plus(AHEAD));
        if ends_soon && let Err(error) = self.wake(&json!({})).await {
            tracing::warn!(%error, "the sweep was not called, its schedule will: {error}");
        }
    }

    /// Calls it, to do what `what` says besides.
    ///
    /// # Errors
    /// It is not known to be called.
    pub async fn wake(&self, what: &Value) -> Result<(), CallError> {
        self.aws.invoke(&self.function, what).await
    }
}
