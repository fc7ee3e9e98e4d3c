//! The gate of the embedded services. A request must name this machine as its host, must not come from a web page, and must be signed with the
//! key of this run (AWS Signature Version 4). Other programs and web pages on the machine are refused.

use std::{borrow::Cow, time::SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use chrono::NaiveDateTime;
use http::{HeaderMap, Request, Uri, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::{aws::Keys, http_server};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Admits requests that are signed with one key.
pub(crate) struct Gate(Credentials);

/// Why a request is refused.
pub(crate) enum Closed {
    /// The sender is not permitted, for this reason.
    Refused(&'static str),
    /// The body is larger than the service allows.
    TooLarge,
}

impl Gate {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(Credentials::from_keys(&keys.access, &keys.secret, None))
    }

    /// Checks a request and reads its body of at most `largest` bytes.
    pub(crate) async fn admit(
        &self,
        request: Request<Incoming>,
        largest: usize,
    ) -> Result<(Parts, Bytes), Closed> {
        let (head, body) = request.into_parts();
        is_from_here(&head.uri, &head.headers).map_err(Closed::Refused)?;
        let body =
            Limited::new(body, largest).collect().await.map_err(|_| Closed::TooLarge)?.to_bytes();
        match self.is_signed(&head, &body) {
            Some(true) => Ok((head, body)),
            Some(false) | None => {
                Err(Closed::Refused("the request is not signed with the key of this run"))
            }
        }
    }

    /// Whether the request is signed with the key of this run, or `None` without a complete signature. The time of
    /// the signature is not checked, because the key never leaves this machine and tests use other clocks.
    fn is_signed(&self, head: &Parts, body: &[u8]) -> Option<bool> {
        // A repeated header is ambiguous.
        let header = |name: &str| match (
            head.headers.get_all(name).iter().next(),
            head.headers.get_all(name).iter().nth(1),
        ) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        };
        let parts = header("authorization")?.strip_prefix(ALGORITHM)?;
        let part = |name: &str| {
            parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = part("Credential")?.split('/');
        let (access, _day, region, service) =
            (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
        let signed = part("SignedHeaders")?.split(';').map(|name| Some((name, header(name)?)));
        let signed: Vec<_> = signed.collect::<Option<_>>()?;
        let time = NaiveDateTime::parse_from_str(header("x-amz-date")?, "%Y%m%dT%H%M%SZ").ok()?;

        // The request lists the signed headers, so the signer must not exclude any of them.
        let mut settings = SigningSettings::default();
        settings.excluded_headers = Some(vec![Cow::Borrowed(header::AUTHORIZATION.as_str())]);
        let identity = self.0.clone().into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(SystemTime::from(time.and_utc()))
            .settings(settings)
            .build()
            .ok()?
            .into();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("http://{}{path}", header("host")?);
        let request = SignableRequest::new(
            head.method.as_str(),
            &url,
            signed.into_iter(),
            SignableBody::Bytes(body),
        )
        .ok()?;
        let (_, signature) = sign(request, &signing).ok()?.into_parts();
        let is_signature =
            verify_slices_are_equal(signature.as_bytes(), part("Signature")?.as_bytes()).is_ok();
        Some(is_signature && access == self.0.access_key_id())
    }
}

/// Refuses requests with another host name, and requests of web pages, which have an `Origin` header. The host name reveals DNS
/// rebinding, by which a web page resolves its own name to this machine.
pub(crate) fn is_from_here(uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    if !http_server::names_loopback(uri, headers) {
        return Err("the Host header does not name this machine");
    }
    if headers.contains_key(header::ORIGIN) {
        return Err("web pages are not allowed to call this address");
    }
    Ok(())
}
