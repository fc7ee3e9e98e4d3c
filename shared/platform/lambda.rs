//! The main function of every Lambda binary.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    environment::{ConfigError, Variables},
    trace,
};

/// Reads the configuration, creates the clients once, and then handles events one at a time.
///
/// # Errors
/// The configuration is wrong, or the Lambda Runtime API does not answer.
pub async fn serve<Function, Event, Answer, Handled>(
    new: impl FnOnce(&Variables) -> Result<Function, ConfigError>,
    handle: impl Fn(Arc<Function>, LambdaEvent<Event>) -> Handled,
) -> Result<(), Error>
where
    Event: DeserializeOwned,
    Answer: Serialize,
    Handled: Future<Output = Result<Answer, Error>>,
{
    let variables = Variables::from_process();
    variables.log();
    let function = Arc::new(new(&variables)?);
    let traced = |event: LambdaEvent<Event>| {
        let context = event.context.clone();
        let handled = handle(function.clone(), event);
        async move { trace::within(&context, handled).await }
    };
    lambda_runtime::run(service_fn(traced)).await
}
