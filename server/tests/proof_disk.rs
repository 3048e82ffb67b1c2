//! A disk that is full or fails, as publishers and subscribers see it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod proof_support;
mod support;

use std::process::Command;

use proof_support::sender::{Count, Sender};
use proof_support::{Home, history};
use realtime_server::config::Config;
use realtime_server::internals::fault;
use realtime_server::rules::StoreKind;
use serde_json::{Value, json};
use support::follow::Follower;
use support::{Flag, config, rule, start};

/// A subscriber of a channel in memory, who must not notice.
fn nobody_else_notices(publisher: &mut support::Client, bystander: &mut Follower, number: u64) {
    publisher.publish("memory", &json!(number));
    bystander.step();
    assert_eq!(bystander.handed.last(), Some(&json!(number)));
}

/// Says how large files of a process may get, bytes.
fn limit_files(process: u32, bytes: &str) {
    let status = Command::new("prlimit").args(["--pid", &process.to_string(), &format!("--fsize={bytes}:")]).status();
    assert!(status.unwrap().success(), "prlimit (package util-linux) must work");
}

#[test]
fn a_full_disk_refuses_publications_and_takes_them_when_there_is_room_again() {
    let home = Home::new("");
    let program = home.command();
    let mut command = Command::new("sh");
    // A file that may not grow answers EFBIG then, instead of ending the process.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    home.variables(&mut command);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let process = home.spawn(command);
    let server = &process.server;
    let (mut publisher, mut bystander) = (server.publisher(), Follower::new(server, "memory"));
    let mut follower = Follower::new(server, "disk");
    let (count, enough) = (Count::default(), Flag::default());
    let sender = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut sender = Sender::new("disk", "php").filled(4_000);
            assert!(sender.publish(server, &count, || enough.is_up()), "the connection stays");
            sender
        });
        count.reach(50);
        let size = std::fs::metadata(home.path().join("data/store.redb")).unwrap().len();
        limit_files(process.id(), &size.to_string());
        count.reach_refused(30);
        nobody_else_notices(&mut publisher, &mut bystander, 1);
        limit_files(process.id(), "unlimited");
        count.reach(count.now() + 100);
        enough.raise();
        publishing.join().unwrap()
    });
    assert_eq!(sender.refused.keys().collect::<Vec<_>>(), ["store_full"]);
    let kept = history(server, "disk");
    sender.check(&kept);
    follower.reach(kept.len() as u64);
    let handed: Vec<_> = (1..).zip(follower.handed).collect();
    assert!(handed == kept && follower.missed.is_empty());
    nobody_else_notices(&mut publisher, &mut bystander, 2);
    drop((publisher, bystander, follower.client));
    process.stop();
}

#[test]
fn a_failed_sync_makes_the_store_unavailable_until_a_restart_and_is_told() {
    let data = tempfile::tempdir().unwrap();
    let configuration = || Config {
        channels: vec![
            rule("disk", support::history(1_000, StoreKind::Disk)),
            rule("memory", support::history(1_000, StoreKind::Memory)),
        ],
        data_dir: Some(data.path().to_owned()),
        ..config()
    };
    let mut first = start(configuration());
    let (mut publisher, mut bystander) = (first.publisher(), Follower::new(&first, "memory"));
    let mut follower = Follower::new(&first, "disk");
    let command = |number: u64| {
        let key = format!("k{number}");
        json!({"type": "broadcast_update", "id": number, "channel": "disk", "data": number, "key": key}).to_string()
    };
    for number in 1..=3 {
        assert_eq!(publisher.ask(&command(number))["offset"], number);
    }
    follower.reach(3);
    fault::fail_syncs(data.path(), true);
    for number in [4, 5, 4] {
        let refused = publisher.ask(&command(number));
        assert_eq!((&refused["code"], &refused["id"]), (&json!("unavailable"), &json!(number)), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("restart"), "{refused}");
    }
    // The disk is well again, and what it has is not known all the same.
    fault::fail_syncs(data.path(), false);
    assert_eq!(publisher.ask(&command(4))["code"], "unavailable");
    nobody_else_notices(&mut publisher, &mut bystander, 1);
    follower.client.assert_silent();
    drop((publisher, bystander));
    first.stop();

    let second = start(configuration());
    let mut publisher = second.publisher();
    let reply = follower.come_back(&second);
    assert_eq!((&reply["recovered"], &reply["reason"]), (&json!(false), &json!("epoch")), "{reply}");
    for number in 1..=5 {
        let ack = publisher.ask(&command(number));
        assert_eq!((&ack["type"], &ack["offset"]), (&json!("ack"), &json!(number)), "{ack}");
        assert!(number > 3 || ack["duplicate"] == true, "{ack}");
    }
    let kept: Vec<_> = history(&second, "disk").into_iter().map(|(_, data)| data).collect();
    assert_eq!(kept, (1..=5).map(Value::from).collect::<Vec<_>>());
}
