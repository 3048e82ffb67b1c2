//! How much waits in a queue, and the wait until it is less.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes that wait in a queue, of which nobody waits while pushing: the bound is kept by those who wait for
/// [`Self::admission`] first.
#[derive(Default)]
pub struct Backlog {
    bytes: AtomicUsize,
    drained: Notify,
}

impl Backlog {
    /// Bytes above which publishers are not read.
    const HIGH_WATER: usize = 16 << 20;

    /// So many bytes more wait.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are done with.
    pub fn remove(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before > Self::HIGH_WATER && before - bytes <= Self::HIGH_WATER {
            self.drained.notify_waiters();
        }
    }

    fn is_high(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > Self::HIGH_WATER
    }

    /// Waits until no more than the high-water mark waits.
    pub async fn admission(&self) {
        while self.is_high() {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // Registers before the second look, so that a drain between the two is not missed.
            drained.as_mut().enable();
            if !self.is_high() {
                return;
            }
            drained.await;
        }
    }
}
