//! Starts a whole stack in this process and calls it over HTTP, as a portal or an auditor would.

// The harness stops a test with a panic, whose message says why.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

mod answers;
pub mod between;
pub mod directory;
mod dynamodb_local;
pub mod graph;
pub mod signing;
pub mod simulation;
pub mod webhook;

use shared::platform::clock;
use shared::services::access_projection;
use std::{
    fmt::Display,
    path::Path,
    time::{Duration, Instant},
};

use aws_types::SdkConfig;
use local::{Data, Functions, Options, Running, TokenRequest};
use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

/// The template of the project.
pub const TEMPLATE: &str = include_str!("../../infra/template.yaml");

/// The time after which [`until`] fails. It is not a statement about speed.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running stack and a client for it.
pub struct Stack {
    /// The stack.
    pub running: Running,
    client: Client,
    /// The SDK configuration for the engine that its functions use.
    aws: SdkConfig,
}

/// A response of the API.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
    /// The body as JSON, or null if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The value of a header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The project's template and functions, with data in memory, a free port, and the secret of the tests' directories.
pub fn options() -> Options {
    let secrets = [("JIT_AUDIT_SECRET_DIRECTORY".to_owned(), directory::TOKEN.to_owned())].into();
    Options { secrets, ..Options::new(TEMPLATE, Functions::all()) }
}

/// The template with the function `watch` disabled.
pub fn without_watch() -> String {
    changed_watch(|watch| {
        let position = "StartingPosition: TRIM_HORIZON";
        without_its_schedule(&watch.replacen(
            position,
            &format!("{position}\n            Enabled: false"),
            1,
        ))
    })
}

/// The template with the schedule of `watch` disabled. `watch` reads the stream, and only [`pass`] processes what is due.
pub fn without_schedule_of_watch() -> String {
    changed_watch(without_its_schedule)
}

fn changed_watch(change: impl Fn(&str) -> String) -> String {
    let (before, watch) = TEMPLATE.split_once("\n  Watch:\n").expect("the function");
    format!("{before}\n  Watch:\n{}", change(watch))
}

fn without_its_schedule(watch: &str) -> String {
    let minute = "ScheduleExpression: rate(1 minute)";
    watch.replacen(minute, &format!("{minute}\n            State: DISABLED"), 1)
}

impl Stack {
    /// Starts the project's stack.
    pub async fn start() -> Self {
        Self::with(options()).await
    }

    /// Starts the project's stack with a data directory and parameters of the template.
    pub async fn start_in(
        directory: &Path,
        parameters: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let data = Data::Directory(directory.to_owned());
        Self::with(Options { data, parameters: parameters.into_iter().collect(), ..options() })
            .await
    }

    /// Starts a stack.
    pub async fn with(mut options: Options) -> Self {
        let peer = dynamodb_local::named_by_environment();
        if let Some(peer) = &peer {
            options.functions = options.functions.through("DynamoDB", peer);
            // DynamoDB Local is slow and goes on with an abandoned attempt, so short attempts would add up.
            options.parameters.insert("FeedLag".into(), "7".into());
        }
        let running = local::start(options)
            .await
            .unwrap_or_else(|error| panic!("the stack does not start: {error}"));
        let aws = match &peer {
            Some(peer) => running.sdk_config_with("DynamoDB", peer),
            None => running.sdk_config().clone(),
        };
        // The stack is on this machine, so a proxy of the environment must not be used.
        let client = Client::builder().no_proxy().build().expect("a client");
        let stack = Self { running, client, aws };
        if peer.is_some() {
            dynamodb_local::copy_tables(&stack.running, &stack.aws).await;
            // The schedule for this ran before the tables existed.
            stack.mark_past_days().await;
        }
        stack
    }

    /// Marks the days of the stored events, as the schedule does.
    pub async fn mark_past_days(&self) {
        let deadline = shared::http::request::deadline();
        while !store(self).mark_past_days(deadline, deadline).await.expect("an answer") {}
    }

    /// The SDK configuration for the engine that its functions use.
    pub fn aws(&self) -> &SdkConfig {
        &self.aws
    }

