//! The development issuer: mints tokens for any caller on this machine, and signs users in to the audit page by OpenID Connect. Deployed
//! stacks do not have it.

mod sign_in;

use std::time::SystemTime;

use aws_lc_rs::{
    digest,
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{StartError, data::Store, invoke::since_epoch};
use sign_in::Codes;

const KEY_FILE: &str = "issuer.key";
const HOUR: u64 = 60 * 60;
const LONGEST: u64 = 400 * 24 * HOUR;
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The issuer with its signing key.
pub(crate) struct Issuer {
    /// The value of `iss`.
    pub(crate) url: String,
    audience: String,
    key: KeyPair,
    kid: String,
    modulus: String,
    exponent: String,
    codes: Codes,
}

/// The requested claims of a token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The caller's tenant.
    pub tenant: Option<String>,
    /// The tenants of a service provider, instead of `tenant`.
    pub tenants: Option<Vec<String>>,
    /// The caller's e-mail address. A machine has none.
    pub email: Option<String>,
    /// Whether the address is verified. If absent, the token has no such claim.
    pub email_verified: Option<bool>,
    /// Scopes, separated by spaces.
    pub scope: Option<String>,
    /// Roles.
    pub roles: Option<Vec<String>>,
    /// The id of the caller. The default is the e-mail address or the client.
    pub sub: Option<String>,
    /// The caller's name.
    pub name: Option<String>,
    /// The client that the token is for.
    pub client_id: Option<String>,
    /// The lifetime in seconds. The default is an hour.
    pub expires_in: Option<u64>,
}

#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

impl Issuer {
    /// Reads the key from the data directory, so that tokens survive a restart, or creates one.
    pub(crate) fn load(store: &Store, url: String, audience: String) -> Result<Self, StartError> {
        let kept = store.read(KEY_FILE)?;
        let key = match kept {
            Some(der) => KeyPair::from_pkcs8(&der).map_err(|error| {
                StartError::Issuer(format!(
                    "{KEY_FILE} in the data directory is not an RSA key: {error}"
                ))
            }),
            None => {
                let failed = |_| StartError::Issuer("an RSA key could not be generated".into());
                let key = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                store.write(KEY_FILE, key.as_der().map_err(failed)?.as_ref())?;
                Ok(key)
            }
        }?;
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let modulus = encode(key.public_key().modulus().big_endian_without_leading_zero());
        let exponent = encode(key.public_key().exponent().big_endian_without_leading_zero());
        // RFC 7638: the thumbprint of the key is its id, which is the same at every start.
        let thumbprint = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
        let kid = encode(digest::digest(&digest::SHA256, thumbprint.as_bytes()).as_ref());
        Ok(Self { url, audience, key, kid, modulus, exponent, codes: Codes::default() })
    }

    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": self.modulus, "e": self.exponent,
        }]})
    }

    /// Mints a token. The error says what is wrong with the request.
    pub(crate) fn mint(&self, request: &TokenRequest) -> Result<String, String> {
        self.sign(&self.claims(request)?)
    }

    /// A signed JWT with these claims.
    fn sign(&self, claims: &Value) -> Result<String, String> {
        let header = json!({"alg": "RS256", "kid": self.kid, "typ": "JWT"});
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| "the token could not be signed".to_owned())?;
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    fn claims(&self, request: &TokenRequest) -> Result<Value, String> {
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| {
            claims.insert(name.to_owned(), value);
        };
        match (&request.tenant, &request.tenants) {
            (Some(tenant), None) => set("tenant", checked_tenant(tenant)?.into()),
            (None, Some(tenants)) if !tenants.is_empty() => {
                let tenants = tenants
                    .iter()
                    .map(|tenant| checked_tenant(tenant))
                    .collect::<Result<Vec<_>, _>>()?;
                set("tenant", tenants.into());
            }
            _ => return Err("send either tenant (a string) or tenants (a list)".into()),
        }
        let sub = [&request.sub, &request.email, &request.client_id].into_iter().flatten().next();
        set("sub", sub.map_or("development", String::as_str).into());
        for (name, text) in [
            ("client_id", &request.client_id),
            ("email", &request.email),
            ("name", &request.name),
            ("scope", &request.scope),
        ] {
            match text.as_deref() {
                Some("") => return Err(format!("{name} is empty; remove it")),
                Some(text) => set(name, text.into()),
                None => {}
            }
        }
        if let Some(roles) = &request.roles {
            set("roles", roles.clone().into());
        }
        if let Some(is_verified) = request.email_verified {
            set("email_verified", is_verified.into());
        }
        let lasts = lifetime(request)?;
        let now = since_epoch(SystemTime::now()).as_secs();
        set("iss", self.url.clone().into());
        set("aud", self.audience.clone().into());
        set("iat", now.into());
        set("exp", (now + lasts).into());
        Ok(claims.into())
    }

    /// Handles requests below `/dev`.
    pub(crate) fn answer(&self, request: &Parts, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let form = request
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(FORM));
        match (&request.method, path) {
            (&Method::GET, "/.well-known/openid-configuration") => respond(
                StatusCode::OK,
                &json!({
                    "issuer": self.url,
                    "jwks_uri": format!("{}/jwks.json", self.url),
                    "authorization_endpoint": format!("{}/authorize", self.url),
                    "token_endpoint": format!("{}/token", self.url),
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "response_types_supported": ["code"],
                    "grant_types_supported": ["authorization_code"],
                    "code_challenge_methods_supported": ["S256"],
                    "token_endpoint_auth_methods_supported": ["none"],
                    "authorization_response_iss_parameter_supported": true,
                    "subject_types_supported": ["public"],
                }),
            ),
            (&Method::GET, "/authorize") => self.choose(request.uri.query().unwrap_or_default()),
            (&Method::POST, "/authorize") => self.chosen(body),
            (&Method::POST, "/token") if form => self.redeem(body),
            (&Method::GET, "/jwks.json") => respond(StatusCode::OK, &self.jwks()),
            (&Method::POST, "/token") => match self.token(body) {
                Ok(answer) => respond(StatusCode::OK, &answer),
                Err(problem) => refuse("invalid_request", &problem),
            },
            _ => respond(StatusCode::NOT_FOUND, &json!({"message": "Not Found"})),
        }
    }

    fn token(&self, body: &[u8]) -> Result<TokenAnswer, String> {
        let request: TokenRequest =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let access_token = self.mint(&request)?;
        Ok(TokenAnswer { access_token, token_type: "Bearer", expires_in: lifetime(&request)? })
    }
}

fn lifetime(request: &TokenRequest) -> Result<u64, String> {
    match request.expires_in.unwrap_or(HOUR) {
        seconds @ 1..=LONGEST => Ok(seconds),
        _ => Err(format!("expires_in must be 1 to {LONGEST} seconds")),
    }
}

fn checked_tenant(tenant: &str) -> Result<&str, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match (1..=64).contains(&tenant.len()) && tenant.bytes().all(allowed) {
        true => Ok(tenant),
        false => Err(format!("tenant {tenant:?} must have 1 to 64 characters of A-Z a-z 0-9 _ -")),
    }
}

/// An error in OAuth's format.
pub(crate) fn refuse(error: &str, description: &str) -> Response<Full<Bytes>> {
    respond(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": description}))
}

fn respond(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
