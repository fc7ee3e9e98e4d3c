//! Checks of external specifications with independent programs. `tests/run` installs them to `target/peers`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tests::{Stack, options, seconds_ago, until};
use tokio::process::Command;

pub(crate) fn peer(path: &str) -> PathBuf {
    let peer =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/peers").join(path);
    assert!(peer.exists(), "{} is missing: tests/run installs it", peer.display());
    peer
}

/// An auditor recomputes digests from API responses, with Python's SHA-256 and RFC 8785 by Trail of Bits.
const RECOMPUTE: &str = r#"
import hashlib, json, sys, rfc8785
for event in json.load(sys.stdin)["events"]:
    digest = event.pop("digest")
    for derived in ("label", "category", "state", "request_status", "message", "recorded_at", "recorded_by"):
        event.pop(derived, None)
    if "window" in event:
        window = event.pop("window")
        if "asked" in window:
            event["window"] = window["asked"]
    sent_username = event.pop("sent_username", None)
    if event.get("session", {}).get("username") == "TBD":
        del event["session"]["username"]
        if sent_username is not None:
            event["session"]["username"] = sent_username
    facts = hashlib.sha256(b"jit-audit/event/v1\n" + rfc8785.dumps(event)).hexdigest()
    assert facts == digest, (facts, digest, event)
    print(event["id"])
"#;

#[tokio::test]
async fn an_auditor_can_recompute_every_digest() {
    let stack = Stack::start().await;
    let mut events = Vec::new();
    for (place, details) in [
        json!({"numbers": [0, -0.0, 1.0, 0.1, 1e-7, 123456789012.34568, 333333333.3333333, -9007199254740991i64]}),
        json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7, "é": 8, "e\u{301}": 9}),
        json!({"text": "\u{8}\t\n\u{c}\r\"\\/\u{1f}\u{7f}\u{2028}\u{202e}😀ß", "nested": [[{"a": [null, true, {}]}]], "": ""}),
    ]
    .into_iter()
    .enumerate()
    {
        events.push(json!({
            "id": format!("digest-{place}"), "action": "entra.account.requested", "occurred_at": seconds_ago(60).replace(".000Z", ".5+00:00"),
            "actor": {"type": "user", "id": "1", "name": "Zoë \u{202e}", "email": "z@acme.example"}, "target": {"name": "Entra"},
            "account": {"name": "x"}, "window": {"duration": "PT4H"}, "details": details, "source": {}
        }));
    }
    events.push(json!({
        "id": "digest-s", "action": "session.created", "occurred_at": seconds_ago(50), "actor": {"type": "user", "name": "Mark"},
        "session": {"id": "68", "scope": "session", "roles": ["b", "a"], "username": "TBD", "approvals_needed": 0}, "ticket": {"id": "1", "url": "u"}
    }));
    // The name is shown as `TBD` until the session is granted.
    events.push(json!({
        "id": "digest-u", "action": "session.approved", "occurred_at": seconds_ago(40), "actor": {"type": "user", "name": "John"},
        "session": {"id": "68", "scope": "role", "roles": ["a"], "username": "mark_68"}
    }));
    let posted =
        stack.post(&stack.writer("acme"), "/v1/events", &json!({ "events": events })).await;
    assert_eq!(posted.body["created"], 5, "{}", posted.text);
    let listed = stack.get(&stack.reader("acme"), "/v1/events").await.text;

    let recompute = async |mut command: Command| {
        let mut python = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut python.stdin.take().unwrap(), listed.as_bytes())
            .await
            .unwrap();
        let output = python.wait_with_output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let mut python = Command::new(peer("python/bin/python"));
    python.args(["-c", RECOMPUTE]);
    let recomputed = recompute(python).await;
    // The same with the script of the guide, which needs only Python.
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/digest.py"));
    recompute(python).await;
    // The three requests are for one account, and each has an event that it opened or joined the window.
    assert_eq!(recomputed.lines().count(), 5 + 3);
}

