//! The server ends between two steps, at each of the moments that are named: what was acknowledged is there once, and
//! who followed has it, or is told.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod proof_support;
mod support;

use std::os::unix::process::ExitStatusExt;

use proof_support::sender::{Count, Sender};
use proof_support::{Home, history};
use serde_json::json;
use support::follow::Follower;

const SIGABRT: i32 = 6;

/// Followers of all kinds while a publisher publishes, until the server ends at `point`; then the same things again.
fn ends_at(point: &str) {
    let home = Home::new("send_buffer = \"8KiB\"");
    let process = home.start_to_end_at(point);
    let server = &process.server;
    let mut publisher = server.publisher();
    let mut of_memory = Follower::new(server, "memory");
    publisher.publish("memory", &json!(1));
    of_memory.reach(1);
    let mut quick = Follower::new(server, "disk");
    let mut restless = Follower::new(server, "disk");
    // Reads nothing, so that frames get stuck half way.
    let mut slow = Follower::new(server, "disk");
    let count = Count::default();
    let mut sender = Sender::new("disk", "php").filled(8_000);
    std::thread::scope(|scope| {
        scope.spawn(|| quick.follow_to_the_end());
        scope.spawn(|| {
            while let Some(message) = restless.client.next() {
                restless.take(&message);
                if restless.position.is_multiple_of(3) {
                    match restless.try_come_back(server) {
                        Some(reply) => assert_eq!(reply["recovered"], true, "{reply}"),
                        None => break,
                    }
                }
            }
        });
        assert!(!sender.publish(server, &count, || false), "it ended before it was enough");
    });
    slow.follow_to_the_end();
    let (status, said) = process.end();
    assert_eq!(status.signal(), Some(SIGABRT), "{point}: {said:#?}");

    let process = home.start();
    let enough = count.now() + 20;
    assert!(sender.publish(&process.server, &count, || count.now() >= enough));
    let kept = history(&process.server, "disk");
    sender.check(&kept);
    for (follower, name) in [(&mut quick, "quick"), (&mut restless, "restless"), (&mut slow, "slow")] {
        let reply = follower.come_back(&process.server);
        assert_eq!(reply["recovered"], true, "{point}, {name}: {reply}");
        follower.reach(kept.len() as u64);
        assert_eq!(follower.missed, []);
        let handed: Vec<_> = (1..).zip(std::mem::take(&mut follower.handed)).collect();
        assert!(handed == kept, "{point}, {name}: {} of {}", handed.len(), kept.len());
    }
    let reply = of_memory.come_back(&process.server);
    assert_eq!((&reply["recovered"], &reply["reason"]), (&json!(false), &json!("epoch")), "{point}: {reply}");
    process.stop();
}

#[test]
fn after_a_retry_was_looked_for() {
    ends_at("AfterDedup:9");
}

#[test]
fn in_the_middle_of_a_transaction() {
    ends_at("MidTransaction:9");
}

#[test]
fn before_a_sync() {
    ends_at("BeforeSync:30");
}

#[test]
fn after_a_sync() {
    ends_at("AfterSync:30");
}

#[test]
fn between_two_inboxes() {
    ends_at("BetweenInboxes:25");
}

#[test]
fn before_an_acknowledgement() {
    ends_at("BeforeAck:25");
}

#[test]
fn in_the_middle_of_a_frame() {
    ends_at("MidFrame:3");
}

#[test]
fn in_the_cut_of_a_subscription() {
    ends_at("InCut:7");
}
