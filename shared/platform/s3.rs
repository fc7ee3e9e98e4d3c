//! Files in S3: stored whole or in parts, each with a checksum that S3 verifies, and links to them (Amazon S3 API reference).

use std::time::Duration;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SignatureLocation, SigningSettings, UriPathNormalizationMode,
};
use aws_types::SdkConfig;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant as Deadline;

use crate::{
    aws_client::{Answer, Aws, Call, CallError, Service, passing},
    backoff::Pauses,
};
use shared_domain::exports::export_job::Part;

/// Fewest bytes of a part, the last one apart (Amazon S3 user guide, "Amazon S3 multipart upload limits").
pub const SMALLEST_PART: usize = 5 * 1024 * 1024;
/// How long one call may take that carries little.
const TIME: Duration = Duration::from_secs(10);
/// How long one may take that carries a part.
const TIME_OF_PART: Duration = Duration::from_secs(60);
/// How long S3 may take to make a file of parts.
const TIME_OF_WHOLE: Duration = Duration::from_secs(300);
/// Most that is read of an answer: a file that is smaller than two parts.
const LARGEST: usize = 8 * 1024 * 1024;

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    aws: Aws,
    /// Where it answers, without a slash at the end.
    url: String,
}

impl Bucket {
    /// The bucket of that name.
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        let aws = Aws::new(config);
        let url = match aws.endpoint(Service::S3) {
            Some(endpoint) => format!("{endpoint}/{name}"),
            None => {
                let region = aws.region();
                let suffix =
                    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://{name}.s3.{region}.{suffix}")
            }
        };
        Self { aws, url }
    }

    /// Makes the bucket, which on AWS the template does.
    ///
    /// # Errors
    /// It is not known to be made.
    pub async fn create(&self, deadline: Deadline) -> Result<(), CallError> {
        self.call("PUT", "", &[], Bytes::new(), deadline).await.map(drop)
    }

    /// Stores a file whole.
    ///
    /// # Errors
    /// It is not known to be stored.
    pub async fn put(
        &self,
        key: &str,
        media_type: &str,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let sum = checksum(&body);
        let headers = [("content-type", media_type), ("x-amz-checksum-sha256", &sum)];
        self.call("PUT", &path_of(key), &headers, body, deadline).await.map(drop)
    }

    /// Reads a file whole, of 8 MiB at most.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn get(&self, key: &str, deadline: Deadline) -> Result<Bytes, CallError> {
        Ok(self.call("GET", &path_of(key), &[], Bytes::new(), deadline).await?.body)
    }

    /// Deletes a file. One that is not there is deleted.
    ///
    /// # Errors
    /// It is not known to be deleted.
    pub async fn delete(&self, key: &str, deadline: Deadline) -> Result<(), CallError> {
        match self.call("DELETE", &path_of(key), &[], Bytes::new(), deadline).await {
            Err(error) if error.code != "NoSuchKey" => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Begins an upload; its id.
    ///
    /// # Errors
    /// It is not known to be begun.
    pub async fn begin_upload(
        &self,
        key: &str,
        media_type: &str,
        deadline: Deadline,
    ) -> Result<String, CallError> {
        let headers = [("content-type", media_type), ("x-amz-checksum-algorithm", "SHA256")];
        let answer = self
            .call("POST", &format!("{}?uploads=", path_of(key)), &headers, Bytes::new(), deadline)
            .await?;
        let id = texts(&answer.body, "UploadId").into_iter().next();
        id.ok_or_else(|| passing("S3", &"the answer names no upload"))
    }

    /// Uploads a part; the first has the number 1.
    ///
    /// # Errors
    /// It is not known to be uploaded.
    pub async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Part, CallError> {
        let sum = checksum(&body);
        let path = format!("{}?partNumber={number}&uploadId={}", path_of(key), coded(upload));
        let answer =
            self.call("PUT", &path, &[("x-amz-checksum-sha256", &sum)], body, deadline).await?;
        let etag = answer.headers.get("etag").and_then(|etag| etag.to_str().ok());
        let etag = etag.ok_or_else(|| passing("S3", &"the answer has no ETag"))?.to_owned();
        Ok(Part { etag, sha256: sum })
    }

    /// Makes a file of the parts of an upload, to whose key nothing else is ever written.
    ///
    /// # Errors
    /// It is not known to be made. `NoSuchUpload` where the upload is gone, `InvalidPart` where a part is not as it was.
    pub async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let mut body =
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                .to_owned();
        for (place, Part { etag, sha256 }) in parts.iter().enumerate() {
            let (number, etag) = (place + 1, etag.replace('"', "&quot;"));
            body.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><ChecksumSHA256>{sha256}</ChecksumSHA256></Part>"
            ));
        }
        body.push_str("</CompleteMultipartUpload>");
        let path = format!("{}?uploadId={}", path_of(key), coded(upload));
        let headers = [("content-type", "application/xml")];
        match self.call("POST", &path, &headers, body.into(), deadline).await {
            // The attempt that went unanswered had done it. (Without the right to list, a missing upload is a matter of permission.)
            Err(error) if matches!(error.code.as_str(), "NoSuchUpload" | "AccessDenied") => {
                let there = self.call("HEAD", &path_of(key), &[], Bytes::new(), deadline).await;
                there.map(drop).map_err(|_| error)
            }
            done => done.map(drop),
        }
    }

    /// Gives an upload up, with its parts. One that is not there is given up.
    ///
    /// # Errors
    /// It is not known to be given up.
    pub async fn abort_upload(
        &self,
        key: &str,
        upload: &str,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        match self
            .call(
                "DELETE",
                &format!("{}?uploadId={}", path_of(key), coded(upload)),
                &[],
                Bytes::new(),
                deadline,
            )
            .await
        {
            Err(error) if error.code != "NoSuchUpload" => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The keys of files that begin with `prefix`, a thousand at most.
    ///
    /// # Errors
    /// They could not be listed.
    pub async fn list(&self, prefix: &str, deadline: Deadline) -> Result<Vec<String>, CallError> {
        let path = format!("/?list-type=2&prefix={}", coded(prefix));
        let answer = self.call("GET", &path, &[], Bytes::new(), deadline).await?;
        Ok(texts(&answer.body, "Key"))
    }

    /// Uploads under way to keys that begin with `prefix`, a thousand at most: key and id.
    ///
    /// # Errors
    /// They could not be listed.
    pub async fn list_uploads(
        &self,
        prefix: &str,
        deadline: Deadline,
    ) -> Result<Vec<(String, String)>, CallError> {
        let path = format!("/?prefix={}&uploads=", coded(prefix));
        let answer = self.call("GET", &path, &[], Bytes::new(), deadline).await?;
        Ok(texts(&answer.body, "Key").into_iter().zip(texts(&answer.body, "UploadId")).collect())
    }

    /// A link to a file, by which whoever has it can read it for a time, and a browser stores it under `name`, which holds no quotes.
    ///
    /// # Errors
    /// It could not be signed.
    pub async fn link(
        &self,
        key: &str,
        name: &str,
        valid_for: Duration,
    ) -> Result<String, CallError> {
        let disposition = format!("attachment; filename=\"{name}\"");
        let url = format!(
            "{}{}?response-content-disposition={}",
            self.url,
            path_of(key),
            coded(&disposition)
        );
        let mut settings = settings();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(valid_for);
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.session_token_mode = SessionTokenMode::Include;
        let signable =
            SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::UnsignedPayload)
                .map_err(|error| passing("signing", &error))?;
        let instructions = self.aws.signed(Service::S3, signable, settings).await?;
        let mut request =
            http::Request::get(&url).body(()).map_err(|error| passing("request", &error))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request.uri().to_string())
    }

    /// Makes a call until it is answered, refused for good, or there is no time left. Each is safe to make again.
    async fn call(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Answer, CallError> {
        let url = format!("{}{path}", self.url);
        let time = match method {
            _ if body.is_empty() => TIME,
            "POST" => TIME_OF_WHOLE,
            _ => TIME_OF_PART,
        };
        let mut pauses = Pauses::until(deadline);
        loop {
            let time = time.min(deadline.saturating_duration_since(Deadline::now()));
            let call =
                Call { method, url: &url, headers, body: body.clone(), time, largest: LARGEST };
            let failure = match self.aws.send(Service::S3, call, settings()).await {
                Ok(answer) => match judged(answer, method) {
                    Ok(answer) => return Ok(answer),
                    Err(error) if error.is_final => return Err(error),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::warn!(%failure, "S3 failed: {failure}");
            if !pauses.pause().await {
                return Err(failure);
            }
        }
    }
}

/// The answer, or what it says that is wrong. What is posted may be refused in an answer that begins as a success ("CompleteMultipartUpload"), so
/// that it was done has to be said.
fn judged(answer: Answer, method: &str) -> Result<Answer, CallError> {
    let status = answer.status;
    let is_said = method != "POST"
        || root(&answer.body).is_some_and(|root| root.ends_with("MultipartUploadResult"));
    if (200..=299).contains(&status) && is_said {
        return Ok(answer);
    }
    let code = texts(&answer.body, "Code").into_iter().next().unwrap_or_default();
    let is_passing = status >= 500 && code != "NotImplemented"
        || status == 429
        || status < 300 && (code.is_empty() || code == "InternalError")
        || matches!(code.as_str(), "SlowDown" | "RequestTimeout" | "ServiceUnavailable" | "OperationAborted")
        // What arrived is not what was sent.
        || matches!(code.as_str(), "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch");
    Err(CallError { detail: format!("S3 said {status} {code}"), code, is_final: !is_passing })
}

/// How S3 is signed: paths as they are, and the hash of what is sent as a header, which S3 verifies.
fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
}

fn checksum(body: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(body))
}

