//! Configuration: the environment variables that `infra/template.yaml` sets, read once at start.

use std::{collections::BTreeMap, str::FromStr};

use aws_config::{BehaviorVersion, SdkConfig};

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
            None | Some("") => Err(ConfigError { name, problem: "is not set; infra/template.yaml sets it".into() }),
            Some(text) => Ok(text),
        }
    }

    /// The variable's text, read as a `T`.
    ///
    /// # Errors
    /// It is not set, or no `T`.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<T, ConfigError> {
        let text = self.text(name)?;
        text.parse().map_err(|error: T::Err| ConfigError { name, problem: format!("{text:?}: {error}") })
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Region, credentials and HTTP client of a deployed function, from the Lambda environment.
pub async fn aws_config() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}
