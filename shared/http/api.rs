//! The API of one function: a router over the function's table of routes, called with the events of
//! API Gateway.

use std::{convert::Infallible, sync::Arc};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use axum::{
    Router,
    extract::{self, RawPathParams},
    response::Response,
    routing::{self, MethodFilter},
};
use lambda_http::{Adapter, Service, request::LambdaRequest, tower::ServiceExt};
use lambda_runtime::{Error, LambdaEvent};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use serde::Serialize;

use crate::{
    problem::Problem,
    request::{self, Request},
    route::{Answer, Route},
};

/// The router of a function that serves HTTP.
#[derive(Clone, Debug)]
pub struct Api {
    router: Router,
}

/// Answers a request of one row of the table.
pub type Dispatch<F, H> = for<'r> fn(&'r F, &'static Route<H>, &'r Request) -> Answer<'r>;

impl Default for Api {
    fn default() -> Self {
        // API Gateway passes on only requests of a route in the template.
        let missing = async || {
            request::problem(&Problem::not_found(
                "this service has no route with this method and path",
            ))
        };
        Self { router: Router::new().fallback(missing) }
    }
}

impl Api {
    /// Adds a table of routes. `dispatch` checks the caller and calls the row's handler.
    #[must_use]
    pub fn routes<F, H>(
        self,
        function: &Arc<F>,
        table: &'static [Route<H>],
        dispatch: Dispatch<F, H>,
    ) -> Self
    where
        F: Send + Sync + 'static,
        H: Sync,
    {
        let mut router = self.router;
        for row in table {
            let function = function.clone();
            let handler = async move |parameters: RawPathParams, request: extract::Request| {
                match Request::read(row, &parameters, request).await {
                    Ok(request) => request::answer(dispatch(&function, row, &request).await),
                    Err(problem) => request::problem(&problem),
                }
            };
            // A method that the router does not know would be a fault of the table.
            let filter = MethodFilter::try_from(row.method.clone()).unwrap_or(MethodFilter::TRACE);
            router = router.route(&axum_path(row.path), routing::on(filter, handler));
        }
        Self { router }
    }

    /// Handles one request. Errors are problem documents, so this never returns `Err`.
    pub async fn handle(
        self: Arc<Self>,
        event: LambdaEvent<ApiGatewayV2httpRequest>,
    ) -> Result<impl Serialize, Error> {
        let LambdaEvent { payload, context, .. } = event;
        let payload = LambdaRequest::ApiGatewayV2(with_encoded_address(payload));
        // axum sets it, also to 0 on a 204, which must have none (RFC 9110, section 8.6). The gateway
        // knows the length.
        let without_length = |mut response: Response| {
            response.headers_mut().remove(http::header::CONTENT_LENGTH);
            response
        };
        let router =
            ServiceExt::<lambda_http::Request>::map_response(self.router.clone(), without_length);
        let answer: Result<_, Infallible> =
            Adapter::from(router).call(LambdaEvent::new(payload, context)).await;
        Ok(answer?)
    }
}

/// The router's form of a path of the template: `/page/{file+}` is `/page/{*file}`.
fn axum_path(path: &str) -> String {
    path.split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|it| it.strip_suffix("+}")) {
            Some(name) => format!("{{*{name}}}"),
            None => segment.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// What cannot stand in a query string. Existing percent signs are kept.
const NO_QUERY: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');

/// What each parameter in a path begins with, on its way through the router. Without it, a parameter
/// could be `.` or `..`, which every parser of URLs resolves, or a word that is a segment of another
/// route: the gateway has matched the route already.
pub(crate) const MARK: char = '=';

/// The event with its address in percent-encoding. API Gateway decodes the path before it calls the
/// function, so the path is made again from the template's route and the parameters, and each
/// parameter is decoded once. lambda_http panics over an address that is not a valid URI.
fn with_encoded_address(mut event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpRequest {
    let route = event.request_context.route_key.as_deref().unwrap_or_default();
    let path = route.split_once(' ').map_or("/", |(_, path)| path);
    let encoded: Vec<_> = path
        .split('/')
        .map(|segment| {
            let Some(name) = segment.strip_prefix('{').and_then(|it| it.strip_suffix('}')) else {
                return segment.to_owned();
            };
            // Slashes in `{file+}` are encoded too, so that it is one segment.
            let name = name.strip_suffix('+').unwrap_or(name);
            let value = event.path_parameters.get(name).map_or("", String::as_str);
            format!("{MARK}{}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        })
        .collect();
    event.raw_path = Some(encoded.join("/"));
    let query = event.raw_query_string.unwrap_or_default();
    event.raw_query_string = Some(percent_encode(query.as_bytes(), NO_QUERY).to_string());
    // The host would become part of the address too, and no handler reads it.
    event.headers.remove(http::header::HOST);
    event.request_context.domain_name = None;
    event
}
