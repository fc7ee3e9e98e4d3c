//! API Gateway's HTTP API: checks a request, passes it to a function and returns the result. Refusals of
//! the gateway itself are `{"message": …}`, with the texts of API Gateway.

mod event;
mod routes;
mod throttle;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    authorizer::{self, Authorizer, Refusal},
    http_server,
    invoke::{self, Function, Lambda},
    issuer::{self, Issuer},
    plan::{self, Api},
    stop::Stop,
};
use event::About;
use routes::{Route, Routes};
use throttle::Bucket;

/// API Gateway's quotas.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LARGEST_HEAD: usize = 10_240;

/// How much of a body that is too large is read and discarded, so that its sender gets a response instead of a connection reset.
const MOST_DISCARDED: usize = 64 * 1024 * 1024;

/// The path of the development issuer.
const DEVELOPMENT: &str = "/dev";

/// The gateway with its routes, authorizers and functions.
pub(crate) struct Gateway {
    api: String,
    port: u16,
    routes: Routes<Target>,
    authorizers: BTreeMap<String, Authorizer>,
    lambda: Arc<Lambda>,
    issuer: Option<Arc<Issuer>>,
}

/// The function and the throttle of a route.
struct Target {
    function: Arc<Function>,
    bucket: Option<Bucket>,
}

impl Gateway {
    pub(crate) fn new(
        api: &Api,
        port: u16,
        functions: &[plan::Function],
        authorizers: BTreeMap<String, Authorizer>,
        lambda: Arc<Lambda>,
        issuer: Option<Arc<Issuer>>,
    ) -> Self {
        let now = Instant::now();
        let mut routes = Vec::new();
        for planned in functions {
            let Some(function) = lambda.function(&planned.name) else { continue };
            for route in &planned.routes {
                let bucket = api.throttle.map(|limit| Bucket::new(limit, now));
                routes
                    .push(Route::new(route.clone(), Target { function: function.clone(), bucket }));
            }
        }
        let routes = Routes::new(routes);
        Self { api: api.id.clone(), port, routes, authorizers, lambda, issuer }
    }

    /// Serves requests until the stack stops.
    pub(crate) fn serve(self, listener: TcpListener, stop: Stop) {
        let gateway = Arc::new(self);
        http_server::serve(listener, stop, move |request, peer| {
            let gateway = gateway.clone();
            async move {
                let request_id = Uuid::new_v4();
                let mut response = match gateway.answer(request, peer, request_id).await {
                    Ok(response) => response,
                    Err(refused) => refused.into(),
                };
                if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
                    response.headers_mut().insert("apigw-requestid", value);
                }
                response
            }
        });
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        request_id: Uuid,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let (request, body) = request.into_parts();
        let body = read(body).await?;
        if !http_server::names_loopback(&request.uri, &request.headers) {
            return Err(Refused::FOREIGN_HOST);
        }
        if head_length(&request) > LARGEST_HEAD {
            return Err(Refused::HEADERS_TOO_LARGE);
        }
        let path = request.uri.path();
        if let Some(issuer) = &self.issuer
            && let Some(below) = path
                .strip_prefix(DEVELOPMENT)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return self.develop(issuer, &request, below, &body.unwrap_or_default());
        }
        let (route, path_parameters) =
            self.routes.find(request.method.as_str(), path).ok_or(Refused::NO_ROUTE)?;
        if route.to.bucket.as_ref().is_some_and(|bucket| !bucket.take(Instant::now())) {
            return Err(Refused::TOO_MANY);
        }
        let claims = self.authorize(route, &request.headers).await?;
        let body = body.ok_or(Refused::BODY_TOO_LARGE)?;
        let (request_name, now) = (request_id.to_string(), Utc::now());
        let trace = invoke::tracing_header(request_id, now);
        let about = About {
            api: &self.api,
            request_id: &request_name,
            trace: &trace,
            route_key: &route.key,
            path_parameters,
            claims,
            source: peer.ip(),
            port: self.port,
            now,
        };
        let event = event::event(&request, &body, about);
        // Escaping in JSON makes a text at most six times longer, so small bodies need not be measured.
        if body.len() > invoke::LARGEST_EVENT / 8 && invoke::length(&event) > invoke::LARGEST_EVENT
        {
            return Err(Refused::BODY_TOO_LARGE);
        }
        let answer = match tokio::time::timeout(
            route.plan.timeout,
            self.lambda.run(&route.to.function, event, Some(trace)),
        )
        .await
        {
            Err(_) => return Err(Refused::TIMED_OUT),
            Ok(Err(_)) => return Err(Refused::FAILED),
            Ok(Ok(answer)) => answer,
        };
        event::response(answer).map_err(|problem| {
            tracing::error!(
                "{}: the result is not an HTTP response: {problem}",
                route.to.function.name
            );
            Refused::FAILED
        })
    }

    async fn authorize(
        &self,
        route: &Route<Target>,
        headers: &HeaderMap,
    ) -> Result<Option<(authorizer::Claims, Option<Vec<String>>)>, Refused> {
        let Some(authorizer) =
            route.plan.authorizer.as_ref().and_then(|name| self.authorizers.get(name))
        else {
            return Ok(None);
        };
        let wanted = &route.plan.scopes;
        match authorizer.check(headers, wanted).await {
            Ok(claims) => {
                let matching = authorizer::granted(&claims)
                    .into_iter()
                    .filter(|scope| wanted.contains(scope))
                    .collect();
                Ok(Some((claims, (!wanted.is_empty()).then_some(matching))))
            }
            Err(refusal) => {
                tracing::debug!("a token was refused: {refusal:?}");
                Err(Refused::by_authorizer(&refusal, wanted))
            }
        }
    }

    /// Calls the development issuer. A web page of another origin must not get a token through its visitor's browser.
    fn develop(
        &self,
        issuer: &Issuer,
        request: &Parts,
        path: &str,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let origin = request.headers.get(header::ORIGIN);
        // The page can be opened under both names of this machine.
        let own = ["127.0.0.1", "localhost"].map(|name| format!("http://{name}:{}", self.port));
        if origin.is_some_and(|origin| !own.iter().any(|own| origin == own.as_str())) {
            return Ok(issuer::refuse(
                "invalid_request",
                "pages of another origin cannot get a token",
            ));
        }
        let mut answer = issuer.answer(request, path, body);
        answer
            .headers_mut()
            .extend(origin.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())));
        Ok(answer)
    }
}

