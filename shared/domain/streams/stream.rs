//! Streams: the trail sent on to somebody else as it is recorded. Pure: nothing here reads a trail or sends anything.
//!
//! A stream has a place in the trail: what was recorded up to there was sent, or was not wanted. The place moves only when the target has taken
//! what stands before it, so nothing is left out, and after a failure something may be sent again.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    configuration::application::{Place, SecretName},
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    time::{
        time_zone::{self, Bound},
        timestamp::Instant,
    },
    trail::{
        event::{Recorded, Tenant},
        filter::Filter,
        ocsf::ocsf,
        position::{FeedPlace, Position},
    },
};

/// Most streams of a tenant.
pub const MOST_STREAMS: usize = 25;
/// Most secrets of a stream: the one that is used, the one that comes, the one that goes.
const MOST_SECRETS: usize = 3;
/// Longest address, in bytes.
const URL_BYTES: usize = 1024;
/// The rule whose finding says that a stream is paused.
pub const PAUSED: &str = "stream.paused";

/// Failed tries in a row after which a stream counts as paused.
pub const TRIES: u32 = 5;
/// The longest that a target may ask to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// The longest pause between tries otherwise: so long a target may answer again and not be asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What is sent to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// To whom.
    pub target: Target,
    /// In which shape.
    pub shape: Shape,
    /// Which events; all where it says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Whether the service's own events are sent too.
    pub include_service: bool,
    /// What was recorded from then on is sent.
    pub from: Instant,
    /// When somebody said so: when the stream was made, or was told to send again.
    pub begun_at: Instant,
    /// How often it was told to send again.
    pub replays: u32,
}

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// An address that takes batches by POST, signed.
    Https {
        /// The address.
        url: String,
        /// The names of the secrets that each request is signed by. A receiver takes one that is signed by the secret it knows, so a secret is
        /// replaced by naming the new one beside the old one for a while.
        secrets: Vec<SecretName>,
    },
    /// The deployment's own bucket for streams. A tenant names no bucket: with this service's rights it could name anybody's.
    S3,
    /// The deployment's own event bus.
    #[serde(rename = "eventbridge")]
    EventBridge,
}

/// In which shape events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// As the API answers them.
    Native,
    /// As events of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// The kinds of target, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Https,
    S3,
    EventBridge,
}

/// From where on a new stream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From the moment it is made.
    Now,
    /// From the oldest event that is kept.
    Oldest,
    /// From a time.
    At(Instant),
}

/// What a caller wants a stream to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    target: Target,
    shape: Shape,
    filter: Option<String>,
    include_service: bool,
    /// From where on, where the caller says so.
    pub from: Option<From>,
}

impl Asked {
    /// Where it is to go.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reads the body of a PUT. `zone` is that in which a time without an offset is read.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str, place: Place, zone: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let target =
                fields.required_object("target").and_then(|fields| read_target(fields, place));
            let shape = fields.word("shape", &[("native", Shape::Native), ("ocsf", Shape::Ocsf)]);
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

    /// The stream it becomes, where `before` is there or is not.
    ///
    /// # Errors
    /// A sentence: one that is there keeps its place.
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
    /// The moment it means.
    pub fn at(self, now: Instant, oldest: Instant) -> Instant {
        match self {
            Self::Now => now,
            Self::Oldest => oldest,
            Self::At(at) => at,
        }
    }
}

/// Reads `{"from": …}`, which says from where on a stream is to send again.
///
/// # Errors
/// Everything that is wrong with it.
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
    let kinds = [("https", Kind::Https), ("s3", Kind::S3), ("eventbridge", Kind::EventBridge)];
    let kind = fields.required_word("kind", &kinds)?;
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
    /// The secrets that it is sent by: where each name stands in the stream, the name, and the address that is signed for.
    pub fn secrets(&self) -> Vec<(String, &SecretName, &str)> {
        match self {
            Self::Https { url, secrets } => {
                let each = |(at, name)| (format!("/target/secrets/{at}"), name, url.as_str());
                secrets.iter().enumerate().map(each).collect()
            }
            Self::S3 | Self::EventBridge => Vec::new(),
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Https { .. } => "https",
            Self::S3 => "s3",
            Self::EventBridge => "eventbridge",
        }
    }

    /// What one batch may hold.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Https { .. } => Limits { events: 500, bytes: 1024 * 1024 },
            // Files that a query engine reads well are of some megabytes.
            Self::S3 => Limits { events: 20_000, bytes: 8 * 1024 * 1024 },
            // Ten calls, so that the place is not written with each.
            Self::EventBridge => Limits { events: 100, bytes: 1024 * 1024 },
        }
    }
}

