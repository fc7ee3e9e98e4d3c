//! Lambda: runs functions synchronously, or asynchronously with retries, and serves the Invoke API.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_types::SdkConfig;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use shared::platform::trace;
use tokio::{net::TcpListener, runtime};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    StartError,
    functions::{Functions, Handler},
    gate::{Closed, Gate},
    http_server, plan,
    stop::Stop,
};

/// Lambda's limits on events and results.
pub(crate) const LARGEST_EVENT: usize = 6_291_456;
pub(crate) const LARGEST_ANSWER: usize = 6_291_556;
/// How long a stop waits for asynchronous invocations.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(1);
/// The lower limit for events of asynchronous invocations.
const LARGEST_ASYNC_EVENT: usize = 1_048_576;

/// Every function of the template, ready to run.
pub(crate) struct Lambda {
    functions: BTreeMap<String, Arc<Function>>,
    /// The length of a minute, in which pauses before retries are counted.
    minute: Duration,
    stop: Stop,
}

/// A function that can be run.
pub(crate) struct Function {
    pub(crate) name: String,
    arn: String,
    timeout: Duration,
    retries: u32,
    handler: Handler,
}

/// Why an invocation failed, in Lambda's format.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.kind, self.message)
    }
}

impl Lambda {
    /// Creates every function of the plan.
    pub(crate) fn new(
        plan: &[plan::Function],
        functions: &Functions,
        aws: &SdkConfig,
        minute: Duration,
        stop: Stop,
    ) -> Result<Arc<Self>, StartError> {
        let mut made = BTreeMap::new();
        for planned in plan {
            let variables = planned.variables.clone().into_iter().collect();
            let handler = functions.make(&planned.binary, &variables, aws).ok_or_else(|| {
                planned.at.error(format!(
                    "there is no function {:?}; the functions are {}. Add it in infra/local/src/functions.rs and to its Cargo.toml",
                    planned.binary,
                    functions.names()
                ))
            })?;
            let handler = handler
                .map_err(|error| StartError::Function { name: planned.name.clone(), error })?;
            let function = Function {
                name: planned.name.clone(),
                arn: planned.arn.clone(),
                timeout: planned.timeout,
                retries: planned.retries,
                handler,
            };
            made.insert(planned.name.clone(), Arc::new(function));
        }
        Ok(Arc::new(Self { functions: made, minute, stop }))
    }

    /// A function by its name or ARN.
    pub(crate) fn function(&self, name: &str) -> Option<Arc<Function>> {
        let by_arn = || self.functions.values().find(|function| function.arn == name);
        self.functions.get(name).or_else(by_arn).cloned()
    }

    /// Runs a function and waits for its result. As on AWS, the run continues if the caller stops waiting.
    pub(crate) async fn run(
        &self,
        function: &Arc<Function>,
        event: Value,
        trace: Option<String>,
    ) -> Result<Value, Failure> {
        self.run_until(function, event, trace, self.stop.now.clone()).await
    }

    async fn run_until(
        &self,
        function: &Arc<Function>,
        event: Value,
        trace: Option<String>,
        cut: CancellationToken,
    ) -> Result<Value, Failure> {
        let request_id = Uuid::new_v4();
        let trace = trace.unwrap_or_else(|| tracing_header(request_id, Utc::now()));
        let request_id = request_id.to_string();
        let span = tracing::info_span!("function", name = function.name);
        let deadline = SystemTime::now() + function.timeout;
        let mut context = Context::default();
        context.request_id = request_id;
        context.xray_trace_id = Some(trace);
        context.deadline = u64::try_from(since_epoch(deadline).as_millis()).unwrap_or(u64::MAX);
        context.invoked_function_arn = function.arn.clone();
        context.env_config = Arc::new(lambda_runtime::Config {
            function_name: function.name.clone(),
            version: "$LATEST".into(),
            ..lambda_runtime::Config::default()
        });

        let (handler, timeout) = (function.handler.clone(), function.timeout);
        let (runtime, entered) = (runtime::Handle::current(), span.clone());
        let work = move || {
            let answer = async move {
                let invocation = context.clone();
                let handled = handler(LambdaEvent::new(event, context));
                tokio::select! {
                    answer = trace::within(&invocation, handled) => {
                        answer.map_err(|error| Failure { kind: "Error", message: error.to_string() })
                    }
                    () = tokio::time::sleep(timeout) => Err(Failure {
                        kind: "Sandbox.Timedout",
                        message: format!("Task timed out after {:.2} seconds", timeout.as_secs_f64()),
                    }),
                    () = cut.cancelled() => {
                        Err(Failure { kind: "Sandbox.Stopped", message: "the stack was stopped".into() })
                    }
                }
            };
            runtime.block_on(answer.instrument(entered))
        };
        // Each invocation has its own thread, like an instance on AWS, so that a busy one delays no other.
        let answer = match self.stop.tasks.spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Failure { kind: "Runtime.Panicked", message: "the handler panicked".into() })
            }
        };
        let answer = answer.and_then(|answer| match length(&answer) {
            0..=LARGEST_ANSWER => Ok(answer),
            length => Err(Failure {
                kind: "Function.ResponseSizeTooLarge",
                message: format!(
                    "Response payload size ({length} bytes) exceeded {LARGEST_ANSWER} bytes"
                ),
            }),
        });
        if let Err(failure) = &answer {
            span.in_scope(|| {
                tracing::error!("{}: the invocation failed: {failure}", function.name)
            });
        }
        answer
    }

    /// Runs a function asynchronously. A failed run is retried after one minute and again after two.
    ///
    /// Waiting events are lost when the process ends. AWS keeps them for six hours. Functions must not depend on either.
    pub(crate) fn run_in_background(
        self: &Arc<Self>,
        function: Arc<Function>,
        event: Value,
        trace: Option<String>,
    ) {
        let lambda = self.clone();
        self.stop.tasks.spawn(async move {
            for attempt in 0..=function.retries {
                if attempt > 0 {
                    tokio::select! {
                        () = tokio::time::sleep(lambda.minute * attempt) => {}
                        () = lambda.stop.soon.cancelled() => break,
                    }
                }
                // No caller waits for the result, and a stop must not wait for minutes. Functions are built to be interrupted.
                let cut = CancellationToken::new();
                let cutting = async {
                    lambda.stop.soon.cancelled().await;
                    tokio::time::sleep(BACKGROUND_PATIENCE).await;
                    cut.cancel();
                    std::future::pending::<()>().await
                };
                let done = tokio::select! {
                    done = lambda.run_until(&function, event.clone(), trace.clone(), cut.clone()) => done,
                    () = cutting => return,
                };
                if done.is_ok() {
                    return;
                }
            }
            tracing::error!(
                "{}: an asynchronous invocation was abandoned after all retries",
                function.name
            );
        });
    }
}

