//! The audit tab of a portal for database sessions: every state of a session, with session 68 of the
//! document as the example.

use tests::seconds_ahead;
use tokio::sync::OnceCell;

use super::*;

static STORY: OnceCell<()> = OnceCell::const_new();

fn named(name: &str) -> Value {
    json!({"type": "user", "name": name})
}

/// A state of a session as a whole.
fn whole(id: &str, state: &str, ago: u64, actor: Value, more: Value) -> Value {
    let mut session = json!({"id": id, "scope": "session", "roles": ["role1", "role3"], "starts_at": seconds_ago(300), "ends_at": seconds_ahead(3600)});
    session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut about = json!({"session": session, "target": {"type": "database", "name": "shop"}, "account": null});
    about.as_object_mut().unwrap().remove("account");
    if state == "created" {
        about["justification"] = json!("Correct a price");
    }
    event(&format!("{id}-{state}-{ago}"), &format!("session.{state}"), ago, actor, about)
}

/// A state of one role of a session.
fn of_role(id: &str, state: &str, ago: u64, actor: Value, role: &str) -> Value {
    let about = json!({"session": {"id": id, "scope": "role", "roles": [role]}, "target": {"type": "database", "name": "shop"}});
    event(&format!("{id}-{role}-{state}"), &format!("session.{state}"), ago, actor, about)
}

/// Session 68 from the bottom of the example, and one session for each other end.
async fn story() -> Company {
    let company = MISSION.company("heimdall");
    let tell = async || {
        company.put("/v1/settings", &json!({"zone": "Etc/GMT-1"})).await;
        let tbd = || json!({"username": "TBD"});
        let mark = || json!({"username": "mark_68"});
        company
            .post_all(&[
                whole("68", "created", 360, named("Mark"), tbd()),
                of_role("68", "approved", 340, named("admin"), "role3"),
                of_role("68", "approved", 330, named("john"), "role1"),
                whole("68", "approved", 320, system(), tbd()),
                whole("68", "granted", 300, system(), mark()),
                whole("68", "canceled", 120, named("Mark"), mark()),
            ])
            .await;
        let mut events = Vec::new();
        for (id, end, by) in [("70", "expired", system()), ("71", "terminated", named("admin"))] {
            events.push(whole(id, "created", 2000, named("Ann"), json!({"approvals_needed": 0})));
            events.push(whole(id, "approved", 1990, system(), json!({})));
            events.push(whole(
                id,
                "granted",
                1900,
                system(),
                json!({"username": format!("ann_{id}")}),
            ));
            events.push(whole(id, end, 1000, by, json!({"username": format!("ann_{id}")})));
        }
        events.push(whole("69", "created", 3000, named("Ann"), json!({})));
        events.push(of_role("69", "denied", 2900, named("john"), "role1"));
        company.post_all(&events).await;
    };
    STORY.get_or_init(tell).await;
    company
}

/// The rows of a session, newest first.
async fn rows(id: &str) -> Vec<Value> {
    story().await.filter(&format!("session.id eq \"{id}\" and action sw \"session.\"")).await
}

async fn session(id: &str) -> Value {
    story().await.get(&format!("/v1/sessions/{id}")).await
}

async fn has_state(id: &str, state: &str, message: &str) {
    let rows = rows(id).await;
    let row = rows.iter().find(|row| row["state"] == state && row["session"]["scope"] == "session");
    let row = row.unwrap_or_else(|| panic!("{state} in {rows:?}"));
    assert_eq!((&row["label"], &row["message"]), (&json!(state), &json!(message)));
}

#[test]
fn row_046_records_of_all_portal_operations_are_viewed_and_downloaded() {
    run(async |_| {
        let company = story().await;
        let listed = company.search(json!({"limit": 1000})).await;
        let (_, rows) = company.download(&json!({"columns": ["Event ID"]})).await;
        assert!(listed.len() >= 16, "{}", listed.len());
        assert_eq!(texts(&listed, "id"), rows.concat());
    });
}

#[test]
fn row_047_the_page_is_there_only_in_portal_mode() {
    run(async |_| {
        let parameters = [("PortalMode".to_owned(), "false".to_owned())].into();
        let stack = Stack::with(local::Options { parameters, ..options() }).await;
        for path in ["/", "/page/app.js"] {
            let answer = tests::send(stack.request("GET", path)).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        }
        assert_eq!(stack.get(&stack.reader("heimdall"), "/v1/events").await.status, 200);
        stack.stop().await;
    });
}

