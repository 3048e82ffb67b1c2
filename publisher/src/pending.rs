//! What nobody waits for at once: batches, what is deferred, and the end of a request, which settles all of it.

use std::time::Instant;

use crate::batch::Batch;
use crate::command::{Command, Publication, push_publication};
use crate::entry::{Entry, NOBODY, Owner};
use crate::error::Error;
use crate::exchange::{Exchange, Goal};
use crate::publisher::{Publisher, Settings, Target};
use crate::reply::{Outcome, told};

/// Most bytes that may be deferred at a time.
const MAX_DEFERRED: usize = 64 << 20;

/// What one object has deferred.
pub(crate) struct Deferred {
    owner: Owner,
    target: Target,
    pub(crate) batch: Batch,
}

impl Publisher {
    /// Appends a publication to a batch.
    pub fn add(&self, batch: &mut Batch, publication: &Publication<'_>) {
        let mut state = self.state();
        let (keys, id) = (state.keys(), self.next_id());
        batch.push(publication.data.len(), |text| push_publication(text, id, publication, keys));
    }

    /// Sends a batch and waits for the outcome of each publication. They are published in order, and each by itself.
    pub fn batch(&self, target: &Target, settings: &Settings, batch: Batch) -> Result<Vec<Outcome>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.exchange(target, settings, Instant::now(), |exchange| {
            let mut frames = batch.into_frames();
            let count = frames.len();
            let sent = send(exchange, NOBODY, &mut frames).and_then(|()| exchange.drive(Goal::Settled));
            let mut entries: Vec<_> = (frames.len()..count).filter_map(|_| exchange.line.queue.pop_last()).collect();
            sent?;
            entries.reverse();
            told(entries.iter().flat_map(|entry| entry.outcomes(&target.endpoint)))
        })
    }

    /// Keeps a publication until its owner flushes or the request ends, and answers with its key.
    pub fn defer(&self, owner: Owner, target: &Target, publication: &Publication<'_>) -> Result<String, Error> {
        let mut state = self.state();
        if state.deferred.iter().map(|deferred| deferred.batch.bytes()).sum::<usize>() > MAX_DEFERRED {
            return Err(Error::TooMuchDeferred(MAX_DEFERRED));
        }
        // One object's stay in order; another's in between begin a list of their own only at their first.
        let index = state.deferred.iter().position(|deferred| deferred.owner == owner).unwrap_or_else(|| {
            state.deferred.push(Deferred { owner, target: target.clone(), batch: Batch::default() });
            state.deferred.len() - 1
        });
        let mut batch = std::mem::take(&mut state.deferred[index].batch);
        let (keys, id) = (state.keys(), self.next_id());
        batch.push(publication.data.len(), |text| push_publication(text, id, publication, keys));
        let key = batch.last_key();
        state.deferred[index].batch = batch;
        Ok(key)
    }

    /// Sends what `owner` has deferred, waits for everything that is outstanding, and answers with the outcomes of what
    /// `owner` has sent without waiting since the last time. What fails stays, and can be flushed again.
    pub fn flush(&self, owner: Owner, target: &Target, settings: &Settings) -> Result<Vec<Outcome>, Error> {
        let mut frames = self.take_deferred(owner).map(|deferred| deferred.batch.into_frames()).unwrap_or_default();
        let flushed = self.exchange(target, settings, Instant::now(), |exchange| {
            send(exchange, owner, &mut frames)?;
            exchange.drive(Goal::Settled)?;
            let entries = exchange.line.queue.take(owner);
            told(entries.iter().flat_map(|entry| entry.outcomes(&target.endpoint)))
        });
        if !frames.is_empty() {
            let batch = Batch::from_frames(frames);
            self.state().deferred.push(Deferred { owner, target: target.clone(), batch });
        }
        flushed
    }

    /// Drops what `owner` has deferred, and says how many that were.
    pub fn discard(&self, owner: Owner) -> usize {
        let dropped = self.take_deferred(owner).map_or(0, |deferred| deferred.batch.len());
        self.counters.dropped.add(dropped);
        dropped
    }

    fn take_deferred(&self, owner: Owner) -> Option<Deferred> {
        let mut state = self.state();
        let index = state.deferred.iter().position(|deferred| deferred.owner == owner)?;
        Some(state.deferred.remove(index))
    }

    /// Whether the end of the request has something to do.
    pub fn has_pending(&self) -> bool {
        let state = self.state();
        !state.deferred.is_empty() || state.lines.iter().any(|line| !line.queue.is_empty())
    }

    /// The end of a request: sends what is deferred, unless `drop` says why it shall not, and waits for everything that
    /// is outstanding, for no longer than `settings` allow one call. Afterwards nothing is pending. Answers with what is
    /// to be logged.
    pub fn finish(&self, settings: &Settings, drop: Option<&str>) -> Vec<String> {
        let started = Instant::now();
        let mut log = Vec::new();
        let deferred = std::mem::take(&mut self.state().deferred);
        if let Some(why) = drop {
            let dropped = deferred.iter().map(|deferred| deferred.batch.len()).sum();
            self.counters.dropped.add(dropped);
            if dropped > 0 {
                log.push(format!("{dropped} deferred broadcast(s) dropped: {why}"));
            }
        } else {
            for (target, frames) in by_target(deferred) {
                self.finish_line(&target, settings, started, frames, &mut log);
            }
        }
        let pending = |publisher: &Self| {
            let state = publisher.state();
            state.lines.iter().find(|line| !line.queue.is_empty()).map(|line| line.target.clone())
        };
        while let Some(target) = pending(self) {
            self.finish_line(&target, settings, started, Vec::new(), &mut log);
        }
        log
    }

    /// Settles one line, and reports what failed.
    fn finish_line(
        &self,
        target: &Target,
        settings: &Settings,
        started: Instant,
        mut frames: Vec<Command>,
        log: &mut Vec<String>,
    ) {
        let settled = self.exchange(target, settings, started, |exchange| {
            send(exchange, NOBODY, &mut frames)?;
            exchange.drive(Goal::Settled)
        });
        let entries = self.clear_line(target, settled.is_ok());
        let unsent: usize = frames.iter().map(Command::len).sum();
        let all = unsent + entries.iter().map(Entry::broadcasts).sum::<usize>();
        let waiting = |entry: &&Entry| !entry.has_outcome();
        let unknown = unsent + entries.iter().filter(waiting).map(Entry::broadcasts).sum::<usize>();
        self.counters.failed.add(unknown);
        let mut failures: Vec<Error> = settled.err().filter(|_| unknown > 0).into_iter().collect();
        let known = failures.len();
        for entry in entries.iter().filter(|entry| entry.may_have_failed()) {
            failures.extend(entry.outcomes(&target.endpoint).into_iter().filter_map(Result::err));
        }
        let failed = failures.len() - known + unknown;
        if let Some(first) = failures.first() {
            log.push(format!("{failed} of {all} broadcast(s) not acknowledged: {first}"));
        }
    }

    /// Takes everything from a line, and closes its connection unless it is in order.
    fn clear_line(&self, target: &Target, in_order: bool) -> Vec<Entry> {
        let mut state = self.state();
        let Some(index) = state.lines.iter().position(|line| line.target == *target) else { return Vec::new() };
        let line = &mut state.lines[index];
        let entries = line.queue.take_all();
        if !in_order || line.connection.is_none() {
            state.lines.remove(index);
        }
        entries
    }
}

