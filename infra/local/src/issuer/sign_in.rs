//! Sign-in to the audit page: OpenID Connect's authorization code flow with PKCE (RFC 7636), and a page to choose a user. There is no
//! password, because anyone with access to this machine's loopback can mint any token.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Issuer, TokenRequest, refuse, respond};
use crate::demo;

/// The lifetime of a code.
const CODE_LASTS: Duration = Duration::from_secs(60);

/// The issued codes.
#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<String, Code>>);

struct Code {
    given_at: Instant,
    asked: Asked,
    person: TokenRequest,
}

/// The authorization request of the page.
#[derive(Clone)]
struct Asked {
    client: String,
    redirect: String,
    state: Option<String>,
    nonce: Option<String>,
    challenge: String,
}

/// A user to choose: e-mail, name, tenants, roles, scope, and a description.
type Offered = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const PEOPLE: [Offered; 5] = [
    ("auditor@acme.example", "Ann Auditor", &[demo::TENANT], &["Audit User"], "", "reads the trail of acme"),
    ("operator@acme.example", "Oli Operator", &[demo::TENANT], &[], "audit:read audit:operate", "also ends windows and works on findings and reviews"),
    ("it@acme.example", "Ida Admin", &[demo::TENANT], &["Global Administrator"], "", "also changes settings"),
    ("support@provider.example", "Sam Support", &[demo::TENANT, "fabrikam"], &["Security Reader"], "", "a service provider: reads the trails of acme and fabrikam"),
    ("guest@acme.example", "Gil Guest", &[demo::TENANT], &[], "", "has no permission"),
];

impl Issuer {
    /// The page on which the visitor chooses a user.
    pub(super) fn choose(&self, query: &str) -> Response<Full<Bytes>> {
        match self.asked(query.as_bytes()) {
            Ok(_) => html(&page(query)),
            Err(problem) => refuse("invalid_request", &problem),
        }
    }

    /// Redirects the chosen user to the audit page with a code.
    pub(super) fn chosen(&self, form: &[u8]) -> Response<Full<Bytes>> {
        let fields = Fields::read(form);
        let asked =
            fields.get("request").ok_or_else(|| "the sign-in request is missing".to_owned());
        let asked = asked.and_then(|query| self.asked(query.as_bytes()));
        match asked.and_then(|asked| Ok((asked, person(&fields)?))) {
            Ok((asked, person)) => self.send_back(asked, person),
            Err(problem) => refuse("invalid_request", &problem),
        }
    }

    fn send_back(&self, asked: Asked, person: TokenRequest) -> Response<Full<Bytes>> {
        let code = Uuid::new_v4().to_string();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", &code).append_pair("iss", &self.url);
        if let Some(state) = &asked.state {
            query.append_pair("state", state);
        }
        let to = HeaderValue::try_from(format!("{}?{}", asked.redirect, query.finish()));
        let mut codes = self.codes.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, code| code.given_at.elapsed() < CODE_LASTS);
        codes.insert(code, Code { given_at: Instant::now(), asked, person });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().extend(to.map(|to| (header::LOCATION, to)));
        response
    }

    /// Exchanges a code for tokens. A code is valid once.
    pub(super) fn redeem(&self, form: &[u8]) -> Response<Full<Bytes>> {
        let fields = Fields::read(form);
        if fields.get("grant_type") != Some("authorization_code") {
            return refuse("unsupported_grant_type", "grant_type must be authorization_code");
        }
        let code = self
            .codes
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(fields.get("code").unwrap_or_default());
        let Some(code) = code.filter(|code| code.given_at.elapsed() < CODE_LASTS) else {
            return refuse("invalid_grant", "the code is unknown, already used or expired");
        };
        let verifier = digest::digest(
            &digest::SHA256,
            fields.get("code_verifier").unwrap_or_default().as_bytes(),
        );
        let is_same = BASE64_URL_SAFE_NO_PAD.encode(verifier.as_ref()) == code.asked.challenge
            && fields.get("client_id") == Some(&code.asked.client)
            && fields.get("redirect_uri") == Some(&code.asked.redirect);
        if !is_same {
            return refuse(
                "invalid_grant",
                "the code belongs to another client, redirect_uri or code_challenge",
            );
        }
        match self.tokens(&code) {
            Ok(tokens) => respond(StatusCode::OK, &tokens),
            Err(problem) => refuse("invalid_grant", &problem),
        }
    }

    fn tokens(&self, code: &Code) -> Result<Value, String> {
        let access = self.claims(&code.person)?;
        let mut id = json!({"aud": code.asked.client});
        for name in ["iss", "sub", "iat", "exp", "email", "name"] {
            id[name] = access[name].clone();
        }
        if let Some(nonce) = &code.asked.nonce {
            id["nonce"] = nonce.as_str().into();
        }
        Ok(json!({
            "access_token": self.sign(&access)?, "id_token": self.sign(&id)?, "token_type": "Bearer",
            "expires_in": access["exp"].as_u64().unwrap_or_default() - access["iat"].as_u64().unwrap_or_default(),
        }))
    }

    /// Reads an authorization request. Only this machine's page is accepted as `redirect_uri`, because the code is sent there.
    fn asked(&self, query: &[u8]) -> Result<Asked, String> {
        let fields = Fields::read(query);
        let need = |name: &str| {
            fields.get(name).map(str::to_owned).ok_or_else(|| format!("{name} is missing"))
        };
        if need("response_type")? != "code" || need("code_challenge_method")? != "S256" {
            return Err("response_type must be code, and code_challenge_method must be S256".into());
        }
        let redirect = need("redirect_uri")?;
        let own = self.url.trim_end_matches("/dev");
        if ![own.to_owned(), own.replace("127.0.0.1", "localhost")]
            .iter()
            .any(|own| redirect == format!("{own}/"))
        {
            return Err(format!("redirect_uri must be {own}/"));
        }
        let [state, nonce] = ["state", "nonce"].map(|name| fields.get(name).map(str::to_owned));
        Ok(Asked {
            client: need("client_id")?,
            redirect,
            state,
            nonce,
            challenge: need("code_challenge")?,
        })
    }
}

