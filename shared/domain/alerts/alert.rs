//! Alerts: who is told that a finding was raised, or that a report they are to get is there, and in which words.
//!
//! A channel is where a tenant wants to be told. An alert is what one channel is told of one finding or report: one plain sentence and a link. What
//! it says of people comes from whoever wrote the events, so for each kind of channel it is written as text that nothing there can take
//! for markup or a mention.

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    configuration::{
        application::{Place, SecretName},
        settings,
    },
    exports::saved_search::Origin,
    findings::checkpoints::{RULES, Severity},
    json::object_reader::{Fields, NAME_BYTES},
    time::{time_zone, timestamp::Instant},
    trail::{
        actions::message_template::escaped,
        event::{Event, EventId, Outcome, Party, Recorded, Tenant},
    },
};

/// Most channels of a tenant.
const MOST_CHANNELS: usize = 10;
/// Most patterns of a channel.
const MOST_RULES: usize = 20;
/// Longest id of a channel, name of a rule.
pub const WORD_BYTES: usize = 64;
/// The rule of an alert that tries a channel out.
const TEST_RULE: &str = "alert.test";
/// The rules of alerts that tell what became of a report. No channel asks for them: a saved search names whom it tells.
const READY_RULE: &str = "report.ready";
const FAILED_RULE: &str = "report.failed";
/// The rule of a message that tells of findings of several rules.
const GROUP_RULE: &str = "findings";
/// Findings whose sentences such a message holds.
const GROUP_SENTENCES: usize = 5;
/// Most characters of a sentence. Slack's texts and Teams' cards take more, and nobody reads that much.
const LONGEST_SENTENCE: usize = 3000;
/// SNS takes subjects of fewer than a hundred characters.
const LONGEST_SUBJECT: usize = 99;
/// The source of our events on a bus.
pub const EVENT_SOURCE: &str = "jit-audit";

/// How long an alert is tried before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// How long one is kept: to be shown, and so that the same event queues nothing twice.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Where a tenant wants to be told, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// What it is.
    #[serde(flatten)]
    pub way: Way,
    /// Rules it is told of: names, or how they begin, `approval.*`. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The least severity it is told of. None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// How a channel is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Way {
    /// An incoming webhook of Slack. Who knows its address can write to the channel, so the address is a secret.
    Slack {
        /// The name of the secret that holds it.
        url: SecretName,
    },
    /// A webhook of a Teams workflow; its address is a secret as well.
    Teams {
        /// The name of the secret that holds it.
        url: SecretName,
    },
    /// The deployment's own SNS topic. A tenant names no topic: with this service's rights it could name anybody's.
    Sns,
    /// The deployment's own event bus.
    #[serde(rename = "eventbridge")]
    EventBridge,
}

impl Way {
    /// The secret that holds its address, where it has one.
    pub fn address(&self) -> Option<&SecretName> {
        match self {
            Self::Slack { url } | Self::Teams { url } => Some(url),
            Self::Sns | Self::EventBridge => None,
        }
    }

    /// The word for it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Slack { .. } => Kind::Slack,
            Self::Teams { .. } => Kind::Teams,
            Self::Sns => Kind::Sns,
            Self::EventBridge => Kind::EventBridge,
        }
    }
}

/// The kinds of channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Slack.
    Slack,
    /// Microsoft Teams.
    Teams,
    /// Amazon SNS.
    Sns,
    /// Amazon EventBridge.
    #[serde(rename = "eventbridge")]
    EventBridge,
}

