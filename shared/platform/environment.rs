//! Configuration: the environment variables that `infra/template.yaml` sets, read once at start.

use shared_domain::configuration::application::Place;
use std::{collections::BTreeMap, str::FromStr};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_types::{
    SdkConfig,
    region::Region,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use tracing_subscriber::filter::LevelFilter;

/// The environment of one function. On one machine the runner evaluates the template and hands over the same names, so
/// both are configured by one text.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A variable that is missing or unusable; it stops the function at start with a sentence.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {name}: {problem}")]
pub struct ConfigError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Variables {
    /// The variables of this process.
    pub fn from_process() -> Self {
        std::env::vars().collect()
    }

    /// The variable's text.
    ///
    /// # Errors
    /// It is not set, or empty.
    pub fn text(&self, name: &'static str) -> Result<&str, ConfigError> {
        match self.0.get(name).map(String::as_str) {
            None | Some("") => {
                Err(ConfigError { name, problem: "is not set; infra/template.yaml sets it".into() })
            }
            Some(text) => Ok(text),
        }
    }

    /// The variable's text, if it is set.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variable's text, read as a `T`.
    ///
    /// # Errors
    /// It is not set, or no `T`.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<T, ConfigError> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|error: T::Err| ConfigError { name, problem: format!("{text:?}: {error}") })
    }

    /// The way to AWS of a deployed function. Lambda gives it its role's credentials in the environment, which outlive it
    /// (AWS Lambda developer guide, "Defined runtime environment variables").
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
        // As every SDK takes it: for a VPC endpoint, or another engine.
        aws.set_endpoint_url(self.text("AWS_ENDPOINT_URL").ok().map(str::to_owned));
        Ok(aws.build())
    }

    /// Begins to log: a JSON line each, from the level on that the template sets (AWS Lambda developer guide, "Configuring JSON and
    /// plain text log formats").
    pub fn log(&self) {
        let level = self.parsed("AWS_LAMBDA_LOG_LEVEL").unwrap_or(LevelFilter::INFO);
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_max_level(level)
            .init();
    }
}

/// Where one service answers: `AWS_ENDPOINT_URL_S3` (AWS SDKs and Tools reference guide, "Service-specific endpoints").
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
/// Where the function runs: the variable `ONE_MACHINE` is true or false.
///
/// # Errors
/// The variable is missing or neither of them.
pub fn place(variables: &Variables) -> Result<Place, ConfigError> {
    Ok(if variables.parsed("ONE_MACHINE")? { Place::OneMachine } else { Place::Deployed })
}
