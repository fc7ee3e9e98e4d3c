//! What the service says of a wrong request: all errors at once, each with its place and its remedy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::{Answer, Stack, seconds_ago, send};

/// The errors of a problem document: the detail of each place.
fn errors<'a>(answer: &'a Answer, place: &str) -> BTreeMap<&'a str, &'a str> {
    let errors = answer.body["errors"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let found: BTreeMap<_, _> = errors
        .iter()
        .map(|error| {
            // No other member than the place and the detail.
            assert_eq!(error.as_object().unwrap().len(), 2, "{}", answer.text);
            (error[place].as_str().unwrap(), error["detail"].as_str().unwrap())
        })
        .collect();
    assert_eq!(found.len(), errors.len(), "a place is named twice: {}", answer.text);
    found
}

/// Expects the errors at exactly these places. Each detail contains the text beside it.
fn check(answer: &Answer, status: u16, place: &str, expected: &[(&str, &str)]) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    let found = errors(answer, place);
    let places: BTreeSet<_> = expected.iter().map(|(place, _)| *place).collect();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), places, "{}", answer.text);
    for (place, part) in expected {
        assert!(found[place].contains(part), "{place}: {part:?} is not in {:?}", found[place]);
    }
}

async fn post_text(stack: &Stack, token: &str, media_type: &str, body: String) -> Answer {
    let request = stack.request("POST", "/v1/events").bearer_auth(token);
    send(request.header("content-type", media_type).body(body)).await
}

fn login() -> Value {
    json!({
        "action": "user.logged_in", "occurred_at": seconds_ago(60),
        "actor": {"type": "user", "email": "ann@acme.example"},
    })
}

#[tokio::test]
async fn all_wrong_query_parameters_are_named_at_once() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    let answer = stack
        .get(
            &reader,
            "/v1/events?since=soon&until=2026-11-22T00:00:00%2B01&tz=Mars&limit=0&limit=5&order=up\
             &filter=actor.mail%20pr&q=%20&include_service=1&cursor=abc&sinse=2026-01-01&%ff=1",
        )
        .await;
    check(
        &answer,
        400,
        "parameter",
        &[
            ("since", "\"soon\" is not a time; use one like 2026-11-22T00:26:07Z"),
            ("until", "is not a time"),
            ("tz", "\"Mars\" is not an IANA time zone"),
            // Of a parameter that is given twice, that is the error.
            ("limit", "is given twice"),
            ("order", "\"up\" must be desc or asc"),
            (
                "filter",
                "at character 1: \"actor.mail\" is not an attribute; did you mean \"actor.email\"?",
            ),
            ("q", "no word to search for"),
            ("include_service", "\"1\" must be true or false"),
            ("cursor", "does not belong to this query"),
            ("sinse", "unknown query parameter; did you mean \"since\"? Known are since, until"),
            ("\u{fffd}", "percent-coded"),
        ],
    );
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("11 query parameters are wrong or missing: ")
            && detail.contains("\"cursor\""),
        "{detail}"
    );

    // A single error is the detail itself.
    let answer = stack.get(&reader, "/v1/events?limit=0").await;
    check(&answer, 400, "parameter", &[("limit", "\"0\" must be a whole number from 1 to 1000")]);
    assert_eq!(answer.body["detail"], "\"limit\": \"0\" must be a whole number from 1 to 1000");
    let answer = stack.get(&reader, "/v1/me?tenant=acme&x=1").await;
    check(&answer, 400, "parameter", &[("tenant", "takes none"), ("x", "takes none")]);

    // However many there are, the answer stays short.
    let many: Vec<_> = (0..400).map(|n| format!("x{n}=1")).collect();
    let answer = stack.get(&reader, &format!("/v1/events?{}", many.join("&"))).await;
    let found = errors(&answer, "parameter");
    assert_eq!((found.len(), found[""]), (41, "and 360 more errors; mend these first"));
    stack.stop().await;
}

