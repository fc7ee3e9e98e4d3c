//! Alerts: which channel is notified of a finding or a report, and with which text.
//!
//! A tenant configures channels. An alert is one message to one channel about one finding or
//! report: one plain sentence and a link. The text about people comes from the senders of events,
//! so each kind of channel gets it escaped: the receiver cannot read it as markup or as a mention.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    alerts::{
        alert_text::{self, of_report, sentence},
        delivery::{AlertState, Progress},
    },
    configuration::{
        alert_channel::{AlertChannelKind, Channel},
        settings,
    },
    exports::saved_search::Origin,
    findings::{finding, rules::Severity},
    time::timestamp::Instant,
    trail::{
        actions::{Action, FindingAction},
        event::{EventId, Outcome, Recorded, Tenant},
    },
};

/// The rule of a test alert.
const TEST_RULE: &str = "alert.test";
/// The rules of alerts about reports. No channel subscribes to them: a saved search names its
/// recipients.
const READY_RULE: &str = "report.ready";
const FAILED_RULE: &str = "report.failed";
/// The rule of a message about findings of several rules.
const GROUP_RULE: &str = "findings";
/// Most findings whose sentences such a message contains.
const GROUP_SENTENCES: usize = 5;
/// How long an alert is stored. Until then it can be listed, and the same event does not queue it
/// again.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// A message to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The time it was recorded and a hash of the event and the channel. The same event yields the
    /// same ids.
    pub id: String,
    pub channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// The export that contains the report's files, if one was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// The event that the alert is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    pub rule: String,
    /// The finding's severity, where the event states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The text.
    pub sentence: String,
    pub occurred_at: Instant,
    pub queued_at: Instant,
    /// The channel before a change, for an alert about that change: the current settings no longer
    /// contain its old address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_it_was: Option<Box<Channel>>,
    /// The number of findings in a grouped message. Grouped messages are built while sending and
    /// never stored.
    #[serde(skip)]
    pub count: usize,
}

impl Alert {
    /// Whether both may go in one message. Subscribers of an SNS topic or event bus filter by rule
    /// and severity, so there both must be equal.
    pub fn goes_with(&self, other: &Self, kind: AlertChannelKind) -> bool {
        let is_filtered = matches!(kind, AlertChannelKind::Sns | AlertChannelKind::EventBridge);
        kind.gathers()
            && self.finding.is_some()
            && other.finding.is_some()
            && self.as_it_was == other.as_it_was
            && (!is_filtered || (&self.rule, self.severity) == (&other.rule, other.severity))
    }

    /// One message for all of these alerts; a single alert is returned unchanged.
    pub fn grouped(tenant: &Tenant, alerts: &[&Self]) -> Option<Self> {
        let worst = alerts.iter().copied().rev().max_by_key(|alert| alert.severity)?;
        if alerts.len() == 1 {
            return Some(worst.clone());
        }
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        alerts.iter().for_each(|alert| *rules.entry(&alert.rule).or_default() += 1);
        let rule = if rules.len() == 1 { worst.rule.clone() } else { GROUP_RULE.to_owned() };
        let mut rules: Vec<(&str, usize)> = rules.into_iter().collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let first: Vec<&str> = std::iter::once(worst)
            .chain(alerts.iter().copied().filter(|alert| alert.id != worst.id))
            .take(GROUP_SENTENCES)
            .map(|alert| alert.sentence.as_str())
            .collect();
        let sentence = alert_text::of_several(tenant, alerts.len(), worst.severity, &rules, &first);
        Some(Self { count: alerts.len(), finding: None, rule, sentence, ..worst.clone() })
    }

    /// The alerts for a finding, one for each channel that subscribes to it. Empty unless the event
    /// raises a finding or reopens a resolved one. A finding that rests on history alone alerts
    /// nobody, until its evidence includes something that is not history. `now` is when the alerts are queued. For a
    /// change of settings that weakens the audit trail, `channels` are those before the change.
    pub fn of_finding(
        recorded: &Recorded,
        channels: &[Channel],
        now: Instant,
    ) -> Vec<(Self, AlertChannelKind)> {
        let event = &recorded.event;
        let reopens = event.details.as_ref().and_then(|details| details.get("reopens")?.as_bool());
        let found_later = finding::is_found_later(event);
        let is_news = match event.action {
            Action::Finding(FindingAction::Raised) => true,
            Action::Finding(FindingAction::Updated) => {
                reopens == Some(true) || found_later == Some(false)
            }
            _ => false,
        };
        if !is_news || found_later == Some(true) {
            return Vec::new();
        }
        let detail = |name: &str| event.details.as_ref()?.get(name)?.as_str();
        let rule = detail("rule").filter(|rule| !rule.is_empty()).unwrap_or("finding");
        let severity = detail("severity").and_then(|word| word.parse().ok());
        let finding = event.target.as_ref().and_then(|target| target.id.clone());
        let is_weakening = settings::WEAKENINGS.contains(&rule);
        // A change that weakens the audit trail goes to every channel, whatever it subscribes to.
        // Otherwise a person could silence a channel first and then make the change unnoticed.
        let wanting =
            channels.iter().filter(|channel| is_weakening || channel.wants(rule, severity));
        let alert = |channel: &Channel| Self {
            id: id(&event.tenant, recorded.recorded_at, &event.id, &channel.id),
            channel: channel.id.clone(),
            finding: finding.clone().or_else(|| Some(event.id.to_string())),
            export: None,
            event: Some(event.id.clone()),
            rule: rule.to_owned(),
            severity,
            sentence: sentence(event, rule, severity),
            occurred_at: event.occurred_at,
            queued_at: now,
            as_it_was: is_weakening.then(|| Box::new(channel.clone())),
            count: 0,
        };
        wanting.map(|channel| (alert(channel), AlertChannelKind::from(&channel.way))).collect()
    }

