//! The subscribers and the event loop that reads them.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, Ear};
use crate::secure::{Socket, Tls};
use crate::stamp::Deliveries;
use crate::{Dialect, LoadError, Probe, socket};

/// Tokens from here on belong to publishers.
const PUBLISHERS: usize = usize::MAX / 2;
/// Sockets read between two looks at the probe: it must not wait for a whole round of reading.
const BETWEEN_PROBES: usize = 16;
const READ: usize = 256 << 10;

/// Any number of subscribers to one server.
pub struct Crowd {
    address: SocketAddr,
    dialect: Dialect,
    tls: Option<Tls>,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    connections: Vec<Connection>,
    /// What awaited messages contain.
    words: Vec<u8>,
    /// Connections that still await some.
    waiting: usize,
    closed: usize,
    stopped: Vec<usize>,
    /// What has arrived.
    pub deliveries: Deliveries,
    /// A connection whose round trips are measured meanwhile.
    pub probe: Option<Probe>,
}

impl Crowd {
    /// An empty crowd.
    pub fn new(address: SocketAddr, dialect: Dialect) -> Result<Self, LoadError> {
        Ok(Self {
            address,
            words: dialect.ready().to_vec(),
            dialect,
            tls: None,
            poll: Poll::new().map_err(LoadError::io("make an epoll"))?,
            events: Events::with_capacity(4096),
            buffer: vec![0; READ],
            connections: Vec::new(),
            waiting: 0,
            closed: 0,
            stopped: Vec::new(),
            deliveries: Deliveries::default(),
            probe: None,
        })
    }

    /// The same over TLS, with a server that has the certificate in this file, for localhost. What its publishers
    /// say stays plain: they connect elsewhere.
    pub fn over_tls(address: SocketAddr, dialect: Dialect, certificate: &Path) -> Result<Self, LoadError> {
        Ok(Self { tls: Some(Tls::trusting(certificate)?), ..Self::new(address, dialect)? })
    }

    /// How this crowd speaks.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Where its server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Subscribers ever opened.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether none was opened.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Subscribers that the server closed.
    pub fn closed(&self) -> usize {
        self.closed
    }

    /// Subscribers who read publication `number`: those of its channel.
    pub fn readers(&self, number: usize) -> u64 {
        let channels = self.dialect.channels;
        let of_channel = |index: usize| index % channels == number % channels;
        let (whole, rest) = (self.connections.len() / channels, self.connections.len() % channels);
        let all = whole + usize::from(number % channels < rest);
        (all - self.stopped.iter().filter(|&&index| of_channel(index)).count()) as u64
    }

    /// Opens `count` more and waits until every subscription stands; at most `in_flight` are being opened at a time.
    pub fn open(&mut self, count: usize, in_flight: usize, patience: Duration) -> Result<(), LoadError> {
        for _ in 0..count {
            let hello = self.dialect.hello(self.connections.len(), self.address);
            self.connect(&hello)?;
            self.settle(in_flight, patience, "opening")?;
        }
        self.settle(0, patience, "subscribing")
    }