#[tokio::test]
async fn every_list_names_all_its_wrong_parameters() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    for (path, expected) in [
        (
            "/v1/windows?state=open,gone&sate=open&limit=0&cursor=x",
            &[
                ("state", "\"gone\" must be one of"),
                ("sate", "did you mean \"state\"?"),
                ("limit", "1 to 1000"),
                ("cursor", "does not belong to this query"),
            ] as &[_],
        ),
        (
            "/v1/findings?state=x&rule=x&severity=extreme&owned=yes&since=soon&limit=x&cursor=x",
            &[
                ("state", "must be one of"),
                ("rule", "there is no rule \"x\""),
                ("severity", "\"extreme\" must be one of"),
                ("owned", "\"yes\" must be true or false"),
                ("since", "is not a time"),
                ("limit", "1 to 1000"),
                ("cursor", "does not belong to this query"),
            ],
        ),
        ("/v1/alerts?state=x&limit=x", &[("state", "must be one of"), ("limit", "1 to 1000")]),
        ("/v1/reviews?state=x&cursor=x", &[("state", "must be one of"), ("cursor", "this query")]),
        ("/v1/people?q=%20&limit=x", &[("q", "no word"), ("limit", "1 to 1000")]),
        ("/v1/exports?limit=x&cursor=x", &[("limit", "1 to 1000"), ("cursor", "this query")]),
        (
            "/v1/sessions?until=soon&limit=x&state=GONE",
            &[("until", "is not a time"), ("limit", "1 to 1000"), ("state", "must be one of")],
        ),
        (
            "/v1/feed?after=x&shape=leef&filter=(&include_service=x&limit=x",
            &[
                ("after", "does not belong to this query"),
                ("shape", "must be one of native, ocsf"),
                ("filter", "at character 2"),
                ("include_service", "true or false"),
                ("limit", "1 to 1000"),
            ],
        ),
        (
            "/v1/calendar?since=2026-01-01&until=2028-01-01&limit=5",
            &[("until", "366 days"), ("limit", "unknown")],
        ),
        (
            "/v1/reports/account-holder",
            &[
                ("account", "the report \"account-holder\" needs it, as in msptech6913"),
                ("at", "the report \"account-holder\" needs it"),
            ],
        ),
        (
            "/v1/reports/approval-times?since=all&until=soon&by=year&limit=x&cursor=x&target=",
            &[
                ("until", "is not a time"),
                ("by", "\"year\" must be team or approver"),
                ("limit", "1 to 1000"),
                ("cursor", "this query"),
                ("target", "unknown query parameter"),
            ],
        ),
        (
            "/v1/reports/access?since=2026-11-22&until=2026-11-21&person=",
            &[("until", "must be after \"since\""), ("person", "leave it out for all")],
        ),
        (
            "/v1/reports/requests/r-1?id=r-2&limit=x",
            &[("id", "unknown query parameter"), ("limit", "1 to 1000")],
        ),
    ] {
        let answer = stack.get(&reader, path).await;
        check(&answer, 400, "parameter", expected);
    }
    let answer = stack.get(&reader, "/v1/reports/account-holder").await;
    assert_eq!(
        answer.body["detail"],
        "2 query parameters are wrong or missing: \"account\", \"at\". The first is \"account\": \
         the report \"account-holder\" needs it, as in msptech6913"
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_cursor_is_judged_once_the_other_parameters_are_right() {
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    for _ in 0..2 {
        assert_eq!(stack.post(&writer, "/v1/events", &login()).await.status, 201);
    }
    let reader = stack.reader("acme");
    let first = stack.get(&reader, "/v1/events?limit=1&order=desc").await;
    let cursor = first.body["next"].as_str().unwrap();
    // The cursor is right for the query that was meant.
    let wrong = stack.get(&reader, &format!("/v1/events?order=dsec&cursor={cursor}")).await;
    check(&wrong, 400, "parameter", &[("order", "must be desc or asc")]);
    // It is bound to all parameters but `limit`.
    let wrong = stack.get(&reader, &format!("/v1/events?order=asc&limit=0&cursor={cursor}")).await;
    let expected = [("limit", "1 to 1000"), ("cursor", "does not belong to this query")];
    check(&wrong, 400, "parameter", &expected);
    let right = stack.get(&reader, &format!("/v1/events?order=desc&cursor={cursor}")).await;
    assert_eq!(right.status, 200, "{}", right.text);
    stack.stop().await;
}

#[tokio::test]
async fn all_wrong_members_of_a_search_or_export_are_named_at_once() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    let search = json!({
        "since": 1_763_771_167, "until": "soon", "filter": "actor.mail pr", "q": null, "limit": "10",
        "include_service": "true", "order": "up", "cursor": "abc", "filtre": "id pr", "a/b": 1,
    });
    let expected = [
        ("/since", "must be a string, not the number 1763771167"),
        ("/until", "\"soon\" is not a time"),
        ("/filter", "at character 1: \"actor.mail\" is not an attribute"),
        ("/q", "is null; leave it out when there is none"),
        ("/limit", "must be a whole number, not a string"),
        ("/include_service", "must be true or false, not a string"),
        ("/order", "must be desc or asc"),
        ("/cursor", "does not belong to this query"),
        ("/filtre", "is no known field; did you mean \"filter\"?"),
        ("/a~1b", "is no known field; known are since, until"),
    ];
    let answer = stack.post(&reader, "/v1/events/search", &search).await;
    check(&answer, 400, "pointer", &expected);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("10 members of the body are wrong or missing: "), "{detail}");

    let counts = stack.post(&reader, "/v1/events/counts", &json!({"since": "soon"})).await;
    let expected = [("/since", "is not a time"), ("/by", "is required: minute, hour or day")];
    check(&counts, 400, "pointer", &expected);

    // What is wrong with the JSON itself comes with the rest.
    let twice = r#"{"q": "a", "q": "b", "limit": 99999999999999999999, "order": "up"}"#;
    let request = stack.request("POST", "/v1/events/search").bearer_auth(&reader);
    let answer = send(request.header("content-type", "application/json").body(twice)).await;
    let expected = [("/q", "twice"), ("/limit", "2^53"), ("/order", "desc or asc")];
    check(&answer, 400, "pointer", &expected);
    for (body, said) in [
        ("[]", "must be a JSON object, not a list"),
        ("{'q': 1}", "is not JSON at character 2, \"'\": the name of a member"),
    ] {
        let request = stack.request("POST", "/v1/events/search").bearer_auth(&reader);
        let answer = send(request.header("content-type", "application/json").body(body)).await;
        check(&answer, 400, "pointer", &[("", said)]);
        assert!(answer.body["detail"].as_str().unwrap().starts_with("the body "), "{body}");
    }

    let export = json!({
        "since": "2026-11-22", "until": "2026-11-21", "profile": "pdf", "gzip": 1, "tz": "Mars",
        "columns": ["Message", "Mesage", "Message", 7], "file_name": "../x", "fromat": "csv",
    });
    let expected = [
        ("/profile", "must be plain or excel"),
        ("/gzip", "must be true or false, not the number 1"),
        ("/tz", "is not an IANA time zone"),
        ("/columns/1", "there is no column \"Mesage\"; the columns are Event ID"),
        ("/columns/2", "column \"Message\" is named twice"),
        ("/columns/3", "must be the name of a column, not the number 7"),
        ("/file_name", "must be 1 to 100 of"),
        ("/fromat", "is no known field"),
    ];
    check(&stack.post(&reader, "/v1/exports", &export).await, 400, "pointer", &expected);
    let report = json!({
        "q": "x", "filter": "nope",
        "report": {"name": "account-holder", "acount": "a", "account": 5, "since": "2026-01-01"},
        "columns": ["Nope"],
    });
    let expected = [
        ("/q", "stands inside \"report\""),
        ("/filter", "stands inside \"report\""),
        ("/report/acount", "did you mean \"account\"?"),
        ("/report/account", "must be a string, not the number 5"),
        ("/report/at", "the report \"account-holder\" needs it"),
        ("/report/since", "is no known field"),
    ];
    check(&stack.post(&reader, "/v1/exports", &report).await, 400, "pointer", &expected);
    for (report, place, said) in [
        (json!({}), "/report/name", "is required"),
        (json!({"name": "acces"}), "/report/name", "did you mean \"access\"? GET /v1/reports"),
        (json!(["access"]), "/report", "must be an object with the report's name"),
    ] {
        let asked = json!({"report": report, "profile": "pdf"});
        let answer = stack.post(&reader, "/v1/exports", &asked).await;
        check(&answer, 400, "pointer", &[(place, said), ("/profile", "plain or excel")]);
    }
    stack.stop().await;
}

