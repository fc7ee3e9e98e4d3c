//! Signed calls to AWS without an SDK for each service: invoke a function, read a secret, publish to
//! a topic, put events on a bus.
//! An SDK crate for each would add more to every binary than the rest of what it does; the signature (SigV4) is still made by AWS's own crate.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use aws_types::{SdkConfig, service_config::ServiceConfigKey};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use crate::trace;
use shared_domain::alerts::messages::{
    eventbridge::{BusEvent, EVENT_SOURCE},
    sns::Notification,
};

/// How long one call may take.
const TIME: Duration = Duration::from_secs(3);
/// Secrets Manager's limit is 64 KiB; coded as JSON it may take more.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Makes calls to AWS.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    /// Made when it is first wanted: it reads all root certificates, which a cold start need not wait for.
    connector: Arc<OnceLock<SharedHttpConnector>>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct CallError {
    /// What is wrong, without what AWS says of accounts and roles.
    pub detail: String,
    /// What AWS calls it, where it said so.
    pub code: String,
    /// Whether a person has to change something before a retry can succeed.
    pub is_final: bool,
}

/// Which service is called.
#[derive(Clone, Copy, Debug)]
enum Service {
    Lambda,
    SecretsManager,
    Sns,
    EventBridge,
    Sqs,
}

impl Service {
    /// Its id in configurations, and its name in addresses and signatures.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Lambda => ("Lambda", "lambda"),
            Self::SecretsManager => ("Secrets Manager", "secretsmanager"),
            Self::Sqs => ("SQS", "sqs"),
            Self::Sns => ("SNS", "sns"),
            Self::EventBridge => ("EventBridge", "events"),
        }
    }
}

