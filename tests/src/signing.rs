//! Requests to the embedded services, signed without an SDK client.

use std::time::SystemTime;

use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        sign,
    },
    sign::v4,
};
use aws_types::SdkConfig;
use reqwest::{Client, RequestBuilder};

/// A request to a service, signed with AWS Signature Version 4.
pub struct Signed<'s> {
    /// The service's name in signatures: `dynamodb`.
    pub service: &'s str,
    /// The method.
    pub method: &'s str,
    /// The host name in the signature, if it differs from the address of the service.
    pub host: Option<&'s str>,
    /// The path.
    pub path: String,
    /// Additional signed headers.
    pub headers: Vec<(&'s str, &'s str)>,
    /// The body.
    pub body: String,
    /// The credentials of the signature.
    pub credentials: Credentials,
}

impl Signed<'_> {
    /// Builds the signed request to `endpoint`.
    pub fn request(self, client: &Client, endpoint: &str) -> RequestBuilder {
        let Self { service, method, host, path, headers, body, credentials } = self;
        let real = endpoint.strip_prefix("http://").expect("a plain endpoint");
        let host = host.map_or_else(|| real.to_owned(), str::to_owned);
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = credentials.into();
        let signing =
            v4::SigningParams::builder().identity(&identity).region("us-east-1").name(service);
        let signing = signing
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .expect("all that signing takes")
            .into();
        let url = format!("http://{host}{path}");
        let signable = SignableRequest::new(
            method,
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let (instructions, _) =
            sign(signable.expect("a request"), &signing).expect("a signature").into_parts();
        let method = method.parse().expect("a method");
        let mut request = client.request(method, format!("{endpoint}{path}")).header("host", host);
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        request.body(body)
    }
}

/// The credentials for a stack's services.
pub async fn credentials(aws: &SdkConfig) -> Credentials {
    let provider = aws.credentials_provider().expect("a provider");
    provider.provide_credentials().await.expect("credentials")
}
