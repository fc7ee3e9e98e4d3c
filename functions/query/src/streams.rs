//! Streams: the progress of each, and its last error.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde::Serialize;
use serde_json::Value;
use shared::services::streams;
use shared::{
    domain::{
        identity::caller::{Caller, Permission},
        streams::target::without_address,
    },
    http::{
        pagination,
        problem::Problem,
        request::{self, Parameters},
    },
};

use crate::routes::TenantCall;

/// `GET /v1/streams`: streams in the order of their ids.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["limit", "cursor"])?;
    let read = async |after: Option<&str>| {
        let (streams, goes_on) = streams::streams(scope, after).await?;
        let mut read = Vec::with_capacity(streams.len());
        for stored in streams {
            let answered = streams::answered_stream(scope, &stored)
                .await?
                .map(|answered| shown(reader.caller, &answered));
            read.push((stored.id, answered.transpose()?));
        }
        Ok::<_, Problem>((read, goes_on))
    };
    pagination::list(scope, reader, &parameters, "streams", read).await
}

/// `GET /v1/streams/{id}`: one stream.
pub async fn one(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("no stream with this id is configured in the tenant");
    let id = request::configured_id(request).map_err(|_| missing())?;
    let stored = streams::stream(scope, id).await?.ok_or_else(missing)?;
    Ok(request::json(
        200,
        &shown(
            reader.caller,
            &streams::answered_stream(scope, &stored).await?.ok_or_else(missing)?,
        )?,
    ))
}

/// The stream as this caller may see it. Only administrators see the target's URL, because the URL
/// can be a credential.
fn shown(caller: &Caller, stream: &impl Serialize) -> Result<Value, Problem> {
    let stream = serde_json::to_value(stream).map_err(|error| Problem::internal(&error))?;
    Ok(if caller.may(Permission::Admin) { stream } else { without_address(stream) })
}
