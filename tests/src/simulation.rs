//! Windows in virtual time: the function that ends them, as deployed, with an engine and directories in this process that fail at random.
//! Time passes only when no task can run, so a day takes seconds. The same seed gives the same day.
//!
//! Real are the function, the storage layer with its statements and transactions, the SDK, the engine and the protocols of the directories.
//! Simulated are the network between them, the clocks and all randomness.

use shared::services::windows;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector, http_client_fn,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_types::SdkConfig;
use dynoxide::Database as Engine;
use futures::FutureExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use shared::{
    domain::{
        configuration::{
            address_policy::Reach,
            application::{Application, Place},
        },
        time::timestamp::Instant,
        trail::{
            event::{Actor, EventId, RecordedBy, Tenant},
            event_validation::{self, Intake},
            search::{Order, Range, Search},
        },
        windows::{
            window::Window,
            window_event::{EndReason, WindowEvent},
        },
    },
    platform::{clock::Clock, outbound_http::Outbound, random},
    services::windows::Recording,
    storage::{Database, TenantScope, documents::DocumentChange, insert_events::Insertion},
};
use tokio::{sync::Notify, time::Instant as Deadline};

use crate::directory::{Accounts, TOKEN};

/// The start of virtual time.
const BASE: &str = "2026-11-22T00:00:00.000Z";
const EVENTS: &str = "events";
const STATE: &str = "state";

/// The parameters of a simulation.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of all randomness.
    pub seed: u64,
    /// How long requests arrive.
    pub lasts: Duration,
    /// The number of directories.
    pub directories: usize,
    /// The number of accounts in each directory.
    pub accounts: usize,
    /// Whether storage, directories, clocks and runs fail at random.
    pub has_trouble: bool,
    /// A directory that is down, the start of its outage, and the duration.
    pub outage: Option<(usize, Duration, Duration)>,
    /// The mean pause between two requests.
    pub pause: Duration,
}

/// The result of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Calls to the storage and to directories.
    pub steps: u64,
    /// Accepted requests.
    pub accepted: usize,
    /// Ends that were enforced and verified.
    pub disabled: usize,
    /// Ends that were covered by another request.
    pub covered: usize,
    /// Ends that were overdue.
    pub overdue: usize,
    /// Failures because the function panicked on a directory's response.
    pub panicked: usize,
    /// Killed runs.
    pub killed: usize,
    /// Requests that moved to another window of the same account.
    pub merged: usize,
    /// Requests that arrived after the end of their session.
    pub ended_before: usize,
    /// Findings about requests whose names belong to different accounts.
    pub disagreements: usize,
    /// Renamed accounts.
    pub renamed: usize,
    /// How often a directory returned no accounts after an outage.
    pub emptied: usize,
    /// For each enforced end its directory, its planned time since the start of the simulation, and its lateness.
    pub lateness: Vec<(String, Duration, Duration)>,
}

/// The failure rates, in thousandths of calls.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    storage: u32,
    directory: u32,
    /// Directory responses on which the function panics.
    panic: u32,
}

struct State {
    chance: StdRng,
    weather: Weather,
    /// The hosts of the directories that are down.
    down: BTreeSet<String>,
    /// Sessions whose end is recorded.
    canceled: BTreeSet<String>,
    /// The counts so far.
    outcome: Outcome,
    /// Violated invariants. They are collected, because a panic in a separate task would be lost.
    violations: Vec<String>,
}

/// Everything outside the function.
struct World {
    plan: Plan,
    base: Instant,
    begun: Deadline,
    database: Engine,
    directories: BTreeMap<String, Accounts>,
    state: Mutex<State>,
    steps: AtomicU64,
    truth: OnceLock<&'static Database>,
}

/// One process, which is a run of the function or a portal. It has its own clock and can be killed.
struct Process {
    world: Arc<World>,
    /// The offset of its clock in milliseconds.
    skew: AtomicI64,
    /// The number of calls until it is killed.
    calls_left: AtomicI64,
    killed: Notify,
    /// Whether it is an observer, whose calls do not fail and are not counted.
    looks_on: bool,
}

/// A fault of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Refused and not executed.
    Refused,
    /// Executed, but the response is lost.
    Lost,
    /// Executed long after the caller timed out.
    Late,
    /// Neither executed nor answered.
    Hangs,
}

impl World {
    fn now(&self) -> Instant {
        self.base.plus(self.begun.elapsed())
    }

    fn chance<T>(&self, take: impl FnOnce(&mut StdRng) -> T) -> T {
        take(&mut self.state.lock().expect("state").chance)
    }

    fn fault(&self, per_mille: u32) -> Option<Fault> {
        self.chance(|chance| {
            chance.random_ratio(per_mille.min(1000), 1000).then(|| {
                [Fault::Refused, Fault::Lost, Fault::Late, Fault::Hangs][chance.random_range(0..4)]
            })
        })
    }

