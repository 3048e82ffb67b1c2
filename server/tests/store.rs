//! The durable store: what it keeps, what it refuses, what it forgets.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod store_support;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

use realtime_server::internals::store::{
    Environment, Point, Retention, Sync, System, WriteError, Written, open, open_in,
};
use store_support::disk::Disk;
use store_support::{KEEP_ALL, Running, Shown, TTL, key, options, run, stream};
use tempfile::TempDir;

const RARELY: Sync = Sync::Interval(Duration::from_secs(3600));

fn directory() -> TempDir {
    TempDir::new().unwrap()
}

fn written(offset: u64) -> Result<Written, WriteError> {
    Ok(Written { offset, receivers: 3, duplicate: false })
}

fn entries(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(offset, data)| (*offset, (*data).to_owned())).collect()
}

#[test]
fn what_is_published_is_shown_answered_and_there_after_a_restart() {
    let directory = directory();
    let (options, a, b) = (options(directory.path(), Sync::Always), stream("a"), stream("b"));
    let running = run(&options, Arc::new(System));
    assert_eq!(running.publish(&a, "one"), written(1));
    assert_eq!(running.publish(&a, "two"), written(2));
    assert_eq!(running.publish(&b, "three"), written(1));
    assert_eq!(running.history(&a), entries(&[(1, "one"), (2, "two")]));
    assert_eq!(running.shown().len(), 3);
    let epoch = running.epoch.clone();
    running.store.close();
    let opened = open(&options).unwrap();
    let mut loaded = opened.loaded();
    loaded.streams.sort_by_key(|(_, top, _)| *top);
    assert_eq!(*loaded.epoch, *epoch);
    assert_eq!(loaded.streams, [((*b).clone(), 1, 1), ((*a).clone(), 2, 1)]);
    let running = store_support::start(opened);
    assert_eq!(running.publish(&a, "four"), written(3));
}

#[test]
fn a_part_is_read_from_either_end_and_bounded_by_number_and_bytes() {
    let directory = directory();
    let (running, a) = (run(&options(directory.path(), RARELY), Disk::new()), stream("a"));
    for data in ["1", "2", "3", "4", "5"] {
        running.publish(&a, data).unwrap();
    }
    let read = |is_newest: bool, range, most, bytes| {
        let (done, outcome) = channel();
        let done = move |result: Result<Vec<_>, _>| done.send(result.unwrap()).unwrap();
        if is_newest {
            running.store.newest(&a, range, most, bytes, done);
        } else {
            running.store.read(&a, range, most, bytes, done);
        }
        outcome.recv().unwrap().iter().map(|kept: &realtime_server::internals::store::Kept| kept.offset).collect()
    };
    let offsets: Vec<u64> = read(false, 2..=4, 2, 1000);
    assert_eq!(offsets, [2, 3]);
    let offsets: Vec<u64> = read(true, 2..=4, 2, 1000);
    assert_eq!(offsets, [3, 4]);
    // Three bytes each, with their quotes.
    let offsets: Vec<u64> = read(false, 1..=9, 9, 7);
    assert_eq!(offsets, [1, 2]);
    let offsets: Vec<u64> = read(true, 1..=9, 9, 0);
    assert_eq!(offsets, [5], "the first is always read");
    let offsets: Vec<u64> = read(false, 6..=9, 9, 1000);
    assert!(offsets.is_empty());
}

#[test]
fn a_retry_is_answered_as_the_first_time_and_published_once() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    assert_eq!(running.publish_once(&a, "one", "k"), written(1));
    let again = Ok(Written { offset: 1, receivers: 3, duplicate: true });
    assert_eq!(running.publish_once(&a, "one", "k"), again);
    let other = running.send(&a, "other", Some(key("k", "other")), KEEP_ALL).wait();
    assert_eq!(other, Err(WriteError::KeyConflict));
    assert_eq!(running.publish_once(&stream("b"), "other", "k"), written(1), "the scope is the stream");
    running.store.close();
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    let after_restart = Ok(Written { offset: 1, receivers: 0, duplicate: true });
    assert_eq!(running.publish_once(&a, "one", "k"), after_restart);
    disk.advance(TTL.as_millis() as i64);
    assert_eq!(running.publish_once(&a, "one", "k"), written(2), "a key is known for its ttl");
}

/// Holds the writer at its first answer, so that what is sent meanwhile forms one group.
fn hold(disk: &Arc<Disk>, running: &Running) -> impl FnOnce() {
    let (release, released) = channel::<()>();
    let (reached, at_point) = channel();
    let released = std::sync::Mutex::new(Some(released));
    disk.at_points(move |point| {
        if point == Point::BeforeAck
            && let Some(released) = released.lock().unwrap().take()
        {
            reached.send(()).unwrap();
            released.recv().unwrap();
        }
    });
    let first = running.send(&stream("first"), "first", None, KEEP_ALL);
    at_point.recv().unwrap();
    move || {
        release.send(()).unwrap();
        first.wait().unwrap();
    }
}

#[test]
fn a_retry_in_the_same_group_joins() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    let release = hold(&disk, &running);
    let first = running.send(&a, "one", Some(key("k", "one")), KEEP_ALL);
    let retry = running.send(&a, "one", Some(key("k", "one")), KEEP_ALL);
    let other = running.send(&a, "two", Some(key("k", "two")), KEEP_ALL);
    release();
    assert_eq!(first.wait(), written(1));
    assert_eq!(retry.wait(), Ok(Written { offset: 1, receivers: 3, duplicate: true }));
    assert_eq!(other.wait(), Err(WriteError::KeyConflict));
    assert_eq!(running.history(&a), entries(&[(1, "one")]));
}

