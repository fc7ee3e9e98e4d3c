//! `cargo run --release -p local`: starts the stack, says how to reach it, and ends it when asked to.

mod arguments;

use std::{error::Error, io::Write as _, process::ExitCode};

use arguments::Arguments;
use clap::Parser as _;
use local::{Running, TokenRequest, demo};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stack = local::start(arguments.options()?).await?;
    if arguments.demo {
        demo::load(&stack).await?;
    }
    greet(&stack)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stack.stop().await;
    Ok(())
}

/// The line that says it is ready, and tokens to paste into a shell.
fn greet(stack: &Running) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {}", stack.url())?;
    let day = 24 * 60 * 60;
    let caller = TokenRequest { tenant: Some(demo::TENANT.into()), expires_in: Some(day), ..TokenRequest::default() };
    let email = Some("auditor@acme.example".into());
    let auditor = TokenRequest { email, scope: Some("audit:read".into()), ..caller.clone() };
    let portal = TokenRequest { client_id: Some("portal".into()), scope: Some("audit:write".into()), ..caller };
    for (name, request) in [("AUDITOR", auditor), ("PORTAL", portal)] {
        // With another issuer the tokens are to be had there.
        if let Ok(token) = stack.token(&request) {
            writeln!(out, "export {name}={token}")?;
        }
    }
    out.flush()
}
