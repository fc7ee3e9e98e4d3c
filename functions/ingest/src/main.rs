//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| ingest::Ingest::new(variables, &variables.aws()?),
        ingest::handle,
    )
    .await
}