/// A refusal of the gateway.
struct Refused {
    status: StatusCode,
    message: &'static str,
    authenticate: Option<String>,
}

impl Refused {
    const BODY_TOO_LARGE: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    const BROKEN: Self = Self::new(StatusCode::BAD_REQUEST, "Bad Request");
    const FAILED: Self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    /// By DNS rebinding, a web page resolves its own name to this machine. The host name reveals it.
    const FOREIGN_HOST: Self = Self::new(StatusCode::FORBIDDEN, "Forbidden");
    const HEADERS_TOO_LARGE: Self =
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large");
    const NO_ROUTE: Self = Self::new(StatusCode::NOT_FOUND, "Not Found");
    const TIMED_OUT: Self = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    const TOO_MANY: Self = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");

    const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message, authenticate: None }
    }

    fn by_authorizer(refusal: &Refusal, wanted: &[String]) -> Self {
        let scope = wanted.join(" ");
        let (status, message, authenticate) = match refusal {
            Refusal::Missing => (StatusCode::UNAUTHORIZED, "Unauthorized", "Bearer".to_owned()),
            Refusal::Invalid(problem) => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                format!(
                    "Bearer scope=\"{scope}\" error=\"invalid_token\" error_description=\"{problem}\""
                ),
            ),
            Refusal::Scope => (
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("Bearer scope=\"{scope}\" error=\"insufficient_scope\""),
            ),
        };
        Self { status, message, authenticate: Some(authenticate) }
    }
}

impl From<Refused> for Response<Full<Bytes>> {
    fn from(refused: Refused) -> Self {
        let mut response = Self::new(Full::from(json!({"message": refused.message}).to_string()));
        *response.status_mut() = refused.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(Ok(value)) = refused.authenticate.map(HeaderValue::try_from) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

/// Reads the body, or `None` if it is too large. It is read before any refusal, so that the sender gets the response.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, Refused> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::BROKEN)?.into_data() else { continue };
        length += data.len();
        if length <= LARGEST_BODY {
            kept.extend_from_slice(&data);
        } else if length > MOST_DISCARDED {
            break;
        }
    }
    Ok((length <= LARGEST_BODY).then(|| kept.freeze()))
}

/// The length of the request line and headers. AWS counts only the values of headers. Their names are counted here
/// too, so that no request passes here that AWS would refuse.
fn head_length(request: &Parts) -> usize {
    let line = request.method.as_str().len()
        + request.uri.path_and_query().map_or(0, |path| path.as_str().len());
    line + request
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum::<usize>()
}
