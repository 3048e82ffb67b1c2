//! A frame on its way: what it asks, how far it has come, and what became of it.

use std::time::{Duration, Instant};

use tungstenite::Utf8Bytes;

use crate::command::{Command, Part};
use crate::endpoint::Endpoint;
use crate::error::{BrokenCause, Error};
use crate::reply::{self, Outcome};

/// The server could not say what became of a broadcast; the same key may be sent again.
const UNAVAILABLE: &str = "unavailable";
/// Longest frame that a server reads, bytes; it closes the connection for a longer one.
const MAX_FRAME: usize = 8 << 20;
/// Longest frame that is kept whole for its outcome.
const SMALL: usize = 1_024;

/// Whose outcome it is: `flush()` tells each object its own.
pub type Owner = u64;

/// The owner of what a call waits for.
pub(crate) const NOBODY: Owner = 0;

/// A frame and what became of it so far.
pub(crate) struct Entry {
    pub(crate) command: Command,
    text: Utf8Bytes,
    owner: Owner,
    state: State,
    /// When some byte of it was first written.
    written: Option<Instant>,
    /// How long the server that it was first written to knows its key; `None`: it knows no keys.
    ttl: Option<Duration>,
}

/// How far an entry without an outcome has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// Not written yet.
    New,
    /// Written to the connection there is.
    Written,
    /// Written to one that broke, and to be written again.
    Again,
}

enum State {
    /// Without an outcome.
    Waiting(Outgoing),
    /// Answered with this text.
    Answered(Utf8Bytes),
    /// Written to a connection that broke, and never to be written again by us.
    Lost(BrokenCause),
}

impl Entry {
    pub(crate) fn new(mut command: Command, owner: Owner) -> Self {
        let text = Utf8Bytes::from(std::mem::take(&mut command.text));
        let mut entry = Self { command, text, owner, state: State::Waiting(Outgoing::New), written: None, ttl: None };
        if entry.text.len() > MAX_FRAME {
            let length = entry.text.len();
            entry.refuse_as_too_large(&format!(
                "the command has {length} bytes, and servers take {} MiB at once; send less, or where to get it",
                MAX_FRAME >> 20
            ));
        }
        entry
    }

    /// Answers it in the server's place.
    pub(crate) fn refuse_as_too_large(&mut self, message: &str) {
        let message = serde_json::Value::from(message);
        let refusal =
            |part: &Part| format!(r#"{{"id":{},"type":"error","code":"too_large","message":{message}}}"#, part.id);
        let refusals = self.command.parts().map(refusal).collect::<Vec<_>>().join(",");
        self.answered(if self.command.array { format!("[{refusals}]") } else { refusals }.into());
        self.shorten();
    }

    /// The command that it was made of.
    pub(crate) fn into_command(self) -> Command {
        Command { text: self.text.as_str().to_owned(), ..self.command }
    }

    pub(crate) fn has_outcome(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    pub(crate) fn is(&self, outgoing: Outgoing) -> bool {
        matches!(self.state, State::Waiting(now) if now == outgoing)
    }

    /// Asking again for what publishes nothing is always right.
    pub(crate) fn publishes_nothing(&self) -> bool {
        self.command.first.key.is_none()
    }

    /// Broadcasts in it.
    pub(crate) fn broadcasts(&self) -> usize {
        if self.publishes_nothing() { 0 } else { self.command.len() }
    }

    /// When some byte of it was first written.
    pub(crate) fn written(&self) -> Option<Instant> {
        self.written
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// The frame.
    pub(crate) fn text(&self) -> &Utf8Bytes {
        &self.text
    }

    /// The key to repeat it with: that of a lone broadcast to a server that knows keys.
    pub(crate) fn key(&self) -> Option<String> {
        self.ttl.filter(|_| !self.command.array).and_then(|_| self.command.first.read_key(&self.text))
    }

    /// The text of the answer.
    pub(crate) fn answer(&self) -> Option<&str> {
        match &self.state {
            State::Answered(text) => Some(text),
            _ => None,
        }
    }

    /// What became of each of its commands; nothing as long as it waits.
    pub(crate) fn outcomes(&self, endpoint: &Endpoint) -> Vec<Outcome> {
        match &self.state {
            State::Answered(reply) => reply::outcomes(&self.command, &self.text, reply),
            State::Lost(cause) => {
                let lost = |part: &Part| {
                    let expired = matches!(cause, BrokenCause::Expired);
                    let key = self.ttl.filter(|_| !expired).and_then(|_| part.read_key(&self.text));
                    Err(Error::Broken { endpoint: endpoint.to_string(), cause: cause.clone(), key })
                };
                self.command.parts().map(lost).collect()
            }
            State::Waiting(_) => Vec::new(),
        }
    }

    /// `false` when it certainly has not failed, which is told without reading all of the answer.
    pub(crate) fn may_have_failed(&self) -> bool {
        self.answer().is_none_or(|answer| answer.contains("\"error\""))
    }

    /// What becomes of it when its connection breaks.
    pub(crate) fn break_off(&mut self, cause: &BrokenCause) {
        if self.is(Outgoing::Written) {
            let again = self.publishes_nothing() || self.ttl.is_some();
            self.state = match cause {
                BrokenCause::Closed | BrokenCause::TooLarge | BrokenCause::Io(_) if again => {
                    State::Waiting(Outgoing::Again)
                }
                cause => State::Lost(cause.clone()),
            };
        }
    }

    /// What becomes of it at a new connection, to a server that knows keys for `ttl`.
    pub(crate) fn resume(&mut self, now: Instant, ttl: Option<Duration>) {
        if !self.is(Outgoing::Again) || self.publishes_nothing() {
            return;
        }
        let age = self.written.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if ttl.is_none() {
            self.ttl = None;
            self.state = State::Lost(BrokenCause::Closed);
        } else if self.ttl.is_none_or(|known| age >= known) {
            self.state = State::Lost(BrokenCause::Expired);
        }
    }

    /// Keeps of a long frame only what its receipts repeat, since they may not be asked for for long.
    pub(crate) fn shorten(&mut self) {
        if self.owner != NOBODY && self.text.len() > SMALL {
            let end = self.command.parts().map(Part::end).max().unwrap_or(0);
            self.text = Utf8Bytes::from(self.text[..end].to_owned());
        }
    }

    /// It was written, at least in part, to a server that knows keys for `ttl`. Answers whether it was written before.
    pub(crate) fn wrote(&mut self, now: Instant, ttl: Option<Duration>) -> bool {
        let again = self.written.is_some();
        if !again {
            (self.written, self.ttl) = (Some(now), ttl);
        }
        self.state = State::Waiting(Outgoing::Written);
        again
    }

    /// The server has answered.
    pub(crate) fn answered(&mut self, text: Utf8Bytes) {
        self.state = State::Answered(text);
    }

    /// It is to be written again, although it was answered.
    pub(crate) fn repeat(&mut self) {
        self.state = State::Waiting(Outgoing::Again);
    }

    /// Whether the server's answer is that it cannot say what became of it.
    pub(crate) fn is_unavailable(&self) -> bool {
        let Self { state: State::Answered(reply), command, text, ttl: Some(_), .. } = self else { return false };
        let outcomes = reply::outcomes(command, text, reply);
        matches!(outcomes.as_slice(), [Err(Error::Rejected(rejection))] if rejection.code == UNAVAILABLE)
    }
}
