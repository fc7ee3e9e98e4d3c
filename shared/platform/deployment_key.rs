//! The deployment's key: a secret of one stack. It signs cursors, which leave the service and come
//! back, and derives ids that no outsider can compute.
//!
//! The template generates it in Secrets Manager. A function reads it once and caches it.

use shared_domain::trail::key::Key;
use std::sync::Arc;

use aws_types::SdkConfig;
use tokio::{sync::OnceCell, time::Instant as Deadline};

use crate::{
    aws_client::Aws,
    backoff::{Pauses, Unavailable},
    environment::{ConfigError, Variables},
};

/// Fewest characters of the key. The template generates 64 letters and digits.
const SHORTEST: usize = 32;

/// The name of the secret, and its value after the first read.
#[derive(Clone, Debug)]
pub struct DeploymentKey {
    aws: Aws,
    secret: String,
    key: Arc<OnceCell<Key>>,
}

impl DeploymentKey {
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let secret = variables.text("DEPLOYMENT_KEY")?.to_owned();
        Ok(Self { aws: Aws::new(aws), secret, key: Arc::default() })
    }

    /// The key, read from Secrets Manager on the first call.
    pub async fn read(&self, deadline: Deadline) -> Result<&Key, Unavailable> {
        self.key.get_or_try_init(|| self.fetch(deadline)).await
    }

    async fn fetch(&self, deadline: Deadline) -> Result<Key, Unavailable> {
        let mut pauses = Pauses::until(deadline);
        loop {
            let failure = match self.aws.secret(&self.secret).await {
                Ok(text) if text.len() >= SHORTEST => return Ok(Key::new(text.into_bytes())),
                Ok(_) => {
                    tracing::error!("the deployment's key has fewer than {SHORTEST} characters");
                    return Err(Unavailable(format!(
                        "the deployment's key has fewer than {SHORTEST} characters"
                    )));
                }
                Err(error) => error,
            };
            tracing::warn!(%failure, "the deployment's key was not read: {failure}");
            if failure.is_final || !pauses.pause().await {
                return Err(Unavailable(format!("the deployment's key: {failure}")));
            }
        }
    }
}
