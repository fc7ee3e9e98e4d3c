//! Runs `infra/template.yaml` on one machine: the same functions behind a gateway, an embedded DynamoDB, schedules,
//! streams and tokens that behave as AWS's do.
//!
//! In reading order:
//!
//! - `template` reads YAML with CloudFormation's functions. `known` lists the supported parts. `plan` is the result:
//!   tables, functions, routes, schedules and streams.
//! - `functions` lists the code that can be run. `invoke` runs it as Lambda does.
//! - `engine` is DynamoDB, `bucket` is S3, `publish` prints messages to SNS, EventBridge and SQS, `secrets` is Secrets Manager.
//! - `data` is the directory with all stored data. `aws` is the configuration with which functions reach these services.
//! - `gate` admits only requests to them that are signed with the key of this run.
//! - `gateway` serves HTTP requests, `authorizer` checks their tokens, `issuer` mints tokens for development.
//! - `schedule` and `stream` call functions on their own.
//! - `openapi` describes the API.
//! - `demo` loads a week of demonstration data. `command` is the program `cargo run -p local`.

mod authorizer;
mod aws;
mod bucket;
pub mod command;
mod data;
pub mod demo;
mod engine;
mod functions;
mod gate;
mod gateway;
mod http_server;
mod invoke;
mod issuer;
mod known;
pub mod openapi;
mod plan;
mod publish;
mod schedule;
mod secrets;
mod stop;
mod stream;
mod template;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use aws_types::SdkConfig;
use shared::platform::environment::ConfigError;
use tokio::net::TcpListener;

use authorizer::{Authorizer, Keys};
use aws::Endpoints;
use bucket::Files;
use data::Store;
pub use data::{Data, DataError};
use engine::Engine;
pub use functions::Functions;
use gate::Gate;
use gateway::Gateway;
use invoke::Lambda;
use issuer::Issuer;
pub use issuer::TokenRequest;
use plan::{Machine, Plan};
pub use publish::Printer;
use stop::Stop;
pub use template::TemplateError;

/// The options of a stack.
#[derive(Clone)]
pub struct Options {
    /// The template's text.
    pub template: String,
    /// The name of the template in errors, which is its path.
    pub template_name: String,
    /// The code of its functions.
    pub functions: Functions,
    /// The port of the API on 127.0.0.1, or 0 for any free port.
    pub port: u16,
    /// Where data is stored.
    pub data: Data,
    /// Values for parameters of the template.
    pub parameters: BTreeMap<String, String>,
    /// Environment variables `JIT_AUDIT_SECRET_…`, which every function receives. They hold the secrets that configurations refer to.
    pub secrets: BTreeMap<String, String>,
    /// The issuer of the tokens, exactly as in their `iss`. The default is the development issuer.
    pub issuer: Option<String>,
    /// The length of a minute for schedules, retries and TTL deletion. Tests shorten it.
    pub minute: Duration,
    /// Receives a line for each message to SNS, EventBridge and SQS. The default is standard output.
    pub printer: Printer,
}

impl Options {
    /// A stack in memory on any free port.
    pub fn new(template: impl Into<String>, functions: Functions) -> Self {
        Self {
            template: template.into(),
            template_name: "template.yaml".into(),
            functions,
            port: 0,
            data: Data::Memory,
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            issuer: None,
            minute: Duration::from_secs(60),
            printer: Printer::default(),
        }
    }
}

/// Why a stack did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The template is invalid or has a part that the runner does not support.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data directory was made for another template.
    #[error(
        "the table {table} in the data directory differs from the template: {differences}. Use an empty directory with --data DIR, \
         or remove this one if its data is not needed"
    )]
    Drift {
        /// The table.
        table: String,
        /// The differences.
        differences: String,
    },
    /// The port is taken.
    #[error(
        "cannot listen on 127.0.0.1:{port} ({error}). Choose another port with --port, or 0 for any free one"
    )]
    Port {
        /// The port.
        port: u16,
        /// The error of the system.
        error: io::Error,
    },
    /// A function does not accept its environment.
    #[error("function {name}: {error}")]
    Function {
        /// The function.
        name: String,
        /// Its error.
        error: ConfigError,
    },
    /// The embedded DynamoDB did not start.
    #[error("the embedded DynamoDB: {0}")]
    Engine(String),
    /// The embedded S3 did not start.
    #[error("the embedded S3: {0}")]
    Bucket(String),
    /// The development issuer has no key, or another issuer cannot be reached.
    #[error("the issuer: {0}")]
    Issuer(String),
}

/// No token could be minted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(String);

/// A running stack.
pub struct Running {
    url: String,
    engine: Engine,
    aws: SdkConfig,
    tables: BTreeMap<String, String>,
    buckets: Vec<String>,
    issuer: Option<Arc<Issuer>>,
    stop: Stop,
    /// Holds the lock of the data directory.
    store: Arc<Store>,
    files: Files,
}