#[tokio::test]
async fn all_wrong_members_of_a_saved_search_are_named_at_once() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    let saved = json!({
        "id": "other", "owner": {"type": "user", "email": "kim@acme.example"},
        "range": "last fortnight", "schedule": {"every": "hour"}, "recipients": ["ops"],
        "filter": "nope", "columns": ["Message", "Nope"], "gzip": "yes", "nmae": "x",
    });
    let expected = [
        ("/id", "must be \"mine\", the id in the address"),
        ("/owner", "is set by the service alone; leave it out"),
        ("/name", "is required"),
        ("/range", "last N days"),
        ("/schedule/every", "\"quarter\""),
        ("/filter", "at character 1"),
        ("/columns/1", "there is no column \"Nope\""),
        ("/gzip", "must be true or false"),
        ("/nmae", "is no known field; did you mean \"name\"?"),
        ("/recipients/0", "none is configured yet"),
    ];
    check(&stack.put(&reader, "/v1/saved/mine", &saved).await, 422, "pointer", &expected);
    check(
        &stack.put(&reader, "/v1/saved/mine", &json!(["x"])).await,
        422,
        "pointer",
        &[("", "must be a JSON object, not a list")],
    );
    stack.stop().await;
}

#[tokio::test]
async fn errors_of_events_say_what_was_given_and_what_is_needed() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let mut event = login();
    event["occurred_at"] = json!(1_763_771_167);
    event.as_object_mut().unwrap().remove("actor");
    let answer = stack.post(&portal, "/v1/events", &event).await;
    let expected = [
        (
            "/occurred_at",
            "must be a string with an RFC 3339 time, like \"2026-11-22T00:26:07Z\", not the number 1763771167",
        ),
        ("/actor", "is required: who did it, as {\"type\": \"user\", \"email\":"),
    ];
    check(&answer, 422, "pointer", &expected);
    for (actor, said) in [
        (json!("alex"), "must be a JSON object, not a string: who did it, as {\"type\""),
        (json!(null), "is required: who did it"),
    ] {
        let mut event = login();
        event["actor"] = actor;
        event["occurred_at"] = json!("2026-11-22");
        let answer = stack.post(&portal, "/v1/events", &event).await;
        let time = "\"2026-11-22\" must be an RFC 3339 time with an offset";
        check(&answer, 422, "pointer", &[("/actor", said), ("/occurred_at", time)]);
    }

    let lines = format!("{}\nnot json\n{{\"action\": \"user.logged_in\"\n", login());
    let answer = post_text(&stack, &portal, "application/x-ndjson", lines).await;
    let said: Vec<_> = answer.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["errors"][0]["detail"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        said,
        [
            "",
            "is not JSON at character 1, \"not\": no JSON value; a string stands in double quotes, and anything else is a number, true, false, null, an object or a list",
            "is not JSON: it ends too early; a closing quote, bracket or value is missing",
        ]
    );
    let answer = post_text(&stack, &portal, "application/json", "{\"action\": x}".into()).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body["detail"].as_str().unwrap().starts_with(
            "the body is not JSON at character 12, \"x\": no JSON value; a string stands"
        ),
        "{}",
        answer.text
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_conflict_of_a_key_names_the_key() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let post = async |event: &Value| {
        let request = stack.request("POST", "/v1/events").bearer_auth(&portal);
        send(request.header("idempotency-key", "order-7").json(event)).await
    };
    let event = login();
    let first = post(&event).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let mut other = event.clone();
    other["reason"] = json!("another");
    let conflict = post(&other).await;
    let said = "differs from the event that was stored with the Idempotency-Key \"order-7\"";
    check(&conflict, 409, "pointer", &[("/reason", said)]);
    let id = first.body["id"].as_str().unwrap();
    assert_eq!(
        conflict.body["detail"],
        format!(
            "another event was already sent with the Idempotency-Key \"order-7\", and that event is kept, with the id {id}. Send a new event with a new key"
        )
    );
    let list = post(&json!({"events": [other]})).await;
    assert_eq!(list.body["results"][0]["errors"][0]["detail"], said, "{}", list.text);

    // The key plays no part for an event with an id of its own.
    other["id"] = json!("own");
    assert_eq!(post(&other).await.status, 201);
    other["reason"] = json!("a third");
    let conflict = post(&other).await;
    assert!(conflict.text.contains("another event already has the id own"), "{}", conflict.text);
    stack.stop().await;
}

