//! The gateway behaves as API Gateway's HTTP API does.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lambda_runtime::{Error, LambdaEvent};
use local::{Functions, Options, TokenRequest};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Answer, Stack, send};

/// A stack with one function behind the given routes, which returns its event.
async fn echoing(routes: &[(&str, &str)]) -> Stack {
    answering(routes, "", |event| Ok(json!({"statusCode": 200, "body": event.to_string()}))).await
}

/// A stack with one function behind the given routes. `more` is added to the function's properties.
async fn answering(
    routes: &[(&str, &str)],
    more: &str,
    answer: impl Fn(Value) -> Result<Value, Error> + Clone + Send + Sync + 'static,
) -> Stack {
    let functions = Functions::default().add(
        "echo",
        |_, _| Ok(()),
        move |_, event: LambdaEvent<Value>| {
            let answer = answer(event.payload);
            async move { answer }
        },
    );
    Stack::with(Options::new(template(routes, more, "{}"), functions)).await
}

fn template(routes: &[(&str, &str)], more: &str, api: &str) -> String {
    let mut template = format!(
        "
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties: {api}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/echo
      Timeout: 1
      {more}
      Events:
"
    );
    for (index, (method, path)) in routes.iter().enumerate() {
        let route = match *method {
            "$default" => String::new(),
            method => format!(", Method: {method}, Path: \"{path}\""),
        };
        template += &format!(
            "        Route{index}: {{Type: HttpApi, Properties: {{ApiId: !Ref Api{route}}}}}\n"
        );
    }
    template
}

async fn call(stack: &Stack, method: &str, path: &str) -> Answer {
    send(stack.request(method, path)).await
}

