//! Moments in half the memory of an `Instant`.

use std::num::NonZeroU64;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A moment of this process. An `Option` of it has 8 bytes, where one of an [`Instant`] has 16, and an idle connection keeps
/// several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(NonZeroU64);

/// What moments count from, nanoseconds. Earlier than anything that is looked at.
static ORIGIN: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(24 * 3600)).unwrap_or(now)
});

impl From<Instant> for Moment {
    fn from(instant: Instant) -> Self {
        // 584 years of nanoseconds fit.
        let since = instant.saturating_duration_since(*ORIGIN).as_nanos() as u64;
        Self(NonZeroU64::MIN.saturating_add(since))
    }
}

impl From<Moment> for Instant {
    fn from(moment: Moment) -> Self {
        *ORIGIN + Duration::from_nanos(moment.0.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_instant_that_it_was_made_of() {
        let now = Instant::now();
        for instant in [now, now + Duration::from_nanos(1), now + Duration::from_secs(10 * 365 * 24 * 3600)] {
            assert_eq!(Instant::from(Moment::from(instant)), instant);
        }
        assert!(Moment::from(now) < Moment::from(now + Duration::from_nanos(1)));
    }
}
