//! How often something may happen: a token bucket, measured in time.

use std::time::{Duration, Instant};

use crate::moment::Moment;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, over time; 0: as often as one likes.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// What was used of a rate: each use takes the time that it is worth. Nothing is kept of what is long over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// The time up to which the rate is used.
    used_to: Option<Moment>,
}

impl Bucket {
    /// Takes `count` at once, of which no more counts than a burst, or else the same command could never pass. `Err`: how
    /// long to wait; nothing was taken.
    pub fn take(&mut self, now: Instant, rate: Rate, count: u32) -> Result<(), Duration> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let unit = Duration::from_secs(1) / rate.per_second;
        let burst = rate.burst.max(1);
        let used_to = self.used_to.map_or(now, Instant::from).max(now) + unit * count.min(burst);
        match used_to.checked_duration_since(now + unit * burst) {
            None | Some(Duration::ZERO) => {
                self.used_to = Some(used_to.into());
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// Whether it is as if it had never been used.
    pub fn is_unused(&self, now: Instant) -> bool {
        self.used_to.is_none_or(|used_to| used_to <= now.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 100, burst: 200 };
    const UNIT: Duration = Duration::from_millis(10);

    #[test]
    fn it_gives_a_burst_and_then_its_rate() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let taken = (0..1000).filter(|_| bucket.take(start, RATE, 1).is_ok()).count();
        assert_eq!(taken, 200);
        assert_eq!(bucket.take(start, RATE, 1), Err(UNIT));
        assert_eq!(bucket.take(start, RATE, 3), Err(UNIT * 3));
        assert_eq!(bucket.take(start + UNIT, RATE, 1), Ok(()));
        assert_eq!(bucket.take(start + UNIT, RATE, 1), Err(UNIT));
        assert!(!bucket.is_unused(start + UNIT * 200));
        assert!(bucket.is_unused(start + UNIT * 201));
    }

    #[test]
    fn what_costs_more_than_a_burst_passes_when_nothing_was_used() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.take(start, RATE, u32::MAX), Ok(()));
        assert_eq!(bucket.take(start, RATE, 1), Err(UNIT));
        assert_eq!(bucket.take(start + UNIT * 200, RATE, 500), Ok(()));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let rate = Rate { per_second: 0, burst: 0 };
        assert!((0..10_000).all(|_| bucket.take(now, rate, 1_000).is_ok()));
        assert!(bucket.is_unused(now));
    }
}
