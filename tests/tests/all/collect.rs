//! Connections: a tenant names its directory, and the service collects its records.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use collect::{Collect, work};
use local::{Functions, Options};
use serde_json::{Value, json};
use shared::{
    domain::trail::{
        actions::ConfigurationAction,
        event::{EventId, Tenant},
    },
    platform::clock::{self, Clock},
};
use tests::{
    Answer, Stack,
    graph::{Fault, Graph, SECRET},
    options, recorded, seconds_ago, seconds_ahead, send, until,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::Instant as Deadline,
};

const IMPORT: &str = "/v1/events?format=entra";
const DAY: u64 = 86_400;

/// The options of a stack that collects every second.
fn quick() -> Options {
    let mut options = Options { minute: Duration::from_millis(500), ..options() };
    options.parameters.insert("CollectPause".into(), "1".into());
    options.secrets.insert("JIT_AUDIT_SECRET_GRAPH".into(), SECRET.into());
    options
}

fn person_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn email(number: usize) -> String {
    format!("person{number}@acme.example")
}

fn request_id(number: usize) -> String {
    format!("77777777-0000-4000-8000-{number:012}")
}

fn audit(number: usize, seconds: u64) -> Value {
    json!({
        "id": format!("Directory_{number}"), "category": "UserManagement", "activityDisplayName": "Update user",
        "activityDateTime": seconds_ago(seconds), "result": "success", "loggedByService": "Core Directory",
        "initiatedBy": {"user": {"id": person_id(0), "userPrincipalName": email(0)}, "app": null},
        "additionalDetails": [],
        "targetResources": [{"id": person_id(number % 10), "type": "User", "userPrincipalName": email(number % 10), "modifiedProperties": []}],
    })
}

