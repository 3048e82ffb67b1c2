//! Every row of the table: what is done, what is compared with what, and what is demanded.

use crate::bench::Bench;
use crate::scenario::{self, Contest, Metric, Session, Side};
use crate::stats::Target::{self, AtLeast, AtMost};
use crate::subject::{Kind, Lifted, Options};

/// One row.
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) id: &'static str,
    /// What is measured, for the table.
    pub(crate) title: &'static str,
    /// Unit of the contestants' figures.
    pub(crate) unit: &'static str,
    /// Whose figure is judged.
    pub(crate) subject: &'static str,
    /// What it is divided by, round by round; `None` judges the figure itself.
    pub(crate) yardstick: Option<&'static str>,
    pub(crate) target: Option<Target>,
    /// Sessions held at least and, while they do not conclude, at most.
    pub(crate) sessions: (usize, usize),
    pub(crate) session: fn(&Bench) -> Session,
}

const OURS: Kind = Kind::Ours(Options { shards: 1, lifted: Lifted::Nothing, tls: false });
const TWO_SHARDS: Kind = Kind::Ours(Options { shards: 2, lifted: Lifted::Nothing, tls: false });
const TLS: Kind = Kind::Ours(Options { shards: 1, lifted: Lifted::Nothing, tls: true });
/// A row that compares our server with the yardstick.
const PAIRED: Row = Row {
    id: "",
    title: "",
    unit: "µs of server CPU per delivery",
    subject: "ours",
    yardstick: Some("limit"),
    target: None,
    sessions: (2, 5),
    session: one_in_flight,
};
/// A row whose figure is judged by itself.
const ALONE: Row = Row { yardstick: None, unit: "KiB each", sessions: (2, 3), ..PAIRED };

