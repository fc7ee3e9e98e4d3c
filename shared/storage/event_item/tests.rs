use super::*;
use proptest::prelude::*;
use shared_domain::trail::{
    arbitrary::{events, instant, recorded},
    event::{EventId, Tenant},
};

fn item_of(recorded: &Recorded) -> Item {
    attributes(recorded)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Vec<_>>()
        .into()
}

proptest! {
    #[test]
    fn an_item_is_read_back_and_its_digest_can_be_recomputed(event in events(), recorded_at in instant(), is_history: bool, planned in proptest::option::of(instant())) {
        let mut stored = recorded(event, recorded_at);
        stored.recorded_by.history = is_history;
        // The window of history that was not opened has no id.
        stored.opened = planned.map(|at| Opened { id: None, starts_at: at, ends_at: at });
        let back = read(item_of(&stored)).unwrap();
        prop_assert_eq!(back.event.digest(), stored.digest);
        prop_assert_eq!(back, stored);
    }

    #[test]
    fn no_attribute_is_empty_and_no_sentence_breaks_a_line(event in events(), recorded_at in instant()) {
        let stored = recorded(event, recorded_at);
        for (name, value) in attributes(&stored) {
            prop_assert!(value.as_s().map_or(true, |text| !text.is_empty()), "{}", name);
        }
        let answer = serde_json::to_value(&stored).unwrap();
        for field in ["message", "label"] {
            let text = answer[field].as_str().unwrap();
            prop_assert!(!text.is_empty() && !text.chars().any(char::is_control), "{:?}", text);
        }
    }
}

#[test]
fn a_damaged_item_names_its_attribute() {
    let (id, tenant) = (EventId::new("e").unwrap(), Tenant::new("acme").unwrap());
    let event =
        Event::of_service(id, &tenant, "user.logged_in", Instant::from_millis(0), Actor::system());
    let good = item_of(&recorded(event, Instant::from_millis(1)));
    for name in ["pk", "at", "recorded", "action", "actor_type", "by_sub", "digest", "ttl"] {
        let mut item = good.clone();
        item.remove(name);
        assert!(read(item.clone()).unwrap_err().to_string().contains(name), "{name}");
        item.0.push((name.to_owned(), AttributeValue::Bool(true)));
        assert!(read(item).unwrap_err().to_string().contains(name), "{name}");
    }
}

#[test]
fn an_event_of_a_desktop_stays_within_one_write_unit() {
    let tenant = Tenant::new("northwind-traders").unwrap();
    let intake = shared_domain::trail::event_validation::Intake {
        tenant: &tenant,
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        retention: std::time::Duration::from_secs(400 * 86_400),
    };
    let json = r#"{"action": "entra.account.requested", "occurred_at": "2026-11-22T11:00:00Z",
        "actor": {"type": "user", "id": "5f0f3c1e-8f0b-4c55-9d1e-0c6f0a4b7d11", "email": "alex@nikpot.com"},
        "target": {"type": "application", "id": "entra-365", "name": "Entra 365 onmicrosoft"},
        "account": {"name": "msptech6913@NETORGFT11060369.onmicrosoft.com"}, "justification": "Reset MFA for a locked-out user"}"#;
    let event = shared_domain::trail::event_validation::read(
        json,
        &intake,
        shared_platform::random::event_id,
    )
    .unwrap();
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html: names and UTF-8 texts
    // count as they are, numbers take about a byte for two digits and one more, booleans one.
    let size: usize = attributes(&recorded(event, intake.now))
        .iter()
        .map(|(name, value)| {
            name.len()
                + match value {
                    AttributeValue::S(text) => text.len(),
                    AttributeValue::N(number) => number.len() / 2 + 2,
                    AttributeValue::B(blob) => blob.as_ref().len(),
                    _ => 1,
                }
        })
        .sum();
    assert!(size <= 1024, "{size} bytes");
}
