//! A WebSocket of a client that may do what no library does.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use wsload::frame;

/// Source addresses, all of them loopback, so that ports in TIME_WAIT do not run out.
const SOURCES: u32 = 200;

/// Connects from one of many loopback addresses.
pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream> {
    thread_local! {
        static OPENED: Cell<u32> = const { Cell::new(0) };
    }
    let opened = OPENED.replace(OPENED.get().wrapping_add(1)) % SOURCES;
    let source = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1 + opened as u8));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An open WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
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
    pub(crate) async fn open(address: SocketAddr, path: &str, headers: &str) -> Result<Self> {
        let mut stream = connect(address).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
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
        self.stream.write_all(&bytes).await
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
