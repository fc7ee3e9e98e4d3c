//! The text of an alert: one plain sentence about a finding or a report.

use crate::{
    alerts::alert::{About, Alert},
    exports::saved_search::Origin,
    findings::rules::Severity,
    time::time_zone::{self, TimeZone},
    trail::{
        actions::message_template::escaped,
        event::{Event, Outcome, Party, Tenant},
    },
};

/// Most characters of a sentence. Slack and Teams accept more, but longer text is unreadable.
pub(super) const LONGEST_SENTENCE: usize = 3000;

/// The sentence about a finding.
pub(super) fn sentence(event: &Event, rule: &str, severity: Option<Severity>) -> String {
    let detail = |name: &str| event.details.as_ref()?.get(name)?.as_str();
    let shown = |party: &Option<Party>| party.as_ref().map(|party| party.shown().to_owned());
    let person = event
        .subject
        .as_ref()
        .map(|subject| subject.email.as_deref().unwrap_or(subject.shown()).to_owned());
    let facts = [
        ("account", shown(&event.account)),
        ("for", person),
        ("application", detail("application").map(str::to_owned)),
        ("session", event.session.as_ref().map(|session| session.id.clone())),
    ];
    let facts: Vec<_> =
        facts.into_iter().filter_map(|(word, fact)| Some(format!("{word} {}", fact?))).collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let severity = severity.map_or_else(String::new, |severity| format!(", {severity}"));
    let why = event.reason.as_deref().unwrap_or("an auditor has to review it");
    shortened(escaped(&format!(
        "Finding {rule}{severity}, in the trail of {}: {why}{facts}.",
        event.tenant
    )))
}

/// The sentence about several findings: how many for each rule, then the sentences of the `first`.
pub(super) fn of_several(
    tenant: &Tenant,
    count: usize,
    worst: Option<Severity>,
    rules: &[(&str, usize)],
    first: &[&str],
) -> String {
    let listed: Vec<String> = rules.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
    let severity = worst.map_or_else(String::new, |severity| format!(", {severity} at most"));
    let head = escaped(&format!(
        "{count} findings in the trail of {tenant}{severity}: {}.",
        listed.join(", ")
    ));
    let more = match count - first.len() {
        0 => String::new(),
        more => format!(" And {more} more."),
    };
    shortened(format!("{head} {}{more}", first.join(" ")))
}

/// The sentence of a test message.
pub(super) fn of_test(tenant: &Tenant, channel: &str, asked_by: &str) -> String {
    shortened(format!(
        "Test message of Jit Audit to channel {channel} of {tenant}, requested by {}. No action is needed.",
        escaped(asked_by)
    ))
}

/// The sentence about a report.
pub(super) fn of_report(event: &Event, origin: &Origin) -> String {
    let Origin { name, since, until, tz, .. } = origin;
    let zone = time_zone::zone(tz).unwrap_or_else(|_| TimeZone::utc());
    let [since, until] = [since, until].map(|bound| bound.map(|at| time_zone::shown(at, &zone)));
    let range = match (since, until) {
        (Some(since), Some(until)) => format!(" for {since} to {until}"),
        (Some(since), None) => format!(" from {since} on"),
        (None, Some(until)) => format!(" up to {until}"),
        (None, None) => String::new(),
    };
    let became = match &event.reason {
        Some(reason) if event.outcome == Outcome::Failure => {
            format!("could not be made: {}", reason.trim_end_matches('.'))
        }
        Some(_) | None => {
            let rows = event
                .details
                .as_ref()
                .and_then(|details| details.get("rows")?.as_u64())
                .unwrap_or(0);
            format!("is ready: {} {}", grouped(rows), if rows == 1 { "row" } else { "rows" })
        }
    };
    shortened(escaped(&format!("Report \"{name}\" of {}{range} {became}.", event.tenant)))
}

/// A number with separators between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let group = |(place, digit): (usize, char)| {
        let is_first = place > 0 && (digits.len() - place).is_multiple_of(3);
        is_first.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

pub(super) fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST_SENTENCE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn title(alert: &Alert) -> String {
    let severity = alert.severity.map_or_else(String::new, |severity| format!(", {severity}"));
    match alert.about() {
        About::Finding(_) => escaped(&format!("Jit Audit: finding {}{severity}", alert.rule)),
        About::Findings => format!("Jit Audit: {} findings{severity}", alert.count),
        About::Report { is_ready: true } => "Jit Audit: a report is ready".to_owned(),
        About::Report { is_ready: false } => "Jit Audit: a report could not be made".to_owned(),
        About::Test => "Jit Audit: test message".to_owned(),
    }
}
