//! The table of routes of this function, and the context that a handler receives.

use shared::{
    domain::{
        exports::{
            export_answer::{ExportAnswer, ExportLinksAnswer},
            saved_search::RunAnswer,
        },
        identity::caller::Caller,
    },
    http::{
        export_request::ExportRequest,
        input::{EmptyBody, Id, OptionalBody, Query},
        output::{Accepted, Json, List},
        parameters::PageQuery,
        request::{IdempotencyKey, Request},
        route::{Answer, READ, Route},
        routes,
    },
    storage::TenantScope,
};

use crate::{Export, api, saved};

pub struct Call<'c> {
    pub(crate) function: &'c Export,
    pub(crate) scope: TenantScope<'c>,
    pub(crate) request: &'c Request,
    pub(crate) caller: &'c Caller,
}

pub type ExportRoute = Route<for<'c> fn(&'c Call<'c>) -> Answer<'c>>;

pub const ROUTES: &[ExportRoute] = routes! {
    /// Lists exports, newest first.
    list_exports: GET "/v1/exports" (READ) api::list as fn(Query<PageQuery>) -> List<ExportAnswer>;
    /// One export, with its progress. A failed one has the reason.
    get_export: GET "/v1/exports/{id}" (READ) api::one as fn(Id) -> Json<ExportAnswer>;
    /// Requests an export of events or of a report. Its files are written in the background. A
    /// repeated request with the same `Idempotency-Key` and body returns the same export; with
    /// another body it is refused (409). At most ten exports are under way for a tenant (429), two
    /// for a caller (409).
    create_export: POST "/v1/exports" (READ)
        api::create as fn((Option<IdempotencyKey>, OptionalBody<ExportRequest>)) -> Accepted<ExportAnswer>;
    /// Links to the files and the manifest of an export that is ready. They are valid for ten
    /// minutes. Each call is recorded as `export.link_minted`. 409 before the export is ready, 410
    /// after its files have expired.
    get_export_links: POST "/v1/exports/{id}/links" (READ)
        api::links as fn((Id, EmptyBody)) -> Json<ExportLinksAnswer>;
    /// Cancels an export that is not ready.
    cancel_export: POST "/v1/exports/{id}/cancel" (READ)
        api::cancel as fn((Id, EmptyBody)) -> Json<ExportAnswer>;
    /// Runs a saved search now. The answer holds the export, and `Location` is its address. The
    /// limits of exports apply (429, 409).
    run_saved: POST "/v1/saved/{id}/runs" (READ)
        saved::run as fn((Id, (Option<IdempotencyKey>, EmptyBody))) -> Accepted<RunAnswer>;
};
