//! Organisations whose people may request access packages.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::services::access_packages;
use shared::{
    domain::configuration::organisation::{self, Organisation},
    http::{problem::Problem, request},
    storage::documents::Configured,
};

use crate::routes::Call;

/// `PUT /v1/organisations/{id}`: replaces the organisation.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 503.
pub async fn put(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let organisation = Organisation::read(&request::json_body(request)?)
        .map_err(|errors| Problem::invalid("the organisation was not stored", errors))?;
    let want = |_: Option<Organisation>, _| Ok::<_, Problem>(Some(organisation.clone()));
    let (configured, version) =
        access_packages::configure_organisation(scope, id, caller, false, want).await?;
    // Names of organisations are not unique.
    let status = if configured == Configured::Created { 201 } else { 200 };
    Ok(request::json(
        status,
        &organisation::Configured { id: id.to_owned(), version, organisation },
    ))
}

/// `DELETE /v1/organisations/{id}`: deletes the organisation.
///
/// # Errors
/// 404, 503.
pub async fn delete(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let missing = || Problem::not_found("no organisation with this id is configured in the tenant");
    let want = |there: Option<Organisation>, _| there.map(|_| None).ok_or_else(missing);
    access_packages::configure_organisation(scope, id, caller, false, want).await?;
    Ok(request::no_content())
}
