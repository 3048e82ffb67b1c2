//! One open connection: its health, and the exchange of a command for its reply.

use std::io;
use std::time::Instant;

use tungstenite::{Error as WsError, Message, Utf8Bytes, WebSocket};

use crate::error::{BrokenCause, Error};
use crate::reply::{Receipt, Reply};
use crate::stream::{Transport, Wait};

/// Frames that are read while nothing is expected; more of them is no server of ours.
const MAX_IDLE_FRAMES: usize = 64;

/// How an exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The deadline passed.
    TimedOut,
    /// The connection broke.
    Broken(BrokenCause),
}

/// An open connection on which no reply is outstanding.
pub(crate) struct Connection {
    socket: WebSocket<Transport>,
    sent: Instant,
}

impl Connection {
    pub(crate) fn new(socket: WebSocket<Transport>) -> Self {
        Self { socket, sent: Instant::now() }
    }

    /// Reads what came while the connection was idle: pings, which it answers, or its end. Never waits.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.wait(Wait::Never);
        for _ in 0..MAX_IDLE_FRAMES {
            match self.socket.read() {
                Ok(Message::Close(_)) => return false,
                Ok(_) => {}
                Err(WsError::Io(error)) => return error.kind() == io::ErrorKind::WouldBlock,
                Err(_) => return false,
            }
        }
        false
    }

    /// Sends a frame. The flag says whether any byte of it went out.
    pub(crate) fn send(&mut self, text: Utf8Bytes, deadline: Instant) -> Result<(), (Failure, bool)> {
        self.wait(Wait::Until(deadline));
        self.sent = Instant::now();
        let before = self.socket.get_mut().socket().written();
        self.socket.send(Message::Text(text)).map_err(|error| {
            let written = self.socket.get_mut().socket().written() != before;
            (failure(error, deadline), written)
        })
    }

    /// Waits for the reply with this `id`.
    pub(crate) fn receive(
        &mut self,
        id: u64,
        channels: Vec<String>,
        deadline: Instant,
    ) -> Result<Result<Receipt, Error>, Failure> {
        loop {
            let text = match self.socket.read().map_err(|error| failure(error, deadline))? {
                Message::Text(text) => text,
                Message::Close(_) => return Err(Failure::Broken(BrokenCause::Closed)),
                Message::Binary(_) => return Err(nonsense("a binary frame")),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let reply = Reply::parse(&text).map_err(|error| nonsense(&error.to_string()))?;
            // What carries no id, or another one, is not about this command.
            if reply.id == Some(id) {
                let round_trip = self.sent.elapsed();
                return Ok(reply.into_receipt(channels).map(|receipt| Receipt { round_trip, ..receipt }));
            }
        }
    }

    fn wait(&mut self, wait: Wait) {
        self.socket.get_mut().socket().set_wait(wait);
    }
}

fn nonsense(why: &str) -> Failure {
    Failure::Broken(BrokenCause::Protocol(why.to_owned()))
}

fn failure(error: WsError, deadline: Instant) -> Failure {
    let cause = match error {
        WsError::Io(error) if error.kind() == io::ErrorKind::TimedOut => return Failure::TimedOut,
        // TLS wraps the error of the socket.
        _ if Instant::now() >= deadline => return Failure::TimedOut,
        WsError::Io(error) => BrokenCause::Io(error),
        WsError::ConnectionClosed | WsError::AlreadyClosed => BrokenCause::Closed,
        WsError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => BrokenCause::Closed,
        error => BrokenCause::Protocol(error.to_string()),
    };
    Failure::Broken(cause)
}