#[tokio::test]
async fn settings_that_nobody_changed_exist_already() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let put = async |header: &'static str, tag: &'static str| {
        let request = stack.request("PUT", "/v1/settings").bearer_auth(&admin);
        send(request.header(header, tag).json(&json!({"zone": "Europe/Paris"}))).await
    };
    let refused = put("if-none-match", "*").await;
    assert_eq!(refused.status, 412, "{}", refused.text);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("there always are settings") && detail.contains("as If-Match"),
        "{detail}"
    );
    let refused = put("if-match", "\"3\"").await;
    assert!(refused.status == 412 && refused.text.contains("version is 0 now"), "{}", refused.text);
    assert_eq!(put("if-match", "*").await.status, 200);
    stack.stop().await;
}

/// A configured document of each kind: its address, and what is stored.
fn documents() -> Vec<(&'static str, Value)> {
    vec![
        ("/v1/people/alex", json!({"name": "Alex", "emails": ["alex@acme.example"]})),
        (
            "/v1/applications/external",
            json!({"name": "Orders", "directory": {"kind": "external"}, "owners": ["it@acme.example"]}),
        ),
        (
            "/v1/applications/scim",
            json!({
                "name": "CRM", "accounts": ["adm-*"], "window": "PT4H",
                "directory": {"kind": "scim", "base_url": "http://127.0.0.1:9/scim/v2", "token": "env:JIT_AUDIT_SECRET_DIRECTORY"},
            }),
        ),
        (
            "/v1/packages/sales",
            json!({
                "name": "Sales", "resource_roles": [{"resource": {"name": "Team"}, "role": "member"}],
                "policies": [{"id": "p", "requestors": {"members": true}, "approvers": {"manager": true}, "duration": "P30D"}],
            }),
        ),
        (
            "/v1/organisations/fabrikam",
            json!({"name": "Fabrikam", "state": "configured", "domains": ["fabrikam.example"], "created_at": "2020-05-13T15:18:04Z"}),
        ),
        (
            "/v1/connections/entra",
            json!({
                "name": "Acme", "kind": "entra", "client_secret": "env:JIT_AUDIT_SECRET_DIRECTORY",
                "tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
                "client_id": "9f2a1f3c-53a0-4a8e-8a4e-6f1b7ad8ae11",
                "graph_url": "http://127.0.0.1:9", "login_url": "http://127.0.0.1:9",
                "collect": ["users"],
            }),
        ),
        (
            "/v1/streams/siem",
            json!({"target": {"kind": "eventbridge"}, "filter": "outcome eq \"failure\"", "from": "oldest"}),
        ),
        (
            "/v1/saved/weekly",
            json!({
                "name": "Weekly", "range": "last week", "schedule": {"every": "week"}, "columns": ["Message"],
                "jsonl": true, "filter": "outcome eq \"failure\"", "recipients": ["ops"],
            }),
        ),
        (
            "/v1/saved/access",
            json!({"name": "Access", "report": {"name": "access", "since": "2026-01-01"}}),
        ),
        (
            "/v1/review-plans/monthly",
            json!({"name": "Monthly", "every": "month", "of": "sessions", "sample": {"size": 5}, "due_days": 7}),
        ),
        ("/v1/settings", settings()),
    ]
}

