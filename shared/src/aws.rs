//! The two calls to AWS that need no SDK of their own: one function invokes another, and a secret is read. An SDK crate for each
//! would add more to every binary than the rest of what it does; the signature (SigV4) is still made by AWS's own crate.

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
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

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
    /// Whether somebody has to change something before it can work.
    pub is_final: bool,
}

/// Which service is called.
#[derive(Clone, Copy, Debug)]
enum Service {
    Lambda,
    SecretsManager,
}

impl Aws {
    /// Calls by that configuration's region, credentials and endpoints.
    pub fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone(), connector: Arc::default() }
    }

    fn connector(&self) -> &SharedHttpConnector {
        self.connector.get_or_init(|| {
            let builder = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
            SharedHttpConnector::new(builder.sleep_impl(TokioSleep::new()).build())
        })
    }

    /// Invokes a function in the background (AWS Lambda API, "Invoke", invocation type `Event`).
    ///
    /// # Errors
    /// It is not known to be invoked.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<(), CallError> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = [("x-amz-invocation-type", "Event"), ("content-type", "application/json")];
        self.call(Service::Lambda, &path, &headers, event.to_string()).await.map(drop)
    }

    /// The secret of that name (AWS Secrets Manager API, "GetSecretValue").
    ///
    /// # Errors
    /// It could not be read, or holds no text.
    pub async fn secret(&self, name: &str) -> Result<String, CallError> {
        let headers =
            [("x-amz-target", "secretsmanager.GetSecretValue"), ("content-type", "application/x-amz-json-1.1")];
        let answer = self.call(Service::SecretsManager, "/", &headers, json!({"SecretId": name}).to_string()).await?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|error| passing("the answer cannot be read", &error))?;
        let secret = answer["SecretString"].as_str().map(str::to_owned);
        secret.ok_or_else(|| CallError { detail: "it holds no text".to_owned(), is_final: true })
    }

    async fn call(
        &self,
        service: Service,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: String,
    ) -> Result<Vec<u8>, CallError> {
        let region = self.config.region().map(ToString::to_string).unwrap_or_default();
        let (id, name) = match service {
            Service::Lambda => ("Lambda", "lambda"),
            Service::SecretsManager => ("Secrets Manager", "secretsmanager"),
        };
        let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        let own = key.ok().and_then(|key| self.config.service_config()?.load_config(key));
        let endpoint = own.or_else(|| self.config.endpoint_url().map(str::to_owned)).unwrap_or_else(|| {
            let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{name}.{region}.{suffix}")
        });
        let url = format!("{endpoint}{path}");

        let provider = self.config.credentials_provider().ok_or_else(|| passing(id, &"there are no credentials"))?;
        let credentials = provider.provide_credentials().await.map_err(|error| passing("credentials", &error))?;
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
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &url, headers.iter().copied(), bytes)
            .map_err(|error| passing("signing", &error))?;
        let (instructions, _) = sign(signable, &signing).map_err(|error| passing("signing", &error))?.into_parts();
        let mut request = http::Request::post(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(SdkBody::from(body)).map_err(|error| passing("request", &error))?;
        instructions.apply_to_request_http1x(&mut request);
        let request: HttpRequest = request.try_into().map_err(|error| passing("request", &error))?;

        let exchange = async {
            let answer = self.connector().call(request).await.map_err(|error| passing(id, &error))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
            let body = body.map_err(|error| passing(id, &error))?.to_bytes().to_vec();
            Ok((status, body))
        };
        match tokio::time::timeout(TIME, exchange).await {
            Ok(Ok((200..=299, body))) => Ok(body),
            Ok(Ok((status, body))) => {
                let said = String::from_utf8_lossy(&body);
                tracing::warn!(status, "{id} said {status}: {said}");
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code =
                    body["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
                let is_final = matches!(
                    code.as_str(),
                    "ResourceNotFoundException"
                        | "AccessDeniedException"
                        | "InvalidRequestException"
                        | "DecryptionFailure"
                );
                Err(CallError { detail: format!("{id} said {status} {code}"), is_final })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(passing(id, &format!("no answer within {TIME:?}"))),
        }
    }
}

/// It may work when it is tried again.
fn passing(what: &str, error: &dyn std::fmt::Display) -> CallError {
    CallError { detail: format!("{what}: {error}"), is_final: false }
}