fn assert_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.json(), json!({"message": message}));
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_request_takes_the_most_specific_route() {
    let routes = [
        ("get", "/a/{id}"),
        ("GET", "/a/b"),
        ("any", "/a/b"),
        ("GET", "/a/{rest+}"),
        ("ANY", "/{proxy+}"),
        ("$default", ""),
    ];
    let stack = echoing(&routes).await;
    for (method, path, key, parameters) in [
        ("GET", "/a/b", "GET /a/b", Value::Null),
        ("PUT", "/a/b", "ANY /a/b", Value::Null),
        ("GET", "/a/x", "GET /a/{id}", json!({"id": "x"})),
        ("GET", "/a/x/y", "GET /a/{rest+}", json!({"rest": "x/y"})),
        ("DELETE", "/a/x", "ANY /{proxy+}", json!({"proxy": "a/x"})),
        ("GET", "/", "$default", Value::Null),
        ("GET", "/a/caf%C3%A9%2F%20+", "GET /a/{id}", json!({"id": "café/ +"})),
    ] {
        let event = call(&stack, method, path).await.json();
        assert_eq!(event["routeKey"], key, "{method} {path}");
        assert_eq!(event["requestContext"]["routeKey"], key);
        assert_eq!(event["pathParameters"], parameters, "{method} {path}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_path_without_a_route_is_404() {
    let stack = echoing(&[("GET", "/a"), ("POST", "/b/{id}")]).await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/a/"),
        ("POST", "/a"),
        ("OPTIONS", "/a"),
        ("POST", "/b/"),
        ("POST", "/b/1/2"),
        ("GET", "/A"),
    ] {
        assert_refused(&call(&stack, method, path).await, 404, "Not Found");
    }
    assert_eq!(call(&stack, "HEAD", "/a").await.status, StatusCode::NOT_FOUND);
    assert_eq!(call(&stack, "GET", "/a").await.status, StatusCode::OK);
    stack.stop().await;
}

/// Reproduces the example request in the AWS documentation of payload format 2.0.
#[tokio::test]
async fn the_lambda_event_has_the_documented_shape() {
    let api = "{Auth: {Authorizers: {Jwt: {IdentitySource: $request.header.Authorization, JwtConfiguration: \
               {issuer: !Ref Issuer, audience: [ours]}}}}}";
    let mut template =
        "Parameters: {Issuer: {Type: String}}".to_owned() + &template(&[("$default", "")], "", api);
    template = template.replace(
        "ApiId: !Ref Api",
        "ApiId: !Ref Api, Auth: {Authorizer: Jwt, AuthorizationScopes: [scope1, scope2, scope3]}",
    );
    let functions = Functions::default().add(
        "echo",
        |_, _| Ok(()),
        |_, event: LambdaEvent<Value>| async move {
            Ok(json!({"statusCode": 200, "body": event.payload.to_string()}))
        },
    );
    let stack = Stack::with(Options::new(template, functions)).await;
    let token = stack.token(&TokenRequest {
        tenant: Some("acme".into()),
        scope: Some("scope1 scope2 other".into()),
        roles: Some(vec!["Audit User".into(), "Reader".into()]),
        ..TokenRequest::default()
    });
    let request = stack
        .request("POST", "/my/path?parameter1=value1&parameter1=value2&parameter2=value")
        .bearer_auth(&token)
        .header("cookie", "cookie1; cookie2")
        .header("Header1", "value1")
        .header("Header2", "value1")
        .header("Header2", "value2")
        .header("user-agent", "agent")
        .header("content-type", "text/plain")
        .body("Hello from Lambda");
    let mut event = send(request).await.json();

    let port: u64 = stack.running.url().rsplit(':').next().unwrap().parse().unwrap();
    let headers = event["headers"].as_object_mut().unwrap();
    assert_eq!(headers.remove("authorization").unwrap(), format!("Bearer {token}"));
    assert!(headers.remove("x-amzn-trace-id").unwrap().as_str().unwrap().starts_with("Root=1-"));
    let context = event["requestContext"].as_object_mut().unwrap();
    let time = context.remove("time").unwrap();
    let parts: Vec<&str> = time.as_str().unwrap().split(['/', ':', ' ']).collect();
    assert_eq!(
        parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
        [2, 3, 4, 2, 2, 2, 5],
        "12/Mar/2020:19:03:58 +0000"
    );
    assert!(context.remove("timeEpoch").unwrap().as_u64().unwrap() > 1_583_348_638_390);
    assert_eq!(context.remove("requestId").unwrap().as_str().unwrap().len(), 36);
    let claims = context["authorizer"]["jwt"]["claims"].as_object_mut().unwrap();
    for name in ["exp", "iat"] {
        assert!(
            claims.remove(name).unwrap().as_str().unwrap().parse::<u64>().is_ok(),
            "a number claim becomes a text"
        );
    }
    assert_eq!(
        event,
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/my/path",
            "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
            "cookies": ["cookie1", "cookie2"],
            "headers": {
                "accept": "*/*",
                "content-length": "17",
                "content-type": "text/plain",
                "header1": "value1",
                "header2": "value1,value2",
                "host": format!("127.0.0.1:{port}"),
                "user-agent": "agent",
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": port.to_string(),
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "Api",
                "authorizer": {
                    "jwt": {
                        "claims": {
                            "aud": "ours",
                            "iss": format!("{}/dev", stack.running.url()),
                            "roles": "[Audit User Reader]",
                            "scope": "scope1 scope2 other",
                            "sub": "development",
                            "tenant": "acme",
                        },
                        "scopes": ["scope1", "scope2"],
                    },
                },
                "domainName": "127.0.0.1",
                "domainPrefix": "127",
                "http": {
                    "method": "POST",
                    "path": "/my/path",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "agent",
                },
                "routeKey": "$default",
                "stage": "$default",
            },
            "body": "Hello from Lambda",
            "isBase64Encoded": false,
        })
    );

    let other = stack.caller("acme", "reader", "other");
    let answer = stack.get(&other, "/my/path").await;
    assert_refused(&answer, 403, "Forbidden");
    assert!(answer.header("www-authenticate").contains("insufficient_scope"));
    stack.stop().await;
}

#[tokio::test]
async fn a_body_is_passed_as_text_or_base64_by_content_type() {
    let stack = echoing(&[("POST", "/")]).await;
    let cases: [(Option<&str>, &[u8], bool); 8] = [
        (Some("application/json"), b"{}", false),
        (Some("Application/JSON; charset=utf-8"), b"{}", false),
        (Some("text/csv"), "a,ü".as_bytes(), false),
        (Some("application/x-ndjson"), b"{}\n{}", true),
        (Some("application/x-www-form-urlencoded"), b"a=b", true),
        (Some("application/octet-stream"), &[0, 255], true),
        (Some("application/json"), &[0xff, 0xfe], true),
        (None, b"{}", true),
    ];
    for (kind, body, encoded) in cases {
        let mut request = stack.request("POST", "/").body(body.to_vec());
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let event = send(request).await.json();
        assert_eq!(event["isBase64Encoded"], encoded, "{kind:?}");
        let sent = event["body"].as_str().unwrap();
        let sent =
            if encoded { BASE64_STANDARD.decode(sent).unwrap() } else { sent.as_bytes().to_vec() };
        assert_eq!(sent, body, "{kind:?}");
    }
    let event = call(&stack, "POST", "/").await.json();
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&Value::Null, &json!(false)));
    stack.stop().await;
}