impl Kind {
    const ALL: [(&'static str, Self); 4] =
        [("slack", Self::Slack), ("teams", Self::Teams), ("sns", Self::Sns), ("eventbridge", Self::EventBridge)];
}

impl Channel {
    /// Reads the member `alerts`, if there is one: the list of a tenant's channels, whole.
    pub fn read_all(fields: &mut Fields<'_>, place: Place) -> Option<Vec<Self>> {
        let Value::Array(list) = fields.take("alerts")? else {
            fields.fault("alerts", "must be a list of channels; an empty one takes all away");
            return None;
        };
        if list.len() > MOST_CHANNELS {
            fields.fault("alerts", format!("has {} entries; {MOST_CHANNELS} are the most", list.len()));
            return None;
        }
        let mut channels: Vec<Self> = Vec::with_capacity(list.len());
        let mut fields = fields.inner("alerts", Map::new());
        for (place_in_list, entry) in list.into_iter().enumerate() {
            let key = place_in_list.to_string();
            let Value::Object(members) = entry else {
                fields.fault(&key, "must be a JSON object");
                continue;
            };
            let Some(channel) = Self::read(fields.inner(&key, members), place) else { continue };
            if channels.iter().any(|other| other.id == channel.id) {
                fields.fault(&format!("{key}/id"), format!("{:?} is the id of another channel", channel.id));
            }
            channels.push(channel);
        }
        Some(channels)
    }

    fn read(mut fields: Fields<'_>, place: Place) -> Option<Self> {
        let id = fields.required_text("id", NAME_BYTES);
        let id = id.and_then(|id| match is_word(&id, b"_-") {
            true => Some(id),
            false => {
                fields.fault("id", format!("must be 1 to {WORD_BYTES} of A-Z a-z 0-9 _ -"));
                None
            }
        });
        let kind = fields.required_word("kind", &Kind::ALL);
        let way = kind.and_then(|kind| match kind {
            Kind::Slack => Some(Way::Slack { url: address(&mut fields, place)? }),
            Kind::Teams => Some(Way::Teams { url: address(&mut fields, place)? }),
            Kind::Sns => Some(Way::Sns),
            Kind::EventBridge => Some(Way::EventBridge),
        });
        let rules = fields.texts("rules", MOST_RULES);
        for (place_in_list, rule) in rules.iter().enumerate() {
            // The star alone is all rules, as leaving them out is.
            let name = rule.strip_suffix('*').unwrap_or(rule);
            if rule != "*" && !is_word(name, b"_.") {
                let detail =
                    "must be the name of a rule, like revocation.overdue, or how names begin and a star: approval.*";
                fields.fault(&format!("rules/{place_in_list}"), detail);
            } else if !RULES.iter().any(|known| names(rule, known.name)) {
                let known: Vec<_> = RULES.iter().map(|known| known.name).collect();
                let detail = format!("{rule:?} names no rule; there are {}", known.join(", "));
                fields.fault(&format!("rules/{place_in_list}"), detail);
            }
        }
        let severity = fields.word("severity", &Severity::ALL);
        // Without a kind it is not known what else there may be.
        if kind.is_some() {
            fields.refuse_others();
        }
        Some(Self { id: id?, way: way?, rules, severity })
    }

    /// Whether it is to be told of a finding of that rule. One whose severity nobody can read is told: it may be the worst.
    pub fn wants(&self, rule: &str, severity: Option<Severity>) -> bool {
        let is_named = self.rules.is_empty() || self.rules.iter().any(|pattern| names(pattern, rule));
        is_named && severity.is_none_or(|severity| self.severity.is_none_or(|least| severity >= least))
    }
}

impl Channel {
    /// How less reaches this channel by those settings of channels, if it does: a sentence's part.
    pub fn weakened_in(&self, channels: &[Self]) -> Option<String> {
        let Self { id, way, rules, severity } = self;
        let Some(now) = channels.iter().find(|channel| channel.id == *id) else {
            return Some(format!("channel {id} was taken away"));
        };
        if now.way != *way {
            return Some(format!("channel {id} leads elsewhere"));
        }
        // A pattern of its own is covered by one that names all that it names.
        let covers = |pattern: &String| {
            now.rules
                .iter()
                .any(|other| names(other, pattern.trim_end_matches('*')) && (other == pattern || other.ends_with('*')))
        };
        let names_all = now.rules.is_empty() || now.rules.iter().any(|pattern| pattern == "*");
        let is_told_less = now.severity > *severity || !names_all && (rules.is_empty() || !rules.iter().all(covers));
        is_told_less.then(|| format!("channel {id} is told less"))
    }
}

/// Whether a pattern, a rule's name or how it begins and a star, names a rule.
fn names(pattern: &str, rule: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => rule.starts_with(beginning),
        None => rule == pattern,
    }
}

fn address(fields: &mut Fields<'_>, place: Place) -> Option<SecretName> {
    let name = fields.required_text("url", NAME_BYTES)?;
    SecretName::read(&name, place).map_err(|detail| fields.fault("url", detail)).ok()
}

fn is_word(text: &str, more: &[u8]) -> bool {
    (1..=WORD_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

/// What one channel is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id: when it was recorded, and a hash of the event and the channel. The same event makes the same alerts.
    pub id: String,
    /// The channel's id.
    pub channel: String,
    /// The finding, unless it is a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// The export whose files a report is, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// The event that raised or tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// The rule.
    pub rule: String,
    /// How bad it is, where the finding says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What there is to say.
    pub sentence: String,
    /// When the finding was raised.
    pub occurred_at: Instant,
    /// When it was queued.
    pub queued_at: Instant,
    /// The channel as it was, where it is told that it changed: then the settings do not say how it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_it_was: Option<Box<Channel>>,
    /// Of a message that tells of several findings, how many. It is made when it is sent, and never stored.
    #[serde(skip)]
    pub count: usize,
}

impl Kind {
    /// Whether a message to it tells of several findings. A bus has rules that look at each.
    pub fn gathers(self) -> bool {
        match self {
            Self::Slack | Self::Teams | Self::Sns => true,
            Self::EventBridge => false,
        }
    }
}

impl Alert {
    /// Whether one message may tell of both. Subscribers of a topic filter by rule and severity.
    pub fn goes_with(&self, other: &Self, kind: Kind) -> bool {
        let is_filtered = matches!(kind, Kind::Sns | Kind::EventBridge);
        kind.gathers()
            && self.finding.is_some()
            && other.finding.is_some()
            && self.as_it_was == other.as_it_was
            && (!is_filtered || (&self.rule, self.severity) == (&other.rule, other.severity))
    }

    /// One message that tells of all of these; the one itself where it is alone.
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
        let listed: Vec<String> = rules.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
        let severity = worst.severity.map_or_else(String::new, |severity| format!(", {} at most", severity.as_str()));
        let first: Vec<&str> = std::iter::once(worst)
            .chain(alerts.iter().copied().filter(|alert| alert.id != worst.id))
            .take(GROUP_SENTENCES)
            .map(|alert| alert.sentence.as_str())
            .collect();
        let more = match alerts.len() - first.len() {
            0 => String::new(),
            more => format!(" And {more} more."),
        };
        let head =
            escaped(&format!("{} findings in the trail of {tenant}{severity}: {}.", alerts.len(), listed.join(", ")));
        let sentence = shortened(format!("{head} {}{more}", first.join(" ")));
        Some(Self { count: alerts.len(), finding: None, rule, sentence, ..worst.clone() })
    }

    /// What the channels that want it are told of a finding; nothing where the event raises none, and reopens none that somebody had settled.
    /// `now` is when they are queued. Of what weakens the trail `channels` are those that there were before.
    pub fn of_finding(recorded: &Recorded, channels: &[Channel], now: Instant) -> Vec<(Self, Kind)> {
        let event = &recorded.event;
        let reopens = event.details.as_ref().and_then(|details| details.get("reopens")?.as_bool());
        if event.action != "finding.raised" && !(event.action == "finding.updated" && reopens == Some(true)) {
            return Vec::new();
        }
        let detail = |name: &str| event.details.as_ref()?.get(name)?.as_str();
        let rule = detail("rule").filter(|rule| !rule.is_empty()).unwrap_or("finding");
        let severity = detail("severity").and_then(Severity::read);
        let finding = event.target.as_ref().and_then(|target| target.id.clone());
        let is_weakening = settings::WEAKENINGS.contains(&rule);
        // What weakens the trail is told to every channel there was, and whatever it wanted to be told: else who takes a channel away, or has it want
        // nothing, would do so in silence.
        let wanting = channels.iter().filter(|channel| is_weakening || channel.wants(rule, severity));
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
        wanting.map(|channel| (alert(channel), channel.way.kind())).collect()
    }

    /// What a channel is told of the end of an export that a schedule asked for.
    pub fn of_report(recorded: &Recorded, origin: &Origin, channel: &Channel, now: Instant) -> Self {
        let event = &recorded.event;
        Self {
            id: id(&event.tenant, recorded.recorded_at, &event.id, &channel.id),
            channel: channel.id.clone(),
            finding: None,
            export: event.target.as_ref().and_then(|target| target.id.clone()),
            event: Some(event.id.clone()),
            rule: if event.outcome == Outcome::Failure { FAILED_RULE } else { READY_RULE }.to_owned(),
            severity: None,
            sentence: of_report(event, origin),
            occurred_at: event.occurred_at,
            queued_at: now,
            as_it_was: None,
            count: 0,
        }
    }

    /// A test of a channel that somebody asked for.
    pub fn test(tenant: &Tenant, channel: &Channel, asked_by: &str, test: &EventId, now: Instant) -> Self {
        let sentence = format!(
            "Test message of Jit Audit to channel {} of {tenant}, asked for by {}. Nothing is wrong.",
            channel.id,
            escaped(asked_by)
        );
        Self {
            id: id(tenant, now, test, &channel.id),
            channel: channel.id.clone(),
            finding: None,
            export: None,
            event: None,
            rule: TEST_RULE.to_owned(),
            severity: None,
            sentence: shortened(sentence),
            occurred_at: now,
            queued_at: now,
            as_it_was: None,
            count: 0,
        }
    }

    /// Where the finding or the export is shown, on the page at `page`. None where nobody said where that is.
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

    fn about(&self) -> About<'_> {
        match (&self.finding, self.rule.as_str()) {
            _ if self.count > 0 => About::Findings,
            (Some(finding), _) => About::Finding(finding),
            (None, READY_RULE) => About::Report { is_ready: true },
            (None, FAILED_RULE) => About::Report { is_ready: false },
            (None, _) => About::Test,
        }
    }
}

