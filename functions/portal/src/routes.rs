//! The table of routes of this function, and the context that a handler receives.

use axum::response::Response;
use shared::http::{
    input::AnyQuery,
    request::Request,
    route::{Answer, Needs, Route},
    routes,
};

use crate::{JsonFile, Portal};

/// A request for a file.
pub struct Call<'c> {
    pub(crate) function: &'c Portal,
    pub(crate) request: &'c Request,
}

pub type PortalRoute = Route<for<'c> fn(&'c Call<'c>) -> Answer<'c>>;

pub const ROUTES: &[PortalRoute] = routes! {
    /// The audit page.
    get_page: GET "/" (Needs::Nothing) crate::file as fn(AnyQuery) -> Response;
    /// The description of this API, in OpenAPI 3.1.
    get_description: GET "/openapi.json" (Needs::Nothing) crate::description as fn(AnyQuery) -> JsonFile;
    /// A file of the audit page.
    get_page_file: GET "/page/{file+}" (Needs::Nothing) crate::file as fn(AnyQuery) -> Response;
};