    /// Executes a storage operation and returns the response.
    fn stored(&self, operation: &str, body: &[u8]) -> (u16, String) {
        macro_rules! call {
            ($method:ident) => {{
                let request = serde_json::from_slice(body).expect("a request");
                self.database
                    .$method(request)
                    .map(|answer| serde_json::to_string(&answer).expect("JSON"))
            }};
        }
        let answer = match operation {
            "GetItem" => call!(get_item),
            "Query" => call!(query),
            "BatchGetItem" => call!(batch_get_item),
            "BatchExecuteStatement" => call!(batch_execute_statement),
            "ExecuteStatement" => call!(execute_statement),
            "ExecuteTransaction" => call!(execute_transaction),
            other => panic!("unexpected storage operation {other}"),
        };
        match answer {
            Ok(answer) => (200, answer),
            Err(error) => (error.status_code(), error.to_json()),
        }
    }

    fn violated(&self, what: String) {
        self.state.lock().expect("state").violations.push(what);
    }

    /// The database without faults.
    fn truth(&self) -> &'static Database {
        self.truth.get().expect("the store")
    }

    async fn trail(&self, store: &'static Database) -> TenantScope<'static> {
        let deadline = Deadline::now() + Duration::from_secs(20);
        loop {
            if let Ok(trail) = store
                .scope(&tenant(), store.clock().now(), deadline + Duration::from_secs(86_400))
                .await
            {
                return trail.at(store.clock().now(), Deadline::now() + Duration::from_secs(20));
            }
        }
    }
}

fn tenant() -> Tenant {
    Tenant::new("acme").expect("a tenant")
}

impl Process {
    fn new(world: &Arc<World>) -> Arc<Self> {
        Self::of(world, false)
    }

    fn of(world: &Arc<World>, looks_on: bool) -> Arc<Self> {
        Arc::new(Self {
            looks_on,
            world: world.clone(),
            skew: AtomicI64::new(0),
            calls_left: AtomicI64::new(i64::MAX),
            killed: Notify::new(),
        })
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.world.now().millis() + self.skew.load(Ordering::Relaxed))
    }

    fn aws(self: &Arc<Self>) -> SdkConfig {
        let connector = SharedHttpConnector::new(StorageConnector(self.clone()));
        let client: SharedHttpClient =
            http_client_fn(move |_: &HttpConnectorSettings, _: &RuntimeComponents| {
                connector.clone()
            });
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(
                "id", "secret", None,
            )))
            .http_client(client)
            .build()
    }

    /// A database handle that is leaked, because the process ends soon after the simulation.
    fn kept_store(self: &Arc<Self>) -> &'static Database {
        Box::leak(Box::new(self.store()))
    }

    fn store(self: &Arc<Self>) -> Database {
        let process = self.clone();
        Database::new(&variables(), &self.aws())
            .expect("a store")
            .by(Clock::new(move || process.now()))
    }

    /// Counts a call and returns whether it is the last one before the process is killed.
    fn is_last(&self) -> bool {
        self.world.steps.fetch_add(u64::from(!self.looks_on), Ordering::Relaxed);
        self.calls_left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

fn variables() -> shared::platform::environment::Variables {
    [
        ("EVENTS_TABLE", EVENTS),
        ("STATE_TABLE", STATE),
        ("FEED_LAG_SECONDS", "10"),
        ("RETENTION_DAYS", "400"),
        ("ZONE", "UTC"),
        ("ONE_MACHINE", "true"),
        ("SECRET_PREFIX", "p"),
        ("STACK", "jit-audit"),
        ("GONE_AFTER_SECONDS", "600"),
        ("JIT_AUDIT_SECRET_DIRECTORY", TOKEN),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect()
}

fn broken() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

fn response(status: u16, body: String) -> HttpResponse {
    let response = http::Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0");
    HttpResponse::try_from(response.body(body.into()).expect("a response")).expect("a response")
}

/// The connection to the storage.
struct StorageConnector(Arc<Process>);

impl std::fmt::Debug for StorageConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the simulated storage")
    }
}

impl HttpConnector for StorageConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let process = self.0.clone();
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let is_last = process.is_last();
        HttpConnectorFuture::new(async move {
            let world = process.world.clone();
            if process.looks_on {
                let (status, body) = world.stored(&operation, &body);
                return Ok(response(status, body));
            }
            let per_mille = world.state.lock().expect("state").weather.storage;
            let fault = world.fault(per_mille);
            let latency = match fault {
                Some(Fault::Late) => world.chance(|chance| chance.random_range(4_000..20_000)),
                _ => world.chance(|chance| chance.random_range(1..15)),
            };
            let dies_before = is_last && world.chance(|chance| chance.random());
            // A sent request is executed even if its sender is killed.
            let done = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(latency)).await;
                match fault {
                    Some(Fault::Refused) => (
                        400,
                        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"by plan"}"#
                            .to_owned(),
                    ),
                    Some(Fault::Hangs) => std::future::pending().await,
                    _ if dies_before => std::future::pending().await,
                    _ => world.stored(&operation, &body),
                }
            });
            if dies_before {
                process.killed.notify_one();
            }
            let (status, body) = done.await.map_err(|_| broken())?;
            if is_last {
                process.killed.notify_one();
                return std::future::pending().await;
            }
            if fault == Some(Fault::Lost) {
                return Err(broken());
            }
            Ok(response(status, body))
        })
    }
}

