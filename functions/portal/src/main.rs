//! The Lambda binary.

use shared::{http::api::Api, platform::lambda::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(portal::api, Api::handle).await
}
