//! Activations of roles and groups in Entra's Privileged Identity Management (PIM): imported from
//! requests, schedule instances and the audit log, as sessions with windows.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Answer, Stack, directory::Directory, pass, seconds_ago, seconds_ahead, until};

const IMPORT: &str = "/v1/events?format=entra";
const ROLE: &str = "User Administrator";
const ROLE_ID: &str = "fe930be7-5e62-47db-91af-98c3a49a38b1";
const OF_ROLES: &str = "https://graph.microsoft.com/v1.0/$metadata#roleManagement/directory/roleAssignmentScheduleRequests";
/// How long an end may stay without confirmation, and a little more.
const UNCONFIRMED: u64 = 4000;

/// An activation of Alex: the seconds since its steps, and whether Sam has to approve it.
#[derive(Clone, Copy)]
struct Activation {
    id: &'static str,
    asked: u64,
    granted: u64,
    /// The seconds that it lasts.
    lasts: u64,
}

/// One that is over.
const OVER: Activation = Activation {
    id: "61998d6f-fcf3-400a-9d40-cbfa74a3bfbd",
    asked: 7200,
    granted: 6000,
    lasts: 3600,
};

impl Activation {
    fn ends_at(self) -> String {
        match self.granted.checked_sub(self.lasts) {
            Some(ago) => seconds_ago(ago),
            None => seconds_ahead(self.lasts - self.granted),
        }
    }

    /// The request, as Graph returns it with `$expand=principal,roleDefinition`.
    fn request(self, more: Value) -> Value {
        let mut request = json!({
            "id": self.id, "status": "Provisioned", "action": "selfActivate", "isValidationOnly": false,
            "createdDateTime": seconds_ago(self.asked), "completedDateTime": seconds_ago(self.granted),
            "approvalId": self.id, "targetScheduleId": self.id, "justification": "Reset MFA for a new colleague",
            "ticketInfo": {"ticketNumber": "INC-7", "ticketSystem": "ServiceNow"},
            "createdBy": {"user": {"id": "u-alex", "displayName": null}},
            "principalId": "u-alex", "principal": alex(), "roleDefinitionId": ROLE_ID,
            "roleDefinition": {"id": ROLE_ID, "displayName": ROLE}, "directoryScopeId": "/", "appScopeId": null,
            "scheduleInfo": {"startDateTime": seconds_ago(self.granted), "expiration": {"type": "afterDuration", "duration": format!("PT{}S", self.lasts)}}
        });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    }

    /// The instance of its schedule.
    fn instance(self) -> Value {
        json!({
            "id": "5wuT_mJe20eRr5jDpJo4sUZl7gMT8cVOup3lc4GwySg-1", "principalId": "u-alex", "principal": alex(),
            "roleDefinitionId": ROLE_ID, "roleDefinition": {"displayName": ROLE}, "directoryScopeId": "/",
            "startDateTime": seconds_ago(self.granted), "endDateTime": self.ends_at(),
            "assignmentType": "Activated", "memberType": "Direct", "roleAssignmentScheduleId": self.id
        })
    }

    /// A record of the audit log about it.
    fn record(self, activity: &str, ago: u64, by: Value) -> Value {
        json!({
            "id": format!("PIM_{}_{}", self.id, activity.len() * 10_000 + ago as usize), "category": "RoleManagement",
            "correlationId": format!("c-{ago}"), "result": "success", "resultReason": null, "loggedByService": "PIM",
            "activityDisplayName": activity, "activityDateTime": seconds_ago(ago), "initiatedBy": {"app": null, "user": by},
            "targetResources": [
                {"id": ROLE_ID, "displayName": ROLE, "type": "Role"}, {"id": self.id, "type": "Request"},
                {"id": "u-alex", "displayName": "Alex", "type": "User"}, {"id": "t-1", "displayName": "Acme", "type": "Directory"}
            ],
            "additionalDetails": [
                {"key": "RoleDefinitionOriginId", "value": ROLE_ID},
                {"key": "StartTime", "value": seconds_ago(self.granted)}, {"key": "ExpirationTime", "value": self.ends_at()},
                {"key": "RoleAssignmentRequestId", "value": self.id.to_uppercase()}
            ]
        })
    }

