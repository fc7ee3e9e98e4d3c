//! The command line: arguments, the output at start, and the stop on a signal.

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Parser;
use shared::domain::configuration::application::SECRET_VARIABLE;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    Data, Functions, Options, Running, TokenRequest, demo,
    openapi::{self, reference},
};

/// The files that are made from the description of the API, with their paths from the root.
const DESCRIPTION: &str = "functions/portal/openapi.json";
const GUIDE: &str = "docs/api.md";

/// Runs the stack with the arguments of the command line until a signal stops it.
///
/// # Errors
/// A sentence that says what to do.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.describe {
        return describe();
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stack = crate::start(arguments.options()?).await?;
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

/// Writes the description of the API, and the tables of calls in its guide, into the checkout from
/// which this program was built.
fn describe() -> Result<(), Box<dyn Error>> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let about =
        |path: &'static str| move |error: io::Error| format!("{path} of the checkout: {error}");
    let document = openapi::document();
    let guide = fs::read_to_string(checkout.join(GUIDE)).map_err(about(GUIDE))?;
    let guide = reference::with_calls(&guide, &document)?;
    let description = format!("{document:#}\n");
    for (path, text) in [(DESCRIPTION, description), (GUIDE, guide)] {
        fs::write(checkout.join(path), text).map_err(about(path))?;
        writeln!(io::stdout(), "{path}")?;
    }
    Ok(())
}

/// Runs Jit Audit on this machine.
#[derive(Parser)]
#[command(name = "local")]
struct Arguments {
    /// Port of the API on 127.0.0.1; 0 for any free port
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Directory for all stored data
    #[arg(long, value_name = "DIR", default_value = ".local")]
    data: PathBuf,
    /// Keep data in memory only; it is lost at the end
    #[arg(long, conflicts_with = "data")]
    memory: bool,
    /// Write the description of the API (OpenAPI) and the tables of its guide into the checkout, and end
    #[arg(long)]
    describe: bool,
    /// Load a week of demonstration data
    #[arg(long)]
    demo: bool,
    /// Accept tokens of this OpenID Connect issuer (exactly as in their iss) instead of the development issuer
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Value for a parameter of the template; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    parameters: Vec<(String, String)>,
    /// Path of the template; default: infra/template.yaml
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
}

impl Arguments {
    /// The options for the stack.
    fn options(&self) -> io::Result<Options> {
        let path = self.template.clone().unwrap_or_else(default_template);
        let text = fs::read_to_string(&path).map_err(|error| {
            let problem = format!(
                "the template {} cannot be read: {error}. Choose another template with --template FILE",
                path.display()
            );
            io::Error::new(error.kind(), problem)
        })?;
        Ok(Options {
            template_name: path.display().to_string(),
            port: self.port,
            data: if self.memory { Data::Memory } else { Data::Directory(self.data.clone()) },
            parameters: self.parameters.iter().cloned().collect(),
            secrets: std::env::vars()
                .filter(|(name, _)| name.starts_with(SECRET_VARIABLE))
                .collect(),
            issuer: self.issuer.clone(),
            ..Options::new(text, Functions::all())
        })
    }
}

/// The template in the current directory, else the one in the checkout from which this program was built.
fn default_template() -> PathBuf {
    let here = PathBuf::from("infra/template.yaml");
    if here.exists() {
        here
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("template.yaml")
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Prints the line `ready`, where the API is described, and tokens to paste into a shell.
fn greet(stack: &Running) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {}", stack.url())?;
    writeln!(out, "description {}/openapi.json", stack.url())?;
    let day = 24 * 60 * 60;
    let caller = TokenRequest {
        tenant: Some(demo::TENANT.into()),
        expires_in: Some(day),
        ..TokenRequest::default()
    };
    let email = Some("auditor@acme.example".into());
    let auditor = TokenRequest { email, scope: Some("audit:read".into()), ..caller.clone() };
    let portal = TokenRequest {
        client_id: Some("portal".into()),
        scope: Some("audit:write".into()),
        ..caller
    };
    for (name, request) in [("AUDITOR", auditor), ("PORTAL", portal)] {
        // With another issuer, tokens come from that issuer.
        if let Ok(token) = stack.token(&request) {
            writeln!(out, "export {name}={token}")?;
        }
    }
    out.flush()
}
