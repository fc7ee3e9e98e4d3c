//! The audit page: how it is served, and tests of it in a browser (`tests/page`).

use std::{path::Path, process::Stdio};

use http::header;
use local::{Options, TokenRequest};
use serde_json::{Value, json};
use tests::{Stack, options, pass, send};
use tokio::process::Command;

use crate::peers::peer;

/// Runs a test file of `tests/page` against the stack, in Debian's Chromium with playwright-core.
async fn in_the_browser(stack: &Stack, file: &str) {
    let admin = TokenRequest {
        tenant: Some(local::demo::TENANT.to_owned()),
        email: Some("it@acme.example".to_owned()),
        scope: Some("audit:read audit:write audit:operate audit:admin".to_owned()),
        ..TokenRequest::default()
    };
    // A stack with another issuer cannot mint a token.
    let token = stack.running.token(&admin).unwrap_or_default();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let output = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(page.join(file))
        .env("AUDIT_URL", stack.running.url())
        .env("AUDIT_TOKEN", token)
        .env("PEERS", peer("node_modules"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{file}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    // A file without tests would pass too.
    assert!(!said.contains("tests 0"), "{file} holds no test: {said}");
}

/// A stack with the demonstration data, after enough time that findings about missing events are raised.
async fn demonstration() -> Stack {
    let stack = Stack::start().await;
    local::demo::load(&stack.running).await.unwrap();
    pass(&stack, 300).await;
    stack
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_works_through_the_page() {
    in_the_browser(&demonstration().await, "work.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_shows_errors_and_requires_sign_in() {
    in_the_browser(&demonstration().await, "states.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_accessible() {
    in_the_browser(&demonstration().await, "everybody.test.mjs").await;
}

/// An independent issuer whose tokens have the required claims.
const ISSUER: &str = r#"
const { OAuth2Server } = await import(process.argv[1]);
const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
server.service.on("beforeTokenSigning", (token) => Object.assign(token.payload, { tenant: "acme", email: "mo@acme.example", scope: "audit:read", client_id: "the-page" }));
await server.start(0, "127.0.0.1");
console.log(server.issuer.url);
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_to_the_page_through_another_issuer() {
    let mut issuer = Command::new("node")
        .args(["--input-type=module", "-e", ISSUER])
        .arg(peer("node_modules/oauth2-mock-server/dist/index.mjs"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(issuer.stdout.take().unwrap());
    let mut url = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut url).await.unwrap();
    let parameters = [
        ("PortalClientId", "the-page"),
        ("PortalScope", "openid email audit"),
        ("Audience", "the-page"),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let stack =
        Stack::with(Options { issuer: Some(url.trim().to_owned()), parameters, ..options() }).await;
    in_the_browser(&stack, "issuer.test.mjs").await;
    issuer.kill().await.unwrap();
}

#[tokio::test]
async fn the_page_is_served_without_a_token_and_contacts_no_other_host() {
    let stack = Stack::start().await;
    let page = send(stack.request("GET", "/")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    for directive in [
        "default-src 'none'",
        "script-src 'self' 'sha256-",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    // The only other origin is that of the issuer.
    let connect =
        policy.split("; ").find(|directive| directive.starts_with("connect-src")).unwrap();
    assert_eq!(connect.trim(), format!("connect-src 'self' {}", stack.running.url()));
    assert_eq!(page.headers[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");

    let script = send(stack.request("GET", "/page/main.js")).await;
    assert_eq!(
        (script.status.as_u16(), script.headers[header::CONTENT_TYPE].to_str().unwrap()),
        (200, "text/javascript; charset=utf-8")
    );
    let tag = script.headers[header::ETAG].clone();
    let again =
        send(stack.request("GET", "/page/main.js").header(header::IF_NONE_MATCH, tag)).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
    let zipped = stack
        .request("GET", "/page/main.js")
        .header(header::ACCEPT_ENCODING, "gzip, br")
        .send()
        .await
        .unwrap();
    assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
    let zipped = zipped.bytes().await.unwrap();
    let mut unzipped = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(zipped.as_ref()),
        &mut unzipped,
    )
    .unwrap();
    assert_eq!(unzipped, script.text);

    let deployment = send(stack.request("GET", "/page/deployment.json")).await.body;
    assert_eq!(deployment["issuer"], json!(format!("{}/dev", stack.running.url())));
    assert_eq!(deployment["columns"].as_array().unwrap().len(), 36);
    for missing in [
        "/page/nothing.js",
        "/page/../Cargo.toml",
        "/page/%2e%2e/Cargo.toml",
        "/page/%2Fetc%2Fpasswd",
        "/other",
    ] {
        assert_eq!(send(stack.request("GET", missing)).await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn without_portal_mode_there_is_no_page() {
    let mut options = options();
    options.parameters.insert("PortalMode".to_owned(), "false".to_owned());
    let stack = Stack::with(options).await;
    for path in ["/", "/page/main.js", "/page/deployment.json"] {
        let answer = send(stack.request("GET", path)).await;
        assert_eq!(answer.status, 404);
        assert!(answer.text.contains("PortalMode"), "{}", answer.text);
    }
    assert_eq!(stack.get(&stack.reader("acme"), "/v1/me").await.status, 200);
}

/// The page filters its columns by these paths, so a filter must accept each of them.
#[tokio::test]
async fn every_path_of_a_column_can_be_used_in_a_filter() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let deployment = send(stack.request("GET", "/page/deployment.json")).await.body;
    for column in deployment["columns"].as_array().unwrap() {
        for path in column["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()) {
            let value = if column["is_time"] == true { "2026-11-22T00:00:00Z" } else { "x" };
            let operator = if column["is_time"] == true { "ge" } else { "co" };
            let body = json!({"filter": format!("{path} {operator} {}", Value::from(value))});
            let answer = stack.post(&token, "/v1/events/search", &body).await;
            assert_eq!(answer.status, 200, "{column}: {}", answer.text);
        }
    }
}

/// A code is valid once, for the local page that requested it.
#[tokio::test]
async fn the_development_issuer_gives_codes_only_to_the_local_page() {
    let stack = Stack::start().await;
    let url = stack.running.url().to_owned();
    let request = |redirect: &str, challenge: &str| {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", "page"),
                ("redirect_uri", redirect),
                ("response_type", "code"),
                ("scope", "openid"),
                ("state", "s"),
                ("nonce", "n"),
                ("code_challenge", challenge),
                ("code_challenge_method", "S256"),
            ])
            .finish()
    };
    // RFC 7636, appendix B.
    let (verifier, challenge) = (
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    );
    for elsewhere in [
        "https://elsewhere.example/",
        &format!("{url}.elsewhere.example/"),
        &format!("{url}/other"),
    ] {
        let answer = send(
            stack.request("GET", &format!("/dev/authorize?{}", request(elsewhere, challenge))),
        )
        .await;
        assert_eq!(answer.status, 400, "{elsewhere}: {}", answer.text);
    }
    let home = format!("{url}/");
    let asked = request(&home, challenge);
    let choice = send(stack.request("GET", &format!("/dev/authorize?{asked}"))).await;
    assert!(choice.text.contains("Ann Auditor"), "{}", choice.text);

    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let code = async || {
        let form = [("request", asked.as_str()), ("person", "auditor@acme.example")];
        let sent = client.post(format!("{url}/dev/authorize")).form(&form).send().await.unwrap();
        assert_eq!(sent.status(), 303);
        let to: http::Uri = sent.headers()[header::LOCATION].to_str().unwrap().parse().unwrap();
        let fields: std::collections::BTreeMap<String, String> =
            form_urlencoded::parse(to.query().unwrap().as_bytes()).into_owned().collect();
        assert_eq!((fields["state"].as_str(), fields["iss"].clone()), ("s", format!("{url}/dev")));
        fields["code"].clone()
    };
    let redeem = async |code: &str, verifier: &str, client_id: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
            ("client_id", client_id),
            ("redirect_uri", home.as_str()),
        ];
        send(client.post(format!("{url}/dev/token")).form(&form)).await
    };
    let good = code().await;
    let tokens = redeem(&good, verifier, "page").await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    let me = stack.get(tokens.body["access_token"].as_str().unwrap(), "/v1/me").await.body;
    assert_eq!(
        (me["email"].as_str(), &me["permissions"]),
        (Some("auditor@acme.example"), &json!(["read"]))
    );
    assert_eq!(
        redeem(&good, verifier, "page").await.body["error"],
        "invalid_grant",
        "a code is valid once"
    );
    assert_eq!(redeem(&code().await, "another", "page").await.body["error"], "invalid_grant");
    assert_eq!(redeem(&code().await, verifier, "other").await.body["error"], "invalid_grant");
}
