//! What the publisher has done so far.

use std::cell::Cell;

/// Counters since the process began (a fork begins anew), and what is under way. All but `connects` count broadcasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Written to a connection, each once.
    pub sent: u64,
    /// Taken by the server.
    pub acknowledged: u64,
    /// Written once more after a connection broke.
    pub resent: u64,
    /// Refused by the server, or given up without knowing.
    pub failed: u64,
    /// Deferred, and then discarded or dropped.
    pub dropped: u64,
    /// Connections made.
    pub connects: u64,
    /// Written and not yet acknowledged.
    pub outstanding: u64,
    /// Waiting for `flush()` or the end of the request.
    pub deferred: u64,
}

/// The counters, as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) resent: Counter,
    pub(crate) failed: Counter,
    pub(crate) dropped: Counter,
    pub(crate) connects: Counter,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            sent: self.sent.0.get(),
            acknowledged: self.acknowledged.0.get(),
            resent: self.resent.0.get(),
            failed: self.failed.0.get(),
            dropped: self.dropped.0.get(),
            connects: self.connects.0.get(),
            ..Stats::default()
        }
    }

    pub(crate) fn reset(&self) {
        let Self { sent, acknowledged, resent, failed, dropped, connects } = self;
        for counter in [sent, acknowledged, resent, failed, dropped, connects] {
            counter.0.set(0);
        }
    }
}

/// One number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, more: usize) {
        self.0.set(self.0.get() + more as u64);
    }
}
