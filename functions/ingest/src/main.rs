//! The Lambda binary: configuration and clients once, then one event after another.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::platform::environment::Variables;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::from_process();
    variables.log();
    let function = Arc::new(ingest::Ingest::new(&variables, &variables.aws()?)?);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| ingest::handle(function.clone(), event))).await
}