/// The header with the id of a trace (AWS X-Ray developer guide, "Tracing header").
pub(crate) const TRACING_HEADER: &str = "x-amzn-trace-id";

/// The tracing header of a call that begins a trace.
pub(crate) fn tracing_header(id: Uuid, now: DateTime<Utc>) -> String {
    let id = id.simple().to_string();
    format!("Root=1-{:08x}-{}", now.timestamp(), id.get(..24).unwrap_or_default())
}

pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The length of a value as JSON text.
pub(crate) fn length(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// Serves the Invoke API to the functions, which sign with the key of this run.
pub(crate) fn serve(lambda: Arc<Lambda>, listener: TcpListener, gate: Arc<Gate>) {
    let stop = lambda.stop.clone();
    http_server::serve(listener, stop, move |request, _| {
        let (lambda, gate) = (lambda.clone(), gate.clone());
        async move { answer(&lambda, &gate, request).await }
    });
}

async fn answer(
    lambda: &Arc<Lambda>,
    gate: &Gate,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let too_large = |largest: usize| {
        let message = format!(
            "Request must be smaller than {largest} bytes for the InvokeFunction operation"
        );
        refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message)
    };
    let (head, body) = match gate.admit(request, LARGEST_EVENT).await {
        Ok(admitted) => admitted,
        Err(Closed::Refused(message)) => {
            return refusal(StatusCode::FORBIDDEN, "AccessDeniedException", message);
        }
        Err(Closed::TooLarge) => return too_large(LARGEST_EVENT),
    };
    let name = head
        .uri
        .path()
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|rest| rest.strip_suffix("/invocations"));
    let Some(name) = name.filter(|_| head.method == http::Method::POST) else {
        let message =
            "the local runner does not support this service or operation, only Invoke of Lambda";
        return refusal(StatusCode::NOT_IMPLEMENTED, "NotImplementedException", message);
    };
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let Some(function) = lambda.function(&name) else {
        let message = format!("Function not found: {name}");
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    let asynchronous = match head.headers.get("x-amz-invocation-type").map(|value| value.to_str()) {
        None | Some(Ok("RequestResponse")) => false,
        Some(Ok("Event")) => true,
        Some(_) => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "InvalidParameterValueException",
                "unknown invocation type",
            );
        }
    };
    if asynchronous && body.len() > LARGEST_ASYNC_EVENT {
        return too_large(LARGEST_ASYNC_EVENT);
    }
    let trace = head.headers.get(TRACING_HEADER).and_then(|value| value.to_str().ok());
    let trace = trace.map(str::to_owned);
    let event = if body.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&body) };
    let Ok(event) = event else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "Could not parse request body into json",
        );
    };
    if asynchronous {
        lambda.run_in_background(function, event, trace);
        return respond(StatusCode::ACCEPTED, &[], String::new());
    }
    match lambda.run(&function, event, trace).await {
        Ok(answer) => {
            respond(StatusCode::OK, &[("x-amz-executed-version", "$LATEST")], answer.to_string())
        }
        Err(failure) => {
            let payload = json!({"errorType": failure.kind, "errorMessage": failure.message});
            respond(StatusCode::OK, &[("x-amz-function-error", "Unhandled")], payload.to_string())
        }
    }
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({"Type": "User", "Message": message, "message": message});
    respond(status, &[("x-amzn-errortype", kind)], body.to_string())
}

pub(crate) fn respond(
    status: StatusCode,
    headers: &[(&'static str, &str)],
    body: String,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}
