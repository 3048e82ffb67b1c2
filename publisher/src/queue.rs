//! What was given to a connection and has no outcome yet, or one that somebody may ask for, in the order in which it was
//! given. Pure: no socket, no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tungstenite::Utf8Bytes;

use crate::entry::{Entry, Outgoing, Owner};
use crate::error::BrokenCause;
use crate::reply;
use crate::stats::Counters;

/// How much may wait for acknowledgements; beyond it, a call waits.
const MAX_WAITING: usize = 1_024;
const MAX_WAITING_BYTES: usize = 1 << 20;
/// Outcomes that are kept for a `flush()`; what falls out and has failed is reported.
const MAX_KEPT: usize = 1_024;
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
    /// Adds what is new.
    pub(crate) fn add(&mut self, entry: Entry, counters: &Counters) {
        if entry.has_outcome() {
            // It is refused before it is sent.
            counters.failed.add(entry.broadcasts());
        }
        self.push(entry);
    }

    fn push(&mut self, entry: Entry) {
        if !entry.has_outcome() {
            self.waiting += entry.command.len();
            self.waiting_bytes += entry.text().len();
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
                return Some(entry.text().clone());
            }
            self.unwritten += 1;
        }
        None
    }

    /// That frame was written, at least in part, to a server that knows keys for `ttl`.
    pub(crate) fn wrote(&mut self, now: Instant, ttl: Option<Duration>, counters: &Counters) {
        let Some(entry) = self.entries.get_mut(self.unwritten) else { return };
        let again = entry.wrote(now, ttl);
        if again { &counters.resent } else { &counters.sent }.add(entry.broadcasts());
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
        if !entry.publishes_nothing() {
            let refused = heads.iter().filter(|head| head.is_error()).count();
            counters.failed.add(refused);
            counters.acknowledged.add(heads.len() - refused);
        }
        drop(heads);
        self.waiting -= entry.command.len();
        self.waiting_bytes -= entry.text().len();
        entry.answered(text);
        entry.shorten();
        self.settle();
        Ok(())
    }

    /// The connection broke. What was written is to be written again, in the same order and before what is newer, where
    /// its server knows its key.
    pub(crate) fn broken(&mut self, cause: &BrokenCause, counters: &Counters) {
        // The server does not say which it was; sent again, that would end the next connection too.
        let refused = matches!(cause, BrokenCause::TooLarge).then(|| {
            let written = self.entries.iter().skip(self.oldest).filter(|entry| entry.is(Outgoing::Written));
            written.max_by_key(|entry| entry.text().len()).map(|entry| entry.command.first.id)
        });
        self.change(counters, |entry| {
            if refused == Some(Some(entry.command.first.id)) {
                entry.refuse_as_too_large(
                    "the server takes less in one message, and closed the connection; send less, or where to get it",
                );
            } else {
                entry.break_off(cause);
            }
        });
    }

    /// There is a new connection, to a server that knows keys for `ttl`. What it would no longer know is not sent again.
    pub(crate) fn connected(&mut self, now: Instant, ttl: Option<Duration>, counters: &Counters) {
        self.change(counters, |entry| entry.resume(now, ttl));
    }

    fn change(&mut self, counters: &Counters, change: impl Fn(&mut Entry)) {
        for entry in self.entries.iter_mut().skip(self.oldest).filter(|entry| !entry.has_outcome()) {
            // Its text may be shortened with its outcome.
            let bytes = entry.text().len();
            change(entry);
            if entry.has_outcome() {
                self.waiting -= entry.command.len();
                self.waiting_bytes -= bytes;
                counters.failed.add(entry.broadcasts());
                entry.shorten();
            }
        }
        self.unwritten = 0;
        self.settle();
    }

    /// Whether the server's answer to the last entry is that it cannot say what became of it.
    pub(crate) fn last_is_unavailable(&self) -> bool {
        self.last().is_some_and(Entry::is_unavailable)
    }

    /// Sends the last entry once more, although it was answered.
    pub(crate) fn repeat_last(&mut self) {
        if let Some(mut entry) = self.pop_last() {
            entry.repeat();
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
            self.waiting_bytes -= entry.text().len();
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
        self.take_if(|entry| entry.owner() == owner && entry.has_outcome())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Audience, Command, Publication};
    use crate::endpoint::Endpoint;
    use crate::entry::NOBODY;
    use crate::error::Error;
    use crate::idempotency::Keys;

    const TTL: Option<Duration> = Some(Duration::from_secs(300));

    fn queue(count: u64) -> Queue {
        let (mut queue, mut keys) = (Queue::default(), Keys::new());
        for id in 0..count {
            let audience = Audience::Channel("c");
            let publication = Publication { audience, event: None, exclude: None, key: None, data: "1" };
            queue.push(Entry::new(Command::publish(id, &publication, &mut keys), NOBODY));
        }
        queue
    }

    /// Writes everything that is to be written; the ids.
    fn write(queue: &mut Queue, now: Instant, ttl: Option<Duration>) -> Vec<u64> {
        let mut written = Vec::new();
        while let Some(text) = queue.next_unwritten() {
            written.push(reply::heads(&text).unwrap()[0].id.unwrap());
            queue.wrote(now, ttl, &Counters::default());
        }
        written
    }

    fn acknowledge(queue: &mut Queue, id: u64) {
        let ack = format!(r#"{{"id":{id},"type":"ack"}}"#);
        queue.answer(ack.into(), &Counters::default()).unwrap();
    }

    #[test]
    fn what_is_unacknowledged_is_written_again_in_the_first_order_and_before_what_is_newer() {
        let (mut queue, now, counters) = (queue(5), Instant::now(), Counters::default());
        for _ in 0..4 {
            queue.wrote(now, TTL, &counters);
        }
        // Acknowledgements may come in another order.
        acknowledge(&mut queue, 2);
        acknowledge(&mut queue, 0);
        queue.broken(&BrokenCause::Closed, &counters);
        queue.connected(now, TTL, &counters);
        assert_eq!(write(&mut queue, now, TTL), [1, 3, 4]);
        assert_eq!(queue.waiting(), 3);
        for id in [4, 3, 1] {
            acknowledge(&mut queue, id);
        }
        assert_eq!(queue.waiting(), 0);
        assert!(queue.take_all().iter().all(|entry| entry.outcomes(&Endpoint::Local)[0].is_ok()));
    }

    #[test]
    fn keys_are_trusted_for_their_time_from_the_first_writing_on() {
        let (mut queue, start, counters) = (queue(1), Instant::now(), Counters::default());
        for after in [0, 100, 299] {
            assert_eq!(write(&mut queue, start + Duration::from_secs(after), TTL), [0]);
            queue.broken(&BrokenCause::Closed, &counters);
        }
        queue.connected(start + Duration::from_secs(300), TTL, &counters);
        assert!(write(&mut queue, start, TTL).is_empty());
        let outcomes = queue.take_all()[0].outcomes(&Endpoint::Local);
        assert!(matches!(outcomes[..], [Err(Error::Broken { cause: BrokenCause::Expired, key: None, .. })]));
    }

    #[test]
    fn nonsense_of_a_server_is_no_reason_to_send_again() {
        let (mut queue, now, counters) = (queue(1), Instant::now(), Counters::default());
        write(&mut queue, now, TTL);
        queue.broken(&BrokenCause::Protocol("x".to_owned()), &counters);
        assert!(queue.last_has_outcome() && queue.next_unwritten().is_none());
    }

    #[test]
    fn there_is_room_for_so_many_and_always_for_one() {
        let mut queue = queue(MAX_WAITING as u64 - 1);
        assert!(queue.has_room(1, 1) && !queue.has_room(2, 1) && !queue.has_room(1, MAX_WAITING_BYTES));
        queue.take_all();
        assert!(queue.has_room(2 * MAX_WAITING, 2 * MAX_WAITING_BYTES));
    }
}
