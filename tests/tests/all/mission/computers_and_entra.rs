//! JIT access auditing of an identity provider for managed service providers: technicians log in to
//! computers with privileged accounts, and get Entra accounts for some hours.

use tests::{TEMPLATE, seconds_ahead};
use tokio::sync::OnceCell;

use super::*;

const TECHNICIAN: &str = "alex@nikpot.com";
const DESKTOP: &str = "W11-L-ELEVATED";
const APPLICATION: &str = "Entra 365 onmicrosoft";
const ACCOUNT: &str = "msptech6913@NETORGFT11060369.onmicrosoft.com";

static STORY: OnceCell<()> = OnceCell::const_new();

fn desktop() -> Value {
    json!({"type": "desktop", "name": DESKTOP})
}

fn requested(id: &str, ago: u64, account: &str, more: Value) -> Value {
    let mut event = event(
        id,
        "entra.account.requested",
        ago,
        user(TECHNICIAN),
        json!({"target": {"type": "application", "id": "entra-365", "name": APPLICATION}, "account": {"name": account}}),
    );
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// Alex's day: a computer, an offline code, an Entra account for two seconds and its credentials.
async fn story() -> Company {
    let company = MISSION.company("nikpot");
    let tell = async || {
        MISSION.directory.add(ACCOUNT);
        let application = json!({
            "name": APPLICATION, "accounts": ["msptech*"],
            "directory": {"kind": "scim", "base_url": format!("{}/scim", MISSION.directory.url), "token": "env:JIT_AUDIT_SECRET_DIRECTORY"}
        });
        company.put("/v1/applications/entra-365", &application).await;
        let with = json!({"target": desktop(), "account": {"name": "MSP-ALEX"}});
        company
            .post_all(&[
                event("in", "computer.accessed", 500, user(TECHNICIAN), with.clone()),
                event("out", "computer.left", 400, user(TECHNICIAN), with),
                event(
                    "code",
                    "computer.offline_code.retrieved",
                    300,
                    user(TECHNICIAN),
                    json!({"target": desktop()}),
                ),
                event(
                    "credentials",
                    "entra.credentials.accessed",
                    200,
                    user(TECHNICIAN),
                    json!({"target": {"type": "application", "name": APPLICATION}}),
                ),
                requested("account", 0, ACCOUNT, json!({"window": {"duration": "PT2S"}})),
            ])
            .await;
    };
    STORY.get_or_init(tell).await;
    company
}

async fn told(id: &str) -> Value {
    story().await.get(&format!("/v1/events/{id}")).await
}

async fn has_fields(id: &str, account: Option<&str>, target: &str) {
    let event = told(id).await;
    assert_eq!(event["actor"]["email"], TECHNICIAN);
    assert_eq!(event["account"]["name"].as_str(), account);
    assert_eq!(event["target"]["name"], target);
}

/// The event that the service writes when it has disabled the account.
async fn disabled() -> Value {
    let company = story().await;
    until("the account is disabled", async || {
        let filter = "action eq \"entra.account.disabled\"";
        company.filter(filter).await.into_iter().find(|it| it["account"]["name"] == ACCOUNT)
    })
    .await
}

#[test]
fn row_001_every_access_to_entra_or_a_computer_is_in_one_trail() {
    run(async |_| {
        let company = story().await;
        let all =
            company.search(json!({"filter": "not (action sw \"window.\")", "order": "asc"})).await;
        let day = ["in", "out", "code", "credentials", "account"];
        let first: Vec<_> =
            texts(&all, "id").into_iter().filter(|id| day.contains(&id.as_str())).collect();
        assert_eq!(first, day);
    });
}

#[test]
fn row_002_the_trail_is_a_page_behind_a_sign_in() {
    run(async |mission| {
        let page = page_file(mission, "/").await;
        assert!(page.contains("<title>") && page.contains("page/main.js"), "{page}");
        assert!(page_file(mission, "/page/main.js").await.contains("Audit trail"));
        let answer = tests::send(mission.stack.request("GET", "/v1/events")).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    });
}

#[test]
fn row_003_jit_for_computers_and_jit_for_entra_are_two_families() {
    run(async |_| {
        let company = story().await;
        assert_eq!(company.ids("action sw \"computer.\"").await, ["code", "out", "in"]);
        let entra = company.ids("action sw \"entra.\" and actor.type eq \"user\"").await;
        assert!(entra.contains(&"account".into()) && entra.contains(&"credentials".into()));
    });
}

#[test]
fn row_004_computer_access_is_an_event() {
    run(async |_| assert_eq!(told("in").await["label"], "Computer access"));
}

#[test]
fn row_005_computer_access_names_technician_desktop_and_account() {
    run(async |_| has_fields("in", Some("MSP-ALEX"), DESKTOP).await);
}

#[test]
fn row_006_computer_access_reads_as_in_the_document() {
    run(async |_| {
        let expected =
            "alex@nikpot.com logged into the Desktop W11-L-ELEVATED with account MSP-ALEX.";
        assert_eq!(told("in").await["message"], expected);
    });
}

#[test]
fn row_007_log_off_or_lock_is_one_event() {
    run(async |_| assert_eq!(told("out").await["label"], "Log off or lock"));
}

#[test]
fn row_008_log_off_names_technician_desktop_and_account() {
    run(async |_| has_fields("out", Some("MSP-ALEX"), DESKTOP).await);
}

#[test]
fn row_009_log_off_reads_as_in_the_document() {
    run(async |_| {
        let expected =
            "alex@nikpot.com has logged off the Desktop W11-L-ELEVATED with account MSP-ALEX.";
        assert_eq!(told("out").await["message"], expected);
    });
}

#[test]
fn row_010_offline_code_retrieval_is_an_event() {
    run(async |_| {
        assert_eq!(told("code").await["label"], "Offline code retrieval");
        has_fields("code", None, DESKTOP).await;
    });
}

#[test]
fn row_011_the_mobile_application_captures_it_and_may_be_late() {
    run(async |mission| {
        let company = mission.company("nikpot-phones");
        let phone = mission.stack.minted(
            json!({"tenant": "nikpot-phones", "sub": "alex", "email": TECHNICIAN, "email_verified": true, "scope": "audit:self"}),
        );
        let late = event(
            "offline",
            "computer.offline_code.retrieved",
            86_400,
            user(TECHNICIAN),
            json!({"target": desktop()}),
        );
        let answer = mission.stack.post(&phone, "/v1/events", &late).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let stored =
            company.get(&format!("/v1/events/{}", answer.body["id"].as_str().unwrap())).await;
        let sent = late["occurred_at"].as_str().unwrap();
        assert_eq!(stored["occurred_at"].as_str().unwrap()[..19], sent[..19]);
        assert!(stored["recorded_at"].as_str() > stored["occurred_at"].as_str(), "{stored}");
    });
}

#[test]
fn row_012_offline_code_retrieval_reads_as_in_the_document() {
    run(async |_| {
        let expected = "alex@nikpot.com accessed offline code for Desktop machine W11-L-ELEVATED.";
        assert_eq!(told("code").await["message"], expected);
    });
}

#[test]
fn row_013_an_account_is_requested_to_be_enabled_or_provisioned() {
    run(async |_| {
        let company = story().await;
        for (id, provisioned, word) in [("new", true, "created."), ("there", false, "enabled.")] {
            let more = json!({"details": {"provisioned": provisioned}, "window": false});
            let stored = company.post(&requested(id, 50, &format!("msptech-{id}"), more)).await;
            assert_eq!(stored["label"], "Entra account request");
            assert!(stored["message"].as_str().unwrap().ends_with(word), "{stored}");
        }
    });
}

#[test]
fn row_014_an_account_request_names_technician_application_and_account() {
    run(async |_| has_fields("account", Some(ACCOUNT), APPLICATION).await);
}

#[test]
fn row_015_an_account_request_reads_as_in_the_document() {
    run(async |_| {
        let expected = "alex@nikpot.com requested access to application Entra 365 onmicrosoft. User account \
                        msptech6913@NETORGFT11060369.onmicrosoft.com created.";
        assert_eq!(told("account").await["message"], expected);
    });
}

#[test]
fn row_016_the_disabling_of_the_account_is_an_event() {
    run(async |_| assert_eq!(disabled().await["label"], "Entra account disabled"));
}

#[test]
fn row_017_an_account_stays_active_for_four_hours_by_default() {
    run(async |_| {
        let company = story().await;
        let stored = company.post(&requested("default", 0, "msptech-default", json!({}))).await;
        let time = |name: &str| -> shared::domain::time::timestamp::Instant {
            stored["window"][name].as_str().unwrap().parse().unwrap()
        };
        assert_eq!(time("ends_at").millis() - time("starts_at").millis(), 4 * 3_600_000);
        assert!(TEMPLATE.contains("rate(1 minute)"), "a schedule looks for ends that are due");
    });
}

#[test]
fn row_018_the_active_time_is_configurable() {
    run(async |_| {
        let company = story().await;
        let short = json!({"name": "Short", "accounts": ["*"], "window": "PT30M", "directory": {"kind": "external"}});
        company.put("/v1/applications/short", &short).await;
        let mut asked = requested("configured", 0, "msptech-short", json!({}));
        asked["target"] = json!({"id": "short", "name": "Short"});
        let ends_at = company.post(&asked).await["window"]["ends_at"].as_str().unwrap().to_owned();
        assert!(ends_at <= seconds_ahead(1801) && ends_at >= seconds_ahead(1700), "{ends_at}");
    });
}

#[test]
fn row_019_system_disables_the_account() {
    run(async |mission| {
        let event = disabled().await;
        assert_eq!(event["actor"]["type"], "system");
        let expected = "System disabled user account msptech6913@NETORGFT11060369.onmicrosoft.com in application Entra 365 onmicrosoft.";
        assert_eq!(event["message"], expected);
        assert!(mission.directory.log().iter().any(|line| line.starts_with("PATCH ")));
    });
}

#[test]
fn row_020_the_view_of_credentials_is_an_event() {
    run(async |_| {
        assert_eq!(told("credentials").await["label"], "Entra account credentials access");
    });
}

#[test]
fn row_021_the_view_of_credentials_reads_as_in_the_document() {
    run(async |_| {
        let expected = "alex@nikpot.com accessed Entra 365 onmicrosoft credentials.";
        assert_eq!(told("credentials").await["message"], expected);
    });
}

#[test]
fn row_022_person_account_and_target_are_three_fields() {
    run(async |_| {
        let company = story().await;
        let by = async |filter: String| company.ids(&filter).await;
        let person =
            by(format!("actor.email eq \"{TECHNICIAN}\" and action sw \"computer.\"")).await;
        assert_eq!(person, ["code", "out", "in"]);
        assert_eq!(by("account.name eq \"msp-alex\"".into()).await, ["out", "in"]);
        assert_eq!(by(format!("target.name eq \"{DESKTOP}\"")).await, ["code", "out", "in"]);
        assert_eq!(by(format!("account.name eq \"{TECHNICIAN}\"")).await, Vec::<String>::new());
    });
}
