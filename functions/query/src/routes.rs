//! The table of routes of this function, and the context that a handler receives.
//!
//! Every handler answers 400 for a wrong or unknown parameter, 404 for an id that the tenant does
//! not have, and 503 when the storage does not answer.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use shared::{
    domain::{
        configuration::{
            access_package::Package, application::Application, organisation::Organisation,
        },
        exports::saved_search::Saved,
        identity::{
            caller::{Caller, Permission::Read},
            person::Person,
        },
    },
    http::{
        reader::Reader,
        route::{Answer, Route},
    },
    storage::TenantScope,
};

use crate::{
    Query, about, alerts, calendar,
    configured::{list, one, settings},
    counts, events, feed, findings, reports, reviews, runs, sessions, streams, windows,
};

/// A request whose caller may read.
pub struct Call<'c> {
    pub function: &'c Query,
    pub caller: &'c Caller,
    pub request: &'c ApiGatewayV2httpRequest,
}

/// A request for one tenant, whose caller may read.
pub struct TenantCall<'c> {
    pub scope: TenantScope<'c>,
    pub request: &'c ApiGatewayV2httpRequest,
    /// The caller, and the key that signs cursors.
    pub reader: Reader<'c>,
}

/// The handler of a route.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// For routes about the service itself, whichever tenant the caller names.
    Service(for<'c> fn(&'c Call<'c>) -> Answer<'c>),
    /// For routes about the caller's tenant.
    Tenant(for<'c> fn(&'c TenantCall<'c>) -> Answer<'c>),
}

use Handler::{Service, Tenant};

#[rustfmt::skip]
pub const ROUTES: &[Route<Handler>] = &[
    Route::get("/v1/actions", Read, Service(|it| Box::pin(about::actions(it)))),
    Route::get("/v1/reports", Read, Service(|it| Box::pin(reports::list(it)))),
    Route::get("/v1/me", Read, Service(|it| Box::pin(about::me(it)))),

    Route::get("/v1/events", Read, Tenant(|it| Box::pin(events::list(it)))),
    Route::post("/v1/events/search", Read, Tenant(|it| Box::pin(events::search(it)))),
    Route::post("/v1/events/counts", Read, Tenant(|it| Box::pin(counts::counts(it)))),
    Route::get("/v1/events/{id}", Read, Tenant(|it| Box::pin(events::one(it)))),
    Route::get("/v1/feed", Read, Tenant(|it| Box::pin(feed::feed(it)))),
    Route::get("/v1/sessions", Read, Tenant(|it| Box::pin(sessions::list(it)))),
    Route::get("/v1/sessions/{id}", Read, Tenant(|it| Box::pin(sessions::one(it)))),

    Route::get("/v1/reports/{report}", Read, Tenant(|it| Box::pin(reports::one(it)))),
    Route::get("/v1/reports/requests/{id}", Read, Tenant(|it| Box::pin(reports::one(it)))),
    Route::get("/v1/checkpoints", Read, Tenant(|it| Box::pin(findings::rules(it)))),
    Route::get("/v1/findings", Read, Tenant(|it| Box::pin(findings::list(it)))),
    Route::get("/v1/findings/{id}", Read, Tenant(|it| Box::pin(findings::one(it)))),
    Route::get("/v1/reviews", Read, Tenant(|it| Box::pin(reviews::list(it)))),
    Route::get("/v1/reviews/{id}", Read, Tenant(|it| Box::pin(reviews::one(it)))),
    Route::get("/v1/reviews/{id}/items", Read, Tenant(|it| Box::pin(reviews::items(it)))),
    Route::get("/v1/calendar", Read, Tenant(|it| Box::pin(calendar::calendar(it)))),
    Route::get("/v1/windows", Read, Tenant(|it| Box::pin(windows::list(it)))),
    Route::get("/v1/windows/{id}", Read, Tenant(|it| Box::pin(windows::one(it)))),
    Route::get("/v1/windows/orders/{id}", Read, Tenant(|it| Box::pin(windows::order(it)))),
    Route::get("/v1/alerts", Read, Tenant(|it| Box::pin(alerts::list(it)))),
    Route::get("/v1/alerts/{id}", Read, Tenant(|it| Box::pin(alerts::one(it)))),

    Route::get("/v1/settings", Read, Tenant(|it| Box::pin(settings(it)))),
    Route::get("/v1/people", Read, Tenant(|it| Box::pin(list::<Person>(it)))),
    Route::get("/v1/people/{id}", Read, Tenant(|it| Box::pin(one::<Person>(it)))),
    Route::get("/v1/applications", Read, Tenant(|it| Box::pin(list::<Application>(it)))),
    Route::get("/v1/applications/{id}", Read, Tenant(|it| Box::pin(one::<Application>(it)))),
    Route::get("/v1/packages", Read, Tenant(|it| Box::pin(list::<Package>(it)))),
    Route::get("/v1/packages/{id}", Read, Tenant(|it| Box::pin(one::<Package>(it)))),
    Route::get("/v1/organisations", Read, Tenant(|it| Box::pin(list::<Organisation>(it)))),
    Route::get("/v1/organisations/{id}", Read, Tenant(|it| Box::pin(one::<Organisation>(it)))),
    Route::get("/v1/streams", Read, Tenant(|it| Box::pin(streams::list(it)))),
    Route::get("/v1/streams/{id}", Read, Tenant(|it| Box::pin(streams::one(it)))),
    Route::get("/v1/saved", Read, Tenant(|it| Box::pin(list::<Saved>(it)))),
    Route::get("/v1/saved/{id}", Read, Tenant(|it| Box::pin(one::<Saved>(it)))),
    Route::get("/v1/saved/{id}/runs", Read, Tenant(|it| Box::pin(runs::list(it)))),
];
