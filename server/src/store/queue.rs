//! What waits for the writer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Write, WriteError};
use crate::backlog::Backlog;

#[derive(Default)]
struct Waiting {
    writes: Vec<Write>,
    is_closing: bool,
}

/// Writes in order. Nobody waits while pushing; the bound is kept by those who call [`Self::admission`] first.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    backlog: Backlog,
}

/// What the writer takes at once.
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    /// Nothing follows.
    pub(super) is_last: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock panics half way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write; refuses it once closed.
    pub(super) fn push(&self, write: Write) {
        let mut waiting = self.lock();
        if waiting.is_closing {
            drop(waiting);
            (write.done)(Err(closed()));
            return;
        }
        self.backlog.add(write.size());
        waiting.writes.push(write);
        if waiting.writes.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Waits for writes, for the end, or at most so long.
    pub(super) fn take(&self, most: Option<Duration>) -> Batch {
        let mut waiting = self.lock();
        let is_idle = |waiting: &mut Waiting| waiting.writes.is_empty() && !waiting.is_closing;
        waiting = match most {
            None => self.filled.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(most) => {
                self.filled.wait_timeout_while(waiting, most, is_idle).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        Batch { writes: std::mem::take(&mut waiting.writes), is_last: waiting.is_closing }
    }

    /// Says that so many bytes of what was taken are done with.
    pub(super) fn done(&self, bytes: usize) {
        self.backlog.remove(bytes);
    }

    /// Waits until the queue is below the high-water mark.
    pub(super) async fn admission(&self) {
        self.backlog.admission().await;
    }

    /// Takes nothing more; what waits is still written.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.filled.notify_one();
    }

    /// The writer has ended, by its will or by a panic: nobody must wait for it.
    pub(super) fn abandon(&self) {
        let writes = {
            let mut waiting = self.lock();
            waiting.is_closing = true;
            std::mem::take(&mut waiting.writes)
        };
        for write in writes {
            self.done(write.size());
            (write.done)(Err(closed()));
        }
    }
}

fn closed() -> WriteError {
    WriteError::Unavailable("the store is closed".to_owned())
}
