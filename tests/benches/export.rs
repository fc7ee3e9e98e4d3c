//! Exports: end to end, compared with the SDK reading the same items and discarding them, and with boto3 and Python's csv. Also the cost of
//! the guard against formulas compared with the `csv` crate alone, and the memory of a worker.

use shared::platform::clock;
use std::{process::Command, time::Duration};

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::Client;
use aws_types::{SdkConfig, service_config::ServiceConfigKey};
use futures::{StreamExt, stream};
use lambda_runtime::LambdaEvent;
use local::{Functions, Options};
use serde_json::{Value, json};
use shared::{
    domain::{
        tables::{csv_writer::Row, event_columns::Layout},
        time::{time_zone::TimeZone, timestamp::Instant},
        trail::event::{Recorded, Tenant},
    },
    storage::{event_item, keys},
};
use tests::{Stack, options};
use tokio::{net::TcpListener, process::Command as Spawn};

use crate::{
    Scale,
    measure::{Report, in_turn, median, shown},
    pages::fill,
    sample, start,
    text::drain,
};

/// The number of days over which events are spread.
const DAYS: u64 = 30;

pub async fn end_to_end(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    let count = scale.of(100_000, 500);
    fill(&stack, "acme", count, DAYS).await;
    let client = Client::new(stack.aws());
    let table = stack.running.table("EventsTable").unwrap();
    let tenant = Tenant::new("acme").unwrap();
    let auditor = stack.reader("acme");
    let today = clock::now().day_number();
    let days = || (today - DAYS as i64 - 1..=today).rev().map(|day| keys::day(&tenant, day));

    // From the time it may read until its files are complete.
    let mut ours = Vec::new();
    for _ in 0..=scale.of(5, 0) {
        let job = stack.exported(&auditor, &json!({})).await;
        assert_eq!(job["rows"], count, "{job}");
        let at = |name: &str| job[name].as_str().unwrap().parse::<Instant>().unwrap().millis();
        ours.push((at("ended_at") - at("snapshot")) as f64 / 1000.0 - 1.0);
    }
    let ours = median(&mut ours);
    let one = async |_| {
        let mut read = 0;
        for day in days() {
            read += drain(&client, table, day).await;
        }
        assert_eq!(read, count);
    };
    let four = async |_| {
        let reads: Vec<usize> =
            stream::iter(days().map(|day| drain(&client, table, day))).buffered(4).collect().await;
        assert_eq!(reads.iter().sum::<usize>(), count);
    };
    let (one, four) = in_turn(scale.of(5, 1), one, four).await;
    let what = format!("export of {count} events, end to end");
    report.compare(&what, shown(ours), format!("raw {}", shown(one)), one / ours, "≥ 1.0 x raw");
    report.compare(
        &what,
        shown(ours),
        format!("raw, four days at a time {}", shown(four)),
        four / ours,
        "",
    );
    let boto3 = boto3(&stack, days().collect(), count).await;
    report.compare(
        &what,
        shown(ours),
        format!("boto3 + csv {}", shown(boto3)),
        boto3 / ours,
        "≥ 20 x boto3 + csv",
    );
    stack.stop().await;
}

/// The seconds for reading the same events with boto3 and writing them with Python's csv.
async fn boto3(stack: &Stack, days: Vec<String>, count: usize) -> f64 {
    let credentials =
        stack.aws().credentials_provider().unwrap().provide_credentials().await.unwrap();
    let days: Vec<_> = days.iter().map(|day| keys::in_lane(day, keys::Lane::Shown)).collect();
    let mut python = Command::new(start::python());
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/export.py"));
    python.args([
        stack.running.engine_url(),
        stack.running.table("EventsTable").unwrap(),
        &json!(days).to_string(),
    ]);
    python
        .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key());
    let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (rows, seconds) = text
        .trim()
        .split_once(' ')
        .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(rows.parse::<usize>().unwrap(), count);
    seconds.parse().unwrap()
}

/// The cost of the guard against formulas: rows of the same cells, with the guard and with the `csv` crate alone.
pub async fn writer(scale: Scale, report: &mut Report) {
    let count = scale.of(20_000, 100);
    let (now, utc) = (clock::now(), TimeZone::utc());
    let layout = Layout::new(&[], utc, now, now).unwrap();
    let mut table = Vec::new();
    for item in sample::items("acme", &sample::list("w", count)) {
        let attributes: Vec<_> =
            item.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let recorded: Recorded = event_item::read(attributes.into()).unwrap();
        layout.write_row(&recorded, &mut table);
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_slice());
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let bytes = table.len();
    let mut out = Vec::with_capacity(2 * bytes);
    let ours = async |_| {
        out.clear();
        for cells in &rows {
            let mut row = Row::begin(&mut out);
            cells.iter().for_each(|cell| row.text(cell));
            row.end();
        }
        assert_eq!(std::hint::black_box(&out).len(), bytes);
    };
    let mut room = Vec::with_capacity(2 * bytes);
    let theirs = async |_| {
        room.clear();
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut room);
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.flush().unwrap();
        drop(writer);
        assert_eq!(std::hint::black_box(&room).len(), bytes);
    };
    let (ours, theirs) = in_turn(scale.of(21, 1), ours, theirs).await;
    let rate = |seconds: f64| format!("{:.0} MB/s", bytes as f64 / seconds / 1e6);
    report.compare(
        "guarded CSV writer",
        rate(ours),
        format!("csv crate, no guard {}", rate(theirs)),
        theirs / ours,
        "",
    );
}

