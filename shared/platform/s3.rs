//! Files in S3: stored whole or in parts, each with a checksum that S3 verifies, and links to them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_sdk_s3::{
    Client, Config,
    config::{
        Builder, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig,
        retry::{ReconnectMode, RetryConfig},
    },
    error::{ProvideErrorMetadata, SdkError},
    presigning::PresigningConfig,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_types::SdkConfig;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use sha2::{Digest, Sha256};
use tokio::time::Instant as Deadline;

use crate::{
    aws_client::{CallError, endpoint, passing},
    backoff::Pauses,
};
use shared_domain::exports::export_files::Part;

/// Minimum size of a part in bytes, except the last (Amazon S3 user guide, "Amazon S3 multipart upload limits").
pub const SMALLEST_PART: usize = 5 * 1024 * 1024;
/// Time limit of a call with a small body.
const TIME: Duration = Duration::from_secs(10);
/// Time limit of uploading a part.
const TIME_OF_PART: Duration = Duration::from_secs(60);
/// Time limit of completing an upload.
const TIME_OF_WHOLE: Duration = Duration::from_secs(300);
/// Maximum size of a file that is read: smaller than two parts.
const LARGEST: usize = 8 * 1024 * 1024;

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    name: String,
    config: Config,
    /// Created at the first call: it reads all root certificates, which a cold start should not
    /// wait for.
    client: Arc<OnceLock<Client>>,
}

impl Bucket {
    pub fn new(aws: &SdkConfig, name: &str) -> Self {
        let config = Builder::from(aws)
            // A server other than AWS's may have no host name for each bucket.
            .force_path_style(endpoint(aws, "S3").is_some())
            // `call` retries, because it knows the deadline; it also limits each attempt.
            .retry_config(
                RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Uploads carry a SHA-256; a CRC would read the body once more.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self { name: name.to_owned(), config, client: Arc::default() }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::from_conf(self.config.clone()))
    }

    /// Creates the bucket. On AWS the template does that.
    pub async fn create(&self, deadline: Deadline) -> Result<(), CallError> {
        attempts(TIME, deadline, || async {
            let request = self.client().create_bucket().bucket(&self.name);
            request.send().await.map(drop).map_err(failure)
        })
        .await
    }

    /// Stores a file in one call.
    ///
    /// # Errors
    /// After an error, the file may or may not be stored.
    pub async fn put(
        &self,
        key: &str,
        media_type: &str,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let sha256 = checksum(&body);
        attempts(TIME_OF_PART, deadline, || async {
            let request = self.client().put_object().bucket(&self.name).key(key);
            let request = request.content_type(media_type).checksum_sha256(&sha256);
            request.body(body.clone().into()).send().await.map(drop).map_err(failure)
        })
        .await
    }

    /// Reads a file of 8 MiB at most.
    pub async fn get(&self, key: &str, deadline: Deadline) -> Result<Bytes, CallError> {
        attempts(TIME, deadline, || async {
            let request = self.client().get_object().bucket(&self.name).key(key);
            let body = request.send().await.map_err(failure)?.body.into_inner();
            let body = Limited::new(body, LARGEST).collect().await;
            Ok(body.map_err(|error| passing("S3", &error))?.to_bytes())
        })
        .await
    }