/// The connection to the directories.
struct DirectoryConnector(Arc<Process>);

impl std::fmt::Debug for DirectoryConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the simulated directories")
    }
}

impl HttpConnector for DirectoryConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let process = self.0.clone();
        let uri: http::Uri = request.uri().parse().expect("an address");
        let method = request.method().to_owned();
        let bearer = request.headers().get("authorization").unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let is_last = process.is_last();
        HttpConnectorFuture::new(async move {
            let world = process.world.clone();
            let host = uri.host().unwrap_or_default().to_owned();
            if method == "PATCH" {
                never_early(&process, &host, uri.path()).await;
            }
            let (per_mille, is_down, panics) = {
                let mut state = world.state.lock().expect("state");
                let State { chance, weather, down, .. } = &mut *state;
                (weather.directory, down.contains(&host), chance.random_ratio(weather.panic, 1000))
            };
            let fault = world.fault(per_mille);
            let latency = match fault {
                Some(Fault::Late) => world.chance(|chance| chance.random_range(9_000..30_000)),
                _ => world.chance(|chance| chance.random_range(5..60)),
            };
            // A directory that is down refuses one half of the calls and does not answer the other half.
            let hangs = is_down && world.chance(|chance| chance.random());
            let done = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(latency)).await;
                let accounts = world.directories.get(&host).expect("a directory");
                match fault {
                    _ if hangs => std::future::pending().await,
                    _ if is_down => (503, Value::Null),
                    Some(Fault::Refused) => (429, Value::Null),
                    Some(Fault::Hangs) => std::future::pending().await,
                    _ => accounts.answer(&method, &uri, &bearer, &body),
                }
            });
            let (status, body) = done.await.map_err(|_| broken())?;
            if is_last {
                process.killed.notify_one();
                return std::future::pending().await;
            }
            assert!(!panics, "an intended panic of the simulation");
            if fault == Some(Fault::Lost) {
                return Err(broken());
            }
            Ok(response(status, if body.is_null() { String::new() } else { body.to_string() }))
        })
    }
}

/// A process that disables an account holds the lease of its window, and no claim on the window is active by the process's clock.
/// A request since its check takes the lease away, which the process notices when it closes the window.
async fn never_early(process: &Process, host: &str, path: &str) {
    let world = &process.world;
    let id = path.rsplit('/').next().unwrap_or_default();
    let Some(number) = id.strip_prefix("u-").and_then(|number| number.parse().ok()) else { return };
    let trail = world.trail(world.truth()).await;
    let (now, accounts) = (process.now(), &world.directories[host]);
    let long_ago =
        Window::id_of(&tenant(), &random::event_id(), now.minus(Duration::from_secs(120)));
    for open in windows_of(&trail, host, number).await {
        let goes_on = open.claims.iter().any(|claim| claim.goes_on(now));
        // Another window of the account counts too, if its key is a name of the account. A window that has
        // just opened may not have been seen.
        let is_its_own = match &open.resolved {
            Some(account) => account.id == id,
            None => [accounts.name(id), Some(mail_address(number))].contains(&Some(open.key())),
        };
        if goes_on && (open.lease.is_some() || is_its_own && open.id[..15] < long_ago[..15]) {
            world.violated(format!(
                "{id} of {host} is disabled at {now} inside its window: {open:?}"
            ));
        }
    }
}

/// The open windows of an account, under any name that requests use.
async fn windows_of(trail: &TenantScope<'_>, host: &str, number: usize) -> Vec<Window> {
    let names = [account_name(number), mail_address(number), format!("u-{number}")];
    let open = windows::open_windows_called(trail, &names).await.expect("the windows");
    let directory: usize =
        host.trim_matches(|it: char| !it.is_ascii_digit()).parse().expect("a directory");
    let keys = [format!("scim:{host}/scim"), format!("entra:{}", directory_id(directory))];
    open.into_iter()
        .map(|it| it.window)
        .filter(|window| keys.contains(&window.directory_key))
        .collect()
}

/// Checks that every enabled account has an open window.
async fn none_without_window(world: &World) {
    let trail = world.trail(world.truth()).await;
    for (number, accounts) in world.directories.values().enumerate() {
        for account in 0..world.plan.accounts {
            if accounts.is_enabled(&format!("u-{account}")) != Some(true) {
                continue;
            }
            if windows_of(&trail, &host(number), account).await.is_empty() {
                let name = account_name(account);
                world.violated(format!(
                    "{name} of {} is enabled at {} without a window",
                    host(number),
                    world.now()
                ));
            }
        }
    }
}

