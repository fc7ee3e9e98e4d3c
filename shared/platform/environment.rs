//! Configuration: the environment variables that `infra/template.yaml` sets, read once at start.

use shared_domain::configuration::application::Place;
use std::{collections::BTreeMap, io::Stdout, str::FromStr};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_types::{
    SdkConfig,
    region::Region,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{
        SubscriberBuilder,
        format::{Format, Json, JsonFields},
    },
};

/// The environment of one function. On one machine, the local runner evaluates the template and
/// passes the same variables, so both are configured by the same text.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A variable that is missing or wrong. The function logs it and does not start.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {name}: {problem}")]
pub struct ConfigError {
    pub name: &'static str,
    pub problem: String,
}

impl Variables {
    /// The environment variables of this process.
    pub fn from_process() -> Self {
        std::env::vars().collect()
    }

    /// The value of a variable that must not be empty.
    ///
    /// # Errors
    /// The variable is not set, or empty.
    pub fn text(&self, name: &'static str) -> Result<&str, ConfigError> {
        match self.0.get(name).map(String::as_str) {
            None | Some("") => {
                Err(ConfigError { name, problem: "is not set; infra/template.yaml sets it".into() })
            }
            Some(text) => Ok(text),
        }
    }

    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a variable, parsed.
    ///
    /// # Errors
    /// The variable is not set, or cannot be parsed.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<T, ConfigError> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|error: T::Err| ConfigError { name, problem: format!("{text:?}: {error}") })
    }

    /// The AWS configuration of a deployed function. Lambda puts the credentials of the function's
    /// role into the environment. They stay valid longer than the process lives (AWS Lambda
    /// developer guide, "Defined runtime environment variables").
    ///
    /// # Errors
    /// A variable is missing.
    pub fn aws(&self) -> Result<SdkConfig, ConfigError> {
        let credentials = Credentials::new(
            self.text("AWS_ACCESS_KEY_ID")?,
            self.text("AWS_SECRET_ACCESS_KEY")?,
            self.text("AWS_SESSION_TOKEN").ok().map(str::to_owned),
            None,
            "environment",
        );
        let mut aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.text("AWS_REGION")?.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .service_config(self.clone());
        // As in every AWS SDK: for a VPC endpoint, or a local engine.
        aws.set_endpoint_url(self.text("AWS_ENDPOINT_URL").ok().map(str::to_owned));
        Ok(aws.build())
    }

    /// Starts logging: one JSON line per message, from the level that the template sets (AWS Lambda
    /// developer guide, "Configuring JSON and plain text log formats").
    pub fn log(&self) {
        let level = self.parsed("AWS_LAMBDA_LOG_LEVEL").unwrap_or(LevelFilter::INFO);
        json_lines().with_max_level(level).init();
    }
}

/// The form of log lines: the fields of the message at the root, and those of the invocation in
/// `span`.
pub(crate) fn json_lines()
-> SubscriberBuilder<JsonFields, Format<Json>, LevelFilter, fn() -> Stdout> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
}

/// The endpoint of one service: `AWS_ENDPOINT_URL_S3` (AWS SDKs and Tools reference guide,
/// "Service-specific endpoints").
impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        self.0.get(&format!("{}_{service}", key.env())).cloned()
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}
/// Where the function runs, from the variable `ONE_MACHINE` (true or false).
///
/// # Errors
/// The variable is missing or has another value.
pub fn place(variables: &Variables) -> Result<Place, ConfigError> {
    Ok(if variables.parsed("ONE_MACHINE")? { Place::OneMachine } else { Place::Deployed })
}
