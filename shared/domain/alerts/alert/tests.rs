//! Tests of alerts and their messages.

use serde_json::{Value, json};

use crate::{
    alerts::{
        alert_text::{LONGEST_SENTENCE, grouped, title},
        delivery::{PATIENCE, Refusal},
        messages::{
            eventbridge::for_eventbridge, slack::for_slack, sns::for_sns, teams::for_teams,
        },
    },
    configuration::application::Place,
    exports::saved_search::Cause,
    json::object_reader::read_object,
    trail::event::{Actor, Digest, Event, Party, RecordedBy},
};

use super::*;

fn at(seconds: i64) -> Instant {
    Instant::from_millis(1_795_307_167_000 + seconds * 1000)
}

fn tenant() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn finding(rule: &str, severity: &str, account: &str, reason: &str) -> Recorded {
    let id = EventId::of_service(&tenant(), "finding.raised", &[rule]);
    let mut event = Event::of_service(id, &tenant(), "finding.raised", at(0), Actor::system());
    let party = |name: &str| Some(Party { name: Some(name.to_owned()), ..Party::default() });
    event.target = Some(Party { id: Some(format!("{rule}:w-1")), ..Party::default() });
    event.account = party(account);
    event.subject = Some(Party { email: Some("alex@nikpot.com".to_owned()), ..Party::default() });
    event.reason = Some(reason.to_owned());
    event.details =
        json!({"rule": rule, "severity": severity, "application": "app"}).as_object().cloned();
    Recorded {
        event,
        recorded_at: at(1),
        recorded_by: RecordedBy { sub: "jit-audit".to_owned(), client_id: None, history: false },
        digest: Digest([0; 32]),
        opened: None,
        expires_at: at(1_000_000),
    }
}

fn channels(json: Value) -> Result<Vec<Channel>, Vec<crate::json::strict_json::FieldError>> {
    read_object(&json!({ "alerts": json }).to_string(), "", |mut fields| {
        Channel::read_all(&mut fields, Place::Deployed)
    })
}

fn all_kinds() -> Vec<Channel> {
    channels(json!([
        {"id": "ops", "kind": "slack", "url": "secretsmanager:slack"},
        {"id": "teams", "kind": "teams", "url": "secretsmanager:teams"},
        {"id": "topic", "kind": "sns"},
        {"id": "bus", "kind": "eventbridge"},
    ]))
    .unwrap()
}

/// The text of the alert about a finding on that account.
fn alert(account: &str, reason: &str) -> Alert {
    let alerts = Alert::of_finding(
        &finding("revocation.overdue", "high", account, reason),
        &all_kinds(),
        at(2),
    );
    alerts.into_iter().next().unwrap().0
}

#[test]
fn a_finding_is_one_plain_sentence() {
    let sent = alert("MSP-ALEX", "the service has not processed it yet");
    let expected = "Finding revocation.overdue, high, in the trail of acme: the service has not processed it yet \
                    (account MSP-ALEX, for alex@nikpot.com, application app).";
    assert_eq!(sent.sentence, expected);
    assert_eq!((sent.finding.as_deref(), sent.queued_at), (Some("revocation.overdue:w-1"), at(2)));
    assert_eq!(
        sent.link(Some("https://audit.example/")).unwrap(),
        "https://audit.example/#/findings/revocation.overdue:w-1"
    );
    assert_eq!(sent.link(None), None);
    let odd = Alert { finding: Some("a/b #<x>".to_owned()), ..sent };
    assert_eq!(
        odd.link(Some("https://a.example")).unwrap(),
        "https://a.example/#/findings/a%2Fb%20%23%3Cx%3E"
    );
}

