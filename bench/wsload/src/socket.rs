//! Sockets of the generator's side.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::net::TcpStream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::LoadError;

/// Connections from one source address: fewer than there are ephemeral ports, those in TIME_WAIT included.
const PER_SOURCE: usize = 10_000;

/// Lets this process and what it starts open as many files as it may, at best `wanted`; returns how many that are.
pub fn raise_file_limit(wanted: u64) -> u64 {
    let old = getrlimit(Resource::Nofile);
    let hard = old.maximum.unwrap_or(u64::MAX);
    // Only a privileged process may raise the hard limit; anybody may raise the soft one up to it.
    let best = [hard.max(wanted), hard];
    for limit in best {
        if setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit.max(hard)) }).is_ok() {
            return limit;
        }
    }
    old.current.unwrap_or(u64::MAX)
}

/// A connected, non-blocking stream without Nagle's delay.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream, LoadError> {
    let socket = connect_blocking(address)?;
    socket.set_nonblocking(true).map_err(LoadError::io("make a socket non-blocking"))?;
    Ok(TcpStream::from_std(socket))
}

/// A connected stream without Nagle's delay.
pub(crate) fn connect_blocking(address: SocketAddr) -> Result<std::net::TcpStream, LoadError> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(LoadError::io("make a socket"))?;
    if address.ip().is_loopback() && address.is_ipv4() {
        // All of 127.0.0.0/8 is ours: spread, so that ports do not run out.
        socket.bind(&SocketAddr::new(source(), 0).into()).map_err(LoadError::io("bind a source address"))?;
    }
    socket.connect(&address.into()).map_err(LoadError::io("connect"))?;
    socket.set_tcp_nodelay(true).map_err(LoadError::io("set TCP_NODELAY"))?;
    Ok(socket.into())
}

fn source() -> IpAddr {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    let block = OPENED.fetch_add(1, Ordering::Relaxed) / PER_SOURCE;
    IpAddr::V4(Ipv4Addr::new(127, 1 + (block >> 8) as u8 % 250, block as u8, 1))
}