/// A stream as whoever may read sees it: its address may be one that lets everybody in who knows it, so only the host of it is there, and a hash
/// that tells one address from another.
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

/// What one batch may hold. One event always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events.
    pub events: usize,
    /// Most bytes of them together.
    pub bytes: usize,
}

impl Shape {
    /// An event in this shape, as JSON on one line. One that comes late says so.
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

/// An event that comes late, as it is answered.
#[derive(Serialize)]
struct LateEvent<'r> {
    #[serde(flatten)]
    recorded: &'r Recorded,
    late: bool,
}

/// An event for a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// When it was recorded.
    pub at: Instant,
    /// The place in the feed behind it.
    pub place: FeedPlace,
    /// The event as it is sent.
    pub json: String,
}

/// Events for a target, in the order of the feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Those that are wanted.
    pub events: Vec<Sent>,
    /// Bytes of that.
    pub bytes: usize,
    /// How far the trail was looked at, those that are not wanted included.
    pub place: Option<FeedPlace>,
}

impl Batch {
    /// Whether one more of that length fits.
    pub fn has_room(&self, length: usize, limits: Limits) -> bool {
        self.events.is_empty()
            || (self.events.len() < limits.events && self.bytes + length <= limits.bytes)
    }

    /// Takes one.
    pub fn push(&mut self, event: Sent) {
        self.bytes += event.json.len();
        self.place = Some(event.place.clone());
        self.events.push(event);
    }

    /// The body of a POST: `{"stream": …, "tenant": …, "events": […]}`.
    pub fn body(&self, tenant: &Tenant, stream: &str) -> String {
        let mut body = String::with_capacity(self.bytes + self.events.len() + 200);
        // Writing to a string does not fail.
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

    /// The lines of a file.
    pub fn lines(&self) -> String {
        let mut lines = String::with_capacity(self.bytes + self.events.len());
        for event in &self.events {
            lines.push_str(&event.json);
            lines.push('\n');
        }
        lines
    }
}

/// The body that tries a target out.
pub fn test_body(tenant: &Tenant, stream: &str, asked_by: &str) -> Value {
    json!({
        "stream": stream, "tenant": tenant, "events": [], "test": true,
        "message": format!("Test message of Jit Audit, asked for by {asked_by}. Nothing is wrong."),
    })
}

/// The id of a message: the same content sent again has the same.
pub fn message_id(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex = digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("msg_{hex}")
}

/// A key that requests are signed by: a secret's text, `whsec_` and 24 to 64 bytes as base64, as Standard Webhooks has it ("Signature scheme").
///
/// # Errors
/// A sentence that says nothing of the secret.
pub fn signing_key(secret: &str) -> Result<Vec<u8>, String> {
    let key =
        secret.trim().strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
    key.filter(|key| (24..=64).contains(&key.len())).ok_or_else(|| {
        "does not hold whsec_ and the base64 of 24 to 64 bytes; make one with: echo whsec_$(openssl rand -base64 32)".to_owned()
    })
}

/// The header `webhook-signature` of Standard Webhooks 1.0: for each key `v1,` and the base64 of the HMAC-SHA256 over id, timestamp (seconds since
/// 1970) and body, with spaces between them.
pub fn signature(keys: &[Vec<u8>], id: &str, timestamp: i64, body: &str) -> String {
    let signed = keys.iter().filter_map(|key| {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    });
    signed.collect::<Vec<_>>().join(" ")
}

/// The key of a file: tenant, stream, UTC day of recording, the moment of its first event, and a hash of what it holds, so that nothing ever
/// replaces a file by another. Of the stream's id, what a key can hold and, where that is not all of it, a hash.
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

/// Where the files of a stream are.
pub fn folder(tenant: &Tenant, stream: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let name = match stream.len() <= 40 && stream.bytes().all(is_plain) {
        true => stream.to_owned(),
        false => message_id(stream.as_bytes()),
    };
    format!("tenant={tenant}/stream={name}")
}

/// How far a stream is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Which beginning the place belongs to: the stream's `begun_at`.
    #[serde(default)]
    pub begun_at: Option<Instant>,
    /// The place; none before the first event.
    #[serde(default, with = "position")]
    pub place: Option<Position>,
    /// The number of the last late event that was sent or is not wanted; none before the list was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<u64>,
    /// Events that the target has taken since the beginning.
    #[serde(default)]
    pub sent: u64,
    /// When it took something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent_at: Option<Instant>,
    /// Failed tries in a row.
    #[serde(default)]
    pub attempts: u32,
    /// What went wrong last, while nothing went right since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the first of the failed tries was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Instant>,
    /// When it was told that the stream is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Instant>,
    /// How often it was paused; rounds of its finding.
    #[serde(default)]
    pub pauses: u32,
    /// Most events in a batch, where the target said that batches are too large for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
    /// Whether events gather for the next file, which is made when the stream is due.
    #[serde(default)]
    pub gathers: bool,
    /// The last test message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// A test message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// What became of it.
    pub state: TestState,
    /// Who asked for it.
    pub asked_by: String,
    /// When.
    pub asked_at: Instant,
    /// When the target took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a test message. It is tried once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    /// It will be sent.
    Waiting,
    /// The target took it.
    Sent,
    /// The target did not take it.
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

/// Why a target did not take something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, for a person.
    pub error: String,
    /// How long the target asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether a smaller batch may be taken.
    pub is_too_large: bool,
}

