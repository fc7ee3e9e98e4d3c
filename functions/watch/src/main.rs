//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| watch::Watch::new(variables, &variables.aws()?),
        watch::handle,
    )
    .await
}
