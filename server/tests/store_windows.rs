//! The keys that the extension makes: the last 1,024 commands of each process are known, before and after a restart.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod store_support;

use std::path::Path;
use std::sync::Arc;

use realtime_server::internals::Stream;
use realtime_server::internals::store::{Sync, System, WriteError, Written, open};
use store_support::disk::Disk;
use store_support::{KEEP_ALL, Running, TTL, key, options, run, start, stream};

const WINDOW: u64 = 1_024;
const PREFIX: &str = "~BwcHBwcHBwcHBwcHBwcHBw";
const OTHER: &str = "~CAgICAgICAgICAgICAgICA";

/// Sends them all at once, in groups as they come; returns whether each was a duplicate.
fn send(running: &Running, prefix: &str, to: &[&Arc<Stream>], counters: impl IntoIterator<Item = u64>) -> Vec<bool> {
    let sent: Vec<_> = counters
        .into_iter()
        .flat_map(|counter| to.iter().map(move |stream| (counter, stream)))
        .map(|(counter, stream)| {
            running.send(stream, &counter.to_string(), Some(key(&format!("{prefix}.{counter}"), "same")), KEEP_ALL)
        })
        .collect();
    sent.into_iter().map(|pending| pending.wait().unwrap().duplicate).collect()
}

fn table(name: &str) -> redb::TableDefinition<'_, &'static [u8], &'static [u8]> {
    redb::TableDefinition::new(name)
}

/// Rows of the tables that hold keys.
fn rows(directory: &Path) -> [u64; 3] {
    use redb::{ReadableDatabase, ReadableTableMetadata};
    let database = redb::Database::open(directory.join("store.redb")).unwrap();
    let transaction = database.begin_read().unwrap();
    ["keys", "key_log", "sent"].map(|name| transaction.open_table(table(name)).unwrap().len().unwrap())
}

#[test]
fn the_last_thousand_commands_of_a_process_are_known_also_after_a_restart() {
    let directory = tempfile::TempDir::new().unwrap();
    let options = options(directory.path(), Sync::Interval(TTL));
    let (a, b) = (stream("a"), stream("b"));
    let mut running = run(&options, Arc::new(System));
    // The first one was deferred, and is sent after all others.
    assert!(!send(&running, PREFIX, &[&a, &b], (2..=2_000).chain([1])).contains(&true));
    assert_eq!(send(&running, OTHER, &[&a], [2_000]), [false], "each process has a window of its own");
    for _ in 0..2 {
        let known = (2_002 - WINDOW..=2_000).chain([1]);
        assert!(!send(&running, PREFIX, &[&a, &b], known).contains(&false));
        let other = running.send(&a, "x", Some(key(&format!("{PREFIX}.2000"), "another")), KEEP_ALL).wait();
        assert_eq!(other, Err(WriteError::KeyConflict));
        running.store.close();
        assert_eq!(rows(directory.path()), [0, 0, 2 * WINDOW + 1]);
        running = run(&options, Arc::new(System));
    }
    assert_eq!(send(&running, PREFIX, &[&a, &b], [2_001 - WINDOW]), [false, false], "it was forgotten");
}

#[test]
fn a_process_that_ends_leaves_nothing_behind() {
    let directory = tempfile::TempDir::new().unwrap();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    send(&running, PREFIX, &[&a], 0..3_000);
    disk.advance(1_000);
    send(&running, OTHER, &[&a], [1]);
    disk.advance(TTL.as_millis() as i64 - 1);
    assert_eq!(send(&running, OTHER, &[&a], [1]), [true]);
    assert_eq!(send(&running, PREFIX, &[&a], [2_999]), [false], "a key is known for its ttl");
    running.store.close();
    // Its rows go a few at a time; each publication is a turn.
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    disk.advance(TTL.as_millis() as i64);
    for _ in 0..10 {
        running.publish(&a, "turn").unwrap();
    }
    running.store.close();
    let file = directory.path().join("store.redb");
    std::fs::write(&file, disk.contents(&file)).unwrap();
    assert_eq!(rows(directory.path()), [0; 3]);
}

#[test]
fn a_broadcast_to_many_channels_has_its_window_bounded() {
    let directory = tempfile::TempDir::new().unwrap();
    let options = options(directory.path(), Sync::Interval(TTL));
    let running = run(&options, Arc::new(System));
    let streams: Vec<_> = (0..1_000).map(|n| stream(&n.to_string())).collect();
    let streams: Vec<_> = streams.iter().collect();
    for counter in 0..66 {
        assert!(!send(&running, PREFIX, &streams, [counter]).contains(&true));
    }
    assert_eq!(send(&running, PREFIX, &streams[999..], [65]), [true]);
    running.store.close();
    assert_eq!(rows(directory.path())[2], 64 * WINDOW);
}

/// Makes what is there look as the version before would have left it.
fn write_as_format_1(directory: &Path, at: u64) {
    use redb::ReadableTable;
    let database = redb::Database::open(directory.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(table("sent")).unwrap();
    let numbers = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let text = |text: &[u8]| [&(text.len() as u32).to_be_bytes()[..], text].concat();
    let stream = [&0u32.to_be_bytes()[..], &[0], b"a"].concat();
    let name = [text(b"php"), text(&stream), format!("{PREFIX}.7").into_bytes()].concat();
    {
        let digest = key("k", "same").digest;
        let mut keys = transaction.open_table(table("keys")).unwrap();
        keys.insert(&name[..], &numbers(&[digest, 1, at, 0])[..]).unwrap();
        let mut log = transaction.open_table(table("key_log")).unwrap();
        log.insert(&numbers(&[0])[..], &[&at.to_be_bytes()[..], &name].concat()[..]).unwrap();
        let mut meta = transaction.open_table(table("meta")).unwrap();
        let counters = meta.get(&b"counters"[..]).unwrap().unwrap().value().to_vec();
        // One key is there, and a library made it.
        let counters = [&counters[..24], &numbers(&[0, 1, 1]), &counters[48..]].concat();
        meta.insert(&b"counters"[..], &counters[..]).unwrap();
        meta.insert(&b"format"[..], &numbers(&[1])[..]).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_store_of_the_format_before_is_taken_over_with_its_keys() {
    let directory = tempfile::TempDir::new().unwrap();
    let options = options(directory.path(), Sync::Always);
    let a = stream("a");
    let running = run(&options, Arc::new(System));
    running.publish(&a, "7").unwrap();
    let epoch = running.epoch.clone();
    running.store.close();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    write_as_format_1(directory.path(), now);
    for _ in 0..2 {
        let running = start(open(&options).unwrap());
        assert_eq!(running.epoch, epoch);
        let again = running.send(&a, "7", Some(key(&format!("{PREFIX}.7"), "same")), KEEP_ALL).wait();
        assert_eq!(again, Ok(Written { offset: 1, receivers: 0, duplicate: true }));
        send(&running, PREFIX, &[&a], [8]);
        running.store.close();
        assert_eq!(rows(directory.path()), [1, 1, 1]);
    }
}
