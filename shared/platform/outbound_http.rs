//! Outbound: HTTP to places that a tenant names. A tenant's words must never lead this service into a network that only the
//! service can reach (server-side request forgery), so an address is judged as it is written and again as it is resolved, at
//! each connect, and no redirect is followed.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

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
use http_body_util::{BodyExt, Limited};

/// The most of an answer that is read, in bytes.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(3);

/// Where a tenant's addresses may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses by https, as when deployed.
    Public,
    /// This machine too, by http: on one machine alone.
    Loopback,
}

impl Reach {
    /// Whether `address` may be connected to.
    pub fn permits(self, address: IpAddr) -> bool {
        is_public(address) || (self == Self::Loopback && address.is_loopback())
    }

    /// Judges an address as it is written.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub fn judge(self, url: &str) -> Result<(), String> {
        // Judged on the text: a parser drops a fragment, and a host before an `@` is a password.
        if url.contains(['#', '?', '@', '\\']) || url.chars().any(|char| char.is_whitespace() || char.is_control()) {
            return Err("must be scheme, host and path alone: no user, query, fragment or space".to_owned());
        }
        let uri: http::Uri = url.parse().map_err(|_| "must be a URL like https://idp.example/scim/v2".to_owned())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("names no host")?;
        let literal = literal(host);
        let is_here = match literal {
            Some(address) => address.is_loopback(),
            None => host.eq_ignore_ascii_case("localhost"),
        };
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self == Self::Loopback && is_here => {}
            Some("http") if self == Self::Loopback => {
                return Err("must be https; http is taken for this machine alone".to_owned());
            }
            _ => return Err("must be https".to_owned()),
        }
        let is_permitted = match literal {
            Some(address) => self.permits(address),
            None => !is_here || self == Self::Loopback,
        };
        if is_permitted { Ok(()) } else { Err(format!("{host} is not a public address")) }
    }
}

/// The address that a host is written as.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Whether an address is one of the public internet: not of those that the IANA special-purpose address registries (RFC 6890) say are
/// not globally reachable, whatever notation hides them.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            let segments = address.segments();
            let embedded = |high: u16, low: u16| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                is_public_v4(Ipv4Addr::new(a, b, c, d))
            };
            match segments {
                // IPv4-mapped, and what NAT64 (RFC 6052) and 6to4 (RFC 3056) carry.
                [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
                [0x2002, high, low, ..] => embedded(high, low),
                // Protocol assignments, Teredo among them, and documentation.
                [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
                [0x3fff, second, ..] if second < 0x1000 => false,
                [first, ..] => first & 0xe000 == 0x2000,
            }
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., _, _)
    ))
}

/// Resolves names, and leaves out the addresses that may not be connected to.
#[derive(Clone, Debug)]
struct Resolver(Reach);

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let (reach, name) = (self.0, name.to_owned());
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(ResolveDnsError::new)?;
            let permitted: Vec<_> = found.map(|address| address.ip()).filter(|&ip| reach.permits(ip)).collect();
            if permitted.is_empty() {
                return Err(ResolveDnsError::new(format!("{name} has no public address")));
            }
            Ok(permitted)
        })
    }
}

/// Sends requests to places that tenants name.
#[derive(Clone, Debug)]
pub struct Outbound {
    reach: Reach,
    connector: SharedHttpConnector,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// How long it asks to be left alone: seconds or a date (RFC 9110, section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        let seconds = match text.parse::<u64>() {
            Ok(seconds) => seconds,
            Err(_) => {
                let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
                u64::try_from(at.as_second() - jiff::Timestamp::now().as_second()).unwrap_or(0)
            }
        };
        Some(Duration::from_secs(seconds))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The address may not be asked.
    #[error("{0}")]
    Forbidden(String),
    /// It was asked, and may have done what it was asked for.
    #[error("{0}")]
    Broken(String),
}

impl Outbound {
    /// A client that goes as far as `reach`.
    pub fn new(reach: Reach) -> Self {
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT).build())
            .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .build_with_resolver(Resolver(reach));
        Self::through(reach, SharedHttpConnector::new(connector))
    }

    /// A client over another way to the network.
    pub fn through(reach: Reach, connector: SharedHttpConnector) -> Self {
        Self { reach, connector }
    }

    /// Sends a request and reads the answer, within `time`.
    ///
    /// # Errors
    /// The address may not be asked, or no whole answer came in time.
    pub async fn send(&self, request: http::Request<String>, time: Duration) -> Result<Answer, NoAnswer> {
        let url = request.uri().to_string();
        // The query is ours; what a tenant named stands before it.
        self.reach.judge(url.split('?').next().unwrap_or_default()).map_err(NoAnswer::Forbidden)?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let request: HttpRequest = request
            .map(SdkBody::from)
            .try_into()
            .map_err(|error| NoAnswer::Forbidden(format!("the request cannot be sent: {error}")))?;
        let exchange = async {
            let answer = self.connector.call(request).await.map_err(|error| NoAnswer::Broken(causes(&error)))?;
            let answer = answer.try_into_http1x().map_err(|error| NoAnswer::Broken(causes(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let body = body.map_err(|error| NoAnswer::Broken(format!("the answer broke off: {error}")))?;
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes().to_vec() })
        };
        match tokio::time::timeout(time, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Broken(format!("{host} did not answer within {time:?}"))),
        }
    }
}

/// An error with its causes, on one line.
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
    fn only_public_addresses_by_https_are_reached() {
        for url in [
            "https://graph.microsoft.com",
            "https://idp.example/scim/v2",
            "https://idp.example:8443/scim",
            "https://8.8.8.8/x",
            "https://[2606:4700::1111]/",
        ] {
            assert_eq!(Reach::Public.judge(url), Ok(()), "{url}");
        }
        for url in [
            "http://idp.example/scim",
            "ftp://idp.example",
            "idp.example/scim",
            "/scim",
            "",
            "https://",
            "https://user@idp.example/",
            "https://idp.example/#x",
            "https://idp.example/?x=1",
            "https://idp.example/a b",
            "https://localhost/scim",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://172.31.255.255/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://255.255.255.255/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://[2001::1]/",
            "https://[2001:db8::1]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
        ] {
            assert!(Reach::Public.judge(url).is_err(), "{url}");
        }
    }

    #[test]
    fn one_machine_reaches_itself_as_well() {
        for url in ["http://127.0.0.1:8080/scim", "http://localhost/x", "http://[::1]:1/", "https://idp.example"] {
            assert_eq!(Reach::Loopback.judge(url), Ok(()), "{url}");
        }
        for url in ["http://idp.example", "http://10.0.0.1/", "https://192.168.0.1/"] {
            assert!(Reach::Loopback.judge(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_an_answer_asks_is_read() {
        let with = |value: &'static str| Answer {
            status: 429,
            headers: http::HeaderMap::from_iter([(http::header::RETRY_AFTER, http::HeaderValue::from_static(value))]),
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