/// What an alert is about.
enum About<'a> {
    /// A finding, by its id.
    Finding(&'a str),
    /// Several findings.
    Findings,
    /// A report, ready or not.
    Report { is_ready: bool },
    /// Nothing but the channel.
    Test,
}

/// An alert's id. It begins with a time, so that the newest are found first; 13 digits last until the year 2286.
fn id(tenant: &Tenant, at: Instant, event: &EventId, channel: &str) -> String {
    let hash = EventId::of_service(tenant, "alert", &[event.as_str(), channel]);
    let hash = hash.as_str().trim_start_matches("sys_");
    format!("{:013}-{hash}", at.millis().max(0))
}

/// Characters that stand for themselves in a link (RFC 3986, section 2.3); a colon may too, and rules are easier to read so.
const CODED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

fn coded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, CODED).to_string()
}

/// What there is to say of a finding.
fn sentence(event: &Event, rule: &str, severity: Option<Severity>) -> String {
    let detail = |name: &str| event.details.as_ref()?.get(name)?.as_str();
    let shown = |party: &Option<Party>| party.as_ref().map(|party| party.shown().to_owned());
    let person = event.subject.as_ref().map(|subject| subject.email.as_deref().unwrap_or(subject.shown()).to_owned());
    let facts = [
        ("account", shown(&event.account)),
        ("for", person),
        ("application", detail("application").map(str::to_owned)),
        ("session", event.session.as_ref().map(|session| session.id.clone())),
    ];
    let facts: Vec<_> = facts.into_iter().filter_map(|(word, fact)| Some(format!("{word} {}", fact?))).collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let severity = severity.map_or_else(String::new, |severity| format!(", {}", severity.as_str()));
    let why = event.reason.as_deref().unwrap_or("an auditor has to look at it");
    shortened(escaped(&format!("Finding {rule}{severity}, in the trail of {}: {why}{facts}.", event.tenant)))
}

