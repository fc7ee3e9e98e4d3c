//! Secrets: read where their names say, and kept for a while, as a window a second would ask for the same one.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use aws_types::SdkConfig;
use tokio::time::Instant;

use crate::{
    application::{SecretName, SecretPlace},
    aws::Aws,
    config::{ConfigError, Variables},
    event::Tenant,
    window::Failure,
};

/// How long a secret is kept. One that was changed is asked for anew as soon as the old one is refused.
const KEPT: Duration = Duration::from_secs(300);

/// Where secrets come from.
#[derive(Debug)]
pub struct Secrets {
    aws: Aws,
    prefix: String,
    variables: Variables,
    known: Mutex<BTreeMap<(String, String), Known>>,
}

struct Known {
    text: String,
    read_at: Instant,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

impl Secrets {
    /// Reads where they are from the function's environment.
    ///
    /// # Errors
    /// A variable is missing.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let prefix = variables.text("SECRET_PREFIX")?.to_owned();
        Ok(Self { aws: Aws::new(aws), prefix, variables: variables.clone(), known: Mutex::default() })
    }

    /// A tenant's secret of that name.
    ///
    /// # Errors
    /// It is not there: somebody has to put it there.
    pub async fn read(&self, tenant: &Tenant, name: &SecretName) -> Result<String, Failure> {
        let missing = |detail| Failure { kind: "secret", detail, is_refusal: true, retry_after: None };
        let key = (tenant.to_string(), name.to_string());
        if let Some(known) = self.known().get(&key).filter(|known| known.read_at.elapsed() < KEPT) {
            return Ok(known.text.clone());
        }
        let text = match name.place() {
            SecretPlace::SecretsManager(name) => {
                let path = format!("{}/{tenant}/{name}", self.prefix);
                self.aws.secret(&path).await.map_err(|error| {
                    let detail = format!("secret {path}: {error}");
                    if error.is_final {
                        missing(detail)
                    } else {
                        Failure { kind: "secret_unavailable", detail, is_refusal: false, retry_after: None }
                    }
                })?
            }
            SecretPlace::Environment(name) => self
                .variables
                .optional(name)
                .map(str::to_owned)
                .ok_or_else(|| missing(format!("the run was started without the environment variable {name}")))?,
        };
        self.known().insert(key, Known { text: text.clone(), read_at: Instant::now() });
        Ok(text)
    }

    /// A secret was refused: it is read anew when it is next wanted.
    pub fn forget(&self, tenant: &Tenant, name: &SecretName) {
        self.known().remove(&(tenant.to_string(), name.to_string()));
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Known>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