/// All but what AWS leaves as it is (Amazon S3 API reference, "Signature calculations": UriEncode).
const CODED: percent_encoding::AsciiSet =
    percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same in a path.
const CODED_IN_PATH: percent_encoding::AsciiSet = CODED.remove(b'/');

/// A value as it stands in an address.
fn coded(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, &CODED).to_string()
}

/// A file's path. S3 compares the signature with that of the path coded like this, so it has to be sent so too.
fn path_of(key: &str) -> String {
    format!("/{}", percent_encoding::utf8_percent_encode(key, &CODED_IN_PATH))
}

fn parsed(xml: &[u8]) -> Option<roxmltree::Document<'_>> {
    // Spaces come first where S3 keeps the connection alive while it works.
    roxmltree::Document::parse(std::str::from_utf8(xml).ok()?.trim_start()).ok()
}

/// The name of an XML document's root.
fn root(xml: &[u8]) -> Option<String> {
    Some(parsed(xml)?.root_element().tag_name().name().to_owned())
}

/// The texts of the elements of that name, in their order.
pub fn texts(xml: &[u8], name: &str) -> Vec<String> {
    let Some(document) = parsed(xml) else { return Vec::new() };
    let named = document.descendants().filter(|node| node.tag_name().name() == name);
    named.map(|node| node.text().unwrap_or_default().to_owned()).collect()
}
