//! HTTP requests to URLs that a tenant configures. Such a URL must not lead into a network that
//! only this service can reach (server-side request forgery). So the URL is checked as text, the
//! resolved addresses are checked again at each connect, and redirects are not followed.

use crate::trace;
use shared_domain::configuration::address_policy::Reach;
use std::{error::Error, time::Duration};

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Limited};

/// Most bytes of a response that are read, unless the client says otherwise.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// Timeout for opening a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Resolves host names, and removes addresses that may not be connected to.
#[derive(Clone, Debug)]
struct Resolver(Reach);

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let (reach, name) = (self.0, name.to_owned());
        DnsFuture::new(async move {
            let found =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(ResolveDnsError::new)?;
            let permitted: Vec<_> =
                found.map(|address| address.ip()).filter(|&ip| reach.permits(ip)).collect();
            if permitted.is_empty() {
                return Err(ResolveDnsError::new(format!("{name} has no public address")));
            }
            Ok(permitted)
        })
    }
}

/// The client for URLs that a tenant configures.
#[derive(Clone, Debug)]
pub struct Outbound {
    reach: Reach,
    connector: SharedHttpConnector,
    largest_answer: usize,
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The delay of the Retry-After header: seconds or a date (RFC 9110, section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        let seconds = match text.parse::<u64>() {
            Ok(seconds) => seconds,
            Err(_) => {
                let at = DateTime::parse_from_rfc2822(text).ok()?;
                u64::try_from(at.timestamp() - Utc::now().timestamp()).unwrap_or(0)
            }
        };
        Some(Duration::from_secs(seconds))
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The URL is not allowed; nothing was sent.
    #[error("{0}")]
    Forbidden(String),
    /// The request was sent and may have taken effect.
    #[error("{0}")]
    Broken(String),
}

impl Outbound {
    /// A client that may connect to what `reach` permits.
    pub fn new(reach: Reach) -> Self {
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT).build())
            .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .build_with_resolver(Resolver(reach));
        Self::through(reach, SharedHttpConnector::new(connector))
    }

    /// A client with another connector, for tests and simulations.
    pub fn through(reach: Reach, connector: SharedHttpConnector) -> Self {
        Self { reach, connector, largest_answer: LARGEST_ANSWER }
    }

    /// The same client, which reads at most so many bytes of a response.
    #[must_use]
    pub fn reading(self, largest_answer: usize) -> Self {
        Self { largest_answer, ..self }
    }

    /// Sends a request and reads the response, with `time` as the timeout of both.
    ///
    /// # Errors
    /// The URL is not allowed, or there was no complete response in time.
    pub async fn send(
        &self,
        request: http::Request<String>,
        time: Duration,
    ) -> Result<Answer, NoAnswer> {
        let url = request.uri().to_string();
        // Check the part that the tenant configured. The query string comes from this service.
        self.reach.judge(url.split('?').next().unwrap_or_default()).map_err(NoAnswer::Forbidden)?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let mut request = request;
        if let Some(Ok(trace)) = trace::traceparent().map(|trace| trace.parse()) {
            request.headers_mut().insert("traceparent", trace);
        }
        let request: HttpRequest = request
            .map(SdkBody::from)
            .try_into()
            .map_err(|error| NoAnswer::Forbidden(format!("the request cannot be sent: {error}")))?;
        let exchange = async {
            let answer = self
                .connector
                .call(request)
                .await
                .map_err(|error| NoAnswer::Broken(causes(&error)))?;
            let answer =
                answer.try_into_http1x().map_err(|error| NoAnswer::Broken(causes(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.largest_answer).collect().await;
            let body = body
                .map_err(|error| NoAnswer::Broken(format!("the response ended early: {error}")))?;
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes().to_vec(),
            })
        };
        match tokio::time::timeout(time, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Broken(format!("{host} did not respond within {time:?}"))),
        }
    }
}

/// An error and its causes on one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_asks_is_read() {
        let with = |value: &'static str| Answer {
            status: 429,
            headers: http::HeaderMap::from_iter([(
                http::header::RETRY_AFTER,
                http::HeaderValue::from_static(value),
            )]),
            body: Vec::new(),
        };
        for (value, seconds) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("999999", Some(999_999)),
            ("soon", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
        ] {
            assert_eq!(with(value).retry_after(), seconds.map(Duration::from_secs), "{value}");
        }
        let silent = Answer { headers: http::HeaderMap::new(), ..with("7") };
        assert_eq!(silent.retry_after(), None);
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_at_connect() {
        let resolved = Resolver(Reach::Public).resolve_dns("localhost").await;
        assert!(resolved.unwrap_err().to_string().contains("failed to perform DNS lookup"));
        assert!(!Resolver(Reach::Loopback).resolve_dns("localhost").await.unwrap().is_empty());
    }
}
