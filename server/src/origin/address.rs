//! `scheme://host[:port]` and `host[:port]`, read as strictly as browsers write them (RFC 6454 §6.2, RFC 9112 §3.2).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A host, compared without regard to case; IPv4 written as IPv6 counts as IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    Name(Box<str>),
}

/// Where a page comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageOrigin {
    pub(super) scheme: Box<str>,
    pub(super) host: Host,
    /// With the scheme's default filled in.
    pub(super) port: Option<u16>,
}

impl Host {
    /// This machine, by whichever of its names.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => &**name == "localhost",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Ip(IpAddr::V6(ip).to_canonical()));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            // IPv6 has been handled: without brackets it is not valid here.
            return ip.is_ipv4().then_some(Self::Ip(ip));
        }
        let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let valid = text.len() <= 255
            && text.bytes().all(|b| label(b) || b == b'.')
            && text.split('.').all(|part| !part.is_empty());
        valid.then(|| Self::Name(text.to_ascii_lowercase().into()))
    }

    /// Reads `host[:port]`.
    pub(super) fn parse_with_port(text: &str) -> Option<(Self, Option<u16>)> {
        let ends_in_bracket = text.ends_with(']');
        match text.rsplit_once(':') {
            Some((host, port)) if !ends_in_bracket => {
                let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                Some((Self::parse(host)?, Some(port.parse().ok().filter(|_| digits)?)))
            }
            _ => Some((Self::parse(text)?, None)),
        }
    }
}

impl PageOrigin {
    /// Reads a serialized origin: no user, path, query or blank, and one origin only.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(scheme_char) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = Host::parse_with_port(authority)?;
        let port = port.or(match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        });
        Some(Self { scheme: scheme.into(), host, port })
    }

    /// Whether it is a web page rather than an extension or an application's shell.
    pub(super) fn is_web(&self) -> bool {
        matches!(&*self.scheme, "http" | "https")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (&*self.scheme, self.port) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => Ok(()),
            (_, Some(port)) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_back_as_browsers_write_them() {
        for (text, canonical) in [
            ("HTTPS://App.Example.COM:443", "https://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("http://[::ffff:10.0.0.1]", "http://10.0.0.1"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(PageOrigin::parse(text).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn whatever_is_no_single_origin_is_none() {
        for text in [
            "",
            "null",
            "example.com",
            "//example.com",
            "https://",
            "https:///",
            "https://example.com/",
            "https://example.com?x",
            "https://example.com#x",
            "https://good.com@evil.com",
            "https://a b",
            "https://a.com https://b.com",
            "https://a.com\\@evil.com",
            "https://a..com",
            "https://.com",
            "https://a.com.",
            "https://[::1",
            "https://::1",
            "https://[::1]x",
            "https://a.com:",
            "https://a.com:+80",
            "https://a.com:65536",
            "https://a.com:x",
            "1https://a.com",
            "ht tp://a.com",
            "https://münchen.de",
            "https://%61.com",
            "https://a.com\0",
        ] {
            assert_eq!(PageOrigin::parse(text), None, "{text:?}");
        }
    }
}
