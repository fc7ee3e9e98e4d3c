use super::*;
use serde_json::{Value, json};

fn package(policies: Value) -> Package {
    Package::read(&json!({"name": "Sales", "policies": policies}).to_string()).unwrap()
}

fn person(id: &str, record: Value) -> Configured<Person> {
    Configured::new(id, 1, Person::read(&record.to_string()).unwrap())
}

fn organisations() -> Vec<Configured<Organisation>> {
    let organisation = |id: &str, json: Value| {
        Configured::new(id, 1, Organisation::read(&json.to_string()).unwrap())
    };
    vec![
        organisation(
            "fabrikam",
            json!({"name": "Fabrikam", "state": "configured", "domains": ["fabrikam.example"], "internal_sponsors": ["sam@acme.example"]}),
        ),
        organisation(
            "wingtip",
            json!({"name": "Wingtip", "state": "proposed", "domains": ["wingtip.example"]}),
        ),
    ]
}

#[test]
fn who_may_ask_is_yes_no_or_unknown() {
    use Eligibility::{No, Unknown, Yes};
    const ID: &str = "46184453-e63b-4f20-86c2-c557ed5d5df9";
    let alex = person(
        "alex",
        json!({"emails": ["Alex@acme.example"], "object_ids": [ID], "groups": ["Sales"]}),
    );
    let silent = person("kim", json!({"emails": ["kim@fabrikam.example"]}));
    let guest = person("guest", json!({"upns": ["lee_wingtip.example#EXT#@acme.onmicrosoft.com"]}));
    for (requestors, of_alex, of_silent, of_guest, of_nobody) in [
        (json!({"all": true}), Yes, Yes, Yes, Yes),
        (json!({"members": true}), Yes, Yes, No, Unknown),
        (json!({"users": ["ALEX@acme.example"]}), Yes, No, No, Unknown),
        (json!({"users": ["alex"]}), Yes, No, No, Unknown),
        // An object id says nothing of people whose records hold none.
        (json!({"users": [ID.to_uppercase()]}), Yes, Unknown, Unknown, Unknown),
        (json!({"groups": ["sales"]}), Yes, Unknown, Unknown, Unknown),
        (json!({"groups": ["legal"]}), No, Unknown, Unknown, Unknown),
        (json!({"organisations": ["fabrikam"]}), No, Yes, No, Unknown),
        (json!({"organisations": ["wingtip"]}), No, No, Yes, Unknown),
        (json!({"organisations": ["gone"]}), Unknown, Unknown, Unknown, Unknown),
        (json!({"configured_organisations": true}), No, Yes, No, Unknown),
        // Nobody may.
        (json!({}), No, No, No, No),
    ] {
        let package = package(json!([{"id": "p", "requestors": requestors}]));
        for (person, expected) in [
            (Some(&alex), of_alex),
            (Some(&silent), of_silent),
            (Some(&guest), of_guest),
            (None, of_nobody),
        ] {
            let said = match package.may_request(person, &organisations()) {
                CanRequest::Yes { policies } => {
                    assert_eq!(policies.len(), 1);
                    Yes
                }
                CanRequest::No => No,
                CanRequest::Unknown => Unknown,
            };
            assert_eq!(said, expected, "{requestors} {:?}", person.map(|it| &it.id));
        }
    }
}

#[test]
fn the_policies_that_allow_it_are_told() {
    let package = package(json!([
        {"id": "staff", "requestors": {"users": ["alex"]}},
        {"id": "sales", "requestors": {"groups": ["sales"]}},
        {"id": "all", "requestors": {"all": true}},
    ]));
    let alex = person("alex", json!({"emails": ["alex@acme.example"]}));
    let CanRequest::Yes { policies } = package.may_request(Some(&alex), &[]) else { panic!() };
    assert_eq!(
        policies.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>(),
        ["staff", "all"]
    );
    assert_eq!(package.policy("sales"), Some(&package.policies[1]));
}

#[test]
fn who_approves_is_yes_no_or_unknown() {
    use Eligibility::{No, Unknown, Yes};
    let policy = |approvers: Value| {
        package(json!([{"id": "p", "requestors": {}, "approvers": approvers}])).policies.remove(0)
    };
    let sam = person("sam", json!({"emails": ["sam@acme.example"], "groups": ["managers"]}));
    let kim = person("kim", json!({"emails": ["kim@acme.example"]}));
    let alex = person("alex", json!({"emails": ["alex@acme.example"], "manager": "sam"}));
    let stranger = Party { email: Some("jo@acme.example".to_owned()), ..Party::default() };
    let guest = Party { email: Some("lee@fabrikam.example".to_owned()), ..Party::default() };
    let (sam, kim, alex) =
        (Principal::known(&sam), Principal::known(&kim), Principal::known(&alex));
    let (stranger, guest) =
        (Principal::of_party(&stranger, None), Principal::of_party(&guest, None));
    for (approvers, by_sam, by_kim, by_stranger) in [
        (json!({"users": ["SAM@acme.example"]}), Yes, No, No),
        (json!({"users": ["sam"]}), Yes, No, Unknown),
        (json!({"groups": ["Managers"]}), Yes, Unknown, Unknown),
        (json!({"manager": true}), Yes, No, Unknown),
        (json!({"others": true}), Unknown, Unknown, Unknown),
        (json!({}), Unknown, Unknown, Unknown),
    ] {
        let policy = policy(approvers.clone());
        for (principal, expected) in [(&sam, by_sam), (&kim, by_kim), (&stranger, by_stranger)] {
            assert_eq!(
                policy.approves(principal, &alex, &organisations()),
                expected,
                "{approvers}"
            );
        }
    }
    let manager = policy(json!({"manager": true}));
    assert_eq!(
        manager.approves(&sam, &stranger, &[]),
        Unknown,
        "nobody says who manages a stranger"
    );
    let sponsors = policy(json!({"sponsors": true}));
    assert_eq!(sponsors.approves(&sam, &guest, &organisations()), Yes);
    assert_eq!(sponsors.approves(&kim, &guest, &organisations()), No);
    assert_eq!(
        sponsors.approves(&sam, &alex, &organisations()),
        No,
        "whoever asks is of no organisation"
    );
}
