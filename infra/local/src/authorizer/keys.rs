//! The public keys of an issuer: those of the development issuer, or fetched by OpenID Connect discovery and cached.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use tokio::sync::Mutex;

/// API Gateway caches keys for up to two hours.
const KEPT: Duration = Duration::from_secs(2 * 60 * 60);

/// The minimum time between two fetches. An unknown key id causes a fetch, and anyone can invent key ids.
const PAUSE: Duration = Duration::from_secs(30);

const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 1024 * 1024;

/// The keys that verify tokens, by key id.
pub(crate) enum Keys {
    /// The key of the development issuer.
    Own(BTreeMap<String, DecodingKey>),
    /// The keys of another issuer.
    Fetched(Box<Fetched>),
}

/// Keys that are fetched on demand.
pub(crate) struct Fetched {
    issuer: String,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: BTreeMap<String, DecodingKey>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Keys {
    pub(crate) fn own(jwks: &Value) -> Self {
        Self::Own(read(jwks))
    }

    /// # Errors
    /// This machine has no root certificates.
    pub(crate) fn fetched(issuer: String) -> io::Result<Self> {
        // An issuer on this machine, as in tests, may use plain HTTP.
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self::Fetched(Box::new(Fetched { issuer, client, cache: Mutex::default() })))
    }

    pub(crate) async fn find(&self, kid: &str) -> Result<DecodingKey, &'static str> {
        const UNKNOWN: &str = "the token's kid does not match any key of the issuer";
        match self {
            Self::Own(keys) => keys.get(kid).cloned().ok_or(UNKNOWN),
            Self::Fetched(fetched) => fetched.find(kid).await?.ok_or(UNKNOWN),
        }
    }
}

impl Fetched {
    /// The lock is held during a fetch, so that a burst of requests fetches once.
    async fn find(&self, kid: &str) -> Result<Option<DecodingKey>, &'static str> {
        let mut cache = self.cache.lock().await;
        let fresh = cache.fetched.is_some_and(|at| at.elapsed() < KEPT);
        let known = cache.keys.get(kid).cloned();
        let may_try = cache.tried.is_none_or(|at| at.elapsed() >= PAUSE);
        if (known.is_some() && fresh) || !may_try {
            return Ok(known);
        }
        cache.tried = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                cache.keys = keys;
                cache.fetched = Some(Instant::now());
                Ok(cache.keys.get(kid).cloned())
            }
            Err(problem) => {
                tracing::error!(
                    "the keys of the issuer {} could not be fetched: {problem}",
                    self.issuer
                );
                // Cached keys are used while the issuer is unreachable.
                known.map(Some).ok_or("OIDC discovery endpoint communication error")
            }
        }
    }

    async fn fetch(&self) -> Result<BTreeMap<String, DecodingKey>, String> {
        let discovery =
            format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = self.get(&discovery).await?;
        let named = document["issuer"].as_str().unwrap_or_default();
        if named != self.issuer {
            return Err(format!(
                "{discovery} belongs to the issuer {named:?}; pass exactly this value to --issuer"
            ));
        }
        let keys =
            document["jwks_uri"].as_str().ok_or_else(|| format!("{discovery} has no jwks_uri"))?;
        Ok(read(&self.get(keys).await?))
    }

    /// Redirects are not followed, because the keys must be at the address that the issuer names.
    async fn get(&self, url: &str) -> Result<Value, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
        let address = url.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
        let fetch = async {
            let response = self.client.get(address).await.map_err(|error| failed(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST)
                .collect()
                .await
                .map_err(|error| failed(&error))?;
            match status.is_success() {
                true => serde_json::from_slice(&body.to_bytes()).map_err(|error| failed(&error)),
                false => Err(failed(&status)),
            }
        };
        tokio::time::timeout(PATIENCE, fetch)
            .await
            .unwrap_or_else(|_| Err(failed(&"no response in time")))
    }
}

/// The RSA signing keys of a JWKS. Other keys are ignored.
fn read(jwks: &Value) -> BTreeMap<String, DecodingKey> {
    let keys = jwks["keys"].as_array().into_iter().flatten();
    keys.filter(|key| key["kty"] == "RSA" && key["use"].as_str().is_none_or(|used| used == "sig"))
        .filter_map(|key| {
            let key_id = key["kid"].as_str()?.to_owned();
            let decoding =
                DecodingKey::from_rsa_components(key["n"].as_str()?, key["e"].as_str()?).ok()?;
            Some((key_id, decoding))
        })
        .collect()
}
