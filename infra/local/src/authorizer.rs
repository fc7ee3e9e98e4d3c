//! The JWT authorizer, by API Gateway's documented rules: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

mod keys;

use std::time::SystemTime;

use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

pub(crate) use keys::Keys;

use crate::{invoke::since_epoch, plan::Jwt};

/// The claims of an accepted token.
pub(crate) type Claims = Map<String, Value>;

/// Checks the tokens of one issuer.
pub(crate) struct Authorizer {
    expected: Jwt,
    keys: Keys,
}

/// Why a request is refused.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The request has no token.
    Missing,
    /// The token is invalid, for this reason.
    Invalid(&'static str),
    /// The token has none of the required scopes.
    Scope,
}

impl Authorizer {
    pub(crate) fn new(expected: Jwt, keys: Keys) -> Self {
        Self { expected, keys }
    }

    /// Checks the token of a request and returns its claims.
    pub(crate) async fn check(
        &self,
        headers: &HeaderMap,
        scopes: &[String],
    ) -> Result<Claims, Refusal> {
        let token = token(headers)?;
        let claims = self.verified(token).await?;
        let now = since_epoch(SystemTime::now()).as_secs_f64();
        check_claims(&claims, &self.expected, now).map_err(Refusal::Invalid)?;
        match scopes.is_empty() || granted(&claims).iter().any(|scope| scopes.contains(scope)) {
            true => Ok(claims),
            false => Err(Refusal::Scope),
        }
    }

    /// Verifies algorithm, key and signature, and returns the claims.
    async fn verified(&self, token: &str) -> Result<Claims, Refusal> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| Refusal::Invalid("the token cannot be decoded"))?;
        // The algorithm is fixed, because one taken from the token would let its sender choose the verification.
        if header.alg != Algorithm::RS256 {
            return Err(Refusal::Invalid("the signing method is invalid: it must be RS256"));
        }
        // RFC 7515, 4.1.11: unknown critical header fields must be refused, and none are supported here.
        if header.crit.is_some() {
            return Err(Refusal::Invalid(
                "the token has critical header fields that are not understood",
            ));
        }
        let kid = header.kid.ok_or(Refusal::Invalid("the token has no kid"))?;
        let key = self.keys.find(&kid).await.map_err(Refusal::Invalid)?;
        let mut signature_only = Validation::new(Algorithm::RS256);
        // Claims are checked below by the rules of API Gateway, which include client_id and iat and allow no leeway.
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        match jsonwebtoken::decode::<Claims>(token, &key, &signature_only) {
            Ok(verified) => Ok(verified.claims),
            Err(_) => Err(Refusal::Invalid("the token's signature or payload is invalid")),
        }
    }
}

/// The token in the Authorization header, with or without `Bearer`.
fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::Missing) };
    let value = value.to_str().map_err(|_| Refusal::Missing)?.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        _ if value.eq_ignore_ascii_case("bearer") => "",
        _ => value,
    };
    if token.is_empty() { Err(Refusal::Missing) } else { Ok(token) }
}

/// Checks issuer, audience and times. A claim of another type, such as a text for a time, is invalid.
fn check_claims(claims: &Claims, expected: &Jwt, now: f64) -> Result<(), &'static str> {
    if claims.get("iss").and_then(Value::as_str) != Some(&expected.issuer) {
        return Err("the token's issuer is invalid");
    }
    let ours = |audience: &Value| {
        audience.as_str().is_some_and(|text| expected.audiences.iter().any(|ours| ours == text))
    };
    let meant_for_us = match (claims.get("aud"), claims.get("client_id")) {
        (Some(Value::Array(audiences)), _) => {
            audiences.iter().all(Value::is_string) && audiences.iter().any(ours)
        }
        (Some(audience), _) => ours(audience),
        (None, Some(client)) => ours(client),
        (None, None) => false,
    };
    if !meant_for_us {
        return Err("the token does not have a valid audience");
    }
    match claims.get("exp").map(Value::as_f64) {
        Some(Some(exp)) if exp > now => {}
        Some(Some(_)) => return Err("the token has expired"),
        Some(None) | None => return Err("the token has no exp claim, or its exp is not a number"),
    }
    for name in ["nbf", "iat"] {
        match claims.get(name).map(Value::as_f64) {
            None => {}
            Some(Some(time)) if time <= now => {}
            Some(_) => return Err("the token's nbf or iat is in the future or is not a number"),
        }
    }
    Ok(())
}

/// The scopes in `scope` or `scp`, as a text or a list.
pub(crate) fn granted(claims: &Claims) -> Vec<String> {
    let mut scopes = Vec::new();
    for claim in [claims.get("scope"), claims.get("scp")].into_iter().flatten() {
        match claim {
            Value::String(text) => scopes.extend(text.split_whitespace().map(str::to_owned)),
            Value::Array(items) => {
                scopes.extend(items.iter().filter_map(Value::as_str).map(str::to_owned))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
    }
    scopes
}
