//! Tests of applications. The applications themselves are shown like other documents.

use shared::{
    domain::configuration::{
        application::Application, application_test::ApplicationTest, document::Document,
    },
    http::{input::Id, output::Json, problem::Problem},
    services::{application_tests, documents},
};

use crate::routes::TenantCall;

/// `GET /v1/applications/{id}/test`: the latest test.
pub async fn test(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<ApplicationTest>, Problem> {
    let missing = || Problem::not_found(Application::KIND.missing());
    let id = id.or(missing)?;
    documents::get::<Application>(scope, id).await?.ok_or_else(missing)?;
    let test = application_tests::latest(scope, id).await?.ok_or_else(|| {
        Problem::not_found(
            "this application was not tested; POST /v1/applications/{id}/test requests a test",
        )
    })?;
    Ok(Json(test))
}
