//! The PROXY protocol (haproxy's `proxy-protocol.txt`, versions 1 and 2): a proxy that passes bytes on says first for
//! whom. Reading it takes its own bytes from the socket and not one more, so that HTTP or TLS begins where it always does.

mod header;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use self::header::{MAX_LENGTH, parse};
use crate::gate::Gate;
use crate::refusals::Refusals;

pub use self::header::{Parsed as ProxyHeader, parse as proxy_header};

/// Why a connection ends before its first request.
#[derive(Debug)]
pub enum Refused {
    /// Only trusted proxies may say who is behind them, and where they must, nobody else may connect.
    Stranger,
    /// What came is no header.
    Malformed(&'static str),
    /// The header was not complete in time.
    TooSlow,
    /// The socket ended or failed.
    Ended(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger => f.write_str(
                "with proxy_protocol only trusted_proxies may connect; add this address if it is one of your proxies",
            ),
            Self::Malformed(what) => write!(
                f,
                "no PROXY protocol header came first: {what}; set the proxy to send one (haproxy: send-proxy-v2), or \
                 proxy_protocol = false"
            ),
            Self::TooSlow => f.write_str("the PROXY protocol header was not complete within handshake_timeout"),
            Self::Ended(error) => write!(f, "the connection ended in the PROXY protocol header: {error}"),
        }
    }
}

impl Refused {
    /// Says so: in the log of every day what is to be mended, in that of debugging what just happens.
    pub fn log(&self, address: IpAddr, refusals: &Refusals) {
        match self {
            Self::Stranger | Self::Malformed(_) => {
                refusals.log(Instant::now(), || warn!(%address, "refused a connection: {self}"));
            }
            Self::TooSlow | Self::Ended(_) => debug!(%address, "{self}"),
        }
    }
}

/// Whom the proxy at `peer` connects for; itself, when it only looks whether the server is well. To be called before
/// anything else is read.
pub async fn read(stream: &TcpStream, peer: IpAddr, gate: &Gate, patience: Duration) -> Result<IpAddr, Refused> {
    if !gate.is_proxy(peer) {
        return Err(Refused::Stranger);
    }
    let (length, source) = timeout(patience, header(stream)).await.map_err(|_| Refused::TooSlow)??;
    let mut bytes = [0; MAX_LENGTH];
    // It lies in the kernel as a whole.
    match recv(stream.as_raw_fd(), &mut bytes[..length], MsgFlags::MSG_DONTWAIT) {
        Ok(taken) if taken == length => Ok(source.map_or(peer, |source| source.ip().to_canonical())),
        Ok(_) => Err(Refused::Ended(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(Refused::Ended(error.into())),
    }
}

/// Waits for a whole header without taking it: how long it is, and whom it names.
async fn header(stream: &TcpStream) -> Result<(usize, Option<SocketAddr>), Refused> {
    loop {
        let is_over = stream.ready(Interest::READABLE).await.map_err(Refused::Ended)?.is_read_closed();
        // `WouldBlock` asks the reactor for word of the next bytes.
        let looked = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; MAX_LENGTH];
            let length = recv(stream.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?;
            match parse(&bytes[..length]) {
                ProxyHeader::Incomplete if length > 0 && !is_over => Err(io::ErrorKind::WouldBlock.into()),
                parsed => Ok(parsed),
            }
        });
        match looked {
            Ok(ProxyHeader::Whole { length, source }) => return Ok((length, source)),
            Ok(ProxyHeader::Malformed(what)) => return Err(Refused::Malformed(what)),
            Ok(ProxyHeader::Incomplete) => return Err(Refused::Ended(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Refused::Ended(error)),
        }
    }
}