    /// A token for the request.
    pub fn token(&self, request: &TokenRequest) -> String {
        self.running.token(request).expect("a token")
    }

    /// A token for a tenant and scopes, with the e-mail address `<name>@<tenant>.example`.
    pub fn caller(&self, tenant: &str, name: &str, scope: &str) -> String {
        self.token(&TokenRequest {
            tenant: Some(tenant.into()),
            email: Some(format!("{name}@{tenant}.example")),
            scope: Some(scope.into()),
            ..TokenRequest::default()
        })
    }

    /// A token with the claims of a JSON object, in the format of the development issuer.
    pub fn minted(&self, claims: Value) -> String {
        self.token(&serde_json::from_value(claims).expect("claims"))
    }

    /// A token that permits reading the tenant's events.
    pub fn reader(&self, tenant: &str) -> String {
        self.caller(tenant, "auditor", "audit:read")
    }

    /// A machine token that permits writing the tenant's events.
    pub fn writer(&self, tenant: &str) -> String {
        self.caller(tenant, "portal", "audit:write")
    }

    /// Builds a request.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.running.url()))
    }

    /// Sends a GET request.
    pub async fn get(&self, token: &str, path: &str) -> Answer {
        send(self.request("GET", path).bearer_auth(token)).await
    }

    /// Posts JSON.
    pub async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).bearer_auth(token).json(body)).await
    }

    /// Puts JSON.
    pub async fn put(&self, token: &str, path: &str, body: &Value) -> Answer {
        send(self.request("PUT", path).bearer_auth(token).json(body)).await
    }

    /// A token that permits administering the tenant and reading its events.
    pub fn admin(&self, tenant: &str) -> String {
        self.caller(tenant, "admin", "audit:admin audit:read")
    }

    /// Sends a DELETE request.
    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        send(self.request("DELETE", path).bearer_auth(token)).await
    }

    /// Requests an export, waits until it has ended, and returns the job.
    pub async fn exported(&self, token: &str, asked: &Value) -> Value {
        let begun = self.post(token, "/v1/exports", asked).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        self.ended(token, begun.body["id"].as_str().expect("an id")).await
    }

    /// Waits until an export has ended and returns the job.
    pub async fn ended(&self, token: &str, export: &str) -> Value {
        // Print each intermediate error, which the final job no longer shows.
        let mut said = Value::Null;
        until(format!("export {export} has ended"), async || {
            let job = self.get(token, &format!("/v1/exports/{export}")).await.body;
            if let Some(reason) = job.get("reason").filter(|reason| **reason != said) {
                eprintln!("export {export}: {reason}");
                said = reason.clone();
            }
            (!matches!(job["state"].as_str(), Some("queued" | "running"))).then_some(job)
        })
        .await
    }

    /// The links to the files and the manifest of an export.
    pub async fn links(&self, token: &str, job: &Value) -> Value {
        let path = format!("/v1/exports/{}/links", job["id"].as_str().expect("an id"));
        let answer = self.call(token, &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    /// Posts without a body.
    pub async fn call(&self, token: &str, path: &str) -> Answer {
        send(self.request("POST", path).bearer_auth(token)).await
    }

    /// Downloads a link without a token.
    pub async fn fetch(&self, url: &Value) -> (StatusCode, HeaderMap, Vec<u8>) {
        let answer =
            self.client.get(url.as_str().expect("a link")).send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.bytes().await.expect("a body").to_vec())
    }

    /// The contents of an export's files, by name.
    pub async fn files(
        &self,
        token: &str,
        job: &Value,
    ) -> std::collections::BTreeMap<String, Vec<u8>> {
        let mut files = std::collections::BTreeMap::new();
        for file in self.links(token, job).await["files"].as_array().expect("files") {
            let (status, _, content) = self.fetch(&file["url"]).await;
            assert_eq!(status, 200);
            files.insert(file["name"].as_str().expect("a name").to_owned(), content);
        }
        files
    }

    /// Stops the stack.
    pub async fn stop(self) {
        drop(self.client);
        self.running.stop().await;
    }
}

