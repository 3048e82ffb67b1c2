//! Where a server is: what the application writes as a URL.

use std::fmt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The socket that the server makes by default where its directory exists.
const SYSTEM_SOCKET: &str = "/run/realtime/realtime.sock";
/// The default socket's name inside `$XDG_RUNTIME_DIR`.
const USER_SOCKET: &str = "realtime.sock";
/// Where the server listens by default.
const DEFAULT_PORT: u16 = 8080;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The server's default unix socket if it exists at the time of connecting, else its default port on loopback.
    Local,
    /// `unix:///path`: the server's socket on this machine.
    Unix(PathBuf),
    /// `ws://` or `wss://`.
    Tcp(TcpEndpoint),
}

/// A server that is reached over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpEndpoint {
    /// `wss://`: TLS with a verified certificate.
    pub tls: bool,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before `/publisher`: empty, or `/…` without a slash at its end.
    pub prefix: String,
}

/// Why a URL was refused. The text completes "the URL …" and repeats nothing of it, since it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Neither `ws://` nor `wss://` nor `unix://`.
    Scheme,
    /// `user:password@`.
    UserInfo,
    /// No host, or characters that no host has.
    Host,
    /// Not a port.
    Port,
    /// A `?` or `#`.
    Query,
    /// Spaces, control characters or bytes beyond ASCII in a path.
    Path,
    /// `unix://` without an absolute path.
    SocketPath,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "must begin with ws://, wss:// or unix://",
            Self::UserInfo => "must not contain a user or password; the key has its own setting",
            Self::Host => "must name a host, as in ws://127.0.0.1:8080",
            Self::Port => "must have a port between 1 and 65535",
            Self::Query => "must not contain a query or fragment",
            Self::Path => "must have a path of visible ASCII characters",
            Self::SocketPath => "must name a socket by its absolute path, as in unix:///run/realtime/realtime.sock",
        })
    }
}

impl std::error::Error for UrlError {}

impl Endpoint {
    /// Reads a URL; the empty one is [`Endpoint::Local`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        if url.is_empty() {
            return Ok(Self::Local);
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "ws" => TcpEndpoint::parse(false, rest).map(Self::Tcp),
            "wss" => TcpEndpoint::parse(true, rest).map(Self::Tcp),
            "unix" if rest.len() > 1 && rest.starts_with('/') && !rest.contains('\0') => Ok(Self::Unix(rest.into())),
            "unix" => Err(UrlError::SocketPath),
            _ => Err(UrlError::Scheme),
        }
    }

    /// [`Endpoint::Local`] turned into what it stands for right now.
    pub(crate) fn resolve(&self) -> Self {
        match self {
            Self::Local => default_sockets()
                .find(|path| is_socket(path))
                .map_or_else(|| Self::Tcp(TcpEndpoint::loopback()), Self::Unix),
            other => other.clone(),
        }
    }
}

fn default_sockets() -> impl Iterator<Item = PathBuf> {
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join(USER_SOCKET));
    std::iter::once(PathBuf::from(SYSTEM_SOCKET)).chain(user)
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.file_type().is_socket())
}

impl TcpEndpoint {
    fn loopback() -> Self {
        Self { tls: false, host: "127.0.0.1".to_owned(), port: DEFAULT_PORT, prefix: String::new() }
    }

    fn parse(tls: bool, rest: &str) -> Result<Self, UrlError> {
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        // Before everything else, so that no later message is about a part of a password.
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if rest.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let (host, port) = split_host(authority)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(UrlError::Port)?,
            None if tls => 443,
            None => 80,
        };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Path);
        }
        Ok(Self { tls, host: host.to_owned(), port, prefix: path.trim_end_matches('/').to_owned() })
    }

    /// The host as a URL and the `Host` header show it.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

fn split_host(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address = host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host);
        return match after.strip_prefix(':') {
            Some(port) => address.map(|_| (host, Some(port))),
            None if after.is_empty() => address.map(|_| (host, None)),
            None => Err(UrlError::Host),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !host.bytes().all(valid) { Err(UrlError::Host) } else { Ok((host, port)) }
}

/// The URL, as messages name it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => self.resolve().fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(tcp) => {
                let scheme = if tcp.tls { "wss" } else { "ws" };
                write!(f, "{scheme}://{}{}", tcp.authority(), tcp.prefix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Endpoint::parse(url).unwrap().to_string()
    }

    #[test]
    fn urls_of_every_kind_are_read() {
        assert_eq!(shown("ws://127.0.0.1:8080"), "ws://127.0.0.1:8080");
        assert_eq!(shown("WS://example.org"), "ws://example.org:80");
        assert_eq!(shown("wss://example.org/"), "wss://example.org:443");
        assert_eq!(shown("ws://[::1]:9/realtime/"), "ws://[::1]:9/realtime");
        assert_eq!(shown("unix:///run/x.sock"), "unix:///run/x.sock");
        assert_eq!(Endpoint::parse(""), Ok(Endpoint::Local));
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused_with_its_reason() {
        for (url, error) in [
            ("127.0.0.1:8080", UrlError::Scheme),
            ("http://127.0.0.1", UrlError::Scheme),
            ("ws://user:secret@host", UrlError::UserInfo),
            ("ws://user:se/cret@host", UrlError::Port),
            ("ws://", UrlError::Host),
            ("ws://a b", UrlError::Host),
            ("ws://[::1", UrlError::Host),
            ("ws://[::1]x", UrlError::Host),
            ("ws://host:0", UrlError::Port),
            ("ws://host:65536", UrlError::Port),
            ("ws://host:", UrlError::Port),
            ("ws://host/?key=1", UrlError::Query),
            ("ws://host/#x", UrlError::Query),
            ("ws://host/ä", UrlError::Path),
            ("ws://host/a\r\nX: y", UrlError::Path),
            ("unix://run/x.sock", UrlError::SocketPath),
            ("unix:///", UrlError::SocketPath),
            ("unix:///a\0b", UrlError::SocketPath),
        ] {
            assert_eq!(Endpoint::parse(url), Err(error), "{url:?}");
        }
    }
}
