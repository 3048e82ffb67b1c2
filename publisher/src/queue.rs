//! What was given to a connection and has no outcome yet, in the order in which it was given. Pure: no socket, no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tungstenite::Utf8Bytes;

use crate::command::{Command, Part};
use crate::endpoint::Endpoint;
use crate::error::{BrokenCause, Error};
use crate::reply::{self, Outcome};
use crate::stats::Counters;

/// How much may wait for acknowledgements; beyond it, a call waits.
const MAX_WAITING: usize = 1_024;
const MAX_WAITING_BYTES: usize = 1 << 20;
/// Outcomes that are kept for a `flush()`; what falls out and has failed is reported.
const MAX_KEPT: usize = 1_024;
/// The server could not say what became of a broadcast; the same key may be sent again.
const UNAVAILABLE: &str = "unavailable";
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outgoing {
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
        Self { command, text, owner, state: State::Waiting(Outgoing::New), written: None, ttl: None }
    }

    /// The command that it was made of.
    pub(crate) fn into_command(self) -> Command {
        Command { text: self.text.as_str().to_owned(), ..self.command }
    }

    pub(crate) fn has_outcome(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    fn is(&self, outgoing: Outgoing) -> bool {
        matches!(self.state, State::Waiting(now) if now == outgoing)
    }

    /// Asking again for what changes nothing is always right.
    fn changes_nothing(&self) -> bool {
        self.command.first.key.is_none()
    }

    /// Broadcasts in it.
    pub(crate) fn broadcasts(&self) -> usize {
        if self.changes_nothing() { 0 } else { self.command.len() }
    }

    /// When some byte of it was first written.
    pub(crate) fn written(&self) -> Option<Instant> {
        self.written
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
    fn break_off(&mut self, cause: &BrokenCause) {
        if self.is(Outgoing::Written) {
            let again = self.changes_nothing() || self.ttl.is_some();
            self.state = match cause {
                BrokenCause::Closed | BrokenCause::Io(_) if again => State::Waiting(Outgoing::Again),
                cause => State::Lost(cause.clone()),
            };
        }
    }

    /// What becomes of it at a new connection, to a server that knows keys for `ttl`.
    fn resume(&mut self, now: Instant, ttl: Option<Duration>) {
        if !self.is(Outgoing::Again) || self.changes_nothing() {
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
    fn shorten(&mut self) {
        if self.owner != NOBODY && self.text.len() > SMALL {
            let end = self.command.parts().map(Part::end).max().unwrap_or(0);
            self.text = Utf8Bytes::from(self.text[..end].to_owned());
        }
    }
}

/// The entries of one connection.
#[derive(Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    /// Commands and bytes without an outcome.
    waiting: usize,
    waiting_bytes: usize,
    /// Before this index, every entry was written to the connection there is.
    unwritten: usize,
    /// Before this index, every entry has an outcome.
    oldest: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, entry: Entry) {
        if !entry.has_outcome() {
            self.waiting += entry.command.len();
            self.waiting_bytes += entry.text.len();
        }
        self.entries.push_back(entry);
    }

    /// Commands without an outcome.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Broadcasts without an outcome.
    pub(crate) fn outstanding(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.has_outcome()).map(Entry::broadcasts).sum()
    }

    /// Whether there is room for so much more to wait. One frame may always wait.
    pub(crate) fn has_room(&self, commands: usize, bytes: usize) -> bool {
        self.waiting == 0 || self.waiting + commands <= MAX_WAITING && self.waiting_bytes + bytes <= MAX_WAITING_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// Whether the last entry was written to the connection there is, or has an outcome.
    pub(crate) fn last_is_written(&self) -> bool {
        self.last().is_none_or(|last| last.has_outcome() || last.is(Outgoing::Written))
    }

    pub(crate) fn last_has_outcome(&self) -> bool {
        self.last().is_none_or(Entry::has_outcome)
    }

    /// Whether the last entry was written to a connection that broke, and is to be written again.
    pub(crate) fn last_is_again(&self) -> bool {
        self.last().is_some_and(|last| last.is(Outgoing::Again))
    }

    /// Whether any was.
    pub(crate) fn any_is_again(&self) -> bool {
        self.entries.iter().any(|entry| entry.is(Outgoing::Again))
    }

    /// The text of the next frame to be written.
    pub(crate) fn next_unwritten(&mut self) -> Option<Utf8Bytes> {
        while let Some(entry) = self.entries.get(self.unwritten) {
            if entry.is(Outgoing::New) || entry.is(Outgoing::Again) {
                return Some(entry.text.clone());
            }
            self.unwritten += 1;
        }
        None
    }

    /// That frame was written, at least in part, to a server that knows keys for `ttl`.
    pub(crate) fn wrote(&mut self, now: Instant, ttl: Option<Duration>, counters: &Counters) {
        let Some(entry) = self.entries.get_mut(self.unwritten) else { return };
        if entry.written.is_some() {
            counters.resent.add(entry.broadcasts());
        } else {
            counters.sent.add(entry.broadcasts());
            (entry.written, entry.ttl) = (Some(now), ttl);
        }
        entry.state = State::Waiting(Outgoing::Written);
        self.unwritten += 1;
    }

    /// A frame of the server. What answers nothing of ours is passed over.
    pub(crate) fn answer(&mut self, text: Utf8Bytes, counters: &Counters) -> Result<(), BrokenCause> {
        let nonsense = |why: &str| BrokenCause::Protocol(why.to_owned());
        let heads = reply::heads(&text).map_err(|error| nonsense(&error.to_string()))?;
        let id = heads.first().ok_or_else(|| nonsense("an empty array"))?.id;
        let asked = |entry: &Entry| entry.is(Outgoing::Written) && Some(entry.command.first.id) == id;
        let Some(offset) = self.entries.iter().skip(self.oldest).position(asked) else { return Ok(()) };
        let entry = &mut self.entries[self.oldest + offset];
        if !heads.iter().map(|head| head.id).eq(entry.command.parts().map(|part| Some(part.id))) {
            return Err(nonsense("an array of replies that does not answer its commands"));
        }
        if !entry.changes_nothing() {
            let refused = heads.iter().filter(|head| head.is_error()).count();
            counters.failed.add(refused);
            counters.acknowledged.add(heads.len() - refused);
        }
        drop(heads);
        self.waiting -= entry.command.len();
        self.waiting_bytes -= entry.text.len();
        entry.state = State::Answered(text);
        entry.shorten();
        self.settle();
        Ok(())
    }

    /// The connection broke. What was written is to be written again, in the same order and before what is newer, where
    /// its server knows its key.
    pub(crate) fn broken(&mut self, cause: &BrokenCause, counters: &Counters) {
        self.change(counters, |entry| entry.break_off(cause));
    }

    /// There is a new connection, to a server that knows keys for `ttl`. What it would no longer know is not sent again.
    pub(crate) fn connected(&mut self, now: Instant, ttl: Option<Duration>, counters: &Counters) {
        self.change(counters, |entry| entry.resume(now, ttl));
    }

    fn change(&mut self, counters: &Counters, change: impl Fn(&mut Entry)) {
        for entry in self.entries.iter_mut().skip(self.oldest).filter(|entry| !entry.has_outcome()) {
            change(entry);
            if entry.has_outcome() {
                self.waiting -= entry.command.len();
                self.waiting_bytes -= entry.text.len();
                counters.failed.add(entry.broadcasts());
                entry.shorten();
            }
        }
        self.unwritten = 0;
        self.settle();
    }

    /// Whether the server's answer to the last entry is that it cannot say what became of it.
    pub(crate) fn last_is_unavailable(&self) -> bool {
        let Some(Entry { state: State::Answered(reply), command, text, ttl: Some(_), .. }) = self.last() else {
            return false;
        };
        let outcomes = reply::outcomes(command, text, reply);
        matches!(outcomes.as_slice(), [Err(Error::Rejected(rejection))] if rejection.code == UNAVAILABLE)
    }

    /// Sends the last entry once more, although it was answered.
    pub(crate) fn repeat_last(&mut self) {
        if let Some(mut entry) = self.pop_last() {
            entry.state = State::Waiting(Outgoing::Again);
            self.push(entry);
        }
    }

    fn settle(&mut self) {
        while self.entries.get(self.oldest).is_some_and(Entry::has_outcome) {
            self.oldest += 1;
        }
    }

    /// Takes the last entry, whatever became of it.
    pub(crate) fn pop_last(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_back()?;
        if !entry.has_outcome() {
            self.waiting -= entry.command.len();
            self.waiting_bytes -= entry.text.len();
        }
        self.unwritten = self.unwritten.min(self.entries.len());
        self.oldest = self.oldest.min(self.entries.len());
        Some(entry)
    }

    /// Takes the oldest entry when more outcomes are kept than somebody may ask for.
    pub(crate) fn pop_surplus(&mut self) -> Option<Entry> {
        if self.oldest <= MAX_KEPT {
            return None;
        }
        self.unwritten = self.unwritten.saturating_sub(1);
        self.oldest -= 1;
        self.entries.pop_front()
    }

    /// Takes the entries of one owner that have an outcome.
    pub(crate) fn take(&mut self, owner: Owner) -> Vec<Entry> {
        self.take_if(|entry| entry.owner == owner && entry.has_outcome())
    }

    /// Takes everything, with outcomes and without.
    pub(crate) fn take_all(&mut self) -> Vec<Entry> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let entries = std::mem::take(self).entries;
        let mut taken = Vec::new();
        for entry in entries {
            if wanted(&entry) {
                taken.push(entry);
            } else {
                self.push(entry);
            }
        }
        self.settle();
        taken
    }
}