/// The tables of the template as input for CreateTable.
fn tables() -> &'static [Value] {
    static TABLES: OnceLock<Vec<Value>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let describe = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let stack = local::start(crate::options()).await.expect("a stack");
                let client = aws_sdk_dynamodb::Client::new(stack.sdk_config());
                let mut tables = Vec::new();
                for (logical, name) in [("EventsTable", EVENTS), ("StateTable", STATE)] {
                    let described = client.describe_table().table_name(stack.table(logical).expect("a table"));
                    let table = described.send().await.expect("an answer").table.expect("a table");
                    let keys = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Value {
                        schema.iter().map(|key| json!({"AttributeName": key.attribute_name(), "KeyType": key.key_type().as_str()})).collect()
                    };
                    let attributes: Value = table
                        .attribute_definitions()
                        .iter()
                        .map(|it| json!({"AttributeName": it.attribute_name(), "AttributeType": it.attribute_type().as_str()}))
                        .collect();
                    let indexes: Value = table
                        .global_secondary_indexes()
                        .iter()
                        .map(|index| {
                            let kind = index.projection().and_then(|it| it.projection_type()).expect("a projection");
                            json!({"IndexName": index.index_name(), "KeySchema": keys(index.key_schema()), "Projection": {"ProjectionType": kind.as_str()}})
                        })
                        .collect();
                    tables.push(json!({
                        "TableName": name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": keys(table.key_schema()),
                        "AttributeDefinitions": attributes, "GlobalSecondaryIndexes": indexes
                    }));
                }
                stack.stop().await;
                tables
            })
        });
        describe.join().expect("the tables")
    })
}

/// Runs a simulation to its end and checks the invariants.
pub fn run(plan: Plan) -> Outcome {
    let tables = tables();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    random::seed(plan.seed);
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let database = Engine::memory().expect("a database");
        for table in tables {
            database
                .create_table(serde_json::from_value(table.clone()).expect("a table"))
                .expect("a table");
        }
        let directories: BTreeMap<String, Accounts> =
            (0..plan.directories).map(|number| (host(number), Accounts::default())).collect();
        for accounts in directories.values() {
            for number in 0..plan.accounts {
                let id = accounts.add(&account_name(number));
                accounts.mail(&id, &mail_address(number));
                accounts.turn(&id, false);
            }
        }
        let seed = plan.seed;
        let world = Arc::new(World {
            plan,
            base: BASE.parse().expect("a time"),
            begun: Deadline::now(),
            database,
            directories,
            state: Mutex::new(State {
                chance: StdRng::seed_from_u64(seed),
                weather: Weather::default(),
                down: BTreeSet::new(),
                canceled: BTreeSet::new(),
                outcome: Outcome::default(),
                violations: Vec::new(),
            }),
            steps: AtomicU64::new(0),
            truth: OnceLock::new(),
        });
        let observer = Process::of(&world, true);
        world.truth.set(observer.kept_store()).expect("once");
        simulate(&world).await
    })
}

fn host(number: usize) -> String {
    format!("d{number}.example")
}

fn directory_id(number: usize) -> String {
    format!("72f988bf-86f1-41af-91ab-{number:012}")
}

fn account_name(number: usize) -> String {
    format!("msp-{number}")
}

fn mail_address(number: usize) -> String {
    format!("msp-{number}@mail.example")
}

/// Configures the applications, one half for each kind of directory.
async fn configure(world: &Arc<World>) {
    let trail = world.trail(world.truth()).await;
    windows::remember(world.truth(), &tenant(), trail.deadline).await.expect("an answer");
    let caller = shared::domain::identity::caller::Caller {
        tenants: vec![tenant()],
        permissions: Vec::new(),
        sub: "it".to_owned(),
        email: None,
        is_machine: true,
        names: Vec::new(),
        client_id: None,
    };
    for number in 0..world.plan.directories {
        let url = format!("https://{}", host(number));
        let secret = "env:JIT_AUDIT_SECRET_DIRECTORY";
        let directory = match number % 2 {
            0 => json!({"kind": "scim", "base_url": format!("{url}/scim"), "token": secret}),
            _ => {
                json!({"kind": "entra", "tenant_id": directory_id(number), "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e", "client_secret": secret, "graph_url": url, "login_url": url})
            }
        };
        let json = json!({"name": format!("app-{number}"), "window": "PT10M", "max_window": "P1D", "accounts": ["msp-*"], "directory": directory});
        let application =
            Application::read(&json.to_string(), Place::OneMachine).expect("an application");
        let id = format!("app-{number}");
        let want = |_: Option<&_>| DocumentChange::stored(&id, &application);
        trail.configure::<Application, _>(&id, &caller, want).await.expect("an application");
    }
}