/// The memory of the deployed worker by number of rows.
pub async fn memory(scale: Scale, report: &mut Report) {
    // The stack stores jobs but does not process them.
    let functions = Functions::all().add(
        "export",
        |variables, aws| Ok(export::Function::from(export::Export::new(variables, aws)?)),
        |function, event: LambdaEvent<Value>| async move {
            match event.payload.get("requestContext").is_some() {
                true => export::handle(function, event).await,
                false => Ok(Value::Null),
            }
        },
    );
    let stack = Stack::with(Options { functions, ..options() }).await;
    let auditor = stack.reader("acme");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let mut there = 0;
    for rows in scale.of(vec![10_000, 100_000, 1_000_000], vec![100, 300]) {
        add(&stack, there, rows).await;
        there = rows;
        for jsonl in [false, true] {
            let begun = stack.post(&auditor, "/v1/exports", &json!({"jsonl": jsonl})).await;
            assert_eq!(begun.status, 202, "{}", begun.text);
            let id = begun.body["id"].as_str().unwrap();
            let credentials =
                stack.aws().credentials_provider().unwrap().provide_credentials().await.unwrap();
            let mut worker = Spawn::new(start::binary(scale, "export"));
            worker.envs([
                ("EVENTS_TABLE", stack.running.table("EventsTable").unwrap()),
                ("STATE_TABLE", stack.running.table("StateTable").unwrap()),
                ("EXPORT_BUCKET", &stack.running.buckets()[0]),
                ("EXPORT_DAYS", "7"),
                ("EXPORT_ROWS", "1000000"),
                ("EXPORT_LEASE_SECONDS", "30"),
                ("INDEX_LAG_SECONDS", "0"),
                ("FEED_LAG_SECONDS", "1"),
                ("AWS_ENDPOINT_URL_S3", &url_of_s3(stack.aws())),
                ("AWS_ACCESS_KEY_ID", credentials.access_key_id()),
                ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key()),
            ]);
            let mut worker = start::spawn(worker, &api, stack.running.engine_url());
            let mut invoker = start::Invoker::of(&listener, &mut worker).await;
            invoker.request().await;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let (begun, used) = (std::time::Instant::now(), start::cpu_seconds(&worker));
            let answer =
                invoker.invoke(&json!({"export": {"tenant": "acme", "id": id}}).to_string()).await;
            let (seconds, used) =
                (begun.elapsed().as_secs_f64(), start::cpu_seconds(&worker) - used);
            assert!(answer.contains("Ready"), "{answer}");
            let status =
                std::fs::read_to_string(format!("/proc/{}/status", worker.id().unwrap())).unwrap();
            let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let most: f64 = most.trim().trim_end_matches(" kB").parse().unwrap();
            worker.kill().await.unwrap();
            let job = stack.ended(&auditor, id).await;
            assert_eq!((&job["state"], &job["rows"]), (&json!("ready"), &json!(rows)), "{job}");
            let what = format!(
                "worker's memory at {rows} rows{}",
                if jsonl { ", with the twin" } else { "" }
            );
            let megabytes = job["bytes"].as_f64().unwrap() / 1e6;
            report.note(
                &what,
                format!(
                    "{:.1} MiB; {megabytes:.0} MB in {}, own CPU a row {}",
                    most / 1024.0,
                    shown(seconds),
                    shown(used / rows as f64)
                ),
                "the same; ≤ 64 MiB",
            );
        }
    }
    stack.stop().await;
}

/// Adds events until `to` exist.
async fn add(stack: &Stack, from: usize, to: usize) {
    let portal = stack.writer("acme");
    let requests = (from..to).step_by(250).map(|start| {
        let event =
            |n: usize| sample::event(&format!("m-{n}"), n, 60 + (n as u64 * 97) % (DAYS * 86_400));
        let list = json!({"events": (start..to.min(start + 250)).map(event).collect::<Vec<_>>()});
        let portal = &portal;
        async move {
            let answer = stack.post(portal, "/v1/events", &list).await;
            assert_eq!(
                answer.body["created"],
                list["events"].as_array().unwrap().len(),
                "{}",
                answer.text
            );
        }
    });
    stream::iter(requests).buffer_unordered(4).collect::<Vec<()>>().await;
}

fn url_of_s3(aws: &SdkConfig) -> String {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .unwrap();
    aws.service_config().unwrap().load_config(key).unwrap()
}