    /// Connects `count` more and sends only the first half of each handshake.
    pub fn begin(&mut self, count: usize) -> Result<(), LoadError> {
        for _ in 0..count {
            let hello = self.dialect.hello(self.connections.len(), self.address);
            self.connect(&hello[..hello.len() / 2])?;
            self.pump(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Sends the second halves and waits until every subscription stands.
    pub fn complete(&mut self, patience: Duration) -> Result<(), LoadError> {
        for index in 0..self.connections.len() {
            let hello = self.dialect.hello(index, self.address);
            let half = hello.len() / 2;
            self.connections[index].send(&hello[half..]).map_err(LoadError::io("complete a handshake"))?;
        }
        self.settle(0, patience, "completing handshakes")
    }

    /// Every subscriber sends its `bytes`, at most `in_flight` of them at a time, and waits for `answers` messages that
    /// contain `words`.
    pub fn ask(
        &mut self,
        mut bytes: impl FnMut(usize) -> Vec<u8>,
        (words, answers): (&str, usize),
        in_flight: usize,
        patience: Duration,
    ) -> Result<(), LoadError> {
        self.words = words.as_bytes().to_vec();
        for index in 0..self.connections.len() {
            let connection = &mut self.connections[index];
            if !connection.open {
                return Err(LoadError::Closed(self.closed));
            }
            connection.awaited = answers;
            self.waiting += 1;
            connection.send(&bytes(index)).map_err(LoadError::io("send a command"))?;
            self.settle(in_flight, patience, "asking")?;
        }
        self.settle(0, patience, "waiting for answers")
    }

    /// Reads for this long.
    pub fn hold(&mut self, time: Duration) -> Result<(), LoadError> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.pump(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Subscriber `index` never reads again, and is not counted as a reader; its socket stays open.
    pub fn stop_reading(&mut self, index: usize) -> Result<(), LoadError> {
        let stopped = &mut self.connections[index].socket;
        self.poll.registry().deregister(stopped).map_err(LoadError::io("stop reading"))?;
        self.stopped.push(index);
        Ok(())
    }

    pub(crate) fn watch_publisher(&self, source: &mut impl Source, number: usize) -> Result<(), LoadError> {
        let token = Token(PUBLISHERS + number);
        self.poll.registry().register(source, token, Interest::READABLE).map_err(LoadError::io("watch a publisher"))
    }

    fn connect(&mut self, hello: &[u8]) -> Result<(), LoadError> {
        let index = self.connections.len();
        let mut socket = Socket::new(socket::connect(self.address)?, self.tls.as_ref())?;
        let token = Token(index);
        self.poll
            .registry()
            .register(&mut socket, token, Interest::READABLE)
            .map_err(LoadError::io("watch a subscriber"))?;
        let mut connection = Connection::new(socket, self.dialect.after_upgrade(index));
        connection.send(hello).map_err(LoadError::io("send a handshake"))?;
        self.connections.push(connection);
        self.waiting += 1;
        Ok(())
    }

    /// Reads until at most `left` subscribers wait for something.
    fn settle(&mut self, left: usize, patience: Duration, what: &str) -> Result<(), LoadError> {
        let mut progress = (self.waiting, Instant::now());
        while self.waiting > left {
            self.pump(Duration::from_millis(50))?;
            if self.closed > 0 {
                return Err(LoadError::Closed(self.closed));
            }
            if self.waiting < progress.0 {
                progress = (self.waiting, Instant::now());
            } else if progress.1.elapsed() > patience {
                let what = format!("{what}: {} of {} still wait", self.waiting, self.connections.len());
                return Err(LoadError::Stalled { what, patience });
            }
        }
        Ok(())
    }

    /// Waits once and reads whatever is there; whether publishers have something to read too.
    pub(crate) fn pump(&mut self, wait: Duration) -> Result<bool, LoadError> {
        // A probe wants a look more often than subscribers have something.
        let wait = if self.probe.is_some() { wait.min(Duration::from_micros(200)) } else { wait };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(LoadError::io("poll")(error)),
            _ => {}
        }
        let mut publishers = false;
        let mut since_probe = 0;
        if let Some(probe) = &mut self.probe {
            probe.turn(self.deliveries.count)?;
        }
        for event in &self.events {
            let Token(index) = event.token();
            if index >= PUBLISHERS {
                publishers = true;
                continue;
            }
            let connection = &mut self.connections[index];
            let ear = Ear { wire: self.dialect.wire(), words: &self.words, deliveries: &mut self.deliveries };
            let awaited = connection.awaited;
            let open = drain(connection, event.is_read_closed(), &mut self.buffer, ear)?;
            if !open && connection.open {
                connection.open = false;
                self.closed += 1;
            }
            if awaited > 0 && (connection.awaited == 0 || !open) {
                connection.awaited = 0;
                self.waiting -= 1;
            }
            since_probe += 1;
            if since_probe == BETWEEN_PROBES
                && let Some(probe) = &mut self.probe
            {
                since_probe = 0;
                probe.turn(self.deliveries.count)?;
            }
        }
        Ok(publishers)
    }
}

/// Reads what waits on the socket; false when the server closed it.
fn drain(connection: &mut Connection, ending: bool, buffer: &mut [u8], mut ear: Ear<'_>) -> Result<bool, LoadError> {
    loop {
        match connection.socket.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => {
                ear.deliveries.bytes += read as u64;
                connection.receive(&buffer[..read], &mut ear)?;
                // mio's epoll is edge-triggered: less than was asked for means that nothing is left, except perhaps the
                // end of the stream, which the same event announced.
                if read < buffer.len() && !ending && connection.socket.tells_its_end() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(false),
        }
    }
}
