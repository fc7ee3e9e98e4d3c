//! Streams: forwarding of the audit trail to another system as events are recorded. This module
//! does no I/O.
//!
//! A stream stores its position in the trail. Everything recorded before the position was sent or
//! did not match the filter. The position advances only after the target has accepted the events
//! before it: no event is lost, and after a failure an event may be sent again.

use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strum::{EnumString, VariantNames};

use crate::{
    configuration::{
        application::{Place, SecretName},
        document::Document,
        document_kind::DocumentKind,
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    time::{
        backoff::Backoff,
        time_zone::{self, Bound},
        timestamp::Instant,
    },
    trail::{
        actions::ConfigurationAction,
        event::{Recorded, Tenant},
        filter::Filter,
        ocsf::ocsf,
        position::{FeedPlace, Position},
    },
};

/// Maximum number of streams of a tenant.
pub const MOST_STREAMS: usize = 25;
/// Maximum number of secrets of a stream: the current, the next and the previous one.
const MOST_SECRETS: usize = 3;
/// Longest address, in bytes.
const URL_BYTES: usize = 1024;
/// The rule of the finding about a paused stream.
pub const PAUSED: &str = "stream.paused";

/// Consecutive failed attempts after which a stream is reported as paused.
pub const TRIES: u32 = 5;
/// Upper limit of a target's Retry-After.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// Pauses between attempts without a Retry-After: a target that is back waits at most the longest.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };

/// A configured stream: what is sent to which target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    pub target: Target,
    pub shape: Shape,
    /// Which events are sent; all of them where there is no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    pub include_service: bool,
    /// Events recorded from this time on are sent.
    pub from: Instant,
    /// When the stream was created or last replayed.
    pub begun_at: Instant,
    /// How often the stream was replayed.
    pub replays: u32,
}

impl Document for Stream {
    const KIND: DocumentKind = DocumentKind {
        word: "stream",
        action: ConfigurationAction::StreamConfigured,
        noun: "stream",
        list: "streams",
    };

    fn public(content: Value) -> Value {
        without_address(content)
    }
}

/// The target of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// An address that accepts signed batches by POST.
    Https {
        url: String,
        /// The names of the secrets that sign each request. A receiver accepts a request that
        /// carries the signature of the secret it has. To rotate a secret, name the new one beside
        /// the old one for a while.
        secrets: Vec<SecretName>,
    },
    /// The deployment's own bucket for streams. A tenant cannot name a bucket: the service's
    /// permissions would let it write to another tenant's.
    S3,
    #[serde(rename = "eventbridge")]
    EventBridge,
}

/// The format of the events that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Shape {
    /// Events as the API returns them.
    Native,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// The kind of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
enum Kind {
    Https,
    S3,
    EventBridge,
}

/// The start of a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From its creation.
    Now,
    /// From the oldest retained event.
    Oldest,
    At(Instant),
}

/// The body of a PUT that creates or changes a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    target: Target,
    shape: Shape,
    filter: Option<String>,
    include_service: bool,
    /// The start, if the caller states one.
    pub from: Option<From>,
}

impl Asked {
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reads the body of a PUT. Times without an offset are in `zone`.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str, place: Place, zone: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let target =
                fields.required_object("target").and_then(|fields| read_target(fields, place));
            let shape = fields.word("shape");
            let filter = fields.text("filter", usize::MAX);
            if let Some(Err(error)) = filter.as_deref().map(Filter::read) {
                fields.fault("filter", error);
            }
            let include_service = fields.flag("include_service").unwrap_or(false);
            let from = read_from(&mut fields, zone);
            fields.refuse_others();
            Some(Self {
                target: target?,
                shape: shape.unwrap_or(Shape::Native),
                filter,
                include_service,
                from,
            })
        })
    }

    /// The new state of the stream. `before` is the stream that exists already.
    ///
    /// # Errors
    /// A sentence: an existing stream cannot get another start.
    pub fn stream(
        self,
        before: Option<&Stream>,
        now: Instant,
        oldest: Instant,
    ) -> Result<Stream, String> {
        let Self { target, shape, filter, include_service, from } = self;
        let at = from.map(|from| from.at(now, oldest));
        let (from, begun_at, replays) = match before {
            None => (at.unwrap_or(now), now, 0),
            Some(before) if matches!(from, Some(From::At(at)) if at != before.from) => {
                return Err(
                    "a stream that is there keeps its place; POST /v1/streams/{id}/replay sends again".to_owned()
                );
            }
            Some(before) => (before.from, before.begun_at, before.replays),
        };
        Ok(Stream { target, shape, filter, include_service, from, begun_at, replays })
    }
}

