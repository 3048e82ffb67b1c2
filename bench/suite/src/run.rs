//! Running rows: sessions until the measurements conclude.

use crate::bench::Bench;
use crate::error::SuiteError;
use crate::machine;
use crate::noise::Noise;
use crate::report::terminal;
use crate::results::Outcome;
use crate::rows::Row;
use crate::scenario::Samples;
use crate::stats::Verdict;

/// Holds sessions until the interval lies on one side of the target, or their number is reached.
///
/// Stopping at the first conclusion favours neither side: the target is as far from one as from the other.
pub(crate) fn run(bench: &Bench, row: &Row, cores: usize) -> Result<Outcome, SuiteError> {
    let (least, most) = if bench.quick { (1, 1) } else { row.sessions };
    let mut samples = Samples::new();
    let mut disturbed = 0.0;
    let mut sessions = 0;
    loop {
        let noise = Noise::begin().map_err(SuiteError::io("account for the machine"))?;
        for (label, values) in (row.session)(bench)? {
            samples.entry(label).or_default().extend(values);
        }
        disturbed += noise.end(cores).map_err(SuiteError::io("account for the machine"))?;
        sessions += 1;
        let outcome = Outcome::of(row, &samples, disturbed / sessions as f64, &machine::today())
            .ok_or(SuiteError::Missing(row.yardstick.unwrap_or(row.subject)))?;
        terminal::progress(row, &outcome);
        let concluded = !matches!(outcome.verdict, Verdict::Close | Verdict::Noisy);
        if sessions >= most || (sessions >= least && concluded) {
            return Ok(outcome);
        }
    }
}
