//! Tenants' secrets: read from Secrets Manager or the environment, restricted to one purpose, and
//! cached, because otherwise each window would read the same secret again.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use aws_types::SdkConfig;
use serde::Deserialize;
use strum::AsRefStr;
use tokio::time::Instant;

use crate::{
    aws_client::Aws,
    environment::{ConfigError, Variables},
};
use shared_domain::{
    configuration::application::{SecretName, SecretPlace},
    trail::event::Tenant,
    windows::revocation::Failure,
};

/// How long a secret is cached. A secret that is refused is read again at once.
const KEPT: Duration = Duration::from_secs(300);

/// What a secret is used for. Each function can read the secrets of one purpose only, so that no
/// configuration can send a secret to another kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr)]
#[strum(serialize_all = "snake_case")]
pub enum Purpose {
    /// Credentials for a directory.
    Directory,
    /// The URL of a webhook.
    Webhook,
    /// The signing key of a stream.
    Stream,
    /// Credentials for a directory whose records are collected.
    Connection,
}

/// A secret, and the host that it may be sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    /// The only host that the secret may be sent to; `None` allows any.
    host: Option<String>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

/// A secret in the form of a JSON object that restricts its use.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    tenant: Option<String>,
    host: Option<String>,
    value: String,
}

impl Secret {
    /// Parses the stored text of a tenant's secret. Only a place that all tenants share names the
    /// tenant.
    ///
    /// # Errors
    /// Why the text is not a secret for this tenant.
    fn read(text: &str, place: &SecretPlace<'_>, tenant: &Tenant) -> Result<Self, String> {
        // A secret may start with a brace by chance, but valid JSON is meant as JSON.
        let is_object = text.trim_start().starts_with('{')
            && serde_json::from_str::<serde_json::Value>(text).is_ok();
        if !is_object {
            return Ok(Self { value: text.to_owned(), host: None });
        }
        let names = match place {
            SecretPlace::SecretsManager(_) => {
                "\"value\" and, if it is for one host alone, \"host\""
            }
            SecretPlace::Environment(_) => {
                "\"value\" and, if it is for one alone, \"tenant\" and \"host\""
            }
        };
        let wrong = || format!("contains a JSON object, which must have only {names}");
        let Bound { tenant: named, host, value } =
            serde_json::from_str(text).map_err(|_| wrong())?;
        match (named, place) {
            (Some(_), SecretPlace::SecretsManager(_)) => Err(wrong()),
            (Some(named), SecretPlace::Environment(_)) if named != tenant.as_str() => {
                Err("is not a secret of this tenant".to_owned())
            }
            (Some(_) | None, _) => Ok(Self { value, host }),
        }
    }

    /// The secret, for a request to this URL.
    ///
    /// # Errors
    /// The secret is restricted to another host.
    pub fn for_url(&self, url: &str) -> Result<&str, Failure> {
        self.refuses(url).map_or(Ok(self.value.as_str()), |detail| Err(refused(detail)))
    }

    /// The secret as the URL of a request.
    ///
    /// # Errors
    /// The secret is restricted to another host.
    pub fn as_url(&self) -> Result<&str, Failure> {
        self.for_url(self.value.trim())
    }

    /// Why the secret may not be sent to this URL, if it may not.
    fn refuses(&self, url: &str) -> Option<String> {
        let host = self.host.as_deref()?;
        let uri: Option<http::Uri> = url.parse().ok();
        let authority = uri.as_ref().and_then(http::Uri::authority);
        let is_its_own = authority.is_some_and(|it| {
            host.eq_ignore_ascii_case(it.host()) || host.eq_ignore_ascii_case(it.as_str())
        });
        (!is_its_own)
            .then(|| "the secret is for another host than the host of this request".to_owned())
    }
}

/// A failure that only a change of the configuration or the secret can fix.
fn refused(detail: String) -> Failure {
    Failure { kind: "secret", detail, is_refusal: true, retry_after: None }
}

/// Reads and caches the secrets of one purpose.
#[derive(Debug)]
pub struct Secrets {
    aws: Aws,
    prefix: String,
    purpose: Purpose,
    variables: Variables,
    known: Mutex<BTreeMap<(String, String), Known>>,
}

#[derive(Debug)]
struct Known {
    secret: Secret,
    read_at: Instant,
}

impl Secrets {
    pub fn new(
        variables: &Variables,
        aws: &SdkConfig,
        purpose: Purpose,
    ) -> Result<Self, ConfigError> {
        let prefix = variables.text("SECRET_PREFIX")?.to_owned();
        Ok(Self {
            aws: Aws::new(aws),
            prefix,
            purpose,
            variables: variables.clone(),
            known: Mutex::default(),
        })
    }

    /// The same secrets, each of which is read anew.
    #[must_use]
    pub fn without_cache(&self) -> Self {
        let Self { aws, prefix, purpose, variables, known: _ } = self;
        Self {
            aws: aws.clone(),
            prefix: prefix.clone(),
            purpose: *purpose,
            variables: variables.clone(),
            known: Mutex::default(),
        }
    }

