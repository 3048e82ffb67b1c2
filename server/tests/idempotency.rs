//! A publication that is sent again has its effect once.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::Config;
use realtime_server::rules::StoreKind;
use serde_json::{Value, json};

use support::{TestServer, config, history, rule, start};

const MADE: &str = "~BwcHBwcHBwcHBwcHBwcHBw.41";

fn server(change: impl FnOnce(&mut Config)) -> TestServer {
    let mut config = Config { channels: vec![rule("kept", history(10, StoreKind::Memory))], ..config() };
    change(&mut config);
    start(config)
}

fn command(key: &str, channel: &str, data: u64) -> String {
    json!({"type": "broadcast_update", "id": 1, "channel": channel, "data": data, "key": key}).to_string()
}

#[test]
fn the_same_key_publishes_once_and_is_answered_the_same() {
    let server = server(|_| {});
    let (mut publisher, mut other) = (server.publisher(), server.publisher());
    for channel in ["plain", "kept"] {
        let mut subscriber = server.client();
        subscriber.subscribe(channel);
        for key in ["order-42", MADE] {
            let first = publisher.ask(&command(key, channel, 1));
            assert_eq!((&first["type"], &first["receivers"]), (&json!("ack"), &json!(1)), "{first}");
            let mut again = other.ask(&command(key, channel, 1));
            assert_eq!(again["duplicate"], true, "{again}");
            again.as_object_mut().unwrap().remove("duplicate");
            assert_eq!(again, first);
            assert_eq!(subscriber.json()["data"], 1);
            subscriber.assert_silent();
        }
    }
}

// docs: an idempotency key that was used for something else
#[test]
fn the_same_key_for_something_else_is_a_conflict() {
    let server = server(|_| {});
    let mut publisher = server.publisher();
    for key in ["order-42", MADE] {
        publisher.ask(&command(key, "kept", 1));
        let conflict = publisher.ask(&command(key, "kept", 2));
        assert_eq!((&conflict["code"], &conflict["id"]), (&json!("key_conflict"), &json!(1)), "{conflict}");
        assert_eq!(publisher.ask(&command(key, "plain", 2))["type"], "ack", "another channel is another scope");
    }
    let (status, body) = server.post(&command("order-42", "kept", 3));
    assert_eq!((status, &body["error"]["code"]), (409, &json!("key_conflict")));
}

#[test]
fn a_broadcast_to_several_channels_is_repeated_for_those_that_lack_it() {
    let server = server(|_| {});
    let mut publisher = server.publisher();
    publisher.ask(&command("k", "kept", 1));
    let both = json!({"type": "broadcast_update", "id": 2, "channels": ["kept", "plain"], "data": 1, "key": "k"});
    let reply = publisher.ask(&both.to_string());
    let duplicate = |at: usize| reply["results"][at]["duplicate"].clone();
    assert_eq!((duplicate(0), duplicate(1)), (json!(true), Value::Null), "{reply}");
}

#[test]
fn subscribers_learn_what_stands_for_the_key_but_not_the_key() {
    let server = server(|_| {});
    let (mut publisher, mut subscriber) = (server.publisher(), server.client());
    subscriber.subscribe("kept");
    publisher.ask(&command("order-42", "kept", 1));
    publisher.ask(&command(MADE, "kept", 2));
    let (first, second) = (subscriber.json(), subscriber.json());
    assert!(first["id"].as_str().is_some_and(|id| id.len() == 16 && !id.contains("order")), "{first}");
    assert_eq!(second["id"], Value::Null, "keys that nobody chose mean nothing to a page");
}

#[test]
fn what_goes_to_one_browser_goes_once() {
    let server = server(|_| {});
    let (mut publisher, mut browser) = (server.publisher(), server.client());
    let send = json!({"type": "broadcast_update", "id": 1, "connection": browser.id, "data": 1, "key": MADE});
    assert_eq!(publisher.ask(&send.to_string())["receivers"], 1);
    assert_eq!(publisher.ask(&send.to_string())["duplicate"], true);
    assert_eq!(browser.json()["data"], 1);
    browser.assert_silent();
}

// docs: a new idempotency key when `idempotency.max_keys` are remembered
#[test]
fn keys_beyond_the_limit_are_refused_until_some_are_forgotten() {
    let server = server(|config| config.idempotency.max_keys = 2);
    let mut publisher = server.publisher();
    for key in ["a", "b"] {
        publisher.ask(&command(key, "kept", 1));
    }
    let refused = publisher.ask(&command("c", "kept", 1));
    assert_eq!(refused["code"], "unavailable", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("idempotency.max_keys"));
    assert_eq!(publisher.ask(&command("a", "kept", 1))["duplicate"], true);
    assert_eq!(publisher.ask(&command(MADE, "kept", 1))["type"], "ack");
}

// docs: an idempotency key that is empty
#[test]
fn keys_that_are_none_are_refused() {
    let server = server(|_| {});
    let mut publisher = server.publisher();
    for key in ["", "~mine", "a\nb", &"k".repeat(201)] {
        let refused = publisher.ask(&command(key, "kept", 1));
        assert_eq!(refused["code"], "invalid_name", "{key:?}: {refused}");
    }
}

#[test]
fn keys_of_the_extension_do_not_use_up_those_of_applications_in_any_store() {
    let data = tempfile::tempdir().unwrap();
    let server = server(|config| {
        config.channels =
            vec![rule("disk", history(10, StoreKind::Disk)), rule("memory", history(10, StoreKind::Memory))];
        config.data_dir = Some(data.path().to_owned());
        config.idempotency.max_keys = 5;
    });
    let mut publisher = server.publisher();
    for channel in ["memory", "disk"] {
        for n in 1..=10 {
            let reply = publisher.ask(&command(&format!("~BwcHBwcHBwcHBwcHBwcHBw.{n}"), channel, n));
            assert_eq!((&reply["type"], &reply["offset"]), (&json!("ack"), &json!(n)), "{channel}: {reply}");
        }
    }
}