async fn simulate(world: &Arc<World>) -> Outcome {
    configure(world).await;
    let killed = Arc::new(AtomicU64::new(0));
    let wake = Arc::new(Notify::new());
    // Starts a run each minute and after each change. A run may be late, doubled or missing.
    let scheduling = {
        let (world, killed, wake) = (world.clone(), killed.clone(), wake.clone());
        tokio::task::spawn_local(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(60)) => {}
                    () = wake.notified() => {}
                }
                let copies = match world.plan.has_trouble {
                    true => {
                        world.chance(|chance| [0, 1, 1, 1, 1, 1, 1, 2][chance.random_range(0..8)])
                    }
                    false => 1,
                };
                for _ in 0..copies {
                    let (world, killed) = (world.clone(), killed.clone());
                    tokio::task::spawn_local(async move {
                        if AssertUnwindSafe(invoke(&world, &killed)).catch_unwind().await.is_err() {
                            world.violated("a run panicked".to_owned());
                        }
                    });
                }
            }
        })
    };
    let weather = {
        let world = world.clone();
        tokio::task::spawn_local(async move { change_weather(&world).await })
    };
    let outage = {
        let world = world.clone();
        tokio::task::spawn_local(async move {
            let Some((number, from, lasts)) = world.plan.outage else { return };
            tokio::time::sleep(from).await;
            world.state.lock().expect("state").down.insert(host(number));
            tokio::time::sleep(lasts).await;
            world.state.lock().expect("state").down.remove(&host(number));
        })
    };
    let looking_on = {
        let world = world.clone();
        tokio::task::spawn_local(async move {
            loop {
                // At most a thousand times in a long simulation.
                tokio::time::sleep((world.plan.lasts / 1000).max(Duration::from_secs(5))).await;
                none_without_window(&world).await;
            }
        })
    };
    let mut accepted = 0;
    let mut number = 0;
    let portal = Process::new(world);
    let store = portal.kept_store();
    while world.begun.elapsed() < world.plan.lasts {
        let pause = world.plan.pause.as_millis().max(1) as u64;
        tokio::time::sleep(Duration::from_millis(
            world.chance(|chance| chance.random_range(0..pause * 2)),
        ))
        .await;
        number += 1;
        match world.chance(|chance| chance.random_range(0..11)) {
            0 => change(world, store, &wake, true).await,
            1 => change(world, store, &wake, false).await,
            2 => cancel(world, store, &wake, number).await,
            3 if world.plan.has_trouble => rename(world, number),
            _ => accepted += usize::from(ask(world, store, &wake, number).await),
        }
    }
    weather.abort();
    let _ = outage.await;
    {
        let mut state = world.state.lock().expect("state");
        state.weather = Weather::default();
        state.down.clear();
    }
    // A window whose name matches no account stays open until the name matches one again.
    for accounts in world.directories.values() {
        for account in 0..world.plan.accounts {
            accounts.rename(&format!("u-{account}"), &account_name(account));
            accounts.hide(&format!("u-{account}"), false);
        }
    }
    // All windows end within a day. Failed attempts need some more time.
    let trail = world.trail(world.truth()).await;
    loop {
        let trail = trail.at(world.now(), Deadline::now() + Duration::from_secs(20));
        let open =
            windows::windows_of(&trail, &windows::open_windows(&trail).await.expect("the windows"))
                .await
                .expect("the windows");
        let Some(last) = open.iter().filter_map(Window::ends_at).max() else { break };
        let overdue = world.now().millis() - last.millis();
        assert!(overdue < 600_000, "seed {}: windows do not end: {open:?}", world.plan.seed);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    scheduling.abort();
    looking_on.abort();
    let mut outcome = check(world).await;
    outcome.steps = world.steps.load(Ordering::Relaxed);
    outcome.accepted = accepted;
    outcome.killed = usize::try_from(killed.load(Ordering::Relaxed)).unwrap_or_default();
    outcome
}

