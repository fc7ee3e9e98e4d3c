//! The AWS configuration that functions get: dummy credentials, and endpoints that never leave this machine.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::plan::REGION;

#[derive(Debug)]
struct Endpoints {
    dynamodb: String,
    lambda: String,
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match (key.service_id(), key.env()) {
            ("DynamoDB", "AWS_ENDPOINT_URL") => Some(self.dynamodb.clone()),
            // Lambda, and every service that is not run here: it answers 501, where AWS's own address would be called.
            (_, "AWS_ENDPOINT_URL") => Some(self.lambda.clone()),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct OtherEngine {
    dynamodb: String,
    rest: SdkConfig,
}

impl LoadServiceConfig for OtherEngine {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match (key.service_id(), key.env()) {
            ("DynamoDB", "AWS_ENDPOINT_URL") => Some(self.dynamodb.clone()),
            _ => self.rest.service_config()?.load_config(key),
        }
    }
}

/// The same configuration with another engine, or something in between, in the place of DynamoDB.
pub(crate) fn with_engine(aws: &SdkConfig, dynamodb: &str) -> SdkConfig {
    aws.to_builder().service_config(OtherEngine { dynamodb: dynamodb.to_owned(), rest: aws.clone() }).build()
}

/// A configuration that reaches this stack and nothing else.
pub(crate) fn config(dynamodb: &str, lambda: &str, access_key: &str) -> SdkConfig {
    let credentials = Credentials::from_keys(access_key, "one-machine", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Endpoints { dynamodb: dynamodb.to_owned(), lambda: lambda.to_owned() })
        .build()
}
