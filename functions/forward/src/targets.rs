//! Sends batches and test messages to each kind of target.

use shared::platform::environment;
use std::{io::Write as _, time::Duration};

use aws_types::SdkConfig;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use shared::{
    domain::{
        alerts::messages::eventbridge::BusEvent,
        configuration::application::SecretName,
        streams::{
            batch::{self, Batch, Limits, Sent},
            progress::Refusal,
            target::Target,
            webhook_signature,
        },
        time::timestamp::Instant,
        trail::event::Tenant,
    },
    platform::{
        aws_client::{Aws, CallError, not_taken},
        environment::{ConfigError, Variables},
        outbound_http::{NoAnswer, Outbound},
        s3::Bucket,
        secrets::{Purpose, Secrets},
    },
};
use tokio::time::Instant as Deadline;

/// Time limit of a POST.
const POST: Duration = Duration::from_secs(15);
/// Time limit of storing a file.
const FILE: Duration = Duration::from_secs(15);
/// Limits of one call to a bus (Amazon EventBridge, "PutEvents quotas": ten entries, 256 KiB).
const PUT_EVENTS: Limits = Limits { events: 10, bytes: 240 * 1024 };

/// The clients for targets.
#[derive(Debug)]
pub struct Targets {
    outbound: Outbound,
    secrets: Secrets,
    aws: Aws,
    bucket: Bucket,
    bus: String,
}

/// A batch that a target did not fully accept.
#[derive(Debug)]
pub struct NotTaken {
    /// How many of the batch's first events it accepted.
    pub taken: usize,
    /// Why it refused the others.
    pub refusal: Refusal,
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self { taken: 0, refusal }
    }
}

impl Targets {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub(crate) fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            outbound: Outbound::new(environment::place(variables)?.reach()),
            secrets: Secrets::new(variables, aws, Purpose::Stream)?,
            aws: Aws::new(aws),
            bucket: Bucket::new(aws, variables.text("STREAM_BUCKET")?),
            bus: variables.text("STREAM_BUS")?.to_owned(),
        })
    }

    /// Sends a batch that is not empty. After an error, the target may have accepted it anyway; it
    /// is then sent again.
    ///
    /// # Errors
    /// The number of accepted events, and the reason for the others.
    pub async fn send(
        &self,
        tenant: &Tenant,
        id: &str,
        target: &Target,
        batch: &Batch,
        now: Instant,
    ) -> Result<(), NotTaken> {
        match target {
            Target::Https { url, secrets } => self
                .post(tenant, url, secrets, batch.body(tenant, id), now)
                .await
                .map_err(NotTaken::from),
            Target::S3 => {
                let key = batch::file_key(tenant, id, batch).unwrap_or_default();
                self.store_file(&key, batch.lines().as_bytes()).await.map_err(NotTaken::from)
            }
            Target::EventBridge => {
                let mut taken = 0;
                while taken < batch.events.len() {
                    let mut call = Batch::default();
                    for event in &batch.events[taken..] {
                        if !call.has_room(event.json.len(), PUT_EVENTS) {
                            break;
                        }
                        call.push(event.clone());
                    }
                    let events: Vec<_> = call.events.iter().map(bus_event).collect();
                    let said = self.aws.put_events(&self.bus, &events).await;
                    let said = said.map_err(|error| NotTaken { taken, refusal: of_aws(error) })?;
                    taken += said.iter().take_while(|code| code.is_none()).count();
                    if let Some(code) = said.into_iter().flatten().next() {
                        return Err(NotTaken { taken, refusal: of_aws(not_taken(code)) });
                    }
                }
                Ok(())
            }
        }
    }

    /// Sends a test message.
    ///
    /// # Errors
    /// Why the target refused it.
    pub async fn test(
        &self,
        tenant: &Tenant,
        id: &str,
        target: &Target,
        asked_by: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        let body = batch::test_body(tenant, id, asked_by);
        match target {
            Target::Https { url, secrets } => {
                self.post(tenant, url, secrets, body.to_string(), now).await
            }
            Target::S3 => {
                let name = batch::message_id(format!("{now}{body}").as_bytes());
                let key = format!("{}/test/{name}.jsonl.gz", batch::folder(tenant, id));
                self.store_file(&key, format!("{body}\n").as_bytes()).await
            }
            Target::EventBridge => {
                let event = BusEvent { detail_type: "Test message", detail: body, time: now };
                self.aws.put_event(&self.bus, &event).await.map_err(of_aws)
            }
        }
    }

    /// Posts a body with a signature for each secret (Standard Webhooks 1.0).
    async fn post(
        &self,
        tenant: &Tenant,
        url: &str,
        secrets: &[SecretName],
        body: String,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut keys = Vec::with_capacity(secrets.len());
        for name in secrets {
            let secret =
                self.secrets.read(tenant, name).await.map_err(|failure| refused(failure.detail))?;
            let value = secret.for_url(url).map_err(|failure| refused(failure.detail))?;
            let key = webhook_signature::signing_key(value).map_err(|detail| {
                // The secret may have been corrected: the next attempt reads it again.
                self.secrets.forget(tenant, name);
                refused(format!("the secret {name} {detail}"))
            })?;
            keys.push(key);
        }
        let id = batch::message_id(body.as_bytes());
        let signature = webhook_signature::signature(&keys, &id, now.seconds(), &body);
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .header("user-agent", "jit-audit")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.seconds())
            .header("webhook-signature", signature)
            .body(body);
        let request =
            request.map_err(|error| refused(format!("the request cannot be sent: {error}")))?;
        let answer = self.outbound.send(request, POST).await.map_err(|error| match error {
            NoAnswer::Forbidden(detail) => refused(format!("the address is not allowed: {detail}")),
            NoAnswer::Broken(detail) => refused(format!("the target did not respond: {detail}")),
        })?;
        let status = answer.status;
        if (200..=299).contains(&status) {
            return Ok(());
        }
        if matches!(status, 401 | 403) {
            // The signature may use a secret that was replaced.
            secrets.iter().for_each(|name| self.secrets.forget(tenant, name));
        }
        let redirected =
            if (300..=399).contains(&status) { ", and redirects are not followed" } else { "" };
        Err(Refusal {
            error: format!("the target responded with {status}{redirected}"),
            retry_after: answer.retry_after(),
            is_too_large: status == 413,
        })
    }

    /// Stores lines as a file.
    async fn store_file(&self, key: &str, lines: &[u8]) -> Result<(), Refusal> {
        let mut file = GzEncoder::new(Vec::with_capacity(lines.len() / 8), Compression::default());
        let file = file.write_all(lines).and_then(|()| file.finish());
        let file = file.map_err(|error| refused(format!("the file cannot be made: {error}")))?;
        let stored = self
            .bucket
            .put(key, "application/gzip", Bytes::from(file), Deadline::now() + FILE)
            .await;
        stored.map_err(of_aws)
    }
}

fn bus_event(event: &Sent) -> BusEvent {
    BusEvent {
        detail_type: "Audit event",
        detail: serde_json::from_str::<Value>(&event.json).unwrap_or_default(),
        time: event.at,
    }
}

fn refused(error: String) -> Refusal {
    Refusal { error, retry_after: None, is_too_large: false }
}

fn of_aws(error: CallError) -> Refusal {
    refused(error.detail)
}
