//! The deployment's key: a secret of one stack. It authenticates what leaves the service and comes back (cursors), and makes ids that
//! nobody outside can compute.
//!
//! The template generates it in Secrets Manager. A function reads it once and keeps it as long as it lives.

use std::{fmt, sync::Arc};

use aws_types::SdkConfig;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{sync::OnceCell, time::Instant as Deadline};

use crate::{
    platform::{
        aws_client::Aws,
        backoff::Pauses,
        environment::{ConfigError, Variables},
    },
    storage::Unavailable,
};

/// Fewest bytes of the secret. The template generates 64 letters and digits.
const SHORTEST: usize = 32;

/// Where the key is, and the key once it was read.
#[derive(Clone, Debug)]
pub struct DeploymentKey {
    aws: Aws,
    secret: String,
    key: Arc<OnceCell<Key>>,
}

/// The key itself.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
}

impl DeploymentKey {
    /// Reads where it is from the function's environment.
    ///
    /// # Errors
    /// The variable is missing.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let secret = variables.text("DEPLOYMENT_KEY")?.to_owned();
        Ok(Self { aws: Aws::new(aws), secret, key: Arc::default() })
    }

    /// The key, read from Secrets Manager the first time.
    ///
    /// # Errors
    /// Secrets Manager did not answer until `deadline`, or refused.
    pub async fn read(&self, deadline: Deadline) -> Result<&Key, Unavailable> {
        self.key.get_or_try_init(|| self.fetch(deadline)).await
    }

    async fn fetch(&self, deadline: Deadline) -> Result<Key, Unavailable> {
        let mut pauses = Pauses::until(deadline);
        loop {
            let failure = match self.aws.secret(&self.secret).await {
                Ok(text) if text.len() >= SHORTEST => return Ok(Key(text.into_bytes())),
                Ok(_) => {
                    tracing::error!("the deployment's key has fewer than {SHORTEST} characters");
                    return Err(Unavailable(format!("the deployment's key has fewer than {SHORTEST} characters")));
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

impl Key {
    /// A key of those bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// HMAC-SHA256 under the key. `label` says what it is for, so that no value made for one purpose serves another; each part counts
    /// with its length.
    pub fn mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC takes keys of any length.
        #[allow(clippy::expect_used)]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        for part in [label.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_depends_on_key_label_and_the_parts_with_their_bounds() {
        let key = Key::new("k".repeat(32));
        let mac = key.mac("ids", &[b"a", b"bc"]);
        assert_eq!(mac, key.mac("ids", &[b"a", b"bc"]));
        for other in [
            Key::new("l".repeat(32)).mac("ids", &[b"a", b"bc"]),
            key.mac("cursor", &[b"a", b"bc"]),
            key.mac("ids", &[b"ab", b"c"]),
            key.mac("ids", &[b"abc"]),
            key.mac("ids", &[b"a", b"bc", b""]),
        ] {
            assert_ne!(mac, other);
        }
        assert_eq!(format!("{key:?}"), "a key");
    }
}
