//! Alerts: who is told that a finding was raised, and in which words.
//!
//! A channel is where a tenant wants to be told. An alert is what one channel is told of one finding: one plain sentence and a link. What
//! it says of people comes from whoever wrote the events, so for each kind of channel it is written as text that nothing there can take
//! for markup or a mention.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    application::{Place, SecretName},
    catalogue::sentence::escaped,
    event::{Event, EventId, Party, Recorded, Tenant},
    fields::{Fields, NAME_BYTES},
    instant::Instant,
};

/// Most channels of a tenant.
const MOST_CHANNELS: usize = 10;
/// Most patterns of a channel.
const MOST_RULES: usize = 20;
/// Longest id of a channel, name of a rule.
pub const WORD_BYTES: usize = 64;
/// The rule of an alert that tries a channel out.
const TEST_RULE: &str = "alert.test";
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

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be looked at some day.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 4] =
        [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High), ("critical", Self::Critical)];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, severity)| severity)
    }
}

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
        let is_named = self.rules.is_empty()
            || self.rules.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => rule.starts_with(beginning),
                None => rule == pattern,
            });
        is_named && severity.is_none_or(|severity| self.severity.is_none_or(|least| severity >= least))
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
    /// The event that raised it.
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
}

impl Alert {
    /// What the channels that want it are told of a finding; nothing where the event raises none. `now` is when they are queued.
    pub fn of_finding(recorded: &Recorded, channels: &[Channel], now: Instant) -> Vec<(Self, Kind)> {
        let event = &recorded.event;
        if event.action != "finding.raised" {
            return Vec::new();
        }
        let detail = |name: &str| event.details.as_ref()?.get(name)?.as_str();
        let rule = detail("rule").filter(|rule| !rule.is_empty()).unwrap_or("finding");
        let severity = detail("severity").and_then(Severity::read);
        let finding = event.target.as_ref().and_then(|target| target.id.clone());
        let wanting = channels.iter().filter(|channel| channel.wants(rule, severity));
        let alert = |channel: &Channel| Self {
            id: id(&event.tenant, recorded.recorded_at, &event.id, &channel.id),
            channel: channel.id.clone(),
            finding: finding.clone().or_else(|| Some(event.id.to_string())),
            event: Some(event.id.clone()),
            rule: rule.to_owned(),
            severity,
            sentence: sentence(event, rule, severity),
            occurred_at: event.occurred_at,
            queued_at: now,
        };
        wanting.map(|channel| (alert(channel), channel.way.kind())).collect()
    }

    /// A test of a channel that somebody asked for.
    pub fn test(tenant: &Tenant, channel: &Channel, asked_by: &str, now: Instant) -> Self {
        let sentence = format!(
            "Test message of Jit Audit to channel {} of {tenant}, asked for by {}. Nothing is wrong.",
            channel.id,
            escaped(asked_by)
        );
        Self {
            id: id(tenant, now, &EventId::fresh(), &channel.id),
            channel: channel.id.clone(),
            finding: None,
            event: None,
            rule: TEST_RULE.to_owned(),
            severity: None,
            sentence: shortened(sentence),
            occurred_at: now,
            queued_at: now,
        }
    }

    /// Where the finding is shown, on the page at `page`. None where nobody said where that is.
    pub fn link(&self, page: Option<&str>) -> Option<String> {
        let page = page?.trim_end_matches('/');
        Some(match &self.finding {
            Some(finding) => format!("{page}/#/findings/{}", coded(finding)),
            None => format!("{page}/"),
        })
    }
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
        ("event", alert.event.as_ref().map(|event| json!(event))),
        ("rule", Some(json!(alert.rule))),
        ("severity", alert.severity.map(|severity| json!(severity))),
        ("message", Some(json!(alert.sentence))),
        ("link", link.map(|link| json!(link))),
        ("occurred_at", Some(json!(alert.occurred_at))),
    ];
    let detail = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    BusEvent {
        detail_type: if alert.finding.is_some() { "Finding raised" } else { "Test message" },
        detail: detail.collect::<Map<_, _>>().into(),
        time: alert.occurred_at,
    }
}

fn title(alert: &Alert) -> String {
    let severity = alert.severity.map_or_else(String::new, |severity| format!(", {}", severity.as_str()));
    match &alert.finding {
        Some(_) => escaped(&format!("Jit Audit: finding {}{severity}", alert.rule)),
        None => "Jit Audit: test message".to_owned(),
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

    /// After a try that did not; and how long to wait for the next, unless it is given up. `jitter` shortens a pause by up to its half.
    pub fn refused(
        &self,
        alert: &Alert,
        refusal: &Refusal,
        now: Instant,
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> (Self, Option<Duration>) {
        let attempts = self.attempts + 1;
        let is_over = now >= alert.queued_at.plus(PATIENCE);
        let (state, error, pause) = match (refusal.is_final, is_over) {
            (true, _) => (State::Failed, refusal.error.clone(), None),
            (false, true) => (State::Failed, format!("given up after a day: {}", refusal.error), None),
            (false, false) => {
                let pause = longest_pause(attempts);
                let pause = pause - jitter(pause / 2);
                let asked = refusal.retry_after.unwrap_or_default().min(LONGEST_ASKED);
                (State::Waiting, refusal.error.clone(), Some(pause.max(asked)))
            }
        };
        (Self { state, attempts, error: Some(error), ..self.clone() }, pause)
    }

    /// Given up without a try.
    #[must_use]
    pub fn given_up(&self, why: &str) -> Self {
        Self { state: State::Failed, error: Some(why.to_owned()), ..self.clone() }
    }
}

/// The longest that a channel may ask to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

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
    let Alert { id, channel, finding, event: _, rule, severity, sentence: _, occurred_at: _, queued_at } = alert;
    let Progress { kind, state, attempts, error, sent_at } = progress;
    Answered { id, channel, kind, finding, rule, severity, state, attempts, error, queued_at, sent_at }
}
