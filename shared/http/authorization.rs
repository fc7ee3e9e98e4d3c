//! Authorization: turns the verified token of a request into a caller with tenants and permissions.
//!
//! The gateway has checked signature, issuer, audience and expiry. It passes claims on as strings,
//! with lists flattened to `[a b]`. So this module reads them from the token in the Authorization
//! header, but only if the gateway says that it verified that token.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{problem::Problem, request::Request};
use shared_domain::identity::caller::{Caller, Permission};
use shared_domain::{
    json::strict_json::FieldError,
    trail::event::{Actor, ActorType, Tenant},
};
use shared_platform::environment::{ConfigError, Variables};

/// The names of the claims, scopes and roles that this service reads from a token.
#[derive(Clone, Debug)]
pub struct Access {
    tenant_claim: String,
    email_claim: String,
    /// The claim that must be true for the e-mail address to be used.
    verified_claim: Option<String>,
    role_claim: String,
    role_map: BTreeMap<String, Vec<Permission>>,
    scopes: [(Permission, String); 5],
}

impl Access {
    /// Reads the names from the function's environment.
    ///
    /// # Errors
    /// A variable is missing, or the role map is not a JSON object with known permissions.
    pub fn from_variables(variables: &Variables) -> Result<Self, ConfigError> {
        let text = |name| variables.text(name).map(str::to_owned);
        let name = "ROLE_MAP";
        let role_map = serde_json::from_str(variables.text(name)?).map_err(|error| {
            ConfigError { name, problem: format!("must map role names to permissions: {error}") }
        })?;
        Ok(Self {
            tenant_claim: text("TENANT_CLAIM")?,
            email_claim: text("EMAIL_CLAIM")?,
            verified_claim: variables
                .optional("EMAIL_VERIFIED_CLAIM")
                .filter(|it| !it.is_empty())
                .map(str::to_owned),
            role_claim: text("ROLE_CLAIM")?,
            role_map,
            scopes: [
                (Permission::Read, text("READ_SCOPE")?),
                (Permission::Write, text("WRITE_SCOPE")?),
                (Permission::OwnEvents, text("SELF_SCOPE")?),
                (Permission::Operate, text("OPERATE_SCOPE")?),
                (Permission::Admin, text("ADMIN_SCOPE")?),
            ],
        })
    }

    /// The caller of `request`.
    ///
    /// # Errors
    /// 403 if the gateway verified no token, or the token has no subject or no tenant.
    pub fn caller(&self, request: &Request) -> Result<Caller, Problem> {
        let Some(verified) = &request.verified_claims else {
            return Err(Problem::forbidden(
                "this route needs a token, but no authorizer has verified one for this request",
            ));
        };
        let header =
            request.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // The gateway joins two headers of the same name with a comma. A token has no comma, so a
        // comma means two tokens, and it is not known which of them was verified.
        let claims =
            header.filter(|header| !header.contains(',')).and_then(claims).ok_or_else(|| {
                Problem::forbidden(
                    "the Authorization header has no readable token, or more than one; send exactly one",
                )
            })?;
        if !self.is_verified(&claims, verified) {
            return Err(Problem::forbidden(
                "the token in the Authorization header is not the one that was verified",
            ));
        }
        self.caller_of(&claims)
    }

    /// Whether the token's e-mail address may be used: no claim says that it is not verified, and
    /// the configured claim, if there is one, says that it is.
    fn has_verified_address(&self, claims: &Map<String, Value>) -> bool {
        claims.get("email_verified").is_none_or(says_true)
            && self
                .verified_claim
                .as_ref()
                .is_none_or(|name| claims.get(name).is_some_and(says_true))
    }

    /// Whether `claims` are those that the gateway verified. The gateway reads the token from the
    /// same header; this check fails if that ever changes. Each verified claim must have the same
    /// value here, and each claim that this service reads must have been verified.
    fn is_verified(&self, claims: &Map<String, Value>, verified: &HashMap<String, String>) -> bool {
        let own = [&self.tenant_claim, &self.email_claim, &self.role_claim].map(String::as_str);
        let verifying = ["email_verified"].into_iter().chain(self.verified_claim.as_deref());
        let read = ["iss", "sub", "scope", "scp"]
            .into_iter()
            .chain(CLIENT_CLAIMS)
            .chain(NAME_CLAIMS)
            .chain(own)
            .chain(verifying);
        let is_said = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
        read.into_iter().all(|name| !is_said(name) || verified.contains_key(name))
            && ["iss", "sub"].into_iter().all(|name| verified.contains_key(name))
            && verified
                .iter()
                .all(|(name, text)| claims.get(name).is_some_and(|claim| is_flattened(claim, text)))
    }

