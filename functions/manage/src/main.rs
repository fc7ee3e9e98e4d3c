//! The Lambda binary.

use shared::{http::api::Api, platform::lambda::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(|variables| manage::api(variables, &variables.aws()?), Api::handle).await
}
