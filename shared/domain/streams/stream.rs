//! Streams: forwarding of the audit trail to another system as events are recorded. This module
//! does no I/O.
//!
//! A stream stores its position in the trail. Everything recorded before the position was sent or
//! did not match the filter. The position advances only after the target has accepted the events
//! before it: no event is lost, and after a failure an event may be sent again.

mod schema;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{EnumString, VariantNames};

use crate::{
    configuration::{
        application::Place,
        document::Document,
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly},
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    streams::{
        progress::{Progress, Test},
        target::{Target, read_target, without_address},
    },
    time::{
        time_zone::{self, Bound},
        timestamp::Instant,
    },
    trail::{actions::ConfigurationAction, event::Recorded, filter::Filter, ocsf::ocsf},
};

pub use schema::{ReplayRequest, StreamRequest};

/// Maximum number of streams of a tenant.
pub const MOST_STREAMS: usize = 25;
/// What the member `target` holds.
const TARGET: &str = "where the events are sent, as {\"kind\": \"https\", \"url\": …, \"secrets\": […]}, {\"kind\": \"s3\"} or {\"kind\": \"eventbridge\"}";
/// The rule of the finding about a paused stream.
pub const PAUSED: &str = "stream.paused";

/// A configured stream: what is sent to which target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    pub target: Target,
    pub shape: Shape,
    /// The filter for the events that are sent. Absent if all events are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Whether the service's own events are sent.
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
    const READ_ONLY: &'static [ReadOnly] = &[
        ID,
        ReadOnly::text("begun_at"),
        ReadOnly::whole("replays"),
        ReadOnly::measured_text("state"),
        ReadOnly::measured_text("place"),
        ReadOnly::measured_whole("lag_ms"),
        ReadOnly::measured_whole("sent"),
        ReadOnly::measured_text("last_sent_at"),
        ReadOnly::measured_whole("attempts"),
        ReadOnly::measured_text("error"),
        ReadOnly::measured_text("failing_since"),
        ReadOnly::measured_text("paused_at"),
        ReadOnly::measured_text("next_try_at"),
        ReadOnly::measured_object("test"),
    ];

    fn public(content: Value) -> Value {
        without_address(content)
    }
}

/// The format of the events that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StreamShape")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Shape {
    /// Events as the API returns them.
    Native,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
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
pub struct RequestedStream {
    target: Target,
    shape: Shape,
    filter: Option<String>,
    include_service: bool,
    /// The start, if the caller states one.
    pub from: Option<From>,
}

impl RequestedStream {
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reads the body of a PUT. Times without an offset are in `zone`.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str, place: Place, zone: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Stream::READ_ONLY);
            let target = fields
                .required_object("target", TARGET)
                .and_then(|fields| read_target(fields, place));
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
                    "an existing stream keeps its position; to send events again, use POST /v1/streams/{id}/replay".to_owned()
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

/// A stream: its configuration, and how far it has been sent.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StreamAnswer {
    /// The id in the address of the stream.
    pub id: String,
    #[serde(flatten)]
    pub stream: Stream,
    pub state: StreamState,
    /// Everything recorded up to this time was sent or did not match the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Instant>,
    /// How long ago the oldest event that is still to be sent was recorded, in milliseconds; 0 if
    /// there is none.
    pub lag_ms: i64,
    /// The number of events that the target has accepted since the stream was created or replayed.
    pub sent: u64,
    /// When the target last accepted events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sent_at: Option<Instant>,
    /// The number of consecutive failed attempts.
    pub attempts: u32,
    /// The last error, until an attempt succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the first of the consecutive failures occurred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Instant>,
    /// When the stream was reported as paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Instant>,
    /// When the next attempt follows, after a failed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Instant>,
    /// The last test message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// The delivery state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// Events are sent as they are recorded.
    Running,
    /// The last attempt failed; the next one follows soon.
    Failing,
    /// Attempts have failed for a while and the stream was reported as paused; attempts continue.
    Paused,
}

impl StreamAnswer {
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
                (Some(_), _) => StreamState::Paused,
                (None, 0) => StreamState::Running,
                (None, _) => StreamState::Failing,
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

    /// The answer for a reader who may not see the address of the target.
    #[must_use]
    pub fn without_address(mut self) -> Self {
        self.stream.target = self.stream.target.without_address();
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
