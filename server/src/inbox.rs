//! What the rest of the process hands to a shard.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::backlog::Backlog;
use crate::directory::Place;
use crate::hub::{Measure, Publication, Stream};

/// About what a measure against connections occupies while it waits, bytes.
pub const MEASURE_SIZE: usize = 256;

/// Work for a shard, in order.
pub enum Item {
    /// For the subscribers of a stream.
    Publication {
        /// The shard's number of the stream.
        local: u32,
        /// What they get.
        publication: Arc<Publication>,
    },
    /// For one connection.
    Direct {
        /// Which.
        place: Place,
        /// What it gets.
        publication: Arc<Publication>,
    },
    /// An answer that took its time, for one connection.
    Reply {
        /// Which.
        place: Place,
        /// The answer.
        text: String,
    },
    /// For all connections of a user.
    Measure {
        /// The shard's number of the user's stream.
        local: u32,
        /// The user's stream; the number may be another's by now.
        stream: Arc<Stream>,
        /// What is done to them.
        measure: Arc<Measure>,
    },
    /// For one connection: it is closed.
    Disconnect {
        /// Which.
        place: Place,
        /// What it is told.
        reason: Option<Box<str>>,
    },
    /// The node's budget is spent and most waits on this shard: make room.
    Relieve,
}

impl Item {
    /// About what it occupies while it waits, bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Publication { publication, .. } | Self::Direct { publication, .. } => publication.size(),
            Self::Reply { text, .. } => text.len(),
            Self::Measure { .. } | Self::Disconnect { .. } => MEASURE_SIZE,
            Self::Relieve => 0,
        }
    }
}

/// A shard's queue. It is a plain vector that the shard swaps out, so that a burst costs one wake-up. Its bound is
/// the high-water mark: above it publishers are not read. Nobody waits while pushing, since two shards that waited for
/// each other's full inbox would wait for ever.
#[derive(Default)]
pub struct Inbox {
    items: Mutex<Vec<Item>>,
    backlog: Backlog,
    filled: Notify,
}

impl Inbox {
    /// Adds an item; returns whether the shard must be woken, which the caller does once it holds no lock.
    #[must_use]
    pub fn push(&self, item: Item) -> bool {
        self.backlog.add(item.size());
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.push(item);
        items.len() == 1
    }

    /// Wakes the shard.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// Adds what is there to `into`; waits until that holds something.
    pub async fn take(&self, into: &mut Vec<Item>) {
        loop {
            self.take_now(into);
            if !into.is_empty() {
                return;
            }
            self.filled.notified().await;
        }
    }

    /// What waits, for a test that is its own shard.
    #[cfg(test)]
    pub fn drain(&self) -> Vec<Item> {
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what is there to `into`.
    pub fn take_now(&self, into: &mut Vec<Item>) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if into.is_empty() {
            std::mem::swap(into, &mut items);
        } else {
            into.append(&mut items);
        }
    }

    /// Says that so many bytes of what was taken are delivered.
    pub fn delivered(&self, bytes: usize) {
        self.backlog.remove(bytes);
    }

    /// Waits until the queue is below the high-water mark.
    pub async fn admission(&self) {
        self.backlog.admission().await;
    }
}
