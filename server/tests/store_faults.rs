//! The durable store when something breaks: the disk, the machine, the file, a second process.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod store_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use realtime_server::internals::store::{
    BackupError, Environment, OpenError, Opened, Retention, Sync, System, WriteError, open, open_in,
};
use store_support::disk::Disk;
use store_support::{options, run, start, stream};
use tempfile::TempDir;

const RARELY: Sync = Sync::Interval(Duration::from_secs(3600));

fn directory() -> TempDir {
    TempDir::new().unwrap()
}

fn refusal(opened: Result<Opened, OpenError>) -> String {
    opened.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_failed_sync_stops_writing_until_a_restart_which_begins_another_epoch() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let options = options(directory.path(), Sync::Always);
    let running = run(&options, disk.clone());
    running.publish(&a, "1").unwrap();
    disk.fail_syncs();
    for data in ["2", "3"] {
        let Err(WriteError::Unavailable(why)) = running.publish(&a, data) else { panic!("acknowledged unsynced") };
        assert!(why.contains("restart"), "{why}");
    }
    assert_eq!(running.shown().len(), 1, "nobody sees what is not synced");
    let epoch = running.epoch.clone();
    running.store.close();
    let running = run(&options, disk.after_power_loss(|| false));
    assert_ne!(running.epoch, epoch);
    assert_eq!(running.history(&a), [(1, "1".to_owned())]);
    running.publish(&a, "2").unwrap();
}

/// Publishes until one is refused; returns how many were not.
fn fill(running: &store_support::Running, first: u64, data: &str) -> (u64, WriteError) {
    let a = stream("a");
    let mut offset = first;
    loop {
        match running.publish_once(&a, data, &format!("k{offset}")) {
            Ok(written) => assert_eq!(written.offset, offset),
            Err(error) => return (offset, error),
        }
        offset += 1;
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself_when_there_is_room() {
    for sync in [Sync::Always, RARELY] {
        let directory = directory();
        let (disk, a) = (Disk::new(), stream("a"));
        let options = options(directory.path(), sync);
        let running = run(&options, disk.clone());
        let data = "x".repeat(3000);
        running.publish_once(&a, &data, "k1").unwrap();
        disk.limit(Some(64));
        let (next, error) = fill(&running, 2, &data);
        assert!(next > 5, "{sync:?}: {next}");
        assert_eq!(error, WriteError::Full);
        assert!(running.publish_once(&a, &data, "k2").unwrap().duplicate, "what is in is known");
        disk.limit(None);
        // It tries again before long.
        let written = loop {
            match running.publish_once(&a, &data, "again") {
                Ok(written) => break written,
                Err(error) => assert_eq!(error, WriteError::Full),
            }
        };
        assert_eq!((written.offset, written.duplicate), (next, false), "{sync:?}: refused ones leave no hole");
        let epoch = running.epoch.clone();
        let killed = disk.after_kill();
        disk.die();
        running.store.close();
        let running = run(&options, killed);
        assert_eq!(running.epoch, epoch);
        let offsets: Vec<_> = running.history(&a).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(offsets, (1..=next).collect::<Vec<_>>(), "{sync:?}");
    }
}

#[test]
fn a_start_on_a_full_disk_says_so() {
    let directory = directory();
    let options = options(directory.path(), Sync::Always);
    let disk = Disk::new();
    for pages in [1, 3, 5] {
        disk.limit(Some(pages));
        let environment: Arc<dyn Environment> = disk.clone();
        let message = refusal(open_in(&options, &environment));
        assert!(message.contains("the disk is full; make room, and start the server again"), "{pages}: {message}");
    }
    disk.limit(None);
    run(&options, disk.clone()).publish(&stream("a"), "one").unwrap();
}

#[test]
fn a_disk_that_says_it_is_nearly_full_is_not_filled_up() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    running.publish(&a, "1").unwrap();
    disk.say_free(16 << 20);
    assert_eq!(running.publish(&a, "2"), Err(WriteError::Full));
    disk.say_free(1 << 30);
    while running.publish(&a, "2") == Err(WriteError::Full) {}
    assert_eq!(running.history(&a).len(), 2);
}

#[test]
fn the_old_is_removed_on_a_full_disk_too() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let running = run(&options(directory.path(), Sync::Always), disk.clone());
    let minute = Retention { size: 10, ttl: Some(Duration::from_secs(60)) };
    running.send(&a, "1", None, minute).wait().unwrap();
    disk.say_free(16 << 20);
    disk.advance(60_000);
    assert_eq!(running.publish(&stream("b"), "1"), Err(WriteError::Full));
    running.wait_for(&store_support::Shown::Trimmed { stream: (*a).clone(), first: 2 });
}

#[test]
fn a_directory_belongs_to_one_at_a_time() {
    let directory = directory();
    let options = options(&directory.path().join("made/for/it"), Sync::Always);
    let running = run(&options, Arc::new(System));
    let message = refusal(open(&options));
    assert!(message.contains("another process has this store open"), "{message}");
    running.store.close();
    open(&options).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&options.directory), 0o700);
    assert_eq!(mode(&options.directory.join("store.redb")), 0o600);
}

