//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| export::Export::new(variables, &variables.aws()?),
        export::handle,
    )
    .await
}
