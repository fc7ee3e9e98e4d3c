//! The Lambda binary: configuration and clients once, then one event after another.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::config::{Variables, aws_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let function = Arc::new(manage::Manage::new(&Variables::from_process(), &aws_config().await)?);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| manage::handle(function.clone(), event))).await
}
