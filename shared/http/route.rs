//! The table of a function's routes. A row has an operation's name, the method and the path as in
//! the template, the permission that a caller needs, and the handler with what it takes and gives.

use std::pin::Pin;

use axum::response::Response;
pub use http::Method;

#[cfg(feature = "description")]
use crate::description::Operation;
use crate::{authorization, input::Input, output::Output, problem::Problem};
use shared_domain::identity::caller::{Caller, Permission};

/// What a handler returns, boxed so that all handlers of a table have one type.
pub type Answer<'c> = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send + 'c>>;

#[derive(Clone, Debug)]
pub struct Route<H> {
    /// The operation's name in the API's description, and in clients that are made from it.
    pub name: &'static str,
    /// What the operation does, for readers of the API's description.
    pub about: &'static str,
    pub method: Method,
    /// The path, with its parameters in braces: `/v1/events/{id}`.
    pub path: &'static str,
    pub needs: Needs,
    pub handler: H,
    pub description: Description,
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

pub const READ: Needs = Needs::Permission(Permission::Read);
pub const OPERATE: Needs = Needs::Permission(Permission::Operate);
pub const ADMIN: Needs = Needs::Permission(Permission::Admin);

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
    /// The route as the gateway writes it: `GET /v1/events/{id}`.
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// How a route describes itself. Deployed functions never do, so they do not hold the code for it.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    #[cfg(feature = "description")]
    describe: fn(&mut Operation<'_>),
}

impl Description {
    /// Of a handler that takes `I` and gives `O`.
    pub const fn of<I: Input, O: Output>() -> Self {
        Self {
            #[cfg(feature = "description")]
            describe: |operation| {
                I::describe(operation);
                O::describe(operation);
            },
        }
    }

    #[cfg(feature = "description")]
    pub fn describe(self, operation: &mut Operation<'_>) {
        (self.describe)(operation);
    }
}

/// A table of routes. A row is
///
/// ```text
/// /// Lists windows, newest first.
/// list_windows: GET "/v1/windows" (READ) windows::list as fn(Query<WindowQuery>) -> List<WindowAnswer>;
/// ```
///
/// A handler is an async function of the call and its input. A call has a field `request`.
#[macro_export]
macro_rules! routes {
    ($(
        $(#[doc = $about:literal])*
        $name:ident: $method:ident $path:literal ($needs:expr)
        $handler:path as fn($input:ty) -> $output:ty;
    )*) => {
        &[$($crate::route::Route {
            name: stringify!($name),
            about: concat!($($about, "\n"),*),
            method: $crate::route::Method::$method,
            path: $path,
            needs: $needs,
            handler: |call| Box::pin(async move {
                let input = <$input as $crate::input::Input>::read(call.request)?;
                let output: $output = $handler(call, input).await?;
                Ok($crate::output::Output::respond(output, call.request))
            }),
            description: $crate::route::Description::of::<$input, $output>(),
        }),*]
    };
}