async fn change_weather(world: &World) {
    if !world.plan.has_trouble {
        return;
    }
    let mut may_be_empty_at = Deadline::now();
    loop {
        let (lasts, back) = {
            let mut state = world.state.lock().expect("state");
            let State { chance, weather, down, .. } = &mut *state;
            weather.storage = [0, 0, 20, 200][chance.random_range(0..4)];
            weather.directory = [0, 0, 50, 400][chance.random_range(0..4)];
            weather.panic = [0, 20, 50, 200][chance.random_range(0..4)];
            let back = down.pop_first().filter(|_| chance.random());
            down.clear();
            if chance.random_ratio(1, 4) {
                down.insert(host(chance.random_range(0..world.plan.directories)));
            }
            (Duration::from_secs(chance.random_range(30..900)), back)
        };
        // After an outage a directory first returns no accounts. After ten minutes of that, they would count as deleted.
        let empties = back
            .filter(|_| Deadline::now() >= may_be_empty_at)
            .and_then(|host| world.directories.get(&host));
        if let Some(accounts) = empties {
            let all = || (0..world.plan.accounts).map(|account| format!("u-{account}"));
            all().for_each(|id| accounts.hide(&id, true));
            world.state.lock().expect("state").outcome.emptied += 1;
            let empty = lasts.min(Duration::from_secs(400));
            tokio::time::sleep(empty).await;
            all().for_each(|id| accounts.hide(&id, false));
            may_be_empty_at = Deadline::now() + Duration::from_secs(900);
            tokio::time::sleep(lasts - empty).await;
        } else {
            tokio::time::sleep(lasts).await;
        }
    }
}

/// Runs the function once, in its own process.
async fn invoke(world: &Arc<World>, killed: &AtomicU64) {
    let process = Process::new(world);
    if world.plan.has_trouble {
        let late =
            world.chance(
                |chance| if chance.random_ratio(1, 5) { chance.random_range(0..90) } else { 0 },
            );
        tokio::time::sleep(Duration::from_secs(late)).await;
        let skew = world.chance(|chance| chance.random_range(-2_000..2_000));
        process.skew.store(skew, Ordering::Relaxed);
        if world.chance(|chance| chance.random_ratio(1, 4)) {
            process
                .calls_left
                .store(world.chance(|chance| chance.random_range(1..200)), Ordering::Relaxed);
        }
        // The clock jumps during the run.
        let stepping = Arc::downgrade(&process);
        let (after, to) = world
            .chance(|chance| (chance.random_range(1..150), chance.random_range(-5_000..5_000)));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            if let Some(process) = stepping.upgrade() {
                process.skew.store(to, Ordering::Relaxed);
            }
        });
    }
    let outbound = Outbound::through(
        Reach::Public,
        SharedHttpConnector::new(DirectoryConnector(process.clone())),
    );
    let function = disable::Disable::over(process.store(), outbound, &variables(), &process.aws())
        .expect("the function");
    tokio::select! {
        done = disable::run::run(&function) => {
            // An error is expected when the storage fails. The next run retries.
            let _ = done;
        }
        () = process.killed.notified() => {
            killed.fetch_add(1, Ordering::Relaxed);
        }
        // Like the timeout of Lambda.
        () = tokio::time::sleep(Duration::from_secs(240)) => world.violated("a run took too long".to_owned()),
    }
}

fn recorder() -> RecordedBy {
    RecordedBy { sub: "portal".to_owned(), client_id: None, history: false }
}

/// Requests an account and enables it when the request is accepted, as a portal does.
async fn ask(world: &Arc<World>, store: &'static Database, wake: &Notify, number: usize) -> bool {
    let (directory, account, lasts, starts_in, backdated, in_session, names) =
        world.chance(|chance| {
            (
                chance.random_range(0..world.plan.directories),
                chance.random_range(0..world.plan.accounts),
                chance.random_range(1..1200),
                if chance.random_ratio(1, 6) { chance.random_range(1..600) } else { 0 },
                // Some requests are already over when they arrive, so their end is late from the start.
                if world.plan.has_trouble && chance.random_ratio(1, 6) {
                    chance.random_range(1..1500)
                } else {
                    0
                },
                chance.random_ratio(1, 3),
                if world.plan.has_trouble { chance.random_range(0..8) } else { 7 },
            )
        });
    let (name, mail) = (account_name(account), mail_address(account));
    // The first name decides which account is requested: the e-mail address, else the name, else the id.
    let named = match names {
        0 => json!({ "email": mail }),
        1 => json!({"email": mail, "name": name}),
        2 => json!({"name": name, "id": format!("u-{account}")}),
        3 => json!({"name": name, "id": format!("u-{}", (account + 1) % world.plan.accounts)}),
        _ => json!({ "name": name }),
    };
    let mut event = json!({
        "id": format!("r-{number}"), "action": "entra.account.requested", "occurred_at": world.now().minus(Duration::from_secs(backdated)),
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": format!("app-{directory}")},
        "account": named, "window": {"duration": format!("PT{lasts}S")}
    });
    if in_session || starts_in > 0 {
        event["session"] = json!({"id": format!("s-{number}"), "scope": "session"});
    }
    if starts_in > 0 {
        event["session"]["starts_at"] = json!(world.now().plus(Duration::from_secs(starts_in)));
    }
    let (window, claim) = loop {
        let trail = world.trail(store).await;
        let intake = Intake {
            tenant: &tenant(),
            now: trail.now,
            retention: trail.settings.retention_at(trail.now),
        };
        let read = event_validation::read(&event.to_string(), &intake, random::event_id)
            .expect("an event");
        let (recording, _) =
            windows::record(&trail, read, &recorder(), Place::OneMachine, false).await;
        match recording {
            Recording::Judged(insertion) => match *insertion {
                Insertion::Created(recorded) | Insertion::Duplicate(recorded) => {
                    break (
                        recorded.opened.and_then(|it| it.id).expect("a window"),
                        recorded.event.id,
                    );
                }
                Insertion::Unavailable => continue,
                Insertion::Conflict(..) => {
                    panic!("seed {}: an event conflicts with itself", world.plan.seed)
                }
                Insertion::TooLarge(why) => panic!("seed {}: {why}", world.plan.seed),
            },
            Recording::Refused(errors) => panic!("seed {}: {errors:?}", world.plan.seed),
        }
    };
    wake.notify_one();
    let session = event["session"]["id"].as_str().unwrap_or_default();
    let was_canceled = world.state.lock().expect("state").canceled.contains(session);
    if was_canceled {
        world.state.lock().expect("state").outcome.ended_before += 1;
        if goes_on(world, window.clone(), &claim).await {
            world.violated(format!("{claim} keeps its window open although its session had ended"));
        }
    }
    let world = world.clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_secs(starts_in)).await;
        let accounts = &world.directories[&host(directory)];
        let id = format!("u-{account}");
        // The portal resolves the account as the service does, by the first name.
        let is_found = names < 2 || accounts.name(&id) == Some(account_name(account));
        if is_found && goes_on(&world, window, &claim).await {
            accounts.turn(&id, true);
        }
    });
    true
}

