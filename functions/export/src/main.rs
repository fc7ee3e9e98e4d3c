//! The Lambda binary.

use export::{Export, Function};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| Ok(Function::from(Export::new(variables, &variables.aws()?)?)),
        export::handle,
    )
    .await
}
