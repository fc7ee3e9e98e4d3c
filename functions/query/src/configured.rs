//! Configuration documents: the settings, and the documents of any other kind.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde::Serialize;
use shared::{
    domain::{
        configuration::{
            document::{Configured, Document},
            settings::{Hold, Settings},
        },
        trail::filter::FreeText,
    },
    http::{
        pagination,
        problem::Problem,
        request::{self, Parameters},
    },
    services::documents,
};

use crate::routes::TenantCall;

/// `GET /v1/settings`: the tenant's settings, and how complete its legal hold is.
pub async fn settings(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    #[derive(Serialize)]
    struct Answer<'s> {
        #[serde(flatten)]
        settings: &'s Settings,
        #[serde(skip_serializing_if = "Option::is_none")]
        hold: Option<Hold>,
    }
    Parameters::read(request, &[])?;
    Ok(request::json(
        200,
        &Answer { settings: &scope.settings, hold: scope.settings.hold(scope.now) },
    ))
}

/// `GET /v1/people/{id}` and the same route of other kinds: one document.
pub async fn one<T: Document>(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found(T::KIND.missing());
    let id = request::configured_id(request).map_err(|_| missing())?;
    let found = documents::get::<T>(scope, id).await?.ok_or_else(missing)?;
    Ok(request::json(200, &found))
}

/// `GET /v1/people` and the same route of other kinds: documents in the order of their ids. Every
/// word of `q` must occur in the id or in [`Document::searchable`].
pub async fn list<T: Document>(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["q", "limit", "cursor"])?;
    let words = parameters.read_as("q", FreeText::read)?;
    let is_wanted = |Configured { id, document, .. }: &Configured<T>| {
        let texts = [id.as_str()].into_iter().chain(document.searchable());
        words.as_ref().is_none_or(|words| words.are_in(texts))
    };
    let read = async |after: Option<&str>| {
        let (documents, goes_on) = documents::page::<T>(scope, after).await?;
        let documents = documents.into_iter().map(|(id, found)| (id, found.filter(is_wanted)));
        Ok::<_, Problem>((documents.collect(), goes_on))
    };
    pagination::list(scope, reader, &parameters, T::KIND.list, read).await
}
