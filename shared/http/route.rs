//! The table of a function's routes. A row has the method and the path as in the template, the
//! permission that a caller needs, and the handler.

use std::pin::Pin;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use http::Method;

use crate::{authorization, problem::Problem};
use shared_domain::identity::caller::{Caller, Permission};

/// What a handler returns, boxed so that all handlers of a table have one type.
pub type Answer<'c> = Pin<Box<dyn Future<Output = Result<ApiGatewayV2httpResponse, Problem>> + 'c>>;

#[derive(Clone, Debug)]
pub struct Route<H> {
    pub method: Method,
    /// The path, with its parameters in braces: `/v1/events/{id}`.
    pub path: &'static str,
    pub needs: Needs,
    pub handler: H,
}

/// What a route requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a token: the route returns no tenant data.
    Nothing,
    Permission(Permission),
    /// One of two permissions. A caller with neither is told to ask for the first.
    Either(Permission, Permission),
}

impl Needs {
    /// # Errors
    /// 403 if the caller does not have what the route requires.
    pub fn check(self, caller: &Caller) -> Result<(), Problem> {
        match self {
            Self::Nothing => Ok(()),
            Self::Either(_, other) if caller.may(other) => Ok(()),
            Self::Permission(permission) | Self::Either(permission, _) => {
                authorization::require(caller, permission)
            }
        }
    }
}

impl<H> Route<H> {
    /// A route that reads.
    pub const fn get(path: &'static str, permission: Permission, handler: H) -> Self {
        Self { method: Method::GET, path, needs: Needs::Permission(permission), handler }
    }

    /// A route that runs a command, or a query that is too long for a URL.
    pub const fn post(path: &'static str, permission: Permission, handler: H) -> Self {
        Self { method: Method::POST, path, needs: Needs::Permission(permission), handler }
    }

    /// A route that stores a document.
    pub const fn put(path: &'static str, permission: Permission, handler: H) -> Self {
        Self { method: Method::PUT, path, needs: Needs::Permission(permission), handler }
    }

    /// A route that deletes a document.
    pub const fn delete(path: &'static str, permission: Permission, handler: H) -> Self {
        Self { method: Method::DELETE, path, needs: Needs::Permission(permission), handler }
    }

    /// The route as the gateway writes it: `GET /v1/events/{id}`.
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// The row for a request.
///
/// # Errors
/// 500 if the template sends a route to this function that its table does not have.
pub fn find<'r, H>(
    routes: &'r [Route<H>],
    request: &ApiGatewayV2httpRequest,
) -> Result<&'r Route<H>, Problem> {
    let key = request.request_context.route_key.as_deref().unwrap_or_default();
    routes.iter().find(|route| route.key() == key).ok_or_else(|| {
        Problem::internal(&format!("no handler for route {key:?}, which the template sends here"))
    })
}
