//! Serves the audit page: its files, which are embedded in the binary, and the configuration of
//! this deployment. It has no tenant data: the page reads that from the API with the user's token.

pub mod routes;

use std::{
    io::Write,
    sync::{Arc, LazyLock},
};

use axum::{body::Body, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use shared::{
    domain::tables::event_columns::COLUMNS,
    http::{
        api::Api, description::Operation, input::AnyQuery, output::Output, problem::Problem,
        request::Request,
    },
    platform::environment::{ConfigError, Variables},
};

use crate::routes::{Call, ROUTES};

/// The files of the page, with `index.html`.
#[derive(RustEmbed)]
#[folder = "page"]
struct Files;

/// The page's configuration, which this function generates; there is no such file.
const DEPLOYMENT: &str = "deployment.json";

/// What the function keeps between invocations: its configuration.
#[derive(Debug)]
pub struct Portal {
    is_served: bool,
    /// The content of [`DEPLOYMENT`].
    deployment: String,
    policy: HeaderValue,
}

impl Portal {
    pub fn new(variables: &Variables) -> Result<Self, ConfigError> {
        let issuer = variables.text("ISSUER")?;
        let columns: Vec<_> = COLUMNS
            .iter()
            .map(|column| {
                let paths: Vec<_> = column.fields.iter().map(|field| field.path()).collect();
                json!({"name": column.name, "paths": paths, "is_time": column.is_time()})
            })
            .collect();
        let deployment = json!({
            "issuer": issuer, "client_id": variables.text("PORTAL_CLIENT_ID")?, "scope": variables.text("PORTAL_SCOPE")?, "columns": columns,
        });
        let elsewhere = variables.optional("PORTAL_CONNECT").unwrap_or_default();
        let policy = policy(issuer, elsewhere);
        let policy = HeaderValue::try_from(policy).map_err(|_| ConfigError {
            name: "PORTAL_CONNECT",
            problem: "must contain only origins, separated by spaces".into(),
        })?;
        Ok(Self {
            is_served: variables.parsed("PORTAL_MODE")?,
            deployment: deployment.to_string(),
            policy,
        })
    }
}

/// The Content-Security-Policy: the page loads from its own origin only, and connects to that, the
/// token issuer and the configured origins. Its only inline script is the import map, allowed by
/// its hash.
fn policy(issuer: &str, elsewhere: &str) -> String {
    let page = Files::get("index.html")
        .map(|file| String::from_utf8_lossy(&file.data).into_owned())
        .unwrap_or_default();
    let map = page
        .split_once(r#"<script type="importmap">"#)
        .and_then(|(_, rest)| rest.split_once("</script>"));
    let map = BASE64_STANDARD.encode(Sha256::digest(map.map_or("", |(map, _)| map)));
    let origin = issuer.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    format!(
        "default-src 'none'; script-src 'self' 'sha256-{map}'; style-src 'self'; img-src 'self'; connect-src 'self' {origin} {elsewhere}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

/// The API of this function.
///
/// # Errors
/// A variable is missing or invalid.
pub fn api(variables: &Variables) -> Result<Api, ConfigError> {
    let function = Arc::new(Portal::new(variables)?);
    Ok(Api::default().routes(&function, ROUTES, |function, row, request| {
        Box::pin(async move { (row.handler)(&Call { function, request }).await })
    }))
}

pub(crate) async fn file(
    Call { function, request }: &Call<'_>,
    AnyQuery: AnyQuery,
) -> Result<Response, Problem> {
    if !function.is_served {
        return Err(Problem::not_found(
            "this deployment has no audit page (PortalMode is false); its API is under /v1/",
        ));
    }
    // The route `/` has no path parameter.
    let name = request.path_parameters.get("file").map_or("index.html", String::as_str);
    let (content, hash) = if name == DEPLOYMENT {
        (function.deployment.clone().into_bytes(), Sha256::digest(&function.deployment).into())
    } else {
        let missing = || Problem::not_found(format!("the audit page has no file {name:?}"));
        let EmbeddedFile { data, metadata } = Files::get(name).ok_or_else(missing)?;
        (data.into_owned(), metadata.sha256_hash())
    };
    respond(function, request, name, content, &hash)
}

/// The description of the API, as `cargo run -p local -- --describe` writes it. A test checks that it
/// is current.
const DESCRIPTION: &str = include_str!("../openapi.json");

/// Computed once, since the description is large.
static DESCRIPTION_HASH: LazyLock<[u8; 32]> = LazyLock::new(|| Sha256::digest(DESCRIPTION).into());

/// The description is served whether the page is or not: it holds no data of the deployment.
pub(crate) async fn description(
    Call { function, request }: &Call<'_>,
    AnyQuery: AnyQuery,
) -> Result<JsonFile, Problem> {
    let content = DESCRIPTION.into();
    respond(function, request, "openapi.json", content, &DESCRIPTION_HASH).map(JsonFile)
}

/// A file of JSON.
pub(crate) struct JsonFile(Response);

impl Output for JsonFile {
    fn respond(self, _: &Request) -> Response {
        self.0
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<Map<String, Value>>(200, "The description, in OpenAPI 3.1.");
    }
}

fn respond(
    function: &Portal,
    request: &Request,
    name: &str,
    content: Vec<u8>,
    hash: &[u8; 32],
) -> Result<Response, Problem> {
    let mut response = Response::default();
    *response.headers_mut() = headers(function, name, hash);
    if request.headers.get(header::IF_NONE_MATCH) == response.headers().get(header::ETAG) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let accepted =
        request.headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|codings| codings.split(',').any(|coding| coding.trim() == "gzip")) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let zipped = gzip
            .write_all(&content)
            .and_then(|()| gzip.finish())
            .map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = Body::from(zipped);
    } else {
        *response.body_mut() = Body::from(content);
    }
    Ok(response)
}

fn headers(function: &Portal, name: &str, hash: &[u8; 32]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Weak, because the same file is sent compressed or not (RFC 9110, section 8.8.1).
    let tag = format!("W/\"{}\"", BASE64_STANDARD.encode(hash));
    headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    for (name, value) in [
        (header::CONTENT_TYPE, content_type(name)),
        // The browser revalidates each time: a new deployment shows at once, and an unchanged
        // file is not sent again.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "Accept-Encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // URLs inside the page contain names of people.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, function.policy.clone());
    headers
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The page loads nothing from other origins, and every library comes with its licence.
    #[test]
    fn the_pages_libraries_are_here_with_their_licences() {
        let names: Vec<_> = Files::iter().collect();
        let licences = Files::get("vendor/LICENSES.txt").unwrap();
        let licences = String::from_utf8(licences.data.into_owned()).unwrap();
        for name in names
            .iter()
            .filter_map(|name| name.strip_prefix("vendor/"))
            .filter(|name| *name != "LICENSES.txt")
        {
            assert!(licences.contains(&format!("\n{name}: ")), "{name} has no licence");
        }
        assert!(names.iter().any(|name| name == "index.html"));
    }
}
