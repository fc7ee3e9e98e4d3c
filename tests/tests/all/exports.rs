//! Exports: the files hold the same rows as the listing, complete, once and in order. Files are read only through recorded links.

use shared::platform::clock;
use std::{
    io::Read as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lambda_runtime::LambdaEvent;
use local::{Functions, Options};
use serde_json::{Value, json};
use shared::{domain::tables::event_columns::COLUMNS, platform::clock::Clock};
use tests::{Stack, TEMPLATE, options, seconds_ago, until};
use tokio::process::Command;

/// A log-in event.
fn login(id: &str, at: &str, email: &str) -> Value {
    json!({"id": id, "action": "user.logged_in", "occurred_at": at, "actor": {"type": "user", "email": email}})
}

async fn write(stack: &Stack, tenant: &str, events: &[Value]) {
    for events in events.chunks(250) {
        let posted =
            stack.post(&stack.writer(tenant), "/v1/events", &json!({ "events": events })).await;
        assert_eq!(posted.body["created"], events.len(), "{}", posted.text);
    }
}

/// The ids of all events that match the query, in listing order.
async fn listed(stack: &Stack, token: &str, query: &Value) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut body = query.clone();
        body["limit"] = 1000.into();
        if !cursor.is_null() {
            body["cursor"] = cursor;
        }
        let page = stack.post(token, "/v1/events/search", &body).await.body;
        ids.extend(
            page["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        cursor = page["next"].clone();
        if cursor.is_null() {
            return ids;
        }
    }
}

fn records(csv: &[u8]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
    let mut rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
    (rows.next().unwrap(), rows.collect())
}

/// Reads the file with Python's CSV reader, as an independent implementation.
async fn read_by_python(path: &Path) -> Vec<Vec<String>> {
    const READ: &str = "import csv, json, sys\nwith open(sys.argv[1], newline='', encoding='utf-8') as file:\n    json.dump(list(csv.reader(file, strict=True)), sys.stdout)";
    let output = Command::new("python3").args(["-c", READ]).arg(path).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The recorded events about exports with their actions, oldest first.
async fn told(stack: &Stack, token: &str) -> Vec<(String, Value)> {
    let query = json!({"include_service": true, "order": "asc", "filter": "action sw \"export.\""});
    let page = stack.post(token, "/v1/events/search", &query).await;
    let events = page.body["events"].as_array().unwrap_or_else(|| panic!("{}", page.text)).iter();
    events.map(|event| (event["action"].as_str().unwrap().to_owned(), event.clone())).collect()
}

#[tokio::test]
async fn an_export_holds_the_same_rows_as_the_listing() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let mut events: Vec<_> = (0..30)
        .map(|n| login(&format!("e-{n:02}"), &seconds_ago(60 * n), "Zoë@acme.example"))
        .collect();
    events.extend(
        (0..5).map(|n| login(&format!("other-{n}"), &seconds_ago(60 * n + 30), "x@acme.example")),
    );
    write(&stack, "acme", &events).await;
    write(&stack, "globex", &[login("foreign", &seconds_ago(5), "zoë@acme.example")]).await;

    for query in [
        json!({}),
        json!({"filter": "actor.email eq \"ZOË@acme.example\""}),
        json!({"q": "x@acme"}),
        json!({"since": seconds_ago(60 * 20), "until": seconds_ago(60 * 10 - 1)}),
        json!({"filter": "actor.email eq \"nobody\""}),
        json!({"include_service": true, "filter": "action ne \"audit.searched\""}),
    ] {
        let job = stack.exported(&token, &query).await;
        assert_eq!(job["state"], "ready", "{job}");
        let snapshot = job["snapshot"].as_str().unwrap();
        let mut by_then = query.clone();
        let recorded = format!("recorded_at le \"{snapshot}\"");
        by_then["filter"] = match query["filter"].as_str() {
            Some(filter) => format!("({filter}) and {recorded}"),
            None => recorded,
        }
        .into();
        let expected = listed(&stack, &token, &by_then).await;
        let files = stack.files(&token, &job).await;
        let (head, rows) = records(&files["audit-trail-0001.csv"]);
        assert_eq!(head[..3], ["Event ID", "Log Timestamp (UTC)", "Recorded Timestamp (UTC)"]);
        let ids: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(job["rows"], expected.len());
        assert!(job["progress"] == 1.0 && job["files"][0]["rows"] == expected.len());
    }
    // With `include_filters: false`, the export ignores all filters.
    let job = stack
        .exported(
            &token,
            &json!({"include_filters": false, "since": seconds_ago(1), "filter": "id eq \"x\"", "q": "x"}),
        )
        .await;
    assert_eq!(job["rows"], 35);
}

/// Checks columns, the guard against formulas, the JSONL file and times, with one event that fills every field with hostile text.
#[tokio::test]
async fn hostile_text_is_neutralised_in_csv_and_unchanged_in_jsonl() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let hostile = "=cmd|' /C calc'!A0\r\n\"quoted\", \u{202e}right to left\u{200f} 🛡\u{7}\u{1b}[31m\u{85}\ttab";
    let nasty = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        "＝1",
        "＋1",
        "－1",
        "＠1",
        "﹦1",
        "  =1",
        "\u{a0}\u{200b}+1",
        "plain, \"so\"",
        "a\u{0001}b",
        "x;=cmd|' /C calc'!A0;y",
    ];
    let mut events: Vec<_> = nasty
        .iter()
        .enumerate()
        .map(|(n, text)| {
            // Two seconds apart, because times have whole seconds and the order must not depend on rounding.
            let at = seconds_ago(100 + 2 * n as u64);
            let mut event = login(&format!("nasty-{n:02}"), &at, "a@acme.example");
            event["justification"] = json!(text);
            event["actor"]["name"] = json!(text);
            event
        })
        .collect();
    events.push(json!({
        "id": "whole", "action": "session.approved", "occurred_at": "2026-10-01T10:00:00.250+02:00", "outcome": "success",
        "actor": {"type": "user", "id": "u1", "name": "john", "email": "john@acme.example"}, "subject": {"name": "mark"},
        "account": {"name": "MSP-ALEX"}, "target": {"type": "database", "id": "db-1", "name": "=HYPERLINK(\"x\")"},
        "session": {"id": "68", "scope": "session", "roles": ["role1", "role3"], "starts_at": "2026-10-01T10:00:00Z", "ends_at": "2026-10-01T14:00:00Z"},
        "request_id": "r-1", "justification": hostile, "reason": "because", "ticket": {"id": "KAN-1", "url": "https://t.example/1"},
        "approver": {"name": "admin"}, "policy": {"id": "p", "version": "3"}, "source": {"ip": "198.51.100.7"}, "details": {"a": "=1\n2", "b": [1.5, null]}
    }));
    write(&stack, "acme", &events).await;
    let job = stack
        .exported(&token, &json!({"jsonl": true, "filter": "id sw \"nasty\" or id eq \"whole\""}))
        .await;
    let files = stack.files(&token, &job).await;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.csv");
    std::fs::write(&path, &files["audit-trail-0001.csv"]).unwrap();
    let rows = read_by_python(&path).await;
    assert_eq!(rows.len(), 1 + events.len());
    assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
    let column = |name: &str| {
        rows[0]
            .iter()
            .position(|other| other == name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", rows[0]))
    };
    for row in &rows[1..] {
        for cell in row {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']),
                "{cell:?}"
            );
            assert!(
                !cell.chars().any(|it| it.is_control() && !matches!(it, '\t' | '\r' | '\n')),
                "{cell:?}"
            );
        }
    }
    for (row, text) in rows[1..].iter().zip(nasty) {
        let guarded = match text.chars().next() {
            Some('x') => text.replace(";=", ";'="),
            Some('p' | 'a') => text.replace('\u{1}', "\\u0001"),
            _ => format!("'{text}"),
        };
        assert_eq!(row[column("Justification")], guarded);
    }
    let whole = rows.last().unwrap();
    let digest = stack.get(&token, "/v1/events/whole").await.body["digest"].clone();
    for (name, expected) in [
        ("Event ID", "whole"),
        ("Log Timestamp (UTC)", "2026-10-01T08:00:00.250+00:00"),
        ("Action", "session.approved"),
        ("Label", "APPROVED"),
        ("Category", "Session"),
        ("State", "APPROVED"),
        ("Request Status", ""),
        ("Outcome", "success"),
        ("Reason", "because"),
        ("Actor Type", "user"),
        ("Actor", "john@acme.example"),
        ("Actor Name", "john"),
        ("Actor Email", "john@acme.example"),
        ("Subject", "mark"),
        ("Account", "MSP-ALEX"),
        ("Target Type", "database"),
        ("Target ID", "db-1"),
        ("Target", "'=HYPERLINK(\"x\")"),
        ("Session ID", "68"),
        ("Request ID", "r-1"),
        ("Scope", "session"),
        ("Roles", "role1, role3"),
        ("Session Username", "TBD"),
        ("Session Start Timestamp (UTC)", "2026-10-01T10:00:00.000+00:00"),
        ("Session End Timestamp (UTC)", "2026-10-01T14:00:00.000+00:00"),
        ("Window End (UTC)", ""),
        (
            "Justification",
            "'=cmd|' /C calc'!A0\r\n\"quoted\", \u{202e}right to left\u{200f} 🛡\\u0007\\u001B[31m\\u0085\ttab",
        ),
        ("Approver", "admin"),
        ("Policy", "p (3)"),
        ("Ticket", "KAN-1 https://t.example/1"),
        ("Source IP", "198.51.100.7"),
        ("Digest", digest.as_str().unwrap()),
        ("Details", r#"{"a":"=1\n2","b":[1.5,null]}"#),
    ] {
        assert_eq!(whole[column(name)], expected, "{name}");
    }
    // The JSONL file holds every event as the API returns it.
    let twin = String::from_utf8(files["audit-trail-0001.jsonl"].clone()).unwrap();
    let twin: Vec<Value> = twin.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(twin.len(), events.len());
    for event in &twin {
        let id = event["id"].as_str().unwrap();
        assert_eq!(*event, stack.get(&token, &format!("/v1/events/{id}")).await.body);
    }
    assert_eq!(twin.last().unwrap()["justification"], hostile);
}

