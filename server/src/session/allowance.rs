//! How fast a client may send commands.

use std::time::{Duration, Instant};

/// How fast a client may send commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, over time.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// A token bucket in time: each command takes the time that it is worth.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// The time up to which the allowance is used.
    used_to: Option<Instant>,
    refused: u32,
}

pub(super) enum Taken {
    Yes,
    No,
    /// It goes on after as many errors as the burst has commands.
    TooOften,
}

impl Allowance {
    pub(super) fn take(&mut self, now: Instant, rate: Rate) -> Taken {
        let cost = Duration::from_secs(1) / rate.per_second;
        let used_to = self.used_to.unwrap_or(now).max(now) + cost;
        if used_to > now + cost * rate.burst {
            self.refused += 1;
            return if self.refused > rate.burst { Taken::TooOften } else { Taken::No };
        }
        if used_to <= now + cost {
            self.refused = 0;
        }
        self.used_to = Some(used_to);
        Taken::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_gives_a_burst_then_a_rate_then_errors_then_the_end() {
        let mut allowance = Allowance::default();
        let rate = Rate { per_second: 100, burst: 200 };
        let start = Instant::now();
        let taken = |a: &mut Allowance, at: Instant| match a.take(at, rate) {
            Taken::Yes => 'y',
            Taken::No => 'n',
            Taken::TooOften => 'x',
        };
        let burst: String = (0..=rate.burst).map(|_| taken(&mut allowance, start)).collect();
        assert_eq!(burst, "y".repeat(200) + "n");
        assert_eq!(taken(&mut allowance, start + Duration::from_millis(10)), 'y');
        assert_eq!(taken(&mut allowance, start + Duration::from_millis(10)), 'n');
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(60)), 'y');
        let flood: String = (0..500).map(|_| taken(&mut allowance, start + Duration::from_secs(60))).collect();
        assert_eq!(flood, "y".repeat(199) + &"n".repeat(200) + &"x".repeat(101));
    }
}
