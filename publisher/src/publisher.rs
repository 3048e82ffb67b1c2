//! The connections of one process (of one thread in a thread-safe PHP), and what is under way on them, kept between
//! calls.

use std::cell::{Cell, RefCell, RefMut};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Command, Publication};
use crate::endpoint::Endpoint;
use crate::entry::{Entry, NOBODY, Owner};
use crate::error::Error;
use crate::exchange::{Exchange, Goal, Line};
use crate::idempotency::{KeyRefusal, Keys};
use crate::message::MessageError;
use crate::pending::Deferred;
use crate::reply::{Outcome, Receipt};
use crate::secret::Key;
use crate::stats::{Counters, Stats};

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

/// Broadcasts that nobody waits for are absorbed each time that this many more are outstanding.
const ABSORB: usize = 32;
/// Pauses before a broadcast that the server could not take at the moment is sent again.
const UNAVAILABLE: [Duration; 3] = [Duration::from_millis(25), Duration::from_millis(50), Duration::from_millis(100)];

/// The connections of one process. A call takes the connection out of here and puts it back when it is done, so whatever
/// ends a call in between leaves no half-used connection behind, and calls may nest.
#[derive(Default)]
pub struct Publisher {
    state: RefCell<State>,
    pub(crate) counters: Counters,
    next_id: Cell<u64>,
    next_owner: Cell<Owner>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The process that made the connections and the keys.
    process: u32,
    keys: Option<Keys>,
    /// Unused lines, the one used last at the end.
    #[allow(clippy::vec_box, reason = "each call takes one out and puts it back, and they are large")]
    pub(crate) lines: Vec<Box<Line>>,
    /// Servers that kept a call waiting in vain, and until when no other call waits for them.
    paused: Vec<(Endpoint, Instant)>,
    /// What waits for `flush()` or the end of the request.
    pub(crate) deferred: Vec<Deferred>,
}

impl State {
    pub(crate) fn keys(&mut self) -> &mut Keys {
        self.keys.get_or_insert_with(Keys::new)
    }
}

/// A broadcast that was written and not waited for.
#[derive(Debug)]
pub struct Sent {
    /// Its idempotency key.
    pub key: String,
    /// A failure of an earlier one, whose outcome nobody has asked for and which is kept no longer.
    pub forgotten: Option<Error>,
}

impl Publisher {
    /// An id for the next command.
    pub(crate) fn next_id(&self) -> u64 {
        let id = self.next_id.get() + 1;
        self.next_id.set(id);
        id
    }

    /// A new owner of what is sent without waiting, and of what is deferred.
    pub fn new_owner(&self) -> Owner {
        let owner = self.next_owner.get() + 1;
        self.next_owner.set(owner);
        owner
    }

    /// Checks an idempotency key of the application.
    pub fn check_key(&self, key: &str) -> Result<(), KeyRefusal> {
        self.state().keys().check(key)
    }

    /// Asks the server to publish.
    pub fn publication(&self, publication: &Publication<'_>) -> Command {
        Command::publish(self.next_id(), publication, self.state().keys())
    }

    /// A whole message of the application.
    pub fn message(&self, json: &str) -> Result<Command, MessageError> {
        Command::message(self.next_id(), json, self.state().keys())
    }

    /// Asks for a `pong`.
    pub fn ping(&self) -> Command {
        Command::ask(self.next_id(), "ping", |_| ())
    }

    /// Sends a command and waits for its reply, for no longer than `settings` allows. Connects when there is no
    /// connection, when the one there was is closed, and when this process is a fork of the one that made it. What was
    /// sent before without waiting stays before it.
    pub fn call(&self, target: &Target, settings: &Settings, command: Command) -> Outcome {
        self.exchange(target, settings, Instant::now(), |exchange| {
            exchange.line.queue.add(Entry::new(command, NOBODY), exchange.counters);
            let driven = answered(exchange);
            let entry = exchange.line.queue.pop_last();
            driven?;
            let entry = entry.unwrap_or_else(|| unreachable!("it was pushed above"));
            let round_trip = entry.written().map_or(Duration::ZERO, |at| at.elapsed());
            let outcome = entry.outcomes(&target.endpoint).pop();
            let receipt = outcome.unwrap_or_else(|| unreachable!("a lone command has one outcome"))?;
            Ok(Receipt { round_trip, ..receipt })
        })
    }

