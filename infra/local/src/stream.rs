//! The stream of a table: delivers records to a function in order, at least once, and stores its position.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use dynoxide::{
    Database,
    actions::{
        describe_stream::DescribeStreamRequest,
        get_records::{GetRecordsRequest, Record},
        get_shard_iterator::GetShardIteratorRequest,
        list_streams::ListStreamsRequest,
    },
};
use serde_json::{Value, json};
use shared::domain::time::backoff::Backoff;
use tokio::time::Instant;

use crate::{
    data::{DataError, Store},
    invoke::{self, Function, Lambda, since_epoch},
    plan::{REGION, Stream},
    stop::Stop,
};

/// The pause before an empty stream is read again.
const IDLE: Duration = Duration::from_millis(100);
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

/// Reads one stream for one function.
pub(crate) struct Reader {
    pub(crate) stream: Stream,
    pub(crate) table: String,
    pub(crate) database: Database,
    pub(crate) function: Arc<Function>,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) store: Arc<Store>,
    pub(crate) stop: Stop,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the stream cannot be read: {0}")]
    Engine(String),
    #[error(transparent)]
    Place(#[from] DataError),
}

impl From<dynoxide::DynoxideError> for ReadError {
    fn from(error: dynoxide::DynoxideError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// A record in the format of the function's event.
#[derive(Clone)]
struct Event {
    sequence: String,
    created: f64,
    length: usize,
    json: Value,
}

impl Reader {
    /// Reads until the stack stops.
    pub(crate) fn start(self) {
        let tasks = self.stop.tasks.clone();
        tasks.spawn(async move {
            let mut failures = 0;
            while !self.stop.soon.is_cancelled() {
                match self.read_on().await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!("{}: {error}", self.stream.name);
                        failures += 1;
                        self.rest(BACKOFF.after(failures)).await;
                    }
                }
            }
        });
    }

