//! An issuer's public keys: our own development issuer's, or fetched by OpenID Connect discovery and kept for a while.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jsonwebtoken::DecodingKey;
use serde_json::Value;
use tokio::sync::Mutex;

/// API Gateway keeps keys for up to two hours.
const KEPT: Duration = Duration::from_secs(2 * 60 * 60);

/// An unknown key id makes us look again, but no more often than this: anyone can invent key ids.
const PAUSE: Duration = Duration::from_secs(30);

const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 1024 * 1024;

/// The keys tokens are checked with, by key id.
pub(crate) enum Keys {
    /// The development issuer's.
    Own(BTreeMap<String, DecodingKey>),
    /// Another issuer's.
    Fetched(Fetched),
}

/// Keys that are fetched when needed.
pub(crate) struct Fetched {
    issuer: String,
    client: reqwest::Client,
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

    pub(crate) fn fetched(issuer: String) -> Result<Self, reqwest::Error> {
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
        Ok(Self::Fetched(Fetched { issuer, client, cache: Mutex::default() }))
    }

    pub(crate) async fn find(&self, kid: &str) -> Result<DecodingKey, &'static str> {
        const UNKNOWN: &str = "the token's kid matches no key of the issuer";
        match self {
            Self::Own(keys) => keys.get(kid).cloned().ok_or(UNKNOWN),
            Self::Fetched(fetched) => fetched.find(kid).await?.ok_or(UNKNOWN),
        }
    }
}

impl Fetched {
    /// Holding the lock while fetching means that a burst of requests fetches once.
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
                tracing::error!("the keys of the issuer {} could not be fetched: {problem}", self.issuer);
                // Keys we have are better than none while the issuer is away.
                known.map(Some).ok_or("OIDC discovery endpoint communication error")
            }
        }
    }

    async fn fetch(&self) -> Result<BTreeMap<String, DecodingKey>, String> {
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = self.get(&discovery).await?;
        let named = document["issuer"].as_str().unwrap_or_default();
        if named != self.issuer {
            return Err(format!("{discovery} is of the issuer {named:?}; give --issuer exactly as it says"));
        }
        let keys = document["jwks_uri"].as_str().ok_or_else(|| format!("{discovery} has no jwks_uri"))?;
        Ok(read(&self.get(keys).await?))
    }

    async fn get(&self, url: &str) -> Result<Value, String> {
        let failed = |error: reqwest::Error| format!("{url}: {error}");
        let mut response = self.client.get(url).send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(format!("{url}: more than {LARGEST} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}

/// The RSA signing keys of a JWKS. Keys of other kinds are none of ours.
fn read(jwks: &Value) -> BTreeMap<String, DecodingKey> {
    let keys = jwks["keys"].as_array().into_iter().flatten();
    keys.filter(|key| key["kty"] == "RSA" && key["use"].as_str().is_none_or(|used| used == "sig"))
        .filter_map(|key| {
            let key_id = key["kid"].as_str()?.to_owned();
            let decoding = DecodingKey::from_rsa_components(key["n"].as_str()?, key["e"].as_str()?).ok()?;
            Some((key_id, decoding))
        })
        .collect()
}
