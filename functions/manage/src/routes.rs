//! The routes that change data.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use shared::{
    domain::{
        configuration::{access_package::Package, organisation::Organisation},
        identity::{
            caller::{
                Caller,
                Permission::{Admin, Operate, Read},
            },
            person::Person,
        },
    },
    http::route::{Answer, Route},
    storage::TenantScope,
};

use crate::{
    Manage, alerts, applications,
    configured::{delete, put},
    findings, reviews, saved, settings, streams, windows,
};

/// A call whose caller has the permission.
pub struct Call<'c> {
    pub function: &'c Manage,
    pub scope: TenantScope<'c>,
    pub request: &'c ApiGatewayV2httpRequest,
    pub caller: &'c Caller,
}

pub type Handler = for<'c> fn(&'c Call<'c>) -> Answer<'c>;

/// The routes. Readers may also save searches; only its owner or an administrator may change it.
#[rustfmt::skip]
pub const ROUTES: &[Route<Handler>] = &[
    Route::put("/v1/settings", Admin, |it| Box::pin(settings::put(it))),
    Route::put("/v1/people/{id}", Admin, |it| Box::pin(put::<Person>(it))),
    Route::put("/v1/applications/{id}", Admin, |it| Box::pin(applications::put(it))),
    Route::delete("/v1/applications/{id}", Admin, |it| Box::pin(applications::delete(it))),
    Route::put("/v1/packages/{id}", Admin, |it| Box::pin(put::<Package>(it))),
    Route::delete("/v1/packages/{id}", Admin, |it| Box::pin(delete::<Package>(it))),
    Route::put("/v1/organisations/{id}", Admin, |it| Box::pin(put::<Organisation>(it))),
    Route::delete("/v1/organisations/{id}", Admin, |it| Box::pin(delete::<Organisation>(it))),
    Route::put("/v1/streams/{id}", Admin, |it| Box::pin(streams::put(it))),
    Route::delete("/v1/streams/{id}", Admin, |it| Box::pin(streams::delete(it))),
    Route::post("/v1/streams/{id}/replay", Admin, |it| Box::pin(streams::replay(it))),
    Route::post("/v1/streams/{id}/test", Admin, |it| Box::pin(streams::test(it))),
    Route::put("/v1/saved/{id}", Read, |it| Box::pin(saved::put(it))),
    Route::delete("/v1/saved/{id}", Read, |it| Box::pin(saved::delete(it))),
    Route::post("/v1/alerts/test", Admin, |it| Box::pin(alerts::test(it))),
    Route::post("/v1/projections/rebuild", Admin, |it| Box::pin(findings::rebuild(it))),

    Route::post("/v1/windows/{id}/extend", Operate, |it| Box::pin(windows::extend(it))),
    Route::post("/v1/windows/{id}/end", Operate, |it| Box::pin(windows::end(it))),
    Route::post("/v1/windows/{id}/retry", Operate, |it| Box::pin(windows::retry(it))),
    Route::post("/v1/windows/{id}/close", Operate, |it| Box::pin(windows::close(it))),
    Route::post("/v1/windows/end", Operate, |it| Box::pin(windows::end_by_filter(it))),
    Route::post("/v1/windows/reconcile", Operate, |it| Box::pin(windows::reconcile(it))),
    Route::post("/v1/findings/{id}/disposition", Operate, |it| Box::pin(findings::disposition(it))),
    Route::post("/v1/reviews", Operate, |it| Box::pin(reviews::open(it))),
    Route::post("/v1/reviews/{id}/decisions", Operate, |it| Box::pin(reviews::decide(it))),
    Route::post("/v1/reviews/{id}/sign-off", Operate, |it| Box::pin(reviews::sign_off(it))),
];
