//! The HTTP API of a template, and a route of it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    known,
    template::{At, TemplateError, intrinsics::Scope},
};

use super::resource_properties;

/// The HTTP API.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) id: String,
    pub(crate) authorizers: BTreeMap<String, Jwt>,
    pub(crate) throttle: Option<Throttle>,
    default_authorizer: Option<String>,
}

/// The issuer and audiences that a JWT authorizer accepts.
#[derive(Clone, Debug)]
pub(crate) struct Jwt {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
}

/// The rate in requests per second, and the burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    pub(crate) rate: f64,
    pub(crate) burst: f64,
}

/// A route of the HTTP API.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// In upper case. `ANY` matches all methods, and `$default` has none.
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorizer: Option<String>,
    /// Scopes of which a token needs one. Empty: no scope is required.
    pub(crate) scopes: Vec<String>,
    pub(crate) timeout: Duration,
}

pub(super) fn api(scope: &Scope, resource: &At) -> Result<Api, TemplateError> {
    let properties = resource_properties(scope, resource, known::HTTP_API)?;
    let id = resource_name(resource);
    let mut api =
        Api { id, authorizers: BTreeMap::new(), default_authorizer: None, throttle: None };
    if let Some(settings) = properties.get("DefaultRouteSettings") {
        settings.entries_of(&[
            "DetailedMetricsEnabled",
            "ThrottlingBurstLimit",
            "ThrottlingRateLimit",
        ])?;
        let limit = |name| settings.need(name)?.parsed::<f64>("a number");
        api.throttle = Some(Throttle {
            rate: limit("ThrottlingRateLimit")?,
            burst: limit("ThrottlingBurstLimit")?,
        });
    }
    let Some(auth) = properties.get("Auth") else { return Ok(api) };
    auth.entries_of(&["Authorizers", "DefaultAuthorizer"])?;
    for (name, authorizer) in auth.need("Authorizers")?.entries()? {
        authorizer.entries_of(&["IdentitySource", "JwtConfiguration"])?;
        let source = authorizer.need("IdentitySource")?;
        if source.text()? != "$request.header.Authorization" {
            return Err(source
                .error("the local runner reads tokens only from $request.header.Authorization"));
        }
        let jwt = authorizer.need("JwtConfiguration")?;
        jwt.entries_of(&["audience", "issuer"])?;
        let (issuer, audiences) =
            (jwt.need("issuer")?.text()?.to_owned(), jwt.need("audience")?.texts()?);
        api.authorizers.insert(name, Jwt { issuer, audiences });
    }
    if let Some(default) = auth.get("DefaultAuthorizer") {
        api.default_authorizer = Some(known_authorizer(&api, &default)?);
    }
    Ok(api)
}

/// The logical id of a resource, which is the last segment of its path.
fn resource_name(resource: &At) -> String {
    resource.path().rsplit('.').next().unwrap_or_default().to_owned()
}

fn known_authorizer(api: &Api, at: &At) -> Result<String, TemplateError> {
    let name = at.text()?;
    match api.authorizers.contains_key(name) {
        true => Ok(name.to_owned()),
        false => Err(at.error(format!("the API has no authorizer {name}"))),
    }
}

pub(super) fn route(
    api: &Api,
    part: &At,
    properties: &BTreeMap<String, At>,
) -> Result<Route, TemplateError> {
    let text = |name: &str| properties.get(name).map(|at| at.text().map(str::to_owned)).transpose();
    match properties.get("ApiId") {
        None => {
            return Err(part.error(
                "ApiId is missing: set it to the HTTP API, because the local runner does not create an implicit one",
            ));
        }
        Some(id) if id.text()? != api.id => return Err(id.error("is not the template's HTTP API")),
        Some(_) => {}
    }
    if let Some(version) = properties.get("PayloadFormatVersion")
        && version.text()? != "2.0"
    {
        return Err(version.error("the local runner supports only payload format 2.0"));
    }
    let (method, path) = match (text("Method")?, text("Path")?) {
        (None, None) => (String::new(), "$default".to_owned()),
        (None, Some(path)) if path == "$default" => (String::new(), path),
        (Some(method), Some(path)) if path.starts_with('/') => (method.to_uppercase(), path),
        _ => {
            return Err(
                part.error("needs a Method and a Path that starts with /, or neither for $default")
            );
        }
    };
    let method = if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "ANY".to_owned() } else { method };
    let mut route = Route {
        method,
        path,
        authorizer: api.default_authorizer.clone(),
        scopes: Vec::new(),
        // The longest timeout of an HTTP API.
        timeout: Duration::from_secs(30),
    };
    if let Some(millis) = properties.get("TimeoutInMillis") {
        route.timeout =
            route.timeout.min(Duration::from_millis(millis.parsed("whole milliseconds")?));
    }
    if let Some(auth) = properties.get("Auth") {
        auth.entries_of(&["AuthorizationScopes", "Authorizer"])?;
        match auth.get("Authorizer") {
            Some(at) if at.text()? == "NONE" => route.authorizer = None,
            Some(at) => route.authorizer = Some(known_authorizer(api, &at)?),
            None => {}
        }
        if let Some(scopes) = auth.get("AuthorizationScopes") {
            route.scopes = scopes.texts()?;
        }
    }
    Ok(route)
}