/// What there is to say of a report.
fn of_report(event: &Event, origin: &Origin) -> String {
    let Origin { name, since, until, tz, .. } = origin;
    let zone = time_zone::zone(tz).unwrap_or(TimeZone::UTC);
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
            let rows = event.details.as_ref().and_then(|details| details.get("rows")?.as_u64()).unwrap_or(0);
            format!("is ready: {} {}", grouped(rows), if rows == 1 { "row" } else { "rows" })
        }
    };
    shortened(escaped(&format!("Report \"{name}\" of {}{range} {became}.", event.tenant)))
}

/// A number as people read long ones.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let group = |(place, digit): (usize, char)| {
        let is_first = place > 0 && (digits.len() - place).is_multiple_of(3);
        is_first.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST_SENTENCE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The body for a Slack webhook. `&`, `<` and `>` are what Slack reads markup, links and mentions by (Slack, "Formatting message text");
/// asterisks and the like are left as they are, as `mrkdwn` is off.
pub fn for_slack(alert: &Alert, link: Option<&str>) -> Value {
    let literal = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = literal(&alert.sentence);
    if let Some(link) = link {
        text.push('\n');
        text.push_str(&literal(link));
    }
    json!({"text": text, "mrkdwn": false, "unfurl_links": false})
}

/// The body for the webhook of a Teams workflow: an adaptive card. Its text blocks would read Markdown, its runs of text do not (Adaptive
/// Cards, "Text features").
pub fn for_teams(alert: &Alert, link: Option<&str>) -> Value {
    let block = |run: Value| json!({"type": "RichTextBlock", "inlines": [run]});
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            block(json!({"type": "TextRun", "text": title(alert), "weight": "Bolder"})),
            block(json!({"type": "TextRun", "text": alert.sentence})),
        ],
    });
    if let Some(link) = link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Look at it", "url": link}]);
    }
    json!({
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card}],
    })
}

/// A notification of SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The subject of e-mails: one line of printable ASCII.
    pub subject: String,
    /// The text.
    pub message: String,
    /// What subscribers filter by; none is empty.
    pub attributes: Vec<(&'static str, String)>,
}

/// What SNS is told.
pub fn for_sns(tenant: &Tenant, alert: &Alert, link: Option<&str>) -> Notification {
    let plain = |char: char| if matches!(char, ' '..='~') { char } else { '?' };
    let mut attributes = vec![("tenant", tenant.to_string()), ("rule", escaped(&alert.rule))];
    attributes.extend(alert.severity.map(|severity| ("severity", severity.as_str().to_owned())));
    Notification {
        subject: title(alert).chars().map(plain).take(LONGEST_SUBJECT).collect(),
        message: [&alert.sentence].into_iter().map(String::as_str).chain(link).collect::<Vec<_>>().join("\n"),
        attributes,
    }
}

/// An event for a bus.
#[derive(Clone, Debug, PartialEq)]
pub struct BusEvent {
    /// What kind of event.
    pub detail_type: &'static str,
    /// What it says.
    pub detail: Value,
    /// When it happened.
    pub time: Instant,
}

