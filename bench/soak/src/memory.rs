//! The server's memory over time.

use std::time::Duration;

/// Samples of the resident memory, bytes.
#[derive(Default)]
pub(crate) struct Memory(Vec<(f64, u64)>);

impl Memory {
    pub(crate) fn add(&mut self, at: Duration, bytes: u64) {
        self.0.push((at.as_secs_f64() / 3600.0, bytes));
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.last().map_or(0, |sample| sample.1)
    }

    /// At first, half way and at last.
    pub(crate) fn corners(&self) -> (u64, u64, u64) {
        let at = |index: usize| self.0.get(index).map_or(0, |sample| sample.1);
        (at(0), at(self.0.len() / 2), self.last())
    }

    /// The slope of the line of least squares through the last half, in % of its mean an hour.
    pub(crate) fn growth(&self) -> f64 {
        let half = &self.0[self.0.len() / 2..];
        let count = half.len() as f64;
        let mean_at = half.iter().map(|sample| sample.0).sum::<f64>() / count;
        let mean = half.iter().map(|sample| sample.1 as f64).sum::<f64>() / count;
        let spread: f64 = half.iter().map(|sample| (sample.0 - mean_at).powi(2)).sum();
        let together: f64 = half.iter().map(|sample| (sample.0 - mean_at) * (sample.1 as f64 - mean)).sum();
        if spread > 0.0 { together / spread / mean * 100.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_last_half() {
        let mut memory = Memory::default();
        for minute in 0..60_u64 {
            // It doubles at first; then it grows by a thousandth a minute.
            let bytes = if minute < 30 { 500_000 + minute * 10_000 } else { 1_000_000 + (minute - 30) * 1_000 };
            memory.add(Duration::from_secs(minute * 60), bytes);
        }
        let growth = memory.growth();
        assert!((5.8..6.0).contains(&growth), "{growth}");
        assert_eq!(memory.corners(), (500_000, 1_000_000, 1_029_000));
    }
}