/// The stack finds an independent OpenID Connect issuer by its discovery document and verifies tokens with its published keys.
#[tokio::test]
async fn tokens_of_another_issuer_are_accepted() {
    let free = tests::free_port();
    let mut issuer = Command::new("node")
        .arg(peer("node_modules/oauth2-mock-server/dist/oauth2-mock-server.mjs"))
        .args(["-a", "127.0.0.1", "-p", &free.to_string()])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The issuer calls itself localhost, whatever address it listens on.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let discovery: Value = until("the issuer answers", async || {
        let url = format!("http://127.0.0.1:{free}/.well-known/openid-configuration");
        client.get(url).send().await.ok()?.json().await.ok()
    })
    .await;
    let url = discovery["issuer"].as_str().unwrap().to_owned();
    // Its tokens have neither a tenant nor a role claim, so parameters map `sub` to both.
    let parameters =
        [("TenantClaim", "sub"), ("RoleClaim", "sub"), ("RoleMap", r#"{"johndoe": ["read"]}"#)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let stack = Stack::with(local::Options { issuer: Some(url), parameters, ..options() }).await;
    for (client_id, status) in [("jit-audit", 200), ("somebody-else", 401)] {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", "c"),
            ("redirect_uri", "https://x.example"),
            ("client_id", client_id),
        ];
        let answer =
            client.post(format!("http://127.0.0.1:{free}/token")).form(&form).send().await.unwrap();
        let tokens: Value = answer.json().await.unwrap();
        let answer = stack.get(tokens["id_token"].as_str().unwrap(), "/v1/me").await;
        assert_eq!(answer.status, status, "{client_id}: {}", answer.text);
        if status == 200 {
            assert_eq!(
                (&answer.body["tenant"], &answer.body["permissions"]),
                (&json!("johndoe"), &json!(["read"]))
            );
        }
    }
    let dev = tests::send(
        stack.request("POST", "/dev/token").json(&json!({"tenant": "acme", "scope": "audit:read"})),
    )
    .await;
    assert_eq!(dev.status, 404, "with another issuer there is no development issuer");
    issuer.kill().await.unwrap();
}

/// Recomputes the signature of a received request with botocore of AWS.
const SIGN: &str = r#"
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
sent = json.load(sys.stdin)
headers = {name.lower(): value for name, value in sent["headers"]}
authorization = headers.pop("authorization")
signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
service = authorization.split("Credential=")[1].split("/")[3]
request = AWSRequest(method="POST", url=sent["url"], data=sent["body"].encode(), headers={name: headers[name] for name in signed})
request.context["timestamp"] = headers["x-amz-date"]
auth = SigV4Auth(Credentials("AKID", "secret", "session"), service, "eu-west-3")
text = auth.string_to_sign(request, auth.canonical_request(request))
print(auth.signature(text, request) == authorization.split("Signature=")[1], ";".join(signed))
"#;

#[tokio::test]
async fn requests_signed_without_an_sdk_match_botocore_signatures() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = aws_types::SdkConfig::builder()
        .region(aws_sdk_dynamodb::config::Region::new("eu-west-3"))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
            aws_credential_types::Credentials::from_keys("AKID", "secret", Some("session".into())),
        ))
        .endpoint_url(&url)
        .build();
    let aws = shared::platform::aws_client::Aws::new(&config);
    let notification = shared::domain::alerts::messages::sns::Notification {
        subject: "a subject".to_owned(),
        message: "é & <b>\nhttps://audit.example/#/findings/x%20y+z".to_owned(),
        attributes: vec![("tenant", "acme".to_owned())],
    };
    let event = shared::domain::alerts::messages::eventbridge::BusEvent {
        detail_type: "Finding raised",
        detail: json!({"message": "é \"x\""}),
        time: shared::platform::clock::now(),
    };
    for call in ["secret", "invoke", "publish", "put"] {
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            loop {
                stream.read_buf(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let headers: Vec<_> =
                    head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
                let length = headers
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .unwrap()
                    .1;
                if body.len() < length.parse().unwrap() {
                    continue;
                }
                let path = head.split(' ').nth(1).unwrap();
                let sent = json!({"url": format!("{url}{path}"), "headers": headers, "body": body})
                    .to_string();
                let answer = r#"{"SecretString":"s3cret","FailedEntryCount":0}"#;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    answer.len()
                );
                stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
                break sent;
            }
        };
        let calling = async {
            match call {
                "secret" => assert_eq!(aws.secret("jit-audit/acme/graph").await.unwrap(), "s3cret"),
                "publish" => aws.publish("arn:aws:sns:eu-west-3:1:x", &notification).await.unwrap(),
                "put" => aws.put_event("default", &event).await.unwrap(),
                _ => aws.invoke("stack-Disable-1A2B", &json!({"reconcile": "acme"})).await.unwrap(),
            }
        };
        let (sent, ()) = tokio::join!(serving, calling);
        let mut python = Command::new(peer("python/bin/python"))
            .args(["-c", SIGN])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(sent.as_bytes()).await.unwrap();
        let output = python.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.starts_with("True "),
            "{call}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("x-amz-security-token") && said.contains("host"), "{said}");
    }
}