/// Starts a stack.
///
/// # Errors
/// Nothing was started. The error says what to do.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let listener = listen(options.port).await?;
    let port = listener
        .local_addr()
        .map_err(|error| StartError::Port { port: options.port, error })?
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let development = format!("{url}/dev");

    let machine = Machine {
        url: &url,
        issuer: options.issuer.as_deref().unwrap_or(&development),
        parameters: &options.parameters,
    };
    let mut plan = Plan::read(&options.template_name, &options.template, &machine)?;
    for function in &mut plan.functions {
        function.variables.extend(options.secrets.clone());
    }
    let store = Arc::new(Store::open(&options.data)?);
    let issuer = match options.issuer {
        None => Some(Arc::new(Issuer::load(&store, development, audience(&plan))?)),
        Some(_) => None,
    };

    let stop = Stop::default();
    let keys = aws::Keys::load(&store)?;
    let gate = Arc::new(Gate::new(&keys));
    let engine = Engine::start(&store, &plan.tables, gate.clone()).await?;
    let files = Files::open(&store, &plan.buckets)?;
    let (lambda_listener, lambda_url) = listen_anywhere().await?;
    let (bucket_listener, bucket_url) = listen_anywhere().await?;
    let (publish_listener, publish_url) = listen_anywhere().await?;
    let (secrets_listener, secrets_url) = listen_anywhere().await?;
    let generated = secrets::generate(&store, &plan.secrets)?;
    let endpoints = Endpoints {
        dynamodb: engine.url.clone(),
        lambda: lambda_url,
        s3: bucket_url,
        publish: publish_url,
        secrets: secrets_url,
    };
    let aws = aws::config(endpoints, &keys);
    let lambda =
        Lambda::new(&plan.functions, &options.functions, &aws, options.minute, stop.clone())?;
    let gateway = gateway(&plan, port, &lambda, &issuer)?;

    bucket::serve(&files, bucket_listener, &keys.access, &keys.secret, stop.clone())?;
    // From here on nothing can fail, so a failed start leaves nothing running.
    publish::serve(plan.topics, options.printer, publish_listener, gate.clone(), stop.clone());
    secrets::serve(generated, secrets_listener, gate.clone(), stop.clone());
    invoke::serve(lambda.clone(), lambda_listener, gate);
    if let Some(gateway) = gateway {
        gateway.serve(listener, stop.clone());
    }
    engine.sweep(&store, options.minute, &stop);
    for planned in &plan.functions {
        let Some(function) = lambda.function(&planned.name) else { continue };
        for schedule in &planned.schedules {
            schedule::start(
                schedule.clone(),
                function.clone(),
                lambda.clone(),
                options.minute,
                &stop,
            );
        }
        for stream in &planned.streams {
            let table =
                plan.tables.iter().find(|table| table.stream_arn.as_deref() == Some(&stream.arn));
            let Some(table) = table else { continue };
            let reader = stream::Reader {
                stream: stream.clone(),
                table: table.name.clone(),
                database: engine.database.clone(),
                function: function.clone(),
                lambda: lambda.clone(),
                store: store.clone(),
                stop: stop.clone(),
            };
            reader.start();
        }
    }
    let tables = plan.tables.into_iter().map(|table| (table.logical, table.name)).collect();
    Ok(Running { url, engine, aws, tables, buckets: plan.buckets, issuer, stop, store, files })
}

async fn listen(port: u16) -> Result<TcpListener, StartError> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| StartError::Port { port, error })
}

/// Listens on any free port and returns the address.
async fn listen_anywhere() -> Result<(TcpListener, String), StartError> {
    let listener = listen(0).await?;
    let address = listener.local_addr().map_err(|error| StartError::Port { port: 0, error })?;
    Ok((listener, format!("http://{address}")))
}

/// The audience of development tokens, which is the first that the template's authorizers accept.
fn audience(plan: &Plan) -> String {
    let authorizers = plan.api.iter().flat_map(|api| api.authorizers.values());
    authorizers
        .flat_map(|jwt| &jwt.audiences)
        .next()
        .cloned()
        .unwrap_or_else(|| "jit-audit".to_owned())
}

fn gateway(
    plan: &Plan,
    port: u16,
    lambda: &Arc<Lambda>,
    issuer: &Option<Arc<Issuer>>,
) -> Result<Option<Gateway>, StartError> {
    let Some(api) = &plan.api else { return Ok(None) };
    let mut authorizers = BTreeMap::new();
    for (name, jwt) in &api.authorizers {
        let keys = match issuer {
            Some(issuer) if issuer.url == jwt.issuer => Keys::own(&issuer.jwks()),
            _ => Keys::fetched(jwt.issuer.clone())
                .map_err(|error| StartError::Issuer(error.to_string()))?,
        };
        authorizers.insert(name.clone(), Authorizer::new(jwt.clone(), keys));
    }
    Ok(Some(Gateway::new(api, port, &plan.functions, authorizers, lambda.clone(), issuer.clone())))
}

impl Running {
    /// The address of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of the embedded DynamoDB.
    pub fn engine_url(&self) -> &str {
        &self.engine.url
    }

    /// An AWS configuration that reaches this stack.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.aws
    }

    /// The same configuration with another address for a service (`DynamoDB`, `S3`).
    pub fn sdk_config_with(&self, service: &str, url: &str) -> SdkConfig {
        aws::with(&self.aws, service, url)
    }

    /// The name in DynamoDB of a table of the template.
    pub fn table(&self, logical: &str) -> Option<&str> {
        self.tables.get(logical).map(String::as_str)
    }

    /// The names of the buckets.
    pub fn buckets(&self) -> &[String] {
        &self.buckets
    }

    /// Mints a token.
    ///
    /// # Errors
    /// The request is invalid, or the stack uses another issuer.
    pub fn token(&self, request: &TokenRequest) -> Result<String, TokenError> {
        match &self.issuer {
            Some(issuer) => issuer.mint(request).map_err(TokenError),
            None => Err(TokenError("this stack uses the tokens of another issuer".into())),
        }
    }

    /// Stops the stack. Running work can finish within a time limit, then everything is closed.
    pub async fn stop(self) {
        self.stop.all().await;
        self.engine.stop().await;
        drop(self.files);
        drop(self.store);
    }
}