    /// Sends a broadcast, and leaves its acknowledgement to later calls. Waits only for a connection, and while too many
    /// acknowledgements are outstanding.
    pub fn send(&self, owner: Owner, target: &Target, settings: &Settings, command: Command) -> Result<Sent, Error> {
        let key = command.first.read_key(&command.text).unwrap_or_default();
        self.exchange(target, settings, Instant::now(), |exchange| {
            exchange.drive(Goal::Room(command.len(), command.text.len()))?;
            exchange.line.queue.add(Entry::new(command, owner), exchange.counters);
            let refused = exchange.line.queue.last_has_outcome();
            let driven = exchange.drive(Goal::Written);
            if refused || driven.is_err() {
                let entry = exchange.line.queue.pop_last();
                driven?;
                let outcome = entry.and_then(|entry| entry.outcomes(&target.endpoint).pop());
                outcome.unwrap_or_else(|| unreachable!("a lone command has one outcome"))?;
            }
            let surplus = exchange.line.queue.pop_surplus().filter(Entry::may_have_failed);
            let outcomes = surplus.map(|entry| entry.outcomes(&target.endpoint)).unwrap_or_default();
            Ok(Sent { key, forgotten: outcomes.into_iter().find_map(Result::err) })
        })
    }

    /// Counters, and what is under way.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats {
            outstanding: state.lines.iter().map(|line| line.queue.outstanding() as u64).sum(),
            deferred: state.deferred.iter().map(|deferred| deferred.batch.len() as u64).sum(),
            ..self.counters.read()
        }
    }

    /// The state of this process. A fork inherits sockets and pending broadcasts that are its parent's: the sockets are
    /// closed without a word to the server, the broadcasts left to the parent.
    pub(crate) fn state(&self) -> RefMut<'_, State> {
        let mut state = self.state.borrow_mut();
        let process = std::process::id();
        if state.process != process {
            *state = State { process, ..State::default() };
            self.counters.reset();
        }
        state
    }

    /// Runs an exchange on the target's line, taken out meanwhile, from `started` for as long as `settings` allows.
    pub(crate) fn exchange<T>(
        &self,
        target: &Target,
        settings: &Settings,
        started: Instant,
        run: impl FnOnce(&mut Exchange<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut line = self.take(target, started)?;
        let deadline = started + settings.timeout;
        let mut exchange = Exchange { line: &mut line, settings, counters: &self.counters, started, deadline };
        // Between calls a connection may have ended, and a burst of broadcasts must not fill the sockets.
        if exchange.line.queue.waiting().is_multiple_of(ABSORB) {
            exchange.absorb();
        }
        let result = run(&mut exchange);
        if let Err(error) = &result
            && error.cost_time()
        {
            self.state().paused.push((target.endpoint.clone(), Instant::now() + settings.retry_after));
        }
        self.put_back(line);
        result
    }

    fn take(&self, target: &Target, now: Instant) -> Result<Box<Line>, Error> {
        let mut state = self.state();
        state.paused.retain(|(_, until)| *until > now);
        if let Some((endpoint, until)) = state.paused.iter().find(|(endpoint, _)| *endpoint == target.endpoint) {
            return Err(Error::Paused { endpoint: endpoint.to_string(), left: *until - now });
        }
        let found = state.lines.iter().rposition(|line| line.target == *target);
        Ok(found.map_or_else(|| Box::new(Line::new(target.clone())), |index| state.lines.remove(index)))
    }

    fn put_back(&self, line: Box<Line>) {
        // The process that took it.
        let mut state = self.state.borrow_mut();
        if state.lines.len() >= MAX_IDLE
            && let Some(idle) = state.lines.iter().position(|line| line.queue.is_empty())
        {
            state.lines.remove(idle);
        }
        if line.connection.is_some() || !line.queue.is_empty() {
            state.lines.push(line);
        }
    }
}

/// Waits until the last entry has an outcome. One that the server could not take at the moment is sent again.
fn answered(exchange: &mut Exchange<'_>) -> Result<(), Error> {
    exchange.drive(Goal::Answered)?;
    for pause in UNAVAILABLE {
        if Instant::now() + pause >= exchange.deadline || !exchange.line.queue.last_is_unavailable() {
            break;
        }
        thread::sleep(pause);
        exchange.line.queue.repeat_last();
        exchange.drive(Goal::Answered)?;
    }
    Ok(())
}