#[test]
fn no_more_keys_than_allowed_until_the_oldest_end() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(
        &realtime_server::internals::store::Options { max_keys: 2, ..options(directory.path(), RARELY) },
        disk.clone(),
    );
    assert_eq!(running.publish_once(&a, "1", "k1"), written(1));
    disk.advance(1000);
    assert_eq!(running.publish_once(&a, "2", "k2"), written(2));
    assert_eq!(running.publish_once(&a, "3", "k3"), Err(WriteError::TooManyKeys));
    assert!(running.publish_once(&a, "1", "k1").unwrap().duplicate, "known keys stay known");
    assert_eq!(running.publish(&a, "no key"), written(3));
    disk.advance(TTL.as_millis() as i64 - 1000);
    assert_eq!(running.publish_once(&a, "3", "k3"), written(4));
    assert_eq!(running.publish_once(&a, "4", "k4"), Err(WriteError::TooManyKeys));
}

#[test]
fn a_stream_keeps_so_many_and_the_sink_is_told() {
    let directory = directory();
    let (running, a) = (run(&options(directory.path(), Sync::Always), Disk::new()), stream("a"));
    for data in ["1", "2", "3"] {
        running.send(&a, data, None, Retention { size: 2, ttl: None }).wait().unwrap();
    }
    assert_eq!(running.history(&a), entries(&[(2, "2"), (3, "3")]));
    assert_eq!(running.shown().last(), Some(&Shown::Trimmed { stream: (*a).clone(), first: 2 }));
}

#[test]
fn a_stream_that_has_grown_too_old_is_freed_and_its_next_life_repeats_no_offset() {
    let directory = directory();
    let (disk, a, b) = (Disk::new(), stream("a"), stream("b"));
    let options = options(directory.path(), Sync::Always);
    let running = run(&options, disk.clone());
    let minute = Retention { size: 10, ttl: Some(Duration::from_secs(60)) };
    running.send(&a, "1", Some(key("k", "1")), minute).wait().unwrap();
    disk.advance(30_000);
    running.send(&a, "2", None, minute).wait().unwrap();
    disk.advance(30_000);
    running.publish(&b, "1").unwrap();
    running.wait_for(&Shown::Trimmed { stream: (*a).clone(), first: 2 });
    assert_eq!(running.history(&a), entries(&[(2, "2")]));
    disk.advance(30_000);
    running.publish(&b, "2").unwrap();
    running.wait_for(&Shown::Trimmed { stream: (*a).clone(), first: 3 });
    running.store.close();
    let opened = open_in(&options, &(disk.clone() as Arc<dyn Environment>)).unwrap();
    assert_eq!((opened.loaded().floor, opened.loaded().streams.len()), (2, 1));
    let running = store_support::start(opened);
    assert_eq!(running.publish_once(&a, "1", "k").unwrap().offset, 1, "keys outlive their stream");
    assert_eq!(running.publish(&a, "3"), written(3));
    assert_eq!(running.publish(&stream("new"), "1"), written(3));
    assert_eq!(running.publish(&b, "3"), written(3));
}

#[test]
fn time_never_goes_back() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let options = options(directory.path(), Sync::Always);
    let running = run(&options, disk.clone());
    running.publish(&a, "1").unwrap();
    disk.advance(-5000);
    running.publish(&a, "2").unwrap();
    running.store.close();
    let running = run(&options, disk);
    running.publish(&a, "3").unwrap();
    let times: Vec<_> = running.read(&a, 0).unwrap().iter().map(|kept| kept.at).collect();
    assert_eq!(times, [1_700_000_000_000; 3]);
}

#[test]
fn after_the_close_everybody_is_told() {
    let directory = directory();
    let (running, a) = (run(&options(directory.path(), Sync::Always), Disk::new()), stream("a"));
    running.publish(&a, "1").unwrap();
    running.store.clone().close();
    assert!(matches!(running.publish(&a, "2"), Err(WriteError::Unavailable(_))));
    assert!(running.read(&a, 0).is_err());
}

#[test]
fn above_the_high_water_mark_admission_waits() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(&options(directory.path(), RARELY), disk.clone());
    let release = hold(&disk, &running);
    let data = "x".repeat(60_000);
    let pending: Vec<_> = (0..300).map(|_| running.send(&a, &data, None, KEEP_ALL)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut admission = std::pin::pin!(running.store.admission());
    let mut context = Context::from_waker(Waker::noop());
    assert!(admission.as_mut().poll(&mut context).is_pending());
    release();
    runtime.block_on(admission);
    for pending in pending {
        pending.wait().unwrap();
    }
}

#[test]
fn a_damaged_file_is_refused_or_read_but_ends_nothing() {
    let directory = directory();
    let (options, a) = (options(directory.path(), Sync::Always), stream("a"));
    let running = run(&options, Arc::new(System));
    for n in 0..200 {
        running.publish(&a, &n.to_string()).unwrap();
    }
    running.store.close();
    let path = directory.path().join("store.redb");
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    let mut damage = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = open(&options) {
            assert!(error.to_string().contains("store.redb"), "{error}");
            refused += 1;
        }
    };
    for from in (512..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[from..].fill(0xa5);
        damage(&bytes);
        damage(&whole[..from]);
        let mut bytes = whole.clone();
        let until = (from + 4096).min(bytes.len());
        bytes[from..until].fill(0);
        damage(&bytes);
    }
    assert!(refused > 40, "{refused}");
    std::fs::write(&path, &whole).unwrap();
    open(&options).unwrap();
}
