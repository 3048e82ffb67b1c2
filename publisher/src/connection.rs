//! One open connection: frames out, frames in, and neither ever blocks the other.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error as WsError, Message, Utf8Bytes, WebSocket};

use crate::error::BrokenCause;
use crate::stream::{Transport, Wait};

/// Frames that are read at once without being expected; more of them is no server of ours.
const MAX_UNEXPECTED: usize = 64;

/// How an exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The deadline passed.
    TimedOut,
    /// The connection broke.
    Broken(BrokenCause),
}

/// An open connection.
pub(crate) struct Connection {
    socket: WebSocket<Transport>,
    /// How long the server knows idempotency keys; `None`: it knows none.
    pub(crate) ttl: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(socket: WebSocket<Transport>, ttl: Option<Duration>) -> Self {
        Self { socket, ttl }
    }

    /// Reads what has come, pings included, which it answers. Never waits. `expected`: how many replies may come.
    pub(crate) fn drain(
        &mut self,
        expected: usize,
        mut take: impl FnMut(Utf8Bytes) -> Result<(), BrokenCause>,
    ) -> Result<(), BrokenCause> {
        self.wait(Wait::Never);
        for _ in 0..expected + MAX_UNEXPECTED {
            match self.socket.read() {
                Ok(message) => message_text(message)?.map_or(Ok(()), &mut take)?,
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(broken(error)),
            }
        }
        Err(nonsense("more than it was asked for"))
    }

    /// Sends a frame. While the server does not take it, what the server sends is read: else two full sockets would
    /// wait for each other. The flag says whether any byte of it went out.
    pub(crate) fn send(
        &mut self,
        text: Utf8Bytes,
        deadline: Instant,
        expected: usize,
        mut take: impl FnMut(Utf8Bytes) -> Result<(), BrokenCause>,
    ) -> Result<(), (Failure, bool)> {
        self.wait(Wait::Never);
        let before = self.socket.get_mut().socket().written();
        let mut sent = self.socket.send(Message::Text(text));
        loop {
            let failure = match sent {
                Ok(()) => return Ok(()),
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let drained = self.drain(expected, &mut take).map_err(Failure::Broken);
                    drained.and_then(|()| self.wait_for_either(deadline)).err()
                }
                Err(error) => Some(failure(error, deadline)),
            };
            if let Some(failure) = failure {
                let failure = self.explained(failure, expected, take);
                return Err((failure, self.socket.get_mut().socket().written() != before));
            }
            sent = self.socket.flush();
        }
    }

    /// Waits for a frame.
    pub(crate) fn receive(&mut self, deadline: Instant) -> Result<Utf8Bytes, Failure> {
        self.wait(Wait::Until(deadline));
        self.gather(false);
        loop {
            let message = self.socket.read().map_err(|error| failure(error, deadline))?;
            if let Some(text) = message_text(message).map_err(Failure::Broken)? {
                return Ok(text);
            }
        }
    }

    /// Why the server takes nothing any more, if it said so before.
    fn explained(
        &mut self,
        failure: Failure,
        expected: usize,
        take: impl FnMut(Utf8Bytes) -> Result<(), BrokenCause>,
    ) -> Failure {
        match failure {
            Failure::Broken(BrokenCause::Io(_) | BrokenCause::Closed) => match self.drain(expected, take) {
                Err(BrokenCause::TooLarge) => Failure::Broken(BrokenCause::TooLarge),
                _ => failure,
            },
            failure => failure,
        }
    }

    /// As for [`crate::stream::DeadlineStream::gather`]. Who waits for an answer stops it.
    pub(crate) fn gather(&mut self, gathers: bool) {
        self.socket.get_mut().socket().gather(gathers);
    }

    fn wait_for_either(&mut self, deadline: Instant) -> Result<(), Failure> {
        self.socket.get_mut().socket().wait_for_either(deadline).map_err(|error| failure(WsError::Io(error), deadline))
    }

    fn wait(&mut self, wait: Wait) {
        self.socket.get_mut().socket().set_wait(wait);
    }
}

/// The text of a frame; `None` for those that only keep a connection alive.
fn message_text(message: Message) -> Result<Option<Utf8Bytes>, BrokenCause> {
    match message {
        Message::Text(text) => Ok(Some(text)),
        Message::Close(Some(close)) if close.code == CloseCode::Size => Err(BrokenCause::TooLarge),
        Message::Close(_) => Err(BrokenCause::Closed),
        Message::Binary(_) => Err(nonsense("a binary frame")),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

fn nonsense(why: &str) -> BrokenCause {
    BrokenCause::Protocol(why.to_owned())
}

fn broken(error: WsError) -> BrokenCause {
    match error {
        WsError::Io(error) => BrokenCause::Io(Arc::new(error)),
        WsError::ConnectionClosed | WsError::AlreadyClosed => BrokenCause::Closed,
        WsError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => BrokenCause::Closed,
        error => BrokenCause::Protocol(error.to_string()),
    }
}

fn failure(error: WsError, deadline: Instant) -> Failure {
    match error {
        WsError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Failure::TimedOut,
        // TLS wraps the error of the socket.
        _ if Instant::now() >= deadline => Failure::TimedOut,
        error => Failure::Broken(broken(error)),
    }
}
