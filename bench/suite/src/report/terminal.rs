//! The table on the terminal.

use super::{figure, number, target, verdict};
use crate::results::Outcome;
use crate::rows::Row;

/// What is known after a session.
pub(crate) fn progress(row: &Row, outcome: &Outcome) {
    eprintln!("  {}: {} measurements, {}", row.id, outcome.figure.count, figure(&outcome.figure, outcome.verdict));
}

/// A finished row: what is judged, and everybody's figures.
pub(crate) fn row(row: &Row, outcome: &Outcome, quick: bool) {
    if quick {
        println!("{:18} works", row.id);
        return;
    }
    println!(
        "{:18} {:28} target {:9} {}{}",
        row.id,
        figure(&outcome.figure, outcome.verdict),
        target(outcome.target),
        verdict(outcome.verdict),
        if outcome.disturbed > 0.05 {
            format!(" (other programs used {:.0} % of the machine)", outcome.disturbed * 100.0)
        } else {
            String::new()
        },
    );
    let all: Vec<String> =
        outcome.contestants.iter().map(|(label, estimate)| format!("{label} {}", number(estimate.median))).collect();
    println!("{:18} {}; {}", "", all.join(", "), row.unit);
}