/// The frames of each server, in order.
fn by_target(deferred: Vec<Deferred>) -> Vec<(Target, Vec<Command>)> {
    let mut lines: Vec<(Target, Vec<Command>)> = Vec::new();
    for Deferred { target, batch, .. } in deferred {
        let frames = batch.into_frames();
        match lines.iter_mut().find(|(known, _)| *known == target) {
            Some((_, all)) => all.extend(frames),
            None => lines.push((target, frames)),
        }
    }
    lines
}

/// Gives frames to a line, in order; those that were not sent stay in `frames`.
fn send(exchange: &mut Exchange<'_>, owner: Owner, frames: &mut Vec<Command>) -> Result<(), Error> {
    frames.reverse();
    let mut sent = Ok(());
    while let Some(frame) = frames.last()
        && sent.is_ok()
    {
        sent = exchange.drive(Goal::Room(frame.len(), frame.text.len()));
        if sent.is_ok()
            && let Some(frame) = frames.pop()
        {
            exchange.line.queue.add(Entry::new(frame, owner), exchange.counters);
            sent = exchange.drive(Goal::Written);
            let queue = &mut exchange.line.queue;
            if sent.is_err()
                && queue.last().is_some_and(|last| last.written().is_none())
                && let Some(entry) = queue.pop_last()
            {
                frames.push(entry.into_command());
            }
        }
    }
    frames.reverse();
    sent
}