/// A complete export on an independent S3 server, which checks signatures, checksums and times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_work_on_seaweedfs() {
    let (port, directory) = (tests::free_port(), tempfile::tempdir().unwrap());
    let url = format!("http://127.0.0.1:{port}");
    let functions = local::Functions::all().through("S3", &url);
    let stack = Stack::with(local::Options { functions, ..options() }).await;
    let aws = stack.running.sdk_config_with("S3", &url);
    let provider = aws.credentials_provider().unwrap();
    let credentials =
        aws_credential_types::provider::ProvideCredentials::provide_credentials(&provider)
            .await
            .unwrap();
    let identity = json!({"name": "functions", "actions": ["Admin", "Read", "Write", "List"],
        "credentials": [{"accessKey": credentials.access_key_id(), "secretKey": credentials.secret_access_key()}]});
    let config = directory.path().join("s3.json");
    std::fs::write(&config, json!({"identities": [identity]}).to_string()).unwrap();
    // The server opens about ten ports, each of which must be free.
    let mut weed = Command::new(peer("python/bin/weed"));
    weed.arg("server").arg(format!("-dir={}", directory.path().display()));
    weed.args([
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        "-volume.max=20",
        "-master.volumeSizeLimitMB=64",
    ]);
    weed.arg(format!("-s3.port={port}")).arg(format!("-s3.config={}", config.display()));
    for name in [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
    ] {
        weed.arg(format!("-{name}={}", tests::free_port()));
    }
    let mut weed =
        weed.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let bucket = shared::platform::s3::Bucket::new(&aws, &stack.running.buckets()[0]);
    let soon = || tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    until("the bucket is created", async || bucket.create(soon()).await.ok()).await;

    let events: Vec<Value> = (0..1500)
        .map(|n| {
            json!({"id": format!("row-{n:04}"), "action": "user.logged_in", "occurred_at": seconds_ago(5000 - n),
                "actor": {"type": "user", "email": "a@acme.example"}, "details": {"text": "0123456789abcdef".repeat(600)}})
        })
        .collect();
    for events in events.chunks(300) {
        let posted =
            stack.post(&stack.writer("acme"), "/v1/events", &json!({ "events": events })).await;
        assert_eq!(posted.body["created"], events.len(), "{}", posted.text);
    }
    let token = stack.reader("acme");
    let job = stack.exported(&token, &json!({"jsonl": true, "file_name": "of seaweed"})).await;
    assert_eq!((&job["state"], &job["rows"]), (&json!("ready"), &json!(1500)), "{job}");
    let links = stack.links(&token, &job).await;
    for file in links["files"].as_array().unwrap() {
        let (status, headers, content) = stack.fetch(&file["url"]).await;
        assert_eq!((status.as_u16(), content.len() as u64), (200, file["bytes"].as_u64().unwrap()));
        assert!(content.len() > 12 * 1024 * 1024, "the file has several parts");
        let sum = <sha2::Sha256 as sha2::Digest>::digest(&content);
        assert_eq!(file["sha256"], shared::domain::trail::event::Digest(sum.into()).to_string());
        assert_eq!(
            headers["content-disposition"],
            format!("attachment; filename=\"{}\"", file["name"].as_str().unwrap())
        );
    }
    // A link gives access only to its own file and only until it expires.
    let url = links["files"][0]["url"].as_str().unwrap().to_owned();
    let other = links["files"][1]["url"].as_str().unwrap().to_owned();
    let path = |url: &str| url.split('?').next().unwrap().to_owned();
    for tampered in [
        path(&url),
        url.replace("X-Amz-Expires=600", "X-Amz-Expires=604800"),
        url.replace("1.csv", "2.csv"),
        url.replace(&path(&url), &path(&other)),
        url.replace("of%20seaweed", "elsewhere"),
        format!("{}0", url),
    ] {
        assert_ne!(tampered, url);
        let (status, _, _) = stack.fetch(&json!(tampered)).await;
        assert_eq!(status, 403, "{tampered}");
    }
    // Names as of stream files, with characters that signatures encode.
    bucket.put("tenant=acme/day=1/x.gz", "application/gzip", "y".into(), soon()).await.unwrap();
    assert_eq!(bucket.get("tenant=acme/day=1/x.gz", soon()).await.unwrap(), "y");
    assert_eq!(bucket.list("tenant=acme/", soon()).await.unwrap(), ["tenant=acme/day=1/x.gz"]);
    bucket.put("acme/short", "text/plain", "x".into(), soon()).await.unwrap();
    let short =
        bucket.link("acme/short", "short.txt", std::time::Duration::from_secs(2)).await.unwrap();
    assert_eq!(stack.fetch(&json!(short)).await.0, 200);
    until("the link has expired", async || {
        (stack.fetch(&json!(short)).await.0 == 403).then_some(())
    })
    .await;
    until("temporary objects are deleted", async || {
        let keys = bucket.list("acme/", soon()).await.unwrap();
        let uploads = bucket.list_uploads("acme/", soon()).await.unwrap();
        (keys.len() == 4 && uploads.is_empty()).then_some(())
    })
    .await;
    weed.kill().await.unwrap();
}

