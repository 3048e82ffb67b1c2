//! A connection of its own whose pings are timed while others are being served.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use mio::net::TcpStream;

use crate::dialect::{Upgrade, upgrade_request};
use crate::{LoadError, frame, socket, stamp};

/// Between an answer and the next ping.
const PAUSE: Duration = Duration::from_micros(300);
const PATIENCE: Duration = Duration::from_secs(5);

/// A WebSocket connection that sends `ping` messages, one at a time.
pub struct Probe {
    socket: TcpStream,
    ping: Vec<u8>,
    answer: String,
    buffer: Vec<u8>,
    received: Vec<u8>,
    state: State,
    /// Pings count while fewer deliveries than this were seen.
    until: u64,
    /// Nanoseconds from ping to answer.
    pub round_trips: Histogram<u64>,
}

enum State {
    Idle { since: Instant },
    Waiting { since: Instant, counts: bool },
}

impl Probe {
    /// Connects; `upgrade.frames[0]` is the ping and `upgrade.ready` what its answer contains.
    pub fn connect(address: SocketAddr, upgrade: &Upgrade) -> Result<Self, LoadError> {
        let mut socket = socket::connect(address)?;
        let hello = upgrade_request(&upgrade.path, &upgrade.headers, address);
        socket.write_all(&hello).map_err(LoadError::io("send the probe's handshake"))?;
        let mut ping = Vec::new();
        frame::text(upgrade.frames.first().map_or("", String::as_str).as_bytes(), &mut ping);
        let mut probe = Self {
            socket,
            ping,
            answer: "\r\n\r\n".to_owned(),
            buffer: vec![0; 16 << 10],
            received: Vec::new(),
            state: State::Waiting { since: Instant::now(), counts: false },
            until: 0,
            round_trips: stamp::latencies(),
        };
        // The end of the upgrade's answer is the first "pong".
        while matches!(probe.state, State::Waiting { .. }) {
            probe.turn(0)?;
        }
        upgrade.ready.clone_into(&mut probe.answer);
        Ok(probe)
    }

    /// From now until this many deliveries a ping counts.
    pub(crate) fn measure_until(&mut self, deliveries: u64) {
        self.until = deliveries;
    }

    /// Sends a ping or looks for its answer; never waits.
    pub(crate) fn turn(&mut self, deliveries: u64) -> Result<(), LoadError> {
        match self.state {
            State::Idle { since } if since.elapsed() >= PAUSE => {
                self.state = State::Waiting { since: Instant::now(), counts: deliveries < self.until };
                self.socket.write_all(&self.ping).map_err(LoadError::io("ping"))
            }
            State::Idle { .. } => Ok(()),
            State::Waiting { since, counts } => {
                if self.answered()? {
                    if counts {
                        self.round_trips.saturating_record(since.elapsed().as_nanos() as u64);
                    }
                    self.state = State::Idle { since: Instant::now() };
                } else if since.elapsed() > PATIENCE {
                    let what = "a ping waits for its answer".to_owned();
                    return Err(LoadError::Stalled { what, patience: PATIENCE });
                }
                Ok(())
            }
        }
    }

    fn answered(&mut self) -> Result<bool, LoadError> {
        match self.socket.read(&mut self.buffer) {
            Ok(0) => Err(LoadError::Closed(1)),
            Ok(read) => {
                self.received.extend_from_slice(&self.buffer[..read]);
                let found = memmem::find(&self.received, self.answer.as_bytes()).is_some();
                if found {
                    self.received.clear();
                }
                Ok(found)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(LoadError::io("read the probe's answer")(error)),
        }
    }
}
