//! Stub.
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_runtime::{Error, LambdaEvent};
use shared::config::{ConfigError, Variables};

/// What the function keeps between invocations.
pub struct Query;

impl Query {
    /// Reads the configuration.
    pub fn new(_variables: &Variables, _aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

/// Answers one request.
pub async fn handle(_function: Arc<Query>, _event: LambdaEvent<ApiGatewayV2httpRequest>) -> Result<ApiGatewayV2httpResponse, Error> {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = 200;
    response.body = Some("{}".into());
    Ok(response)
}
