//! A WebSocket of a client that may do what no library does.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wsload::frame;

/// Source addresses, all of them loopback, so that ports in TIME_WAIT do not run out.
const SOURCES: u32 = 200;

/// How to get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls,
}

impl Way {
    /// Every other one comes over TLS.
    pub(crate) fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Plain } else { Self::Tls }
    }
}

/// Where a server listens.
pub(crate) struct Doors {
    plain: SocketAddr,
    tls: SocketAddr,
    connector: TlsConnector,
}

/// A connection, with TLS or without.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

impl Doors {
    /// `certificate` is trusted.
    pub(crate) fn new(plain: SocketAddr, tls: SocketAddr, certificate: &CertificateDer<'static>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).map_err(Error::other)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { plain, tls, connector: Arc::new(config).into() })
    }

    /// Connects from one of many loopback addresses, and begins no TLS.
    pub(crate) async fn knock(&self, way: Way) -> Result<TcpStream> {
        thread_local! {
            static OPENED: Cell<u32> = const { Cell::new(0) };
        }
        let opened = OPENED.replace(OPENED.get().wrapping_add(1)) % SOURCES;
        let source = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1 + opened as u8));
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        let stream = socket.connect(if way == Way::Tls { self.tls } else { self.plain }).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connects, with TLS if it is to be so.
    pub(crate) async fn connect(&self, way: Way) -> Result<Box<dyn Wire>> {
        let stream = self.knock(way).await?;
        match way {
            Way::Plain => Ok(Box::new(stream)),
            Way::Tls => {
                let name = ServerName::try_from("localhost").map_err(Error::other)?;
                Ok(Box::new(self.connector.connect(name, stream).await?))
            }
        }
    }
}

/// An open WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: Box<dyn Wire>,
    /// What was read and is no whole frame yet.
    rest: Vec<u8>,
}

/// What a server says.
pub(crate) enum Said {
    Text(Vec<u8>),
    /// Why it closes.
    Close(String),
}

impl Socket {
    /// Opens a WebSocket; `headers` are whole lines.
    pub(crate) async fn open(doors: &Doors, way: Way, path: &str, headers: &str) -> Result<Self> {
        let mut stream = doors.connect(way).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut rest = Vec::new();
        loop {
            if stream.read_buf(&mut rest).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                if !rest.starts_with(b"HTTP/1.1 101") {
                    return Err(Error::other(String::from_utf8_lossy(&rest[..end]).into_owned()));
                }
                rest.drain(..end + 4);
                return Ok(Self { stream, rest });
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        let mut bytes = Vec::with_capacity(text.len() + 14);
        frame::text(text.as_bytes(), &mut bytes);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// The next message. Pings are answered.
    pub(crate) async fn next(&mut self) -> Result<Said> {
        loop {
            while let Some(found) = frame::server(&self.rest) {
                let size = found.size;
                let said = match found.opcode {
                    frame::PING => {
                        let mut pong = Vec::new();
                        frame::pong(found.payload, &mut pong);
                        self.stream.write_all(&pong).await?;
                        self.stream.flush().await?;
                        None
                    }
                    frame::CLOSE => Some(Said::Close(close(found.payload))),
                    1 => Some(Said::Text(found.payload.to_vec())),
                    _ => None,
                };
                self.rest.drain(..size);
                if let Some(said) = said {
                    return Ok(said);
                }
            }
            if self.stream.read_buf(&mut self.rest).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn close(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            format!("{} {}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason))
        }
        _ => "no code".to_owned(),
    }
}
