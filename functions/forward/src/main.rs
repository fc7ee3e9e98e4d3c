//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| forward::Forward::new(variables, &variables.aws()?),
        forward::handle,
    )
    .await
}