    /// The alerts about the end of a scheduled export.
    pub fn of_report(
        recorded: &Recorded,
        origin: &Origin,
        channel: &Channel,
        now: Instant,
    ) -> Self {
        let event = &recorded.event;
        Self {
            id: id(&event.tenant, recorded.recorded_at, &event.id, &channel.id),
            channel: channel.id.clone(),
            finding: None,
            export: event.target.as_ref().and_then(|target| target.id.clone()),
            event: Some(event.id.clone()),
            rule: if event.outcome == Outcome::Failure { FAILED_RULE } else { READY_RULE }
                .to_owned(),
            severity: None,
            sentence: of_report(event, origin),
            occurred_at: event.occurred_at,
            queued_at: now,
            as_it_was: None,
            count: 0,
        }
    }

    /// A test alert for one channel.
    pub fn test(
        tenant: &Tenant,
        channel: &Channel,
        asked_by: &str,
        test: &EventId,
        now: Instant,
    ) -> Self {
        Self {
            id: id(tenant, now, test, &channel.id),
            channel: channel.id.clone(),
            finding: None,
            export: None,
            event: None,
            rule: TEST_RULE.to_owned(),
            severity: None,
            sentence: alert_text::of_test(tenant, &channel.id, asked_by),
            occurred_at: now,
            queued_at: now,
            as_it_was: None,
            count: 0,
        }
    }

    /// The address of the finding or export on the web page at `page`; none where that is not
    /// configured.
    pub fn link(&self, page: Option<&str>) -> Option<String> {
        let page = page?.trim_end_matches('/');
        Some(match self.about() {
            About::Finding(finding) => format!("{page}/#/findings/{}", coded(finding)),
            About::Report { .. } => match &self.export {
                Some(export) => format!("{page}/#/activity/downloads?export={}", coded(export)),
                None => format!("{page}/#/activity/downloads"),
            },
            About::Findings => format!("{page}/#/findings"),
            About::Test => format!("{page}/"),
        })
    }

    pub(super) fn about(&self) -> About<'_> {
        match (&self.finding, self.rule.as_str()) {
            _ if self.count > 0 => About::Findings,
            (Some(finding), _) => About::Finding(finding),
            (None, READY_RULE) => About::Report { is_ready: true },
            (None, FAILED_RULE) => About::Report { is_ready: false },
            (None, _) => About::Test,
        }
    }
}

/// The subject of an alert.
pub(super) enum About<'a> {
    /// The finding's id.
    Finding(&'a str),
    Findings,
    Report {
        is_ready: bool,
    },
    /// A test of the channel.
    Test,
}

/// An alert's id. It starts with the time in milliseconds, so that ids sort by time; 13 digits last
/// until the year 2286.
fn id(tenant: &Tenant, at: Instant, event: &EventId, channel: &str) -> String {
    let hash = EventId::of_service(tenant, "alert", &[event.as_str(), channel]);
    let hash = hash.as_str().trim_start_matches("sys_");
    format!("{:013}-{hash}", at.millis().max(0))
}

/// Characters that a link keeps as they are (RFC 3986, section 2.3). A colon is allowed as well and
/// makes rule names easier to read.
const CODED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

fn coded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, CODED).to_string()
}

/// An alert: a message to one channel about one finding or report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AlertAnswer {
    /// The id: a time in milliseconds, by which alerts sort, and a hash.
    pub id: String,
    /// The id of the channel.
    pub channel: String,
    pub kind: AlertChannelKind,
    /// The id of the finding that the alert is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// The id of the export that contains the report's files, if one was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// The rule of the finding, or `report.ready`, `report.failed` or `alert.test`.
    pub rule: String,
    /// The severity of the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    pub state: AlertState,
    /// The number of delivery attempts.
    pub attempts: u32,
    /// The error of the last failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the alert was queued for delivery.
    pub queued_at: Instant,
    /// When the channel accepted the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
}

impl AlertAnswer {
    /// The answer for an alert. It never contains the webhook's address.
    pub fn new(alert: Alert, progress: Progress) -> Self {
        // All fields are named, so that a new one has to be included or left out deliberately.
        let Alert {
            id,
            channel,
            finding,
            export,
            event: _,
            rule,
            severity,
            sentence: _,
            occurred_at: _,
            queued_at,
            as_it_was: _,
            count: _,
        } = alert;
        let Progress { kind, state, attempts, error, sent_at } = progress;
        Self {
            id,
            channel,
            kind,
            finding,
            export,
            rule,
            severity,
            state,
            attempts,
            error,
            queued_at,
            sent_at,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
