//! `cargo run --release -p local`: the whole stack on this machine.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match local::command::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