/// The table, in its order.
pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "fan-out-1",
        title: "1,000 subscribers, 128 B, one publication in flight",
        target: Some(AtMost(1.10)),
        ..PAIRED
    },
    Row {
        id: "fan-out-16",
        title: "the same, 16 in flight",
        target: Some(AtMost(0.9)),
        session: sixteen_in_flight,
        ..PAIRED
    },
    Row {
        id: "channels-100",
        title: "1,000 subscribers over 100 channels, round robin, 16 in flight, beside one send() at one in flight",
        target: Some(AtMost(1.3)),
        session: hundred_channels,
        ..PAIRED
    },
    Row {
        id: "latency",
        title: "one subscriber: publish → delivered, p50",
        unit: "µs",
        target: Some(AtMost(1.15)),
        session: latency,
        ..PAIRED
    },
    Row {
        id: "shards-1",
        title: "two shards on one core beside one shard, one in flight",
        subject: "two shards",
        yardstick: Some("one shard"),
        target: Some(AtMost(1.05)),
        session: |bench| shards(bench, 1),
        ..PAIRED
    },
    Row {
        id: "shards-16",
        title: "the same, 16 in flight",
        subject: "two shards",
        yardstick: Some("one shard"),
        target: Some(AtMost(1.15)),
        session: |bench| shards(bench, 16),
        ..PAIRED
    },
    Row {
        id: "idle",
        title: "15,000 idle subscribed connections: server memory each",
        target: Some(AtMost(2.0)),
        session: scenario::idle,
        ..ALONE
    },
    Row {
        id: "handshakes-held",
        title: "10,000 handshakes left half-sent at once, then completed: server memory each after 5 s",
        target: Some(AtMost(2.5)),
        session: scenario::handshakes_held,
        ..ALONE
    },
    Row {
        id: "handshakes-closed",
        title: "all of them closed: server memory beside that at the start",
        unit: "× the start",
        target: Some(AtMost(1.10)),
        session: scenario::handshakes_closed,
        ..ALONE
    },
    Row {
        id: "opening",
        title: "opening connections (handshake and subscription)",
        unit: "per second of server CPU",
        target: Some(AtLeast(15_000.0)),
        session: scenario::opening,
        ..ALONE
    },
    Row {
        id: "tls-idle",
        title: "15,000 idle subscribed connections over TLS: server memory each",
        target: Some(AtMost(6.0)),
        session: scenario::idle_over_tls,
        ..ALONE
    },
    Row {
        id: "tls-opening",
        title: "opening connections over TLS 1.3 (whole handshake and subscription)",
        unit: "per second of server CPU",
        target: Some(AtLeast(2_500.0)),
        session: scenario::opening_over_tls,
        ..ALONE
    },
    Row {
        id: "tls-fan-out-1",
        title: "over TLS: 1,000 subscribers, 128 B, one publication in flight, beside send() without TLS",
        subject: "ours, TLS",
        session: |bench| over_tls(bench, 200, 1),
        ..PAIRED
    },
    Row {
        id: "tls-fan-out-16",
        title: "over TLS: the same, 16 in flight",
        subject: "ours, TLS",
        session: |bench| over_tls(bench, 800, 16),
        ..PAIRED
    },
    Row {
        id: "ping",
        title: "another connection's ping p99 during a fan-out to 15,000, beside the duration of an unsliced one",
        unit: "ms",
        target: Some(AtMost(1.0 / 15.0)),
        session: scenario::ping_during_fan_out,
        ..PAIRED
    },
    Row {
        id: "others-1",
        title: "100,000 other channels exist: one in flight",
        session: |bench| others(bench, 1, Metric::Cpu),
        ..OTHERS
    },
    Row {
        id: "others-16",
        title: "100,000 other channels exist: 16 in flight",
        session: |bench| others(bench, 16, Metric::Cpu),
        ..OTHERS
    },
    Row {
        id: "others-latency",
        title: "100,000 other channels exist: publish → delivered, p50",
        unit: "µs",
        session: |bench| others(bench, 1, Metric::Median),
        ..OTHERS
    },
    Row {
        id: "post",
        title: "POST /broadcast over keep-alive beside nchan",
        unit: "requests per second of server CPU",
        yardstick: Some("nchan"),
        target: Some(AtLeast(0.8)),
        session: scenario::posts,
        ..PAIRED
    },
    Row {
        id: "paced",
        title: "paced load, 1,000 subscribers × 100/s: delivery p99",
        unit: "µs",
        target: Some(AtMost(1.3)),
        session: paced,
        ..PAIRED
    },
    Row {
        id: "large",
        title: "16 KiB payloads, 500 subscribers, one in flight",
        target: Some(AtMost(1.05)),
        session: large,
        ..PAIRED
    },
    Row {
        id: "deflate-cpu",
        title: "permessage-deflate, 3.5 KB of JSON to 1,000 subscribers: server CPU per delivery",
        session: |bench| deflate(bench, Metric::Cpu),
        ..DEFLATE
    },
    Row {
        id: "deflate-bytes",
        title: "the same: bytes on the wire per delivery",
        unit: "bytes per delivery",
        session: |bench| deflate(bench, Metric::Bytes),
        ..DEFLATE
    },
    Row {
        id: "publishers-4",
        title: "four publishers at once, 1,000 subscribers, 16 in flight",
        session: four_publishers,
        ..PAIRED
    },
    Row {
        id: "slow-reader",
        title: "one of 21 readers stops while 200 MB are published: delivery p99 of the others",
        unit: "µs",
        subject: "one stopped",
        yardstick: Some("all read"),
        target: Some(AtMost(1.10)),
        session: scenario::slow_reader_latency,
        ..PAIRED
    },
    Row {
        id: "slow-reader-memory",
        title: "the same: server memory's growth at its peak (outbox_max is 1,024 KiB)",
        unit: "KiB",
        subject: "one stopped",
        target: Some(AtMost(1_024.0)),
        session: scenario::slow_reader_memory,
        ..ALONE
    },
    Row {
        id: "churn",
        title: "1,000,000 random channels subscribed to and left: memory beside that before",
        unit: "× before",
        target: Some(AtMost(1.05)),
        session: scenario::churn,
        ..ALONE
    },
    Row {
        id: "io-uring",
        title: "what io_uring would save: the yardstick through it, one in flight",
        subject: "limit, io_uring",
        session: uring,
        ..PAIRED
    },
];

const OTHERS: Row = Row { subject: "100,000 others", yardstick: Some("none"), target: Some(AtMost(1.05)), ..PAIRED };

const DEFLATE: Row = Row { subject: "compressed", yardstick: Some("plain"), ..PAIRED };

/// Rounds of a session of fan-outs that take a second each.
const ROUNDS: usize = 5;

