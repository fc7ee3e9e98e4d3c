//! The gateway admits only tokens that API Gateway's JWT authorizer would admit: signed by the issuer, for this audience, within their time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::AsDer as _,
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
    },
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use lambda_runtime::LambdaEvent;
use local::{Data, Functions, Options};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Stack, send};

const TEMPLATE: &str = "
Parameters:
  Issuer: {Type: String}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Jwt
        Authorizers:
          Jwt:
            IdentitySource: $request.header.Authorization
            JwtConfiguration: {issuer: !Ref Issuer, audience: [ours, also-ours]}
  Secret:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/secret
      Events:
        Closed: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /closed}}
        Open: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /open, Auth: {Authorizer: NONE}}}
";

/// A stack with a known issuer key and a count of the requests that reached its function.
struct Guarded {
    stack: Stack,
    key: KeyPair,
    kid: String,
    reached: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
}

impl Guarded {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = reached.clone();
        let functions = Functions::default().add(
            "secret",
            |_, _| Ok(()),
            move |_, event: LambdaEvent<Value>| {
                counter.fetch_add(1, Ordering::SeqCst);
                let claims = event.payload["requestContext"]["authorizer"]["jwt"]["claims"].clone();
                async move { Ok(json!({"statusCode": 200, "body": claims.to_string()})) }
            },
        );
        let data = Data::Directory(directory.path().to_owned());
        let stack = Stack::with(Options { data, ..Options::new(TEMPLATE, functions) }).await;
        let key = KeyPair::from_pkcs8(&std::fs::read(directory.path().join("issuer.key")).unwrap())
            .unwrap();
        let keys = send(stack.request("GET", "/dev/jwks.json")).await.json();
        let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
        Self { stack, key, kid, reached, _directory: directory }
    }

    fn header(&self) -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": self.kid})
    }

    /// Valid claims.
    fn claims(&self) -> Value {
        let issuer = format!("{}/dev", self.stack.running.url());
        json!({"iss": issuer, "aud": "ours", "sub": "me", "iat": now() - 10, "nbf": now() - 10, "exp": now() + 600})
    }

    /// Valid claims with changes. `null` removes a claim.
    fn claims_with(&self, changes: Value) -> Value {
        changed(self.claims(), changes)
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        rsa(&self.key, &RSA_PKCS1_SHA256, &header.to_string(), &claims.to_string())
    }

    fn token_with(&self, changes: Value) -> String {
        self.token(&self.header(), &self.claims_with(changes))
    }

    fn token_headed(&self, changes: Value) -> String {
        self.token(&changed(self.header(), changes), &self.claims())
    }

    fn hmac(&self, secret: &[u8]) -> String {
        let message = message(
            &changed(self.header(), json!({"alg": "HS256"})).to_string(),
            &self.claims().to_string(),
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", encode(tag.as_ref()))
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn changed(mut value: Value, changes: Value) -> Value {
    let fields = value.as_object_mut().unwrap();
    for (name, change) in changes.as_object().unwrap() {
        match change.is_null() {
            true => fields.remove(name),
            false => fields.insert(name.clone(), change.clone()),
        };
    }
    value
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", encode(header), encode(claims))
}

fn rsa(key: &KeyPair, encoding: &'static dyn RsaEncoding, header: &str, claims: &str) -> String {
    let message = message(header, claims);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", encode(signature))
}

#[tokio::test]
async fn forged_and_invalid_tokens_reach_no_function() {
    let guarded = Guarded::start().await;
    let good = guarded.token_with(json!({}));
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let unsigned = |alg: &str| {
        let header = changed(guarded.header(), json!({"alg": alg})).to_string();
        message(&header, &guarded.claims().to_string())
    };
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let by_other = |header: &Value| {
        rsa(&other, &RSA_PKCS1_SHA256, &header.to_string(), &guarded.claims().to_string())
    };
    let in_other_way = |alg: &str, encoding: &'static dyn RsaEncoding| {
        let header = changed(guarded.header(), json!({"alg": alg})).to_string();
        rsa(&guarded.key, encoding, &header, &guarded.claims().to_string())
    };
    let raw = |header: &str, claims: &str| rsa(&guarded.key, &RSA_PKCS1_SHA256, header, claims);
    let public_der = guarded.key.public_key().as_der().unwrap();
    let public_pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        BASE64_STANDARD
            .encode(public_der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    );
    let modulus = guarded.key.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let other_jwk = json!({
        "kty": "RSA",
        "kid": guarded.kid,
        "n": encode(other.public_key().modulus().big_endian_without_leading_zero()),
        "e": "AQAB",
    });
    let es256 = {
        let message = unsigned("ES256");
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
        format!("{message}.{}", encode(key.sign(&random, message.as_bytes()).unwrap()))
    };
    let flipped = |text: &str| {
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        bytes[10] ^= 1;
        encode(bytes)
    };
    let issuer = guarded.claims()["iss"].as_str().unwrap().to_owned();
    let twice = format!("{{\"exp\":{},{}", now() - 5, &guarded.claims().to_string()[1..]);

    let cases: Vec<(&str, String)> = vec![
        // Algorithms and signatures.
        ("alg none without a signature", format!("{}.", unsigned("none"))),
        ("alg None without a signature", format!("{}.", unsigned("None"))),
        ("alg NONE with the good signature", format!("{}.{signature}", unsigned("NONE"))),
        ("alg empty", format!("{}.{signature}", unsigned(""))),
        ("alg missing", guarded.token_headed(json!({"alg": null}))),
        ("alg in lower case", guarded.token_headed(json!({"alg": "rs256"}))),
        ("HS256 with the public key's PEM as secret", guarded.hmac(public_pem.as_bytes())),
        ("HS256 with the public key's DER as secret", guarded.hmac(public_der.as_ref())),
        ("HS256 with the modulus as secret", guarded.hmac(&modulus)),
        ("HS256 with the modulus's text as secret", guarded.hmac(encode(&modulus).as_bytes())),
        ("HS256 with an empty secret", guarded.hmac(b"")),
        ("RS384 by the right key", in_other_way("RS384", &RSA_PKCS1_SHA384)),
        ("RS512 by the right key", in_other_way("RS512", &RSA_PKCS1_SHA512)),
        ("PS256 by the right key", in_other_way("PS256", &RSA_PSS_SHA256)),
        ("RS256 said, PS256 signed", in_other_way("RS256", &RSA_PSS_SHA256)),
        ("ES256 by another key", es256),
        ("another key under our kid", by_other(&guarded.header())),
        ("a kid nobody knows", by_other(&changed(guarded.header(), json!({"kid": "other"})))),
        ("the right key under a kid nobody knows", guarded.token_headed(json!({"kid": "other"}))),
        ("no kid", guarded.token_headed(json!({"kid": null}))),
        ("an empty kid", guarded.token_headed(json!({"kid": ""}))),
        ("a kid that is a path", guarded.token_headed(json!({"kid": "../../issuer.key"}))),
        ("a kid that is a number", guarded.token_headed(json!({"kid": 1}))),
        ("its own key in jwk", by_other(&changed(guarded.header(), json!({"jwk": other_jwk})))),
        ("its own key in jwk without a kid", by_other(&json!({"alg": "RS256", "jwk": other_jwk}))),
        (
            "its own keys at jku",
            by_other(&changed(guarded.header(), json!({"jku": "http://127.0.0.1:1/jwks.json"}))),
        ),
        (
            "its own certificate at x5u",
            by_other(&changed(guarded.header(), json!({"x5u": "http://127.0.0.1:1/x.pem"}))),
        ),
        ("a critical header field", guarded.token_headed(json!({"crit": ["b64"], "b64": false}))),
        (
            "an altered payload",
            format!(
                "{header}.{}.{signature}",
                encode(guarded.claims_with(json!({"sub": "you"})).to_string())
            ),
        ),
        (
            "an altered header",
            format!(
                "{}.{claims}.{signature}",
                encode(json!({"alg": "RS256", "kid": guarded.kid}).to_string())
            ),
        ),
        ("an altered signature", format!("{header}.{claims}.{}", flipped(signature))),
        (
            "a signature cut short",
            format!("{header}.{claims}.{}", &signature[..signature.len() - 4]),
        ),
        ("an empty signature", format!("{header}.{claims}.")),
        ("two segments", format!("{header}.{claims}")),
        ("one segment", header.to_owned()),
        ("four segments", format!("{good}.{signature}")),
        ("an empty segment before it", format!(".{good}")),
        (
            "five segments, as of an encrypted token",
            format!("{header}.{claims}.{signature}.{claims}.{signature}"),
        ),
        // Encoding.
        (
            "padded base64",
            format!(
                "{header}.{claims}.{}",
                BASE64_URL_SAFE.encode(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
            ),
        ),
        ("base64 of the standard alphabet", {
            let standard = |part: &str| part.replace('-', "+").replace('_', "/");
            // Tries signatures until one has a character that differs between the alphabets.
            let (mut token, mut sub) = (good.clone(), 0);
            while !token.contains(['-', '_']) {
                sub += 1;
                token = guarded.token_with(json!({"sub": sub}));
            }
            standard(&token)
        }),
        ("a space inside", format!("{header}. {claims}.{signature}")),
        ("a header that is no JSON", raw("RS256", &guarded.claims().to_string())),
        ("a header that is a list", raw("[]", &guarded.claims().to_string())),
        ("a payload that is no JSON", raw(&guarded.header().to_string(), "hello")),
        (
            "a payload that is a list",
            raw(&guarded.header().to_string(), &json!([guarded.claims()]).to_string()),
        ),
        ("a payload that is a text", raw(&guarded.header().to_string(), "\"x\"")),
        ("an empty payload", raw(&guarded.header().to_string(), "")),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        // Issuer and audience.
        ("another issuer", guarded.token_with(json!({"iss": "https://issuer.example"}))),
        ("the issuer with a slash", guarded.token_with(json!({"iss": format!("{issuer}/")}))),
        ("the issuer in other letters", guarded.token_with(json!({"iss": issuer.to_uppercase()}))),
        ("the issuer in a list", guarded.token_with(json!({"iss": [issuer]}))),
        ("no issuer", guarded.token_with(json!({"iss": null}))),
        ("another audience", guarded.token_with(json!({"aud": "theirs"}))),
        ("the audience in other letters", guarded.token_with(json!({"aud": "Ours"}))),
        ("audiences without ours", guarded.token_with(json!({"aud": ["theirs", "others"]}))),
        ("no audience in the list", guarded.token_with(json!({"aud": []}))),
        ("audiences in one text", guarded.token_with(json!({"aud": "ours theirs"}))),
        ("an audience that is a number", guarded.token_with(json!({"aud": 1}))),
        ("an audience that is an object", guarded.token_with(json!({"aud": {"ours": true}}))),
        (
            "a list with something else than audiences",
            guarded.token_with(json!({"aud": ["ours", 1]})),
        ),
        (
            "our client, but another audience",
            guarded.token_with(json!({"aud": "theirs", "client_id": "ours"})),
        ),
        (
            "another client and no audience",
            guarded.token_with(json!({"aud": null, "client_id": "theirs"})),
        ),
        (
            "a list of clients and no audience",
            guarded.token_with(json!({"aud": null, "client_id": ["ours"]})),
        ),
        ("neither audience nor client", guarded.token_with(json!({"aud": null}))),
        // Times.
        ("expired", guarded.token_with(json!({"exp": now() - 1}))),
        ("expired long ago", guarded.token_with(json!({"exp": 1}))),
        ("expiring now", guarded.token_with(json!({"exp": now()}))),
        ("no expiry", guarded.token_with(json!({"exp": null}))),
        ("an expiry that is a text", guarded.token_with(json!({"exp": (now() + 600).to_string()}))),
        ("an expiry that is a date", guarded.token_with(json!({"exp": "2099-01-01T00:00:00Z"}))),
        ("an expiry that is true", guarded.token_with(json!({"exp": true}))),
        ("an expiry before 1970", guarded.token_with(json!({"exp": -1}))),
        ("an expiry in a list", guarded.token_with(json!({"exp": [now() + 600]}))),
        ("expired first and then not", raw(&guarded.header().to_string(), &twice)),
        ("not before in the future", guarded.token_with(json!({"nbf": now() + 60}))),
        ("not before as a text", guarded.token_with(json!({"nbf": (now() - 60).to_string()}))),
        ("issued in the future", guarded.token_with(json!({"iat": now() + 60}))),
        ("issued at a text", guarded.token_with(json!({"iat": (now() - 60).to_string()}))),
    ];
    assert!(cases.len() >= 30);
    let mut wrongly_admitted = Vec::new();
    for (name, token) in &cases {
        for value in [format!("Bearer {token}"), token.clone()] {
            let answer =
                send(guarded.stack.request("GET", "/closed").header("authorization", value)).await;
            if answer.status != StatusCode::UNAUTHORIZED
                || answer.json() != json!({"message": "Unauthorized"})
            {
                wrongly_admitted.push((*name, answer));
            } else {
                assert!(answer.header("www-authenticate").starts_with("Bearer"), "{name}");
            }
        }
    }
    assert!(wrongly_admitted.is_empty(), "{wrongly_admitted:#?}");

    for value in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        "Basic dXNlcjpwYXNz".into(),
        format!("Basic {good}"),
        format!("Bearer Bearer {good}"),
        format!("Bearer {good} {good}"),
        format!("Bearer{good}"),
        format!("Token {good}"),
        format!("\"{good}\""),
    ] {
        let answer =
            send(guarded.stack.request("GET", "/closed").header("authorization", &value)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value}");
    }
    let without = send(guarded.stack.request("GET", "/closed")).await;
    assert_eq!(
        (without.status, without.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, "Bearer")
    );
    let two = guarded.stack.request("GET", "/closed").bearer_auth("garbage").bearer_auth(&good);
    assert_eq!(send(two).await.status, StatusCode::UNAUTHORIZED);
    let elsewhere = guarded.stack.request("GET", &format!("/closed?access_token={good}"));
    assert_eq!(send(elsewhere).await.status, StatusCode::UNAUTHORIZED);

    assert_eq!(guarded.reached.load(Ordering::SeqCst), 0, "a forged token reached the function");
    guarded.stack.stop().await;
}

#[tokio::test]
async fn valid_tokens_are_admitted_with_their_claims() {
    let guarded = Guarded::start().await;
    let good = guarded.token_with(json!({}));
    let cases = [
        ("one audience", format!("Bearer {good}")),
        ("without Bearer", good.clone()),
        ("bearer in lower case", format!("bearer {good}")),
        ("BEARER in upper case", format!("BEARER {good}")),
        ("spaces around", format!("Bearer   {good}  ")),
        ("another of our audiences", guarded.token_with(json!({"aud": "also-ours"}))),
        ("audiences with ours", guarded.token_with(json!({"aud": ["theirs", "ours"]}))),
        (
            "our client and no audience",
            guarded.token_with(json!({"aud": null, "client_id": "ours"})),
        ),
        ("another client and our audience", guarded.token_with(json!({"client_id": "theirs"}))),
        ("no iat and no nbf", guarded.token_with(json!({"iat": null, "nbf": null}))),
        ("issued now", guarded.token_with(json!({"iat": now(), "nbf": now()}))),
        (
            "times with fractions",
            guarded.token_with(json!({"iat": 1.5, "exp": now() as f64 + 600.5})),
        ),
        ("another typ", guarded.token_headed(json!({"typ": "at+jwt"}))),
        ("no typ", guarded.token_headed(json!({"typ": null}))),
    ];
    for (name, value) in &cases {
        let answer =
            send(guarded.stack.request("GET", "/closed").header("authorization", value)).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {answer:?}");
        assert_eq!(answer.json()["sub"], "me", "{name}");
    }
    assert_eq!(guarded.reached.load(Ordering::SeqCst), cases.len());

    let claims = json!({"n": 12, "f": 1.5, "t": true, "list": ["a", 1, "b c"], "object": {"x": ["y"], "a": 1}, "s": ""});
    let token = guarded.token_with(claims);
    let handed_on = guarded.stack.get(&token, "/closed").await.json();
    for (name, text) in [
        ("n", "12"),
        ("f", "1.5"),
        ("t", "true"),
        ("list", "[a 1 b c]"),
        ("object", "map[a:1 x:[y]]"),
        ("s", ""),
    ] {
        assert_eq!(handed_on[name], text, "{name}");
    }
    guarded.stack.stop().await;
}

#[tokio::test]
async fn a_route_without_an_authorizer_is_public() {
    let guarded = Guarded::start().await;
    assert_eq!(send(guarded.stack.request("GET", "/open")).await.json(), Value::Null);
    guarded.stack.stop().await;
}

#[tokio::test]
async fn the_signing_key_survives_a_restart_and_is_readable_only_by_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let functions = || {
        Functions::default().add(
            "secret",
            |_, _| Ok(()),
            |_, _: LambdaEvent<Value>| async move { Ok(json!({})) },
        )
    };
    let start = async || {
        let data = Data::Directory(directory.path().to_owned());
        Stack::with(Options { data, ..Options::new(TEMPLATE, functions()) }).await
    };
    let first = start().await;
    let keys = send(first.request("GET", "/dev/jwks.json")).await.json();
    first.stop().await;
    let mode = std::fs::metadata(directory.path().join("issuer.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = start().await;
    assert_eq!(send(second.request("GET", "/dev/jwks.json")).await.json(), keys);
    second.stop().await;
}

#[tokio::test]
async fn the_development_issuer_mints_the_requested_claims() {
    let guarded = Guarded::start().await;
    let stack = &guarded.stack;
    let url = stack.running.url();
    let discovery =
        send(stack.request("GET", "/dev/.well-known/openid-configuration")).await.json();
    assert_eq!(discovery["issuer"], format!("{url}/dev"));
    assert_eq!(discovery["jwks_uri"], format!("{url}/dev/jwks.json"));

    let asked = json!({
        "tenants": ["acme", "globex"], "email": "ada@acme.example", "scope": "audit:read audit:write",
        "roles": ["Audit User"], "sub": "ada", "name": "Ada", "client_id": "portal", "expires_in": 60,
    });
    let answer = send(stack.request("POST", "/dev/token").json(&asked)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(60)));
    let token = answer["access_token"].as_str().unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(expires - issued == 60 && (now() - issued).abs() < 60);
    claims = changed(claims, json!({"iat": null, "exp": null}));
    assert_eq!(
        claims,
        json!({
            "iss": format!("{url}/dev"), "aud": "ours", "sub": "ada", "email": "ada@acme.example", "name": "Ada",
            "tenant": ["acme", "globex"], "scope": "audit:read audit:write", "roles": ["Audit User"],
            "client_id": "portal",
        })
    );
    assert_eq!(stack.get(token, "/closed").await.status, StatusCode::OK);

    for wrong in [
        json!({}),
        json!({"tenant": ""}),
        json!({"tenant": "a b"}),
        json!({"tenant": "x".repeat(65)}),
        json!({"tenant": 1}),
        json!({"tenants": []}),
        json!({"tenant": "a", "tenants": ["b"]}),
        json!({"tenant": "a", "scopes": "x"}),
        json!({"tenant": "a", "email": ""}),
        json!({"tenant": "a", "roles": "x"}),
        json!({"tenant": "a", "expires_in": 0}),
        json!({"tenant": "a", "expires_in": -1}),
        json!({"tenant": "a", "expires_in": 1_000_000_000}),
        json!([]),
        json!("x"),
    ] {
        let answer = send(stack.request("POST", "/dev/token").json(&wrong)).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{wrong}"
        );
        assert!(!answer.json()["error_description"].as_str().unwrap().is_empty());
    }
    assert_eq!(send(stack.request("GET", "/dev/token")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(send(stack.request("GET", "/dev")).await.status, StatusCode::NOT_FOUND);

    // A page of another origin gets no token. The stack's own page does.
    for (origin, status) in
        [("https://evil.example", 400), ("null", 400), ("http://127.0.0.1:1", 400), (url, 200)]
    {
        let request = stack
            .request("POST", "/dev/token")
            .header("origin", origin)
            .json(&json!({"tenant": "acme"}));
        assert_eq!(send(request).await.status.as_u16(), status, "{origin}");
    }
    guarded.stack.stop().await;
}

/// A stack accepts tokens of the issuer of another stack, found by discovery as any other issuer.
#[tokio::test]
async fn tokens_of_another_issuer_are_checked_with_the_keys_it_publishes() {
    let issuing = Guarded::start().await;
    let issuer = issuing.claims()["iss"].as_str().unwrap().to_owned();
    let functions = || {
        let answer = |_, _: LambdaEvent<Value>| async move { Ok(json!({})) };
        Functions::default().add("secret", |_, _| Ok(()), answer)
    };
    let stack =
        Stack::with(Options { issuer: Some(issuer), ..Options::new(TEMPLATE, functions()) }).await;
    let good = issuing.token_with(json!({}));
    assert_eq!(stack.get(&good, "/closed").await.status, StatusCode::OK);
    for wrong in [
        issuing.token_headed(json!({"kid": "other"})),
        issuing.token_with(json!({"exp": now() - 1})),
        issuing.token_with(json!({"iss": format!("{}/dev", stack.running.url())})),
    ] {
        assert_eq!(stack.get(&wrong, "/closed").await.status, StatusCode::UNAUTHORIZED);
    }
    // A stack with another issuer mints no tokens.
    assert!(
        stack
            .running
            .token(&local::TokenRequest { tenant: Some("acme".into()), ..Default::default() })
            .is_err()
    );
    assert_eq!(
        send(stack.request("POST", "/dev/token").json(&json!({"tenant": "acme"}))).await.status,
        StatusCode::NOT_FOUND
    );

    // Cached keys are used while the issuer is unreachable.
    let late = issuing.token_with(json!({"sub": "late"}));
    issuing.stack.stop().await;
    assert_eq!(stack.get(&late, "/closed").await.status, StatusCode::OK);
    stack.stop().await;
}

#[tokio::test]
async fn an_unreachable_issuer_admits_no_token() {
    let guarded = Guarded::start().await;
    let token = guarded.token_with(json!({"iss": "http://127.0.0.1:1/nobody"}));
    let answer = |_, _: LambdaEvent<Value>| async move { Ok(json!({})) };
    let functions = Functions::default().add("secret", |_, _| Ok(()), answer);
    let issuer = Some("http://127.0.0.1:1/nobody".to_owned());
    let stack = Stack::with(Options { issuer, ..Options::new(TEMPLATE, functions) }).await;
    let refused = stack.get(&token, "/closed").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(
        refused.header("www-authenticate").contains("OIDC discovery endpoint communication error"),
        "{refused:?}"
    );
    stack.stop().await;
    guarded.stack.stop().await;
}
