//! Routes: the table of what the gateway sends to a function. A row holds the method and path as the
//! template has them, who may call the route, and its handler.

use std::pin::Pin;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use http::Method;

use crate::{authorization, problem::Problem};
use shared_domain::identity::caller::{Caller, Permission};

/// What a handler returns, boxed so that all handlers of a table have one type.
pub type Answer<'c> = Pin<Box<dyn Future<Output = Result<ApiGatewayV2httpResponse, Problem>> + 'c>>;

/// One route of a function.
#[derive(Clone, Debug)]
pub struct Route<H> {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub needs: Needs,
    /// What answers it.
    pub handler: H,
}

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a token: the route holds nothing of any tenant.
    Nothing,
    /// The permission.
    Permission(Permission),
    /// One of the two. A caller who has neither is told to ask for the first.
    Either(Permission, Permission),
}

impl Needs {
    /// # Errors
    /// 403 where the caller has not what is needed.
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

    /// A route that asks for something to be done, or that reads by a long question.
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

    /// The route as the gateway names it: `GET /v1/events/{id}`.
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// The row of a request.
///
/// # Errors
/// 500: the template sends a route here that the table does not have.
pub fn find<'r, H>(
    routes: &'r [Route<H>],
    request: &ApiGatewayV2httpRequest,
) -> Result<&'r Route<H>, Problem> {
    let key = request.request_context.route_key.as_deref().unwrap_or_default();
    routes.iter().find(|route| route.key() == key).ok_or_else(|| {
        Problem::internal(&format!("no handler for route {key:?}, which the template sends here"))
    })
}