    fn caller_of(&self, claims: &Map<String, Value>) -> Result<Caller, Problem> {
        let text = |name: &str| {
            claims
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| (1..=256).contains(&text.len()))
                .map(str::to_owned)
        };
        let sub = text("sub")
            .ok_or_else(|| Problem::forbidden("the token has no sub claim of 1 to 256 bytes"))?;
        let names = words(claims.get(&self.tenant_claim), false);
        let tenants: Option<Vec<_>> = names.iter().map(|name| Tenant::new(name)).collect();
        let tenants = tenants.filter(|tenants| !tenants.is_empty()).ok_or_else(|| {
            let claim = &self.tenant_claim;
            Problem::forbidden(format!(
                "the token's claim {claim:?} must name one tenant or several, each with 1 to 64 characters of A-Z a-z 0-9 _ -"
            ))
        })?;
        let mut permissions: Vec<_> = ["scope", "scp"]
            .into_iter()
            .flat_map(|claim| words(claims.get(claim), true))
            .filter_map(|word| {
                self.scopes
                    .iter()
                    .find(|(_, scope)| *scope == word)
                    .map(|(permission, _)| *permission)
            })
            .chain(
                words(claims.get(&self.role_claim), false)
                    .into_iter()
                    .flat_map(|role| self.role_map.get(role))
                    .flatten()
                    .copied(),
            )
            .collect();
        permissions.sort_unstable();
        permissions.dedup();
        // OAuth uses client_id, OpenID Connect and Entra v2 use azp, Entra v1 uses appid.
        let client_id = CLIENT_CLAIMS.into_iter().find_map(text);
        let is_machine = claims.get(&self.email_claim).is_none_or(Value::is_null);
        let email = text(&self.email_claim).filter(|_| self.has_verified_address(claims));
        let names = NAME_CLAIMS.into_iter().filter_map(text).collect();
        Ok(Caller { tenants, permissions, sub, email, client_id, is_machine, names })
    }
}

/// Claims with another name of the token's subject: OpenID Connect, Entra, Cognito.
const NAME_CLAIMS: [&str; 5] =
    ["name", "preferred_username", "upn", "unique_name", "cognito:username"];

/// Claims with the id of the client that the token was issued to.
const CLIENT_CLAIMS: [&str; 3] = ["client_id", "azp", "appid"];

/// Whether the gateway may have written `claim` as `text`. It writes a list as `[a b]`; how it
/// writes an object is not documented.
fn is_flattened(claim: &Value, text: &str) -> bool {
    match claim {
        Value::String(claim) => claim == text,
        Value::Bool(claim) => text.parse() == Ok(*claim),
        Value::Number(claim) => text.parse().ok() == claim.as_f64(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) == Some(&items.join(" "))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => true,
    }
}

/// Whether a claim means true, in any form that issuers use.
fn says_true(claim: &Value) -> bool {
    match claim {
        Value::Bool(flag) => *flag,
        Value::String(text) => text == "1" || text.eq_ignore_ascii_case("true"),
        Value::Number(number) => number.as_u64() == Some(1),
        _ => false,
    }
}

/// The payload of a token whose signature the gateway has verified.
fn claims(header: &str) -> Option<Map<String, Value>> {
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
        _ => header,
    };
    let payload = token.trim().split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// A claim as a list. It is a list or one string; if `separated`, the string is split at spaces, as
/// for `scope` (RFC 8693, section 4.2).
fn words(claim: Option<&Value>, separated: bool) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) if separated => {
            text.split(' ').filter(|word| !word.is_empty()).collect()
        }
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The header in which a caller with several tenants names one of them.
const TENANT_HEADER: &str = "audit-tenant";

/// The tenant of this request: the only one in the token, or the one that `Audit-Tenant` names.
///
/// # Errors
/// 400 if the token has several tenants and the request names none; 404 if the caller has no such
/// tenant.
pub fn tenant<'c>(caller: &'c Caller, request: &Request) -> Result<&'c Tenant, Problem> {
    match (request.headers.get(TENANT_HEADER), caller.tenants.as_slice()) {
        (None, [tenant]) => Ok(tenant),
        (None, tenants) => {
            let names: Vec<_> = tenants.iter().map(Tenant::as_str).collect();
            Err(Problem::bad_request(format!(
                "your token is for several tenants; name one of them in the header Audit-Tenant: {}",
                names.join(", ")
            )))
        }
        (Some(named), tenants) => tenants
            .iter()
            .find(|tenant| tenant.as_str().as_bytes() == named.as_bytes())
            .ok_or_else(|| {
                Problem::not_found(
                    "the tenant in the header Audit-Tenant is not one of the tenants of your token",
                )
            }),
    }
}

pub fn names_tenant(caller: &Caller, request: &Request) -> bool {
    request.headers.contains_key(TENANT_HEADER) || caller.tenants.len() == 1
}

/// The name of a permission in documents and errors, which is its scope unless the deployment has
/// others.
pub fn scope_name(permission: Permission) -> &'static str {
    match permission {
        Permission::Read => "audit:read",
        Permission::Write => "audit:write",
        Permission::OwnEvents => "audit:self",
        Permission::Operate => "audit:operate",
        Permission::Admin => "audit:admin",
    }
}

/// # Errors
/// 403 if the caller does not have the permission.
pub fn require(caller: &Caller, permission: Permission) -> Result<(), Problem> {
    if caller.may(permission) {
        return Ok(());
    }
    let name = scope_name(permission);
    Err(Problem::forbidden(format!(
        "your token does not have the permission {name}; request a token with this scope, or with a role that includes it"
    )))
}

/// The actor of a command: the caller, or, if a machine acts for a user, the user that it names.
///
/// # Errors
/// 403 if a person names another actor; 422 if the actor is this service itself.
pub fn acting_as(caller: &Caller, named: Option<Actor>) -> Result<Actor, Problem> {
    match named {
        None => Ok(caller.actor()),
        Some(_) if !caller.is_machine => Err(Problem::forbidden(
            "your token belongs to a person, and your actions are recorded in your own name; remove actor. Only a machine (a token without an e-mail address) may send the actor that it acts for",
        )),
        Some(actor) if actor.kind == ActorType::System => {
            let error = FieldError::new(
                "/actor/type",
                "\"system\" is this service itself; send the person that you act for",
            );
            Err(Problem::invalid("nothing was changed", vec![error]))
        }
        Some(actor) => Ok(actor),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
