//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| manage::Manage::new(variables, &variables.aws()?),
        manage::handle,
    )
    .await
}
