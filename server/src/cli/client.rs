//! A blocking connection to a server, for the commands that talk to one.

mod tls;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use realtime_protocol::PUBLISHER_SUBPROTOCOL;
use realtime_server::config::{Config, PublisherKey};
use realtime_server::unix_socket::{Resolved, resolve};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tungstenite::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use tungstenite::{Error, Message, WebSocket};

use self::tls::Tls;
use super::Failure;

/// How long connecting, and each read or write of an answer, may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Unix(PathBuf),
    /// Host and port as they go into `Host`, the path before ours, and for `wss://` whose certificates count.
    Tcp {
        authority: String,
        prefix: String,
        tls: Option<Tls>,
    },
}

/// A server and the key for it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    pub(super) key: Option<PublisherKey>,
}

impl Endpoint {
    /// What `--url` and `--key-file` name; without them what the configuration says. The unix socket comes first where
    /// `unix` allows it and it exists.
    pub(super) fn chosen(matches: &ArgMatches, config: &Config, unix: bool) -> Result<Self, Failure> {
        let key = match matches.get_one::<PathBuf>("key-file") {
            Some(path) => Some(PublisherKey::from_file(path).map_err(Failure::Usage)?),
            None => config.a_publisher_key().cloned(),
        };
        let address = match matches.get_one::<String>("url") {
            Some(url) => Address::parse(url, matches.get_one::<PathBuf>("tls-ca").map(PathBuf::as_path))?,
            None => Address::configured(config, unix),
        };
        match address {
            Address::Unix(path) if !unix => Err(Failure::Usage(format!(
                "the unix socket {} serves publishers only; name the server as ws://host:port or wss://host",
                path.display()
            ))),
            address => Ok(Self { address, key }),
        }
    }

    /// Opens a WebSocket at `path` (`/publisher`, `/`), as a page of `origin` would, if there is one.
    pub(super) fn connect(&self, path: &str, origin: Option<&str>) -> Result<WebSocket<Stream>, Failure> {
        let cannot =
            |error: &dyn std::fmt::Display| Failure::Run(format!("cannot connect to {}: {error}", self.address));
        let stream = self.address.open().map_err(|error| cannot(&error))?;
        let uri = format!("ws://{}{path}", self.address.authority_and_prefix());
        let mut request = uri.into_client_request().map_err(|error| cannot(&error))?;
        self.headers(path, request.headers_mut())?;
        if let Some(origin) = origin {
            let origin = HeaderValue::try_from(origin).map_err(|error| cannot(&error))?;
            request.headers_mut().insert(ORIGIN, origin);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(socket),
            Err(HandshakeError::Failure(Error::Http(response))) => Err(self.refused(&response)),
            Err(HandshakeError::Failure(Error::Protocol(ProtocolError::HttparseError(_))))
                if matches!(self.address, Address::Tcp { tls: None, .. }) =>
            {
                Err(cannot(&"what answers there is no HTTP server; with TLS the URL begins with wss://"))
            }
            Err(HandshakeError::Failure(error)) => Err(cannot(&error)),
            Err(HandshakeError::Interrupted(_)) => Err(cannot(&"it does not answer")),
        }
    }

    /// Sends a publisher's command and waits for its reply: up to the usual time, or (`patiently`) as long as it takes.
    /// An error is a failure.
    pub(super) fn exchange(&self, command: String, patiently: bool) -> Result<Value, Failure> {
        let mut socket = self.connect("/publisher", None)?;
        let lost = |error: Error| Failure::Run(format!("{} did not answer: {error}", self.address));
        if patiently {
            socket.get_ref().limit(None).map_err(|error| lost(error.into()))?;
        }
        socket.send(Message::text(command)).map_err(lost)?;
        let reply = loop {
            match socket.read().map_err(lost)? {
                Message::Text(text) => break text,
                Message::Close(frame) => {
                    let reason = frame.map_or("without a reason".to_owned(), |frame| frame.to_string());
                    return Err(Failure::Run(format!("{} closed the connection: {reason}", self.address)));
                }
                _ => {}
            }
        };
        // The server has answered; how it takes our leave changes nothing.
        let _ = socket.close(None);
        let reply: Value = serde_json::from_str(&reply)
            .map_err(|error| Failure::Run(format!("{} answered what is no JSON: {error}", self.address)))?;
        if reply["type"] != "error" {
            return Ok(reply);
        }
        let text = |field: &str| reply[field].as_str().unwrap_or("?").to_owned();
        Err(Failure::Run(format!("refused ({}): {}", text("code"), text("message"))))
    }

    fn headers(&self, path: &str, headers: &mut HeaderMap) -> Result<(), Failure> {
        if path == "/publisher" {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PUBLISHER_SUBPROTOCOL));
        }
        if let (Address::Tcp { .. }, Some(key)) = (&self.address, &self.key) {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.secret()))
                .map_err(|error| Failure::Run(error.to_string()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }

    fn refused(&self, response: &Response<Option<Vec<u8>>>) -> Failure {
        let status = response.status();
        let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
        // So say this server and nginx what was sent to the port of TLS without it.
        let wants_tls =
            status == StatusCode::BAD_REQUEST && ["speaks TLS", "HTTPS port"].iter().any(|it| body.contains(it));
        let hint = match (status, &self.key) {
            _ if wants_tls => "; the port speaks TLS: the URL begins with wss://",
            (StatusCode::UNAUTHORIZED, None) => "; it wants a publisher key: set publisher_key, or give --key-file",
            (StatusCode::UNAUTHORIZED, Some(_)) => "; its publisher key is another one",
            _ => "",
        };
        Failure::Run(format!("{} refuses the connection with status {status}{hint}", self.address))
    }
}