/// Whether the claim of a request is active, also after its window was merged.
async fn goes_on(world: &World, mut window: String, claim: &EventId) -> bool {
    let trail = world.trail(world.truth()).await;
    loop {
        let there =
            windows::window(&trail, &window).await.expect("an answer").expect("a window").window;
        if there.claims.iter().any(|it| it.event == *claim && it.goes_on(world.now())) {
            return true;
        }
        match there.merged_into {
            Some(into) => window = into,
            None => return false,
        }
    }
}

/// Renames an account and restores its name some minutes later.
fn rename(world: &Arc<World>, number: usize) {
    let (directory, account, lasts) = world.chance(|chance| {
        (
            chance.random_range(0..world.plan.directories),
            chance.random_range(0..world.plan.accounts),
            chance.random_range(10..900),
        )
    });
    let id = format!("u-{account}");
    world.directories[&host(directory)].rename(&id, &format!("other-{number}"));
    world.state.lock().expect("state").outcome.renamed += 1;
    let world = world.clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_secs(lasts)).await;
        world.directories[&host(directory)].rename(&id, &account_name(account));
    });
}

/// Extends or ends a window.
async fn change(world: &Arc<World>, store: &'static Database, wake: &Notify, extend: bool) {
    let trail = world.trail(store).await;
    let Ok(open) = windows::open_windows(&trail).await else { return };
    if open.is_empty() {
        return;
    }
    let (which, more) =
        world.chance(|chance| (chance.random_range(0..open.len()), chance.random_range(1..900)));
    let now = trail.now;
    let decide = |window: &mut Window| -> Result<Vec<WindowEvent>, shared::storage::ReadError> {
        Ok(match extend {
            true => {
                let to = window.ends_at().unwrap_or(now).plus(Duration::from_secs(more));
                window
                    .extend(|_| true, to, Actor::system(), "longer".to_owned(), now)
                    .ok()
                    .flatten()
                    .into_iter()
                    .collect()
            }
            false => {
                window.end(|_| true, &Actor::system(), &EndReason::Given("done".to_owned()), now)
            }
        })
    };
    let _ = windows::change_window(&trail, &open[which], &recorder(), decide).await;
    wake.notify_one();
}

/// Cancels the session of a recent or of a future request.
async fn cancel(world: &Arc<World>, store: &'static Database, wake: &Notify, number: usize) {
    // Some ends arrive before the request of their session.
    let (back, is_ahead) = world.chance(|chance| {
        (chance.random_range(1..20), world.plan.has_trouble && chance.random_ratio(1, 3))
    });
    let session = if is_ahead { number + back % 4 + 1 } else { number.saturating_sub(back) };
    let session = format!("s-{session}");
    let at = world.now().plus(Duration::from_secs(if is_ahead { 200 } else { 0 }));
    let event = json!({
        "id": format!("c-{number}"), "action": "session.canceled", "occurred_at": at,
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "session": {"id": session, "scope": "session"}
    });
    let trail = world.trail(store).await;
    let intake = Intake {
        tenant: &tenant(),
        now: trail.now,
        retention: trail.settings.retention_at(trail.now),
    };
    let read =
        event_validation::read(&event.to_string(), &intake, random::event_id).expect("an event");
    let (recording, _) = windows::record(&trail, read, &recorder(), Place::OneMachine, false).await;
    if let Recording::Judged(insertion) = recording
        && matches!(*insertion, Insertion::Created(_) | Insertion::Duplicate(_))
    {
        world.state.lock().expect("state").canceled.insert(session);
    }
    wake.notify_one();
}

