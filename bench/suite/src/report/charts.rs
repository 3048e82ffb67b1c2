//! Which charts there are.

use super::bars::{self, Bar, Group};
use super::number;
use crate::results::{Outcome, Results};
use crate::stats::{Estimate, Target, Verdict};

/// A drawn chart.
pub(super) struct Chart {
    /// Its file, without ending.
    pub(super) name: &'static str,
    /// What it shows, for those who cannot see it.
    pub(super) text: &'static str,
    pub(super) svg: String,
}

/// All for which there are figures.
pub(super) fn all(results: &Results) -> Vec<Chart> {
    let contest = |name, text, subtitle, rows: &[(&str, &str)]| {
        let groups: Vec<Group> = rows.iter().filter_map(|(id, heading)| group(results.get(id)?, heading)).collect();
        let svg = bars::draw(text, subtitle, &groups, None);
        (!groups.is_empty()).then_some(Chart { name, text, svg })
    };
    [
        targets(results),
        contest(
            "fan-out",
            "Server CPU per delivered message",
            "1,000 subscribers, 128-byte payloads, µs; shorter is better",
            &[("fan-out-1", "one publication in flight"), ("fan-out-16", "16 in flight")],
        ),
        contest(
            "memory",
            "Server memory per idle, subscribed connection",
            "15,000 connections, KiB each; shorter is better",
            &[("idle", "")],
        ),
        contest("latency", "Publish → delivered, one subscriber", "median, µs; shorter is better", &[("latency", "")]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every row beside its target.
fn targets(results: &Results) -> Option<Chart> {
    let text = "Every row beside its target";
    let bars: Vec<Bar> = results.rows.iter().filter_map(beside_target).collect();
    if bars.is_empty() {
        return None;
    }
    let subtitle = "how much of what the target allows is used; shorter is better, orange is beyond it";
    let svg = bars::draw(text, subtitle, &[Group { heading: String::new(), bars }], Some((1.0, "target")));
    Some(Chart { name: "targets", text, svg })
}

/// Bars end here: a row that misses by far must not flatten all others.
const LONGEST: f64 = 2.0;

fn beside_target(outcome: &Outcome) -> Option<Bar> {
    let Estimate { median, low, high, .. } = outcome.figure;
    let (value, low, high) = match outcome.target? {
        Target::AtMost(most) => (median / most, low / most, high / most),
        Target::AtLeast(least) => (least / median, least / high, least / low),
    };
    let note = match outcome.verdict {
        Verdict::Noisy => "spread too wide".to_owned(),
        _ => format!("{:.0} %", value * 100.0),
    };
    let colour = match outcome.verdict {
        Verdict::Met => bars::OURS,
        Verdict::Missed => bars::BAD,
        Verdict::Close | Verdict::Noisy | Verdict::Shown => bars::YARDSTICK,
    };
    let whisker = (low.clamp(0.0, LONGEST), high.clamp(0.0, LONGEST));
    Some(Bar { label: outcome.id.clone(), value: value.clamp(0.0, LONGEST), whisker, colour, note })
}

fn group(outcome: &Outcome, heading: &str) -> Option<Group> {
    let mut bars: Vec<Bar> = (outcome.contestants.iter())
        .map(|(label, estimate)| Bar {
            label: label.clone(),
            value: estimate.median,
            whisker: (estimate.low, estimate.high),
            colour: match label.as_str() {
                "ours" => bars::OURS,
                "limit" => bars::YARDSTICK,
                _ => bars::RIVAL,
            },
            note: number(estimate.median),
        })
        .collect();
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    (!bars.is_empty()).then(|| Group { heading: heading.to_owned(), bars })
}
