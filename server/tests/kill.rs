//! `kill -9` at random moments: what was acknowledged is there, once, and who follows has it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod proof_support;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proof_support::sender::{Count, Sender};
use proof_support::{Door, Home, history};
use support::follow::Follower;
use support::{Flag, TestServer};

const KILLS: u64 = 50;

#[test]
fn fifty_kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    let home = Home::new("");
    let (door, count, enough) = (Arc::new(Door::default()), Arc::new(Count::default()), Arc::new(Flag::default()));
    // The last offset, once it is known.
    let top = Arc::new(AtomicU64::new(u64::MAX));
    let mut process = home.start();
    let mut follower = Follower::new(&process.server, "disk");
    door.open(process.server.address);
    let key = home.key.clone();
    let publishing = {
        let (door, count, enough, key) = (door.clone(), count.clone(), enough.clone(), key.clone());
        std::thread::spawn(move || {
            let (mut sender, mut number) = (Sender::new("disk", "php"), 0);
            while let Some((next, address)) = door.after(number) {
                number = next;
                if sender.publish(&TestServer::elsewhere(address, key.clone()), &count, || enough.is_up()) {
                    break;
                }
            }
            sender
        })
    };
    let following = {
        let (door, top) = (door.clone(), top.clone());
        std::thread::spawn(move || {
            let mut number = 1;
            loop {
                follower.follow_to_the_end();
                let Some((next, address)) = door.after(number) else { return follower };
                number = next;
                let server = TestServer::elsewhere(address, key.clone());
                if let Some(reply) = follower.try_come_back(&server) {
                    assert_eq!(reply["recovered"], true, "{reply}");
                }
                let top = top.load(Ordering::SeqCst);
                if top != u64::MAX {
                    follower.reach(top);
                    return follower;
                }
            }
        })
    };
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..KILLS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        count.reach(count.now() + 1 + seed % 60);
        process.kill_9();
        process = home.start();
        door.open(process.server.address);
    }
    enough.raise();
    let sender = publishing.join().unwrap();
    let kept = history(&process.server, "disk");
    sender.check(&kept);
    assert!(sender.acknowledged.len() as u64 >= KILLS);
    top.store(kept.len() as u64, Ordering::SeqCst);
    // Once more, so that the follower comes back to where the history ends.
    process.kill_9();
    process = home.start();
    door.open(process.server.address);
    let follower = following.join().unwrap();
    let handed: Vec<_> = (1..).zip(follower.handed).collect();
    assert_eq!((handed, follower.missed), (kept, vec![]));
    process.stop();
}