#[test]
fn row_048_only_an_audit_user_sees_it() {
    run(async |mission| {
        story().await;
        for (role, status) in [("Audit User", 200), ("Database User", 403)] {
            let claims = json!({"tenant": "heimdall", "sub": "u", "email": "u@heimdall.example", "roles": [role]});
            let answer = mission.stack.get(&mission.stack.minted(claims), "/v1/events").await;
            assert_eq!(answer.status.as_u16(), status, "{role}: {}", answer.text);
        }
    });
}

#[test]
fn row_049_several_filters_are_combined() {
    run(async |_| {
        let company = story().await;
        let filter = "session.id eq \"68\" and state eq \"APPROVED\" and actor.name eq \"john\"";
        assert_eq!(company.ids(filter).await, ["68-role1-approved"]);
    });
}

#[test]
fn row_050_since_and_until_limit_the_dates() {
    run(async |_| {
        let company = story().await;
        let range = json!({"since": seconds_ago(345), "until": seconds_ago(325), "filter": "session.id eq \"68\""});
        assert_eq!(
            texts(&company.search(range).await, "id"),
            ["68-role1-approved", "68-role3-approved"]
        );
    });
}

#[test]
fn row_051_values_of_columns_are_filtered() {
    run(async |_| {
        let company = story().await;
        let filter = "session.roles eq \"role3\" and session.scope eq \"role\"";
        assert_eq!(company.ids(filter).await, ["68-role3-approved"]);
        assert_eq!(
            company.ids("session.username eq \"mark_68\" and state eq \"GRANTED\"").await.len(),
            1
        );
    });
}

#[test]
fn row_052_records_are_downloaded_to_a_text_file() {
    run(async |_| {
        let asked = json!({"file_name": "audit records", "filter": "session.id eq \"68\" and action sw \"session.\""});
        let (name, text) = story().await.file(&asked).await;
        assert!(name.starts_with("audit records") && text.lines().count() == 7, "{name}: {text}");
    });
}

#[test]
fn row_053_include_filters_downloads_the_matching_records_alone() {
    run(async |mission| {
        let asked = json!({"filter": "session.id eq \"69\"", "include_filters": true, "columns": ["Session ID"]});
        let (_, rows) = story().await.download(&asked).await;
        assert_eq!(rows, [["69"], ["69"]]);
        assert!(page_file(mission, "/page/views/trail.js").await.contains("Include filters"));
    });
}

#[test]
fn row_054_without_it_all_records_are_downloaded_whatever_the_filters() {
    run(async |_| {
        let asked = json!({"filter": "session.id eq \"69\"", "include_filters": false, "columns": ["Session ID"]});
        let (_, rows) = story().await.download(&asked).await;
        for id in ["68", "69", "70", "71"] {
            assert!(rows.iter().any(|row| row[0] == id), "{id}: {rows:?}");
        }
    });
}

#[test]
fn row_055_records_about_roles_are_marked_light_blue() {
    run(async |mission| {
        assert_eq!(
            story().await.ids("session.scope eq \"role\" and session.id eq \"68\"").await.len(),
            2
        );
        let style = page_file(mission, "/page/style.css").await;
        assert!(style.contains("tr.role td { background: var(--role); }"));
    });
}

#[test]
fn row_056_times_are_in_the_zone_of_the_server_by_default() {
    run(async |_| {
        let (_, rows) = story().await.download(&json!({"columns": ["Log Timestamp"]})).await;
        assert!(rows.iter().all(|row| row[0].ends_with("+01:00")), "{rows:?}");
    });
}

#[test]
fn row_057_the_zone_is_in_the_names_of_the_columns() {
    run(async |_| {
        let columns = json!(["Log Timestamp", "Session Start Timestamp", "Session End Timestamp"]);
        let (head, _) = story().await.download(&json!({ "columns": columns })).await;
        let expected = [
            "Log Timestamp (UTC +1)",
            "Session Start Timestamp (UTC +1)",
            "Session End Timestamp (UTC +1)",
        ];
        assert_eq!(head, expected);
    });
}

#[test]
fn row_058_a_client_in_another_zone_still_gets_the_servers() {
    run(async |_| assert_eq!(story().await.get("/v1/me").await["zone"], "Etc/GMT-1"));
}

#[test]
fn row_059_local_timezone_shows_times_in_the_clients_zone() {
    run(async |mission| {
        assert!(page_file(mission, "/page/views/trail.js").await.contains("Local Timezone"));
        // The page computes them from the instants.
        let row = rows("68").await.remove(0);
        assert!(row["occurred_at"].as_str().unwrap().ends_with('Z'), "{row}");
    });
}