/// The chosen user of [`PEOPLE`], or the one described in the form.
fn person(fields: &Fields) -> Result<TokenRequest, String> {
    let filled = |name: &str| fields.get(name).map(str::trim).filter(|text| !text.is_empty());
    let list = |text: &str| {
        text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
    };
    let mut person = match filled("person") {
        Some(email) => {
            let offered = PEOPLE
                .iter()
                .find(|offered| offered.0 == email)
                .ok_or("there is no person with this address to sign in as")?;
            let (email, name, tenants, roles, scope, _) = *offered;
            TokenRequest {
                tenants: Some(tenants.iter().map(|&tenant| tenant.to_owned()).collect()),
                email: Some(email.to_owned()),
                name: Some(name.to_owned()),
                roles: Some(roles.iter().map(|&role| role.to_owned()).collect()),
                scope: Some(scope.to_owned()).filter(|scope| !scope.is_empty()),
                ..TokenRequest::default()
            }
        }
        None => TokenRequest {
            tenants: Some(list(filled("tenants").ok_or("enter at least one tenant")?)),
            email: Some(filled("email").ok_or("enter an e-mail address")?.to_owned()),
            roles: filled("roles").map(list),
            scope: Some(fields.all("scope").join(" ")).filter(|scope| !scope.is_empty()),
            ..TokenRequest::default()
        },
    };
    if let Some([tenant]) = person.tenants.as_deref() {
        person.tenant = Some(tenant.clone());
        person.tenants = None;
    }
    if let Some(seconds) = filled("expires_in") {
        person.expires_in =
            Some(seconds.parse().map_err(|_| "expires_in must be a whole number of seconds")?);
    }
    Ok(person)
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }
}

fn page(query: &str) -> String {
    let request = escaped(query);
    let people: String = PEOPLE
        .iter()
        .map(|(email, name, _, _, _, what)| {
            format!("<button name=person value=\"{email}\"><b>{name}</b> <span>{email}</span><br>{what}</button>\n")
        })
        .collect();
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in: development issuer</title>
<link rel="icon" href="data:,">
<style>
  :root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
  body {{ max-width: 34rem; margin: 3rem auto; padding: 0 1rem; }}
  form > button[name] {{ display: block; width: 100%; margin: .5rem 0; padding: .6rem .8rem; text-align: left; font: inherit; cursor: pointer; }}
  span {{ opacity: .8; }} label {{ display: block; margin: .6rem 0; }} input:not([type]) {{ width: 100%; font: inherit; box-sizing: border-box; }}
  fieldset label {{ display: inline-block; margin-right: 1rem; }}
</style>
<main>
<h1>Who do you want to be?</h1>
<p>This issuer works only on this machine and does not ask for a password.</p>
<form method="post" action="authorize"><input type="hidden" name="request" value="{request}">
{people}</form>
<details><summary>Another person</summary>
<form method="post" action="authorize"><input type="hidden" name="request" value="{request}">
<label>E-mail address <input name="email" required></label>
<label>Tenants, separated by commas <input name="tenants" required value="{tenant}"></label>
<fieldset><legend>Permissions</legend>
<label><input type="checkbox" name="scope" value="audit:read" checked> read</label><label><input type="checkbox" name="scope" value="audit:operate"> operate</label>
<label><input type="checkbox" name="scope" value="audit:admin"> admin</label></fieldset>
<label>Roles, separated by commas <input name="roles"></label>
<label>Duration of the sign-in in seconds <input name="expires_in" value="3600"></label>
<p><button>Sign in</button></p></form></details>
</main>
</html>"#,
        tenant = demo::TENANT,
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn html(text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