impl From {
    /// The moment that it stands for; `oldest` is when the oldest retained event was recorded.
    pub fn at(self, now: Instant, oldest: Instant) -> Instant {
        match self {
            Self::Now => now,
            Self::Oldest => oldest,
            Self::At(at) => at,
        }
    }
}

/// Reads `{"from": …}`, the body of a replay.
///
/// # Errors
/// All errors found.
pub fn read_replay(json: &str, zone: &str) -> Result<From, Vec<FieldError>> {
    object_reader::read_object(json, "", |mut fields| {
        let from = fields.required("from", |fields| read_from(fields, zone));
        fields.refuse_others();
        from
    })
}

fn read_from(fields: &mut Fields<'_>, zone: &str) -> Option<From> {
    let text = fields.text("from", NAME_BYTES)?;
    let read = match text.as_str() {
        "now" => Ok(From::Now),
        "oldest" => Ok(From::Oldest),
        other => time_zone::zone(zone)
            .and_then(|zone| time_zone::typed(other, &zone, Bound::Since))
            .map(From::At),
    };
    read.map_err(|detail| fields.fault("from", format!("must be now, oldest or a time: {detail}")))
        .ok()
}

fn read_target(mut fields: Fields<'_>, place: Place) -> Option<Target> {
    let kind = fields.required_word("kind")?;
    let target = match kind {
        Kind::Https => {
            let url = fields.required_text("url", URL_BYTES);
            if let Some(Err(detail)) = url.as_deref().map(|url| place.reach().judge(url)) {
                fields.fault("url", detail);
            }
            let names =
                fields.required("secrets", |fields| Some(fields.texts("secrets", MOST_SECRETS)));
            let mut secrets = Vec::new();
            for (at, name) in names.iter().flatten().enumerate() {
                match SecretName::read(name, place) {
                    Ok(name) if secrets.contains(&name) => {
                        fields.fault(&format!("secrets/{at}"), "is named twice")
                    }
                    Ok(name) => secrets.push(name),
                    Err(detail) => fields.fault(&format!("secrets/{at}"), detail),
                }
            }
            url.map(|url| Target::Https { url, secrets })
        }
        Kind::S3 => Some(Target::S3),
        Kind::EventBridge => Some(Target::EventBridge),
    };
    fields.refuse_others();
    target
}

impl Target {
    /// The secrets that sign requests: the pointer of each name in the stream, the name, and the
    /// address of the target.
    pub fn secrets(&self) -> Vec<(String, &SecretName, &str)> {
        match self {
            Self::Https { url, secrets } => {
                let each = |(at, name)| (format!("/target/secrets/{at}"), name, url.as_str());
                secrets.iter().enumerate().map(each).collect()
            }
            Self::S3 | Self::EventBridge => Vec::new(),
        }
    }

    /// The most that one batch may contain.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Https { .. } => Limits { events: 500, bytes: 1024 * 1024 },
            // Query engines are efficient with files of several megabytes.
            Self::S3 => Limits { events: 20_000, bytes: 8 * 1024 * 1024 },
            // Ten calls to the bus, so that the position is not stored after each one.
            Self::EventBridge => Limits { events: 100, bytes: 1024 * 1024 },
        }
    }
}

/// The stream as a reader sees it. Anyone who has the target's address may be able to write to it,
/// so only its host is shown, and a hash that tells addresses apart.
pub fn without_address(mut stream: Value) -> Value {
    let address = stream.pointer("/target/url").and_then(Value::as_str);
    if let Some((scheme, place)) = address.and_then(|url| url.split_once("://"))
        && let Some((host, path)) = place.split_once('/')
        && !path.is_empty()
    {
        let hash = Sha256::digest(place)
            .iter()
            .take(4)
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        stream["target"]["url"] = format!("{scheme}://{host}/… ({hash})").into();
    }
    stream
}

/// The most that one batch may contain. A single event always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub events: usize,
    /// The sum of the lengths of all events.
    pub bytes: usize,
}

impl Shape {
    /// The event in this format, as one line of JSON. A late event says so.
    pub fn written(self, recorded: &Recorded, is_late: bool) -> String {
        let late = LateEvent { recorded, late: true };
        match (self, is_late) {
            (Self::Native, false) => serde_json::to_string(recorded).unwrap_or_default(),
            (Self::Native, true) => serde_json::to_string(&late).unwrap_or_default(),
            (Self::Ocsf, false) => ocsf(recorded).to_string(),
            (Self::Ocsf, true) => {
                let mut event = ocsf(recorded);
                event["unmapped"] = json!(late);
                event.to_string()
            }
        }
    }
}

