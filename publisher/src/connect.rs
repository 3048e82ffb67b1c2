//! From an endpoint to an open WebSocket, before a deadline.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use native_tls::{HandshakeError as TlsError, TlsStream};
use realtime_protocol::PUBLISHER_SUBPROTOCOL;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::{Request, Response};
use tungstenite::http::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error as WsError, WebSocket};

use crate::connection::Connection;
use crate::endpoint::{Endpoint, TcpEndpoint};
use crate::error::{ConnectError, Error};
use crate::secret::Key;
use crate::stream::{DeadlineStream, Transport};
use crate::tls;

/// The header by which a server says how many seconds it knows idempotency keys.
const KEY_TTL: &str = "realtime-key-ttl";
/// Bytes of the buffers that stay with an idle connection.
const BUFFER: usize = 4 * 1024;
/// Longest reply: the outcomes of the channels that the longest frame can name.
const MAX_REPLY: usize = 64 * 1024 * 1024;
/// Longest part of a server's text in our messages.
const MAX_REASON: usize = 200;

/// What a connection attempt may cost and trust.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) authority: Option<&'a Path>,
}

impl Attempt<'_> {
    fn left(&self) -> Result<Duration, ConnectError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.timed_out()) } else { Ok(left) }
    }

    fn timed_out(&self) -> ConnectError {
        ConnectError::TimedOut(self.deadline.saturating_duration_since(self.started))
    }

    /// An error of the operating system, unless it only says that the time is over.
    fn io(&self, error: io::Error) -> ConnectError {
        match error.kind() {
            io::ErrorKind::TimedOut if Instant::now() >= self.deadline - Duration::from_millis(1) => self.timed_out(),
            _ => ConnectError::Io(error),
        }
    }
}

/// Connects, and authenticates with `key` where there is one. The key never goes over a unix socket, whose
/// permissions guard it.
pub(crate) fn connect(endpoint: &Endpoint, key: Option<&Key>, attempt: Attempt<'_>) -> Result<Connection, Error> {
    let endpoint = endpoint.resolve();
    let failed = |cause| Error::Connect { endpoint: endpoint.to_string(), cause };
    let (transport, base, key) = match &endpoint {
        Endpoint::Unix(path) => {
            let stream = connect_unix(path, attempt).map_err(failed)?;
            (Transport::Plain(stream), "ws://localhost".to_owned(), None)
        }
        Endpoint::Tcp(tcp) => {
            let stream = connect_tcp(tcp, attempt).map_err(failed)?;
            let transport = if tcp.tls {
                Transport::Tls(Box::new(start_tls(&tcp.host, stream, attempt).map_err(failed)?))
            } else {
                Transport::Plain(stream)
            };
            (transport, format!("ws://{}{}", tcp.authority(), tcp.prefix), key)
        }
        // `resolve` never answers with what it was asked to resolve.
        Endpoint::Local => return Err(failed(ConnectError::Io(io::ErrorKind::NotFound.into()))),
    };
    let request = request(&base, key).map_err(|error| failed(ConnectError::Handshake(error.to_string())))?;
    let (socket, ttl) = upgrade(transport, request, attempt).map_err(|error| match error {
        UpgradeError::Connect(cause) => failed(cause),
        UpgradeError::Refused(response) => refused(&response, key, &endpoint),
    })?;
    Ok(Connection::new(socket, ttl))
}

fn connect_unix(path: &Path, attempt: Attempt<'_>) -> Result<DeadlineStream, ConnectError> {
    let io = |error: Errno| ConnectError::Io(error.into());
    let address = SocketAddrUnix::new(path).map_err(io)?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(io)?;
    loop {
        // A full backlog blocks connect() as long as a write may block.
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(attempt.left()?)).map_err(io)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(attempt.timed_out()),
            Err(error) => return Err(io(error)),
        }
    }
    DeadlineStream::new(socket, attempt.deadline).map_err(ConnectError::Io)
}