fn settings() -> Value {
    json!({
        "retention_days": 100, "zone": "Europe/Paris", "hold_since": seconds_ago(3600),
        "thresholds": {"revocation_seconds": 600},
        "alerts": [{"id": "ops", "kind": "sns", "severity": "high", "rules": ["approval.*"]}],
    })
}

#[tokio::test]
async fn a_document_that_was_read_can_be_changed_and_sent_back() {
    let stack = Stack::start().await;
    let admin = stack.caller("acme", "admin", "audit:admin audit:operate audit:read");
    // Twice, so that there is an earlier retention. The saved searches have recipients.
    let longer = json!({"retention_days": 200});
    assert_eq!(stack.put(&admin, "/v1/settings", &longer).await.status, 200);
    assert_eq!(stack.put(&admin, "/v1/settings", &settings()).await.status, 200);
    for (path, body) in documents() {
        let stored = stack.put(&admin, path, &body).await;
        assert!(stored.status.is_success(), "{path}: {}", stored.text);
        let read = stack.get(&admin, path).await;
        assert_eq!(read.status, 200, "{path}: {}", read.text);
        // As it is: nothing changes.
        let again = stack.put(&admin, path, &read.body).await;
        assert_eq!(again.status, 200, "{path}: {}", again.text);
        assert_eq!(again.header("etag"), read.header("etag"), "{path}");
        // With a change, and then with the answer of the first change.
        let (key, value) = match path {
            "/v1/settings" => ("zone", "Asia/Tokyo"),
            "/v1/streams/siem" => ("shape", "ocsf"),
            _ => ("name", "Changed"),
        };
        let mut edited = again.body.clone();
        edited[key] = json!(value);
        let changed = stack.put(&admin, path, &edited).await;
        assert_eq!(
            (changed.status.as_u16(), &changed.body[key]),
            (200, &json!(value)),
            "{path}: {}",
            changed.text
        );
        let mut back = changed.body.clone();
        back[key] = body.get(key).cloned().unwrap_or(json!("native"));
        let last = stack.put(&admin, path, &back).await;
        assert_eq!(last.status, 200, "{path}: {}", last.text);
        let after = stack.get(&admin, path).await;
        for member in body.as_object().unwrap().keys().filter(|key| *key != "from") {
            assert_eq!(after.body[member], read.body[member], "{path} {member}");
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn what_only_the_service_sets_cannot_be_changed() {
    let stack = Stack::start().await;
    let admin = stack.caller("acme", "admin", "audit:admin audit:operate audit:read");
    assert_eq!(stack.put(&admin, "/v1/settings", &settings()).await.status, 200);
    for (path, body) in documents() {
        assert!(stack.put(&admin, path, &body).await.status.is_success(), "{path}");
        let read = stack.get(&admin, path).await.body;
        let mut other = read.clone();
        if path != "/v1/settings" {
            other["id"] = json!("other");
            let own = path.rsplit_once('/').unwrap().1;
            let refused = stack.put(&admin, path, &other).await;
            let said = format!("must be {own:?}, the id in the address; it may be left out");
            check(&refused, 422, "pointer", &[("/id", &said)]);
        }
    }
    for (path, key, value, said) in [
        ("/v1/streams/siem", "replays", json!(3), "is set by the service alone, to 0 here"),
        ("/v1/streams/siem", "lag_ms", json!("x"), "must be a whole number, not a string"),
        ("/v1/streams/siem", "test", json!([]), "must be an object, not a list"),
        ("/v1/connections/entra", "sources", json!("x"), "must be a list, not a string"),
        (
            "/v1/saved/weekly",
            "owner",
            json!({"type": "system"}),
            "is set by the service alone, to {",
        ),
        ("/v1/saved/weekly", "next_run_at", json!(5), "must be a string, not the number 5"),
        ("/v1/settings", "hold_placed_at", json!("2020-01-01T00:00:00Z"), "leave it out"),
        ("/v1/settings", "longer_since", json!("2020-01-01T00:00:00Z"), "leave it out"),
        ("/v1/packages/sales", "version", json!("1"), "must be a whole number, not a string"),
    ] {
        let mut body = stack.get(&admin, path).await.body;
        body[key] = value;
        let refused = stack.put(&admin, path, &body).await;
        check(&refused, 422, "pointer", &[(&format!("/{key}"), said)]);
    }
    // Of a new document there is nothing to repeat but its id.
    let body = json!({"id": "new", "name": "New", "owner": {"type": "user", "id": "x"}});
    let refused = stack.put(&admin, "/v1/saved/new", &body).await;
    check(&refused, 422, "pointer", &[("/owner", "is set by the service alone; leave it out")]);
    let body = json!({"id": "new", "name": "New"});
    assert_eq!(stack.put(&admin, "/v1/saved/new", &body).await.status, 201);
    stack.stop().await;
}

#[tokio::test]
async fn the_version_in_a_body_guards_against_an_earlier_change() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let path = "/v1/organisations/fabrikam";
    let with = |name: &str, version: Option<u64>| {
        let mut body = json!({"name": name, "state": "configured"});
        version.into_iter().for_each(|version| body["version"] = json!(version));
        body
    };
    let refused = stack.put(&admin, path, &with("One", Some(1))).await;
    check(
        &refused,
        409,
        "pointer",
        &[("/version", "is 1; leave it out to create the organisation")],
    );
    assert!(refused.text.contains("there is no organisation with this id"), "{}", refused.text);
    assert_eq!(stack.put(&admin, path, &with("One", None)).await.status, 201);
    assert_eq!(stack.put(&admin, path, &with("Two", Some(1))).await.status, 200);
    let refused = stack.put(&admin, path, &with("Three", Some(1))).await;
    check(&refused, 409, "pointer", &[("/version", "is 1, but version 2 is stored by now")]);
    // The second change is sent again, after an answer that was lost.
    let repeated = stack.put(&admin, path, &with("Two", Some(1))).await;
    assert_eq!((repeated.status.as_u16(), repeated.header("etag")), (200, "\"2\""));
    assert_eq!(stack.get(&admin, path).await.body["name"], "Two");
    stack.stop().await;
}

#[tokio::test]
async fn many_documents_that_were_read_can_be_sent_back() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let path = "/v1/organisations";
    for name in ["one", "two"] {
        let body = json!({"name": name, "state": "configured"});
        assert_eq!(stack.put(&admin, &format!("{path}/{name}"), &body).await.status, 201);
    }
    let mut entries = stack.get(&admin, path).await.body["organisations"].clone();
    let sent = stack.put(&admin, path, &json!({"organisations": entries})).await;
    assert_eq!((sent.status.as_u16(), &sent.body["unchanged"]), (200, &json!(2)), "{}", sent.text);
    // Somebody changes one of them.
    let body = json!({"name": "Changed", "state": "configured"});
    assert_eq!(stack.put(&admin, &format!("{path}/one"), &body).await.status, 200);
    entries[0]["description"] = json!("Mine");
    entries[1]["description"] = json!("Mine");
    let sent = stack.put(&admin, path, &json!({"organisations": entries})).await.body;
    let results = &sent["results"];
    assert_eq!(
        (&results[0]["status"], &results[1]["status"]),
        (&json!("conflict"), &json!("changed"))
    );
    assert_eq!(results[0]["errors"][0]["pointer"], "/version", "{results}");
    assert_eq!(stack.get(&admin, &format!("{path}/one")).await.body["name"], "Changed");

    // The body itself is checked as a whole too.
    let refused = stack.put(&admin, path, &json!({"organisation": [], "next": null})).await;
    let expected = [
        ("/organisations", "is required: a list of 1 to 500 objects"),
        ("/organisation", "is no known field; send \"organisations\" alone"),
        ("/next", "is no known field"),
    ];
    check(&refused, 422, "pointer", &expected);
    stack.stop().await;
}
