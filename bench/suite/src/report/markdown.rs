//! `docs/benchmarks.md`.

use std::fmt::Write;

use super::charts::Chart;
use super::{figure, number, target, verdict};
use crate::results::{Outcome, Results};

const HOW_TO_READ: &str = "\
## How to read this

* **Everything is relative.** `limit` is the yardstick: one thread that accepts WebSocket upgrades without checking
  anything and calls `send()` once per subscriber. A ratio of 1.05 means 5 % more server CPU per delivered message than
  those system calls alone. Absolute times differ from machine to machine, ratios hardly.
* **In turn, in one run.** All contestants run at the same time, each with its own subscribers, and publish in turn, a
  second or less each, so that whatever slows the machine down hits all of them; the ratio is taken round by round. The
  servers are started anew for every session. Servers are pinned to core 0, the load to core 1.
* **CPU per delivery** is the CPU time of the server process, kernel included (`/proc/PID/task/*/schedstat`), divided by
  the messages that arrived. Memory is `VmRSS`: what the kernel keeps for each socket (about 3.7 KB) comes on top, for
  every server alike.
* **The range in parentheses** is the interval in which the true median lies with 95 % confidence (between order
  statistics; with fewer than six measurements simply their range). A target counts as met or missed only when the whole
  range lies on one side of it. Where the range is wider than a quarter of its median, no figure is given.
* **Compression** (`deflate-…`): the JSON is a list of orders; it is compressed once and sent to all. The receivers inflate
  it on the load's core, which does not count here.
* **Dates.** Rows can be measured singly: the machine and the commit above are those of the last run.
* *Redis* subscribers speak plain TCP lines without any handshake; *nchan* runs in nginx with one worker and stores no
  messages, since these rows store none either.
* Our server runs with `--dev --shards 1` and otherwise with its defaults; heartbeats, limits and logging are on.

`make bench` measures all of this again and rewrites this page; `bench/run --rows fan-out-1,latency` measures some rows,
`bench/run --list` names them.
";

/// The page.
pub(super) fn page(results: &Results, charts: &[Chart]) -> String {
    let mut page = String::from("# Benchmarks\n\n");
    let machine = &results.machine;
    line(&mut page, "Written by `make bench`; every figure below was measured by it on this machine:\n");
    line(&mut page, "| | |\n| --- | --- |");
    line(&mut page, &format!("| date | {} |", machine.date));
    line(&mut page, &format!("| processor | {}, {} cores |", machine.processor, machine.cores));
    line(&mut page, &format!("| memory | {} GiB |", machine.memory_gib));
    line(&mut page, &format!("| system | {}, Linux {} |", machine.system, machine.kernel));
    for (name, version) in &machine.versions {
        line(&mut page, &format!("| {name} | {version} |"));
    }
    line(&mut page, "\n## Results\n");
    line(&mut page, "| work | figure | target | |\n| --- | --- | --- | --- |");
    for outcome in &results.rows {
        line(&mut page, &row(outcome));
    }
    noise(&mut page, results);
    for chart in charts {
        line(&mut page, &format!("\n![{}](benchmarks/{}.svg)", chart.text, chart.name));
    }
    line(&mut page, "\n## The figures behind them\n");
    line(&mut page, "| row | unit | everybody's figures: median (range) | date |\n| --- | --- | --- | --- |");
    for outcome in &results.rows {
        line(&mut page, &details(outcome));
    }
    line(&mut page, "");
    page.push_str(HOW_TO_READ);
    page
}

fn row(outcome: &Outcome) -> String {
    let title = outcome.row().map_or(outcome.id.as_str(), |row| row.title);
    let unit = match outcome.row().and_then(|row| row.yardstick) {
        Some(yardstick) => format!("× {yardstick}"),
        None => outcome.unit.clone(),
    };
    let figure = figure(&outcome.figure, outcome.verdict);
    format!("| {title} | {figure} {unit} | {} | {} |", target(outcome.target), verdict(outcome.verdict))
}

fn details(outcome: &Outcome) -> String {
    let everybody: Vec<String> = (outcome.contestants.iter())
        .map(|(label, estimate)| {
            let range = (number(estimate.low), number(estimate.high));
            format!("{label} {} ({}–{})", number(estimate.median), range.0, range.1)
        })
        .collect();
    format!("| `{}` | {} | {} | {} |", outcome.id, outcome.unit, everybody.join(" · "), outcome.date)
}

/// Says so when the machine was not quiet.
fn noise(page: &mut String, results: &Results) {
    let most = results.rows.iter().map(|outcome| outcome.disturbed).fold(0.0, f64::max);
    let loud: Vec<&str> =
        results.rows.iter().filter(|outcome| outcome.disturbed > 0.05).map(|outcome| outcome.id.as_str()).collect();
    if loud.is_empty() {
        line(page, &format!("\nOther programs used at most {:.1} % of the machine meanwhile.", most * 100.0));
    } else {
        let share = format!("up to {:.0} %", most * 100.0);
        line(
            page,
            &format!("\n**Not a quiet machine:** other programs used {share} of it during {}.", loud.join(", ")),
        );
    }
}

fn line(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}
