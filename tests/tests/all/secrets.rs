//! Secrets: their tenant and host, and how secret addresses are shown.

use serde_json::{Value, json};
use tests::{Stack, directory::Directory, directory::TOKEN, options, seconds_ago, until};

fn with(secrets: &[(&str, Value)]) -> local::Options {
    let mut options = options();
    for (name, secret) in secrets {
        let text = secret.as_str().map_or_else(|| secret.to_string(), str::to_owned);
        options.secrets.insert(format!("JIT_AUDIT_SECRET_{name}"), text);
    }
    options
}

fn application(url: &str, secret: &str) -> Value {
    json!({"name": "App", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp*"],
        "directory": {"kind": "scim", "base_url": format!("{url}/scim"), "token": format!("env:JIT_AUDIT_SECRET_{secret}")}})
}

fn request(account: &str) -> Value {
    json!({"action": "entra.account.requested", "occurred_at": seconds_ago(0), "actor": {"type": "user", "email": "alex@acme.example"},
        "target": {"id": "app", "name": "App"}, "account": {"name": account}, "window": {"duration": "PT1S"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_used_only_for_its_tenant_and_host() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let stack = Stack::with(with(&[
        ("ACME", json!({"tenant": "acme", "host": "127.0.0.1", "value": TOKEN})),
        ("ELSEWHERE", json!({"host": "idp.example", "value": TOKEN})),
        ("SHAPELESS", json!({"token": TOKEN})),
        ("HOOK", json!({"tenant": "acme", "value": "http://127.0.0.1:9/T0SECRET"})),
    ]))
    .await;
    let [acme, bolt] = ["acme", "bolt"].map(|tenant| stack.admin(tenant));
    for (admin, secret) in [(&bolt, "ACME"), (&acme, "ELSEWHERE"), (&acme, "SHAPELESS")] {
        let body = application(&directory.url, secret);
        let answer = stack.put(admin, "/v1/applications/app", &body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
            (422, &json!("/directory/token")),
            "{secret}: {}",
            answer.text
        );
        let entra = json!({"kind": "entra", "tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47", "graph_url": directory.url, "login_url": directory.url,
            "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e", "client_secret": format!("env:JIT_AUDIT_SECRET_{secret}")});
        let answer = stack
            .put(
                admin,
                "/v1/applications/app",
                &json!({"name": "App", "accounts": ["msp*"], "directory": entra}),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
            (422, &json!("/directory/client_secret")),
            "{secret}: {}",
            answer.text
        );
        let target = json!({"kind": "https", "url": format!("{}/in", directory.url), "secrets": [format!("env:JIT_AUDIT_SECRET_{secret}")]});
        let answer = stack.put(admin, "/v1/streams/s", &json!({ "target": target })).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
            (422, &json!("/target/secrets/0")),
            "{secret}: {}",
            answer.text
        );
        assert!(!answer.text.contains(TOKEN));
    }
    let channels =
        json!({"alerts": [{"id": "ops", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_HOOK"}]});
    let answer = stack.put(&bolt, "/v1/settings", &channels).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
        (422, &json!("/alerts/0/url")),
        "{}",
        answer.text
    );
    assert_eq!(stack.put(&acme, "/v1/settings", &channels).await.status, 200);

    // A secret is used for its own tenant and host.
    assert_eq!(
        stack.put(&acme, "/v1/applications/app", &application(&directory.url, "ACME")).await.status,
        201
    );
    assert_eq!(
        stack.post(&stack.writer("acme"), "/v1/events", &request("msp-1")).await.status,
        201
    );
    until("the account is disabled", async || {
        (directory.is_enabled(&account) == Some(false)).then_some(())
    })
    .await;
    stack.stop().await;
}

/// The application was configured before its secret was bound to another host or tenant. Then its use is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reassigned_to_another_tenant_or_host_is_not_sent() {
    let directory = Directory::start().await;
    directory.add("msp-1");
    let data = tempfile::tempdir().unwrap();
    let kept = |secret: Value| local::Options {
        data: local::Data::Directory(data.path().to_owned()),
        ..with(&[("MOVED", secret)])
    };
    let stack = Stack::with(kept(json!(TOKEN))).await;
    let body = application(&directory.url, "MOVED");
    assert_eq!(stack.put(&stack.admin("acme"), "/v1/applications/app", &body).await.status, 201);
    stack.stop().await;

    for (account, secret) in [
        ("msp-1", json!({"host": "idp.example", "value": TOKEN})),
        ("msp-2", json!({"tenant": "bolt", "value": TOKEN})),
    ] {
        let before = directory.log().len();
        let stack = Stack::with(kept(secret)).await;
        assert_eq!(
            stack.post(&stack.writer("acme"), "/v1/events", &request(account)).await.status,
            201
        );
        let query = json!({"filter": format!("action eq \"finding.raised\" and account.name eq \"{account}\""), "include_service": true});
        let reader = stack.reader("acme");
        let finding = until("the secret is refused", async || {
            let found = stack.post(&reader, "/v1/events/search", &query).await;
            let findings = found.body["events"].as_array().cloned().unwrap_or_default();
            findings.into_iter().find(|finding| finding["details"]["rule"] == "revocation.refused")
        })
        .await;
        assert!(finding["reason"].as_str().unwrap().starts_with("secret: "), "{finding}");
        assert_eq!(
            directory.log().len(),
            before,
            "the directory received a request: {:?}",
            directory.log()
        );
        stack.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_stream_is_shown_only_to_administrators() {
    let stack = Stack::start().await;
    let (admin, reader) = (stack.admin("acme"), stack.reader("acme"));
    let url = "http://127.0.0.1:9/services/collector/T0KEN-that-lets-everybody-in";
    let stream = |url: &str| json!({"target": {"kind": "https", "url": url, "secrets": ["env:JIT_AUDIT_SECRET_SIEM"]}});
    let answer = stack.put(&admin, "/v1/streams/siem", &stream(url)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body["target"]["url"].as_str()),
        (201, Some(url)),
        "{}",
        answer.text
    );
    assert_eq!(
        stack.put(&admin, "/v1/streams/siem", &stream(&format!("{url}2"))).await.status,
        200
    );
    assert_eq!(
        stack.put(&admin, "/v1/streams/bare", &stream("http://127.0.0.1:9")).await.status,
        201
    );
    for path in ["/v1/streams", "/v1/streams/siem"] {
        assert!(stack.get(&admin, path).await.text.contains("T0KEN"), "{path}");
        let seen = stack.get(&reader, path).await;
        assert!(
            seen.status == 200
                && !seen.text.contains("T0KEN")
                && seen.text.contains("http://127.0.0.1:9/…"),
            "{path}: {}",
            seen.text
        );
    }
    assert_eq!(
        stack.get(&reader, "/v1/streams/bare").await.body["target"]["url"],
        "http://127.0.0.1:9"
    );
    // Recorded events show the change but not the address.
    let query = json!({"filter": "action eq \"stream.configured\" and target.id eq \"siem\"", "include_service": true, "order": "asc"});
    let told = stack.post(&admin, "/v1/events/search", &query).await;
    assert!(
        told.body["events"].as_array().unwrap().len() == 2 && !told.text.contains("T0KEN"),
        "{}",
        told.text
    );
    let details = &told.body["events"][1]["details"];
    assert_ne!(details["old"]["target"]["url"], details["new"]["target"]["url"], "{details}");
    stack.stop().await;
}