/// A late event in the format of the API.
#[derive(Serialize)]
struct LateEvent<'r> {
    #[serde(flatten)]
    recorded: &'r Recorded,
    late: bool,
}

/// An event to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: Instant,
    /// The feed's position after this event.
    pub place: FeedPlace,
    pub json: String,
}

/// Events for a target, in the order of the feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The events that match the stream's filter.
    pub events: Vec<Sent>,
    pub bytes: usize,
    /// The feed's position after the last event that was read, whether it matched or not.
    pub place: Option<FeedPlace>,
}

impl Batch {
    /// Whether an event of that length fits.
    pub fn has_room(&self, length: usize, limits: Limits) -> bool {
        self.events.is_empty()
            || (self.events.len() < limits.events && self.bytes + length <= limits.bytes)
    }

    pub fn push(&mut self, event: Sent) {
        self.bytes += event.json.len();
        self.place = Some(event.place.clone());
        self.events.push(event);
    }

    pub fn body(&self, tenant: &Tenant, stream: &str) -> String {
        let mut body = String::with_capacity(self.bytes + self.events.len() + 200);
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "{{\"stream\":{},\"tenant\":\"{tenant}\",\"events\":[",
            Value::from(stream)
        );
        for (place, event) in self.events.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            body.push_str(&event.json);
        }
        body.push_str("]}");
        body
    }

    /// The content of a file, one event a line.
    pub fn lines(&self) -> String {
        let mut lines = String::with_capacity(self.bytes + self.events.len());
        for event in &self.events {
            lines.push_str(&event.json);
            lines.push('\n');
        }
        lines
    }
}

/// The body of a test message.
pub fn test_body(tenant: &Tenant, stream: &str, asked_by: &str) -> Value {
    json!({
        "stream": stream, "tenant": tenant, "events": [], "test": true,
        "message": format!("Test message of Jit Audit, asked for by {asked_by}. Nothing is wrong."),
    })
}

/// The id of a message. A retry with the same content has the same id.
pub fn message_id(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex = digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("msg_{hex}")
}

/// The key of a file: tenant, stream, UTC day of recording, time of the first event, and a hash of
/// the content, so that no file overwrites another. A stream's id that is long or has other
/// characters than letters, digits, `_` and `-` is replaced by its hash.
pub fn file_key(tenant: &Tenant, stream: &str, batch: &Batch) -> Option<String> {
    let at = batch.events.first()?.at.to_string();
    let moment = at.replace([':', '-', '.'], "");
    let hash = message_id(batch.lines().as_bytes());
    Some(format!(
        "{}/day={}/{moment}-{}.jsonl.gz",
        folder(tenant, stream),
        at.get(..10)?,
        hash.get(4..20)?
    ))
}

/// The prefix of a stream's files.
pub fn folder(tenant: &Tenant, stream: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let name = match stream.len() <= 40 && stream.bytes().all(is_plain) {
        true => stream.to_owned(),
        false => message_id(stream.as_bytes()),
    };
    format!("tenant={tenant}/stream={name}")
}

/// How far a stream has been sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stream's `begun_at` when this position was stored. It tells whether a replay has made
    /// the position obsolete.
    #[serde(default)]
    pub begun_at: Option<Instant>,
    /// The position; none before the first event.
    #[serde(default, with = "position")]
    pub place: Option<Position>,
    /// The number of the last late event that was sent or did not match; none before the list of
    /// late events was first read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<u64>,
    /// Events that the target has accepted since the stream was created or replayed.
    #[serde(default)]
    pub sent: u64,
    /// When the target last accepted a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent_at: Option<Instant>,
    /// Consecutive failed attempts.
    #[serde(default)]
    pub attempts: u32,
    /// The last error, until an attempt succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the first of the consecutive failures occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Instant>,
    /// When the stream was reported as paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Instant>,
    /// How often it was paused: the round of its finding.
    #[serde(default)]
    pub pauses: u32,
    /// Maximum number of events of a batch, after the target said that batches are too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
    /// Whether events are collected for the next file, which is written when the stream is due.
    #[serde(default)]
    pub gathers: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// A test message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    pub state: TestState,
    pub asked_by: String,
    pub asked_at: Instant,
    /// When the target accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
    /// Why the target refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The delivery state of a test message. It is tried once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    Waiting,
    Sent,
    Failed,
}

