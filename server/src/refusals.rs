//! Lines of the log that strangers cause, so many that one sees what happens and not so many that they fill the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::warn;

use crate::rate::{Bucket, Rate};

/// Lines a second over time, and at once.
const RATE: Rate = Rate { per_second: 10, burst: 100 };

/// Refusals of the whole node, as the log tells of them.
#[derive(Debug, Default)]
pub struct Refusals {
    told: Mutex<Bucket>,
    untold: AtomicU64,
}

impl Refusals {
    /// Lets `tell` write its line, unless there were too many lately: then it is counted, and the next line says so.
    pub fn log(&self, now: Instant, tell: impl FnOnce()) {
        // A bucket is never half-used, so a poisoned lock guards nothing broken.
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).take(now, RATE, 1).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let untold = self.untold.swap(0, Ordering::Relaxed);
        if untold > 0 {
            warn!("{untold} refusals before this one were too many to be logged");
        }
        tell();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_refusals_is_told_by_its_number() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let mut lines = 0;
        for _ in 0..10_000 {
            refusals.log(start, || lines += 1);
        }
        assert_eq!(lines, RATE.burst);
        assert_eq!(refusals.untold.load(Ordering::Relaxed), 10_000 - u64::from(RATE.burst));
        refusals.log(start + Duration::from_secs(1), || lines += 1);
        assert_eq!((lines, refusals.untold.load(Ordering::Relaxed)), (RATE.burst + 1, 0));
    }
}
