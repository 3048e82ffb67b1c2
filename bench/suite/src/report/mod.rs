//! Showing what was measured.

mod bars;
mod charts;
mod markdown;
mod sizing;
pub(crate) mod terminal;

use std::fs;
use std::path::Path;

use crate::error::SuiteError;
use crate::results::Results;
use crate::stats::{Estimate, Target, Verdict};

/// Writes all documents.
pub(crate) fn write(results: &Results, docs: &Path) -> Result<(), SuiteError> {
    let folder = docs.join("benchmarks");
    fs::create_dir_all(&folder).map_err(SuiteError::io(folder.display().to_string()))?;
    let charts = charts::all(results);
    for chart in &charts {
        put(&folder.join(format!("{}.svg", chart.name)), &chart.svg)?;
    }
    put(&docs.join("benchmarks.md"), &markdown::page(results, &charts))?;
    if let Some(page) = sizing::page(results) {
        put(&docs.join("sizing.md"), &page)?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), SuiteError> {
    fs::write(path, text).map_err(SuiteError::io(path.display().to_string()))
}

/// A number with as many digits as it deserves.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let step = 10.0_f64.powi(size.log10() as i32 - 2);
            thousands(((value / step).round() * step) as i64)
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    format!("{}{}", if value < 0 { "-" } else { "" }, groups.join(","))
}

/// A number that somebody chose, and so is not rounded.
fn exact(value: f64) -> String {
    if value.fract() == 0.0 { thousands(value as i64) } else { number(value) }
}

fn target(target: Option<Target>) -> String {
    match target {
        Some(Target::AtMost(most)) => format!("≤ {}", exact(most)),
        Some(Target::AtLeast(least)) => format!("≥ {}", exact(least)),
        None => "–".to_owned(),
    }
}

/// The figure; where it would be false, only its range.
fn figure(estimate: &Estimate, verdict: Verdict) -> String {
    let range = format!("{}–{}", number(estimate.low), number(estimate.high));
    if verdict == Verdict::Noisy { range } else { format!("{} ({range})", number(estimate.median)) }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Close => "too close to call",
        Verdict::Noisy => "spread too wide to conclude",
        Verdict::Shown => "for information",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_mean_something() {
        let shown = [0.066_67, 0.9, 1.104, 12.34, 123.4, 1024.0, 15_432.0, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.067", "0.90", "1.10", "12.3", "123", "1,020", "15,400", "1,230,000"]);
    }
}
