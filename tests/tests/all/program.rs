//! The program as a separate process: it reports readiness, stops cleanly on a signal, and after a kill -9 under
//! load no acknowledged event is lost and none is stored twice.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tests::{
    Answer,
    directory::{Directory, Fault, TOKEN},
    seconds_ago, send, until,
    webhook::{Reply, Webhooks},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// The program in its own process.
struct Program {
    child: Child,
    url: String,
    portal: String,
    auditor: String,
}

impl Program {
    async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_one-machine"))
            .args(["--port", "0", "--data"])
            .arg(data)
            .args(arguments)
            .env("JIT_AUDIT_SECRET_DIRECTORY", TOKEN)
            .env("JIT_AUDIT_SECRET_SIEM", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .current_dir(root)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = BTreeMap::new();
        while said.len() < 4 {
            let line =
                lines.next_line().await.unwrap().expect("the program ended before it was ready");
            let (name, value) = line
                .trim_start_matches("export ")
                .split_once([' ', '='])
                .expect("a line with a value");
            said.insert(name.to_owned(), value.to_owned());
        }
        let mut take =
            |name: &str| said.remove(name).unwrap_or_else(|| panic!("no line for {name}"));
        let url = take("ready");
        assert_eq!(take("description"), format!("{url}/openapi.json"));
        Self { child, url, portal: take("PORTAL"), auditor: take("AUDITOR") }
    }

