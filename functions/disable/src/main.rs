//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| disable::Disable::new(variables, &variables.aws()?),
        disable::handle,
    )
    .await
}
