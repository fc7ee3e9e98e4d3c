//! What the product was made for: one test for each capability of the five documents that it comes
//! from, named after the number and the words of the capability. Each document is a tenant, and its
//! story is posted once; the tests of a document look at that story.

use std::{
    fmt::Debug,
    sync::{Arc, LazyLock},
};

use serde_json::{Value, json};
use tests::{Answer, Stack, directory::Directory, options, seconds_ago, until, webhook::Webhooks};
use tokio::{runtime::Runtime, sync::Semaphore};

mod computers_and_entra;
mod entitlements;
mod product_log;
mod reviewing;
mod sessions;

/// The address of the chat channel at the receiver.
const CHANNEL: &str = "/hooks/security";

/// One stack for all documents, a directory with its accounts, and a receiver of chat messages. It lives as long as the tests.
struct Mission {
    runtime: Runtime,
    stack: Stack,
    directory: Arc<Directory>,
    webhooks: Arc<Webhooks>,
    /// A caller has two exports under way at most, and a tenant ten.
    downloads: Semaphore,
}

static MISSION: LazyLock<Mission> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (stack, directory, webhooks) = runtime.block_on(async {
        let (directory, webhooks) = (Directory::start().await, Webhooks::start().await);
        let mut options = options();
        let channel = format!("{}{CHANNEL}", webhooks.url);
        options.secrets.insert("JIT_AUDIT_SECRET_CHANNEL".into(), channel);
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
        options.secrets.insert("JIT_AUDIT_SECRET_SIEM".into(), key.into());
        (Stack::with(options).await, directory, webhooks)
    });
    Mission { runtime, stack, directory, webhooks, downloads: Semaphore::new(2) }
});

/// Runs a test on the runtime of the stack, because its connections belong to it.
fn run(test: impl AsyncFnOnce(&'static Mission)) {
    MISSION.runtime.block_on(test(&MISSION));
}

/// Whoever works in one tenant: its portal, its auditor and its administrator.
#[derive(Debug)]
struct Company {
    mission: &'static Mission,
    name: &'static str,
    portal: String,
    auditor: String,
    admin: String,
}

impl Debug for Mission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mission")
    }
}

impl Mission {
    fn company(&'static self, name: &'static str) -> Company {
        let stack = &self.stack;
        Company {
            mission: self,
            name,
            portal: stack.writer(name),
            auditor: stack.reader(name),
            admin: stack.caller(name, "it", "audit:read audit:admin audit:operate"),
        }
    }
}

impl Company {
    fn stack(&self) -> &'static Stack {
        &self.mission.stack
    }

    /// Posts an event and returns it as it is stored.
    async fn post(&self, event: &Value) -> Value {
        let answer = self.stack().post(&self.portal, "/v1/events", event).await;
        assert_eq!(answer.status, 201, "{event}: {}", answer.text);
        answer.body
    }

    async fn post_all(&self, events: &[Value]) {
        let body = json!({ "events": events });
        let answer = self.stack().post(&self.portal, "/v1/events", &body).await;
        assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
    }

    /// Imports objects as Microsoft Graph returns them, and returns how many were new.
    async fn import(&self, objects: &Value) -> Value {
        let answer = self.stack().post(&self.portal, "/v1/events?format=entra", objects).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    async fn put(&self, path: &str, body: &Value) {
        let answer = self.stack().put(&self.admin, path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
    }

    async fn ask(&self, path: &str) -> Answer {
        self.stack().get(&self.auditor, path).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// The events that a search finds, newest first.
    async fn search(&self, search: Value) -> Vec<Value> {
        let answer = self.stack().post(&self.auditor, "/v1/events/search", &search).await;
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
    }

    /// The same with the service's own events.
    async fn filter(&self, filter: &str) -> Vec<Value> {
        self.search(json!({"filter": filter, "include_service": true, "limit": 1000})).await
    }

    async fn ids(&self, filter: &str) -> Vec<String> {
        texts(&self.search(json!({"filter": filter, "limit": 1000})).await, "id")
    }

    /// Waits until a report has a row that `is_it`, and returns the row.
    async fn row(&self, report: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(format!("{report} of {} has the row", self.name), async || {
            self.rows(report).await.into_iter().find(|row| is_it(row))
        })
        .await
    }

    async fn rows(&self, report: &str) -> Vec<Value> {
        let rows = self.get(&format!("/v1/reports/{report}")).await["rows"].clone();
        rows.as_array().unwrap().clone()
    }

    /// Waits until a rule has a finding that `is_it`, and returns it.
    async fn finding(&self, rule: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(format!("{} has a finding of {rule}", self.name), async || {
            let found = self.get(&format!("/v1/findings?rule={rule}&limit=1000")).await;
            found["findings"].as_array().unwrap().iter().find(|it| is_it(it)).cloned()
        })
        .await
    }

    /// The header and the rows of a downloaded CSV file.
    async fn download(&self, asked: &Value) -> (Vec<String>, Vec<Vec<String>>) {
        let (_, text) = self.file(asked).await;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let cells = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
        let head = cells(reader.headers().unwrap());
        (head, reader.records().map(|row| cells(&row.unwrap())).collect())
    }

    /// The name and the text of a downloaded CSV file.
    async fn file(&self, asked: &Value) -> (String, String) {
        let _turn = self.mission.downloads.acquire().await.unwrap();
        let job = self.stack().exported(&self.auditor, asked).await;
        assert_eq!(job["state"], "ready", "{job}");
        let files = self.stack().files(&self.auditor, &job).await;
        let found = files.into_iter().find(|(name, _)| name.ends_with(".csv"));
        let (name, bytes) = found.unwrap_or_else(|| panic!("no CSV file: {job}"));
        (name, String::from_utf8(bytes).unwrap())
    }
}

fn user(email: &str) -> Value {
    json!({"type": "user", "email": email})
}

fn system() -> Value {
    json!({"type": "system"})
}

/// An event that happened `ago` seconds ago.
fn event(id: &str, action: &str, ago: u64, actor: Value, more: Value) -> Value {
    let mut event =
        json!({"id": id, "action": action, "occurred_at": seconds_ago(ago), "actor": actor});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// The texts of a member of each object.
fn texts(objects: &[Value], member: &str) -> Vec<String> {
    let text = |object: &Value| object[member].as_str().unwrap_or_default().to_owned();
    objects.iter().map(text).collect()
}

/// A file of the audit page, as the browser gets it.
async fn page_file(mission: &Mission, path: &str) -> String {
    let answer = tests::send(mission.stack.request("GET", path)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

#[test]
fn every_capability_has_one_test() {
    let sources = [
        include_str!("mission/computers_and_entra.rs"),
        include_str!("mission/product_log.rs"),
        include_str!("mission/sessions.rs"),
        include_str!("mission/entitlements.rs"),
        include_str!("mission/reviewing.rs"),
    ];
    let names = sources.iter().flat_map(|source| source.lines()).filter_map(|line| {
        let name = line.trim().strip_prefix("fn row_")?;
        name.get(..3)?.parse::<u32>().ok()
    });
    assert_eq!(names.collect::<Vec<_>>(), (1..=135).collect::<Vec<_>>());
}