/// Checks the invariants at the end.
async fn check(world: &Arc<World>) -> Outcome {
    let seed = world.plan.seed;
    let violations = std::mem::take(&mut world.state.lock().expect("state").violations);
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    for (host, accounts) in &world.directories {
        for number in 0..world.plan.accounts {
            let enabled = accounts.is_enabled(&format!("u-{number}"));
            assert_eq!(
                enabled,
                Some(false),
                "seed {seed}: {} of {host} stays enabled without a window",
                account_name(number)
            );
        }
    }
    let trail = world
        .trail(world.truth())
        .await
        .at(world.now(), Deadline::now() + Duration::from_secs(3600));
    let range = Range {
        since: world.base.minus(Duration::from_secs(86_400)),
        until: world.now().plus(Duration::from_secs(86_400)),
        order: Order::Ascending,
        after: None,
    };
    let search = Search { range, filter: None, words: None, include_service: true };
    let mut listing = trail.search(&search, 1000);
    let mut verified = BTreeSet::new();
    let mut failures = BTreeSet::new();
    let (mut outcome, mut ends, mut opened, mut asked, mut settled) = (
        std::mem::take(&mut world.state.lock().expect("state").outcome),
        BTreeSet::new(),
        BTreeSet::new(),
        BTreeSet::new(),
        BTreeMap::new(),
    );
    while let Some(recorded) = listing.next().await.expect("the trail") {
        let event = &recorded.event;
        let detail = |name: &str| {
            event
                .details
                .as_ref()
                .and_then(|details| details.get(name))
                .cloned()
                .unwrap_or_default()
        };
        let text = |name: &str| detail(name).as_str().unwrap_or_default().to_owned();
        match event.action.as_str() {
            "entra.account.requested" => {
                asked.insert(event.id.to_string());
            }
            "window.opened" => {
                assert!(
                    opened.insert(text("event")),
                    "seed {seed}: a window was opened twice: {event:?}"
                )
            }
            "entra.account.disabled" => {
                let end = (text("window"), text("planned_end"));
                assert!(ends.insert(end), "seed {seed}: an end was recorded twice: {event:?}");
            }
            "revocation.verified" => {
                let (planned, actual): (Instant, Instant) = (
                    text("planned_end").parse().expect("a time"),
                    text("actual_end").parse().expect("a time"),
                );
                assert!(actual >= planned, "seed {seed}: an end was early: {event:?}");
                assert_eq!(
                    detail("gone"),
                    json!(false),
                    "seed {seed}: no account was deleted: {event:?}"
                );
                // Requests with different names of the account have separate events about the same end.
                if !verified.insert((text("window"), text("planned_end"))) {
                    continue;
                }
                outcome.disabled += 1;
                let lateness =
                    Duration::from_millis(detail("lateness_ms").as_u64().unwrap_or_default());
                let planned = Duration::from_millis(
                    u64::try_from(planned.millis() - world.base.millis()).unwrap_or(0),
                );
                outcome.lateness.push((text("directory"), planned, lateness));
                *settled.entry(text("window")).or_insert(0) += 1;
            }
            "revocation.failed" => {
                let reason = event.reason.clone().unwrap_or_default();
                let kind = reason.split(':').next().unwrap_or_default().to_owned();
                outcome.panicked += usize::from(kind == "panicked");
                let failure = (text("window"), text("planned_end"), kind);
                assert!(
                    failures.insert(failure),
                    "seed {seed}: a kind of failure was recorded twice for one end: {event:?}"
                );
            }
            "window.merged" => outcome.merged += 1,
            "finding.raised" if text("rule") == shared::domain::findings::rules::NAMES_DISAGREE => {
                outcome.disagreements += 1
            }
            "revocation.covered" => outcome.covered += 1,
            "revocation.overdue" => outcome.overdue += 1,
            _ => {}
        }
    }
    assert_eq!(asked, opened, "seed {seed}: every request has one event window.opened");
    assert_eq!(ends.len(), outcome.disabled, "seed {seed}: each end is disabled and verified once");
    let (mut before, mut windows) = (None::<String>, 0);
    loop {
        let (page, goes_on) =
            windows::windows(&trail, before.as_deref()).await.expect("the windows");
        for window in &page {
            windows += 1;
            assert!(window.is_closed(), "seed {seed}: {window:?}");
            let is_settled = settled.contains_key(&window.id) || window.merged_into.is_some();
            assert!(is_settled, "seed {seed}: closed without verification: {window:?}");
        }
        before = page.last().map(|window| window.id.clone());
        if !goes_on {
            break;
        }
    }
    assert!(windows > 0, "seed {seed}: no window was opened");
    outcome
}