#[test]
fn row_060_times_typed_in_filters_are_then_local() {
    run(async |_| {
        let company = MISSION.company("heimdall-zones");
        let noon = json!({"id": "noon", "action": "user.logged_in", "occurred_at": "2026-10-20T12:00:00Z", "actor": named("Mark")});
        company.post(&noon).await;
        // 17:30 in Kolkata is noon in UTC.
        for (tz, found) in [("Asia/Kolkata", 1), ("UTC", 0)] {
            let range =
                json!({"since": "2026-10-20T17:00:00", "until": "2026-10-20T18:00:00", "tz": tz});
            assert_eq!(company.search(range).await.len(), found, "{tz}");
        }
    });
}

#[test]
fn row_061_downloads_are_in_the_servers_zone_unless_another_is_asked_for() {
    run(async |_| {
        let company = story().await;
        for (asked, head) in
            [(json!({}), "Log Timestamp (UTC +1)"), (json!({"tz": "UTC"}), "Log Timestamp (UTC)")]
        {
            let (columns, _) = company.download(&asked).await;
            assert_eq!(columns[1], head);
        }
    });
}

#[test]
fn row_062_approved_by_an_approver_or_because_none_is_needed() {
    run(async |_| {
        has_state("68", "APPROVED", "System approved session 68.").await;
        has_state("70", "APPROVED", "System approved session 70.").await;
        assert_eq!(session("70").await["approvals_needed"], 0);
    });
}

#[test]
fn row_063_canceled_by_the_requester() {
    run(async |_| has_state("68", "CANCELED", "Mark canceled session 68.").await);
}

#[test]
fn row_064_created() {
    run(async |_| {
        has_state("68", "CREATED", "Mark requested session 68 with roles role1, role3.").await;
    });
}

#[test]
fn row_065_a_denied_role_denies_the_session() {
    run(async |_| {
        let rows = rows("69").await;
        assert_eq!(
            (&rows[0]["state"], &rows[0]["message"]),
            (&json!("DENIED"), &json!("john denied role role1 of session 69."))
        );
        assert_eq!(session("69").await["state"], "DENIED");
    });
}

#[test]
fn row_066_expired_when_its_time_ran_out() {
    run(async |_| {
        has_state("70", "EXPIRED", "System ended session 70: its time ran out.").await;
        assert_eq!(session("70").await["state"], "EXPIRED");
    });
}

#[test]
fn row_067_granted_when_its_start_arrived() {
    run(async |_| {
        has_state("68", "GRANTED", "System started session 68. Session user: mark_68").await;
    });
}

#[test]
fn row_068_terminated_by_an_administrator() {
    run(async |_| has_state("71", "TERMINATED", "admin terminated session 71.").await);
}

#[test]
fn row_069_each_record_is_one_state_not_the_present_one() {
    run(async |_| {
        let states = texts(&rows("68").await, "state");
        assert_eq!(states, ["CANCELED", "GRANTED", "APPROVED", "APPROVED", "APPROVED", "CREATED"]);
        assert_eq!(session("68").await["state"], "CANCELED");
    });
}

#[test]
fn row_070_a_session_has_id_times_roles_and_justification() {
    run(async |_| {
        let session = session("68").await;
        assert_eq!(
            (&session["id"], &session["justification"]),
            (&json!("68"), &json!("Correct a price"))
        );
        let roles = session["roles"].as_array().unwrap();
        assert_eq!(texts(roles, "role"), ["role1", "role3"]);
        assert!(session["starts_at"].is_string() && session["ends_at"].is_string(), "{session}");
    });
}

#[test]
fn row_071_the_id_of_a_session_opens_its_roles_and_justification() {
    run(async |mission| {
        let details = page_file(mission, "/page/views/sessions.js").await;
        assert!(details.contains("session.justification") && details.contains("role.decisions"));
        let session = session("68").await;
        assert_eq!(session["requester"], "Mark");
        assert!(!session["timeline"].as_array().unwrap().is_empty());
    });
}

#[test]
fn row_072_different_approvers_approve_different_roles() {
    run(async |_| {
        let session = session("68").await;
        let by = |role: usize| session["roles"][role]["decisions"][0]["by"].clone();
        assert_eq!((by(0), by(1)), (json!("john"), json!("admin")));
    });
}