/// The rows of the table of columns in the guide: name and paths.
fn columns_of_the_guide() -> Vec<(String, Vec<String>)> {
    let guide = include_str!("../../../docs/exports.md");
    let (_, section) = guide.split_once("## Columns").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        let ticked = |cell: &str| {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<String>>()
        };
        let paths = if cells[2].contains("none") { Vec::new() } else { ticked(cells[2]) };
        (ticked(cells[1]).remove(0), paths)
    })
    .collect()
}

#[tokio::test]
async fn a_file_has_the_columns_of_the_guide_in_that_order() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let mut named = login("named", &seconds_ago(5), "alex@nikpot.com");
    named["actor"]["name"] = json!("Alex Kim");
    let mut robot = login("robot", &seconds_ago(9), "unused");
    robot["actor"] = json!({"type": "scm", "name": "octocat"});
    write(&stack, "acme", &[named, robot]).await;
    let job = stack.exported(&token, &json!({})).await;
    let file = stack.files(&token, &job).await.remove("audit-trail-0001.csv").unwrap();
    let (head, rows) = records(&file);
    let guide = columns_of_the_guide();
    let names: Vec<_> = guide.iter().map(|(name, _)| name.replace("(zone)", "(UTC)")).collect();
    assert_eq!(head, names);
    for (column, (_, paths)) in COLUMNS.iter().zip(&guide) {
        let own: Vec<_> = column.fields.iter().map(|field| field.path()).collect();
        assert_eq!(own, *paths, "{column:?}");
    }
    let shown = |row: &Vec<String>| {
        ["Actor", "Actor Name", "Actor Email"]
            .map(|name| row[head.iter().position(|it| it == name).unwrap()].clone())
    };
    assert_eq!(shown(&rows[1]), ["octocat (scm)", "octocat", ""]);
    assert_eq!(shown(&rows[0]), ["alex@nikpot.com", "Alex Kim", "alex@nikpot.com"]);
    // The same names select columns, also in a saved search.
    let some = json!({"columns": ["Actor Name", "Actor Email"]});
    let job = stack.exported(&token, &some).await;
    let file = stack.files(&token, &job).await.remove("audit-trail-0001.csv").unwrap();
    assert_eq!(records(&file).0, ["Actor Name", "Actor Email"]);
    let saved = json!({"name": "Names", "columns": ["Actor Name"]});
    assert_eq!(stack.put(&token, "/v1/saved/names", &saved).await.status, 201);
}