impl Address {
    /// Reads `ws://host[:port][/prefix]`, the same with `wss://`, or `unix:///path`. `trusted` has the authorities that may
    /// have signed the certificate.
    fn parse(url: &str, trusted: Option<&Path>) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("--url {url:?}: {why}"));
        if trusted.is_some() && !url.starts_with("wss://") {
            return Err(wrong("--tls-ca goes with wss:// only"));
        }
        if let Some(path) = url.strip_prefix("unix://") {
            let absolute = path.starts_with('/');
            return if absolute { Ok(Self::Unix(path.into())) } else { Err(wrong("write unix:///path/to/the/socket")) };
        }
        let uri: Uri = url.parse().map_err(|_| wrong("not a URL; write ws://host:port, wss://host or unix:///path"))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme @ ("ws" | "wss")), Some(authority)) if !authority.as_str().contains('@') => {
                let tls = (scheme == "wss").then(|| Tls::new(authority.host(), trusted)).transpose()?;
                let prefix = uri.path().trim_end_matches('/').to_owned();
                Ok(Self::Tcp { authority: authority.as_str().to_owned(), prefix, tls })
            }
            (Some("ws" | "wss"), _) => {
                Err(wrong("write ws://host:port or wss://host; the key goes into a file, --key-file"))
            }
            _ => Err(wrong("write ws://host:port, wss://host or unix:///path")),
        }
    }

    fn configured(config: &Config, unix: bool) -> Self {
        match resolve(config, runtime_dir().as_deref()) {
            Resolved::At(path) if unix && path.exists() => Self::Unix(path),
            _ => Self::listening(config),
        }
    }

    /// Where the server of this configuration listens without TLS.
    pub(super) fn listening(config: &Config) -> Self {
        Self::Tcp { authority: reachable(config.listen).to_string(), prefix: String::new(), tls: None }
    }

    pub(super) fn authority_and_prefix(&self) -> String {
        match self {
            // Hosts mean nothing on a unix socket, but HTTP wants one.
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { authority, prefix, .. } => format!("{authority}{prefix}"),
        }
    }

    /// Connects, and limits how long reads and writes may take.
    pub(super) fn open(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => Stream::unix(path),
            Self::Tcp { authority, tls: None, .. } => Ok(Stream::Tcp(tcp(authority, 80)?)),
            Self::Tcp { authority, tls: Some(tls), .. } => {
                tls.begin(tcp(authority, 443)?).map(|stream| Stream::Tls(Box::new(stream)))
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { authority, prefix, tls: None } => write!(f, "ws://{authority}{prefix}"),
            Self::Tcp { authority, prefix, tls: Some(_) } => write!(f, "wss://{authority}{prefix}"),
        }
    }
}

/// `$XDG_RUNTIME_DIR`.
pub(super) fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// Where a server that listens on `address` is reached from this machine.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Any kind of socket.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn unix(path: &Path) -> io::Result<Self> {
        let stream = Self::Unix(UnixStream::connect(path)?);
        stream.limit(Some(TIMEOUT))?;
        Ok(stream)
    }

    /// How long a read or write may take; `None`: for ever.
    pub(super) fn limit(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(timeout).and_then(|()| stream.set_write_timeout(timeout)),
            Self::Tcp(stream) => limit(stream, timeout),
            Self::Tls(stream) => limit(&stream.sock, timeout),
        }
    }
}

fn limit(stream: &TcpStream, timeout: Option<Duration>) -> io::Result<()> {
    stream.set_read_timeout(timeout).and_then(|()| stream.set_write_timeout(timeout))
}

/// Connects to the first address of a name that answers.
fn tcp(authority: &str, default_port: u16) -> io::Result<TcpStream> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let addresses = if has_port {
        authority.to_socket_addrs()?
    } else {
        format!("{authority}:{default_port}").to_socket_addrs()?
    };
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                limit(&stream, Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The status of `GET path` with these further header lines, for checks that need no more than that. A `Host` among
/// them replaces the address's own.
pub(super) fn status(address: &Address, path: &str, headers: &[(&str, &str)]) -> io::Result<u16> {
    let mut stream = address.open()?;
    let own_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str()));
    let (authority, prefix) = match address {
        Address::Unix(_) => ("localhost", ""),
        Address::Tcp { authority, prefix, .. } => (&**authority, &**prefix),
    };
    let mut request = format!("GET {prefix}{path} HTTP/1.1\r\n");
    if !own_host {
        request.push_str(&format!("Host: {authority}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    // A status line is short, and this reads it once; a server that sends none is cut off.
    while head.len() < 1024 && !head.ends_with(b"\n") && stream.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head);
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    code.ok_or_else(|| io::Error::other("what answers there is no HTTP server"))
}
