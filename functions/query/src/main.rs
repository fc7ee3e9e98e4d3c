//! The Lambda binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::platform::lambda::serve(
        |variables| query::Query::new(variables, &variables.aws()?),
        query::handle,
    )
    .await
}