#[test]
fn what_is_no_store_of_ours_is_refused_and_left_alone() {
    let directory = directory();
    let file = directory.path().join("store.redb");
    let options = options(directory.path(), Sync::Always);
    std::fs::write(&file, "something else, of somebody else".repeat(1000)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let message = refusal(open(&options));
    assert!(message.contains("no store of realtime-server; move it away"), "{message}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    std::fs::remove_file(&file).unwrap();
    let other = redb::Database::create(&file).unwrap();
    let transaction = other.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(other);
    let message = refusal(open(&options));
    assert!(message.contains("no store of realtime-server"), "{message}");
}

#[test]
fn another_format_is_refused() {
    let directory = directory();
    let options = options(directory.path(), Sync::Always);
    run(&options, Arc::new(System)).store.close();
    let database = redb::Database::open(directory.path().join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    transaction.open_table(meta).unwrap().insert(&b"format"[..], &3u64.to_be_bytes()[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let message = refusal(open(&options));
    assert!(
        message.contains("written in format 3, and this version reads up to format 2; run the version"),
        "{message}"
    );
}

#[test]
fn a_backup_is_whole_while_others_write_and_begins_another_epoch() {
    let directory = directory();
    let (a, restored) = (stream("a"), directory.path().join("restored"));
    let running = run(&options(&directory.path().join("data"), Sync::Always), Arc::new(System));
    std::fs::create_dir(&restored).unwrap();
    let to = restored.join("store.redb");
    let acknowledged = AtomicU64::new(0);
    let (before, after) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for offset in 1..=500 {
                running.publish_once(&a, &offset.to_string(), &format!("k{offset}")).unwrap();
                acknowledged.store(offset, Ordering::SeqCst);
            }
        });
        while acknowledged.load(Ordering::SeqCst) < 100 {
            std::thread::yield_now();
        }
        let before = acknowledged.load(Ordering::SeqCst);
        running.store.backup(&to).unwrap();
        let after = acknowledged.load(Ordering::SeqCst);
        writer.join().unwrap();
        (before, after)
    });
    assert!(matches!(running.store.backup(&to), Err(BackupError::Exists(_))));
    let copy = run(&options(&restored, Sync::Always), Arc::new(System));
    assert_ne!(copy.epoch, running.epoch);
    let history = copy.history(&a);
    let last = history.len() as u64;
    assert!((before..=after + 1).contains(&last), "{before} {last} {after}");
    assert_eq!(history, (1..=last).map(|offset| (offset, offset.to_string())).collect::<Vec<_>>());
    assert!(copy.publish_once(&a, "1", "k1").unwrap().duplicate);
    let epoch = copy.epoch.clone();
    copy.store.close();
    assert_eq!(run(&options(&restored, Sync::Always), Arc::new(System)).epoch, epoch, "only once");
}

#[test]
fn with_interval_a_killed_process_loses_nothing() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let options = options(directory.path(), RARELY);
    let running = run(&options, disk.clone());
    for offset in 1..=20 {
        assert_eq!(running.publish_once(&a, "x", &format!("k{offset}")).unwrap().offset, offset);
    }
    let killed = disk.after_kill();
    disk.die();
    let epoch = running.epoch.clone();
    running.store.close();
    // A journal is taken over by a run that needs none, too.
    let running = run(&store_support::options(directory.path(), Sync::Always), killed);
    assert_eq!(running.epoch, epoch);
    assert_eq!(running.history(&a).len(), 20);
    assert!(running.publish_once(&a, "x", "k20").unwrap().duplicate);
    assert_eq!(running.publish(&a, "y").unwrap().offset, 21);
}

#[test]
fn with_interval_a_stopped_machine_breaks_the_epoch_and_a_clean_stop_does_not() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let options = options(directory.path(), RARELY);
    let running = run(&options, disk.clone());
    running.publish(&a, "1").unwrap();
    let epoch = running.epoch.clone();
    running.store.close();
    let disk = disk.after_power_loss(|| false);
    let running = run(&options, disk.clone());
    assert_eq!((&running.epoch, running.history(&a).len()), (&epoch, 1), "all was synced at the stop");
    running.publish(&a, "2").unwrap();
    let after = disk.after_power_loss(|| true);
    disk.die();
    running.store.close();
    let running = run(&options, after);
    assert_ne!(running.epoch, epoch);
    assert_eq!(running.history(&a).len(), 1);
}

#[test]
fn with_interval_every_interval_is_synced() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let options = options(directory.path(), Sync::Interval(Duration::from_millis(1)));
    let running = run(&options, disk.clone());
    running.publish(&a, "1").unwrap();
    let journal = directory.path().join("store.journal");
    while !disk.contents(&journal).is_empty() {
        std::thread::yield_now();
    }
    let after = disk.after_power_loss(|| false);
    disk.die();
    running.store.close();
    assert_eq!(run(&options, after).history(&a).len(), 1);
}

#[test]
fn a_journal_beside_another_store_is_not_applied() {
    let directory = directory();
    let (disk, a) = (Disk::new(), stream("a"));
    let options = options(directory.path(), RARELY);
    let running = run(&options, disk.clone());
    running.publish(&a, "1").unwrap();
    running.store.close();
    let database = directory.path().join("store.redb");
    let old = disk.contents(&database);
    let running = run(&options, disk.clone());
    running.publish(&a, "2").unwrap();
    let killed = disk.after_kill();
    disk.die();
    running.store.close();
    killed.put(&database, old);
    let opened = open_in(&options, &(killed as Arc<dyn Environment>)).unwrap();
    assert_eq!(start(opened).history(&a).len(), 1);
}
