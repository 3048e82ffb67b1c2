//! Medians, how far they can be trusted, and what they prove.

use serde::{Deserialize, Serialize};

/// An interval wider than this share of its median supports no figure.
const TOO_WIDE: f64 = 0.25;

/// A median and the interval in which the true one lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Measurements behind it.
    pub(crate) count: usize,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// What the measurements say about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// The whole interval is on the right side.
    Met,
    /// The whole interval is on the wrong side.
    Missed,
    /// The target lies within the interval.
    Close,
    /// The interval is so wide that the median means nothing.
    Noisy,
    /// No target was set.
    Shown,
}

impl Estimate {
    /// Distribution-free: the interval between two order statistics (binomial with p = 1/2). With fewer than six
    /// measurements no such interval reaches 95 %, and it is simply their range.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let (low, high) = (sorted.first()?, sorted.last()?);
        let median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
        let (mut low, mut high) = (*low, *high);
        let mut term = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
        let mut below = term;
        for skipped in 1..count / 2 {
            // `below` is the probability that fewer than `skipped` measurements lie below the true median.
            if below > 0.025 {
                break;
            }
            (low, high) = (sorted[skipped - 1], sorted[count - skipped]);
            term *= (count - skipped + 1) as f64 / skipped as f64;
            below += term;
        }
        Some(Self { median, low, high, count })
    }

    /// What it proves.
    pub(crate) fn verdict(&self, target: Option<Target>) -> Verdict {
        let (met, missed) = match target {
            None => (false, false),
            Some(Target::AtMost(most)) => (self.high <= most, self.low > most),
            Some(Target::AtLeast(least)) => (self.low >= least, self.high < least),
        };
        match (met, missed) {
            (true, _) => Verdict::Met,
            (_, true) => Verdict::Missed,
            _ if self.high - self.low > TOO_WIDE * self.median.abs() => Verdict::Noisy,
            _ if target.is_some() => Verdict::Close,
            _ => Verdict::Shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_narrows_with_the_number_of_measurements() {
        let values = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
        let five = Estimate::of(&values(5)).expect("five values");
        assert_eq!((five.low, five.median, five.high), (1.0, 3.0, 5.0));
        // The textbook's 95 % intervals for the median: ranks 2 and 9 of 10, ranks 6 and 15 of 20.
        let ten = Estimate::of(&values(10)).expect("ten values");
        assert_eq!((ten.low, ten.median, ten.high), (2.0, 5.5, 9.0));
        let twenty = Estimate::of(&values(20)).expect("twenty values");
        assert_eq!((twenty.low, twenty.high), (6.0, 15.0));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn only_an_interval_on_one_side_of_the_target_concludes() {
        let estimate = |low, median, high| Estimate { median, low, high, count: 9 };
        let target = Some(Target::AtMost(1.10));
        assert_eq!(estimate(1.02, 1.05, 1.10).verdict(target), Verdict::Met);
        assert_eq!(estimate(1.11, 1.15, 1.20).verdict(target), Verdict::Missed);
        assert_eq!(estimate(1.05, 1.08, 1.12).verdict(target), Verdict::Close);
        assert_eq!(estimate(0.80, 1.08, 1.40).verdict(target), Verdict::Noisy);
        assert_eq!(estimate(0.80, 1.08, 1.40).verdict(None), Verdict::Noisy);
        assert_eq!(estimate(1.05, 1.08, 1.12).verdict(None), Verdict::Shown);
        assert_eq!(estimate(0.75, 0.8, 0.85).verdict(Some(Target::AtLeast(0.8))), Verdict::Close);
    }
}