#[test]
fn an_event_makes_the_same_alerts_whenever_it_comes_by() {
    let event = finding("revocation.overdue", "high", "x", "y");
    let ids = |now| {
        Alert::of_finding(&event, &all_kinds(), now)
            .into_iter()
            .map(|it| it.0.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(at(2)), ids(at(500)));
    let mut apart = ids(at(2));
    apart.dedup();
    assert_eq!(apart.len(), 4, "each channel has one of its own");
    let mut other = finding("revocation.overdue", "high", "x", "y");
    other.event.action = FindingAction::Withdrawn.into();
    assert_eq!(Alert::of_finding(&other, &all_kinds(), at(2)), []);
    assert!(ids(at(2))[0] < id(&tenant(), at(2), &event.event.id, "ops"), "the newest stand last");
}

#[test]
fn history_alerts_only_with_something_that_is_not() {
    use FindingAction::{Raised, Updated, Withdrawn};
    for (action, found_later, reopens, is_told) in [
        (Raised, None, None, true),
        (Raised, Some(true), None, false),
        (Updated, None, None, false),
        (Updated, None, Some(true), true),
        (Updated, Some(true), Some(false), false),
        (Updated, Some(true), Some(true), false),
        (Updated, Some(false), Some(false), true),
        (Updated, Some(false), Some(true), true),
        (Withdrawn, Some(false), None, false),
    ] {
        let mut event = finding("use.outside_window", "high", "x", "y");
        event.event.action = action.into();
        let details = event.event.details.get_or_insert_default();
        for (name, value) in [("found_later", found_later), ("reopens", reopens)] {
            details.extend(value.map(|value| (name.to_owned(), json!(value))));
        }
        let sent = Alert::of_finding(&event, &all_kinds(), at(2));
        assert_eq!(!sent.is_empty(), is_told, "{action:?} {found_later:?} {reopens:?}");
    }
}

#[test]
fn a_channel_is_told_what_it_wants() {
    for (rules, least, rule, severity, wants) in [
        (json!(null), None, "anything", Some(Severity::Low), true),
        (json!(["revocation.overdue"]), None, "revocation.overdue", Some(Severity::Low), true),
        (
            json!(["revocation.overdue"]),
            None,
            "revocation.overdue.again",
            Some(Severity::Low),
            false,
        ),
        (
            json!(["revocation.overdue", "approval.*"]),
            None,
            "approval.by_requester",
            Some(Severity::Low),
            true,
        ),
        (json!(["approval.*"]), None, "approvals", None, false),
        (json!(["*"]), None, "approvals", None, true),
        (json!(null), Some("high"), "x", Some(Severity::Medium), false),
        (json!(null), Some("high"), "x", Some(Severity::High), true),
        (json!(null), Some("high"), "x", Some(Severity::Critical), true),
        (json!(null), Some("critical"), "x", None, true),
        (json!(["account.gone"]), Some("low"), "x", Some(Severity::Critical), false),
    ] {
        let mut channel = json!({"id": "a", "kind": "sns"});
        if !rules.is_null() {
            channel["rules"] = rules.clone();
        }
        if let Some(least) = least {
            channel["severity"] = json!(least);
        }
        let channel = channels(json!([channel])).unwrap().remove(0);
        assert_eq!(channel.wants(rule, severity), wants, "{rules} {least:?} {rule} {severity:?}");
    }
    // An unknown severity does not suppress the alert.
    let sent = Alert::of_finding(&finding("x", "apocalyptic", "a", "b"), &all_kinds(), at(2));
    assert_eq!((sent.len(), sent[0].0.severity), (4, None));
}

#[test]
fn channels_are_stored_as_they_are_given() {
    let given = json!([
        {"id": "ops", "kind": "slack", "url": "secretsmanager:slack", "rules": ["approval.*"], "severity": "high"},
        {"id": "bus", "kind": "eventbridge"}
    ]);
    let read = channels(given.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), given);
    assert_eq!(serde_json::from_value::<Vec<Channel>>(given).unwrap(), read);
}

