//! What all routes have in common: versions of documents, idempotency keys, links to the next page, ids in addresses, parameters.

use serde_json::{Value, json};
use tests::{Answer, Stack, seconds_ago, send};

fn organisation(name: &str) -> Value {
    json!({"name": name, "state": "configured", "domains": ["fabrikam.example"]})
}

/// Sends a change with one header.
async fn change(
    stack: &Stack,
    token: &str,
    call: &str,
    header: (&str, &str),
    body: Option<&Value>,
) -> Answer {
    let (method, path) = call.split_once(' ').unwrap();
    let request = stack.request(method, path).bearer_auth(token).header(header.0, header.1);
    send(body.into_iter().fold(request, |request, body| request.json(body))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_do_not_overwrite_each_other() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let put = async |header, body: &Value| {
        change(&stack, &admin, "PUT /v1/organisations/fabrikam", header, Some(body)).await
    };
    let first = put(("if-none-match", "*"), &organisation("One")).await;
    assert_eq!((first.status.as_u16(), first.header("etag")), (201, "\"1\""), "{}", first.text);
    let again = put(("if-none-match", "*"), &organisation("Two")).await;
    assert_eq!(again.status, 412, "{}", again.text);

    let read = stack.get(&admin, "/v1/organisations/fabrikam").await;
    let tag = read.header("etag").to_owned();
    assert_eq!(tag, "\"1\"");
    // Both have read version 1. The second one is told so, and her change is not stored.
    let ann = put(("if-match", &tag), &organisation("Ann's")).await;
    assert_eq!((ann.status.as_u16(), ann.header("etag")), (200, "\"2\""), "{}", ann.text);
    let bob = put(("if-match", &tag), &organisation("Bob's")).await;
    assert_eq!(
        (bob.status.as_u16(), bob.header("content-type")),
        (412, "application/problem+json")
    );
    assert!(bob.text.contains("its version is 2 now"), "{}", bob.text);
    // Ann's request is sent again, after an answer that was lost.
    let repeated = put(("if-match", &tag), &organisation("Ann's")).await;
    assert_eq!((repeated.status.as_u16(), repeated.header("etag")), (200, "\"2\""));
    assert_eq!(stack.get(&admin, "/v1/organisations/fabrikam").await.body["name"], "Ann's");

    for (value, status) in
        [("W/\"2\"", 412), ("\"x\"", 412), ("\"1\", \"2\"", 200), ("*", 200), ("2", 400), ("", 400)]
    {
        let answer = put(("if-match", value), &organisation(&format!("Name {value}"))).await;
        assert_eq!(answer.status.as_u16(), status, "{value:?} {}", answer.text);
    }
    let path = "DELETE /v1/organisations/fabrikam";
    assert_eq!(change(&stack, &admin, path, ("if-match", "\"1\""), None).await.status, 412);
    let tag = stack.get(&admin, "/v1/organisations/fabrikam").await.header("etag").to_owned();
    assert_eq!(change(&stack, &admin, path, ("if-match", &tag), None).await.status, 204);
    for value in ["*", &tag, "\"0\""] {
        let answer = put(("if-match", value), &organisation("Three")).await;
        assert_eq!(answer.status, 412, "{value} {}", answer.text);
        assert!(answer.text.contains("there is no organisation with this id"), "{}", answer.text);
    }
    let replay = json!({"from": "oldest"});
    let path = "POST /v1/streams/siem/replay";
    assert_eq!(change(&stack, &admin, path, ("if-match", "*"), Some(&replay)).await.status, 400);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_streams_have_versions_too() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let read = stack.get(&admin, "/v1/settings").await;
    assert_eq!(read.header("etag"), "\"0\"", "nothing is configured yet");
    let zone = |zone: &str| json!({ "zone": zone });
    let put = async |tag: &str, body: &Value| {
        change(&stack, &admin, "PUT /v1/settings", ("if-match", tag), Some(body)).await
    };
    let stored = put("\"0\"", &zone("Europe/Paris")).await;
    assert_eq!((stored.status.as_u16(), stored.header("etag")), (200, "\"1\""), "{}", stored.text);
    assert_eq!(put("\"0\"", &zone("Asia/Tokyo")).await.status, 412);
    let read = stack.get(&admin, "/v1/settings").await;
    assert_eq!((read.header("etag"), &read.body["zone"]), ("\"1\"", &json!("Europe/Paris")));

    let stream = |filter: &str| json!({"target": {"kind": "eventbridge"}, "filter": filter});
    let stored = stack.put(&admin, "/v1/streams/siem", &stream("outcome eq \"failure\"")).await;
    assert_eq!((stored.status.as_u16(), stored.header("etag")), (201, "\"1\""), "{}", stored.text);
    let body = stream("outcome eq \"success\"");
    let path = "PUT /v1/streams/siem";
    assert_eq!(change(&stack, &admin, path, ("if-match", "\"7\""), Some(&body)).await.status, 412);
    let changed = change(&stack, &admin, path, ("if-match", "\"1\""), Some(&body)).await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("etag")),
        (200, "\"2\""),
        "{}",
        changed.text
    );
    assert_eq!(stack.get(&admin, "/v1/streams/siem").await.header("etag"), "\"2\"");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_with_a_key_creates_one_thing() {
    let stack = Stack::start().await;
    let operator = stack.caller("acme", "olga", "audit:read audit:operate audit:admin");
    let other = stack.caller("acme", "otto", "audit:read audit:operate");
    let post = async |token: &str, path: &str, key: &str, body: &Value| {
        change(&stack, token, &format!("POST {path}"), ("idempotency-key", key), Some(body)).await
    };

    let review =
        json!({"name": "Q4", "of": "sessions", "since": "2026-10-01", "until": "2026-11-01"});
    let first = post(&operator, "/v1/reviews", "k-1", &review).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let again = post(&operator, "/v1/reviews", "k-1", &review).await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (200, &first.body["id"]));
    let mut changed = review.clone();
    changed["name"] = json!("Another");
    assert_eq!(post(&operator, "/v1/reviews", "k-1", &changed).await.status, 409);
    let mut named = review.clone();
    named["id"] = json!("q4");
    assert_eq!(post(&operator, "/v1/reviews", "k-1", &named).await.status, 400);
    named["id"] = json!("key_1");
    assert_eq!(stack.post(&operator, "/v1/reviews", &named).await.status, 422);
    // A key is its caller's.
    let others = post(&other, "/v1/reviews", "k-1", &review).await;
    assert_eq!(others.status, 201, "{}", others.text);
    assert_ne!(others.body["id"], first.body["id"]);

    let order = json!({"filter": "subject.email eq \"leaver@acme.example\"", "reason": "left"});
    let first = post(&operator, "/v1/windows/end", "k-1", &order).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let again = post(&operator, "/v1/windows/end", "k-1", &order).await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (202, &first.body["id"]));
    let changed = json!({"filter": "subject.email eq \"else@acme.example\"", "reason": "left"});
    assert_eq!(post(&operator, "/v1/windows/end", "k-1", &changed).await.status, 409);

    for id in ["failures", "all"] {
        let saved = stack.put(&operator, &format!("/v1/saved/{id}"), &json!({"name": id})).await;
        assert_eq!(saved.status, 201, "{}", saved.text);
    }
    let first = post(&operator, "/v1/saved/failures/runs", "k-1", &json!({})).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let again = post(&operator, "/v1/saved/failures/runs", "k-1", &json!({})).await;
    assert_eq!(again.status, 202, "{}", again.text);
    assert_eq!(again.body["export"]["id"], first.body["export"]["id"]);
    assert_eq!(
        (&again.body["at"], again.header("location")),
        (&first.body["at"], first.header("location"))
    );
    assert_eq!(post(&operator, "/v1/saved/all/runs", "k-1", &json!({})).await.status, 409);
    let runs = stack.get(&operator, "/v1/saved/failures/runs").await;
    assert_eq!(runs.body["runs"].as_array().unwrap().len(), 1, "{}", runs.text);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_links_to_the_next_one() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    for name in ["one", "two", "three"] {
        let path = format!("/v1/organisations/{name}");
        assert_eq!(
            stack.put(&admin, &path, &json!({"name": name, "state": "configured"})).await.status,
            201
        );
    }
    let (mut address, mut found) = ("/v1/organisations?limit=1".to_owned(), Vec::new());
    loop {
        let page = stack.get(&admin, &address).await;
        assert_eq!(page.status, 200, "{}", page.text);
        found.push(page.body["organisations"][0]["id"].as_str().unwrap().to_owned());
        let link = page.header("link");
        if page.body["next"].is_null() {
            assert_eq!(link, "", "the last page has no next one");
            break;
        }
        let query = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        assert!(query.starts_with("?limit=1&cursor="), "{link}");
        address = format!("/v1/organisations{query}");
    }
    assert_eq!(found, ["one", "three", "two"]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_in_the_address_is_decoded_once() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    for (address, id) in [
        ("a%20b", "a b"),
        ("a%2541", "a%41"),
        ("caf%C3%A9", "café"),
        ("a%3Fb%23c", "a?b#c"),
        ("a+b%2Bc", "a+b+c"),
        ("%25", "%"),
        ("a%22b%5Cc", "a\"b\\c"),
        ("...", "..."),
    ] {
        let path = format!("/v1/people/{address}");
        let stored = stack.put(&admin, &path, &json!({"name": id, "object_ids": [id]})).await;
        assert_eq!(
            (stored.status.as_u16(), &stored.body["id"]),
            (201, &json!(id)),
            "{}",
            stored.text
        );
        assert_eq!(stack.get(&admin, &path).await.body["id"], id);
    }
    // An id that is a word of another route.
    let portal = stack.writer("acme");
    let event = json!({
        "id": "search", "action": "user.logged_in", "occurred_at": seconds_ago(5),
        "actor": {"type": "user", "email": "ann@acme.example"},
    });
    assert_eq!(stack.post(&portal, "/v1/events", &event).await.status, 201);
    let found = stack.get(&admin, "/v1/events/search").await;
    assert_eq!(
        (found.status.as_u16(), &found.body["id"]),
        (200, &json!("search")),
        "{}",
        found.text
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_parameter_is_refused_with_the_likely_one() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    for (path, said) in [
        ("/v1/windows?sate=open", "did you mean \"state\"?"),
        ("/v1/findings?severity=extreme", "\"severity\": \"extreme\" must be one of"),
        ("/v1/findings?owned=yes", "\"owned\": \"yes\" must be true or false"),
        ("/v1/events?limit=0", "\"limit\": \"0\" must be a whole number from 1 to 1000"),
        ("/v1/events?limit=1&limit=2", "given twice"),
        ("/v1/me?x=1", "\"x\": unknown query parameter; this call takes none"),
    ] {
        let answer = stack.get(&reader, path).await;
        assert_eq!(answer.status, 400, "{path} {}", answer.text);
        assert!(answer.body["detail"].as_str().unwrap().contains(said), "{path} {}", answer.text);
    }
    stack.stop().await;
}
