//! Settings and people: changes by administrators, their effect, and their recorded events.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use futures::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};
use tests::{Answer, Stack, seconds_ago};

/// The recorded changes of an action, oldest first, as (actor, old, new).
async fn changes(stack: &Stack, token: &str, action: &str) -> Vec<(Value, Value, Value)> {
    let query = json!({"filter": format!("action eq {action:?}"), "include_service": true, "order": "asc", "limit": 1000});
    let answer = stack.post(token, "/v1/events/search", &query).await;
    let events =
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone();
    let told = |event: Value| {
        (
            event["actor"]["email"].clone(),
            event["details"]["old"].clone(),
            event["details"]["new"].clone(),
        )
    };
    events.into_iter().map(told).collect()
}

fn names(answer: &Answer) -> Vec<&str> {
    let people = answer.body["people"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    people.iter().map(|person| person["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_tenant_settings_take_effect_and_are_recorded() {
    let stack = Stack::start().await;
    let (admin, reader, writer) = (stack.admin("acme"), stack.reader("acme"), stack.writer("acme"));
    let before = stack.get(&reader, "/v1/settings").await.body;
    assert_eq!((&before["retention_days"], &before["zone"]), (&json!(400), &json!("UTC")));
    assert_eq!(before["thresholds"]["revocation_seconds"], 300);

    // Older than 93 days, younger than 400.
    let days_ago = |days: u64| seconds_ago(days * 86_400);
    let event = |id: &str, days| json!({"id": id, "action": "user.logged_in", "occurred_at": days_ago(days), "actor": {"type": "user", "name": "x"}});
    assert_eq!(stack.post(&writer, "/v1/events", &event("old", 100)).await.status, 201);

    for (token, status) in [(&reader, 403), (&writer, 403)] {
        assert_eq!(
            stack.put(token, "/v1/settings", &json!({"retention_days": 93})).await.status,
            status
        );
    }
    let answer = stack
        .put(&admin, "/v1/settings", &json!({"retention_days": 93, "zone": "Europe/Paris"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // A shorter retention applies after a week, and stored events are kept. `weakening.rs` has further tests.
    assert!(
        answer.body["notice"].as_str().unwrap().contains("keep the retention"),
        "{}",
        answer.text
    );
    assert_eq!(stack.get(&reader, "/v1/events/old").await.status, 200);
    let me = stack.get(&reader, "/v1/me").await.body;
    assert_eq!((&me["zone"], &me["retention_days"]), (&json!("Europe/Paris"), &json!(93)));

    // A longer retention applies to new events.
    let answer = stack.put(&admin, "/v1/settings", &json!({"retention_days": 3653})).await;
    assert!(answer.body["notice"].as_str().unwrap().contains("from now on"), "{}", answer.text);
    assert_eq!(answer.body["zone"], "Europe/Paris");
    assert_eq!(stack.get(&reader, "/v1/events/old").await.status, 200);
    assert_eq!(stack.post(&writer, "/v1/events", &event("ancient", 3000)).await.status, 201);

    // Equal settings are not a change.
    let again = stack.put(&admin, "/v1/settings", &json!({"retention_days": 3653})).await;
    assert!(again.status == 200 && again.body.get("notice").is_none(), "{}", again.text);
    let told = changes(&stack, &reader, "settings.changed").await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].0, "admin@acme.example");
    // The first change starts from the defaults, the second one from the first.
    assert_eq!((&told[0].1, &told[1].1), (&before, &told[0].2));
    assert_eq!(told[0].2["retention_days"], 93);
    assert_eq!(told[1].2["retention_days"], 3653);

    // The settings of another tenant did not change.
    assert_eq!(stack.get(&stack.reader("bolt"), "/v1/settings").await.body, before);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_without_offset_are_read_in_the_tenants_zone() {
    let stack = Stack::start().await;
    let (admin, writer) = (stack.admin("acme"), stack.writer("acme"));
    // A day in Kolkata starts at 18:30 UTC.
    let today = &seconds_ago(86_400)[..10];
    for (id, time) in [("before", "18:29:59.999"), ("after", "18:30:00.000")] {
        let event = json!({"id": id, "action": "user.logged_in", "occurred_at": format!("{}T{time}Z", day_before(today)), "actor": {"type": "user", "name": "x"}});
        assert_eq!(stack.post(&writer, "/v1/events", &event).await.status, 201);
    }
    stack.put(&admin, "/v1/settings", &json!({"zone": "Asia/Kolkata"})).await;
    let ids = async |query: &str| {
        let answer = stack.get(&admin, &format!("/v1/events?since={today}{query}")).await;
        answer.body["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, ["after"]);
    assert_eq!(ids("&tz=UTC").await, Vec::<Value>::new());
    stack.stop().await;
}

fn day_before(day: &str) -> String {
    day.parse::<chrono::NaiveDate>().unwrap().pred_opt().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_settings_and_people_change_nothing() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    for (path, body, status, part) in [
        ("/v1/settings", json!({"retention_days": 5}), 422, "/retention_days"),
        ("/v1/settings", json!({"zone": "Mars", "retention_days": 5}), 422, "/zone"),
        ("/v1/settings", json!({"retention": 100}), 422, "did you mean"),
        ("/v1/settings", json!([]), 422, "object"),
        ("/v1/people/p", json!({}), 422, "at least one"),
        ("/v1/people/p", json!({"emails": ["a@b"], "boss": "x"}), 422, "/boss"),
        ("/v1/people/%20p", json!({"emails": ["a@b"]}), 400, "id in the address"),
        ("/v1/people/p?x=1", json!({"emails": ["a@b"]}), 400, "unknown query parameter"),
    ] {
        let answer = stack.put(&admin, path, &body).await;
        assert!(
            answer.status == status && answer.text.contains(part),
            "{path} {body}: {} {}",
            answer.status,
            answer.text
        );
    }
    assert_eq!(stack.get(&admin, "/v1/people").await.body, json!({"people": [], "next": null}));
    assert_eq!(changes(&stack, &admin, "settings.changed").await, []);
    assert_eq!(changes(&stack, &admin, "person.configured").await, []);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_record_joins_several_ids_of_one_human() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let alex = json!({"name": "Alex Müller", "emails": ["Alex@nikpot.com"], "upns": ["alex@nikpot.onmicrosoft.com"], "scm_names": ["alexn"], "team": "MSP", "manager": "sam"});
    let created = stack.put(&admin, "/v1/people/alex", &alex).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(stack.put(&admin, "/v1/people/alex", &alex).await.status, 200);
    let mut whole = alex.clone();
    whole["id"] = "alex".into();
    whole["version"] = 1.into();
    assert_eq!(stack.get(&admin, "/v1/people/alex").await.body, whole);

    // Another person cannot have the same id, in any case or list.
    for (taken, pointer) in [
        (json!({"emails": ["x@y"], "upns": ["alex@NIKPOT.com"]}), "/upns/0"),
        (json!({"scm_names": ["AlexN"]}), "/scm_names/0"),
    ] {
        let refused = stack.put(&admin, "/v1/people/other", &taken).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
        assert!(refused.text.contains("\\\"alex\\\""), "{}", refused.text);
    }
    assert_eq!(stack.get(&admin, "/v1/people/other").await.status, 404);

    // A released id is free.
    assert_eq!(
        stack.put(&admin, "/v1/people/alex", &json!({"emails": ["alex@nikpot.com"]})).await.status,
        200
    );
    assert_eq!(
        stack.put(&admin, "/v1/people/other", &json!({"scm_names": ["alexn"]})).await.status,
        201
    );
    // People of another tenant are independent.
    assert_eq!(
        stack
            .put(&stack.admin("bolt"), "/v1/people/alex", &json!({"scm_names": ["alexn"]}))
            .await
            .status,
        201
    );
    assert_eq!(stack.get(&stack.reader("bolt"), "/v1/people/other").await.status, 404);

    let told = changes(&stack, &admin, "person.configured").await;
    assert_eq!(
        told.iter().map(|(_, old, new)| (old, new)).collect::<Vec<_>>(),
        [
            (&Value::Null, &alex),
            (&alex, &json!({"emails": ["alex@nikpot.com"]})),
            (&Value::Null, &json!({"scm_names": ["alexn"]})),
        ]
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_typed_text_and_listed_in_pages() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    for place in 0..7 {
        let team = if place % 2 == 0 { "Größe" } else { "Ops" };
        let person = json!({"name": format!("Person {place}"), "emails": [format!("p{place}@acme.example")], "team": team});
        assert_eq!(
            stack.put(&admin, &format!("/v1/people/{}", 6 - place), &person).await.status,
            201
        );
    }
    let all = stack.get(&admin, "/v1/people").await;
    assert_eq!(names(&all), ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        names(&stack.get(&admin, "/v1/people?q=GRÖSSE%20person").await),
        ["0", "2", "4", "6"]
    );
    assert_eq!(names(&stack.get(&admin, "/v1/people?q=p3@").await), ["3"]);
    assert_eq!(names(&stack.get(&admin, "/v1/people?q=nobody").await), Vec::<&str>::new());

    let mut seen = Vec::new();
    let mut path = "/v1/people?q=person&limit=3".to_owned();
    loop {
        let page = stack.get(&admin, &path).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page.body["next"].as_str() {
            Some(next) => path = format!("/v1/people?q=person&limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    let cursor =
        stack.get(&admin, "/v1/people?limit=1").await.body["next"].as_str().unwrap().to_owned();
    for path in [
        format!("/v1/people?cursor={cursor}&q=x"),
        "/v1/people?cursor=x".into(),
        "/v1/people?name=x".into(),
        "/v1/people?limit=0".into(),
    ] {
        assert_eq!(stack.get(&admin, &path).await.status, 400, "{path}");
    }
    assert_eq!(
        stack.get(&stack.reader("bolt"), &format!("/v1/people?cursor={cursor}")).await.status,
        400
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_documents_are_stored_in_one_request_and_a_wrong_one_sinks_no_other() {
    let stack = Stack::start().await;
    let (admin, reader) = (stack.admin("acme"), stack.reader("acme"));
    // As large as the records of real people, which together exceed the limit of one document.
    let person = |id: String| {
        json!({
            "id": id, "name": format!("{id} {}", "of the finance department"),
            "emails": [format!("{id}@acme.example")], "upns": [format!("{id}@acme.onmicrosoft.com")],
            "object_ids": [format!("6e7b768e-07e2-4810-8459-485f84f8f204-{id}")],
            "team": "Finance", "manager": "p-000", "groups": ["grp-technicians", "grp-finance", "grp-paris"],
        })
    };
    let people: Vec<_> = (0..500).map(|number| person(format!("p-{number:03}"))).collect();
    let all = json!({"people": people});
    assert_eq!(stack.put(&reader, "/v1/people", &all).await.status, 403);
    // On a slow engine the time of one request does not suffice for all of them, and the same request
    // goes on where it ended. What was unavailable may have been stored.
    let answer = loop {
        let answer = stack.put(&admin, "/v1/people", &all).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        if answer.body["unavailable"] == 0 {
            break answer;
        }
        assert!(answer.body["created"].as_u64() > Some(0), "no progress: {}", answer.text);
    };
    let count = |outcome: &str| answer.body[outcome].as_u64().unwrap();
    assert_eq!(count("created") + count("unchanged"), 500, "{}", answer.text);
    let last = &answer.body["results"][499];
    assert_eq!(
        (&last["index"], &last["id"], &last["version"]),
        (&json!(499), &json!("p-499"), &json!(1))
    );
    assert!(all.to_string().len() > 64 * 1024);
    let large = json!({"people": [{"id": "large", "emails": ["l@acme.example"], "name": "x".repeat(65_536)}]});
    let large = stack.put(&admin, "/v1/people", &large).await;
    assert_eq!((large.status.as_u16(), &large.body["invalid"]), (200, &json!(1)), "{}", large.text);
    assert!(large.text.contains("maximum for one document is 64 KiB"), "{}", large.text);
    let again = stack.put(&admin, "/v1/people", &all).await;
    assert_eq!(again.body["unchanged"], 500, "{}", again.text);
    // Each document has its event.
    let page = stack.get(&reader, "/v1/people?limit=1000").await;
    assert_eq!(names(&page).len(), 500);
    let recorded = changes(&stack, &reader, "person.configured").await;
    assert_eq!(recorded.len(), 500);

    // An address moves to a person that is named before the one who gives it up.
    let several = json!({"people": [
        {"id": "p-000", "emails": ["p-000@acme.example", "p-001@acme.example"]},
        {"id": "p-001", "emails": ["new@acme.example"]},
        {"id": "p-002", "emails": ["p-003@acme.example"]},
        {"id": "p-004", "emails": [], "teem": "x"},
        person("p-005".to_owned()),
        {"id": "p-005", "emails": ["other@acme.example"]},
        {"emails": ["nobody@acme.example"]},
        "p-006",
    ]});
    let answer = stack.put(&admin, "/v1/people", &several).await;
    let counts = ["created", "changed", "unchanged", "conflict", "invalid", "unavailable"]
        .map(|count| answer.body[count].as_u64().unwrap());
    assert_eq!(counts, [0, 2, 1, 1, 4, 0], "{}", answer.text);
    let errors = |index: usize| {
        let errors = answer.body["results"][index]["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(errors(2), ["/emails/0"]);
    assert_eq!(errors(3), ["/emails", "/teem"]);
    assert_eq!((errors(5), errors(6), errors(7)), (vec!["/id"], vec!["/id"], vec![""]));
    let first = stack.get(&reader, "/v1/people/p-000").await;
    assert_eq!(first.body["emails"][1], "p-001@acme.example", "{}", first.text);

    let packages = json!({"packages": [
        {"id": "finance", "name": "Finance"}, {"id": "finance-2", "name": "FINANCE"}]});
    let answer = stack.put(&admin, "/v1/packages", &packages).await;
    assert_eq!(
        (&answer.body["created"], &answer.body["conflict"]),
        (&json!(1), &json!(1)),
        "{}",
        answer.text
    );
    let organisations =
        json!({"organisations": [{"id": "contoso", "name": "Contoso", "state": "configured"}]});
    let answer = stack.put(&admin, "/v1/organisations", &organisations).await;
    assert_eq!(answer.body["created"], 1, "{}", answer.text);

    for (body, pointer) in [
        (json!({}), "/people"),
        (json!({"people": []}), "/people"),
        (json!({"people": {}}), "/people"),
        (json!({"people": vec![person("p".to_owned()); 501]}), "/people"),
        (json!({"people": [person("p".to_owned())], "packages": []}), "/packages"),
    ] {
        let answer = stack.put(&admin, "/v1/people", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{}", answer.text);
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_applied_one_after_another() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let stack = &stack;
    let admin = &admin;
    // Each request sets other values for the same person.
    let puts = (0..8).map(|place| async move {
        stack
            .put(admin, "/v1/people/p", &json!({"emails": [format!("p{place}@acme.example")]}))
            .await
    });
    for answer in join_all(puts).await {
        assert!(matches!(answer.status.as_u16(), 200 | 201), "{}", answer.text);
    }
    let told = changes(stack, admin, "person.configured").await;
    assert_eq!(told.len(), 8);
    // The old value of each change is the new value of another. The first one has no old value.
    assert_eq!(told.iter().filter(|(_, old, _)| old.is_null()).count(), 1);
    for (_, old, _) in told.iter().filter(|(_, old, _)| !old.is_null()) {
        assert_eq!(told.iter().filter(|(_, _, new)| new == old).count(), 1);
    }

    // Concurrent changes of different settings do not overwrite each other.
    let changes = [
        json!({"zone": "Asia/Tokyo"}),
        json!({"retention_days": 200}),
        json!({"thresholds": {"approval_days": 7}}),
    ];
    for answer in
        join_all(changes.iter().map(|change| stack.put(admin, "/v1/settings", change))).await
    {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let settings = stack.get(admin, "/v1/settings").await.body;
    assert_eq!(
        (&settings["zone"], &settings["retention_days"]),
        (&json!("Asia/Tokyo"), &json!(200))
    );
    assert_eq!(settings["thresholds"]["approval_days"], 7);

    // Each request wants the same e-mail address for another person.
    let puts = (0..8).map(|place| async move {
        stack
            .put(admin, &format!("/v1/people/q{place}"), &json!({"emails": ["q@acme.example"]}))
            .await
            .status
            .as_u16()
    });
    let mut statuses = join_all(puts).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(names(&stack.get(admin, "/v1/people?q=q@acme").await).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_too_long_for_a_key_is_not_found() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let long = "x".repeat(2100);
    for path in [format!("/v1/people/{long}"), format!("/v1/sessions/{long}")] {
        assert_eq!(stack.get(&admin, &path).await.status, 404);
    }
    let filter = json!({"filter": format!("actor.email eq \"{long}\"")});
    let found = stack.post(&admin, "/v1/events/search", &filter).await;
    assert!(found.status == 200 && found.body["events"] == json!([]), "{}", found.text);
    assert_eq!(
        stack.put(&admin, &format!("/v1/people/{long}"), &json!({"emails": ["a@b"]})).await.status,
        400
    );
    let much = json!({"emails": vec![0; 40_000]});
    assert_eq!(stack.put(&admin, "/v1/people/p", &much).await.status, 413);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_large_people_stays_below_the_response_size_limit() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let (stack, admin) = (&stack, &admin);
    let groups: Vec<_> = (0..50).map(|n| format!("{n}{}", "\"".repeat(250))).collect();
    let groups = &groups;
    let puts = (0..250).map(|n| async move {
        let person = json!({"emails": [format!("p{n}@acme.example")], "groups": groups});
        stack.put(admin, &format!("/v1/people/p{n}"), &person).await.status.as_u16()
    });
    // Only a few at a time, so that no request times out on a slow engine.
    let statuses: Vec<_> = stream::iter(puts).buffered(8).collect().await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    let (mut seen, mut path) = (0, "/v1/people?limit=1000".to_owned());
    loop {
        let page = stack.get(admin, &path).await;
        assert_eq!(page.status, 200, "{}", &page.text[..page.text.len().min(200)]);
        seen += names(&page).len();
        match page.body["next"].as_str() {
            Some(next) => path = format!("/v1/people?limit=1000&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_restored_from_a_backup_can_be_changed() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    for days in [100, 200, 300] {
        assert_eq!(
            stack.put(&admin, "/v1/settings", &json!({"retention_days": days})).await.status,
            200
        );
    }
    // A restore sets the state back to the first change. The events of all three changes remain.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    Client::new(stack.aws())
        .update_item()
        .table_name(stack.running.table("StateTable").unwrap())
        .key("pk", text("settings#acme"))
        .key("sk", text("settings"))
        .update_expression("SET generation = :one")
        .expression_attribute_values(":one", AttributeValue::N("1".into()))
        .send()
        .await
        .unwrap();
    let answer = stack.put(&admin, "/v1/settings", &json!({"retention_days": 93})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(stack.get(&admin, "/v1/settings").await.body["retention_days"], 93);
    assert_eq!(changes(&stack, &admin, "settings.changed").await.len(), 4);
    stack.stop().await;
}
