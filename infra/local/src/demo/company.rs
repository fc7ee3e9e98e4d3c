//! The company of the demonstration: its people, applications, packages and connected organisation, its saved searches, its stream, a review
//! of its week and a plan of reviews.

use serde_json::{Value, json};
use shared::domain::time::timestamp::Instant;

/// The configured documents with their paths.
pub fn documents() -> Vec<(String, Value)> {
    let mut documents = vec![
        (
            "/v1/organisations/fabrikam".to_owned(),
            json!({
                "name": "Fabrikam", "description": "Builds the shop", "state": "configured", "domains": ["fabrikam.example"], "internal_sponsors": ["lead@acme.example"]
            }),
        ),
        (
            "/v1/applications/entra-365".to_owned(),
            json!({
                "name": "Entra 365 onmicrosoft", "window": "PT4H", "max_window": "PT12H", "accounts": ["msptech-*"], "require_justification": true,
                "owners": ["it@acme.example"], "directory": {"kind": "external"}
            }),
        ),
        (
            "/v1/packages/pkg-sales".to_owned(),
            json!({
                "name": "Sales tools", "catalog": "General", "owners": ["lead@acme.example"],
                "resource_roles": [
                    {"resource": {"id": "crm", "name": "CRM", "type": "application"}, "role": "Reader"},
                    {"resource": {"id": "quotes", "name": "Quotes", "type": "site"}, "role": "Member"},
                ],
                "policies": [
                    {"id": "pol-1", "requestors": {"groups": ["sales"]}, "approvals_needed": 1, "approvers": {"users": ["lead@acme.example"]}, "duration": "P90D"},
                    {"id": "pol-partners", "requestors": {"organisations": ["fabrikam"]}, "approvals_needed": 1, "approvers": {"sponsors": true}, "duration": "P30D"},
                ]
            }),
        ),
    ];
    documents.push((
        "/v1/saved/access-by-quarter".to_owned(),
        json!({
            "name": "Quarterly access to desktops", "report": {"name": "access", "target": "W11-L-ELEVATED"}, "range": "last quarter", "tz": "Europe/Paris",
            "profile": "excel", "file_name": "access-by-quarter", "schedule": {"every": "quarter", "at": "06:00"}
        }),
    ));
    documents.push((
        "/v1/saved/denied-this-week".to_owned(),
        json!({"name": "Denied this week", "filter": "state eq \"DENIED\"", "range": "this week"}),
    ));
    documents.push((
        "/v1/review-plans/quarterly-access".to_owned(),
        json!({
            "name": "Quarterly access review", "every": "quarter", "tz": "Europe/Paris", "of": "sessions", "sample": {"size": 25}, "due_days": 14,
            "reviewers": ["morgan@acme.example"]
        }),
    ));
    documents.push((
        "/v1/streams/lake".to_owned(),
        json!({"target": {"kind": "s3"}, "shape": "ocsf", "from": "oldest"}),
    ));
    for (id, name, email, team) in [
        ("alex", "Alex Nikpot", "alex@nikpot.com", "Service desk"),
        ("priya", "Priya Nikpot", "priya@nikpot.com", "Service desk"),
        ("sam", "Sam Nikpot", "sam@nikpot.com", "Infrastructure"),
        ("morgan", "Morgan Field", "morgan@acme.example", "Security"),
        ("lead", "Lena Lead", "lead@acme.example", "Sales"),
        ("kim", "Kim Park", "kim@acme.example", "Engineering"),
    ] {
        documents.push((
            format!("/v1/people/{id}"),
            json!({"name": name, "emails": [email], "team": team}),
        ));
    }
    for number in 0..5 {
        let person = json!({
            "name": format!("Person {number}"), "emails": [format!("person-{number}@acme.example")], "object_ids": [format!("u-{number}")], "team": "Sales",
            "manager": "lead", "groups": ["sales"]
        });
        documents.push((format!("/v1/people/person-{number}"), person));
    }
    documents
}

/// A review of five access records of the week. Repeated requests on the same day select the same five.
pub fn review(now: Instant) -> Value {
    let today = now.day_number();
    let day = |number: i64| Instant::of_day(number).to_string();
    json!({
        "id": format!("week-{}", &day(today)[..10]), "name": format!("The week before {}", &day(today)[..10]), "of": "sessions", "since": day(today - 6), "until": day(today),
        "sample": {"size": 5, "seed": "demo"}, "due_at": day(today + 5)
    })
}