impl Progress {
    /// This progress for a stream, which may have been told to begin again.
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

    /// The place that what follows stands behind.
    pub fn after(&self, stream: &Stream) -> FeedPlace {
        let position = self.place.clone().unwrap_or_else(|| Position::before(stream.from));
        FeedPlace { position, late: self.late }
    }

    /// The limits of the next batch.
    pub fn limits(&self, stream: &Stream) -> Limits {
        let limits = stream.target.limits();
        Limits { events: self.most.unwrap_or(limits.events).min(limits.events), ..limits }
    }

    /// The target took `count` events, and all up to `place` is done.
    pub fn took(&mut self, count: usize, place: Option<FeedPlace>, now: Instant) {
        if let Some(FeedPlace { position, late }) = place {
            self.place = Some(position).max(self.place.take());
            self.late = late.max(self.late);
        }
        if count > 0 {
            self.sent += u64::try_from(count).unwrap_or(u64::MAX);
            self.last_sent_at = Some(now);
            self.relieved();
            // What was too large once may have been somebody's mistake in between: batches grow again, slowly.
            self.most =
                self.most.map(|most| if count >= most { most + most / 32 + 1 } else { most });
        }
    }

    /// Nothing is left of what was not taken.
    pub fn relieved(&mut self) {
        self.attempts = 0;
        self.error = None;
        self.failing_since = None;
    }

    /// A batch of `count` events was not taken.
    pub fn refused(&mut self, refusal: &Refusal, count: usize, now: Instant) {
        self.attempts += 1;
        self.error = Some(refusal.error.clone());
        self.failing_since.get_or_insert(now);
        if refusal.is_too_large && count > 1 {
            self.most = Some(count / 2);
        }
    }

    /// How long to wait for the next try after that. `jitter` shortens a pause by up to its half.
    pub fn pause(&self, refusal: &Refusal, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let doubled =
            Duration::from_secs(2_u64.saturating_pow(self.attempts.saturating_sub(1).min(16)));
        let pause = doubled.min(LONGEST_PAUSE);
        let pause = pause - jitter(pause / 2);
        pause.max(refusal.retry_after.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// Whether it is to be told that the stream is paused.
    pub fn is_to_be_paused(&self) -> bool {
        self.paused_at.is_none() && self.attempts >= TRIES
    }

    /// Whether it is to be told that the stream goes on.
    pub fn goes_on_again(&self) -> bool {
        self.paused_at.is_some() && self.attempts == 0
    }
}

/// A stream as it is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    id: String,
    #[serde(flatten)]
    stream: Stream,
    state: State,
    /// What was recorded up to then was sent or is not wanted.
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

/// How a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// What is recorded is sent.
    Running,
    /// The target did not take something, and is tried again soon.
    Failing,
    /// It did not for a while, which was told; it is tried again all the same.
    Paused,
}

impl Answered {
    /// A stream as it is answered. `oldest` is when the oldest event was recorded that it has still to look at.
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
