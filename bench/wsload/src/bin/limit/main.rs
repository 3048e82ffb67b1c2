//! The yardstick: the least that a single thread can do. It accepts WebSocket upgrades without checking anything, and
//! every text frame that a client sends goes, as it is, to every other connection with one `send()` each. Frames that
//! arrive in one read are joined, as any server may do.
//!
//! What a socket does not take is lost, nobody is pinged and nothing is validated: a server that does all that can only
//! be slower per `send()`, and by how much is what the benchmarks tell.

mod uring;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::net::{SendFlags, send};

use uring::Ring;

const LISTENER: Token = Token(usize::MAX);
const READ: usize = 256 << 10;
/// Accepts any key: load generators send RFC 6455's example, whose answer this is.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A server that does nothing but send().
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Queue the sends and submit them 256 at a time through `io_uring`.
    #[arg(long)]
    uring: bool,
}

struct Connection {
    socket: TcpStream,
    upgraded: bool,
    /// The incomplete frame at the end of what was read.
    rest: Vec<u8>,
}

struct Limit {
    poll: Poll,
    listener: TcpListener,
    /// Slots stay where they are: a token is an index.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    ring: Option<Ring>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    wsload::raise_file_limit(100_000);
    let mut limit = Limit::bind(arguments.listen, arguments.uring)?;
    eprintln!("listening on {}", limit.listener.local_addr()?);
    let mut events = Events::with_capacity(4096);
    loop {
        match limit.poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => limit.accept()?,
                Token(index) => limit.read(index)?,
            }
        }
    }
}

impl Limit {
    fn bind(address: SocketAddr, uring: bool) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, 4096)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let ring = if uring { Some(Ring::new()?) } else { None };
        Ok(Self { poll, listener, connections: Vec::new(), buffer: vec![0; READ], ring })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let token = Token(self.connections.len());
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            self.connections.push(Some(Connection { socket, upgraded: false, rest: Vec::new() }));
        }
    }

    /// One read of one connection, relayed.
    fn read(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        let read = match connection.socket.read(&mut self.buffer) {
            Ok(read) if read > 0 => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Ok(_) | Err(_) => {
                self.connections[index] = None;
                return Ok(());
            }
        };
        if !connection.upgraded {
            // A handshake of a few hundred bytes arrives in one piece from the generators that use this.
            connection.upgraded = true;
            return connection.socket.write_all(UPGRADED);
        }
        let mut out = Vec::with_capacity(read);
        if connection.rest.is_empty() {
            let used = wsload::frame::relay(&self.buffer[..read], &mut out);
            connection.rest.extend_from_slice(&self.buffer[used..read]);
        } else {
            connection.rest.extend_from_slice(&self.buffer[..read]);
            let used = wsload::frame::relay(&connection.rest, &mut out);
            connection.rest.drain(..used);
        }
        if out.is_empty() {
            return Ok(());
        }
        // mio is edge-triggered: had the buffer been filled, the rest would come with the next event of the publisher,
        // which is soon enough for frames below 256 KiB.
        self.send_to_all_but(index, &out)
    }

    fn send_to_all_but(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let receivers = (self.connections.iter().enumerate())
            .filter(|(other, _)| *other != index)
            .filter_map(|(_, connection)| connection.as_ref())
            .filter(|connection| connection.upgraded)
            .map(|connection| &connection.socket);
        if let Some(ring) = &mut self.ring {
            return ring.send_all(receivers, bytes);
        }
        for socket in receivers {
            // What is not taken is lost: that is the yardstick's privilege.
            let _ = send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
        Ok(())
    }
}