fn crowd(bench: &Bench) -> usize {
    bench.size(1_000, 50)
}

fn everybody(bench: &Bench, publications: usize, window: usize) -> Vec<Side> {
    let publications = bench.size(publications, 20);
    let kinds = [Kind::Limit, OURS, Kind::Redis, Kind::Nchan];
    kinds.map(|kind| Side::new(kind, crowd(bench), publications, window)).into()
}

fn one_in_flight(bench: &Bench) -> Session {
    Contest { sides: everybody(bench, 200, 1), metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}

fn sixteen_in_flight(bench: &Bench) -> Session {
    Contest { sides: everybody(bench, 800, 16), metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}

fn over_tls(bench: &Bench, publications: usize, window: usize) -> Session {
    let side = |kind| Side::new(kind, crowd(bench), bench.size(publications, 20), window);
    let sides = vec![side(Kind::Limit), side(OURS), side(TLS).label("ours, TLS")];
    Contest { sides, metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}

fn hundred_channels(bench: &Bench) -> Session {
    let limit = Side::new(Kind::Limit, crowd(bench), bench.size(200, 20), 1);
    let publications = bench.size(20_000, 200);
    let rotate = |kind| Side::new(kind, crowd(bench), publications, 16).channels(bench.size(100, 10));
    Contest { sides: vec![limit, rotate(OURS), rotate(Kind::Redis)], metric: Metric::Cpu, rounds: ROUNDS }
        .session(bench)
}

fn latency(bench: &Bench) -> Session {
    let kinds = [Kind::Limit, OURS, Kind::Redis, Kind::Nchan];
    let sides = kinds.map(|kind| Side::new(kind, 1, bench.size(4_000, 100), 1)).into();
    Contest { sides, metric: Metric::Median, rounds: 8 }.session(bench)
}

fn shards(bench: &Bench, window: usize) -> Session {
    let publications = bench.size(if window == 1 { 200 } else { 800 }, 20);
    let one = Side::new(OURS, crowd(bench), publications, window).label("one shard");
    let two = Side::new(TWO_SHARDS, crowd(bench), publications, window).label("two shards");
    Contest { sides: vec![one, two], metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}

fn others(bench: &Bench, window: usize, metric: Metric) -> Session {
    let (subscribers, publications) = match metric {
        Metric::Median => (1, bench.size(4_000, 100)),
        Metric::Cpu | Metric::Tail | Metric::Bytes => {
            (crowd(bench), bench.size(if window == 1 { 200 } else { 800 }, 20))
        }
    };
    let none = Side::new(OURS, subscribers, publications, window).label("none");
    let many = none.clone().label("100,000 others").other_channels(bench.size(100_000, 1_000));
    Contest { sides: vec![none, many], metric, rounds: 8 }.session(bench)
}

fn paced(bench: &Bench) -> Session {
    let side = |kind| Side::new(kind, crowd(bench), bench.size(300, 20), 1).paced(100.0);
    Contest { sides: vec![side(Kind::Limit), side(OURS)], metric: Metric::Tail, rounds: ROUNDS }.session(bench)
}

fn large(bench: &Bench) -> Session {
    let side = |kind| Side::new(kind, bench.size(500, 25), bench.size(150, 10), 1).size(16 << 10);
    let sides = vec![side(Kind::Limit), side(OURS), side(Kind::Redis)];
    Contest { sides, metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}

fn deflate(bench: &Bench, metric: Metric) -> Session {
    // The payload is but the stamp; the JSON comes with the template.
    let side = |deflate| Side::new(OURS, crowd(bench), bench.size(100, 10), 1).size(0).json(deflate);
    let sides = vec![side(false).label("plain"), side(true).label("compressed")];
    Contest { sides, metric, rounds: ROUNDS }.session(bench)
}

fn four_publishers(bench: &Bench) -> Session {
    let side = |kind| Side::new(kind, crowd(bench), bench.size(800, 40), 16).publishers(4);
    Contest { sides: vec![side(Kind::Limit), side(OURS)], metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}

fn uring(bench: &Bench) -> Session {
    let side = |kind| Side::new(kind, crowd(bench), bench.size(200, 20), 1);
    Contest { sides: vec![side(Kind::Limit), side(Kind::Uring)], metric: Metric::Cpu, rounds: ROUNDS }.session(bench)
}
