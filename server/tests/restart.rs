//! What survives a restart: histories in memory a clean one, those on disk any.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use realtime_server::config::Config;
use realtime_server::rules::StoreKind;
use serde_json::{Value, json};

use support::follow::Follower;
use support::{Client, TestServer, config, history, rule, start};

fn configuration(data: &Path) -> Config {
    Config {
        channels: vec![rule("memory*", history(100, StoreKind::Memory)), rule("disk*", history(100, StoreKind::Disk))],
        users: history(100, StoreKind::Disk),
        data_dir: Some(data.to_owned()),
        insecure_identity: true,
        ..config()
    }
}

fn server(data: &Path) -> TestServer {
    start(configuration(data))
}

fn publish(publisher: &mut Client, channel: &str, data: u64) -> Value {
    let reply =
        publisher.ask(&json!({"type": "broadcast_update", "id": 1, "channel": channel, "data": data}).to_string());
    assert_eq!(reply["type"], "ack", "{reply}");
    reply
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[test]
fn a_durable_channel_acknowledges_with_its_offset_and_delivers_in_order() {
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path());
    let mut publisher = server.publisher();
    let mut follower = Follower::new(&server, "disk");
    for n in 1..=5 {
        let ack = publish(&mut publisher, "disk", n);
        assert_eq!((&ack["offset"], &ack["receivers"]), (&json!(n), &json!(1)), "{ack}");
    }
    follower.reach(5);
    publish(&mut publisher, "disk", 6);
    assert_eq!(follower.come_back(&server)["recovered"], true);
    follower.reach(6);
    assert_eq!(follower.handed, numbers(1..=6));
}

#[test]
fn an_array_and_several_channels_are_answered_whole_and_in_order_whatever_takes_time() {
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path());
    let mut publisher = server.publisher();
    let frame = json!([
        {"type": "broadcast_update", "id": 1, "channel": "disk.a", "data": 1},
        {"type": "broadcast_update", "id": 2, "channels": ["memory", "disk.a", "plain", ""], "data": 2},
        {"type": "ping", "id": 3},
        {"type": "broadcast_update", "channel": "disk.b", "data": 3},
        {"type": "broadcast_update", "id": 5, "channel": "disk.a", "data": 4},
    ]);
    let reply = publisher.ask(&frame.to_string());
    let ids: Vec<_> = reply.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3, 5]);
    assert_eq!((&reply[0]["offset"], &reply[3]["offset"]), (&json!(1), &json!(3)), "{reply}");
    let results = &reply[1]["results"];
    assert_eq!((&results[0]["offset"], &results[1]["offset"]), (&json!(1), &json!(2)), "{reply}");
    assert_eq!((&results[2]["type"], &results[3]["code"]), (&json!("ack"), &json!("invalid_name")), "{reply}");
    let (status, body) = server.post(&frame.to_string());
    assert_eq!((status, body.as_array().unwrap().len()), (200, 5), "{body}");
}

#[test]
fn a_clean_restart_goes_on_with_both_kinds_of_histories() {
    let data = tempfile::tempdir().unwrap();
    let mut first = server(data.path());
    let mut followers = ["memory", "disk"].map(|channel| Follower::new(&first, channel));
    let mut publisher = first.publisher();
    let key = |channel: &str| {
        json!({"type": "broadcast_update", "id": 1, "channel": channel, "data": 4, "key": "k"}).to_string()
    };
    for (follower, channel) in followers.iter_mut().zip(["memory", "disk"]) {
        for n in 1..=3 {
            publish(&mut publisher, channel, n);
        }
        follower.reach(2);
        publisher.ask(&key(channel));
    }
    first.stop();
    for file in ["memory.snapshot", "store.redb", "store.lock"] {
        let mode = std::fs::metadata(data.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}: publications may be confidential");
    }

    let second = server(data.path());
    let mut publisher = second.publisher();
    for (follower, channel) in followers.iter_mut().zip(["memory", "disk"]) {
        assert_eq!(publisher.ask(&key(channel))["duplicate"], true);
        publish(&mut publisher, channel, 5);
        assert_eq!(follower.come_back(&second)["recovered"], true, "{channel}");
        follower.reach(5);
        assert_eq!(follower.handed, numbers(1..=5));
    }
}

