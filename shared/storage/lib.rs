//! The storage: every question the system asks of its two tables, one file each.
//!
//! | file | question |
//! |---|---|
//! | [`keys`] | how a key is built; no other module builds one |
//! | [`event_item`] | how an event is stored as an item |
//! | [`dynamodb_json`] | what DynamoDB's JSON holds |
//! | [`item_size`] | whether an item fits |
//! | [`attributes`] | how attribute values are made and read |
//! | [`partitions`] | which items a partition of the state table holds |
//! | [`lease`] | what is due, and who works on it |
//! | [`insert_events`] | put these events into the trail, unless they are there |
//! | [`get_events`] | which events have these ids |
//! | [`list_events`] | which events, in which order, through which index |
//! | [`search_events`] | which events match this filter and these words |
//! | [`index_selection`] | which index is the narrowest that cannot miss one |
//! | [`event_days`] | on which days a tenant has events |
//! | [`feed`] | what was recorded since a place |
//! | [`feed_gate`] | how far the feed may read |
//! | [`late_events`] | which events a reader of the feed may have missed |
//! | [`transaction`] | put this event into the trail and change state with it, or neither |
//! | [`documents`] | what is configured: settings, people, applications, packages, organisations, streams, saved searches |
//! | [`projections`] | what is computed from events: by key, and in lists |
//! | [`due_projections`] | which of it is due for another look |
//! | [`capacity`] | how many of something a tenant may have, and who has them |
//! | [`read_audit`] | which readings of the hour are on record |
//! | [`deployment_retention`] | which retention the deployment has, and which it had before |

pub mod attributes;
pub mod capacity;
pub mod deployment_retention;
pub mod documents;
pub mod due_projections;
pub mod dynamodb_json;
pub mod event_days;
pub mod event_item;
pub mod feed;
pub mod feed_gate;
pub mod get_events;
pub mod index_selection;
pub mod insert_events;
pub mod item_size;
pub mod keys;
pub mod late_events;
pub mod lease;
pub mod list_events;
pub mod partitions;
pub mod projections;
pub mod read_audit;
pub mod search_events;
pub mod transaction;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    types::AttributeValue,
};
use aws_types::SdkConfig;
use tokio::time::Instant as Deadline;

use shared_domain::{
    configuration::{document::Document, settings::Settings},
    time::{time_zone, timestamp::Instant},
    trail::event::{Digest, Event, Recorded, RecordedBy, Tenant},
};
use shared_platform::{
    backoff::{Pauses, Unavailable},
    clock::Clock,
    environment::{ConfigError, Variables},
};

#[derive(Clone, Debug)]
pub struct Database {
    pub client: Client,
    events: String,
    pub state: String,
    /// Time limit of one write attempt. An abandoned attempt may still be stored, with the time
    /// with which it was stamped. The feed ends `FeedLag` ago, so readers cannot have passed that
    /// time.
    attempt: Duration,
    feed_lag: Duration,
    /// The template's settings.
    settings: Settings,
    /// The same with longer retentions that the deployment had before, once they are read from the
    /// state table.
    kept_settings: Arc<OnceLock<Settings>>,
    pub clock: Clock,
    days: event_days::Known,
    /// Cache of the readers whose access is recorded.
    pub remembered: Arc<read_audit::Remembered>,
}

/// One tenant's data in one request.
#[derive(Clone, Debug)]
pub struct TenantScope<'s> {
    pub database: &'s Database,
    pub tenant: Tenant,
    /// The tenant's settings, or otherwise the deployment's.
    pub settings: Settings,
    /// Whether the tenant has its own settings.
    has_chosen: bool,
    /// The time at which the request began.
    pub now: Instant,
    /// When the request stops.
    pub deadline: Deadline,
}

