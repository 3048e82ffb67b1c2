//! The connections of one process (of one thread in a thread-safe PHP), kept between calls.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tungstenite::Utf8Bytes;

use crate::command::Command;
use crate::connect::{Attempt, connect};
use crate::connection::{Connection, Failure};
use crate::endpoint::Endpoint;
use crate::error::{ConnectError, Error};
use crate::reply::Receipt;
use crate::secret::Key;

/// Connections that are kept; beyond them the one that was unused for longest is closed.
const MAX_IDLE: usize = 16;

/// Where to publish, and as whom. Equal targets share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub endpoint: Endpoint,
    /// The key for it, if it needs one.
    pub key: Option<Key>,
}

/// What one call may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limit for connecting, TLS and the WebSocket handshake together. The resolver of host names cannot be limited.
    pub connect_timeout: Duration,
    /// Limit for the whole call, connecting included.
    pub timeout: Duration,
    /// How long calls fail at once after one that waited in vain.
    pub retry_after: Duration,
    /// File with the certificate authorities to trust instead of the system's.
    pub tls_authority: Option<PathBuf>,
}

/// The connections of one process. A call takes the connection out of here and puts it back only when it is in order,
/// so whatever ends a call in between leaves no half-used connection behind, and calls may nest.
#[derive(Default)]
pub struct Publisher {
    state: RefCell<State>,
    next_id: Cell<u64>,
}

#[derive(Default)]
struct State {
    /// The process that made the connections.
    process: u32,
    /// Unused connections, the one used last at the end.
    #[allow(clippy::vec_box, reason = "each call takes one out and puts it back, and they are large")]
    idle: Vec<Box<Idle>>,
    /// Servers that kept a call waiting in vain, and until when no other call waits for them.
    paused: Vec<(Endpoint, Instant)>,
}

/// An unused connection and where it leads.
struct Idle {
    target: Target,
    connection: Connection,
}

impl Publisher {
    /// An id for the next command.
    pub fn next_id(&self) -> u64 {
        let id = self.next_id.get() + 1;
        self.next_id.set(id);
        id
    }

    /// Sends a command and waits for its reply, for no longer than `settings` allows. Connects when there is no
    /// connection, when the one there was is closed, and when this process is a fork of the one that made it.
    pub fn call(&self, target: &Target, settings: &Settings, command: Command) -> Result<Receipt, Error> {
        let now = Instant::now();
        let kept = self.take(target, now)?;
        let call = Call { target, settings, started: now, deadline: now + settings.timeout };
        match call.run(kept, command) {
            Ok((connection, outcome)) => {
                self.put_back(connection);
                outcome
            }
            Err(error) => {
                if error.cost_time() {
                    self.pause(target.endpoint.clone(), Instant::now() + settings.retry_after);
                }
                Err(error)
            }
        }
    }

    fn take(&self, target: &Target, now: Instant) -> Result<Option<Box<Idle>>, Error> {
        let mut state = self.state.borrow_mut();
        let process = std::process::id();
        if state.process != process {
            // A fork: the sockets are the parent's. They are closed here without a word to the server.
            *state = State { process, ..State::default() };
        }
        state.paused.retain(|(_, until)| *until > now);
        if let Some((endpoint, until)) = state.paused.iter().find(|(endpoint, _)| *endpoint == target.endpoint) {
            return Err(Error::Paused { endpoint: endpoint.to_string(), left: *until - now });
        }
        let found = state.idle.iter().rposition(|idle| idle.target == *target);
        Ok(found.map(|index| state.idle.remove(index)))
    }

    fn put_back(&self, connection: Box<Idle>) {
        let mut state = self.state.borrow_mut();
        if state.idle.len() >= MAX_IDLE {
            state.idle.remove(0);
        }
        state.idle.push(connection);
    }

    fn pause(&self, endpoint: Endpoint, until: Instant) {
        self.state.borrow_mut().paused.push((endpoint, until));
    }
}

/// The connection, unless it has ended.
fn alive(mut idle: Box<Idle>) -> Option<Box<Idle>> {
    idle.connection.is_alive().then_some(idle)
}

/// One call on its way.
struct Call<'a> {
    target: &'a Target,
    settings: &'a Settings,
    started: Instant,
    deadline: Instant,
}

impl Call<'_> {
    /// On success, the server's word and a connection that can be used again.
    fn run(&self, kept: Option<Box<Idle>>, command: Command) -> Result<(Box<Idle>, Result<Receipt, Error>), Error> {
        let Command { id, text, channels } = command;
        let text = Utf8Bytes::from(text);
        let mut idle = match kept.and_then(alive) {
            Some(mut idle) => match idle.connection.send(text.clone(), self.deadline) {
                Ok(()) => idle,
                Err((failure, true)) => return Err(self.error(failure)),
                // Closed in this very moment, and the server saw nothing of it.
                Err((_, false)) => self.connect_and_send(text)?,
            },
            None => self.connect_and_send(text)?,
        };
        match idle.connection.receive(id, channels, self.deadline) {
            Ok(outcome) => Ok((idle, outcome)),
            Err(failure) => Err(self.error(failure)),
        }
    }

    fn connect_and_send(&self, text: Utf8Bytes) -> Result<Box<Idle>, Error> {
        let attempt = Attempt {
            started: self.started,
            deadline: self.deadline.min(Instant::now() + self.settings.connect_timeout),
            authority: self.settings.tls_authority.as_deref(),
        };
        let Target { endpoint, key } = self.target;
        let mut connection = Connection::new(connect(endpoint, key.as_ref(), attempt)?);
        match connection.send(text, self.deadline) {
            Ok(()) => Ok(Box::new(Idle { target: self.target.clone(), connection })),
            Err((failure, true)) => Err(self.error(failure)),
            Err((Failure::TimedOut, false)) => Err(self.unconnected(ConnectError::TimedOut(self.settings.timeout))),
            Err((Failure::Broken(cause), false)) => {
                Err(self.unconnected(ConnectError::Handshake(format!("the connection {cause}"))))
            }
        }
    }

    fn unconnected(&self, cause: ConnectError) -> Error {
        Error::Connect { endpoint: self.target.endpoint.to_string(), cause }
    }

    /// A failure after something was sent.
    fn error(&self, failure: Failure) -> Error {
        let endpoint = self.target.endpoint.to_string();
        match failure {
            Failure::TimedOut => Error::Timeout { endpoint, timeout: self.settings.timeout },
            Failure::Broken(cause) => Error::Broken { endpoint, cause },
        }
    }
}