#[test]
fn without_a_directory_a_restart_is_told_as_a_new_epoch() {
    let without =
        || Config { data_dir: None, channels: vec![rule("memory", history(9, StoreKind::Memory))], ..config() };
    let mut first = start(without());
    let mut follower = Follower::new(&first, "memory");
    publish(&mut first.publisher(), "memory", 1);
    follower.reach(1);
    first.stop();
    let second = start(without());
    let reply = follower.come_back(&second);
    assert_eq!((&reply["recovered"], &reply["reason"]), (&json!(false), &json!("epoch")), "{reply}");
}

#[test]
fn a_user_who_was_offline_over_a_restart_gets_what_was_sent() {
    let data = tempfile::tempdir().unwrap();
    let mut first = server(data.path());
    let mut publisher = first.publisher();
    for n in 1..=3 {
        publisher.ask(&json!({"type": "broadcast_update", "id": 1, "user": "u7", "data": n}).to_string());
    }
    drop(publisher);
    first.stop();
    let second = server(data.path());
    let mut phone = second.client();
    phone.ask(r#"{"action":"register","userId":"u7","user_since":"earliest"}"#);
    assert_eq!(phone.json()["user"], true);
    for n in 1..=3 {
        assert_eq!((phone.json()["data"].clone()), json!(n));
    }
    phone.assert_silent();
}

#[test]
fn histories_on_disk_are_read_in_pages() {
    let data = tempfile::tempdir().unwrap();
    let mut first = server(data.path());
    let mut publisher = first.publisher();
    for n in 1..=30 {
        publish(&mut publisher, "disk", n);
    }
    drop(publisher);
    first.stop();
    let second = server(data.path());
    let mut publisher = second.publisher();
    let (mut seen, mut since) = (Vec::new(), json!("earliest"));
    loop {
        let page = publisher
            .ask(&json!({"type": "history", "id": 1, "channel": "disk", "limit": 7, "since": since}).to_string());
        seen.extend(page["publications"].as_array().unwrap().iter().map(|one| one["data"].clone()));
        if page["next"].is_null() {
            break;
        }
        since = json!({"epoch": page["epoch"], "offset": page["next"]});
    }
    assert_eq!(seen, numbers(1..=30));
    let newest = publisher.ask(r#"{"id":1,"type":"history","channel":"disk","limit":2}"#);
    assert_eq!(newest["publications"][0]["data"], 29, "{newest}");
}

#[test]
fn a_slow_reader_catches_up_from_disk() {
    let data = tempfile::tempdir().unwrap();
    let mut config = configuration(data.path());
    config.channels = vec![rule("disk", history(1_000, StoreKind::Disk))];
    (config.outbox_max, config.send_buffer) = (80 << 10, 8 << 10);
    let server = start(config);
    let mut publisher = server.publisher();
    let mut slow = Follower::new(&server, "disk");
    let filling = "x".repeat(8_000);
    for n in 1..=600_u64 {
        let data = json!([n, filling]);
        publisher.ask(&json!({"type": "broadcast_update", "id": 1, "channel": "disk", "data": data}).to_string());
    }
    slow.reach(600);
    assert_eq!((slow.handed.len(), slow.missed.len()), (600, 0));
}

#[test]
fn a_second_server_does_not_share_the_directory() {
    let data = tempfile::tempdir().unwrap();
    let _first = server(data.path());
    let refused = realtime_server::run(configuration(data.path()), std::future::pending());
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("data_dir") && error.contains("another process"), "{error}");
}

#[test]
fn clients_are_told_to_come_back_spread_over_the_drain_time() {
    let mut server = start(Config { drain_time: std::time::Duration::from_secs(100), ..config() });
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    server.begin_stop();
    let mut delays: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let (texts, close) = client.closed();
            assert_eq!(u16::from(close.unwrap().code), 4012);
            texts[0]["after"].as_u64().unwrap()
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[0] < 20_000 && delays[19] >= 80_000, "{delays:?}");
    drop(clients);
    server.stop();
}
