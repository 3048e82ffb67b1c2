//! `kill -9` at random moments, while a process counts what was acknowledged.
//!
//! The process is this test binary again, told by a variable to write. Each line that it prints is an acknowledgement;
//! what it has printed the pipe keeps, however it ends.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod store_support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use realtime_server::internals::store::{Retention, Sync, System};
use store_support::{key, options, run, stream};

const KILLS: u64 = 50;
const DIRECTORY: &str = "STORE_KILL_DIRECTORY";
const FIRST: &str = "STORE_KILL_FIRST";
/// Publications under way at once.
const IN_FLIGHT: usize = 16;
const STREAMS: u64 = 3;
const ALL: Retention = Retention { size: 1_000_000, ttl: None };

fn sync(directory: &Path) -> Sync {
    if directory.ends_with("always") { Sync::Always } else { Sync::Interval(Duration::from_millis(20)) }
}

/// Writes until it is killed. Not a test: without the variable it does nothing.
#[test]
fn writes_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let running = run(&options(directory, sync(directory)), Arc::new(System));
    let mut pending = std::collections::VecDeque::new();
    // The harness takes `println!` aside.
    let mut out = std::io::stdout();
    writeln!(out, "epoch {}", running.epoch).unwrap();
    for number in first.. {
        let name = number.to_string();
        let key = key(&name, &name);
        pending.push_back((number, running.send(&stream(&(number % STREAMS).to_string()), &name, Some(key), ALL)));
        if pending.len() == IN_FLIGHT {
            let (number, outcome) = pending.pop_front().unwrap();
            let written = outcome.wait().unwrap();
            writeln!(out, "ack {number} {}", written.offset).unwrap();
        }
    }
}

fn spawn(directory: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What one process printed: its epoch, and the offset of each number acknowledged.
fn kill_after(mut child: Child, acknowledgements: u64) -> (String, Vec<(u64, u64)>) {
    let mut epoch = String::new();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["epoch", of] | [.., "epoch", of] => of.clone_into(&mut epoch),
            // The last line may be cut by the kill.
            ["ack", number, offset] => acknowledged.push((number.parse().unwrap(), offset.parse().unwrap())),
            _ => {}
        }
        if acknowledged.len() as u64 == acknowledgements {
            // Fails only when it has ended by itself, which the status below tells.
            let _ = child.kill();
        }
    }
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9), "it ended by itself");
    (epoch, acknowledged)
}

fn survives(name: &str) {
    let root = tempfile::TempDir::new().unwrap();
    let directory = root.path().join(name);
    let mut acknowledged: HashMap<u64, u64> = HashMap::new();
    let (mut first, mut epoch, mut seed) = (0, None, 0x9e37_79b9_7f4a_7c15u64);
    for _ in 0..KILLS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (of, new) = kill_after(spawn(&directory, first), 1 + seed % 100);
        assert_eq!(*epoch.get_or_insert(of.clone()), of, "a kill is no reason for another epoch");
        // The retries of what was under way are this run's first publications.
        first = new.last().unwrap().0 + 1;
        for (number, offset) in new {
            assert!(acknowledged.insert(number, offset).is_none_or(|before| before == offset));
        }
    }
    let running = run(&options(&directory, sync(&directory)), Arc::new(System));
    let mut found = HashMap::new();
    for index in 0..STREAMS {
        let history = running.history(&stream(&index.to_string()));
        for (expected, (offset, data)) in (1..).zip(history) {
            assert_eq!(offset, expected, "a hole");
            assert_eq!(found.insert(data.parse::<u64>().unwrap(), offset), None, "{data} is doubled");
        }
    }
    for (number, offset) in &acknowledged {
        assert_eq!(found.get(number), Some(offset), "{number} was acknowledged");
    }
    assert!(acknowledged.len() as u64 >= KILLS);
}

#[test]
fn what_was_acknowledged_survives_fifty_kills() {
    survives("always");
}

#[test]
fn what_was_acknowledged_survives_fifty_kills_without_a_sync() {
    survives("interval");
}
