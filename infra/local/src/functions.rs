//! The functions that the runner can run, by the name of their binary.

use std::{collections::BTreeMap, sync::Arc};

use aws_types::SdkConfig;
use futures::future::LocalBoxFuture;
use lambda_runtime::{Error, LambdaEvent};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use shared::{
    http::api::Api,
    platform::environment::{ConfigError, Variables},
};

use crate::aws;

/// Runs one event through a function. Its future may stay on one thread, as it does in the Lambda runtime.
pub(crate) type Handler =
    Arc<dyn Fn(LambdaEvent<Value>) -> LocalBoxFuture<'static, Result<Value, Error>> + Send + Sync>;

type Build = Arc<dyn Fn(&Variables, &SdkConfig) -> Result<Handler, ConfigError> + Send + Sync>;

/// Functions by the name of their binary, which the template refers to.
#[derive(Clone, Default)]
pub struct Functions(BTreeMap<String, Build>);

impl Functions {
    /// Every function of the project. A new one adds a line here.
    pub fn all() -> Self {
        let mut functions = Self::default();
        functions = functions.add("collect", collect::Collect::new, collect::handle);
        functions = functions.add("disable", disable::Disable::new, disable::handle);
        functions = functions.add(
            "export",
            |variables, aws| Ok(export::Function::from(export::Export::new(variables, aws)?)),
            export::handle,
        );
        functions = functions.add("forward", forward::Forward::new, forward::handle);
        functions = functions.add("ingest", ingest::api, Api::handle);
        functions = functions.add("manage", manage::api, Api::handle);
        functions = functions.add("portal", |variables, _| portal::api(variables), Api::handle);
        functions = functions.add("query", query::api, Api::handle);
        functions = functions.add("watch", watch::Watch::new, watch::handle);
        functions
    }

    /// Adds a function: its constructor from environment variables, and its handler of one event.
    #[must_use]
    pub fn add<F, E, R, Answer>(
        mut self,
        binary: &str,
        make: impl Fn(&Variables, &SdkConfig) -> Result<F, ConfigError> + Send + Sync + 'static,
        handle: impl Fn(Arc<F>, LambdaEvent<E>) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Send + Sync + 'static,
        E: DeserializeOwned,
        R: Serialize,
        Answer: Future<Output = Result<R, Error>> + 'static,
    {
        let build = move |variables: &Variables, aws: &SdkConfig| {
            let function = Arc::new(make(variables, aws)?);
            let handle = handle.clone();
            let handler: Handler = Arc::new(move |event| {
                let (payload, context) = event.into_parts();
                // As in the Lambda runtime, an event that cannot be deserialized fails the invocation.
                match serde_json::from_value(payload) {
                    Ok(payload) => {
                        let answer = handle(function.clone(), LambdaEvent::new(payload, context));
                        Box::pin(async move { Ok(serde_json::to_value(answer.await?)?) })
                    }
                    Err(error) => Box::pin(async move { Err(error.into()) }),
                }
            });
            Ok(handler)
        };
        self.0.insert(binary.to_owned(), Arc::new(build));
        self
    }

    /// The same functions with another address for a service (`DynamoDB`, `S3`), such as another engine or a
    /// proxy.
    #[must_use]
    pub fn through(mut self, service: &str, url: &str) -> Self {
        for build in self.0.values_mut() {
            let (service, url, make) = (service.to_owned(), url.to_owned(), build.clone());
            *build =
                Arc::new(move |variables, aws| make(variables, &aws::with(aws, &service, &url)));
        }
        self
    }

    /// Creates the function of a binary. Returns `None` for an unknown binary.
    pub(crate) fn make(
        &self,
        binary: &str,
        variables: &Variables,
        aws: &SdkConfig,
    ) -> Option<Result<Handler, ConfigError>> {
        self.0.get(binary).map(|build| build(variables, aws))
    }

    pub(crate) fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}
