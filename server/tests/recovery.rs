//! Who was away gets what it missed, in order and once, or is told what it cannot have.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::Config;
use realtime_server::rules::{StoreKind, StreamRule};
use serde_json::{Value, json};

use support::follow::Follower;
use support::{Client, TestServer, config, history, rule, start};

const KEPT: usize = 10;

fn server() -> TestServer {
    server_with(KEPT, |_| {})
}

fn server_with(size: usize, change: impl FnOnce(&mut Config)) -> TestServer {
    let mut config = Config { channels: vec![rule("kept*", history(size, StoreKind::Memory))], ..config() };
    config.users = history(size, StoreKind::Memory);
    config.insecure_identity = true;
    change(&mut config);
    start(config)
}

fn publish(publisher: &mut Client, channel: &str, data: u64) -> Value {
    publisher.ask(&json!({"type": "broadcast_update", "id": 1, "channel": channel, "data": data}).to_string())
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[test]
fn who_comes_back_gets_what_it_missed_in_order_and_once() {
    let server = server();
    let mut publisher = server.publisher();
    let mut follower = Follower::new(&server, "kept");
    for n in 1..=3 {
        assert_eq!(publish(&mut publisher, "kept", n)["offset"], n);
    }
    follower.reach(3);
    for n in 4..=9 {
        publish(&mut publisher, "kept", n);
    }
    let reply = follower.come_back(&server);
    assert_eq!((&reply["recovered"], &reply["top"]), (&json!(true), &json!(9)), "{reply}");
    publish(&mut publisher, "kept", 10);
    follower.reach(10);
    assert_eq!(follower.handed, numbers(1..=10));
    assert_eq!(follower.missed, []);
    follower.client.assert_silent();
}

#[test]
fn nothing_kept_means_no_offsets_and_the_plain_dialect_sees_no_difference() {
    let server = server();
    let (mut publisher, mut client) = (server.publisher(), server.client());
    let reply = client.ask(r#"{"type":"subscribe","channel":"plain","since":{"epoch":"e","offset":1}}"#);
    assert_eq!(reply, json!({"type": "subscribed", "channel": "plain"}));
    assert_eq!(publish(&mut publisher, "plain", 1), json!({"type": "ack", "id": 1, "receivers": 1}));
    assert_eq!(client.json(), json!({"type": "broadcast_update", "channel": "plain", "data": 1}));
}

#[test]
fn what_cannot_be_recovered_is_told_with_its_reason() {
    let server = server();
    let mut publisher = server.publisher();
    for n in 1..=20 {
        publish(&mut publisher, "kept", n);
    }
    let epoch = publisher.ask(r#"{"id":1,"type":"position","channel":"kept"}"#)["epoch"].clone();
    for (since, reason) in [
        (json!({"epoch": epoch, "offset": 9}), "trimmed"),
        (json!({"epoch": epoch, "offset": 21}), "ahead"),
        (json!({"epoch": "other", "offset": 20}), "epoch"),
    ] {
        let command = json!({"type": "subscribe", "channel": "kept", "since": since}).to_string();
        let reply = server.client().ask(&command);
        assert_eq!((&reply["recovered"], &reply["offset"]), (&json!(false), &json!(20)), "{reply}");
        assert_eq!(reply["reason"], reason);
    }
    let command = json!({"type": "subscribe", "channel": "kept", "since": {"epoch": epoch, "offset": 10}}).to_string();
    assert_eq!(server.client().ask(&command)["recovered"], true);
}

#[test]
fn earliest_is_all_that_is_kept_and_what_is_not_is_missed() {
    let server = server();
    let mut publisher = server.publisher();
    for n in 1..=15 {
        publish(&mut publisher, "kept", n);
    }
    let mut follower = Follower::new(&server, "kept");
    let reply = follower.client.ask(r#"{"type":"subscribe","channel":"kept","since":"earliest"}"#);
    assert_eq!(reply["offset"], 0, "{reply}");
    follower.position = 0;
    follower.reach(15);
    assert_eq!(follower.missed, [(1, 5)]);
    assert_eq!(follower.handed, numbers(6..=15));
}

#[test]
fn who_wants_the_latest_gets_only_the_newest() {
    let server = server();
    let mut publisher = server.publisher();
    for n in 1..=5 {
        publish(&mut publisher, "kept", n);
    }
    let mut client = server.client();
    let reply = client.ask(r#"{"type":"subscribe","channel":"kept","mode":"latest","since":"earliest"}"#);
    assert_eq!((&reply["mode"], &reply["offset"]), (&json!("latest"), &json!(4)), "{reply}");
    assert_eq!(client.json()["data"], 5);
    publish(&mut publisher, "kept", 6);
    assert_eq!(client.json()["data"], 6);
    client.assert_silent();
}

#[test]
fn who_is_excluded_gets_the_offset_instead_live_and_on_replay() {
    let server = server();
    let mut publisher = server.publisher();
    let mut follower = Follower::new(&server, "kept");
    let exclude = |id: &str, data: u64| {
        json!({"type": "broadcast_update", "id": 1, "channel": "kept", "data": data, "exclude": id}).to_string()
    };
    let id = follower.client.id.clone();
    assert_eq!(publisher.ask(&exclude(&id, 1))["receivers"], 0);
    publish(&mut publisher, "kept", 2);
    follower.reach(2);
    // The page goes away, and its own change comes after that.
    publisher.ask(&exclude(&id, 3));
    publish(&mut publisher, "kept", 4);
    assert_eq!(follower.come_back(&server)["recovered"], true);
    follower.reach(4);
    assert_eq!(follower.handed, [json!(2), json!(4)]);
    let mut stranger = server.client();
    stranger.ask(r#"{"type":"subscribe","channel":"kept","since":"earliest"}"#);
    assert_eq!((1..=4).map(|_| stranger.json()["data"].clone()).collect::<Vec<_>>(), numbers(1..=4));
}

#[test]
fn subscribing_again_begins_anew_and_gives_nothing_twice() {
    let server = server();
    let mut publisher = server.publisher();
    let mut follower = Follower::new(&server, "kept");
    for n in 1..=3 {
        publish(&mut publisher, "kept", n);
    }
    // What is still under way when it subscribes again is not sent: it comes by the second subscription.
    follower.reach(3);
    let epoch = follower.epoch.clone();
    let again = json!({"type": "subscribe", "channel": "kept", "since": {"epoch": epoch, "offset": 1}}).to_string();
    assert_eq!(follower.client.ask(&again)["type"], "subscribed");
    for n in [2, 3] {
        assert_eq!(follower.client.json()["offset"], n);
    }
    assert_eq!(publish(&mut publisher, "kept", 4)["receivers"], 1);
    assert_eq!(follower.client.json()["offset"], 4);
    follower.client.assert_silent();
}

#[test]
fn register_recovers_each_channel_from_its_own_position() {
    let server = server();
    let (mut publisher, mut client) = (server.publisher(), server.client());
    for n in 1..=3 {
        publish(&mut publisher, "kept.a", n);
        publish(&mut publisher, "kept.b", n);
    }
    let epoch = publisher.ask(r#"{"id":1,"type":"position","channel":"kept.a"}"#)["epoch"].clone();
    let at = |offset: u64| json!({"epoch": epoch, "offset": offset});
    let command = json!({"action": "register", "channels": ["kept.a", "kept.b", "kept.c"],
        "since": {"kept.a": at(2), "kept.b": at(3)}});
    client.send(&command.to_string());
    for (channel, recovered) in [("kept.a", json!(true)), ("kept.b", json!(true)), ("kept.c", Value::Null)] {
        let reply = client.json();
        assert_eq!((&reply["channel"], &reply["recovered"]), (&json!(channel), &recovered), "{reply}");
    }
    let replayed = client.json();
    assert_eq!((&replayed["channel"], &replayed["offset"]), (&json!("kept.a"), &json!(3)));
    client.assert_silent();
}

#[test]
fn what_was_sent_to_a_user_waits_for_every_device_that_asks() {
    let server = server();
    let mut publisher = server.publisher();
    let send = |publisher: &mut Client, n: u64| {
        publisher.ask(&json!({"type": "broadcast_update", "id": 1, "user": "u7", "data": n}).to_string())
    };
    assert_eq!(send(&mut publisher, 1)["offset"], 1);
    send(&mut publisher, 2);
    let mut phone = server.client();
    let reply = phone.ask(r#"{"action":"register","userId":"u7","user_since":"earliest"}"#);
    assert_eq!(reply["type"], "connected");
    let reply = phone.json();
    assert_eq!((&reply["type"], &reply["user"], &reply["offset"]), (&json!("subscribed"), &json!(true), &json!(0)));
    for n in 1..=2 {
        let message = phone.json();
        assert_eq!((&message["type"], &message["user"]), (&json!("message"), &json!(true)));
        assert_eq!((&message["data"], &message["offset"]), (&json!(n), &json!(n)));
    }
    send(&mut publisher, 3);
    assert_eq!(phone.json()["offset"], 3);
    let since = json!({"epoch": reply["epoch"], "offset": 2});
    let mut tablet = server.client();
    tablet.ask(&json!({"action": "register", "userId": "u7", "user_since": since}).to_string());
    assert_eq!(tablet.json()["recovered"], true);
    assert_eq!(tablet.json()["data"], 3);
    tablet.assert_silent();
}

#[test]
fn who_names_a_position_where_users_have_no_history_is_told() {
    let server = server_with(KEPT, |config| config.users = StreamRule::NONE);
    let mut client = server.client();
    let reply = client.ask(r#"{"action":"register","userId":"u7","user_since":"earliest"}"#);
    assert_eq!(reply["type"], "connected");
    assert_eq!(client.json(), json!({"type": "subscribed", "user": true}));
    let mut plain = server.client();
    plain.ask(r#"{"action":"register","userId":"u7"}"#);
    plain.assert_silent();
}

#[test]
fn a_slow_reader_catches_up_from_the_history_and_misses_nothing() {
    const COUNT: u64 = 600;
    let server = server_with(1_000, |config| {
        config.outbox_max = 80 << 10;
        config.send_buffer = 8 << 10;
    });
    let mut publisher = server.publisher();
    let mut slow = Follower::new(&server, "kept");
    let mut quick = Follower::new(&server, "kept");
    let filling = "x".repeat(8_000);
    for n in 1..=COUNT {
        let data = json!([n, filling]);
        let command = json!({"type": "broadcast_update", "id": 1, "channel": "kept", "data": data}).to_string();
        assert_eq!(publisher.ask(&command)["receivers"], 2);
        quick.reach(n);
    }
    slow.reach(COUNT);
    let first = |follower: &Follower| follower.handed.iter().map(|data| data[0].clone()).collect::<Vec<_>>();
    assert_eq!(first(&slow), numbers(1..=COUNT));
    assert_eq!(first(&quick), numbers(1..=COUNT));
    publish(&mut publisher, "kept", 0);
    slow.reach(COUNT + 1);
    assert_eq!(slow.missed, []);
}

#[test]
fn what_is_trimmed_while_a_reader_catches_up_is_told() {
    let server = server_with(20, |config| {
        config.outbox_max = 80 << 10;
        config.send_buffer = 8 << 10;
    });
    let mut publisher = server.publisher();
    let mut slow = Follower::new(&server, "kept");
    let filling = "x".repeat(8_000);
    for n in 1..=900_u64 {
        let data = json!([n, filling]);
        publisher.ask(&json!({"type": "broadcast_update", "id": 1, "channel": "kept", "data": data}).to_string());
    }
    slow.reach(900);
    assert!(!slow.missed.is_empty());
    let missed: u64 = slow.missed.iter().map(|(from, to)| to - from + 1).sum();
    assert_eq!(missed + slow.handed.len() as u64, 900);
}

// docs: a publication for which `history.memory_max`, or the disk, has no room
#[test]
fn a_publication_for_which_there_is_no_room_is_refused_and_nobody_gets_it() {
    let server = server_with(100_000, |config| config.history.memory_max = 1 << 20);
    let mut publisher = server.publisher();
    let mut follower = Follower::new(&server, "kept");
    let filling = "x".repeat(30_000);
    let command = json!({"type": "broadcast_update", "id": 1, "channel": "kept", "data": filling}).to_string();
    let (mut taken, mut refused) = (0, Value::Null);
    while refused.is_null() {
        let reply = publisher.ask(&command);
        match reply["type"].as_str().unwrap() {
            "ack" => taken += 1,
            _ => refused = reply,
        }
    }
    assert_eq!(refused["code"], "store_full", "{refused}");
    follower.reach(taken);
    follower.client.assert_silent();
    assert_eq!(publish(&mut publisher, "plain", 1)["type"], "ack", "who keeps nothing goes on");
}

#[test]
fn histories_and_positions_can_be_asked_for() {
    let server = server();
    let (mut publisher, mut client) = (server.publisher(), server.client());
    for n in 1..=12 {
        publish(&mut publisher, "kept", n);
    }
    let history = publisher.ask(r#"{"id":1,"type":"history","channel":"kept","limit":2}"#);
    let epoch = history["epoch"].clone();
    let item = |n: u64| json!({"offset": n, "data": n});
    assert_eq!(
        history,
        json!({"type": "history", "id": 1, "channel": "kept", "publications": [item(11), item(12)], "oldest": 3,
            "top": 12, "epoch": epoch})
    );
    let since = json!({"epoch": epoch, "offset": 4});
    let page = client.ask(&json!({"type": "history", "channel": "kept", "since": since, "limit": 3}).to_string());
    assert_eq!((&page["publications"], &page["next"]), (&json!([item(5), item(6), item(7)]), &json!(7)));
    let position = publisher.ask(r#"{"id":2,"type":"position","channel":"kept"}"#);
    assert_eq!(position, json!({"type": "position", "id": 2, "channel": "kept", "epoch": epoch, "offset": 12}));
    let none = publisher.ask(r#"{"id":3,"type":"position","channel":"plain"}"#);
    assert_eq!((&none["epoch"], &none["offset"]), (&Value::Null, &Value::Null));
    let empty = client.ask(r#"{"type":"history","channel":"plain"}"#);
    assert_eq!((&empty["publications"], &empty["epoch"]), (&json!([]), &Value::Null));
    assert_eq!(client.ask(r#"{"type":"history","channel":"private-x"}"#)["code"], "forbidden");
}

#[test]
fn a_client_gets_a_large_history_in_parts_that_its_outbox_holds() {
    let server = server_with(1_000, |config| config.outbox_max = 256 << 10);
    let (mut publisher, mut client) = (server.publisher(), server.client());
    let filling = "x".repeat(30_000);
    for n in 1..=30_u64 {
        let data = json!([n, filling]);
        publisher.ask(&json!({"type": "broadcast_update", "id": 1, "channel": "kept", "data": data}).to_string());
    }
    let (mut seen, mut since) = (Vec::new(), json!("earliest"));
    loop {
        let page = client.ask(&json!({"type": "history", "channel": "kept", "since": since}).to_string());
        assert!(page.to_string().len() < 256 << 10);
        seen.extend(page["publications"].as_array().unwrap().iter().map(|one| one["data"][0].clone()));
        let Some(next) = page["next"].as_u64() else { break };
        since = json!({"epoch": page["epoch"], "offset": next});
    }
    assert_eq!(seen, numbers(1..=30));
}

#[test]
fn readers_that_come_and_go_under_two_publishers_get_everything_once() {
    const EACH: u64 = 300;
    let server = server_with(2_000, |_| {});
    let mut followers: Vec<_> = (0..4).map(|_| Follower::new(&server, "kept")).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut publisher = server.publisher();
            scope.spawn(move || {
                for n in 0..EACH {
                    publish(&mut publisher, "kept", n);
                }
            });
        }
        for (index, follower) in followers.iter_mut().enumerate() {
            let server = &server;
            scope.spawn(move || {
                while follower.position < 2 * EACH {
                    let until = (follower.position + 7 + index as u64 * 5).min(2 * EACH);
                    follower.reach(until);
                    if until < 2 * EACH {
                        assert_eq!(follower.come_back(server)["recovered"], true);
                    }
                }
            });
        }
    });
    for follower in &followers {
        assert_eq!((follower.handed.len() as u64, follower.missed.len()), (2 * EACH, 0));
        assert_eq!(follower.handed, followers[0].handed, "the order is the same for everybody");
    }
}

#[test]
fn a_rule_for_the_disk_that_a_reload_brings_needs_a_store() {
    let first = config();
    let mut later = first.clone();
    let server = start(first);
    later.channels = vec![rule("disk", history(KEPT, StoreKind::Disk))];
    server.server.as_ref().unwrap().reload(&later);
    let (mut publisher, mut client) = (server.publisher(), server.client());
    client.subscribe("disk");
    assert_eq!(publish(&mut publisher, "disk", 1)["type"], "ack");
    assert_eq!(client.json()["data"], 1);
    let mut other = server.client();
    let reply = other.ask(&json!({"type": "subscribe", "channel": "disk", "since": "earliest"}).to_string());
    assert_eq!(reply["type"], "subscribed", "{reply}");
    other.assert_silent();
}