pub(crate) fn connect_tcp(tcp: &TcpEndpoint, attempt: Attempt<'_>) -> Result<DeadlineStream, ConnectError> {
    let addresses = (tcp.host.as_str(), tcp.port).to_socket_addrs().map_err(ConnectError::Resolve)?;
    let mut last = ConnectError::Resolve(io::Error::other("the host has no address"));
    for address in addresses {
        match TcpStream::connect_timeout(&address, attempt.left()?) {
            Ok(stream) => {
                let socket = OwnedFd::from(stream);
                tune(&socket).map_err(|error| ConnectError::Io(error.into()))?;
                return DeadlineStream::new(socket, attempt.deadline).map_err(ConnectError::Io);
            }
            Err(error) => last = attempt.io(error),
        }
    }
    Err(last)
}

/// No waiting for more bytes to send, and probes that find out when the server's machine is gone while PHP is idle.
fn tune(socket: &OwnedFd) -> rustix::io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(socket, 3)
}

fn start_tls(
    host: &str,
    stream: DeadlineStream,
    attempt: Attempt<'_>,
) -> Result<TlsStream<DeadlineStream>, ConnectError> {
    let connector = tls::connector(attempt.authority)?;
    connector.connect(host, stream).map_err(|error| match error {
        TlsError::Failure(_) if attempt.left().is_err() => attempt.timed_out(),
        TlsError::Failure(error) => ConnectError::Tls(tls::explain(&error, host, attempt.authority)),
        // The stream waits until the deadline by itself.
        TlsError::WouldBlock(_) => attempt.timed_out(),
    })
}

fn request(base: &str, key: Option<&Key>) -> Result<Request, WsError> {
    let mut request = format!("{base}/publisher").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PUBLISHER_SUBPROTOCOL));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("realtime-php/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = key {
        headers.insert(AUTHORIZATION, bearer(key)?);
    }
    Ok(request)
}

fn bearer(key: &Key) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) enum UpgradeError {
    Connect(ConnectError),
    Refused(Box<Response>),
}

/// The WebSocket, and how long the server knows idempotency keys, if it does.
pub(crate) fn upgrade(
    transport: Transport,
    request: Request,
    attempt: Attempt<'_>,
) -> Result<(WebSocket<Transport>, Option<Duration>), UpgradeError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_REPLY))
        .max_frame_size(Some(MAX_REPLY));
    let error = match tungstenite::client::client_with_config(request, transport, Some(config)) {
        Ok((socket, response)) => return Ok((socket, key_ttl(&response))),
        // The stream waits until the deadline by itself.
        Err(HandshakeError::Interrupted(_)) => return Err(UpgradeError::Connect(attempt.timed_out())),
        Err(HandshakeError::Failure(error)) => error,
    };
    Err(match error {
        WsError::Http(response) => UpgradeError::Refused(response),
        _ if attempt.left().is_err() => UpgradeError::Connect(attempt.timed_out()),
        WsError::Io(error) => UpgradeError::Connect(attempt.io(error)),
        error => UpgradeError::Connect(ConnectError::Handshake(error.to_string())),
    })
}

fn key_ttl(response: &Response) -> Option<Duration> {
    response.headers().get(KEY_TTL)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The server answered the upgrade request with an ordinary HTTP response.
fn refused(response: &Response, key: Option<&Key>, endpoint: &Endpoint) -> Error {
    let status = response.status().as_u16();
    let reason = response.body().as_deref().and_then(|body| reason(body, key));
    let endpoint = endpoint.to_string();
    match status {
        401 | 403 => Error::Refused { endpoint, status, key_given: key.is_some(), reason },
        _ => Error::Connect { endpoint, cause: ConnectError::Http(status, reason) },
    }
}

/// The message in an error's body, if it is one of ours. A server that repeats the key does not bring it into a log.
fn reason(body: &[u8], key: Option<&Key>) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = body.get("error")?.get("message")?.as_str()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
    match key {
        Some(key) if text.contains(key.expose()) => None,
        _ => Some(text),
    }
}