    fn said(self, activity: &str, ago: u64, by: Value, words: &str) -> Value {
        let mut record = self.record(activity, ago, by);
        record["resultReason"] = words.into();
        record
    }

    fn requested(self) -> Value {
        let mut record = self.said(
            "Add member to role requested (PIM activation)",
            self.asked - 1,
            alex(),
            "Reset MFA for a new colleague",
        );
        let more = [("TicketNumber", "INC-7"), ("TicketSystem", "ServiceNow")];
        let details = record["additionalDetails"].as_array_mut().unwrap();
        details.extend(more.map(|(key, value)| json!({"key": key, "value": value})));
        record
    }

    fn approved(self) -> Value {
        let activity = "Add member to role request approved (PIM activation)";
        self.said(activity, self.granted + 60, sam(), "On call this week")
    }

    fn completed(self) -> Value {
        self.record("Add member to role completed (PIM activation)", self.granted - 2, alex())
    }

    fn expired(self, ago: u64) -> Value {
        let pim =
            json!({"id": "9dfd627f", "displayName": "Azure AD PIM", "userPrincipalName": null});
        self.record("Remove member from role (PIM activation expired)", ago, pim)
    }

    /// All that Graph says of it: its request, the instance, and five records of the audit log.
    fn whole(self) -> Vec<Value> {
        let asked = "Add member to role approval requested (PIM activation)";
        let waiting = self.record(asked, self.asked - 3, json!({"displayName": "Azure AD PIM"}));
        vec![
            self.request(json!({})),
            self.instance(),
            self.requested(),
            waiting,
            self.approved(),
            self.completed(),
            self.expired(self.granted - self.lasts - 6),
        ]
    }
}

fn alex() -> Value {
    json!({"@odata.type": "#microsoft.graph.user", "id": "u-alex", "displayName": "Alex", "userPrincipalName": "alex@acme.example"})
}

fn sam() -> Value {
    json!({"id": "u-sam", "displayName": "Sam", "userPrincipalName": "sam@acme.example"})
}

struct World {
    stack: Stack,
    admin: String,
}

impl World {
    async fn start() -> Self {
        let stack = Stack::start().await;
        let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
        Self { stack, admin }
    }

    /// Imports objects into the trail of a tenant and returns the counts created, duplicate,
    /// conflict, invalid.
    async fn import_into(&self, tenant: &str, objects: &Value) -> [u64; 4] {
        let answer = self.stack.post(&self.stack.writer(tenant), IMPORT, objects).await;
        counts(&answer)
    }

