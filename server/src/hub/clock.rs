//! The hub's time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, never going back whatever happens to the system's clock.
pub(super) struct Clock {
    started: Instant,
    pub(super) began_at: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), began_at: u64::try_from(since_1970.as_millis()).unwrap_or(0) }
    }

    pub(super) fn now(&self) -> u64 {
        self.began_at + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}