/// What EventBridge is told. Who takes it once knows a repetition by `alert`.
pub fn for_eventbridge(tenant: &Tenant, alert: &Alert, link: Option<&str>) -> BusEvent {
    let told = [
        ("alert", Some(json!(alert.id))),
        ("tenant", Some(json!(tenant))),
        ("finding", alert.finding.as_ref().map(|finding| json!(finding))),
        ("export", alert.export.as_ref().map(|export| json!(export))),
        ("event", alert.event.as_ref().map(|event| json!(event))),
        ("rule", Some(json!(alert.rule))),
        ("severity", alert.severity.map(|severity| json!(severity))),
        ("message", Some(json!(alert.sentence))),
        ("link", link.map(|link| json!(link))),
        ("occurred_at", Some(json!(alert.occurred_at))),
    ];
    let detail = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    BusEvent {
        detail_type: match alert.about() {
            About::Finding(_) | About::Findings => "Finding raised",
            About::Report { is_ready: true } => "Report ready",
            About::Report { is_ready: false } => "Report failed",
            About::Test => "Test message",
        },
        detail: detail.collect::<Map<_, _>>().into(),
        time: alert.occurred_at,
    }
}

fn title(alert: &Alert) -> String {
    let severity = alert.severity.map_or_else(String::new, |severity| format!(", {}", severity.as_str()));
    match alert.about() {
        About::Finding(_) => escaped(&format!("Jit Audit: finding {}{severity}", alert.rule)),
        About::Findings => format!("Jit Audit: {} findings{severity}", alert.count),
        About::Report { is_ready: true } => "Jit Audit: a report is ready".to_owned(),
        About::Report { is_ready: false } => "Jit Audit: a report could not be made".to_owned(),
        About::Test => "Jit Audit: test message".to_owned(),
    }
}

/// How far an alert is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What kind of channel it goes to. A channel may have become another while it waited.
    pub kind: Kind,
    /// Whether it has left.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
}

/// Whether an alert has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It will be tried, or tried again.
    Waiting,
    /// The channel took it.
    Sent,
    /// It was given up.
    Failed,
}

impl State {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 3] =
        [("waiting", Self::Waiting), ("sent", Self::Sent), ("failed", Self::Failed)];
}

/// Why a channel did not take an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, for a person; without the webhook's address.
    pub error: String,
    /// Whether it is of no use to try again.
    pub is_final: bool,
    /// How long the channel asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Progress {
    /// Before the first try.
    pub fn waiting(kind: Kind) -> Self {
        Self { kind, state: State::Waiting, attempts: 0, error: None, sent_at: None }
    }

    /// After a try that worked.
    #[must_use]
    pub fn sent(&self, kind: Kind, now: Instant) -> Self {
        Self { kind, state: State::Sent, attempts: self.attempts + 1, error: None, sent_at: Some(now) }
    }

    /// After a try that did not: it waits for the next, or is given up.
    #[must_use]
    pub fn refused(&self, alert: &Alert, refusal: &Refusal, now: Instant) -> Self {
        let is_over = now >= alert.queued_at.plus(PATIENCE);
        let (state, error) = match (refusal.is_final, is_over) {
            (true, _) => (State::Failed, refusal.error.clone()),
            (false, true) => (State::Failed, format!("given up after a day: {}", refusal.error)),
            (false, false) => (State::Waiting, refusal.error.clone()),
        };
        Self { state, attempts: self.attempts + 1, error: Some(error), ..self.clone() }
    }

    /// Given up without a try.
    #[must_use]
    pub fn given_up(&self, why: &str) -> Self {
        Self { state: State::Failed, error: Some(why.to_owned()), ..self.clone() }
    }
}

/// The longest that a channel may ask to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

impl Refusal {
    /// How long a channel is left alone that did not take so many messages in a row. `jitter` shortens a pause by up to its half.
    pub fn pause(&self, failures: u32, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let pause = longest_pause(failures);
        let pause = pause - jitter(pause / 2);
        pause.max(self.retry_after.unwrap_or_default().min(LONGEST_ASKED))
    }
}

/// The pause after so many tries: 5 s, twice as long each time, a quarter of an hour at most.
fn longest_pause(attempts: u32) -> Duration {
    let doubled = Duration::from_secs(5).saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(16)));
    doubled.min(Duration::from_secs(900))
}

/// An alert as it is answered. Nothing of a webhook's address is in it.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    id: String,
    channel: String,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<String>,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    state: State,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    queued_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<Instant>,
}