/// LibreOffice computes no cell, and saves the same cell contents that it opened.
#[tokio::test]
async fn an_exported_file_opens_in_libreoffice() {
    let stack = Stack::start().await;
    local::demo::load(&stack.running).await.unwrap();
    let mut event = login("hostile", &seconds_ago(5), "a@acme.example");
    event["justification"] = json!("=1+1");
    event["reason"] = json!("two\r\nlines, \"quoted\"; 東京");
    write(&stack, "acme", &[event]).await;
    let token = stack.reader("acme");
    for profile in ["plain", "excel"] {
        let job = stack
            .exported(
                &token,
                &json!({"profile": profile, "file_name": profile, "tz": "Europe/Paris"}),
            )
            .await;
        let content =
            stack.files(&token, &job).await.remove(&format!("{profile}-0001.csv")).unwrap();
        assert_eq!(content.starts_with(b"\xef\xbb\xbf"), profile == "excel");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in.csv");
        std::fs::write(&path, &content).unwrap();
        // Separator, quote and UTF-8, for import and export.
        let output = Command::new("soffice")
            .arg(format!("-env:UserInstallation=file://{}/profile", directory.path().display()))
            .args(["--headless", "--infilter=CSV:44,34,76,1", "--convert-to", "xlsx", "--outdir"])
            .args([directory.path(), &path])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let back = directory.path().join("back");
        let output = Command::new("soffice")
            .arg(format!("-env:UserInstallation=file://{}/profile", directory.path().display()))
            .args([
                "--headless",
                "--convert-to",
                "csv:Text - txt - csv (StarCalc):44,34,76,1",
                "--outdir",
            ])
            .args([&back, &directory.path().join("in.xlsx")])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let converted = std::fs::read(back.join("in.csv")).unwrap();
        let strip = |bytes: &[u8]| bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).to_vec();
        let ((head, before), (head_after, after)) =
            (records(&strip(&content)), records(&strip(&converted)));
        assert_eq!(head, head_after);
        assert_eq!(before.len(), after.len());
        assert_eq!(before.len(), job["rows"].as_u64().unwrap() as usize);
        let lines = |cell: &String| cell.replace("\r\n", "\n");
        for (before, after) in before.iter().zip(&after) {
            for (place, (a, b)) in before.iter().zip(after).enumerate() {
                // LibreOffice may format a bare number in another way.
                assert!(
                    lines(a) == lines(b) || a.parse::<f64>().is_ok(),
                    "{}: {a:?} became {b:?}",
                    head[place]
                );
            }
        }
        let row = before.iter().find(|row| row[0] == "hostile").unwrap();
        assert!(row.contains(&"'=1+1".to_owned()));
    }
}

