//! The gate of the embedded services: a request has to name this machine as its host, come from no web page, and be signed with this run's
//! key (AWS Signature Version 4). Every other program and page on the machine is refused.

use std::{borrow::Cow, time::SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Uri, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use jiff::{civil::DateTime, tz::TimeZone};

use crate::{aws::Keys, http_server};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Lets requests in that are signed with one key.
pub(crate) struct Gate(Credentials);

/// Why a request is not let in.
pub(crate) enum Closed {
    /// Who sent it may not; a sentence that says why.
    Refused(&'static str),
    /// Its body is larger than the service takes.
    TooLarge,
}

impl Gate {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(Credentials::from_keys(&keys.access, &keys.secret, None))
    }

    /// Reads a request of `largest` bytes at most.
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
            Some(false) | None => Err(Closed::Refused("not signed with this run's key")),
        }
    }

    /// Whether the signature is what this run's key makes of the request; `None` where the request has no whole signature. When it was signed
    /// is not judged: the key never leaves this machine, and a simulation has a clock of its own.
    fn is_signed(&self, head: &Parts, body: &[u8]) -> Option<bool> {
        // Of two with one name it would not be clear which of them counts.
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
        let time = DateTime::strptime("%Y%m%dT%H%M%SZ", header("x-amz-date")?).ok()?;
        let time = time.to_zoned(TimeZone::UTC).ok()?.timestamp();

        // What has to be signed is in the list; the signer leaves none of it out.
        let mut settings = SigningSettings::default();
        settings.excluded_headers = Some(vec![Cow::Borrowed(header::AUTHORIZATION.as_str())]);
        let identity = self.0.clone().into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(SystemTime::from(time))
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

/// Whether a request names this machine and was not made by a web page, which a browser says by `Origin`. A page whose name was made to lead
/// here (DNS rebinding) shows itself by that name.
pub(crate) fn is_from_here(uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    if !http_server::names_loopback(uri, headers) {
        return Err("the host is not this machine");
    }
    if headers.contains_key(header::ORIGIN) {
        return Err("not open to web pages");
    }
    Ok(())
}