    /// Deletes a file. A missing file is not an error.
    pub async fn delete(&self, key: &str, deadline: Deadline) -> Result<(), CallError> {
        let deleted = attempts(TIME, deadline, || async {
            let request = self.client().delete_object().bucket(&self.name).key(key);
            request.send().await.map(drop).map_err(failure)
        });
        match deleted.await {
            Err(error) if error.code != "NoSuchKey" => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Begins a multipart upload and returns its id.
    pub async fn begin_upload(
        &self,
        key: &str,
        media_type: &str,
        deadline: Deadline,
    ) -> Result<String, CallError> {
        attempts(TIME, deadline, || async {
            let request = self.client().create_multipart_upload().bucket(&self.name).key(key);
            let request =
                request.content_type(media_type).checksum_algorithm(ChecksumAlgorithm::Sha256);
            let begun = request.send().await.map_err(failure)?;
            begun.upload_id.ok_or_else(|| passing("S3", &"the answer names no upload"))
        })
        .await
    }

    /// Uploads a part. The first part has the number 1.
    pub async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Part, CallError> {
        let sha256 = checksum(&body);
        let etag = attempts(TIME_OF_PART, deadline, || async {
            let request = self.client().upload_part().bucket(&self.name).key(key);
            let request = request.upload_id(upload).part_number(part_number(number));
            let request = request.checksum_sha256(&sha256).body(body.clone().into());
            let uploaded = request.send().await.map_err(failure)?;
            uploaded.e_tag.ok_or_else(|| passing("S3", &"the answer has no ETag"))
        });
        Ok(Part { etag: etag.await?, sha256 })
    }

    /// Completes an upload. Nothing else may ever write to its key.
    ///
    /// # Errors
    /// `NoSuchUpload` if the upload is gone, `InvalidPart` if a part differs. After any other
    /// error, the file may or may not exist.
    pub async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let parts = parts.iter().enumerate().map(|(place, Part { etag, sha256 })| {
            let part = CompletedPart::builder().part_number(part_number(place + 1));
            part.e_tag(etag).checksum_sha256(sha256).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let completed = attempts(TIME_OF_WHOLE, deadline, || async {
            let request = self.client().complete_multipart_upload().bucket(&self.name).key(key);
            let request = request.upload_id(upload).multipart_upload(parts.clone());
            request.send().await.map(drop).map_err(failure)
        });
        match completed.await {
            // An earlier attempt without an answer completed it. (Without the permission to list,
            // S3 answers a missing upload with AccessDenied.)
            Err(error) if matches!(error.code.as_str(), "NoSuchUpload" | "AccessDenied") => {
                let there = attempts(TIME, deadline, || async {
                    let request = self.client().head_object().bucket(&self.name).key(key);
                    request.send().await.map(drop).map_err(failure)
                });
                there.await.map_err(|_| error)
            }
            completed => completed,
        }
    }

    /// Aborts an upload and deletes its parts. A missing upload is not an error.
    pub async fn abort_upload(
        &self,
        key: &str,
        upload: &str,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let aborted = attempts(TIME, deadline, || async {
            let request = self.client().abort_multipart_upload().bucket(&self.name).key(key);
            request.upload_id(upload).send().await.map(drop).map_err(failure)
        });
        match aborted.await {
            Err(error) if error.code != "NoSuchUpload" => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The keys that begin with `prefix`, a thousand at most.
    pub async fn list(&self, prefix: &str, deadline: Deadline) -> Result<Vec<String>, CallError> {
        attempts(TIME, deadline, || async {
            let request = self.client().list_objects_v2().bucket(&self.name).prefix(prefix);
            let files = request.send().await.map_err(failure)?.contents.unwrap_or_default();
            Ok(files.into_iter().filter_map(|file| file.key).collect())
        })
        .await
    }

    /// The unfinished uploads to keys that begin with `prefix`, a thousand at most: key and id.
    pub async fn list_uploads(
        &self,
        prefix: &str,
        deadline: Deadline,
    ) -> Result<Vec<(String, String)>, CallError> {
        attempts(TIME, deadline, || async {
            let request = self.client().list_multipart_uploads().bucket(&self.name).prefix(prefix);
            let uploads = request.send().await.map_err(failure)?.uploads.unwrap_or_default();
            Ok(uploads.into_iter().filter_map(|upload| upload.key.zip(upload.upload_id)).collect())
        })
        .await
    }

    /// A presigned link to a file. Anyone with the link can read the file until it expires. A
    /// browser saves the file as `name`, which must not contain quotes.
    pub async fn link(
        &self,
        key: &str,
        name: &str,
        valid_for: Duration,
    ) -> Result<String, CallError> {
        let validity =
            PresigningConfig::expires_in(valid_for).map_err(|error| passing("signing", &error))?;
        let request = self.client().get_object().bucket(&self.name).key(key);
        let request =
            request.response_content_disposition(format!("attachment; filename=\"{name}\""));
        Ok(request.presigned(validity).await.map_err(failure)?.uri().to_owned())
    }
}

/// Repeats a call until it succeeds, fails permanently, or the deadline passes. Every call is safe
/// to repeat.
async fn attempts<T, Attempt>(
    time: Duration,
    deadline: Deadline,
    attempt: impl Fn() -> Attempt,
) -> Result<T, CallError>
where
    Attempt: Future<Output = Result<T, CallError>>,
{
    let mut pauses = Pauses::until(deadline);
    loop {
        let time = time.min(deadline.saturating_duration_since(Deadline::now()));
        let failure = match tokio::time::timeout(time, attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is_final => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => passing("S3", &format!("no response within {time:?}")),
        };
        tracing::warn!(%failure, "S3 failed: {failure}");
        if !pauses.pause().await {
            return Err(failure);
        }
    }
}

/// The error, and whether a retry may help.
fn failure<E: ProvideErrorMetadata>(error: SdkError<E, HttpResponse>) -> CallError {
    let (status, code) = match &error {
        // The SDK cannot read the response: it is not one of S3.
        SdkError::ResponseError(answer) => (answer.raw().status().as_u16(), None),
        SdkError::ServiceError(answer) => (answer.raw().status().as_u16(), answer.err().code()),
        SdkError::DispatchFailure(failure) => {
            let failure = failure.as_connector_error();
            return passing("S3", failure.map_or(&error as &dyn std::fmt::Display, |it| it));
        }
        _ => return passing("S3", &error),
    };
    let code = code.unwrap_or_default().to_owned();
    let is_passing = status >= 500 && code != "NotImplemented"
        || status == 429
        // A response with status 200 may contain an error ("CompleteMultipartUpload").
        || status < 300 && (code.is_empty() || code == "InternalError")
        || matches!(code.as_str(), "SlowDown" | "RequestTimeout" | "ServiceUnavailable" | "OperationAborted")
        // S3 received other bytes than were sent.
        || matches!(code.as_str(), "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch");
    CallError { detail: format!("S3 responded with {status} {code}"), code, is_final: !is_passing }
}

fn checksum(body: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(body))
}

/// A part's number for the SDK. S3 allows ten thousand parts.
fn part_number(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
