//! One call on its way: what is queued is written, and answers are read, until the call's goal is met. A connection that
//! breaks on the way is replaced, and what it left unanswered is written again, in order, as long as the call has time.

use std::thread;
use std::time::{Duration, Instant};

use tungstenite::Utf8Bytes;

use crate::connect::{Attempt, connect};
use crate::connection::{Connection, Failure};
use crate::entry::Entry;
use crate::error::{BrokenCause, ConnectError, Error};
use crate::publisher::{Settings, Target};
use crate::queue::Queue;
use crate::stats::Counters;

/// The first pause before a connection is replaced a second time, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// A connection, or none at the moment, and what was given to it.
pub(crate) struct Line {
    pub(crate) target: Target,
    pub(crate) connection: Option<Connection>,
    pub(crate) queue: Queue,
}

impl Line {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, connection: None, queue: Queue::default() }
    }
}

/// What a call waits for.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// That so many more commands and bytes may be outstanding.
    Room(usize, usize),
    /// That the last entry is on its way.
    Written,
    /// That the last entry has an outcome.
    Answered,
    /// That all entries have one.
    Settled,
}

impl Goal {
    fn is_met(self, queue: &Queue) -> bool {
        match self {
            Self::Room(commands, bytes) => queue.has_room(commands, bytes),
            Self::Written => queue.last_is_written(),
            Self::Answered => queue.last_has_outcome(),
            Self::Settled => queue.waiting() == 0,
        }
    }

    /// Whether to try on although there is no connection to be had: only for what may have arrived already. A server
    /// that is away costs a new broadcast no time.
    fn persists(self, queue: &Queue) -> bool {
        match self {
            Self::Room(..) => false,
            Self::Written | Self::Answered => queue.last_is_again(),
            Self::Settled => queue.any_is_again(),
        }
    }
}

/// Why an exchange came to a halt.
enum Stop {
    TimedOut,
    Broken(BrokenCause),
    Unconnected(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut => Self::TimedOut,
            Failure::Broken(cause) => Self::Broken(cause),
        }
    }
}

/// A line in use, within the limits of one call.
pub(crate) struct Exchange<'a> {
    pub(crate) line: &'a mut Line,
    pub(crate) settings: &'a Settings,
    pub(crate) counters: &'a Counters,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
}