fn request(number: usize, state: &str, more: Value) -> Value {
    let person = number % 10;
    let mut request = json!({
        "id": request_id(number), "requestType": "userAdd", "state": state, "status": state,
        "createdDateTime": seconds_ago(7200 + number as u64), "completedDateTime": null,
        "justification": "Quarterly numbers",
        "accessPackage": {"id": "p-1", "displayName": "Books"},
        "requestor": {"id": format!("s-{person}"), "objectId": person_id(person), "displayName": format!("Person {person}"), "principalName": email(person)},
        "assignment": null,
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn delivered(number: usize) -> Value {
    let done = seconds_ago(3600 + number as u64);
    request(
        number,
        "delivered",
        json!({"completedDateTime": done, "assignment": {"id": format!("a-{number}")}}),
    )
}

/// The audit log's record of an approval, which Graph shows no application otherwise.
fn approval(number: usize, seconds: u64) -> Value {
    json!({
        "id": format!("Entitlement_{number}"), "category": "EntitlementManagement", "result": "success",
        "activityDisplayName": "Approve access package assignment request",
        "activityDateTime": seconds_ago(seconds), "loggedByService": "Entitlement Management",
        "initiatedBy": {"user": {"id": person_id(0), "userPrincipalName": email(0)}, "app": null},
        "additionalDetails": [{"key": "RequestId", "value": request_id(number)}],
        "targetResources": [{"id": "p-1", "displayName": "Books", "type": "AccessPackage", "modifiedProperties": []}],
    })
}

/// Fills a directory with people, groups, packages, requests, assignments and audit records.
fn fill(graph: &Graph) {
    for number in 0..10 {
        graph.user(
            &person_id(number),
            json!({
                "displayName": format!("Person {number}"), "mail": email(number), "userPrincipalName": email(number),
                "otherMails": [], "proxyAddresses": [format!("SMTP:{}", email(number))], "department": "Finance",
            }),
        );
    }
    for number in 1..10 {
        graph.manager(&person_id(number), &person_id(0));
    }
    graph.group("g-sales", "Sales");
    graph.group("g-books", "Bookkeepers");
    for number in 0..6 {
        graph.member("g-books", &person_id(number), true);
    }
    for number in 1..=3 {
        graph.put(
            "accessPackages",
            json!({
                "id": format!("p-{number}"), "displayName": if number == 1 { "Books".to_owned() } else { format!("Package {number}") },
                "description": "What it is for", "catalog": {"id": "c-1", "displayName": "General"},
                "assignmentPolicies": [], "resourceRoleScopes": [{
                    "id": "rrs-1",
                    "role": {"id": "role-1", "displayName": "Reader", "originSystem": "AadApplication"},
                    "scope": {"id": "scope-1", "displayName": "CRM", "originId": "crm", "originSystem": "AadApplication"}}],
            }),
        );
    }
    graph.put(
        "connectedOrganizations",
        json!({
            "id": "o-1", "displayName": "Fabrikam", "state": "configured", "createdDateTime": seconds_ago(90 * DAY),
            "identitySources": [{"@odata.type": "#microsoft.graph.domainIdentitySource", "domainName": "fabrikam.example", "displayName": "Fabrikam"}],
        }),
    );
    for number in 0..7 {
        graph.put("assignmentRequests", delivered(number));
        graph.put("directoryAudits", approval(number, 3700 + number as u64));
    }
    graph.put("assignmentRequests", request(7, "pendingApproval", json!({})));
    graph.put(
        "assignments",
        json!({
            "id": "a-1", "state": "delivered", "status": "Delivered", "expiredDateTime": null,
            "accessPackage": {"id": "p-1", "displayName": "Books"},
            "target": {"id": "s-1", "objectId": person_id(1), "displayName": "Person 1", "principalName": email(1), "email": email(1)},
            "assignmentPolicy": {"id": "pol-1", "displayName": "All"},
            "schedule": {"startDateTime": seconds_ago(3601), "expiration": {"type": "afterDateTime", "endDateTime": seconds_ahead(30 * DAY)}},
        }),
    );
    for number in 0..23 {
        graph.put("directoryAudits", audit(number, 2 * DAY - 60 * number as u64));
    }
}

/// All events in the order of their ids, without what differs from tenant to tenant.
fn comparable(events: &[Value]) -> Vec<(String, Value)> {
    let mut comparable: Vec<_> = events
        .iter()
        .map(|event| {
            let mut event = event.clone();
            let members = event.as_object_mut().unwrap();
            for member in ["recorded_at", "recorded_by", "tenant", "digest", "salt"] {
                members.remove(member);
            }
            // A window has a time and a chance id of its own.
            if let Some(Value::Object(window)) = members.get_mut("window") {
                window.remove("id");
            }
            if members["action"] == "window.opened" {
                members.remove("id");
                members.remove("occurred_at");
                members["details"].as_object_mut().unwrap().remove("window");
            }
            let id = event["id"].as_str().unwrap_or("a window was opened").to_owned();
            (id, event)
        })
        .collect();
    comparable.sort_by(|(a, _), (b, _)| a.cmp(b));
    comparable
}

fn since() -> Value {
    json!({"since": seconds_ago(60 * DAY), "order": "asc", "limit": 1000})
}

async fn events(stack: &Stack, tenant: &str) -> Vec<Value> {
    let answer = stack.post(&stack.reader(tenant), "/v1/events/search", &since()).await;
    answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

/// Posts all objects of a directory for a tenant, as an exporter would.
async fn post_all(stack: &Stack, tenant: &str, graph: &Graph) {
    let objects = graph.objects();
    let answer = stack.post(&stack.writer(tenant), IMPORT, &json!(objects)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        (&answer.body["invalid"], &answer.body["conflict"]),
        (&json!(0), &json!(0)),
        "{}",
        answer.text
    );
}

async fn connect(stack: &Stack, tenant: &str, id: &str, connection: &Value) -> Value {
    let path = format!("/v1/connections/{id}");
    let answer = stack.put(&stack.admin(tenant), &path, connection).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    answer.body
}

async fn connection(stack: &Stack, tenant: &str, id: &str) -> Value {
    let answer = stack.get(&stack.reader(tenant), &format!("/v1/connections/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// The progress of a source.
fn source<'a>(connection: &'a Value, name: &str) -> &'a Value {
    let sources = connection["sources"].as_array().unwrap();
    sources.iter().find(|source| source["source"] == name).unwrap_or_else(|| panic!("{connection}"))
}

async fn until_collected(stack: &Stack, tenant: &str, id: &str) -> Value {
    until(format!("connection {id} of {tenant} has collected everything"), async || {
        let connection = connection(stack, tenant, id).await;
        (connection["state"] == "collecting").then_some(connection)
    })
    .await
}

async fn person(stack: &Stack, tenant: &str, number: usize) -> Value {
    stack.get(&stack.reader(tenant), &format!("/v1/people/{}", person_id(number))).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_directory_is_as_if_everything_had_been_posted() {
    let graph = Graph::start(4).await;
    fill(&graph);
    let stack = Stack::with(quick()).await;
    let made = connect(&stack, "acme", "entra", &graph.connection("Acme")).await;
    assert_eq!((&made["id"], &made["since"]), (&json!("entra"), &json!("P30D")));
    until_collected(&stack, "acme", "entra").await;
    post_all(&stack, "twin", &graph).await;
    let (collected, posted) = (events(&stack, "acme").await, events(&stack, "twin").await);
    assert_eq!(comparable(&collected), comparable(&posted));
    assert_eq!(collected.len(), posted.len());
    for list in ["/v1/packages", "/v1/organisations"] {
        let of = async |tenant| stack.get(&stack.reader(tenant), list).await.body;
        assert_eq!(of("acme").await, of("twin").await);
    }
    assert_eq!(
        collected[0]["recorded_by"],
        json!({"sub": "jit-audit/collect", "client_id": "entra", "history": true})
    );

    // People have their team, manager and groups.
    let expected = json!({
        "id": person_id(3), "name": "Person 3", "emails": [email(3)], "upns": [email(3)], "object_ids": [person_id(3)],
        "team": "Finance", "manager": person_id(0), "groups": ["Bookkeepers", "g-books"], "source": "entra", "version": 1
    });
    assert_eq!(person(&stack, "acme", 3).await, expected);
    // The records had their groups from the start.
    let changes = json!({"filter": "action eq \"person.configured\"", "include_service": true, "limit": 1000});
    let changes = stack.post(&stack.reader("acme"), "/v1/events/search", &changes).await;
    assert_eq!(changes.body["events"].as_array().unwrap().len(), 10, "{}", changes.text);

    // The report on a request names what was posted and what was collected alike.
    let report = format!("/v1/reports/requests/{}", request_id(2));
    until("the reports are the same", async || {
        let of =
            async |tenant| stack.get(&stack.reader(tenant), &report).await.body["rows"].clone();
        let (acme, twin) = (of("acme").await, of("twin").await);
        let steps = acme.as_array()?.len();
        (steps > 2 && steps == twin.as_array()?.len()).then_some(())
    })
    .await;

    // What changes later is collected too.
    graph.put("directoryAudits", audit(100, 5));
    graph.put(
        "assignmentRequests",
        request(
            8,
            "delivered",
            json!({"createdDateTime": seconds_ago(9), "completedDateTime": seconds_ago(2)}),
        ),
    );
    let done =
        json!({"state": "delivered", "status": "delivered", "completedDateTime": seconds_ago(1)});
    graph.change("assignmentRequests", &request_id(7), &done);
    graph.put("directoryAudits", approval(7, 3));
    graph.user(&person_id(3), json!({"department": null, "displayName": "Person Three"}));
    graph.manager(&person_id(3), &person_id(2));
    graph.member("g-books", &person_id(3), false);
    graph.member("g-sales", &person_id(3), true);
    graph.delete_user(&person_id(4));
    graph.group("g-books", "Accountants");
    post_all(&stack, "twin", &graph).await;
    let posted = comparable(&events(&stack, "twin").await);
    until("later records are there", async || {
        let collected = comparable(&events(&stack, "acme").await);
        (collected.len() == posted.len()).then_some(collected)
    })
    .await;
    assert_eq!(comparable(&events(&stack, "acme").await), posted);
    let moved = until("the person has moved", async || {
        let person = person(&stack, "acme", 3).await;
        (person["groups"] == json!(["Sales", "g-sales"]) && person["manager"] == person_id(2))
            .then_some(person)
    })
    .await;
    assert_eq!((&moved["name"], &moved["team"]), (&json!("Person Three"), &Value::Null));
    let left = until("the leaver is marked", async || {
        let person = person(&stack, "acme", 4).await;
        person["left_at"].is_string().then_some(person)
    })
    .await;
    assert_eq!(left["emails"], json!([email(4)]));
    until("the group is renamed", async || {
        (person(&stack, "acme", 2).await["groups"] == json!(["Accountants", "g-books"]))
            .then_some(())
    })
    .await;
    // Another tenant has none of it.
    assert_eq!(
        stack.get(&stack.reader("bolt"), "/v1/connections").await.body["connections"],
        json!([])
    );
    assert_eq!(events(&stack, "bolt").await, Vec::<Value>::new());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_with_the_same_directory_do_not_mix() {
    let graph = Graph::start(50).await;
    fill(&graph);
    let stack = Stack::with(quick()).await;
    for tenant in ["acme", "bolt"] {
        connect(&stack, tenant, "entra", &graph.connection(tenant)).await;
    }
    for tenant in ["acme", "bolt"] {
        until_collected(&stack, tenant, "entra").await;
    }
    assert_eq!(
        comparable(&events(&stack, "acme").await),
        comparable(&events(&stack, "bolt").await)
    );
    for tenant in ["acme", "bolt"] {
        assert!(events(&stack, tenant).await.iter().all(|event| event["tenant"] == tenant));
    }
    // A deleted connection collects no more, and what was collected stays.
    assert_eq!(stack.delete(&stack.admin("bolt"), "/v1/connections/entra").await.status, 204);
    assert_eq!(stack.get(&stack.reader("bolt"), "/v1/connections/entra").await.status, 404);
    graph.put("directoryAudits", audit(100, 5));
    until("acme has the new record", async || {
        events(&stack, "acme")
            .await
            .iter()
            .any(|event| event["id"] == "entra_audit_Directory_100")
            .then_some(())
    })
    .await;
    assert_eq!(events(&stack, "bolt").await.len() + 1, events(&stack, "acme").await.len());
    assert_eq!(person(&stack, "bolt", 1).await["name"], "Person 1");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_by_the_state_and_the_test() {
    let graph = Graph::start(50).await;
    fill(&graph);
    let mut options = quick();
    options.secrets.insert("JIT_AUDIT_SECRET_WRONG".into(), "guess".into());
    options.secrets.insert(
        "JIT_AUDIT_SECRET_THEIRS".into(),
        json!({"tenant": "bolt", "value": SECRET}).to_string(),
    );
    let stack = Stack::with(options).await;
    let (admin, reader) = (stack.admin("acme"), stack.reader("acme"));
    let tested = async |id: &str| {
        let asked = stack.call(&admin, &format!("/v1/connections/{id}/test")).await;
        assert_eq!(
            (asked.status.as_u16(), asked.header("location")),
            (202, format!("/v1/connections/{id}").as_str()),
            "{}",
            asked.text
        );
        until(format!("the test of {id} is done"), async || {
            let test = connection(&stack, "acme", id).await["test"].clone();
            (test["state"] != "waiting").then_some(test)
        })
        .await
    };

    let mut wrong = graph.connection("Wrong");
    wrong["client_secret"] = json!("env:JIT_AUDIT_SECRET_WRONG");
    connect(&stack, "acme", "wrong", &wrong).await;
    let test = tested("wrong").await;
    assert_eq!((&test["state"], &test["sources"]), (&json!("failed"), &json!([])));
    assert!(test["error"].as_str().unwrap().contains("AADSTS7000215"), "{test}");
    let failing = until("the connection is failing", async || {
        let connection = connection(&stack, "acme", "wrong").await;
        (connection["state"] == "failing").then_some(connection)
    })
    .await;
    assert!(failing["sources"].to_string().contains("AADSTS7000215"), "{failing}");
    assert_eq!(stack.delete(&admin, "/v1/connections/wrong").await.status, 204);

    graph.forbid("/auditLogs", true);
    connect(&stack, "acme", "entra", &graph.connection("Acme")).await;
    let test = tested("entra").await;
    assert_eq!(test["state"], "failed");
    for result in test["sources"].as_array().unwrap() {
        let is_audits = result["source"] == "directory_audits";
        assert_eq!(result["works"], !is_audits, "{result}");
        if is_audits {
            assert_eq!(result["missing_permission"], "AuditLog.Read.All and Directory.Read.All");
            assert!(
                result["error"].as_str().unwrap().contains("Insufficient privileges"),
                "{result}"
            );
        }
    }
    let failing = until("the audit log alone is failing", async || {
        let connection = connection(&stack, "acme", "entra").await;
        let state = |name| source(&connection, name)["state"].clone();
        (state("directory_audits") == "failing" && state("users") == "collecting")
            .then_some(connection)
    })
    .await;
    let audits = source(&failing, "directory_audits");
    assert!(audits["error"].as_str().unwrap().contains("AuditLog.Read.All"), "{audits}");
    graph.forbid("/auditLogs", false);
    assert_eq!(tested("entra").await["state"], "passed");
    until_collected(&stack, "acme", "entra").await;

    // A secret of another tenant, and what is no connection at all, are refused.
    let mut theirs = graph.connection("Theirs");
    theirs["client_secret"] = json!("env:JIT_AUDIT_SECRET_THEIRS");
    let refused = stack.put(&admin, "/v1/connections/theirs", &theirs).await;
    assert!(refused.status == 422 && refused.text.contains("/client_secret"), "{}", refused.text);
    let refused = stack.put(&admin, "/v1/connections/none", &json!({"name": "None"})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let other = stack.put(&admin, "/v1/connections/other", &graph.connection("acme")).await;
    assert!(other.status == 409 && other.text.contains("entra"), "{}", other.text);
    assert_eq!(stack.call(&admin, "/v1/connections/none/test").await.status, 404);
    assert_eq!(stack.call(&reader, "/v1/connections/entra/test").await.status, 403);
    let read = stack.get(&reader, "/v1/connections/entra").await;
    assert_eq!(read.header("etag"), "\"1\"");
    // Each change is an event.
    let changes = json!({"filter": "action eq \"connection.configured\"", "include_service": true, "order": "asc"});
    let changes = stack.post(&reader, "/v1/events/search", &changes).await.body;
    let changes = changes["events"].as_array().unwrap();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0]["details"]["new"]["client_secret"], "env:JIT_AUDIT_SECRET_WRONG");
    assert_eq!(changes[1]["details"]["old"]["name"], "Wrong");
    stack.stop().await;
}

/// The function on a clock of the test's, called by the test alone.
#[derive(Clone, Default)]
struct Driven {
    collect: Arc<Mutex<Option<Arc<Collect>>>>,
    ahead: Arc<AtomicU64>,
}

impl Driven {
    async fn stack(&self) -> Stack {
        let (collect, ahead) = (self.collect.clone(), self.ahead.clone());
        let make = move |variables: &_, aws: &_| {
            let ahead = ahead.clone();
            let clock = Clock::new(move || {
                clock::now().plus(Duration::from_secs(ahead.load(Ordering::SeqCst)))
            });
            *collect.lock().unwrap() = Some(Arc::new(Collect::new(variables, aws)?.by(clock)));
            Ok(())
        };
        let nothing = |_, _: lambda_runtime::LambdaEvent<Value>| async { Ok(json!({})) };
        let mut options = quick();
        options.parameters.insert("CollectPause".into(), "60".into());
        let functions = Functions::all().add("collect", make, nothing);
        Stack::with(Options { functions, ..options }).await
    }

    fn pass(&self, seconds: u64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    fn function(&self) -> Arc<Collect> {
        self.collect.lock().unwrap().clone().unwrap()
    }

    async fn work(&self) -> work::CollectOutcome {
        let (function, tenant) = (self.function(), Tenant::new("acme").unwrap());
        let end = Deadline::now() + Duration::from_secs(300);
        work::work(&function, &tenant, "entra", false, end).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_killed_at_any_point_lose_nothing_and_double_nothing() {
    let graph = Graph::start(5).await;
    fill(&graph);
    let driven = Driven::default();
    let stack = driven.stack().await;
    connect(&stack, "acme", "entra", &graph.connection("Acme")).await;
    // Each run is dropped at another point: while Graph is asked, while a page is stored, between.
    for point in 0..25_u64 {
        let stop = Duration::from_millis(13 * (1 + point % 9) + point);
        let _ = tokio::time::timeout(stop, driven.work()).await;
        // The lease of the dropped run lapses.
        driven.pass(10);
    }
    while driven.work().await != work::CollectOutcome::Nothing {}
    until_collected(&stack, "acme", "entra").await;
    post_all(&stack, "twin", &graph).await;
    assert_eq!(
        comparable(&events(&stack, "acme").await),
        comparable(&events(&stack, "twin").await)
    );
    assert_eq!(person(&stack, "acme", 3).await["groups"], json!(["Bookkeepers", "g-books"]));
    let changes = json!({"filter": "action eq \"person.configured\"", "include_service": true, "limit": 1000});
    let changes = stack.post(&stack.reader("acme"), "/v1/events/search", &changes).await;
    assert_eq!(changes.body["events"].as_array().unwrap().len(), 10, "{}", changes.text);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_honoured_and_a_day_of_outage_loses_nothing() {
    let graph = Graph::start(50).await;
    fill(&graph);
    let driven = Driven::default();
    let stack = driven.stack().await;
    connect(&stack, "acme", "entra", &graph.connection("Acme")).await;
    graph.fail([
        ("/directoryAudits", Fault::Status(429, Some(300))),
        ("/assignmentRequests", Fault::Status(500, None)),
        ("/accessPackages", Fault::OtherHost),
    ]);
    driven.work().await;
    let failing = connection(&stack, "acme", "entra").await;
    let audits = source(&failing, "directory_audits");
    assert!(audits["error"].as_str().unwrap().contains("429"), "{audits}");
    assert!(source(&failing, "requests")["error"].as_str().unwrap().contains("500"));
    // A next page at another host is not asked for, as the token would be sent there.
    assert!(
        source(&failing, "packages")["error"].as_str().unwrap().contains("127.0.0.1:9"),
        "{failing}"
    );
    assert_eq!(source(&failing, "users")["state"], "collecting");
    let asked = || graph.log().iter().filter(|line| line.contains("/directoryAudits")).count();
    assert_eq!(asked(), 1);
    driven.pass(200);
    driven.work().await;
    assert_eq!(asked(), 1);
    let now = connection(&stack, "acme", "entra").await;
    assert_eq!(
        (&source(&now, "requests")["state"], &source(&now, "packages")["state"]),
        (&json!("collecting"), &json!("collecting"))
    );
    driven.pass(110);
    driven.work().await;
    assert_eq!(
        (asked(), &connection(&stack, "acme", "entra").await["state"]),
        (2, &json!("collecting"))
    );

    // A token that ends is replaced once.
    graph.end_tokens();
    driven.pass(70);
    driven.work().await;
    assert_eq!(connection(&stack, "acme", "entra").await["state"], "collecting");

    graph.down(true);
    for minute in 0..40 {
        driven.pass(if minute < 10 { 60 } else { 2800 });
        driven.work().await;
    }
    let down = connection(&stack, "acme", "entra").await;
    assert!(down["state"] == "failing" && down.to_string().contains("503"), "{down}");
    // What happened meanwhile.
    for number in 200..230 {
        graph.put("directoryAudits", audit(number, 30));
    }
    graph.put(
        "assignmentRequests",
        request(
            9,
            "delivered",
            json!({"createdDateTime": seconds_ago(40), "completedDateTime": seconds_ago(35)}),
        ),
    );
    graph.user(&person_id(5), json!({"department": "Legal"}));
    graph.delete_user(&person_id(6));
    graph.down(false);
    driven.pass(1000);
    while driven.work().await == work::CollectOutcome::Unfinished {}
    post_all(&stack, "twin", &graph).await;
    assert_eq!(connection(&stack, "acme", "entra").await["state"], "collecting");
    assert_eq!(
        comparable(&events(&stack, "acme").await),
        comparable(&events(&stack, "twin").await)
    );
    assert_eq!(person(&stack, "acme", 5).await["team"], "Legal");
    assert!(person(&stack, "acme", 6).await["left_at"].is_string());
    let findings = stack.get(&stack.reader("acme"), "/v1/findings?rule=connection.gap").await;
    assert_eq!(findings.body["findings"], json!([]), "{}", findings.text);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_audit_records_are_collected() {
    let graph = Graph::start(50).await;
    let driven = Driven::default();
    let stack = driven.stack().await;
    let mut wanted = graph.connection("Acme");
    wanted["collect"] = json!(["directory_audits"]);
    connect(&stack, "acme", "entra", &wanted).await;
    driven.work().await;
    let count = async || events(&stack, "acme").await.len();
    assert_eq!(count().await, 0);
    // A record shows up ten minutes late, another three hours.
    graph.put("directoryAudits", audit(1, 600));
    graph.put("directoryAudits", audit(2, 3 * 3600));
    driven.pass(70);
    driven.work().await;
    assert_eq!(count().await, 1);
    driven.pass(6 * 3600);
    driven.work().await;
    assert_eq!(count().await, 2);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_graph_no_longer_has_is_a_finding_and_an_event() {
    let graph = Graph::start(3).await;
    fill(&graph);
    let driven = Driven::default();
    let stack = driven.stack().await;
    connect(&stack, "acme", "entra", &graph.connection("Acme")).await;
    driven.work().await;
    assert_eq!(connection(&stack, "acme", "entra").await["state"], "collecting");
    let gaps = async || {
        let query = json!({"filter": "action eq \"connection.gap\"", "include_service": true, "order": "asc"});
        let answer = stack.post(&stack.reader("acme"), "/v1/events/search", &query).await;
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
    };
    // The delta link of the users expires. Meanwhile one user left, and another lost a group.
    graph.delete_user(&person_id(7));
    graph.member("g-books", &person_id(1), false);
    graph.expire_delta_links();
    for _ in 0..4 {
        driven.pass(120);
        driven.work().await;
    }
    let events = gaps().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0]["reason"].as_str().unwrap().contains("read again"), "{events:?}");
    assert!(person(&stack, "acme", 7).await["left_at"].is_string());
    assert_eq!(person(&stack, "acme", 1).await["groups"], Value::Null);
    assert_eq!(person(&stack, "acme", 2).await["groups"], json!(["Bookkeepers", "g-books"]));
    assert_eq!(person(&stack, "acme", 2).await["left_at"], Value::Null);
    let now = connection(&stack, "acme", "entra").await;
    assert_eq!(now["state"], "collecting");
    assert!(source(&now, "users")["gap"]["reason"].is_string(), "{now}");

    let findings = until("there are findings about both gaps", async || {
        let answer = stack.get(&stack.reader("acme"), "/v1/findings?rule=connection.gap").await;
        let findings = answer.body["findings"].as_array()?.clone();
        (findings.len() == 2).then_some(findings)
    })
    .await;
    assert!(findings.iter().all(|finding| finding["severity"] == "high"), "{findings:?}");

    // The service is away for longer than the audit log is kept.
    driven.pass(40 * DAY);
    driven.work().await;
    let now = connection(&stack, "acme", "entra").await;
    let gap = &source(&now, "directory_audits")["gap"];
    assert!(gap["reason"].as_str().unwrap().contains("30 days"), "{now}");
    // It is said once. A listing ends at the present, and this event is ahead of it.
    driven.pass(120);
    driven.work().await;
    let tenant = Tenant::new("acme").unwrap();
    let id = |number| {
        let action = ConfigurationAction::ConnectionGap;
        EventId::of_service(&tenant, action, &["entra", number]).to_string()
    };
    let events = recorded(&stack, "acme", &[id("3"), id("4")]).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].event.details.as_ref().unwrap()["source"], "directory_audits");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_was_configured_by_hand_stays_and_addresses_move_on() {
    let graph = Graph::start(3).await;
    fill(&graph);
    let driven = Driven::default();
    let stack = driven.stack().await;
    let admin = stack.admin("acme");
    let by_hand = json!({"name": "The Boss", "emails": [email(0)], "team": "Board"});
    assert_eq!(stack.put(&admin, "/v1/people/boss", &by_hand).await.status, 201);
    let own = json!({"name": "One", "object_ids": [person_id(1)], "team": "Own"});
    assert_eq!(stack.put(&admin, &format!("/v1/people/{}", person_id(1)), &own).await.status, 201);
    connect(&stack, "acme", "entra", &graph.connection("Acme")).await;
    driven.work().await;
    assert_eq!(stack.get(&admin, "/v1/people/boss").await.body["team"], "Board");
    assert_eq!(stack.get(&admin, &format!("/v1/people/{}", person_id(0))).await.status, 404);
    assert_eq!(person(&stack, "acme", 1).await["team"], "Own");
    let now = connection(&stack, "acme", "entra").await;
    assert_eq!(source(&now, "users")["reserved"], 2, "{now}");
    // A new user gets a leaver's address.
    graph.delete_user(&person_id(2));
    graph.user(
        "new-1",
        json!({"displayName": "New", "mail": email(2), "userPrincipalName": "new@acme.example"}),
    );
    driven.pass(70);
    driven.work().await;
    let new = stack.get(&admin, "/v1/people/new-1").await.body;
    assert_eq!(new["emails"], json!([email(2)]), "{new}");
    let left = person(&stack, "acme", 2).await;
    assert!(left["left_at"].is_string() && left["emails"] == Value::Null, "{left}");
    assert_eq!(left["object_ids"], json!([person_id(2)]));
    // Two people at once with one address: the first one keeps it.
    graph.user("adm-3", json!({"displayName": "Admin 3", "mail": email(3), "userPrincipalName": "adm-3@acme.example"}));
    driven.pass(70);
    driven.work().await;
    let admin_account = stack.get(&admin, "/v1/people/adm-3").await.body;
    assert_eq!(
        (&admin_account["emails"], &admin_account["upns"]),
        (&Value::Null, &json!(["adm-3@acme.example"]))
    );
    // An address moves between two people who stay, and the page that gives it comes first.
    let has = |address: String| json!({"mail": address, "proxyAddresses": [format!("SMTP:{address}")], "userPrincipalName": address});
    graph.user(&person_id(5), has(email(6)));
    for other in ["other-1", "other-2", "other-3"] {
        graph.user(
            other,
            json!({"displayName": other, "userPrincipalName": format!("{other}@acme.example")}),
        );
    }
    graph.user(&person_id(6), has("six@acme.example".to_owned()));
    driven.pass(70);
    driven.work().await;
    let emails = async |number| person(&stack, "acme", number).await["emails"].clone();
    assert_eq!(emails(5).await, json!([email(6)]));
    assert_eq!(emails(6).await, json!(["six@acme.example"]));
    stack.stop().await;
}

/// The program in its own process.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    async fn start(data: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_one-machine"))
            .args(["--port", "0", "--data"])
            .arg(data)
            .env("JIT_AUDIT_SECRET_GRAPH", SECRET)
            .current_dir(root)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line =
                lines.next_line().await.unwrap().expect("the program ended before it was ready");
            if let Some(url) = line.strip_prefix("ready ") {
                let url = url.to_owned();
                // The program must not block because its output is not read.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Self { child, url };
            }
        }
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let token = json!({"tenant": "acme", "email": "it@acme.example", "scope": "audit:read audit:write audit:admin"});
        let token = send(client.post(format!("{}/dev/token", self.url)).json(&token)).await;
        let token = token.body["access_token"].as_str().unwrap().to_owned();
        let request = client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        send(request.bearer_auth(token).json(body)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_is_killed_ten_times_while_it_collects() {
    let data = tempfile::tempdir().unwrap();
    let graph = Graph::start(2).await;
    fill(&graph);
    let mut program = Program::start(data.path()).await;
    let put = program.call("PUT", "/v1/connections/entra", &graph.connection("Acme")).await;
    assert_eq!(put.status, 201, "{}", put.text);
    for kill in 0..10_u64 {
        // Once it has asked for some more pages, and a moment after.
        let served = graph.served();
        until("the program asks for more", async || (graph.served() >= served + 3).then_some(()))
            .await;
        tokio::time::sleep(Duration::from_millis(11 * kill)).await;
        program.child.kill().await.unwrap();
        program = Program::start(data.path()).await;
    }
    until("everything is collected", async || {
        let state = program.call("GET", "/v1/connections/entra", &json!({})).await;
        (state.body["state"] == "collecting").then_some(())
    })
    .await;
    let found = program.call("POST", "/v1/events/search", &since()).await;
    let found = found.body["events"].as_array().unwrap().clone();
    let twin = Stack::with(quick()).await;
    post_all(&twin, "acme", &graph).await;
    let posted = events(&twin, "acme").await;
    assert_eq!((comparable(&found), found.len()), (comparable(&posted), posted.len()));
    let people = program.call("GET", "/v1/people?limit=100", &json!({})).await.body;
    assert_eq!(people["people"].as_array().unwrap().len(), 10);
    twin.stop().await;
}