    async fn read_on(&self) -> Result<(), ReadError> {
        let mut position = self.position()?;
        let mut waiting: Vec<Event> = Vec::new();
        let mut since = Instant::now();
        while !self.stop.soon.is_cancelled() {
            // Reading continues after the waiting records. Their position is stored only after they are handled.
            let read = self
                .records(position.clone(), self.stream.batch - waiting.len().min(self.stream.batch))
                .await?;
            let idle = read.0.is_empty();
            position = read.1;
            if waiting.is_empty() {
                since = Instant::now();
            }
            waiting.extend(read.0);
            let full =
                waiting.len() >= self.stream.batch || total(&waiting) > invoke::LARGEST_EVENT / 2;
            if !waiting.is_empty() && (full || since.elapsed() >= self.stream.window) {
                while let Some(batch) = next_batch(&mut waiting, self.stream.batch) {
                    self.hand_over(batch).await?;
                    if self.stop.soon.is_cancelled() {
                        return Ok(());
                    }
                }
            } else if idle {
                self.rest(IDLE).await;
            }
        }
        Ok(())
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.soon.cancelled() => {}
        }
    }

    fn place_file(&self) -> String {
        format!("stream-{}", self.stream.name)
    }

    /// The position to read from: after the last handled record, or the starting position in the template.
    fn position(&self) -> Result<String, ReadError> {
        let kept = self.store.read(&self.place_file())?;
        let kept = kept.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let table_name = Some(self.table.clone());
        let streams = self
            .database
            .list_streams(ListStreamsRequest { table_name, ..ListStreamsRequest::default() })?;
        let stream_arn =
            streams.streams.into_iter().next().map(|stream| stream.stream_arn).unwrap_or_default();
        let request = DescribeStreamRequest {
            stream_arn: stream_arn.clone(),
            ..DescribeStreamRequest::default()
        };
        let shards = self.database.describe_stream(request)?.stream_description.shards;
        let shard =
            shards.into_iter().next().ok_or_else(|| ReadError::Engine("it has no shard".into()))?;
        let (kind, sequence_number) = match (kept, self.stream.from_start) {
            (Some(kept), _) => ("AFTER_SEQUENCE_NUMBER", Some(kept)),
            (None, true) => ("TRIM_HORIZON", None),
            (None, false) => {
                // The position is stored now, so that later records are also found after a restart.
                if let Some(last) = &shard.sequence_number_range.ending_sequence_number {
                    self.store.write(&self.place_file(), last.as_bytes())?;
                }
                ("LATEST", None)
            }
        };
        let request = GetShardIteratorRequest {
            stream_arn,
            shard_id: shard.shard_id,
            shard_iterator_type: kind.to_owned(),
            sequence_number,
        };
        let iterator = self.database.get_shard_iterator(request)?.shard_iterator;
        iterator.ok_or_else(|| ReadError::Engine("it returned no shard iterator".into()))
    }

    /// Reads the next records and the iterator after them.
    async fn records(
        &self,
        iterator: String,
        limit: usize,
    ) -> Result<(Vec<Event>, String), ReadError> {
        let (database, arn) = (self.database.clone(), self.stream.arn.clone());
        let read = tokio::task::spawn_blocking(move || {
            let request = GetRecordsRequest {
                shard_iterator: iterator.clone(),
                limit: Some(limit.clamp(1, 1000)),
            };
            let response = database.get_records(request)?;
            let events = response
                .records
                .into_iter()
                .map(|record| event(record, &arn))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((events, response.next_shard_iterator.unwrap_or(iterator)))
        });
        read.await.unwrap_or_else(|error| Err(ReadError::Engine(error.to_string())))
    }

    /// Delivers a batch until it succeeds or its retries are exhausted. It is bisected if the template says so.
    async fn hand_over(&self, batch: Vec<Event>) -> Result<(), ReadError> {
        // The parts to deliver. The next one is last.
        let mut parts = vec![batch];
        let (mut attempt, mut failures) = (0, 0);
        while let Some(mut part) = parts.pop() {
            let done = self.try_part(&part).await;
            if let Some(last) = done.checked_sub(1).and_then(|index| part.get(index)) {
                self.store.write(&self.place_file(), last.sequence.as_bytes())?;
                (attempt, failures) = (0, 0);
            }
            let mut left = part.split_off(done.min(part.len()));
            if left.is_empty() {
                continue;
            }
            attempt += 1;
            let now = since_epoch(SystemTime::now()).as_secs_f64();
            let oldest = self.stream.oldest.as_secs_f64();
            let worn_out = self.stream.retries.is_some_and(|retries| attempt > retries);
            let kept =
                left.iter().position(|event| now - event.created <= oldest).unwrap_or(left.len());
            let given_up =
                if worn_out && !(self.stream.bisect && left.len() > 1) { left.len() } else { kept };
            if given_up > 0 {
                let remaining = left.split_off(given_up);
                let (first, last) = (&left[0].sequence, &left[given_up - 1].sequence);
                tracing::error!(
                    "{}: {given_up} records ({first} to {last}) were dropped: retries exhausted or too old",
                    self.stream.name
                );
                self.store.write(&self.place_file(), last.as_bytes())?;
                (attempt, left) = (0, remaining);
            }
            if self.stream.bisect && left.len() > 1 {
                parts.push(left.split_off(left.len() / 2));
            }
            if !left.is_empty() {
                parts.push(left);
                failures += 1;
                self.rest(BACKOFF.after(failures)).await;
            }
            if self.stop.soon.is_cancelled() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Delivers a part and returns how many of its first records succeeded.
    async fn try_part(&self, part: &[Event]) -> usize {
        let is_wanted = |event: &&Event| {
            let wanted = self.stream.event_names.as_ref();
            wanted.is_none_or(|names| names.iter().any(|name| event.json["eventName"] == **name))
        };
        let records: Vec<&Value> = part.iter().filter(is_wanted).map(|event| &event.json).collect();
        if records.is_empty() {
            return part.len();
        }
        match self.lambda.run(&self.function, json!({"Records": records}), None).await {
            Ok(answer) if self.stream.reports_failures => {
                first_failure(part, &answer).unwrap_or(part.len())
            }
            Ok(_) => part.len(),
            Err(_) => 0,
        }
    }
}

/// The index of the first record that the function reports as failed. An unknown id means that all failed.
fn first_failure(part: &[Event], answer: &Value) -> Option<usize> {
    let failures = answer["batchItemFailures"].as_array()?;
    failures
        .iter()
        .map(|failure| {
            let identifier = failure["itemIdentifier"].as_str().unwrap_or_default();
            part.iter().position(|event| event.sequence == identifier).unwrap_or(0)
        })
        .min()
}

fn total(events: &[Event]) -> usize {
    events.iter().map(|event| event.length).sum()
}

/// Takes the next batch of waiting records, at most `most` records and at most the bytes of one event.
fn next_batch(waiting: &mut Vec<Event>, most: usize) -> Option<Vec<Event>> {
    let mut length = 1024;
    let fitting = waiting.iter().take(most).take_while(|event| {
        length += event.length + 1;
        length <= invoke::LARGEST_EVENT
    });
    let count = fitting.count().max(1).min(waiting.len());
    let rest = waiting.split_off(count);
    let batch = std::mem::replace(waiting, rest);
    (!batch.is_empty()).then_some(batch)
}

fn event(record: Record, arn: &str) -> Result<Event, ReadError> {
    let sequence = record.dynamodb.sequence_number.clone();
    let created = record.dynamodb.approximate_creation_date_time;
    let mut json =
        serde_json::to_value(record).map_err(|error| ReadError::Engine(error.to_string()))?;
    // Replaces the engine's region and adds the ARN of the stream, as in AWS events.
    json["awsRegion"] = REGION.into();
    json["eventSourceARN"] = arn.into();
    Ok(Event { sequence, created, length: invoke::length(&json), json })
}