    /// Sends a PUT request as an administrator.
    async fn put(&self, path: &str, body: &Value) -> Answer {
        let client = reqwest::Client::new();
        let admin = json!({"tenant": "acme", "email": "it@acme.example", "scope": "audit:read audit:admin"});
        let token =
            send(client.post(format!("{}/dev/token", self.url)).json(&admin)).await.body["access_token"].clone();
        let put = client.put(format!("{}{path}", self.url)).bearer_auth(token.as_str().unwrap());
        send(put.json(body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        send(reqwest::Client::new().get(format!("{}{path}", self.url)).bearer_auth(&self.auditor))
            .await
    }
}

fn batch(number: usize) -> Vec<Value> {
    let at = seconds_ago(100);
    (0..40)
        .map(|place| {
            json!({
                "id": format!("load-{number:04}-{place:02}"), "action": "user.logged_in", "occurred_at": at,
                "actor": {"type": "user", "email": "a@acme.example"}
            })
        })
        .collect()
}

#[tokio::test]
async fn the_program_reports_readiness_and_stops_cleanly_on_a_signal() {
    let data = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start(data.path()).await;
        assert_eq!(program.get("/v1/me").await.status, 200);
        let id = program.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
        assert!(program.child.wait().await.unwrap().success(), "{signal}");
    }
}

/// The address of a webhook permits writing to the channel, and many people read logs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_printed_without_webhook_addresses() {
    const PATH: &str = "/services/T0SECRET?sig=SIGSECRET";
    let webhooks = Webhooks::start().await;
    webhooks.reply(PATH, [Reply::status(500), Reply::Status(404, None, PATH)]);
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    let stdio = |name: &str| Stdio::from(std::fs::File::create(file(name)).unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_one-machine"))
        .args(["--port", "0", "--memory"])
        .env("JIT_AUDIT_SECRET_HOOK", format!("{}{PATH}", webhooks.url))
        .env("JIT_AUDIT_SECRET_GONE", format!("http://localhost:1{PATH}"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
        .stdout(stdio("out"))
        .stderr(stdio("err"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let url = until("the program is ready", async || {
        Some(read("out").lines().find_map(|line| line.strip_prefix("ready "))?.to_owned())
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin =
        json!({"tenant": "acme", "email": "it@acme.example", "scope": "audit:read audit:admin"});
    let token =
        send(client.post(format!("{url}/dev/token")).json(&admin)).await.body["access_token"]
            .clone();
    let token = token.as_str().unwrap();
    let slack = |id: &str, secret: &str| json!({"id": id, "kind": "slack", "url": format!("env:JIT_AUDIT_SECRET_{secret}")});
    let channels =
        json!([slack("hook", "HOOK"), slack("gone", "GONE"), {"id": "topic", "kind": "sns"}]);
    let put = client
        .put(format!("{url}/v1/settings"))
        .bearer_auth(token)
        .json(&json!({ "alerts": channels }));
    assert_eq!(send(put).await.status, 200);
    let mut told = Vec::new();
    for (channel, state, attempts) in
        [("hook", "failed", 2), ("gone", "waiting", 1), ("topic", "sent", 1)]
    {
        let test = client
            .post(format!("{url}/v1/alerts/test"))
            .bearer_auth(token)
            .json(&json!({ "channel": channel }));
        let location = send(test).await.header("location").to_owned();
        let alert = until(format!("the alert to {channel} is {state}"), async || {
            let alert = send(client.get(format!("{url}{location}")).bearer_auth(token)).await;
            (alert.body["state"] == state && alert.body["attempts"] == attempts).then_some(alert)
        })
        .await;
        told.push(alert.text);
    }
    child.kill().await.unwrap();
    let (out, err) = (read("out"), read("err"));
    let line =
        out.lines().find_map(|line| line.strip_prefix("alert ")).unwrap_or_else(|| panic!("{out}"));
    let line: Value = serde_json::from_str(line).unwrap();
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .starts_with("Test message of Jit Audit to channel topic of acme"),
        "{line}"
    );
    assert!(err.contains("to hook was given up: the webhook responded with 404"), "{err}");
    assert!(err.contains("to gone will be tried again: the webhook did not respond"), "{err}");
    let authority = webhooks.url.strip_prefix("http://").unwrap();
    for part in ["T0SECRET", "SIGSECRET", authority, "localhost:1"] {
        assert!(!err.contains(part) && !out.contains(part), "{part} is told: {err}");
        assert!(told.iter().all(|text| !text.contains(part)), "{part} is told: {told:?}");
    }
}

/// The program is killed while it holds the leases of windows: before the directory disables the account, after it does so without a
/// response, and before the verification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_claim_and_disable_ends_every_window_once() {
    let data = tempfile::tempdir().unwrap();
    let directory = Directory::start().await;
    let names = ["msp-1", "msp-2", "msp-3"];
    let accounts = names.map(|name| directory.add(name));
    let mut program = Program::start(data.path()).await;
    let application = json!({"name": "App", "accounts": ["msp-*"], "directory": {
        "kind": "scim", "base_url": format!("{}/scim", directory.url), "token": "env:JIT_AUDIT_SECRET_DIRECTORY"}});
    let client = reqwest::Client::new();
    assert_eq!(program.put("/v1/applications/app", &application).await.status, 201);
    directory.fail([
        ("PATCH", Fault::Hang),
        ("GET /scim/Users/", Fault::Hang),
        ("GET /scim/Users", Fault::Hang),
    ]);
    let mut windows = Vec::new();
    for name in names {
        let event = json!({"id": name, "action": "entra.account.requested", "occurred_at": seconds_ago(0), "window": {"duration": "PT3S"},
            "actor": {"type": "user", "email": "a@acme.example"}, "target": {"name": "App"}, "account": {"name": name}});
        let post = client
            .post(format!("{}/v1/events", program.url))
            .bearer_auth(&program.portal)
            .json(&event);
        let answer = send(post).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        windows.push(answer.body["window"]["id"].as_str().unwrap().to_owned());
    }
    // One of them may belong to the reconciliation at the start of the program.
    until("three requests hang", async || (directory.hanging() == 3).then_some(())).await;
    program.child.kill().await.unwrap();

    let program = Program::start(data.path()).await;
    for window in &windows {
        until(format!("window {window} is closed"), async || {
            let answer = program.get(&format!("/v1/windows/{window}")).await;
            (answer.body["state"] == "closed").then_some(())
        })
        .await;
    }
    assert_eq!(accounts.each_ref().map(|id| directory.is_enabled(id)), [Some(false); 3]);
    for action in ["entra.account.disabled", "revocation.verified"] {
        let listed =
            program.get(&format!("/v1/events?filter=action%20eq%20%22{action}%22")).await.body;
        let mut told: Vec<_> = listed["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["account"]["name"].as_str().unwrap())
            .collect();
        told.sort_unstable();
        assert_eq!(told, names, "{action}, once each");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_during_a_stream_resends_only_the_batch_in_progress() {
    let data = tempfile::tempdir().unwrap();
    let receiver = Webhooks::start().await;
    // The third batch gets no response, so the program does not know whether it was accepted.
    receiver.reply("/siem", [Reply::status(200), Reply::status(200), Reply::Silence]);
    let mut program = Program::start(data.path()).await;
    let client = reqwest::Client::new();
    for number in 0..50 {
        let post = client.post(format!("{}/v1/events", program.url)).bearer_auth(&program.portal);
        let answer = send(post.json(&json!({"events": batch(number)}))).await;
        assert_eq!(answer.body["created"], 40, "{}", answer.text);
    }
    let ids = |events: &Value| -> Vec<String> {
        events["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut feed, mut after) = (Vec::new(), String::new());
    while feed.len() < 2000 {
        let page = program.get(&format!("/v1/feed?limit=1000{after}")).await.body;
        feed.extend(ids(&page));
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
    let target = json!({"kind": "https", "url": format!("{}/siem", receiver.url), "secrets": ["env:JIT_AUDIT_SECRET_SIEM"]});
    assert_eq!(
        program.put("/v1/streams/siem", &json!({"target": target, "from": "oldest"})).await.status,
        201
    );
    let batches = || {
        receiver.received("/siem").iter().map(|received| ids(&received.body)).collect::<Vec<_>>()
    };
    until("the third batch is sent", async || (batches().len() == 3).then_some(())).await;
    program.child.kill().await.unwrap();

    receiver.reply("/siem", [Reply::status(200)]);
    let program = Program::start(data.path()).await;
    until("all events are received", async || {
        let stream = program.get("/v1/streams/siem").await.body;
        (stream["sent"] == 2000).then_some(())
    })
    .await;
    let batches = batches();
    let taken: Vec<_> = batches
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != 2)
        .flat_map(|(_, ids)| ids.clone())
        .collect();
    assert_eq!(taken, feed, "in order and once, except for the unanswered batch");
    assert_eq!(batches[2], feed[1000..1500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_no_acknowledged_event_and_stores_none_twice() {
    let data = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<String, Value> = BTreeMap::new();
    for round in 0..3 {
        let mut program = Program::start(data.path()).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let answered = answered.clone();
                let (url, portal) = (format!("{}/v1/events", program.url), program.portal.clone());
                tokio::spawn(async move {
                    let client = reqwest::Client::new();
                    let mut stored = Vec::new();
                    for number in 0.. {
                        let events = batch(round * 1000 + writer * 200 + number);
                        let request = client
                            .post(&url)
                            .bearer_auth(&portal)
                            .json(&json!({ "events": events }));
                        // The connection breaks when the program is killed. Events without a response are not acknowledged.
                        let Ok(response) = request.send().await else { break };
                        let Ok(answer) = response.json::<Value>().await else { break };
                        for (event, result) in
                            events.into_iter().zip(answer["results"].as_array().unwrap())
                        {
                            if result["status"] == "created" {
                                stored.push(event);
                            }
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    stored
                })
            })
            .collect();
        // Kill the program during requests, as soon as some events are acknowledged.
        until("some events are acknowledged", async || {
            (answered.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
        program.child.kill().await.unwrap();
        for writer in writers {
            for event in writer.await.unwrap() {
                let before = acknowledged.insert(event["id"].as_str().unwrap().to_owned(), event);
                assert_eq!(before, None, "created twice");
            }
        }
    }
    assert!(!acknowledged.is_empty());

    let program = Program::start(data.path()).await;
    let mut listed: BTreeMap<String, Value> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = program.get(&format!("/v1/events?limit=1000{cursor}")).await.body;
        for event in page["events"].as_array().unwrap() {
            let before = listed.insert(event["id"].as_str().unwrap().to_owned(), event.clone());
            assert_eq!(before, None, "listed twice");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for (id, event) in &acknowledged {
        let there = listed.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
        assert_eq!(
            (&there["occurred_at"], &there["actor"]),
            (&event["occurred_at"], &event["actor"])
        );
    }
}

/// The names of all files of the embedded S3, including those of uploads.
fn kept(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        // A folder may be deleted during the listing.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => directories.push(path),
                path => names.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    names
}

/// The program is killed at every stage of an export: before its worker starts, while parts are uploaded or combined, between two
/// files, and before and after the manifest. In the end there is one complete file and no remains of killed runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_ten_points_of_an_export_leaves_one_complete_file() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--set", "ExportLease=2"];
    let mut program = Program::start_with(data.path(), &arguments).await;
    let client = reqwest::Client::new();
    let text = "0123456789abcdef".repeat(600);
    let events: Vec<Value> = (0..1500)
        .map(|n| {
            json!({
                "id": format!("row-{n:04}"), "action": "user.logged_in", "occurred_at": seconds_ago(5000 - n), "details": {"text": text},
                "actor": {"type": "user", "email": "a@acme.example"}
            })
        })
        .collect();
    for events in events.chunks(300) {
        let post = client.post(format!("{}/v1/events", program.url)).bearer_auth(&program.portal);
        assert_eq!(
            send(post.json(&json!({ "events": events }))).await.body["created"],
            events.len()
        );
    }
    let post = client.post(format!("{}/v1/exports", program.url)).bearer_auth(&program.auditor);
    let begun = send(post.json(&json!({"jsonl": true}))).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let path = format!("/v1/exports/{}", begun.body["id"].as_str().unwrap());

    // Stages are recognised by new files, because files of killed runs are kept until the job is done.
    let root = data.path().join("s3");
    let points = [
        ("the job is stored", "", 0),
        ("its worker has it", "", 0),
        ("an upload is begun", ".upload-", 1),
        ("a part is uploaded", ".part-1", 1),
        ("both have a part", ".part-1", 2),
        ("one has a second part", ".part-2", 1),
        ("one has a third part", ".part-3", 1),
        ("the table is complete", "/1.csv", 1),
        ("the twin is complete", "/1.jsonl", 1),
        ("the manifest is stored", "/manifest.json", 1),
    ];
    let mut reached = 0;
    for (point, name, count) in points {
        let before: HashSet<String> = kept(&root).into_iter().collect();
        let begun = std::time::Instant::now();
        loop {
            let new =
                kept(&root).iter().filter(|it| it.contains(name) && !before.contains(*it)).count();
            let has_worker = || async { program.get(&path).await.body["state"] == "running" };
            if new >= count && (point != "its worker has it" || has_worker().await) {
                reached += 1;
                break;
            }
            // A run killed at one of the last stages may have finished the job.
            if program.get(&path).await.body["state"] == "ready" {
                eprintln!("the export was ready before {point:?}");
                break;
            }
            assert!(begun.elapsed().as_secs() < 120, "timed out waiting until {point}");
        }
        program.child.kill().await.unwrap();
        program = Program::start_with(data.path(), &arguments).await;
    }
    assert!(reached >= 9, "only {reached} points");
    let job = until("the export is ready", async || {
        let job = program.get(&path).await.body;
        (job["state"] == "ready").then_some(job)
    })
    .await;
    assert_eq!(job["rows"], 1500);
    let links =
        send(client.post(format!("{}{path}/links", program.url)).bearer_auth(&program.auditor))
            .await
            .body;
    for file in links["files"].as_array().unwrap() {
        let content =
            client.get(file["url"].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
        let sum = <sha2::Sha256 as sha2::Digest>::digest(&content);
        assert_eq!(file["sha256"], shared::domain::trail::event::Digest(sum.into()).to_string());
        let ids: Vec<String> = match file["format"].as_str().unwrap() {
            "csv" => {
                let mut reader = csv::Reader::from_reader(content.as_ref());
                reader.records().map(|row| row.unwrap()[0].to_owned()).collect()
            }
            _ => String::from_utf8(content.to_vec())
                .unwrap()
                .lines()
                .map(|line| {
                    serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
                })
                .collect(),
        };
        assert_eq!(ids, (0..1500).rev().map(|n| format!("row-{n:04}")).collect::<Vec<_>>());
    }
    until("only the files and the manifest are left", async || {
        let names = kept(&root);
        let files = names.iter().filter(|name| name.starts_with("exportbucket/")).count();
        let of_uploads = names.iter().filter(|name| name.contains("upload")).count();
        (files == 3 && of_uploads == 0).then_some(())
    })
    .await;
    let told = program
        .get("/v1/events?include_service=true&filter=action%20sw%20%22export.%22")
        .await
        .body;
    let told: Vec<_> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["export.link_minted", "export.ready", "export.requested"]);
}
