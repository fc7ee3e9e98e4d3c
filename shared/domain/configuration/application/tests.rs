use super::*;
use serde_json::{Value, json};

fn entra() -> Value {
    json!({
        "name": "Entra 365", "accounts": ["msptech*@netorg.onmicrosoft.com"],
        "directory": {"kind": "entra", "tenant_id": "72F988BF-86f1-41af-91ab-2d7cd011db47", "client_id": "00000003-0000-0000-c000-000000000000", "client_secret": "secretsmanager:graph"}
    })
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let application = Application::read(&entra().to_string(), Place::Deployed).unwrap();
    assert_eq!(
        (application.window.to_string(), application.max_window.to_string()),
        ("PT4H".into(), "PT12H".into())
    );
    assert_eq!(application.directory.key().unwrap(), "entra:72f988bf-86f1-41af-91ab-2d7cd011db47");
    let Directory::Entra(entra) = &application.directory else { panic!("{application:?}") };
    assert_eq!(entra.graph_url, "https://graph.microsoft.com");
    let stored = serde_json::to_string(&application).unwrap();
    assert_eq!(serde_json::from_str::<Application>(&stored).unwrap(), application);
}

#[test]
fn wrong_values_are_named() {
    for (pointer, value, at, part) in [
        ("/name", json!(null), "/name", "null"),
        ("/window", json!("4h"), "/window", "ISO 8601"),
        ("/window", json!("PT4M"), "/window", "from PT300S"),
        ("/window", json!("PT24H"), "", ""),
        ("/max_window", json!("PT1H"), "/max_window", "shorter than window"),
        ("/max_window", json!("P31D"), "/max_window", "to P30D"),
        ("/accounts", json!([]), "/accounts", "is required: patterns of the accounts"),
        ("/require_justification", json!("yes"), "/require_justification", "true or false"),
        ("/directory/kind", json!("ldap"), "/directory/kind", "one of"),
        ("/directory/tenant_id", json!("contoso.com"), "/directory/tenant_id", "an id like"),
        (
            "/directory/graph_url",
            json!("https://evil.example"),
            "/directory/graph_url",
            "one of https://graph.microsoft.com",
        ),
        (
            "/directory/client_secret",
            json!("hunter2"),
            "/directory/client_secret",
            "Do not send the secret",
        ),
        (
            "/directory/client_secret",
            json!("env:JIT_AUDIT_SECRET_X"),
            "/directory/client_secret",
            "secretsmanager",
        ),
        (
            "/directory/client_secret",
            json!("secretsmanager:../x"),
            "/directory/client_secret",
            "secretsmanager",
        ),
        ("/directory/graph_url", json!("http://10.0.0.1"), "/directory/graph_url", "https"),
        ("/directory/token", json!("x"), "/directory/token", "no known field"),
    ] {
        let mut application = entra();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        application.pointer_mut(parent).unwrap()[key] = value;
        let read = Application::read(&application.to_string(), Place::Deployed);
        if at.is_empty() {
            assert_eq!(read.unwrap().max_window.to_string(), "PT24H");
            continue;
        }
        let errors = read.unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == at && errors[0].detail.contains(part),
            "{errors:?}"
        );
    }
    let errors =
        Application::read(r#"{"name": "x", "directory": {"kind": "scim"}}"#, Place::Deployed)
            .unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/directory/base_url", "/directory/token"]);
}

#[test]
fn one_machine_has_rules_of_its_own() {
    let json = r#"{"name": "x", "window": "PT1S", "accounts": ["*"], "directory":
        {"kind": "scim", "base_url": "http://127.0.0.1:8080/scim/v2/", "token": "env:JIT_AUDIT_SECRET_IDP"}}"#;
    let application = Application::read(json, Place::OneMachine).unwrap();
    assert_eq!(application.directory.key().unwrap(), "scim:127.0.0.1:8080/scim/v2");
    assert_eq!(Application::read(json, Place::Deployed).unwrap_err().len(), 3);
}

#[test]
fn an_application_says_for_which_events_it_disables() {
    let with = |disable_for: Value| {
        let mut json = entra();
        json["disable_for"] = disable_for;
        Application::read(&json.to_string(), Place::Deployed)
    };
    let usual = Application::read(&entra().to_string(), Place::Deployed).unwrap();
    assert_eq!(usual.disable_for, [OpeningEvent::AccountRequested, OpeningEvent::SessionGranted]);
    assert_eq!(
        with(json!(["session.granted", "session.granted"])).unwrap().disable_for,
        [OpeningEvent::SessionGranted]
    );
    assert_eq!(with(json!([])).unwrap().disable_for, []);
    let errors = with(json!(["session.granted", "session.created"])).unwrap_err();
    assert_eq!(errors[0].pointer, "/disable_for/1");
    // One that was stored before there was a choice disables for the usual ones.
    let mut stored = serde_json::to_value(&usual).unwrap();
    stored.as_object_mut().unwrap().remove("disable_for");
    assert_eq!(serde_json::from_value::<Application>(stored).unwrap(), usual);
}

#[test]
fn patterns_own_accounts() {
    for (pattern, account, owns) in [
        ("msptech*", "mſptech1", false),
        ("kim*", "\u{212a}im", false),
        ("msptech*", "MSPTECH6913@x", true),
        ("msptech*@netorg.onmicrosoft.com", "msptech1@netorg.onmicrosoft.com", true),
        ("msptech*@netorg.onmicrosoft.com", "msptech1@evil.com", false),
        ("msptech", "msptech1", false),
        ("*", "", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*a", "a", false),
        ("a**b", "ab", true),
        ("Stra\u{df}e*", "STRASSE1", true),
    ] {
        let mut json = entra();
        json["accounts"] = json!([pattern]);
        let application = Application::read(&json.to_string(), Place::Deployed).unwrap();
        assert_eq!(application.owns(account), owns, "{pattern} {account}");
    }
}