#[test]
fn row_073_the_number_of_approvals_is_configurable_down_to_none() {
    run(async |_| {
        let company = MISSION.company("heimdall-approvals");
        let state =
            async |id: &str| company.get(&format!("/v1/sessions/{id}")).await["state"].clone();
        for (needed, states) in [(1, ["APPROVED", "APPROVED"]), (2, ["CREATED", "APPROVED"])] {
            let id = format!("needs-{needed}");
            company
                .post(&whole(&id, "created", 90, named("Ann"), json!({"approvals_needed": needed})))
                .await;
            for (approver, expected) in ["john", "admin"].into_iter().zip(states) {
                for role in ["role1", "role3"] {
                    let mut approved = of_role(&id, "approved", 80, named(approver), role);
                    approved["id"] = json!(format!("{id}-{role}-{approver}"));
                    company.post(&approved).await;
                }
                assert_eq!(state(&id).await, expected, "{approver}, {needed} needed");
            }
        }
        company
            .post(&whole("none", "created", 90, named("Ann"), json!({"approvals_needed": 0})))
            .await;
        company.post(&whole("none", "approved", 80, system(), json!({}))).await;
        assert_eq!(state("none").await, "APPROVED");
        assert_eq!(company.get("/v1/findings?rule=session.misfit").await["findings"], json!([]));
    });
}

#[test]
fn row_074_a_record_about_a_role_has_no_start_and_end() {
    run(async |_| {
        let asked = json!({"filter": "id eq \"68-role3-approved\"", "columns": ["Session Start Timestamp", "Session End Timestamp"]});
        assert_eq!(story().await.download(&asked).await.1, [["", ""]]);
    });
}

#[test]
fn row_075_a_session_is_approved_when_all_its_roles_are() {
    run(async |_| {
        let company = MISSION.company("heimdall-roles");
        company.post(&whole("80", "created", 90, named("Mark"), json!({}))).await;
        let state = async || company.get("/v1/sessions/80").await["state"].clone();
        company.post(&of_role("80", "approved", 80, named("admin"), "role3")).await;
        assert_eq!(state().await, "CREATED");
        company.post(&of_role("80", "approved", 70, named("john"), "role1")).await;
        assert_eq!(state().await, "APPROVED");
    });
}

#[test]
fn row_076_the_username_is_tbd_until_the_session_starts() {
    run(async |_| {
        let rows = rows("68").await;
        let names: Vec<_> =
            rows.iter().map(|row| row["session"]["username"].as_str().unwrap_or("")).collect();
        assert_eq!(names, ["mark_68", "mark_68", "TBD", "", "", "TBD"]);
        let company = MISSION.company("heimdall-waiting");
        company
            .post(&whole("81", "created", 90, named("Mark"), json!({"username": "mark_81"})))
            .await;
        assert_eq!(company.get("/v1/sessions/81").await["username"], "TBD");
    });
}

/// The portal creates the user; its event and a failure are recorded and shown here.
#[test]
fn row_077_on_granted_the_portal_has_created_the_session_user() {
    run(async |_| {
        let shown = session("71").await;
        assert_eq!(shown["username"], "ann_71");
        let company = MISSION.company("heimdall-failed");
        company
            .post(&whole("82", "created", 90, named("Mark"), json!({"approvals_needed": 0})))
            .await;
        company.post(&whole("82", "approved", 80, system(), json!({}))).await;
        let mut failed = whole("82", "granted", 60, system(), json!({"username": "mark_82"}));
        failed["outcome"] = json!("failure");
        failed["reason"] = json!("The user mark_82 exists");
        let stored = company.post(&failed).await;
        assert_eq!(
            stored["message"],
            "System failed to grant session 82. Reason: The user mark_82 exists"
        );
        let row = company.row("access", |row| row["state"] == "failed").await;
        assert_eq!(row["session"], "82");
    });
}

#[test]
fn row_078_the_end_of_the_session_ends_the_window_of_its_user() {
    run(async |_| {
        let window = session("68").await["window"].clone();
        assert_eq!(
            (&window["state"], &window["directory"]),
            (&json!("closed"), &json!("external"))
        );
    });
}

#[test]
fn row_079_the_newest_record_is_first() {
    run(async |_| {
        let rows = rows("68").await;
        assert_eq!((&rows[0]["state"], &rows[5]["state"]), (&json!("CANCELED"), &json!("CREATED")));
        assert!(texts(&rows, "occurred_at").is_sorted_by(|a, b| a >= b));
    });
}
