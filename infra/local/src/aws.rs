//! The AWS configuration of functions: the credentials of this run, and endpoints on this machine only.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::{
    data::{DataError, Store},
    plan::REGION,
};

/// The addresses of the embedded services.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) dynamodb: String,
    pub(crate) lambda: String,
    pub(crate) s3: String,
    pub(crate) publish: String,
    pub(crate) secrets: String,
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match (key.service_id(), key.env()) {
            ("DynamoDB", "AWS_ENDPOINT_URL") => Some(self.dynamodb.clone()),
            ("S3", "AWS_ENDPOINT_URL") => Some(self.s3.clone()),
            ("SNS" | "EventBridge" | "SQS", "AWS_ENDPOINT_URL") => Some(self.publish.clone()),
            ("Secrets Manager", "AWS_ENDPOINT_URL") => Some(self.secrets.clone()),
            // Lambda, which also answers 501 for every service that is not embedded, so that no call reaches AWS.
            (_, "AWS_ENDPOINT_URL") => Some(self.lambda.clone()),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Elsewhere {
    service: String,
    url: String,
    rest: SdkConfig,
}

impl LoadServiceConfig for Elsewhere {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if (key.service_id(), key.env()) == (self.service.as_str(), "AWS_ENDPOINT_URL") {
            return Some(self.url.clone());
        }
        self.rest.service_config()?.load_config(key)
    }
}

/// The same configuration with another address for one service (`DynamoDB`, `S3`).
pub(crate) fn with(aws: &SdkConfig, service: &str, url: &str) -> SdkConfig {
    let elsewhere =
        Elsewhere { service: service.to_owned(), url: url.to_owned(), rest: aws.clone() };
    aws.to_builder().service_config(elsewhere).build()
}

/// The key that signs calls.
pub(crate) struct Keys {
    pub(crate) access: String,
    pub(crate) secret: String,
}

impl Keys {
    const FILE: &str = "aws-keys";

    /// Reads the keys from the data directory, or creates them. They are kept, because only their owner can continue an upload to S3.
    pub(crate) fn load(store: &Store) -> Result<Self, DataError> {
        let read = store.read(Self::FILE)?.and_then(|text| String::from_utf8(text).ok());
        let mut words = read.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned);
        if let (Some(access), Some(secret)) = (words.next(), words.next()) {
            return Ok(Self { access, secret });
        }
        let word = || uuid::Uuid::new_v4().simple().to_string();
        let keys = Self { access: format!("ONEMACHINE{}", word()), secret: word() };
        store.write(Self::FILE, format!("{} {}\n", keys.access, keys.secret).as_bytes())?;
        Ok(keys)
    }
}

/// A configuration that reaches only this stack.
pub(crate) fn config(endpoints: Endpoints, keys: &Keys) -> SdkConfig {
    let credentials = Credentials::from_keys(&keys.access, &keys.secret, None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(endpoints)
        .build()
}