    /// Reads a tenant's secret.
    ///
    /// # Errors
    /// The secret does not exist, is not for this tenant, or could not be read.
    pub async fn read(&self, tenant: &Tenant, name: &SecretName) -> Result<Secret, Failure> {
        let key = (tenant.to_string(), name.to_string());
        if let Some(known) = self.known().get(&key).filter(|known| known.read_at.elapsed() < KEPT) {
            return Ok(known.secret.clone());
        }
        let place = name.place();
        let (text, shown) = match place {
            SecretPlace::SecretsManager(name) => {
                let path = format!("{}/{tenant}/{}/{name}", self.prefix, self.purpose.as_ref());
                let text = self.aws.secret(&path).await.map_err(|error| {
                    let detail = format!("secret {path}: {error}");
                    if error.is_final {
                        refused(detail)
                    } else {
                        Failure {
                            kind: "secret_unavailable",
                            detail,
                            is_refusal: false,
                            retry_after: None,
                        }
                    }
                })?;
                (text, path)
            }
            SecretPlace::Environment(name) => {
                let missing = || refused(format!("the environment variable {name} is not set"));
                (self.variables.optional(name).ok_or_else(missing)?.to_owned(), name.to_owned())
            }
        };
        let secret = Secret::read(&text, &place, tenant);
        let secret = secret.map_err(|detail| refused(format!("secret {shown} {detail}")))?;
        self.known().insert(key, Known { secret: secret.clone(), read_at: Instant::now() });
        Ok(secret)
    }

    /// Removes a secret that was refused from the cache, so that it is read again.
    pub fn forget(&self, tenant: &Tenant, name: &SecretName) {
        self.known().remove(&(tenant.to_string(), name.to_string()));
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Known>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Checks a secret when it is configured, before anything is sent: whose it is and where it may go.
/// This works for secrets in the runner's environment only, because the function that configures
/// may not read Secrets Manager.
#[derive(Clone, Debug)]
pub struct Foresight(Variables);

impl Foresight {
    pub fn new(variables: &Variables) -> Self {
        Self(variables.clone())
    }

    /// Why a request to `url` could not use the secret, if that is known. Without `url`, the secret
    /// itself is the URL. A secret that does not exist yet is not an error, since it can be added
    /// later.
    pub fn refuses(&self, tenant: &Tenant, name: &SecretName, url: Option<&str>) -> Option<String> {
        let place = name.place();
        let SecretPlace::Environment(variable) = place else { return None };
        match Secret::read(self.0.optional(variable)?, &place, tenant) {
            Err(detail) => Some(detail),
            Ok(secret) => secret.refuses(url.unwrap_or(secret.value.trim())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VARIABLE: SecretPlace<'_> = SecretPlace::Environment("JIT_AUDIT_SECRET_X");
    const STORED: SecretPlace<'_> = SecretPlace::SecretsManager("x");

    fn tenant() -> Tenant {
        Tenant::new("acme").unwrap()
    }

    #[test]
    fn a_secret_goes_where_it_says_and_nowhere_else() {
        for (text, place, url, value) in [
            ("plain", STORED, "https://a.example/x", Some("plain")),
            ("{not JSON", STORED, "https://a.example", Some("{not JSON")),
            (r#"{"value": "v"}"#, STORED, "https://a.example", Some("v")),
            (r#"{"host": "A.example", "value": "v"}"#, STORED, "https://a.example/x", Some("v")),
            (r#"{"host": "a.example", "value": "v"}"#, STORED, "https://a.example:8443", Some("v")),
            (
                r#"{"host": "a.example:8443", "value": "v"}"#,
                STORED,
                "https://a.example:8443",
                Some("v"),
            ),
            (r#"{"host": "a.example:8443", "value": "v"}"#, STORED, "https://a.example", None),
            (
                r#"{"host": "a.example", "value": "v"}"#,
                STORED,
                "https://a.example.evil.example",
                None,
            ),
            (
                r#"{"host": "a.example", "value": "v"}"#,
                STORED,
                "https://evil.example/a.example",
                None,
            ),
            (r#"{"host": "a.example", "value": "v"}"#, STORED, "https://xa.example", None),
            (r#"{"host": "a.example", "value": "v"}"#, STORED, "no address", None),
            (r#"{"tenant": "acme", "value": "v"}"#, VARIABLE, "https://a.example", Some("v")),
        ] {
            let secret = Secret::read(text, &place, &tenant()).unwrap();
            assert_eq!(secret.for_url(url).ok(), value, "{text} {url}");
        }
    }

    #[test]
    fn a_secret_of_another_tenant_or_shape_is_none() {
        for (text, place, part) in [
            (r#"{"tenant": "bolt", "value": "v"}"#, VARIABLE, "not a secret of this tenant"),
            (r#"{"tenant": "acme", "value": "v"}"#, STORED, "\"value\""),
            (r#"{"token": "v"}"#, STORED, "\"value\""),
            (r#"{"value": 1}"#, VARIABLE, "\"tenant\""),
            (r#"{"value": "v", "hosts": "a"}"#, STORED, "must have only"),
        ] {
            let refused = Secret::read(text, &place, &tenant()).unwrap_err();
            assert!(refused.contains(part) && !refused.contains("\"v\""), "{text}: {refused}");
        }
    }

    #[test]
    fn a_webhooks_address_is_its_own_secret() {
        let secret = |host: &str| {
            let text = format!(r#"{{"host": "{host}", "value": "https://hooks.example/T0/B0 "}}"#);
            Secret::read(&text, &STORED, &tenant()).unwrap()
        };
        assert_eq!(secret("hooks.example").as_url().unwrap(), "https://hooks.example/T0/B0 ");
        assert!(secret("other.example").as_url().is_err());
    }
}
