//! Access packages: resource roles that are granted together, and the policies for requests and
//! approvals.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::services::access_packages;
use shared::{
    domain::{
        configuration::access_package::{self, Package},
        json::strict_json::FieldError,
        reviews::review,
    },
    http::{problem::Problem, request},
    storage::documents::{Alias, Configured},
};

use crate::routes::Call;

/// `PUT /v1/packages/{id}`: replaces the package. Each change is a version, to which decisions
/// refer.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another package has the name; 503.
pub async fn put(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let refused = |errors| Problem::invalid("the package was not stored", errors);
    let package = Package::read(&request::json_body(request)?).map_err(refused)?;
    review::check_policy_ids(id, &package).map_err(|error| refused(vec![error]))?;
    let want = |_: Option<Package>, _| Ok::<_, Problem>(Some(package.clone()));
    let (configured, version) =
        access_packages::configure_package(scope, id, caller, false, want).await?;
    let status = match configured {
        Configured::Created => 201,
        // The number of packages is not limited.
        Configured::Changed | Configured::Unchanged | Configured::Full(_) => 200,
        Configured::Taken(Alias { name, pointer, .. }, other) => {
            let detail = format!(
                "{name:?} is the name of the package {other:?}; rename or delete that one first"
            );
            return Err(Problem::conflict(
                "another package has this name",
                vec![FieldError::new(pointer, detail)],
            ));
        }
    };
    Ok(request::json(status, &access_package::Configured { id: id.to_owned(), version, package }))
}

/// `DELETE /v1/packages/{id}`: deletes the package. Decisions under its policies stay readable in
/// the trail.
///
/// # Errors
/// 404, 503.
pub async fn delete(
    Call { scope, request, caller, .. }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let missing = || Problem::not_found("no package with this id is configured in the tenant");
    let want = |there: Option<Package>, _| there.map(|_| None).ok_or_else(missing);
    access_packages::configure_package(scope, id, caller, false, want).await?;
    Ok(request::no_content())
}