    async fn import(&self, objects: &Value) -> [u64; 4] {
        self.import_into("acme", objects).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.stack.get(&self.admin, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// Waits until the report has one row that `is_it`, and returns the row.
    async fn row(&self, report: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(format!("{report} has the row"), async || {
            let rows = self.get(&format!("/v1/reports/{report}")).await["rows"].clone();
            let rows = rows.as_array().unwrap();
            assert!(rows.len() <= 1, "{rows:?}");
            rows.first().filter(|row| is_it(row)).cloned()
        })
        .await
    }

    /// Waits until the access of the activation `is_it`, and returns its row.
    async fn access(&self, of: Activation, is_it: impl Fn(&Value) -> bool) -> Value {
        until(format!("the access of {} is it", of.id), async || {
            let rows = self.get("/v1/reports/access").await["rows"].clone();
            let is_of_it = |row: &&Value| row["session"] == of.id && is_it(row);
            rows.as_array().unwrap().iter().find(is_of_it).cloned()
        })
        .await
    }

    async fn findings(&self) -> Vec<Value> {
        self.get("/v1/findings?limit=1000").await["findings"].as_array().unwrap().clone()
    }

    /// The rules of the findings.
    async fn rules(&self) -> Vec<String> {
        let findings = self.findings().await;
        findings
            .iter()
            .map(|it| format!("{} {}", it["rule"], it["state"]).replace('"', ""))
            .collect()
    }
}

fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let counts = ["created", "duplicate", "conflict", "invalid"];
    counts.map(|word| answer.body[word].as_u64().unwrap_or_else(|| panic!("{}", answer.text)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_is_one_session_whatever_is_imported_first_and_how_often() {
    let world = World::start().await;
    let whole = OVER.whole();
    let expected = [
        ("session.created", "alex@acme.example"),
        ("directory.activity", "Azure AD PIM"),
        ("session.approved", "sam@acme.example"),
        ("session.granted", "alex@acme.example"),
        ("session.expired", "System"),
    ];
    let mut states = Vec::new();
    // As it happened, backwards, the audit log first, and newest first as one page.
    let orders = [
        ("forwards", vec![0, 2, 3, 4, 1, 5, 6]),
        ("backwards", vec![6, 5, 1, 4, 3, 2, 0]),
        ("audited", vec![2, 3, 4, 5, 6, 0, 1]),
        ("instance", vec![1, 6, 0, 4, 2, 5, 3]),
    ];
    for (tenant, order) in orders {
        for place in order {
            let [created, duplicate, conflict, invalid] =
                world.import_into(tenant, &whole[place]).await;
            assert_eq!((created + duplicate, conflict, invalid), (1, 0, 0), "{tenant}: {place}");
        }
        let page = json!({"value": whole});
        assert_eq!(world.import_into(tenant, &page).await, [0, 7, 0, 0], "{tenant}");
        let reader = world.stack.reader(tenant);
        let path = format!("/v1/sessions/{}", OVER.id);
        let session = until("the session is read", async || {
            let answer = world.stack.get(&reader, &path).await;
            (answer.status == 200 && answer.body["state"] == "EXPIRED").then_some(answer.body)
        })
        .await;
        let events = json!({"filter": format!("session.id eq {:?}", OVER.id), "order": "asc"});
        let events =
            world.stack.post(&reader, "/v1/events/search", &events).await.body["events"].clone();
        let mut found: Vec<_> = events.as_array().unwrap().iter().collect();
        found.sort_by_key(|event| event["action"].as_str() != Some("session.created"));
        let found: Vec<_> = found
            .into_iter()
            .map(|event| {
                let actor = &event["actor"];
                let shown = [&actor["email"], &actor["name"]].into_iter().find_map(Value::as_str);
                (event["action"].as_str().unwrap(), shown.unwrap_or("System"))
            })
            .collect();
        assert_eq!(found, expected, "{tenant}");
        let fits = session["timeline"].as_array().unwrap().iter().all(|step| step["fits"] == true);
        assert!(fits, "{tenant}: {session}");
        // The activation is over, so no window is opened.
        let windows = world.stack.get(&reader, "/v1/windows").await.body["windows"].clone();
        assert_eq!(windows, json!([]), "{tenant}");
        states.push((session["state"].clone(), session["roles"][0]["state"].clone()));
    }
    assert_eq!(states, vec![(json!("EXPIRED"), json!("APPROVED")); 4]);
    // As one page.
    let mut page = whole;
    page.reverse();
    let counted = world.import(&json!({"value": page})).await;
    assert_eq!((counted[0] + counted[1], counted[2], counted[3]), (7, 0, 0), "{counted:?}");
    let row = world.row("access", |row| row["state"] == "ended").await;
    assert_eq!(row["decisions"][0]["by"]["email"], "sam@acme.example");
    pass(&world.stack, UNCONFIRMED).await;
    assert_eq!(world.rules().await, Vec::<String>::new());
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_shows_an_activation() {
    let world = World::start().await;
    let person = json!({"name": "Alex", "emails": ["alex@acme.example"], "team": "Service desk"});
    assert!(world.stack.put(&world.admin, "/v1/people/alex", &person).await.status.is_success());
    assert_eq!(world.import(&json!({"value": OVER.whole()})).await, [4, 3, 0, 0]);
    let row = world.row("access", |row| row["state"] == "ended").await;
    assert_eq!(
        (&row["requester"]["email"], &row["target"], &row["roles"]),
        (
            &json!("alex@acme.example"),
            &json!({"type": "directory_role", "id": ROLE_ID, "name": ROLE}),
            &json!([ROLE])
        )
    );
    assert_eq!(
        (&row["justification"], &row["ticket"]),
        (&json!("Reset MFA for a new colleague"), &json!({"id": "INC-7", "system": "ServiceNow"}))
    );
    let decision = &row["decisions"][0];
    assert_eq!(
        (&decision["by"]["email"], &decision["reason"], &decision["verdict"]),
        (&json!("sam@acme.example"), &json!("On call this week"), &json!("approved"))
    );
    assert_eq!(
        (&row["end_cause"], &row["verified"]["by"], &row["session"], &row["request_id"]),
        (&json!("expired"), &json!("source"), &json!(OVER.id), &json!(OVER.id))
    );
    assert!(row["lateness_ms"].as_i64().unwrap() < 60_000, "{row}");
    for (filter, is_found) in [
        ("target=user%20administrator", true),
        ("person=u-alex", true),
        ("account=alex@acme.example", true),
        ("target=Global%20Administrator", false),
    ] {
        let rows = world.get(&format!("/v1/reports/access?{filter}")).await["rows"].clone();
        assert_eq!(rows.as_array().unwrap().len() == 1, is_found, "{filter}: {rows}");
    }
    let holder = format!("account-holder?account=alex@acme.example&at={}", seconds_ago(4000));
    let row = world.row(&holder, |_| true).await;
    assert_eq!((&row["held_by"], &row["target"]["name"]), (&json!("window"), &json!(ROLE)));
    let before =
        format!("/v1/reports/account-holder?account=alex@acme.example&at={}", seconds_ago(7000));
    assert_eq!(world.get(&before).await["rows"], json!([]));
    for report in ["revocation", "unused", "unreviewed"] {
        let row = world.row(report, |_| true).await;
        assert_eq!(row["target"]["name"], ROLE, "{report}: {row}");
    }
    let row = world.row("demand", |row| row["granted"] == 1).await;
    assert_eq!(
        (&row["target"], &row["target_id"], &row["requests"], &row["people"]),
        (&json!(ROLE), &json!(ROLE_ID), &json!(1), &json!(1))
    );
    let row = world.row("approval-times?by=approver", |_| true).await;
    assert_eq!((&row["approver"], &row["decisions"]), (&json!("sam@acme.example"), &json!(1)));
    let row = world.row("approval-times?by=team", |row| row["team"] == "Service desk").await;
    assert!((1_130_000..=1_150_000).contains(&row["p50_ms"].as_i64().unwrap()), "{row}");
    // The column of a ticket without an address holds its id alone.
    let job = world.stack.exported(&world.admin, &json!({"columns": ["Ticket"]})).await;
    let files = world.stack.files(&world.admin, &job).await;
    let text = String::from_utf8_lossy(files.values().next().unwrap()).into_owned();
    assert!(text.lines().any(|line| line == "INC-7"), "{text}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pim_ends_an_activation_and_no_application_disables_the_person() {
    let directory = Directory::start().await;
    let account = directory.add("alex@acme.example");
    let world = World::start().await;
    // It has the name of the role and may disable every account, also for sessions.
    let application = json!({
        "name": ROLE, "window": "PT1H", "max_window": "PT12H", "accounts": ["*"], "end_on_log_off": true,
        "disable_for": ["entra.account.requested", "session.granted", "entitlement.fulfilled"],
        "directory": {"kind": "scim", "base_url": format!("{}/scim", directory.url), "token": "env:JIT_AUDIT_SECRET_DIRECTORY"}
    });
    let answer =
        world.stack.put(&world.admin, &format!("/v1/applications/{ROLE_ID}"), &application).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    let ending = Activation { granted: 60, asked: 300, lasts: 62, ..OVER };
    let objects = json!([ending.request(json!({})), ending.approved(), ending.instance()]);
    assert_eq!(world.import(&objects).await, [2, 1, 0, 0]);
    let row = world.row("access", |row| row["window"].is_string()).await;
    let path = format!("/v1/windows/{}", row["window"].as_str().unwrap());
    let window = world.get(&path).await;
    assert_eq!(
        (&window["directory"], &window["account"]["email"], &window["sessions"]),
        (&json!("external"), &json!("alex@acme.example"), &json!([OVER.id]))
    );
    // A log-off does not take the role away.
    let left = json!({"action": "computer.left", "occurred_at": seconds_ago(1), "actor": {"type": "user", "email": "alex@acme.example"},
        "target": {"name": "W11"}, "account": {"email": "alex@acme.example"}});
    assert_eq!(
        world.stack.post(&world.stack.writer("acme"), "/v1/events", &left).await.status,
        201
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    // Its end has passed. Nothing is late before an import can have confirmed it.
    let window = world.get(&path).await;
    assert_eq!((&window["state"], &window["ended_at"]), (&json!("open"), &Value::Null), "{window}");
    assert_eq!(world.import(&ending.expired(0)).await, [1, 0, 0, 0]);
    let window = world.get(&path).await;
    assert_eq!(window["state"], "closed", "{window}");
    assert!(window["lateness_ms"].as_i64().unwrap() < 60_000, "{window}");
    let row = world.row("access", |row| row["state"] == "ended").await;
    assert_eq!((&row["end_cause"], &row["verified"]["by"]), (&json!("expired"), &json!("source")));
    assert_eq!(directory.is_enabled(&account), Some(true));
    let writes: Vec<_> =
        directory.log().into_iter().filter(|line| !line.starts_with("GET ")).collect();
    assert_eq!(writes, Vec::<String>::new());
    pass(&world.stack, UNCONFIRMED).await;
    assert_eq!(world.rules().await, Vec::<String>::new());
    world.stack.stop().await;
}

/// The same role for one administrative unit and for the whole directory are two activations.
#[tokio::test(flavor = "multi_thread")]
async fn each_activation_ends_by_itself_though_another_of_the_role_goes_on() {
    let world = World::start().await;
    let first = Activation { granted: 60, asked: 300, lasts: 7200, ..OVER };
    let second = Activation {
        id: "0b0e4c6e-9a2f-4c5c-8d44-7f1c3a9a7a10",
        granted: 30,
        lasts: 9000,
        ..first
    };
    let in_unit = json!({"directoryScopeId": "/administrativeUnits/paris", "approvalId": null});
    for request in [first.request(in_unit), second.request(json!({"approvalId": null}))] {
        assert_eq!(world.import(&request).await, [1, 0, 0, 0]);
    }
    let window = async |of: Activation| {
        let row = world.access(of, |row| row["window"].is_string()).await;
        world.get(&format!("/v1/windows/{}", row["window"].as_str().unwrap())).await
    };
    let (own, other) = (window(first).await, window(second).await);
    assert_ne!(own["id"], other["id"]);
    let end = first.record("Remove member from role completed (PIM deactivate)", 5, alex());
    assert_eq!(world.import(&end).await, [1, 0, 0, 0]);
    let own = window(first).await;
    assert_eq!((&own["state"], &own["ended_at"]), (&json!("closed"), &end["activityDateTime"]));
    let row = world.access(first, |row| row["state"] == "ended").await;
    assert_eq!(
        (&row["ended_at"], &row["verified"]["by"]),
        (&end["activityDateTime"], &json!("source"))
    );
    assert_eq!(window(second).await["state"], "open");
    let events = world.get("/v1/events?filter=action%20eq%20%22revocation.covered%22").await;
    assert_eq!(events["events"], json!([]), "{events}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivation_ends_the_window_and_an_end_before_its_beginning_too() {
    let world = World::start().await;
    let running = Activation { granted: 1200, asked: 1300, lasts: 7200, ..OVER };
    let deactivated = "Remove member from role completed (PIM deactivate)";
    let begun = running.request(json!({"approvalId": null}));
    assert_eq!(world.import(&begun).await, [1, 0, 0, 0]);
    let row = world.row("access", |row| row["state"] == "active").await;
    assert_eq!(
        (&row["approvals_needed"], &row["decisions"][0]["by"]["type"]),
        (&json!(0), &json!("system"))
    );
    let path = format!("/v1/windows/{}", row["window"].as_str().unwrap());
    assert_eq!(world.get(&path).await["state"], "open");
    let end = running.record(deactivated, 600, alex());
    assert_eq!(world.import(&end).await, [1, 0, 0, 0]);
    let window = world.get(&path).await;
    assert_eq!(
        (&window["state"], &window["ended_at"]),
        (&json!("closed"), &end["activityDateTime"])
    );
    let row = world.row("access", |row| row["state"] == "ended").await;
    assert_eq!(
        (&row["end_cause"], &row["ended_at"]),
        (&json!("canceled"), &end["activityDateTime"])
    );
    let session = world.get(&format!("/v1/sessions/{}", running.id)).await;
    assert_eq!(session["state"], "CANCELED");
    // The deactivation's own request says the same.
    let own = running.request(json!({
        "id": "6f0c1f0e-0000-4000-8000-000000000002", "action": "selfDeactivate", "status": "Revoked", "approvalId": null,
        "createdDateTime": end["activityDateTime"], "completedDateTime": null, "scheduleInfo": null
    }));
    assert_eq!(world.import(&own).await[..3], [0, 1, 0]);
    // In another tenant the end comes first.
    let reader = world.stack.reader("bolt");
    assert_eq!(world.import_into("bolt", &end).await, [1, 0, 0, 0]);
    assert_eq!(world.import_into("bolt", &begun).await, [1, 0, 0, 0]);
    let windows = world.stack.get(&reader, "/v1/windows").await.body["windows"].clone();
    assert_eq!(
        (windows.as_array().unwrap().len(), &windows[0]["state"]),
        (1, &json!("closed")),
        "{windows}"
    );
    // An administrator takes it away.
    assert_eq!(world.import_into("cargo", &begun).await, [1, 0, 0, 0]);
    assert_eq!(
        world.import_into("cargo", &running.record(deactivated, 600, sam())).await,
        [1, 0, 0, 0]
    );
    let path = format!("/v1/sessions/{}", running.id);
    let session = world.stack.get(&world.stack.reader("cargo"), &path).await.body;
    assert_eq!(session["state"], "TERMINATED", "{session}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_request_is_never_active() {
    let world = World::start().await;
    let denied = OVER.said(
        "Add member to role request denied (PIM activation)",
        6500,
        sam(),
        "Ask the service desk",
    );
    let request = OVER.request(json!({"status": "Denied", "completedDateTime": null}));
    assert_eq!(world.import(&json!([denied, request])).await, [2, 0, 0, 0]);
    let row = world.row("access", |row| row["state"] == "denied").await;
    assert_eq!(
        (&row["decisions"][0]["by"]["email"], &row["decisions"][0]["reason"]),
        (&json!("sam@acme.example"), &json!("Ask the service desk"))
    );
    assert_eq!((&row["granted_at"], row["window"].is_null()), (&Value::Null, true));
    let session = world.get(&format!("/v1/sessions/{}", OVER.id)).await;
    assert_eq!(
        (&session["state"], &session["roles"][0]["state"]),
        (&json!("DENIED"), &json!("DENIED"))
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_nobody_confirms_is_a_finding_until_the_audit_log_is_imported() {
    let world = World::start().await;
    // Who approved is not imported. PIM grants nothing without the approval it needs.
    assert_eq!(world.import(&OVER.request(json!({}))).await, [1, 0, 0, 0]);
    world.row("access", |row| row["state"] == "active").await;
    pass(&world.stack, 200).await;
    assert_eq!(world.rules().await, Vec::<String>::new());
    pass(&world.stack, UNCONFIRMED).await;
    let unconfirmed = async |state: &str| {
        until(format!("the finding is {state}"), async || {
            (world.rules().await == [format!("removal.unconfirmed {state}")]).then_some(())
        })
        .await;
    };
    unconfirmed("open").await;
    assert_eq!(world.import(&OVER.expired(2394)).await, [1, 0, 0, 0]);
    unconfirmed("withdrawn").await;
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_own_account_is_used_for_other_things_during_an_activation() {
    let world = World::start().await;
    assert_eq!(world.import(&json!({"value": OVER.whole()})).await, [4, 3, 0, 0]);
    world.row("access", |row| row["state"] == "ended").await;
    let used = |id: &str, action: &str, target: Value| {
        json!({"id": id, "action": action, "occurred_at": seconds_ago(5000), "actor": {"type": "user", "email": "alex@acme.example"},
            "account": {"email": "alex@acme.example"}, "target": target})
    };
    let uses = [
        used("u-1", "computer.accessed", json!({"type": "desktop", "name": "W11"})),
        used("u-2", "access.used", json!({"type": "directory_role", "id": ROLE_ID})),
    ];
    for event in uses {
        let answer = world.stack.post(&world.stack.writer("acme"), "/v1/events", &event).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let rows = until("the role is used", async || {
        let rows = world.get("/v1/reports/access").await["rows"].as_array().unwrap().clone();
        let is_used = rows.iter().any(|row| row["kind"] == "session" && row["uses"] == 1);
        (rows.len() == 2 && is_used).then_some(rows)
    })
    .await;
    pass(&world.stack, UNCONFIRMED).await;
    let log_on = rows.iter().find(|row| row["kind"] == "computer").unwrap();
    assert_eq!(log_on["request"], "no request known");
    assert_eq!(world.rules().await, Vec::<String>::new());
    let rows = world.get("/v1/reports/access").await["rows"].clone();
    let session = rows.as_array().unwrap().iter().find(|row| row["kind"] == "session").unwrap();
    assert_eq!(session["uses"], 1, "{session}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_access_for_a_limited_time_is_recorded_as_it_is() {
    let world = World::start().await;
    // A validation changes nothing in Entra, so there is nothing to record.
    let validated = OVER.request(json!({"isValidationOnly": true}));
    let answer = world.stack.post(&world.stack.writer("acme"), IMPORT, &validated).await;
    assert_eq!(
        (answer.body["created"].as_u64(), &answer.body["results"][0]["ids"]),
        (Some(0), &json!([]))
    );
    let events = |query: Value| {
        let world = &world;
        async move {
            let found = world.stack.post(&world.admin, "/v1/events/search", &query).await;
            found.body["events"].as_array().unwrap_or_else(|| panic!("{}", found.text)).clone()
        }
    };
    assert_eq!(events(json!({})).await, Vec::<Value>::new());
    // The page says whether an administrator's request is about an active assignment.
    let assigned = |id: &str, more: Value| {
        let mut request = OVER.request(json!({
            "id": id, "action": "adminAssign", "approvalId": null, "targetScheduleId": id, "createdBy": {"user": {"id": "u-boss"}}
        }));
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let for_good = json!({"scheduleInfo": {"startDateTime": seconds_ago(6000), "expiration": {"type": "noExpiration"}}});
    let page =
        |context: &str, objects: &[Value]| json!({"@odata.context": context, "value": objects});
    let active = page(OF_ROLES, &[assigned("r-1", json!({})), assigned("r-2", for_good)]);
    assert_eq!(world.import(&active).await, [2, 0, 0, 0]);
    let eligible =
        page(&OF_ROLES.replace("Assignment", "Eligibility"), &[assigned("r-3", json!({}))]);
    assert_eq!(world.import(&eligible).await, [1, 0, 0, 0]);
    assert_eq!(world.import(&assigned("r-4", json!({}))).await, [1, 0, 0, 0]);
    for (id, actions) in [
        ("r-1", &["session.created", "session.approved", "session.granted"][..]),
        ("r-2", &["directory.activity"]),
        ("r-3", &["directory.activity"]),
        ("r-4", &["directory.activity"]),
    ] {
        let found =
            events(json!({"filter": format!("request_id eq {id:?}"), "order": "asc"})).await;
        let mut names: Vec<_> =
            found.iter().map(|event| event["action"].as_str().unwrap()).collect();
        names.sort_by_key(|action| actions.iter().position(|it| it == action));
        assert_eq!(names, actions, "{id}");
        assert_eq!(found[0]["details"]["incomplete"].is_string(), id == "r-4");
    }
    // A record without the id of the request is linked to no session.
    let mut unlinked = OVER.completed();
    unlinked["additionalDetails"] = json!([]);
    unlinked["targetResources"][1]["type"] = "Other".into();
    assert_eq!(world.import(&unlinked).await, [1, 0, 0, 0]);
    let id = unlinked["id"].as_str().unwrap();
    let event = world.get(&format!("/v1/events/entra_audit_{id}")).await;
    assert_eq!((&event["action"], &event["session"]), (&json!("directory.activity"), &Value::Null));
    assert!(event["details"]["incomplete"].as_str().unwrap().contains("RoleAssignmentRequestId"));
    world.stack.stop().await;
}