#[tokio::test]
async fn exported_times_are_in_the_zone_named_in_the_header() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let instants =
        ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z", "2026-10-20T12:00:00.123Z"];
    let events: Vec<_> = instants
        .iter()
        .map(|at| login(&at.replace([':', '.'], "-"), at, "a@acme.example"))
        .collect();
    write(&stack, "acme", &events).await;
    let cells = async |asked: Value| {
        let job = stack.exported(&token, &asked).await;
        let (head, rows) = records(stack.files(&token, &job).await.values().next().unwrap());
        (head[1].clone(), rows.into_iter().map(|row| row[1].clone()).collect::<Vec<_>>())
    };
    let october = |tz: &str| json!({"tz": tz, "since": "2026-10-01", "until": "2026-11-01"});
    for (asked, head, expected) in [
        (
            october("Europe/Paris"),
            "Log Timestamp (Europe/Paris)",
            [
                "2026-10-25T02:30:00.000+01:00",
                "2026-10-25T02:30:00.000+02:00",
                "2026-10-20T14:00:00.123+02:00",
            ]
            .as_slice(),
        ),
        (
            json!({"tz": "Europe/Paris", "since": "2026-10-01", "until": "2026-10-25T03:00:00+02:00"}),
            "Log Timestamp (UTC +2)",
            &["2026-10-25T02:30:00.000+02:00", "2026-10-20T14:00:00.123+02:00"],
        ),
        (
            json!({"tz": "Europe/Paris", "since": "2026-10-25T02:00:00+01:00", "until": "2026-11-01"}),
            "Log Timestamp (UTC +1)",
            &["2026-10-25T02:30:00.000+01:00"],
        ),
        (
            october("Asia/Kolkata"),
            "Log Timestamp (UTC +5:30)",
            &[
                "2026-10-25T07:00:00.000+05:30",
                "2026-10-25T06:00:00.000+05:30",
                "2026-10-20T17:30:00.123+05:30",
            ],
        ),
        (
            october("UTC"),
            "Log Timestamp (UTC)",
            &[
                "2026-10-25T01:30:00.000+00:00",
                "2026-10-25T00:30:00.000+00:00",
                "2026-10-20T12:00:00.123+00:00",
            ],
        ),
    ] {
        assert_eq!(
            cells(asked.clone()).await,
            (head.to_owned(), expected.iter().map(ToString::to_string).collect()),
            "{asked}"
        );
    }
    // Without a zone in the request, the zone of the tenant applies.
    let changed =
        stack.put(&stack.admin("acme"), "/v1/settings", &json!({"zone": "Asia/Kolkata"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(cells(json!({})).await.0, "Log Timestamp (UTC +5:30)");
}

#[tokio::test]
async fn files_are_split_compressed_and_checked_against_the_manifest() {
    let template = TEMPLATE.replace("MinValue: 10000", "MinValue: 100");
    let parameters = [("ExportRows".into(), "100".into())].into();
    let stack = Stack::with(Options { template, parameters, ..options() }).await;
    let token = stack.reader("acme");
    let events: Vec<_> = (0..250)
        .map(|n| login(&format!("e-{n:03}"), &seconds_ago(1000 - n), "a@acme.example"))
        .collect();
    write(&stack, "acme", &events).await;
    for gzip in [false, true] {
        let asked = json!({"gzip": gzip, "jsonl": true, "tz": "Europe/Paris", "columns": ["Event ID", "Log Timestamp"], "since": "2026-01-01"});
        let job = stack.exported(&token, &asked).await;
        assert_eq!(job["rows"], 250);
        let directory = tempfile::tempdir().unwrap();
        let links = stack.links(&token, &job).await;
        let coding = if gzip { ".gz" } else { "" };
        let mut ids = Vec::new();
        for (n, rows) in [(1, 100), (2, 100), (3, 50)] {
            for (ending, media_type) in
                [("csv", "text/csv; charset=utf-8"), ("jsonl", "application/jsonl; charset=utf-8")]
            {
                let name = format!("audit-trail-{n:04}.{ending}{coding}");
                let file = links["files"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|file| file["name"] == *name)
                    .unwrap();
                assert_eq!(file["rows"], rows);
                let (status, headers, content) = stack.fetch(&file["url"]).await;
                assert_eq!(
                    (status.as_u16(), content.len() as u64),
                    (200, file["bytes"].as_u64().unwrap())
                );
                assert_eq!(
                    headers["content-disposition"],
                    format!("attachment; filename=\"{name}\"")
                );
                assert_eq!(
                    headers["content-type"],
                    if gzip { "application/gzip" } else { media_type }
                );
                std::fs::write(directory.path().join(&name), &content).unwrap();
                let mut plain = Vec::new();
                match gzip {
                    true => flate2::read::MultiGzDecoder::new(content.as_slice())
                        .read_to_end(&mut plain)
                        .unwrap(),
                    false => plain.write(content),
                };
                if ending == "csv" {
                    let (head, cells) = records(&plain);
                    assert_eq!(
                        head,
                        ["Event ID", "Log Timestamp (Europe/Paris)"],
                        "every file has the header row"
                    );
                    ids.extend(cells.into_iter().map(|row| row[0].clone()));
                } else {
                    assert_eq!(plain.iter().filter(|byte| **byte == b'\n').count(), rows);
                }
            }
        }
        assert_eq!(ids, (0..250).rev().map(|n| format!("e-{n:03}")).collect::<Vec<_>>());
        let (_, _, manifest) = stack.fetch(&links["manifest"]["url"]).await;
        std::fs::write(directory.path().join("audit-trail-manifest.json"), &manifest).unwrap();
        // The recorded event holds the digest of the manifest.
        let sum = shared::domain::trail::event::Digest(
            <sha2::Sha256 as sha2::Digest>::digest(&manifest).into(),
        )
        .to_string();
        let ready = told(&stack, &token)
            .await
            .into_iter()
            .rfind(|(action, _)| action == "export.ready")
            .unwrap()
            .1;
        assert_eq!(
            (&ready["details"]["manifest_sha256"], &links["manifest"]["sha256"]),
            (&json!(sum), &json!(sum))
        );
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        for (name, value) in manifest.as_object().unwrap() {
            assert_eq!(links["manifest"][name], *value, "response and manifest are equal");
        }
        assert_eq!(
            (&manifest["rows"], &manifest["tz"], &manifest["since"]),
            (&json!(250), &json!("Europe/Paris"), &json!("2025-12-31T23:00:00.000Z"))
        );

        let check = async || {
            let mut python = Command::new("python3");
            python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/verify_export.py"));
            let output = python
                .arg("audit-trail-manifest.json")
                .current_dir(directory.path())
                .output()
                .await
                .unwrap();
            (
                output.status.success(),
                String::from_utf8(output.stdout).unwrap()
                    + &String::from_utf8_lossy(&output.stderr),
            )
        };
        let (is_good, said) = check().await;
        assert!(is_good && said.matches("OK").count() == 6, "{said}");
        // A changed byte and a missing file are detected.
        let path = directory.path().join(format!("audit-trail-0002.csv{coding}"));
        let mut content = std::fs::read(&path).unwrap();
        content[40] ^= 1;
        std::fs::write(&path, content).unwrap();
        let (is_good, said) = check().await;
        assert!(
            !is_good && said.contains(&format!("audit-trail-0002.csv{coding}: DIFFERENT")),
            "{said}"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(!check().await.0);
    }
}

/// `write_all` that returns the length, as `read_to_end` does.
trait WriteAll {
    fn write(&mut self, bytes: Vec<u8>) -> usize;
}

impl WriteAll for Vec<u8> {
    fn write(&mut self, bytes: Vec<u8>) -> usize {
        self.extend(bytes);
        self.len()
    }
}

#[tokio::test]
async fn invalid_export_requests_are_refused_with_a_remedy() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    for (asked, detail) in [
        (json!({"fromat": "csv"}), "\"fromat\": is no known field; known are since"),
        (json!({"profile": "pdf"}), "\"profile\": \"pdf\" must be plain or excel"),
        (json!({"gzip": "true"}), "\"gzip\": must be true or false"),
        (json!({"q": 5}), "\"q\": must be a string, not the number 5"),
        (
            json!({"report": {"name": "access", "target": true}}),
            "\"report/target\": must be a string, not true",
        ),
        (json!({"tz": "Mars"}), "\"tz\": \"Mars\" is not an IANA time zone"),
        (json!({"since": "2026-02-01", "until": "2026-01-01"}), "must be after"),
        (json!({"filter": "nope eq 1"}), "\"filter\":"),
        (json!({"columns": "Message"}), "\"columns\": must be a list"),
        (json!({"columns": []}), "names no column"),
        (json!({"columns": ["Nope"]}), "there is no column \"Nope\"; the columns are Event ID"),
        (json!({"file_name": "../x"}), "\"file_name\": \"../x\" must be 1 to 100 of"),
        (json!({"file_name": "x.csv"}), "without .csv"),
        (json!({"order": "asc"}), "\"order\": is no known field"),
        (json!([]), "must be a JSON object"),
    ] {
        let answer = stack.post(&token, "/v1/exports", &asked).await;
        assert_eq!(answer.status, 400, "{asked}: {}", answer.text);
        assert!(answer.text.contains(&detail.replace('"', "\\\"")), "{asked}: {}", answer.text);
    }
    assert_eq!(stack.get(&token, "/v1/exports?state=ready").await.status, 400);
    assert_eq!(stack.get(&token, "/v1/exports/nothing").await.status, 404);
    assert_eq!(stack.call(&token, "/v1/exports/nothing/links").await.status, 404);
    assert_eq!(stack.get(&token, "/v1/exports").await.body, json!({"exports": [], "next": null}));
}

#[tokio::test]
async fn a_repeated_request_creates_one_export() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let ask = async |token: &str, key: &str, asked: Value| {
        tests::send(
            stack
                .request("POST", "/v1/exports")
                .bearer_auth(token)
                .header("Idempotency-Key", key)
                .json(&asked),
        )
        .await
    };
    let first = ask(&token, "k1", json!({"q": "a", "jsonl": true})).await;
    assert_eq!(first.status, 202, "{}", first.text);
    assert_eq!(
        first.header("location"),
        format!("/v1/exports/{}", first.body["id"].as_str().unwrap())
    );
    stack.ended(&token, first.body["id"].as_str().unwrap()).await;
    let again = ask(&token, "k1", json!({"jsonl": true, "q": "a"})).await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (202, &first.body["id"]));
    assert_eq!(again.body["state"], "ready", "the repeated request returns the current state");
    assert_eq!(ask(&token, "k1", json!({"q": "b"})).await.status, 409);
    // Changed default values do not change the request that was sent.
    let changed =
        stack.put(&stack.admin("acme"), "/v1/settings", &json!({"zone": "Asia/Kolkata"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(
        ask(&token, "k1", json!({"q": "a", "jsonl": true})).await.body["id"],
        first.body["id"]
    );
    assert_eq!(ask(&token, "k,1", json!({})).await.status, 400);
    for (token, key) in [
        (stack.caller("acme", "colleague", "audit:read"), "k1"),
        (stack.reader("globex"), "k1"),
        (token.clone(), "k2"),
    ] {
        assert_ne!(
            ask(&token, key, json!({"q": "a", "jsonl": true})).await.body["id"],
            first.body["id"]
        );
    }
    // Two concurrent requests.
    let (a, b) = tokio::join!(ask(&token, "k3", json!({})), ask(&token, "k3", json!({})));
    assert_eq!(a.body["id"], b.body["id"]);
    let mine = stack.get(&token, "/v1/exports").await.body;
    assert_eq!(
        mine["exports"].as_array().unwrap().len(),
        4,
        "exports of a colleague in the tenant are listed"
    );
    // Newest first, in pages.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stack.get(&token, &format!("/v1/exports?limit=3{cursor}")).await.body;
        seen.extend(
            page["exports"]
                .as_array()
                .unwrap()
                .iter()
                .map(|job| job["snapshot"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(seen.len() == 4 && seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    let requested = told(&stack, &token).await;
    assert_eq!(requested.iter().filter(|(action, _)| action == "export.requested").count(), 4);
}

#[tokio::test]
async fn every_step_of_an_export_is_recorded_including_refusals() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let job = stack.exported(&token, &json!({"file_name": "quarter", "q": "x"})).await;
    let path = format!("/v1/exports/{}", job["id"].as_str().unwrap());
    stack.links(&token, &job).await;
    stack.links(&stack.caller("acme", "colleague", "audit:read"), &job).await;
    // Refused: another tenant, a portal without read permission, and canceling a finished export.
    assert_eq!(stack.call(&stack.reader("globex"), &format!("{path}/links")).await.status, 404);
    assert_eq!(stack.get(&stack.reader("globex"), &path).await.status, 404);
    assert_eq!(stack.call(&stack.reader("globex"), &format!("{path}/cancel")).await.status, 404);
    assert_eq!(stack.call(&stack.writer("acme"), &format!("{path}/links")).await.status, 403);
    assert_eq!(stack.post(&stack.writer("acme"), "/v1/exports", &json!({})).await.status, 403);
    assert_eq!(stack.get(&stack.writer("acme"), &path).await.status, 403);
    let late = stack.call(&token, &format!("{path}/cancel")).await;
    assert!(late.status == 409 && late.text.contains("already ready"), "{}", late.text);

    let told = told(&stack, &token).await;
    let actions: Vec<_> = told.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "export.requested",
            "export.ready",
            "export.link_minted",
            "export.link_minted",
            "export.failed",
            "export.failed"
        ]
    );
    assert_eq!(told[0].1["message"], "auditor@acme.example requested an export. Export: quarter");
    assert_eq!(
        (&told[0].1["details"]["q"], &told[0].1["details"]["tz"]),
        (&json!("x"), &json!("UTC"))
    );
    assert_eq!(
        (&told[1].1["actor"]["type"], &told[1].1["details"]["rows"]),
        (&json!("system"), &json!(0))
    );
    assert_eq!(told[3].1["actor"]["email"], "colleague@acme.example");
    for (_, refused) in &told[4..] {
        assert_eq!(
            (&refused["outcome"], &refused["actor"]["email"]),
            (&json!("failure"), &json!("portal@acme.example"))
        );
        assert!(refused["reason"].as_str().unwrap().starts_with("FORBIDDEN"), "{refused}");
    }
    // These are service events, which a listing shows only with `include_service`.
    assert_eq!(stack.get(&token, "/v1/events").await.body["events"], json!([]));
    assert!(
        !stack
            .post(&stack.reader("globex"), "/v1/events/search", &json!({"include_service": true}))
            .await
            .text
            .contains("export.")
    );
}

/// The export worker, with a count of its suspended runs. With `seconds`, a run is limited to that time, and each next run
/// has twice as long, which is enough on any machine in the end.
fn counted(
    suspended: &Arc<AtomicUsize>,
    clock: Option<Clock>,
    seconds: Option<Arc<AtomicU64>>,
) -> Functions {
    let suspended = suspended.clone();
    let make = move |variables: &_, aws: &_| {
        let export = export::Export::new(variables, aws)?;
        let export = match &clock {
            Some(clock) => export.by(clock.clone()),
            None => export,
        };
        Ok(export::Function::from(export))
    };
    Functions::all().add("export", make, move |function, mut event: LambdaEvent<Value>| {
        let suspended = suspended.clone();
        if let Some(seconds) = seconds.as_ref().filter(|_| event.payload.get("export").is_some()) {
            let given = seconds.load(Ordering::Relaxed);
            seconds.store(given * 2, Ordering::Relaxed);
            let end = clock::now().plus(Duration::from_secs(given));
            event.context.deadline = end.millis().unsigned_abs();
        }
        async move {
            let answer = export::handle(function, event).await?;
            if answer["outcome"] == "Suspended" {
                suspended.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer)
        }
    })
}

/// Large events, which fill multipart parts quickly.
fn bulky(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let mut event =
                login(&format!("bulky-{n:05}"), &seconds_ago(90_000 - n as u64), "a@acme.example");
            // Text that does not compress well.
            let text: String = (0..2000)
                .map(|at| {
                    format!("{:04x}", (n * 2654435761 + at * 40503 + (n ^ at) * 65537) & 0xffff)
                })
                .collect();
            event["details"] = json!({"n": n, "text": text});
            event
        })
        .collect()
}

/// A run out of time stores the hash, the parts and the rest that is too small for a part. The next run continues from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_continues_over_several_short_runs() {
    let (suspended, seconds) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let functions = counted(&suspended, None, Some(seconds.clone()));
    let stack = Stack::with(Options { functions, ..options() }).await;
    // Names of maximum length, because the embedded S3 uses them as file names.
    let (tenant, name) = ("t".repeat(64), "n".repeat(100));
    let token = stack.reader(&tenant);
    let events = bulky(3000);
    write(&stack, &tenant, &events).await;
    for gzip in [false, true] {
        let before = suspended.load(Ordering::Relaxed);
        seconds.store(2, Ordering::Relaxed);
        let job =
            stack.exported(&token, &json!({"jsonl": true, "gzip": gzip, "file_name": name})).await;
        assert_eq!(job["state"], "ready", "{job}");
        let files = stack.files(&token, &job).await;
        for (file, name) in job["files"].as_array().unwrap().iter().zip(files.keys()) {
            let sum = shared::domain::trail::event::Digest(
                sha2::Digest::finalize(sha2::Digest::chain_update(
                    <sha2::Sha256 as sha2::Digest>::new(),
                    &files[name],
                ))
                .into(),
            );
            assert_eq!(file["sha256"], sum.to_string(), "{name}");
        }
        let mut plain = files.values().map(|content| match gzip {
            false => content.clone(),
            true => {
                let mut plain = Vec::new();
                flate2::read::MultiGzDecoder::new(content.as_slice())
                    .read_to_end(&mut plain)
                    .unwrap();
                plain
            }
        });
        let (_, rows) = records(&plain.next().unwrap());
        let ids: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
        let expected: Vec<_> =
            events.iter().rev().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "gzip {gzip}");
        let twin = String::from_utf8(plain.next().unwrap()).unwrap();
        assert!(
            twin.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
                .eq(expected),
            "gzip {gzip}"
        );
        let runs = suspended.load(Ordering::Relaxed) - before;
        eprintln!("{runs} suspended runs, gzip {gzip}");
    }
    // On a busy machine, a run that failed may have left little to do.
    let runs = suspended.load(Ordering::Relaxed);
    assert!(runs > 0, "one run finished each export, so no run was suspended");
    assert_eq!(left_behind(&stack, 4).await, Vec::<String>::new());
}

