//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| collect::Collect::new(variables, &variables.aws()?),
        collect::handle,
    )
    .await
}