/// Sends a request and reads the whole response.
pub async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap_or_else(|error| panic!("no request: {error:?}"));
    let (method, url) = (request.method().clone(), request.url().clone());
    let response =
        client.execute(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body of text");
    let body = serde_json::from_str(&text).unwrap_or_default();
    let answer = Answer { status, headers, text, body };
    answers::record(&method, &url, &answer);
    answer
}

/// Reads the tenant's events with these ids directly from the table, without an index.
pub async fn recorded(
    stack: &Stack,
    tenant: &str,
    ids: &[String],
) -> Vec<shared::domain::trail::event::Recorded> {
    let store = store(stack);
    let tenant = shared::domain::trail::event::Tenant::new(tenant).expect("a tenant");
    let mut events = Vec::with_capacity(ids.len());
    // In chunks, because the time of one request is bounded.
    for ids in ids.chunks(1000) {
        let (now, deadline) = (clock::now(), shared::http::request::deadline());
        let trail = store.scope(&tenant, now, deadline).await.expect("the trail");
        for id in ids {
            let id = shared::domain::trail::event::EventId::new(id).expect("an id");
            events.extend(trail.event(&id).await.expect("an answer"));
        }
    }
    events
}

/// Processes all projections that are due within `seconds`, as the schedule would do after that time.
pub async fn pass(stack: &Stack, seconds: u64) {
    use shared::platform::clock::Clock;
    let ahead = Duration::from_secs(seconds);
    let store = store(stack).by(Clock::new(move || clock::now().plus(ahead)));
    loop {
        let now = clock::now().plus(ahead);
        let due = store
            .due_projections(now, shared::http::request::deadline())
            .await
            .expect("what is due");
        if due.is_empty() {
            return;
        }
        for due in due {
            let trail = store
                .scope(&due.tenant, now, shared::http::request::deadline())
                .await
                .expect("the trail");
            access_projection::look_again(&trail, &due).await.expect("a look");
            store.postpone(&due, None, shared::http::request::deadline()).await.expect("an answer");
        }
    }
}

/// The database of a stack, to read and change it without the API.
pub fn store(stack: &Stack) -> shared::storage::Database {
    store_with(stack, 400)
}

/// The database of a stack whose template has another retention.
pub fn store_with(stack: &Stack, retention_days: u32) -> shared::storage::Database {
    let table = |logical| stack.running.table(logical).expect("a table").to_owned();
    let variables = [
        ("EVENTS_TABLE", table("EventsTable")),
        ("STATE_TABLE", table("StateTable")),
        ("FEED_LAG_SECONDS", "1".to_owned()),
        ("RETENTION_DAYS", retention_days.to_string()),
        ("ZONE", "UTC".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    shared::storage::Database::new(&variables, stack.aws()).expect("a store")
}

/// The time `seconds` ago, in the format of events.
pub fn seconds_ago(seconds: u64) -> String {
    whole_seconds(clock::now().minus(Duration::from_secs(seconds)))
}

/// The time in `seconds`, in the format of events.
pub fn seconds_ahead(seconds: u64) -> String {
    whole_seconds(clock::now().plus(Duration::from_secs(seconds)))
}

fn whole_seconds(instant: shared::domain::time::timestamp::Instant) -> String {
    shared::domain::time::timestamp::Instant::from_millis(instant.seconds() * 1000).to_string()
}

/// A free port for a program that cannot choose one itself. It is outside the range of ephemeral ports, so no connection takes it
/// before the program does.
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Calls `ask` repeatedly until it returns a value. `what` completes the sentence "timed out waiting until …".
pub async fn until<T>(what: impl Display, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        let waited = begun.elapsed();
        assert!(waited < PATIENCE, "timed out after {PATIENCE:?} waiting until {what}");
        // What takes long is asked for less often: each question takes time from what it waits for.
        let pause = (waited / 8).clamp(Duration::from_millis(20), Duration::from_millis(400));
        tokio::time::sleep(pause).await;
    }
}