/// Waits until only `files` files and the manifests are left, and returns other objects of the bucket.
async fn left_behind(stack: &Stack, files: usize) -> Vec<String> {
    let bucket = shared::platform::s3::Bucket::new(stack.aws(), &stack.running.buckets()[0]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut left: Vec<_> = Vec::new();
    until("temporary objects are deleted", async || {
        left = bucket.list("", deadline).await.unwrap();
        let uploads = bucket.list_uploads("", deadline).await.unwrap();
        let manifests = left.iter().filter(|key| key.ends_with("manifest.json")).count();
        (left.len() - manifests == files && uploads.is_empty()).then_some(())
    })
    .await;
    left.retain(|key| key.contains("rest"));
    left
}

#[tokio::test]
async fn a_canceled_export_leaves_no_files() {
    // A long index lag keeps the exports waiting, so that they can be canceled.
    let parameters = [("IndexLag", "20"), ("ExportLease", "2")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let stack =
        Stack::with(Options { parameters, minute: Duration::from_secs(1), ..options() }).await;
    let token = stack.reader("acme");
    write(&stack, "acme", &bulky(10)).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        let asking = stack.caller("acme", &format!("auditor-{}", number / 2), "audit:read");
        let begun = stack.post(&asking, "/v1/exports", &json!({})).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        ids.push(begun.body["id"].as_str().unwrap().to_owned());
    }
    let more = stack.post(&token, "/v1/exports", &json!({})).await;
    assert!(more.status == 429 && more.header("retry-after") == "60", "{}", more.text);
    assert_eq!(
        stack.post(&stack.reader("globex"), "/v1/exports", &json!({})).await.status,
        202,
        "the limit of one tenant does not affect another"
    );
    for id in &ids {
        let links = stack.call(&token, &format!("/v1/exports/{id}/links")).await;
        assert!(
            links.status == 409 && links.text.contains("request the links again when it is ready"),
            "{}",
            links.text
        );
        for _ in 0..2 {
            let canceled = stack.call(&token, &format!("/v1/exports/{id}/cancel")).await;
            assert_eq!(
                (canceled.status.as_u16(), &canceled.body["state"]),
                (200, &json!("canceled")),
                "{}",
                canceled.text
            );
        }
    }
    assert_eq!(stack.ended(&token, &ids[0]).await["state"], "canceled");
    let links = stack.call(&token, &format!("/v1/exports/{}/links", ids[0])).await;
    assert!(
        links.status == 409 && links.text.contains("canceled; create it again"),
        "{}",
        links.text
    );
    let told = told(&stack, &token).await;
    let count = |name: &str| told.iter().filter(|(action, _)| action == name).count();
    assert_eq!(
        (count("export.requested"), count("export.canceled"), count("export.ready")),
        (10, 10, 0)
    );
    assert_eq!(count("export.failed"), 1, "only the export above the limit failed");
    let bucket = shared::platform::s3::Bucket::new(stack.aws(), &stack.running.buckets()[0]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    assert_eq!(bucket.list("acme/", deadline).await.unwrap(), Vec::<String>::new());
}

/// An unreadable item would be a missing row, so the export fails instead.
#[tokio::test]
async fn an_export_that_cannot_be_complete_fails_with_a_reason() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    write(&stack, "acme", &bulky(5)).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let at = seconds_ago(95_000);
    let engine = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("EventsTable").unwrap();
    engine
        .put_item()
        .table_name(table)
        .item("pk", text("acme#broken"))
        .item("day", text(&format!("acme#{}#0", &at[..10])))
        .item("at", text(&format!("{at}#broken")))
        .send()
        .await
        .unwrap();
    let job = stack.exported(&token, &json!({})).await;
    assert_eq!(job["state"], "failed");
    assert!(job["reason"].as_str().unwrap().contains("acme#broken"), "{job}");
    let links =
        stack.call(&token, &format!("/v1/exports/{}/links", job["id"].as_str().unwrap())).await;
    assert!(
        links.status == 409 && links.text.contains("failed; create it again"),
        "{}",
        links.text
    );
    engine.delete_item().table_name(table).key("pk", text("acme#broken")).send().await.unwrap();
    let told = told(&stack, &token).await;
    assert!(
        told.iter()
            .any(|(action, event)| action == "export.failed" && event["reason"] == job["reason"]),
        "{told:?}"
    );
    assert_eq!(left_behind(&stack, 0).await, Vec::<String>::new());
}

#[tokio::test]
async fn files_expire_and_are_deleted() {
    let ahead = Arc::new(AtomicI64::new(0));
    let reading = ahead.clone();
    let clock = Clock::new(move || {
        clock::now().plus(Duration::from_secs(reading.load(Ordering::Relaxed).unsigned_abs()))
    });
    let functions = counted(&Arc::default(), Some(clock), None);
    let stack =
        Stack::with(Options { functions, minute: Duration::from_millis(300), ..options() }).await;
    let token = stack.reader("acme");
    write(&stack, "acme", &bulky(5)).await;
    let job = stack.exported(&token, &json!({})).await;
    let path = format!("/v1/exports/{}", job["id"].as_str().unwrap());
    assert_eq!(left_behind(&stack, 1).await, Vec::<String>::new());
    ahead.store(7 * 86_400 + 60, Ordering::Relaxed);
    assert_eq!(stack.get(&token, &path).await.body["state"], "expired");
    let links = stack.call(&token, &format!("{path}/links")).await;
    assert!(
        links.status == 410 && links.text.contains("create the export again"),
        "{}",
        links.text
    );
    assert_eq!(left_behind(&stack, 0).await, Vec::<String>::new());
    assert_eq!(
        stack.get(&token, &path).await.body["rows"],
        5,
        "the record of an expired export is kept"
    );
}

/// Events are written during the export, also with earlier times. The files hold exactly the events recorded before the snapshot.
/// `EXPORT_EVENTS` sets the number of events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_a_snapshot_while_events_are_written() {
    let stack = Arc::new(Stack::start().await);
    let token = stack.reader("acme");
    let count: u64 = std::env::var("EXPORT_EVENTS").map_or(500, |text| text.parse().unwrap());
    let chunks = (0..count).step_by(250).map(|from| {
        let stack = stack.clone();
        let events: Vec<_> = (from..count.min(from + 250))
            .map(|n| {
                login(&format!("before-{n}"), &seconds_ago(100 + n % 2_000_000), "a@acme.example")
            })
            .collect();
        async move { write(&stack, "acme", &events).await }
    });
    futures::StreamExt::collect::<Vec<()>>(futures::StreamExt::buffer_unordered(
        futures::stream::iter(chunks),
        4,
    ))
    .await;
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = {
        let (stack, is_over) = (stack.clone(), is_over.clone());
        tokio::spawn(async move {
            for round in 0.. {
                // With times among and before those of the stored events.
                let late = |n: u64| {
                    login(&format!("late-{round}-{n}"), &seconds_ago(50 + n * 40), "a@acme.example")
                };
                write(&stack, "acme", &(0..25).map(late).collect::<Vec<_>>()).await;
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        })
    };
    let mut jobs = Vec::new();
    for _ in 0..if count > 10_000 { 1 } else { 4 } {
        jobs.push(stack.exported(&token, &json!({})).await);
    }
    is_over.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    for job in jobs {
        let by_then =
            json!({"filter": format!("recorded_at le \"{}\"", job["snapshot"].as_str().unwrap())});
        let expected = listed(&stack, &token, &by_then).await;
        let files = stack.files(&token, &job).await;
        let ids: Vec<_> =
            files.values().flat_map(|file| records(file).1).map(|row| row[0].clone()).collect();
        // Not `assert_eq!`, which would print a million ids.
        assert!(ids == expected, "{} rows, {} expected", ids.len(), expected.len());
        assert_eq!(job["rows"], expected.len());
        eprintln!("{} rows in {} files", ids.len(), files.len());
    }
}

/// A proxy between the functions and S3 that breaks every connection: before the request, in the middle of a part, or after S3 has
/// applied the request but before its response.
async fn breaking_way() -> (String, Arc<std::sync::OnceLock<String>>, [Arc<AtomicUsize>; 2]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (to, counts) = (
        Arc::new(std::sync::OnceLock::<String>::new()),
        [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))],
    );
    let (there, [broken, damaged]) = (to.clone(), counts.clone());
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut client, _)) = listener.accept().await else { return };
            let (there, broken, damaged) = (there.clone(), broken.clone(), damaged.clone());
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(
                    there.get().unwrap().trim_start_matches("http://"),
                )
                .await
                .unwrap();
                let (mut up, mut down) = ([0; 65536], [0; 65536]);
                let mut sent = 0;
                // How many bytes pass before the connection breaks, and whether responses pass until then.
                let ways = [
                    (12_000_000, true),
                    (0, false),
                    (9_000_000, true),
                    (2_000_000, false),
                    (7_000_000, true),
                    (usize::MAX, false),
                ];
                let (most, answers) = ways[number % 6];
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => {
                            let Ok(read @ 1..) = read else { return };
                            // Corrupts one byte of a part.
                            if sent < 3_000_000 && sent + read >= 3_000_000 {
                                up[0] ^= 1;
                                damaged.fetch_add(1, Ordering::Relaxed);
                            }
                            sent += read;
                            if sent > most || server.write_all(&up[..read]).await.is_err() {
                                break;
                            }
                        }
                        read = server.read(&mut down) => {
                            let Ok(read @ 1..) = read else { return };
                            if !answers || client.write_all(&down[..read]).await.is_err() {
                                break;
                            }
                        }
                    }
                }
                broken.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    (url, to, counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_s3_that_breaks_and_corrupts_data_loses_no_rows() {
    let (url, to, [broken, damaged]) = breaking_way().await;
    let functions = Functions::all().through("S3", &url);
    let stack = Stack::with(Options { functions, ..options() }).await;
    let aws = stack.running.sdk_config();
    let key = aws_types::service_config::ServiceConfigKey::builder();
    let key = key.service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().unwrap();
    to.set(aws.service_config().unwrap().load_config(key).unwrap()).unwrap();
    let token = stack.reader("acme");
    let events = bulky(1500);
    write(&stack, "acme", &events).await;
    for _ in 0..2 {
        let job = stack.exported(&token, &json!({"jsonl": true})).await;
        assert_eq!((&job["state"], &job["rows"]), (&json!("ready"), &json!(1500)), "{job}");
        for file in stack.links(&token, &job).await["files"].as_array().unwrap() {
            let content = until("the file is downloaded", async || {
                let answer = reqwest::get(file["url"].as_str().unwrap()).await.ok()?;
                answer.bytes().await.ok()
            })
            .await;
            let sum = <sha2::Sha256 as sha2::Digest>::digest(&content);
            assert_eq!(
                file["sha256"],
                shared::domain::trail::event::Digest(sum.into()).to_string()
            );
        }
    }
    let (broken, damaged) = (broken.load(Ordering::Relaxed), damaged.load(Ordering::Relaxed));
    assert!(broken > 1 && damaged > 1, "{broken} connections broke, {damaged} parts were damaged");
    assert_eq!(left_behind(&stack, 4).await, Vec::<String>::new());
}