#[tokio::test]
async fn query_parameters_are_decoded_and_joined() {
    let stack = echoing(&[("GET", "/")]).await;
    for (query, expected) in [
        ("?a=1&a=2&b=x%2Cy", json!({"a": "1,2", "b": "x,y"})),
        ("?a=b+c%20d&e", json!({"a": "b c d", "e": ""})),
        ("?q=caf%C3%A9&%C3%A9=1", json!({"q": "café", "é": "1"})),
        ("?a=%zz", json!({"a": "%zz"})),
        ("", Value::Null),
    ] {
        let event = call(&stack, "GET", &format!("/{query}")).await.json();
        assert_eq!(event["queryStringParameters"], expected, "{query}");
        assert_eq!(event["rawQueryString"], query.trim_start_matches('?'), "{query}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_functions_result_becomes_the_http_response() {
    let stack = answering(&[("POST", "/")], "", |event| {
        Ok(serde_json::from_str(event["body"].as_str().unwrap_or_default())?)
    })
    .await;
    let cases = [
        (
            json!({"statusCode": 201, "headers": {"X-One": "1", "Content-Type": "text/csv"}, "cookies": ["a=b", "c=d"], "body": "x"}),
            (201, "text/csv", "x"),
        ),
        (
            json!({"statusCode": 200, "body": "aGk=", "isBase64Encoded": true}),
            (200, "text/plain; charset=utf-8", "hi"),
        ),
        (json!({"statusCode": 204}), (204, "text/plain; charset=utf-8", "")),
        (json!({"message": "hi"}), (200, "application/json", r#"{"message":"hi"}"#)),
        (json!("hi"), (200, "application/json", "hi")),
        (json!([1, 2]), (200, "application/json", "[1,2]")),
        (json!(null), (200, "application/json", "null")),
    ];
    for (answer, (status, kind, body)) in cases {
        let response = send(stack.request("POST", "/").json(&answer)).await;
        assert_eq!(
            (response.status.as_u16(), response.header("content-type")),
            (status, kind),
            "{answer}"
        );
        assert_eq!(response.text, body, "{answer}");
        if answer.get("cookies").is_some() {
            assert_eq!(
                response.headers.get_all("set-cookie").iter().collect::<Vec<_>>(),
                ["a=b", "c=d"]
            );
            assert_eq!(response.header("x-one"), "1");
        }
        assert_eq!(response.header("apigw-requestid").len(), 36);
    }
    for wrong in [
        json!({"statusCode": 42}),
        json!({"statusCode": "x"}),
        json!({"statusCode": 200, "headers": []}),
        json!({"statusCode": 200, "headers": {"a b": "c"}}),
        json!({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}),
        json!({"statusCode": 200, "body": "*", "isBase64Encoded": true}),
    ] {
        let response = send(stack.request("POST", "/").json(&wrong)).await;
        assert_refused(&response, 500, "Internal Server Error");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_request_or_response_that_is_too_large_is_refused() {
    let stack = answering(&[("POST", "/")], "", |event| {
        let length: usize =
            event["queryStringParameters"]["answer"].as_str().unwrap_or("0").parse()?;
        Ok(json!({"statusCode": 200, "body": "x".repeat(length)}))
    })
    .await;
    let post = async |path: &str, kind: &str, length: usize| {
        send(stack.request("POST", path).header("content-type", kind).body("x".repeat(length)))
            .await
    };
    let mega = 1024 * 1024;
    assert_eq!(post("/", "text/plain", 6 * mega - 2048).await.status, StatusCode::OK);
    assert_refused(&post("/", "text/plain", 6 * mega).await, 413, "Request Entity Too Large");
    // Base64 makes the body a third longer.
    assert_eq!(post("/", "application/x-ndjson", 4 * mega).await.status, StatusCode::OK);
    assert_refused(
        &post("/", "application/x-ndjson", 5 * mega).await,
        413,
        "Request Entity Too Large",
    );
    assert_refused(&post("/", "text/plain", 11 * mega).await, 413, "Request Entity Too Large");

    let answer = post(&format!("/?answer={}", 6 * mega - 2048), "text/plain", 0).await;
    assert_eq!((answer.status, answer.text.len()), (StatusCode::OK, 6 * mega - 2048));
    assert_refused(
        &post(&format!("/?answer={}", 6 * mega + 200), "text/plain", 0).await,
        500,
        "Internal Server Error",
    );

    let header = async |length: usize| {
        send(stack.request("POST", "/").header("x-long", "x".repeat(length))).await
    };
    assert_eq!(header(9_000).await.status, StatusCode::OK);
    assert_refused(&header(10_241).await, 431, "Request Header Fields Too Large");
    let long = format!("/?a={}", "x".repeat(10_241));
    assert_refused(&call(&stack, "POST", &long).await, 431, "Request Header Fields Too Large");
    stack.stop().await;
}

#[tokio::test]
async fn a_function_that_fails_panics_or_hangs_gives_500_and_the_next_request_succeeds() {
    let functions = Functions::default().add(
        "echo",
        |_, _| Ok(()),
        |_, event: LambdaEvent<Value>| async move {
            match event.payload["rawPath"].as_str() {
                Some("/error") => Err(Error::from("no")),
                Some("/panic") => panic!("on purpose"),
                Some("/hang") => std::future::pending().await,
                _ => Ok(json!({"left": event.context.deadline > 0, "id": event.context.request_id.len()})),
            }
        },
    );
    let stack = Stack::with(Options::new(template(&[("$default", "")], "", "{}"), functions)).await;
    for path in ["/error", "/panic", "/hang"] {
        assert_refused(&call(&stack, "GET", path).await, 500, "Internal Server Error");
        assert_eq!(
            call(&stack, "GET", "/").await.json(),
            json!({"left": true, "id": 36}),
            "after {path}"
        );
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_function_slower_than_the_gateway_timeout_gives_503() {
    let functions =
        Functions::default().add(
            "echo",
            |_, _| Ok(()),
            |_, _: LambdaEvent<Value>| async move {
                std::future::pending::<Result<Value, Error>>().await
            },
        );
    let route = "ApiId: !Ref Api, TimeoutInMillis: 50";
    let template = template(&[("$default", "")], "", "{}").replace("ApiId: !Ref Api", route);
    let stack = Stack::with(Options::new(template, functions)).await;
    assert_refused(&call(&stack, "GET", "/").await, 503, "Service Unavailable");
    stack.stop().await;
}

#[tokio::test]
async fn requests_above_the_throttling_limit_get_429() {
    let functions = Functions::default().add(
        "echo",
        |_, _| Ok(()),
        |_, _: LambdaEvent<Value>| async move { Ok(json!({})) },
    );
    let api = "{DefaultRouteSettings: {ThrottlingRateLimit: 0.0001, ThrottlingBurstLimit: 3}}";
    let stack =
        Stack::with(Options::new(template(&[("GET", "/a"), ("GET", "/b")], "", api), functions))
            .await;
    for path in ["/a", "/a", "/a"] {
        assert_eq!(call(&stack, "GET", path).await.status, StatusCode::OK);
    }
    assert_refused(&call(&stack, "GET", "/a").await, 429, "Too Many Requests");
    assert_eq!(call(&stack, "GET", "/b").await.status, StatusCode::OK);
    stack.stop().await;
}

/// DNS rebinding: a web page can resolve its own name to 127.0.0.1, but its name is then in the Host header.
#[tokio::test]
async fn requests_for_another_host_are_forbidden() {
    let stack = echoing(&[("GET", "/")]).await;
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:8787", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("0.0.0.0", 403),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8787", 200),
    ] {
        let answer = send(stack.request("GET", "/").header("host", host)).await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
        let minted = send(stack.request("GET", "/dev/jwks.json").header("host", host)).await;
        assert_eq!(minted.status.as_u16(), status, "{host}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_route_added_to_the_template_is_served() {
    let before = echoing(&[("GET", "/old")]).await;
    assert_eq!(call(&before, "GET", "/new/1").await.status, StatusCode::NOT_FOUND);
    before.stop().await;
    let after = echoing(&[("GET", "/old"), ("GET", "/new/{id}")]).await;
    assert_eq!(call(&after, "GET", "/new/1").await.json()["pathParameters"], json!({"id": "1"}));
    after.stop().await;
}