/// Time limit of one call, which is then repeated: a hanging connection must not use up the time of
/// a request.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(5);

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A retry may succeed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// An item does not have the format of this service.
    #[error(transparent)]
    Damaged(#[from] event_item::Damaged),
    /// The data fits into no item; a retry cannot succeed.
    #[error(transparent)]
    TooLarge(#[from] item_size::TooLarge),
}

impl Database {
    /// Creates a client of the tables that the environment names.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        let feed_lag = Duration::from_secs(variables.parsed("FEED_LAG_SECONDS")?);
        let zone = variables.text("ZONE")?.to_owned();
        time_zone::zone(&zone).map_err(|problem| ConfigError { name: "ZONE", problem })?;
        let settings = Settings {
            retention_days: variables.parsed("RETENTION_DAYS")?,
            zone,
            ..Settings::default()
        };
        let config = aws_sdk_dynamodb::config::Builder::from(aws)
            // Each attempt gets a new time stamp, so the SDK must not repeat one.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(Duration::from_secs(2)).build(),
            )
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            events: variables.text("EVENTS_TABLE")?.to_owned(),
            state: variables.text("STATE_TABLE")?.to_owned(),
            attempt: (feed_lag * 7 / 10).min(LONGEST_ATTEMPT),
            feed_lag,
            settings,
            kept_settings: Arc::default(),
            clock: Clock::default(),
            days: event_days::Known::default(),
            remembered: Arc::default(),
        })
    }

    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn default_settings(&self) -> &Settings {
        &self.settings
    }

    /// The tenant's scope for a request that began at `now` and stops at `deadline`. The settings
    /// are read for each request.
    pub async fn scope(
        &self,
        tenant: &Tenant,
        now: Instant,
        deadline: Deadline,
    ) -> Result<TenantScope<'_>, ReadError> {
        let settings = self.settings.clone();
        let mut scope = TenantScope {
            database: self,
            tenant: tenant.clone(),
            settings,
            has_chosen: false,
            now,
            deadline,
        };
        let chosen = scope.document(Settings::KIND, Settings::ID);
        let (chosen, own) = futures::join!(chosen, self.own_settings(now, deadline));
        match chosen?.map(|chosen| chosen.read()).transpose()?.flatten() {
            Some(chosen) => {
                scope.settings = chosen;
                scope.has_chosen = true;
            }
            None => scope.settings = own?,
        }
        Ok(scope)
    }

    /// A page of a queue's items that are due at a time, the earliest first, at most `limit`.
    pub async fn due_page(
        &self,
        queue: &str,
        until: Instant,
        limit: Option<i32>,
        start: Option<dynamodb_json::Key>,
        deadline: Deadline,
    ) -> Result<dynamodb_json::Page, Unavailable> {
        let call = self
            .client
            .query()
            .table_name(&self.state)
            .index_name("due")
            .key_condition_expression("due = :due AND due_at <= :until")
            .expression_attribute_values(":due", AttributeValue::S(queue.to_owned()))
            .expression_attribute_values(":until", AttributeValue::S(until.to_string()))
            .set_limit(limit)
            .set_exclusive_start_key(start);
        retry(deadline, || dynamodb_json::query(call.clone())).await
    }

    pub async fn state_item(
        &self,
        pk: String,
        sk: &str,
        deadline: Deadline,
    ) -> Result<Option<event_item::Item>, Unavailable> {
        if !item_size::is_key(&pk, sk) {
            return Ok(None);
        }
        let call = self
            .client
            .get_item()
            .table_name(&self.state)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk.to_owned()))
            .consistent_read(true);
        Ok(retry(deadline, || call.clone().send()).await?.item.map(event_item::Item::from))
    }
}

impl TenantScope<'_> {
    /// The same scope with another time and deadline, and the settings that were read.
    #[must_use]
    pub fn at(&self, now: Instant, deadline: Deadline) -> Self {
        Self { now, deadline, ..self.clone() }
    }

    /// The time by which the feed is behind.
    pub fn feed_lag(&self) -> Duration {
        self.database.feed_lag
    }

    /// Whether an event is within its retention, as fixed when it was stored. DynamoDB removes
    /// expired items up to days later.
    fn shows(&self, recorded: &Recorded) -> bool {
        self.now < recorded.expires_at && self.oldest() <= recorded.event.occurred_at
    }

    /// The earliest time of an event that is not past its retention.
    pub fn oldest(&self) -> Instant {
        self.now.minus(self.settings.reach(self.now))
    }

    /// When an event that is recorded now expires.
    fn expiry(&self, event: &Event) -> Instant {
        // DynamoDB's TTL has a resolution of seconds; the last second is kept.
        Instant::from_millis(
            (event.occurred_at.plus(self.settings.kept_at(self.now)).seconds() + 1) * 1000,
        )
    }

    pub fn recorded(
        &self,
        event: Event,
        digest: Digest,
        recorded_by: &RecordedBy,
        recorded_at: Instant,
    ) -> Recorded {
        let expires_at = self.expiry(&event);
        Recorded {
            event,
            recorded_at,
            recorded_by: recorded_by.clone(),
            digest,
            opened: None,
            expires_at,
        }
    }
}

/// Calls `call` until it succeeds, fails with a final error, or the deadline passes.
pub async fn retry<T, E, R, Call>(
    deadline: Deadline,
    mut call: impl FnMut() -> Call,
) -> Result<T, Unavailable>
where
    Call: Future<Output = Result<T, SdkError<E, R>>>,
    SdkError<E, R>: std::error::Error + ProvideErrorMetadata,
{
    let mut pauses = Pauses::until(deadline);
    loop {
        let until = deadline.min(Deadline::now() + LONGEST_ATTEMPT);
        let failure = match tokio::time::timeout_at(until, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if is_final(&error) => {
                let failure = described(&error);
                tracing::error!(%failure, "the storage refuses a call: {failure}");
                return Err(Unavailable(failure));
            }
            Ok(Err(error)) => described(&error),
            Err(_) => format!("no response within {LONGEST_ATTEMPT:?} or the request's time"),
        };
        tracing::warn!(%failure, "the storage failed: {failure}");
        if !pauses.pause().await {
            return Err(Unavailable(failure));
        }
    }
}

/// Whether a retry cannot succeed: an error in our request, or a missing permission.
fn is_final(error: &impl ProvideErrorMetadata) -> bool {
    matches!(
        error.code(),
        Some("ValidationException" | "AccessDeniedException" | "ResourceNotFoundException")
    )
}

/// An SDK error with its causes, on one line.
fn described(error: &dyn std::error::Error) -> String {
    aws_smithy_types::error::display::DisplayErrorContext(error).to_string().replace('\n', " ")
}