impl Aws {
    /// Calls by that configuration's region, credentials and endpoints.
    pub fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone(), connector: Arc::default() }
    }

    /// Invokes a function in the background (AWS Lambda API, "Invoke", invocation type `Event`).
    ///
    /// # Errors
    /// It is not known to be invoked.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<(), CallError> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = [("x-amz-invocation-type", "Event"), ("content-type", "application/json")];
        self.post(Service::Lambda, &path, &headers, event.to_string()).await.map(drop)
    }

    /// The secret of that name (AWS Secrets Manager API, "GetSecretValue").
    ///
    /// # Errors
    /// It could not be read, or holds no text.
    pub async fn secret(&self, name: &str) -> Result<String, CallError> {
        let headers = [
            ("x-amz-target", "secretsmanager.GetSecretValue"),
            ("content-type", "application/x-amz-json-1.1"),
        ];
        let answer = self
            .post(Service::SecretsManager, "/", &headers, json!({"SecretId": name}).to_string())
            .await?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| passing("the answer cannot be read", &error))?;
        let secret = answer["SecretString"].as_str().map(str::to_owned);
        secret.ok_or_else(|| CallError {
            detail: "it holds no text".to_owned(),
            code: String::new(),
            is_final: true,
        })
    }

    /// Tells the subscribers of a topic (Amazon SNS API, "Publish").
    ///
    /// # Errors
    /// It is not known to be taken.
    pub async fn publish(&self, topic: &str, notification: &Notification) -> Result<(), CallError> {
        let Notification { subject, message, attributes } = notification;
        // SNS takes the form of AWS's Query protocol.
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "Publish")
            .append_pair("Version", "2010-03-31")
            .append_pair("TopicArn", topic);
        form.append_pair("Subject", subject).append_pair("Message", message);
        for (place, (name, value)) in attributes.iter().enumerate() {
            let entry = format!("MessageAttributes.entry.{}", place + 1);
            form.append_pair(&format!("{entry}.Name"), name);
            form.append_pair(&format!("{entry}.Value.DataType"), "String");
            form.append_pair(&format!("{entry}.Value.StringValue"), value);
        }
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        self.post(Service::Sns, "/", &headers, form.finish()).await.map(drop)
    }

    /// Sends a message to a queue by its URL (Amazon SQS API, "SendMessage").
    ///
    /// # Errors
    /// It is not known to be taken.
    pub async fn send_message(&self, queue: &str, message: &Value) -> Result<(), CallError> {
        let headers = [
            ("x-amz-target", "AmazonSQS.SendMessage"),
            ("content-type", "application/x-amz-json-1.0"),
        ];
        let body = json!({"QueueUrl": queue, "MessageBody": message.to_string()});
        self.post(Service::Sqs, "/", &headers, body.to_string()).await.map(drop)
    }

    /// Puts an event on a bus (Amazon EventBridge API, "PutEvents").
    ///
    /// # Errors
    /// It is not known to be taken.
    pub async fn put_event(&self, bus: &str, event: &BusEvent) -> Result<(), CallError> {
        match self.put_events(bus, std::slice::from_ref(event)).await?.pop().flatten() {
            None => Ok(()),
            Some(code) => Err(not_taken(code)),
        }
    }

    /// Puts up to ten events on a bus, 256 KiB together; for each the code by which it was refused, if it was.
    ///
    /// # Errors
    /// None is known to be taken.
    pub async fn put_events(
        &self,
        bus: &str,
        events: &[BusEvent],
    ) -> Result<Vec<Option<String>>, CallError> {
        let headers = [
            ("x-amz-target", "AWSEvents.PutEvents"),
            ("content-type", "application/x-amz-json-1.1"),
        ];
        let entry = |event: &BusEvent| {
            json!({
                "EventBusName": bus, "Source": EVENT_SOURCE, "DetailType": event.detail_type,
                "Detail": event.detail.to_string(), "Time": event.time.seconds(),
            })
        };
        let entries: Vec<_> = events.iter().map(entry).collect();
        let answer = self
            .post(Service::EventBridge, "/", &headers, json!({"Entries": entries}).to_string())
            .await?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| passing("the answer cannot be read", &error))?;
        // A call that is answered by 200 may still have put nothing there.
        if answer["FailedEntryCount"] == json!(0) {
            return Ok(vec![None; events.len()]);
        }
        let refused = |place: usize| {
            let entry = &answer["Entries"][place];
            let is_taken = entry.get("EventId").is_some_and(Value::is_string);
            (!is_taken).then(|| entry["ErrorCode"].as_str().unwrap_or_default().to_owned())
        };
        Ok((0..events.len()).map(refused).collect())
    }

    /// A call of a service that takes text, JSON but for SNS.
    async fn post(
        &self,
        service: Service,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<Bytes, CallError> {
        let (id, _) = service.names();
        let (status, body) =
            match tokio::time::timeout(TIME, self.send(service, path, headers, body)).await {
                Ok(answered) => answered?,
                Err(_) => return Err(passing(id, &format!("no response within {TIME:?}"))),
            };
        if status.is_success() {
            return Ok(body);
        }
        let status = status.as_u16();
        let said = String::from_utf8_lossy(&body);
        tracing::warn!(status, "{id} responded with {status}: {said}");
        let code = match service {
            Service::Sns => sns_code(&said).unwrap_or_default().to_owned(),
            Service::Lambda | Service::SecretsManager | Service::EventBridge | Service::Sqs => {
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                body["__type"]
                    .as_str()
                    .unwrap_or_default()
                    .rsplit('#')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }
        };
        let is_final = matches!(
            code.as_str(),
            "ResourceNotFoundException"
                | "AccessDeniedException"
                | "InvalidRequestException"
                | "DecryptionFailure"
                | "NotFound"
                | "AuthorizationError"
        );
        Err(CallError { detail: format!("{id} responded with {status} {code}"), code, is_final })
    }

    fn connector(&self) -> &SharedHttpConnector {
        self.connector.get_or_init(|| {
            let builder = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
            SharedHttpConnector::new(builder.sleep_impl(TokioSleep::new()).build())
        })
    }

    /// Signs and makes a call, and reads the whole answer, whatever it says.
    async fn send(
        &self,
        service: Service,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let (id, name) = service.names();
        let region = self.config.region().map(ToString::to_string).unwrap_or_default();
        let endpoint = endpoint(&self.config, id).unwrap_or_else(|| {
            let suffix =
                if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{name}.{region}.{suffix}")
        });
        let url = format!("{endpoint}{path}");
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| passing(id, &"no AWS credentials are available"))?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| passing("credentials", &error))?;
        let identity = credentials.into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| passing("signing", &error))?
            .into();
        let signable = SignableRequest::new(
            "POST",
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| passing("signing", &error))?;
        let (instructions, _) =
            sign(signable, &signing).map_err(|error| passing("signing", &error))?.into_parts();
        let mut request = http::Request::post(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // Not signed, because Lambda changes it on the way.
        if let Some(trace) = trace::header() {
            request = request.header("x-amzn-trace-id", trace);
        }
        let mut request =
            request.body(SdkBody::from(body)).map_err(|error| passing("request", &error))?;
        instructions.apply_to_request_http1x(&mut request);
        let request: HttpRequest =
            request.try_into().map_err(|error| passing("request", &error))?;

        let answer = self.connector().call(request).await.map_err(|error| passing(id, &error))?;
        let answer: http::Response<SdkBody> =
            answer.try_into_http1x().map_err(|error| passing(id, &error))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        Ok((parts.status, body.map_err(|error| passing(id, &error))?.to_bytes()))
    }
}

/// Where a service answers, where that is not AWS's own address.
pub(crate) fn endpoint(config: &SdkConfig, service_id: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service_id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// The code in an error of SNS, which answers in XML. It is a word, so nothing in it is escaped.
fn sns_code(answer: &str) -> Option<&str> {
    Some(answer.split_once("<Code>")?.1.split_once("</Code>")?.0)
}

/// EventBridge took the call and not the event.
pub fn not_taken(code: String) -> CallError {
    let is_final = !matches!(
        code.as_str(),
        "" | "InternalFailure" | "InternalException" | "ThrottlingException"
    );
    CallError { detail: format!("EventBridge did not accept the event: {code}"), code, is_final }
}

/// A failure that a retry may resolve.
pub fn passing(what: &str, error: &dyn std::fmt::Display) -> CallError {
    CallError { detail: format!("{what}: {error}"), code: String::new(), is_final: false }
}