/// Validates each event against the published OCSF schema: all required attributes are present, and none is unknown.
const OCSF: &str = r#"
import json, sys, jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
published, known = get_ocsf_schema("1.8.0"), {}
schemas = OcsfJsonSchemaEmbedded(published)
classes = {it["uid"]: it for it in published["classes"].values() if "uid" in it}
for event in json.load(sys.stdin):
    uid = event["class_uid"]
    described = classes[uid]
    name = described["name"]
    if name not in known:
        known[name] = jsonschema.Draft202012Validator(schemas.get_class_schema(name))
    faults = [f"{list(it.path)}: {it.message[:200]}" for it in known[name].iter_errors(event)]
    assert not faults, (event["metadata"]["event_code"], faults)
    # What a schema of types does not say: names go with numbers, and one of some must be there.
    activities = described["attributes"]["activity_id"]["enum"]
    assert activities[str(event["activity_id"])]["caption"] == event["activity_name"], event
    assert (described["caption"], described["category_name"]) == (event["class_name"], event["category_name"]), event
    assert event["type_uid"] == uid * 100 + event["activity_id"], event
    for names in (described.get("constraints") or {}).values():
        assert any(name in event for name in names), (event, names)
    print(event["metadata"]["event_code"])
"#;

/// Every action of the catalogue, with all fields and with few.
#[test]
fn every_action_maps_to_a_valid_ocsf_event() {
    use shared::domain::trail::{actions::Action, event::Recorded};
    let now = shared::platform::clock::now();
    let retention = std::time::Duration::from_secs(400 * 86_400);
    let tenant = shared::domain::trail::event::Tenant::new("acme").unwrap();
    let party = json!({"type": "thing", "id": "1", "name": "Zoë", "email": "z@acme.example"});
    let rich = json!({
        "action": "entra.account.requested", "occurred_at": now, "actor": {"type": "user", "id": "7", "name": "Mo", "email": "mo@acme.example"},
        "subject": party, "account": party, "target": party, "session": {"id": "68", "scope": "session", "roles": ["role1"], "username": "mo_68"},
        "request_id": "R-1", "justification": "Why not", "reason": "FORBIDDEN", "outcome": "failure", "window": false,
        "ticket": {"id": "T", "url": "https://t.example"}, "approver": party, "policy": {"id": "p", "version": "1"},
        "source": {"ip": "198.51.100.7", "user_agent": "x", "client": "y"}, "details": {"severity": "high", "provisioned": false, "count": 1}
    });
    let bare = json!({"action": "user.logged_in", "occurred_at": now, "actor": {"type": "user", "id": "7"}});
    let mut events = Vec::new();
    for body in [rich, bare] {
        let intake =
            shared::domain::trail::event_validation::Intake { tenant: &tenant, now, retention };
        let id = || shared::domain::trail::event::EventId::new("e-1").unwrap();
        let event =
            shared::domain::trail::event_validation::read(&body.to_string(), &intake, id).unwrap();
        for action in Action::all() {
            let mut event = event.clone();
            let is_about_roles = action.as_str().starts_with("roles.");
            event.action = action;
            if is_about_roles {
                event.roles = vec!["a".to_owned()];
            }
            let recorded_by = shared::domain::trail::event::RecordedBy {
                sub: "portal".to_owned(),
                client_id: None,
                history: false,
            };
            let (digest, opened) = (event.digest(), None);
            let recorded =
                Recorded { event, recorded_at: now, recorded_by, digest, opened, expires_at: now };
            events.push(shared::domain::trail::ocsf::ocsf(&recorded));
        }
    }
    let mut python = std::process::Command::new(peer("python/bin/python"))
        .args(["-c", OCSF])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Ignore a write error: if the validator ends early, its output says why.
    let _ = std::io::Write::write_all(
        &mut python.stdin.take().unwrap(),
        &serde_json::to_vec(&events).unwrap(),
    );
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().lines().count(),
        2 * Action::all().count()
    );
}
