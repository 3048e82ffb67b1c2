//! Random publications, retries, crashes and trims against a simple oracle.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod store_support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use realtime_server::internals::store::{Options, Point, Retention, Sync, WriteError};
use store_support::disk::Disk;
use store_support::{Running, Shown, TTL, key, options, run, stream, text};

const SYNCS: [Sync; 2] = [Sync::Always, Sync::Interval(Duration::from_secs(3600))];
const POINTS: [Point; 5] =
    [Point::AfterDedup, Point::MidTransaction, Point::BeforeSync, Point::AfterSync, Point::BeforeAck];
const SIZES: [usize; 3] = [4, 8, 1000];
/// Of streams that have one: shorter than that of the keys, so that keys outlive streams.
const STREAM_TTL: Duration = Duration::from_secs(100);

#[derive(Clone, Debug)]
enum Step {
    /// What is queued at once: stream and, if there is one, key.
    Publish(Vec<(usize, Option<u8>)>),
    Wait(u32),
    Restart,
    /// The process dies when it is at a point for the so-manieth time.
    Crash {
        point: Point,
        times: u32,
        machine: bool,
        seed: u64,
        writes: Vec<(usize, Option<u8>)>,
    },
}

fn writes() -> impl Strategy<Value = Vec<(usize, Option<u8>)>> {
    prop::collection::vec((0usize..3, prop::option::weighted(0.6, 0u8..6)), 1..8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => writes().prop_map(Step::Publish),
        1 => (0u32..200_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => (prop::sample::select(&POINTS[..]), 1u32..3, any::<bool>(), any::<u64>(), writes())
            .prop_map(|(point, times, machine, seed, writes)| Step::Crash { point, times, machine, seed, writes }),
    ]
}

/// Sectors that had the luck to be written.
fn luck(mut seed: u64) -> impl FnMut() -> bool {
    let all_or_none = seed % 8;
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        match all_or_none {
            0 => false,
            1 => true,
            _ => seed.is_multiple_of(2),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    data: String,
    is_acknowledged: bool,
}

/// What must hold, kept by hand.
#[derive(Default)]
struct Oracle {
    /// Every offset that anybody has seen in this epoch.
    seen: [BTreeMap<u64, Known>; 3],
    /// Until when (ms) a key stands for which offset, by stream and key.
    keys: HashMap<(usize, u8), (u64, u64)>,
}

impl Oracle {
    fn see(&mut self, stream: usize, offset: u64, data: &str, is_acknowledged: bool) {
        let known = self.seen[stream].entry(offset).or_insert_with(|| Known { data: data.to_owned(), is_acknowledged });
        assert_eq!(known.data, data, "stream {stream}: offset {offset} is used twice");
        known.is_acknowledged |= is_acknowledged;
    }
}

struct World {
    options: Options,
    disk: Arc<Disk>,
    running: Option<Running>,
    oracle: Oracle,
    now: u64,
    count: u32,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(sync: Sync) -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let (options, disk) = (options(directory.path(), sync), Disk::new());
        let running = Some(run(&options, disk.clone()));
        Self { options, disk, running, oracle: Oracle::default(), now: 0, count: 0, _directory: directory }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Publishes; after a crash some are not answered well. What is acknowledged is noted.
    fn publish(&mut self, writes: &[(usize, Option<u8>)], may_fail: bool) {
        let sent: Vec<_> = writes
            .iter()
            .map(|&(index, name)| {
                self.count += 1;
                // What is published under a key is always the same.
                let data = name.map_or_else(|| format!("#{}", self.count), |name| format!("k{name}"));
                let retention = Retention { size: SIZES[index], ttl: (index == 1).then_some(STREAM_TTL) };
                // Every other is one that the extension makes.
                let key = name.map(|name| match name % 2 {
                    0 => key(&format!("k{name}"), &data),
                    _ => key(&format!("~BwcHBwcHBwcHBwcHBwcHBw.{name}"), &data),
                });
                let pending = self.running().send(&stream(&index.to_string()), &data, key, retention);
                (index, name, data, pending)
            })
            .collect();
        for (index, name, data, pending) in sent {
            let written = match pending.wait() {
                Ok(written) => written,
                Err(WriteError::Unavailable(_)) if may_fail => continue,
                Err(error) => panic!("{error}"),
            };
            let known = name.and_then(|name| self.oracle.keys.get(&(index, name))).copied();
            match known.filter(|&(_, end)| end > self.now) {
                Some((offset, _)) => {
                    assert_eq!((written.offset, written.duplicate), (offset, true), "{index} {name:?}");
                }
                // A duplicate of what was committed and not acknowledged: its key ends nobody here knows when.
                None if written.duplicate => {}
                None => {
                    let end = self.now + TTL.as_millis() as u64;
                    self.oracle.keys.extend(name.map(|name| ((index, name), (written.offset, end))));
                }
            }
            let was_seen = self.oracle.seen[index].contains_key(&written.offset);
            if !written.duplicate {
                assert!(!was_seen, "{index}: offset {} is given out again", written.offset);
            }
            // What a key stands for may be of an epoch before.
            if !written.duplicate || was_seen {
                self.oracle.see(index, written.offset, &data, true);
            }
        }
    }

    fn check_history(&mut self) {
        for (index, size) in SIZES.into_iter().enumerate() {
            let kept = self.running().read(&stream(&index.to_string()), 0).unwrap();
            let offsets: Vec<_> = kept.iter().map(|kept| kept.offset).collect();
            let first = offsets.first().copied().unwrap_or(0);
            assert_eq!(offsets, (first..first + offsets.len() as u64).collect::<Vec<_>>(), "{index} has holes");
            assert!(offsets.len() <= size);
            assert!(kept.is_sorted_by_key(|kept| kept.at), "{index}: time went back");
            for kept in &kept {
                self.oracle.see(index, kept.offset, &text(kept), false);
            }
            let missing = self.oracle.seen[index]
                .iter()
                .filter(|(offset, known)| known.is_acknowledged && !offsets.contains(offset))
                .map(|(offset, _)| *offset);
            for missing in missing {
                let is_trimmed = offsets.len() == size && missing < first;
                // Stream 1 forgets by age too; that it does so no earlier than it may, `store.rs` tests.
                assert!(
                    is_trimmed || (index == 1 && (offsets.is_empty() || missing < first)),
                    "{index}: {missing} is lost"
                );
            }
            let mut keyed: HashMap<String, u64> = HashMap::new();
            for kept in &kept {
                if text(kept).starts_with('k')
                    && let Some(before) = keyed.insert(text(kept), kept.at)
                {
                    assert!(kept.at - before >= TTL.as_millis() as u64, "{index}: {} is doubled", text(kept));
                }
            }
        }
    }

    /// The sink sees each stream in order, and nothing that is not there.
    fn check_shown(&mut self) {
        let mut last = HashMap::new();
        for shown in self.running().shown() {
            if let Shown::Committed { stream: of, offset, data } = shown {
                let index = (0..3).find(|index| *stream(&index.to_string()) == of).unwrap();
                assert!(last.insert(index, offset).is_none_or(|before| before < offset));
                self.oracle.see(index, offset, &data, true);
            }
        }
    }

    fn stop(&mut self) -> String {
        self.check_shown();
        let running = self.running.take().unwrap();
        running.store.close();
        running.epoch
    }

    /// Starts again; `breaks`: what nobody synced may be gone, and then the epoch with it.
    fn start(&mut self, epoch: &str, breaks: bool) {
        let running = run(&self.options, self.disk.clone());
        if breaks {
            assert_ne!(running.epoch, epoch);
            self.oracle = Oracle::default();
        } else {
            assert_eq!(running.epoch, epoch);
        }
        self.running = Some(running);
        self.check_history();
    }

    fn crash(&mut self, point: Point, times: u32, writes: &[(usize, Option<u8>)]) -> String {
        let (disk, left) = (Arc::downgrade(&self.disk), AtomicU32::new(times));
        self.disk.at_points(move |reached| {
            if reached == point && left.fetch_sub(1, Ordering::SeqCst) == 1 {
                disk.upgrade().unwrap().die();
            }
        });
        self.publish(writes, true);
        self.publish(writes, true);
        // Whether the point was reached or not, this is the end.
        self.disk.die();
        let epoch = self.stop();
        // A process that has died notes no failed sync.
        std::fs::write(self.options.directory.join("store.lock"), "").unwrap();
        epoch
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(writes) => self.publish(writes, false),
            Step::Wait(ms) => {
                self.now += u64::from(*ms);
                self.disk.advance(i64::from(*ms));
            }
            Step::Restart => {
                let epoch = self.stop();
                self.start(&epoch, false);
            }
            Step::Crash { point, times, machine, seed, writes } => {
                let epoch = self.crash(*point, *times, writes);
                self.disk = if *machine { self.disk.after_power_loss(luck(*seed)) } else { self.disk.after_kill() };
                self.start(&epoch, *machine && self.options.sync != Sync::Always);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_doubled_or_replaced(
        sync in prop::sample::select(&SYNCS[..]),
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut world = World::new(sync);
        for step in &steps {
            world.step(step);
        }
        world.check_history();
        world.check_shown();
    }
}