impl Exchange<'_> {
    /// Reads what has come, and forgets a connection that has ended meanwhile. Never waits.
    pub(crate) fn absorb(&mut self) {
        let Line { connection: Some(connection), queue, .. } = &mut *self.line else { return };
        let counters = self.counters;
        if let Err(cause) = connection.drain(queue.waiting(), |text| queue.answer(text, counters)) {
            self.lose(&cause);
        }
    }

    /// Goes on until the goal is met.
    pub(crate) fn drive(&mut self, goal: Goal) -> Result<(), Error> {
        let mut pauses = Pauses(Duration::ZERO);
        let mut broke = None;
        loop {
            match self.advance(goal) {
                Ok(()) => return Ok(()),
                Err(Stop::TimedOut) => {
                    let error = self.timed_out(goal);
                    // What others wait for may still come.
                    if matches!(goal, Goal::Answered) {
                        self.lose(&BrokenCause::Closed);
                    }
                    return Err(error);
                }
                Err(Stop::Broken(cause)) => {
                    self.lose(&cause);
                    if goal.is_met(&self.line.queue) {
                        return Ok(());
                    }
                    broke = Some(cause);
                }
                Err(Stop::Unconnected(error)) => {
                    let passing = matches!(error, Error::Connect { .. });
                    if !passing || !goal.persists(&self.line.queue) {
                        return Err(error);
                    }
                }
            }
            if !pauses.pause(self.deadline) {
                let endpoint = self.endpoint();
                let cause = broke.unwrap_or(BrokenCause::Closed);
                return Err(Error::Broken { endpoint, cause, key: self.key(goal) });
            }
        }
    }

    fn advance(&mut self, goal: Goal) -> Result<(), Stop> {
        while !goal.is_met(&self.line.queue) {
            self.connect()?;
            self.gather(goal);
            self.write()?;
            if !goal.is_met(&self.line.queue) {
                let Some(connection) = &mut self.line.connection else { continue };
                let text = connection.receive(self.deadline)?;
                self.line.queue.answer(text, self.counters).map_err(Stop::Broken)?;
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Stop> {
        if self.line.connection.is_some() {
            return Ok(());
        }
        let attempt = Attempt {
            started: self.started,
            deadline: self.deadline.min(Instant::now() + self.settings.connect_timeout),
            authority: self.settings.tls_authority.as_deref(),
        };
        let Target { endpoint, key } = &self.line.target;
        let connection = connect(endpoint, key.as_ref(), attempt).map_err(Stop::Unconnected)?;
        self.counters.connects.add(1);
        self.line.queue.connected(Instant::now(), connection.ttl, self.counters);
        self.line.connection = Some(connection);
        Ok(())
    }

    /// Each write to a TCP socket that wakes the server costs several microseconds of this process. In a burst that
    /// nobody waits for, the kernel may therefore send as one what is written until the server has taken what came
    /// before. The first of a burst, or a lone one, has nothing before it and goes at once.
    fn gather(&mut self, goal: Goal) {
        if let Some(connection) = &mut self.line.connection
            && matches!(goal, Goal::Written)
            && self.line.queue.waiting() > 1
        {
            connection.gather(true);
        }
    }

    /// Writes everything that is not written.
    fn write(&mut self) -> Result<(), Stop> {
        while let Some(text) = self.line.queue.next_unwritten() {
            self.write_frame(text)?;
        }
        Ok(())
    }

    fn write_frame(&mut self, text: Utf8Bytes) -> Result<(), Stop> {
        let (counters, Line { connection: Some(connection), queue, .. }) = (self.counters, &mut *self.line) else {
            return Ok(());
        };
        let now = Instant::now();
        match connection.send(text, self.deadline, queue.waiting(), |text| queue.answer(text, counters)) {
            Ok(()) => queue.wrote(now, connection.ttl, counters),
            Err((failure, partly)) => {
                if partly {
                    queue.wrote(now, connection.ttl, counters);
                }
                if matches!(failure, Failure::TimedOut) {
                    // A frame that was begun could only be continued.
                    self.lose(&BrokenCause::Closed);
                }
                return Err(failure.into());
            }
        }
        Ok(())
    }

    fn lose(&mut self, cause: &BrokenCause) {
        self.line.connection = None;
        self.line.queue.broken(cause, self.counters);
    }

    fn endpoint(&self) -> String {
        self.line.target.endpoint.to_string()
    }

    /// The key of what the call is about, if that is one broadcast.
    fn key(&self, goal: Goal) -> Option<String> {
        match goal {
            Goal::Written | Goal::Answered => self.line.queue.last().and_then(Entry::key),
            Goal::Room(..) | Goal::Settled => None,
        }
    }

    /// The error of a call whose time is over.
    fn timed_out(&self, goal: Goal) -> Error {
        let (endpoint, timeout) = (self.endpoint(), self.settings.timeout);
        let last_written = self.line.queue.last().is_none_or(|last| last.written().is_some());
        match goal {
            Goal::Room(..) => Error::Full { endpoint, timeout },
            Goal::Settled => Error::Timeout { endpoint, timeout, key: None },
            Goal::Written | Goal::Answered if last_written => Error::Timeout { endpoint, timeout, key: self.key(goal) },
            Goal::Written | Goal::Answered => Error::Connect { endpoint, cause: ConnectError::TimedOut(timeout) },
        }
    }
}

/// Longer and longer pauses between one connection and the next.
struct Pauses(Duration);

impl Pauses {
    /// The first is none. `false` when the time is over.
    fn pause(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(self.0.min(left));
        self.0 = (self.0 * 2).clamp(PAUSES.0, PAUSES.1);
        true
    }
}