/// An alert as it is answered.
pub fn answered(alert: Alert, progress: Progress) -> Answered {
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
    Answered { id, channel, kind, finding, export, rule, severity, state, attempts, error, queued_at, sent_at }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        exports::saved_search::Cause,
        json::object_reader::read_object,
        trail::event::{Actor, Digest, RecordedBy},
    };

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
        event.details = json!({"rule": rule, "severity": severity, "application": "app"}).as_object().cloned();
        Recorded {
            event,
            recorded_at: at(1),
            recorded_by: RecordedBy { sub: "jit-audit".to_owned(), client_id: None },
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

    /// What a channel is told of a finding about an account of that name.
    fn alert(account: &str, reason: &str) -> Alert {
        let alerts = Alert::of_finding(&finding("revocation.overdue", "high", account, reason), &all_kinds(), at(2));
        alerts.into_iter().next().unwrap().0
    }

    #[test]
    fn a_finding_is_one_plain_sentence() {
        let told = alert("MSP-ALEX", "it was not come to yet");
        let expected = "Finding revocation.overdue, high, in the trail of acme: it was not come to yet \
                        (account MSP-ALEX, for alex@nikpot.com, application app).";
        assert_eq!(told.sentence, expected);
        assert_eq!((told.finding.as_deref(), told.queued_at), (Some("revocation.overdue:w-1"), at(2)));
        assert_eq!(
            told.link(Some("https://audit.example/")).unwrap(),
            "https://audit.example/#/findings/revocation.overdue:w-1"
        );
        assert_eq!(told.link(None), None);
        let odd = Alert { finding: Some("a/b #<x>".to_owned()), ..told };
        assert_eq!(odd.link(Some("https://a.example")).unwrap(), "https://a.example/#/findings/a%2Fb%20%23%3Cx%3E");
    }

    #[test]
    fn an_event_makes_the_same_alerts_whenever_it_comes_by() {
        let event = finding("revocation.overdue", "high", "x", "y");
        let ids = |now| Alert::of_finding(&event, &all_kinds(), now).into_iter().map(|it| it.0.id).collect::<Vec<_>>();
        assert_eq!(ids(at(2)), ids(at(500)));
        let mut apart = ids(at(2));
        apart.dedup();
        assert_eq!(apart.len(), 4, "each channel has one of its own");
        let mut other = finding("revocation.overdue", "high", "x", "y");
        other.event.action = "finding.withdrawn".to_owned();
        assert_eq!(Alert::of_finding(&other, &all_kinds(), at(2)), []);
        assert!(ids(at(2))[0] < id(&tenant(), at(2), &event.event.id, "ops"), "the newest stand last");
    }

    #[test]
    fn a_channel_is_told_what_it_wants() {
        for (rules, least, rule, severity, wants) in [
            (json!(null), None, "anything", Some(Severity::Low), true),
            (json!(["revocation.overdue"]), None, "revocation.overdue", Some(Severity::Low), true),
            (json!(["revocation.overdue"]), None, "revocation.overdue.again", Some(Severity::Low), false),
            (json!(["revocation.overdue", "approval.*"]), None, "approval.by_requester", Some(Severity::Low), true),
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
        // A severity that nobody knows holds nothing back.
        let told = Alert::of_finding(&finding("x", "apocalyptic", "a", "b"), &all_kinds(), at(2));
        assert_eq!((told.len(), told[0].0.severity), (4, None));
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
            (json!((0..11).map(|n| sns(&n.to_string())).collect::<Vec<_>>()), "/alerts", "10 are the most"),
            (json!(["ops"]), "/alerts/0", "object"),
            (json!([sns("a"), sns("a")]), "/alerts/1/id", "another channel"),
            (json!([sns("a b")]), "/alerts/0/id", "A-Z"),
            (json!([sns(&"a".repeat(65))]), "/alerts/0/id", "64"),
            (json!([{"kind": "sns"}]), "/alerts/0/id", "required"),
            (json!([{"id": "a"}]), "/alerts/0/kind", "required"),
            (json!([{"id": "a", "kind": "mail"}]), "/alerts/0/kind", "eventbridge"),
            (json!([{"id": "a", "kind": "slack"}]), "/alerts/0/url", "required"),
            (json!([{"id": "a", "kind": "teams", "url": "https://x.example/secret"}]), "/alerts/0/url", "never given"),
            (json!([{"id": "a", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_X"}]), "/alerts/0/url", "secretsmanager"),
            (json!([{"id": "a", "kind": "sns", "url": "secretsmanager:x"}]), "/alerts/0/url", "no known field"),
            (json!([{"id": "a", "kind": "sns", "topic": "arn:aws:sns:x"}]), "/alerts/0/topic", "no known field"),
            (json!([{"id": "a", "kind": "sns", "severity": "worst"}]), "/alerts/0/severity", "critical"),
            (json!([{"id": "a", "kind": "sns", "rules": []}]), "/alerts/0/rules", "1 to 20"),
            (json!([{"id": "a", "kind": "sns", "rules": ["a*b"]}]), "/alerts/0/rules/0", "a star"),
            (
                json!([sns("a"), {"id": "b", "kind": "sns", "rules": ["account.gone", "a b"]}]),
                "/alerts/1/rules/1",
                "a star",
            ),
            (json!([{"id": "a", "kind": "sns", "rules": ["approvals.*"]}]), "/alerts/0/rules/0", "approval.missing"),
        ] {
            let errors = channels(json.clone()).unwrap_err();
            assert!(
                errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
                "{json}: {errors:?}"
            );
        }
        assert_eq!(channels(json!([])).unwrap(), []);
    }

    /// Names that try to be more than a name.
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
            let told = alert(name, name);
            let body = for_slack(&told, Some("https://a.example/#/findings/x?a&b"));
            let text = body["text"].as_str().unwrap();
            assert!(!text.contains(['<', '>', '\r', '\u{1b}', '\u{202e}', '\0']), "{text}");
            assert_eq!(text.matches('\n').count(), 1, "the link alone stands on a line of its own: {text}");
            assert_eq!(body["mrkdwn"], false);
            // What Slack shows: the three entities decoded once, nothing else changed.
            let shown = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            assert_eq!(shown, format!("{}\nhttps://a.example/#/findings/x?a&b", told.sentence));
        }
        let told = for_slack(&alert("<!channel>", "a & b"), None);
        let expected = "Finding revocation.overdue, high, in the trail of acme: a &amp; b \
                        (account &lt;!channel&gt;, for alex@nikpot.com, application app).";
        assert_eq!(told, json!({"text": expected, "mrkdwn": false, "unfurl_links": false}));
    }

    #[test]
    fn what_people_are_called_is_text_to_teams() {
        for name in HOSTILE {
            let told = alert(name, "it was not come to yet");
            let body = for_teams(&told, Some("https://a.example/x"));
            assert_eq!((&body["type"], body["attachments"].as_array().unwrap().len()), (&json!("message"), 1));
            let attachment = &body["attachments"][0];
            assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
            let card = &attachment["content"];
            assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
            // No element that reads Markdown, no mention, and what is said of people in one run.
            for element in card["body"].as_array().unwrap() {
                assert_eq!(
                    (&element["type"], &element["inlines"][0]["type"]),
                    (&json!("RichTextBlock"), &json!("TextRun"))
                );
            }
            assert_eq!(card["msteams"].get("entities"), None);
            assert_eq!(card["body"][1]["inlines"][0]["text"], told.sentence);
            assert!(!told.sentence.contains(char::is_control), "{}", told.sentence);
            let open = json!([{"type": "Action.OpenUrl", "title": "Look at it", "url": "https://a.example/x"}]);
            assert_eq!(card["actions"], open);
        }
        assert_eq!(for_teams(&alert("x", "y"), None)["attachments"][0]["content"].get("actions"), None);
    }

    #[test]
    fn a_subject_is_one_short_line_of_ascii() {
        let told = for_sns(&tenant(), &alert("MSP-ALEX", "it was not come to yet"), Some("https://a.example/x"));
        assert_eq!(told.subject, "Jit Audit: finding revocation.overdue, high");
        assert!(told.message.ends_with("application app).\nhttps://a.example/x"), "{}", told.message);
        let attributes = [("tenant", "acme"), ("rule", "revocation.overdue"), ("severity", "high")];
        assert_eq!(told.attributes, attributes.map(|(name, value)| (name, value.to_owned())));
        for rule in ["é\n\u{202e}x", &"r".repeat(300), "\u{1F600}"] {
            let told = Alert { rule: rule.to_owned(), ..alert("x", "y") };
            let subject = for_sns(&tenant(), &told, None).subject;
            assert!(subject.len() < 100 && subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{subject:?}");
        }
        let unsaid = Alert { severity: None, ..alert("x", "y") };
        assert_eq!(for_sns(&tenant(), &unsaid, None).attributes.len(), 2, "none is empty");
    }

    #[test]
    fn a_bus_is_told_in_fields() {
        let told = alert("MSP-ALEX", "late");
        let event = for_eventbridge(&tenant(), &told, Some("https://a.example/x"));
        assert_eq!(event.detail_type, "Finding raised");
        assert_eq!(
            event.detail,
            json!({
                "alert": told.id, "tenant": "acme", "finding": "revocation.overdue:w-1", "event": told.event,
                "rule": "revocation.overdue", "severity": "high", "message": told.sentence,
                "link": "https://a.example/x", "occurred_at": at(0)
            })
        );
        // Whatever a finding says, it fits: an entry may take 256 KiB, a notification as much.
        let longest = alert(&"\u{0}".repeat(256), &"\u{0}\u{1F600}".repeat(2048));
        assert!(longest.sentence.chars().count() == LONGEST_SENTENCE + 1);
        assert!(for_eventbridge(&tenant(), &longest, None).detail.to_string().len() < 20_000);
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let channel = &all_kinds()[0];
        let [first, second] = [1, 2].map(|byte| EventId::fresh(at(0), [byte; 10]));
        let told = Alert::test(&tenant(), channel, "it@acme.example\n", &first, at(0));
        let expected =
            "Test message of Jit Audit to channel ops of acme, asked for by it@acme.example\\u000A. Nothing is wrong.";
        assert_eq!((told.sentence.as_str(), told.rule.as_str()), (expected, "alert.test"));
        assert_ne!(told.id, Alert::test(&tenant(), channel, "x", &second, at(0)).id, "each is one of its own");
        assert_eq!(for_eventbridge(&tenant(), &told, None).detail_type, "Test message");
        assert_eq!(told.link(Some("https://a.example")).unwrap(), "https://a.example/");
    }

    /// What a channel is told of the end of a run of a report of that name.
    fn report(name: &str, action: &str, reason: Option<&str>, rows: u64, range: [Option<&str>; 2]) -> Alert {
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
            (1_000_000, [None, Some("2026-09-30T21:30:00Z")], "up to 2026-09-30 23:30 is ready: 1,000,000 rows."),
        ] {
            let told = report("Quarterly access", "export.ready", None, rows, range);
            assert_eq!(told.sentence, format!("Report \"Quarterly access\" of acme {expected}"));
        }
        let told = report("All", "export.ready", None, 0, [None; 2]);
        assert_eq!(
            (told.sentence.as_str(), told.rule.as_str()),
            ("Report \"All\" of acme is ready: 0 rows.", "report.ready")
        );
        let link = told.link(Some("https://audit.example/")).unwrap();
        assert_eq!(link, "https://audit.example/#/activity/downloads?export=0193-a");
        let bus = for_eventbridge(&tenant(), &told, Some(&link));
        assert_eq!((bus.detail_type, &bus.detail["export"]), ("Report ready", &json!("0193-a")));
        assert_eq!(bus.detail.get("finding"), None);
        let failed = report("All", "export.failed", Some("S3 did not answer."), 0, [None; 2]);
        assert_eq!(failed.sentence, "Report \"All\" of acme could not be made: S3 did not answer.");
        assert_eq!(
            (failed.rule.as_str(), title(&failed).as_str()),
            ("report.failed", "Jit Audit: a report could not be made")
        );
        let none = Alert { export: None, ..failed };
        assert_eq!(none.link(Some("https://a.example")).unwrap(), "https://a.example/#/activity/downloads");
        for name in HOSTILE {
            let told = report(name, "export.ready", None, 7, [None; 2]);
            assert!(!told.sentence.contains(char::is_control), "{}", told.sentence);
            let text = for_slack(&told, None)["text"].as_str().unwrap().to_owned();
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
        let told = alert("x", "y");
        let down = Refusal { error: "503".to_owned(), is_final: false, retry_after: None };
        let none = |_| Duration::ZERO;
        let (mut progress, mut now, mut pauses) = (Progress::waiting(Kind::Slack), told.queued_at, Vec::new());
        loop {
            progress = progress.refused(&told, &down, now);
            if progress.state == State::Failed {
                break;
            }
            let pause = down.pause(progress.attempts, none);
            pauses.push(pause.as_secs());
            now = now.plus(pause);
        }
        assert_eq!(pauses[..9], [5, 10, 20, 40, 80, 160, 320, 640, 900]);
        assert!(pauses[8..].iter().all(|pause| *pause == 900));
        assert!(now >= told.queued_at.plus(PATIENCE) && now <= told.queued_at.plus(PATIENCE * 2));
        assert_eq!((progress.state, progress.error.as_deref()), (State::Failed, Some("given up after a day: 503")));
        // Chance shortens a pause by half at most, and what a channel asks for is the least.
        assert_eq!(down.pause(1, |most| most), Duration::from_millis(2500));
        for (asked, seconds) in [(7, 7), (1, 5), (999_999, 3600)] {
            let asks = Refusal { retry_after: Some(Duration::from_secs(asked)), ..down.clone() };
            assert_eq!(asks.pause(1, none), Duration::from_secs(seconds));
        }
        let gone = Refusal { is_final: true, ..down };
        let progress = Progress::waiting(Kind::Slack).refused(&told, &gone, at(2));
        assert_eq!((progress.state, progress.attempts), (State::Failed, 1));
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
        let goes = |kind| (alerts[0].goes_with(&alerts[1], kind), alerts[0].goes_with(&alerts[3], kind));
        assert_eq!(
            (goes(Kind::Slack), goes(Kind::Sns), goes(Kind::EventBridge)),
            ((true, true), (true, false), (false, false))
        );
    }
}
