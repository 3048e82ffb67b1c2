//! Publications per second through the durable store, by how many are under way at once.
//!
//! `cargo bench --bench store`; `STORE_BENCH_DIRECTORY` says on which disk.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use realtime_protocol::{ChannelName, IdempotencyKey};
use realtime_server::internals::store::{Kept, Key, Options, Retention, Sink, Sync, Write, open};
use realtime_server::internals::{AppId, Payload, Stream, StreamName};
use serde_json::value::RawValue;

const LASTS: Duration = Duration::from_secs(3);
const STREAMS: usize = 100;
const RETENTION: Retention = Retention { size: 1000, ttl: Some(Duration::from_secs(3600)) };

struct Nobody;

impl Sink for Nobody {
    fn committed(&self, _stream: &Arc<Stream>, _kept: Kept) -> u64 {
        0
    }

    fn trimmed(&self, _stream: &Stream, _first: u64) {}
}

fn main() {
    let root = std::env::var_os("STORE_BENCH_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    let root = tempfile::TempDir::new_in(root).expect("a directory");
    let mut out = std::io::stdout();
    let _ = writeln!(out, "a write of 4 KiB and its sync alone: {:.0}/s", syncs(root.path()));
    for (name, sync) in [("always", Sync::Always), ("interval 1s", Sync::Interval(Duration::from_secs(1)))] {
        for in_flight in [1, 16, 256] {
            let directory = root.path().join(format!("{name}-{in_flight}"));
            let rate = publications(&directory, sync, in_flight, application);
            let made = publications(&directory.with_extension("made"), sync, in_flight, made);
            let _ = writeln!(out, "{name}, {in_flight} in flight: {rate:.0}/s; with keys of the extension {made:.0}/s");
        }
    }
    let crashed = root.path().join("always-256-crashed");
    let size = std::fs::metadata(crashed.join("store.redb")).map_or(0, |found| found.len());
    let started = Instant::now();
    open(&options(crashed, Sync::Always)).expect("a store");
    let _ = writeln!(out, "{} MiB opened after a crash in {:?}", size >> 20, started.elapsed());
}

/// The yardstick.
fn syncs(root: &Path) -> f64 {
    let file = File::create(root.join("yardstick")).expect("a file");
    let started = Instant::now();
    let mut count = 0u64;
    while started.elapsed() < LASTS {
        file.write_all_at(&[count as u8; 4096], count % 256 * 4096).expect("room");
        file.sync_data().expect("a disk");
        count += 1;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

fn options(directory: PathBuf, sync: Sync) -> Options {
    Options { directory, sync, key_ttl: Duration::from_secs(300), max_keys: 10_000_000 }
}

fn application(number: usize) -> IdempotencyKey {
    IdempotencyKey::Application(format!("0123456789abcdef-{number:012}").into())
}

/// Ten processes.
fn made(number: usize) -> IdempotencyKey {
    IdempotencyKey::Made { prefix: [(number % 10) as u8; 16], counter: number as u64 }
}

fn publications(directory: &Path, sync: Sync, in_flight: usize, key: fn(usize) -> IdempotencyKey) -> f64 {
    let opened = open(&options(directory.to_owned(), sync)).expect("a store");
    let store = opened.start(Arc::new(Nobody)).expect("threads");
    let streams: Vec<_> = (0..STREAMS)
        .map(|number| {
            let name = ChannelName::parse(&format!("orders.{number}")).expect("a valid name");
            Arc::new(Stream { app: AppId::DEFAULT, name: StreamName::Channel(name) })
        })
        .collect();
    let data = RawValue::from_string(format!("\"{}\"", "x".repeat(126))).expect("a JSON string");
    let payload = Arc::new(Payload { event: None, data, user: None });
    let (done, outcomes) = mpsc::channel();
    let publish = |number: usize| {
        let done = done.clone();
        let key = Key { origin: "php".into(), key: key(number), digest: 1 };
        store.write(Write {
            stream: streams[number % STREAMS].clone(),
            payload: payload.clone(),
            exclude: None,
            id: None,
            key: Some(key),
            retention: RETENTION,
            done: Box::new(move |result| {
                result.expect("written");
                // Nobody counts any more at the end.
                let _ = done.send(());
            }),
        });
    };
    (0..in_flight).for_each(&publish);
    let started = Instant::now();
    let mut count = in_flight;
    while started.elapsed() < LASTS {
        outcomes.recv().expect("the store goes on");
        publish(count);
        count += 1;
    }
    let rate = (count - in_flight) as f64 / started.elapsed().as_secs_f64();
    (0..in_flight).for_each(|_| outcomes.recv().expect("the store goes on"));
    copy_as_crashed(directory);
    store.close();
    rate
}

/// What a crash would leave now, when everything is synced and nothing closed.
fn copy_as_crashed(directory: &Path) {
    let mut crashed = directory.as_os_str().to_owned();
    crashed.push("-crashed");
    let crashed = PathBuf::from(crashed);
    std::fs::create_dir(&crashed).expect("a directory");
    std::fs::copy(directory.join("store.redb"), crashed.join("store.redb")).expect("room");
}
