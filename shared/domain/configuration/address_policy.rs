//! The address policy: which addresses a tenant may configure.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// The allowed range of a tenant's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses by https, as in a deployment.
    Public,
    /// Also this machine by http; only on one machine.
    Loopback,
}

impl Reach {
    /// Whether the service may connect to `address`.
    pub fn permits(self, address: IpAddr) -> bool {
        is_public(address) || (self == Self::Loopback && address.is_loopback())
    }

    /// Checks an address as text.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn judge(self, url: &str) -> Result<(), String> {
        // The text is checked because a parser drops a fragment, and takes a host before an `@` as
        // credentials.
        if url.contains(['#', '?', '@', '\\'])
            || url.chars().any(|char| char.is_whitespace() || char.is_control())
        {
            return Err(
                "must have only a scheme, host and path: no user, query, fragment or space"
                    .to_owned(),
            );
        }
        let uri: http::Uri =
            url.parse().map_err(|_| "must be a URL like https://idp.example/scim/v2".to_owned())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("has no host")?;
        let literal = literal(host);
        let is_here = match literal {
            Some(address) => address.is_loopback(),
            None => host.eq_ignore_ascii_case("localhost"),
        };
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self == Self::Loopback && is_here => {}
            Some("http") if self == Self::Loopback => {
                return Err("must be https; http is accepted only for this machine".to_owned());
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

/// Where the service runs. It decides where secrets are stored, which addresses are allowed, and
/// how short a window may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Deployed,
    OneMachine,
}

impl Place {
    /// The addresses that requests to directories may use.
    pub fn reach(self) -> Reach {
        match self {
            Self::Deployed => Reach::Public,
            Self::OneMachine => Reach::Loopback,
        }
    }

    /// The shortest window. In AWS windows end to the minute; on one machine to the second.
    pub fn shortest_window(self) -> Duration {
        match self {
            Self::Deployed => Duration::from_secs(300),
            Self::OneMachine => Duration::from_secs(1),
        }
    }
}

/// The IP address in a host, if it is one.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Whether an address is public: not one that the IANA special-purpose address registries (RFC
/// 6890) list as not globally reachable, in any notation.
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
                // IPv4-mapped addresses, and those in NAT64 (RFC 6052) and 6to4 (RFC 3056).
                [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    embedded(high, low)
                }
                [0x2002, high, low, ..] => embedded(high, low),
                // Protocol assignments, including Teredo, and documentation.
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

#[cfg(test)]
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
        for url in [
            "http://127.0.0.1:8080/scim",
            "http://localhost/x",
            "http://[::1]:1/",
            "https://idp.example",
        ] {
            assert_eq!(Reach::Loopback.judge(url), Ok(()), "{url}");
        }
        for url in ["http://idp.example", "http://10.0.0.1/", "https://192.168.0.1/"] {
            assert!(Reach::Loopback.judge(url).is_err(), "{url}");
        }
    }
}
