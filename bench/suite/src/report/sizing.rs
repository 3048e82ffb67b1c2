//! `docs/sizing.md`: what the measured figures mean for a machine to be bought.

use std::fmt::Write;

use super::number;
use crate::results::Results;

/// What the kernel keeps for an idle TCP connection, KiB.
const SOCKET: f64 = 3.7;
/// Resident memory of the server before anybody connects is below this, MiB.
const BASE_MIB: f64 = 10.0;

/// The page; `None` while the rows that it needs were not measured.
pub(super) fn page(results: &Results) -> Option<String> {
    let connection = results.get("idle")?.contestants.get("ours")?.high;
    let lone = results.get("fan-out-1")?.contestants.get("ours")?.high;
    let joined = results.get("fan-out-16")?.contestants.get("ours")?.high;
    let opening = results.get("opening")?.contestants.get("ours")?.low;
    let posts = results.get("post").and_then(|row| row.contestants.get("ours")).map(|estimate| estimate.low);
    let mut page = format!(
        "# Sizing

Written by `make bench` from the figures in [benchmarks.md](benchmarks.md), measured on {} ({}). Where those have a
range, its worse end counts here; measure on your own machine before you buy another.

## Memory

An idle, subscribed connection takes {} KiB of the server and about {SOCKET} KiB of the kernel's for its socket. Add what
may wait for slow readers: `outbox_max` (1 MiB by default) for each of them, and no more.

| connections | server | kernel sockets | together |
| ---: | ---: | ---: | ---: |
",
        results.machine.processor,
        results.machine.date,
        number(connection),
    );
    for count in [1_000.0, 10_000.0, 50_000.0, 100_000.0, 500_000.0] {
        let (server, kernel) = (BASE_MIB + count * connection / 1024.0, count * SOCKET / 1024.0);
        let (server_text, kernel_text, together) = (mib(server), mib(kernel), mib(server + kernel));
        line(&mut page, &format!("| {} | {server_text} | {kernel_text} | {together} |", number(count)));
    }
    line(
        &mut page,
        "
Each connection needs a file descriptor: raise `LimitNOFILE` in the unit above the connections you expect, and 64 more.
Connections from one machine to one address of another end at its 28,000 ephemeral ports; browsers do not share any.

## CPU

| work | CPU time | one core does |
| --- | ---: | ---: |",
    );
    let per_core = |micros: f64| number(1e6 / micros);
    line(
        &mut page,
        &format!("| a delivery, publications one at a time | {} µs | {} a second |", number(lone), per_core(lone)),
    );
    line(
        &mut page,
        &format!("| a delivery, publications in bursts | {} µs | {} a second |", number(joined), per_core(joined)),
    );
    line(
        &mut page,
        &format!(
            "| opening a connection and subscribing | {} µs | {} a second |",
            number(1e6 / opening),
            number(opening)
        ),
    );
    if let Some(posts) = posts {
        line(&mut page, &format!("| a `POST /broadcast` | {} µs | {} a second |", number(1e6 / posts), number(posts)));
    }
    for (label, what) in [("plain", "as it is"), ("compressed", "compressed")] {
        let figure = |row: &str| Some(results.get(row)?.contestants.get(label)?.high);
        if let (Some(cpu), Some(bytes)) = (figure("deflate-cpu"), figure("deflate-bytes")) {
            let text = format!(
                "| a delivery of JSON, {what}: {} bytes | {} µs | {} a second |",
                number(bytes),
                number(cpu),
                per_core(cpu)
            );
            line(&mut page, &text);
        }
    }
    let example = 5_000.0 * 20.0 * lone / 1e6;
    line(
        &mut page,
        &format!(
            "
So: deliveries per second = publications per second × subscribers of their channels. 5,000 browsers that each see 20
publications a second are 100,000 deliveries a second: {} of a core, most of it in the kernel's `send()`. After
a restart everybody reconnects: 50,000 browsers take {} s of one core's time; the browser client spreads that out.

Shards are threads: `shards` is the number of cores by default, connections are dealt out over them, and a channel's
subscribers may be on all of them. Leave the kernel's network work and PHP their share: plan with half of each core.",
            number(example),
            number(50_000.0 / opening)
        ),
    );
    Some(page)
}

fn mib(value: f64) -> String {
    if value < 1024.0 { format!("{} MiB", number(value)) } else { format!("{} GiB", number(value / 1024.0)) }
}

fn line(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}