mod position {
    use super::Position;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        place: &Option<Position>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match place {
            Some(place) => serializer.collect_str(place),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Position>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| text.parse().map_err(|()| serde::de::Error::custom("no place"));
        text.map(read).transpose()
    }
}

/// Why a target did not accept a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: String,
    /// The target's Retry-After.
    pub retry_after: Option<Duration>,
    /// Whether a smaller batch may be accepted.
    pub is_too_large: bool,
}

impl Progress {
    /// This progress, or a new one where the stream was replayed since.
    #[must_use]
    pub fn of(mut self, stream: &Stream) -> Self {
        if self.begun_at != Some(stream.begun_at) {
            self.begun_at = Some(stream.begun_at);
            self.place = None;
            self.late = None;
            self.sent = 0;
            self.most = None;
        }
        self
    }

    /// The position after which the next batch starts.
    pub fn after(&self, stream: &Stream) -> FeedPlace {
        let position = self.place.clone().unwrap_or_else(|| Position::before(stream.from));
        FeedPlace { position, late: self.late }
    }

    pub fn limits(&self, stream: &Stream) -> Limits {
        let limits = stream.target.limits();
        Limits { events: self.most.unwrap_or(limits.events).min(limits.events), ..limits }
    }

    /// Records that the target accepted `count` events and that everything up to `place` is done.
    pub fn took(&mut self, count: usize, place: Option<FeedPlace>, now: Instant) {
        if let Some(FeedPlace { position, late }) = place {
            self.place = Some(position).max(self.place.take());
            self.late = late.max(self.late);
        }
        if count > 0 {
            self.sent += u64::try_from(count).unwrap_or(u64::MAX);
            self.last_sent_at = Some(now);
            self.relieved();
            // The refusal of a large batch may have been a temporary error of the target: the limit
            // grows again, slowly.
            self.most =
                self.most.map(|most| if count >= most { most + most / 32 + 1 } else { most });
        }
    }

    /// Clears the failures.
    pub fn relieved(&mut self) {
        self.attempts = 0;
        self.error = None;
        self.failing_since = None;
    }

    /// Records that the target refused a batch of `count` events.
    pub fn refused(&mut self, refusal: &Refusal, count: usize, now: Instant) {
        self.attempts += 1;
        self.error = Some(refusal.error.clone());
        self.failing_since.get_or_insert(now);
        if refusal.is_too_large && count > 1 {
            self.most = Some(count / 2);
        }
    }

    /// The pause before the next attempt. `jitter` shortens it by at most half.
    pub fn pause(&self, refusal: &Refusal, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let asked = refusal.retry_after.map(|asked| asked.min(LONGEST_ASKED));
        BACKOFF.with_jitter(self.attempts, asked, jitter)
    }

    /// Whether the stream has to be reported as paused.
    pub fn is_to_be_paused(&self) -> bool {
        self.paused_at.is_none() && self.attempts >= TRIES
    }

    /// Whether the stream has to be reported as resumed.
    pub fn goes_on_again(&self) -> bool {
        self.paused_at.is_some() && self.attempts == 0
    }
}

/// A stream in an API response.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    id: String,
    #[serde(flatten)]
    stream: Stream,
    state: State,
    /// Everything recorded up to this time was sent or did not match the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Instant>,
    lag_ms: i64,
    sent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sent_at: Option<Instant>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Test>,
}

/// The delivery state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Events are sent as they are recorded.
    Running,
    /// The last attempt failed; the next one follows soon.
    Failing,
    /// Attempts have failed for a while and the stream was reported as paused; attempts continue.
    Paused,
}

impl Answered {
    /// The response for a stream. `oldest` is when the oldest event that is still to be read was
    /// recorded.
    pub fn new(
        id: &str,
        stream: &Stream,
        progress: Progress,
        due_at: Option<Instant>,
        oldest: Option<Instant>,
        now: Instant,
    ) -> Self {
        let Progress {
            place,
            sent,
            last_sent_at,
            attempts,
            error,
            failing_since,
            paused_at,
            test,
            ..
        } = progress;
        Self {
            id: id.to_owned(),
            stream: stream.clone(),
            state: match (paused_at, attempts) {
                (Some(_), _) => State::Paused,
                (None, 0) => State::Running,
                (None, _) => State::Failing,
            },
            place: place.map(|place| place.at),
            lag_ms: oldest.map_or(0, |oldest| (now.millis() - oldest.millis()).max(0)),
            sent,
            last_sent_at,
            attempts,
            error,
            failing_since,
            paused_at,
            next_try_at: due_at.filter(|_| attempts > 0),
            test,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