#[test]
fn wrong_channels_are_named() {
    let sns = |id: &str| json!({"id": id, "kind": "sns"});
    for (json, pointer, part) in [
        (json!({}), "/alerts", "list"),
        (json!(null), "/alerts", "list"),
        (
            json!((0..11).map(|n| sns(&n.to_string())).collect::<Vec<_>>()),
            "/alerts",
            "the maximum is 10",
        ),
        (json!(["ops"]), "/alerts/0", "object"),
        (json!([sns("a"), sns("a")]), "/alerts/1/id", "another channel"),
        (json!([sns("a b")]), "/alerts/0/id", "A-Z"),
        (json!([sns(&"a".repeat(65))]), "/alerts/0/id", "64"),
        (json!([{"kind": "sns"}]), "/alerts/0/id", "required"),
        (json!([{"id": "a"}]), "/alerts/0/kind", "required"),
        (json!([{"id": "a", "kind": "mail"}]), "/alerts/0/kind", "eventbridge"),
        (json!([{"id": "a", "kind": "slack"}]), "/alerts/0/url", "required"),
        (
            json!([{"id": "a", "kind": "teams", "url": "https://x.example/secret"}]),
            "/alerts/0/url",
            "Do not send the secret",
        ),
        (
            json!([{"id": "a", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_X"}]),
            "/alerts/0/url",
            "secretsmanager",
        ),
        (
            json!([{"id": "a", "kind": "sns", "url": "secretsmanager:x"}]),
            "/alerts/0/url",
            "no known field",
        ),
        (
            json!([{"id": "a", "kind": "sns", "topic": "arn:aws:sns:x"}]),
            "/alerts/0/topic",
            "no known field",
        ),
        (
            json!([{"id": "a", "kind": "sns", "severity": "worst"}]),
            "/alerts/0/severity",
            "critical",
        ),
        (json!([{"id": "a", "kind": "sns", "rules": []}]), "/alerts/0/rules", "1 to 20"),
        (json!([{"id": "a", "kind": "sns", "rules": ["a*b"]}]), "/alerts/0/rules/0", "a star"),
        (
            json!([sns("a"), {"id": "b", "kind": "sns", "rules": ["account.gone", "a b"]}]),
            "/alerts/1/rules/1",
            "a star",
        ),
        (
            json!([{"id": "a", "kind": "sns", "rules": ["approvals.*"]}]),
            "/alerts/0/rules/0",
            "approval.missing",
        ),
    ] {
        let errors = channels(json.clone()).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{json}: {errors:?}"
        );
    }
    assert_eq!(channels(json!([])).unwrap(), []);
}

/// Names that contain markup, mentions or formulas.
const HOSTILE: [&str; 8] = [
    "<!channel>",
    "<https://evil.example|your bank>",
    "&lt;!here&gt;",
    "x\ny\r\n\u{0}\u{1b}[2J",
    "\u{202e}nimda",
    "[click](https://evil.example) **now** `x` ~y~ _z_",
    "<at>everyone</at> {{DATE(2026-11-22T00:00:00Z)}} ${x}",
    "\"}],\"text\":\"<!everyone>\",\"a\":[{\"",
];

#[test]
fn what_people_are_called_is_text_to_slack() {
    for name in HOSTILE {
        let sent = alert(name, name);
        let body = for_slack(&sent, Some("https://a.example/#/findings/x?a&b"));
        let text = body["text"].as_str().unwrap();
        assert!(!text.contains(['<', '>', '\r', '\u{1b}', '\u{202e}', '\0']), "{text}");
        assert_eq!(
            text.matches('\n').count(),
            1,
            "the link alone stands on a line of its own: {text}"
        );
        assert_eq!(body["mrkdwn"], false);
        // Slack decodes the three entities once and changes nothing else.
        let shown = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert_eq!(shown, format!("{}\nhttps://a.example/#/findings/x?a&b", sent.sentence));
    }
    let sent = for_slack(&alert("<!channel>", "a & b"), None);
    let expected = "Finding revocation.overdue, high, in the trail of acme: a &amp; b \
                    (account &lt;!channel&gt;, for alex@nikpot.com, application app).";
    assert_eq!(sent, json!({"text": expected, "mrkdwn": false, "unfurl_links": false}));
}

#[test]
fn what_people_are_called_is_text_to_teams() {
    for name in HOSTILE {
        let sent = alert(name, "the service has not processed it yet");
        let body = for_teams(&sent, Some("https://a.example/x"));
        assert_eq!(
            (&body["type"], body["attachments"].as_array().unwrap().len()),
            (&json!("message"), 1)
        );
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
        // No element parses Markdown, there is no mention, and the text about people is one run.
        for element in card["body"].as_array().unwrap() {
            assert_eq!(
                (&element["type"], &element["inlines"][0]["type"]),
                (&json!("RichTextBlock"), &json!("TextRun"))
            );
        }
        assert_eq!(card["msteams"].get("entities"), None);
        assert_eq!(card["body"][1]["inlines"][0]["text"], sent.sentence);
        assert!(!sent.sentence.contains(char::is_control), "{}", sent.sentence);
        let open =
            json!([{"type": "Action.OpenUrl", "title": "View", "url": "https://a.example/x"}]);
        assert_eq!(card["actions"], open);
    }
    assert_eq!(for_teams(&alert("x", "y"), None)["attachments"][0]["content"].get("actions"), None);
}

#[test]
fn a_subject_is_one_short_line_of_ascii() {
    let sent = for_sns(
        &tenant(),
        &alert("MSP-ALEX", "the service has not processed it yet"),
        Some("https://a.example/x"),
    );
    assert_eq!(sent.subject, "Jit Audit: finding revocation.overdue, high");
    assert!(sent.message.ends_with("application app).\nhttps://a.example/x"), "{}", sent.message);
    let attributes = [("tenant", "acme"), ("rule", "revocation.overdue"), ("severity", "high")];
    assert_eq!(sent.attributes, attributes.map(|(name, value)| (name, value.to_owned())));
    for rule in ["é\n\u{202e}x", &"r".repeat(300), "\u{1F600}"] {
        let sent = Alert { rule: rule.to_owned(), ..alert("x", "y") };
        let subject = for_sns(&tenant(), &sent, None).subject;
        assert!(
            subject.len() < 100 && subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{subject:?}"
        );
    }
    let unsaid = Alert { severity: None, ..alert("x", "y") };
    assert_eq!(for_sns(&tenant(), &unsaid, None).attributes.len(), 2, "none is empty");
}

#[test]
fn a_bus_is_told_in_fields() {
    let sent = alert("MSP-ALEX", "late");
    let event = for_eventbridge(&tenant(), &sent, Some("https://a.example/x"));
    assert_eq!(event.detail_type, "Finding raised");
    assert_eq!(
        event.detail,
        json!({
            "alert": sent.id, "tenant": "acme", "finding": "revocation.overdue:w-1", "event": sent.event,
            "rule": "revocation.overdue", "severity": "high", "message": sent.sentence,
            "link": "https://a.example/x", "occurred_at": at(0)
        })
    );
    // The longest finding fits: an EventBridge entry and an SNS message may each have 256 KiB.
    let longest = alert(&"\u{0}".repeat(256), &"\u{0}\u{1F600}".repeat(2048));
    assert!(longest.sentence.chars().count() == LONGEST_SENTENCE + 1);
    assert!(for_eventbridge(&tenant(), &longest, None).detail.to_string().len() < 20_000);
}

#[test]
fn a_test_says_that_it_is_one() {
    let channel = &all_kinds()[0];
    let [first, second] = ["first", "second"].map(|id| EventId::new(id).unwrap());
    let sent = Alert::test(&tenant(), channel, "it@acme.example\n", &first, at(0));
    let expected = "Test message of Jit Audit to channel ops of acme, requested by it@acme.example\\u000A. No action is needed.";
    assert_eq!((sent.sentence.as_str(), sent.rule.as_str()), (expected, "alert.test"));
    assert_ne!(
        sent.id,
        Alert::test(&tenant(), channel, "x", &second, at(0)).id,
        "each is one of its own"
    );
    assert_eq!(for_eventbridge(&tenant(), &sent, None).detail_type, "Test message");
    assert_eq!(sent.link(Some("https://a.example")).unwrap(), "https://a.example/");
}

/// The text of the alert about a report of that name.
fn report(
    name: &str,
    action: &str,
    reason: Option<&str>,
    rows: u64,
    range: [Option<&str>; 2],
) -> Alert {
    let id = EventId::of_service(&tenant(), action, &[name]);
    let mut event = Event::of_service(id, &tenant(), action, at(0), Actor::system());
    event.target = Some(Party { id: Some("0193-a".to_owned()), ..Party::default() });
    event.details = json!({"rows": rows}).as_object().cloned();
    event.reason = reason.map(str::to_owned);
    event.outcome = if reason.is_some() { Outcome::Failure } else { Outcome::Success };
    let [since, until] = range.map(|bound| bound.map(|at| at.parse().unwrap()));
    let origin = Origin {
        id: "quarterly".to_owned(),
        name: name.to_owned(),
        owner: Actor::system(),
        cause: Cause::Schedule,
        at: at(0),
        since,
        until,
        tz: "Europe/Paris".to_owned(),
    };
    let recorded = Recorded { event, ..finding("x", "high", "a", "b") };
    Alert::of_report(&recorded, &origin, &all_kinds()[0], at(2))
}

#[test]
fn a_report_is_one_plain_sentence_and_a_link() {
    let quarter = [Some("2026-06-30T22:00:00Z"), Some("2026-09-30T22:00:00Z")];
    for (rows, range, expected) in [
        (1234, quarter, "for 2026-07-01 to 2026-10-01 is ready: 1,234 rows."),
        (1, [quarter[0], None], "from 2026-07-01 on is ready: 1 row."),
        (
            1_000_000,
            [None, Some("2026-09-30T21:30:00Z")],
            "up to 2026-09-30 23:30 is ready: 1,000,000 rows.",
        ),
    ] {
        let sent = report("Quarterly access", "export.ready", None, rows, range);
        assert_eq!(sent.sentence, format!("Report \"Quarterly access\" of acme {expected}"));
    }
    let sent = report("All", "export.ready", None, 0, [None; 2]);
    assert_eq!(
        (sent.sentence.as_str(), sent.rule.as_str()),
        ("Report \"All\" of acme is ready: 0 rows.", "report.ready")
    );
    let link = sent.link(Some("https://audit.example/")).unwrap();
    assert_eq!(link, "https://audit.example/#/activity/downloads?export=0193-a");
    let bus = for_eventbridge(&tenant(), &sent, Some(&link));
    assert_eq!((bus.detail_type, &bus.detail["export"]), ("Report ready", &json!("0193-a")));
    assert_eq!(bus.detail.get("finding"), None);
    let failed = report("All", "export.failed", Some("S3 did not respond."), 0, [None; 2]);
    assert_eq!(failed.sentence, "Report \"All\" of acme could not be made: S3 did not respond.");
    assert_eq!(
        (failed.rule.as_str(), title(&failed).as_str()),
        ("report.failed", "Jit Audit: a report could not be made")
    );
    let none = Alert { export: None, ..failed };
    assert_eq!(
        none.link(Some("https://a.example")).unwrap(),
        "https://a.example/#/activity/downloads"
    );
    for name in HOSTILE {
        let sent = report(name, "export.ready", None, 7, [None; 2]);
        assert!(!sent.sentence.contains(char::is_control), "{}", sent.sentence);
        let text = for_slack(&sent, None)["text"].as_str().unwrap().to_owned();
        assert!(!text.contains(['<', '>', '\n', '\u{202e}']), "{text}");
    }
}

#[test]
fn long_numbers_are_grouped() {
    let grouped = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
    assert_eq!(grouped, ["0", "999", "1,000", "12,345", "1,234,567"]);
}

#[test]
fn pauses_grow_and_end_after_a_day() {
    let sent = alert("x", "y");
    let down = Refusal { error: "503".to_owned(), is_final: false, retry_after: None };
    let none = |_| Duration::ZERO;
    let (mut progress, mut now, mut pauses) =
        (Progress::waiting(AlertChannelKind::Slack), sent.queued_at, Vec::new());
    loop {
        progress = progress.refused(&sent, &down, now);
        if progress.state == AlertState::Failed {
            break;
        }
        let pause = down.pause(progress.attempts, none);
        pauses.push(pause.as_secs());
        now = now.plus(pause);
    }
    assert_eq!(pauses[..9], [5, 10, 20, 40, 80, 160, 320, 640, 900]);
    assert!(pauses[8..].iter().all(|pause| *pause == 900));
    assert!(now >= sent.queued_at.plus(PATIENCE) && now <= sent.queued_at.plus(PATIENCE * 2));
    assert_eq!(
        (progress.state, progress.error.as_deref()),
        (AlertState::Failed, Some("not delivered within a day: 503"))
    );
    // Jitter shortens a pause by at most half. A channel's Retry-After is a lower bound.
    assert_eq!(down.pause(1, |most| most), Duration::from_millis(2500));
    for (asked, seconds) in [(7, 7), (1, 5), (999_999, 3600)] {
        let asks = Refusal { retry_after: Some(Duration::from_secs(asked)), ..down.clone() };
        assert_eq!(asks.pause(1, none), Duration::from_secs(seconds));
    }
    let gone = Refusal { is_final: true, ..down };
    let progress = Progress::waiting(AlertChannelKind::Slack).refused(&sent, &gone, at(2));
    assert_eq!((progress.state, progress.attempts), (AlertState::Failed, 1));
}

#[test]
fn findings_that_wait_together_are_one_message() {
    let alerts: Vec<Alert> =
        (0..7).map(|number| Alert { id: format!("{number}"), ..alert("MSP", "late") }).collect();
    let mut alerts = alerts;
    alerts[3].rule = "use.outside_window".to_owned();
    alerts[3].severity = Some(Severity::Critical);
    let all: Vec<&Alert> = alerts.iter().collect();
    let one = Alert::grouped(&tenant(), &all).unwrap();
    assert!(
        one.sentence.starts_with(
            "7 findings in the trail of acme, critical at most: 6 revocation.overdue, 1 use.outside_window. Finding"
        ),
        "{}",
        one.sentence
    );
    assert!(one.sentence.ends_with(" And 2 more."), "{}", one.sentence);
    assert_eq!(one.link(Some("https://a.example")).unwrap(), "https://a.example/#/findings");
    assert_eq!(for_sns(&tenant(), &one, None).subject, "Jit Audit: 7 findings, critical");
    assert_eq!(Alert::grouped(&tenant(), &all[..1]).as_ref(), Some(&alerts[0]));
    assert_eq!(Alert::grouped(&tenant(), &[]), None);
    let goes =
        |kind| (alerts[0].goes_with(&alerts[1], kind), alerts[0].goes_with(&alerts[3], kind));
    assert_eq!(
        (
            goes(AlertChannelKind::Slack),
            goes(AlertChannelKind::Sns),
            goes(AlertChannelKind::EventBridge)
        ),
        ((true, true), (true, false), (false, false))
    );
}
