//! Commands that one write brings are served in their order, each as if it had come alone.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::Config;
use realtime_server::rules::StoreKind;
use serde_json::{Value, json};

use support::{Client, TestServer, config, frame, history, rule, start};

fn server() -> TestServer {
    start(Config { shards: 1, channels: vec![rule("kept*", history(10, StoreKind::Memory))], ..config() })
}

/// A connection that may publish and subscribe, so that one write decides what comes after what.
fn publishing_client(server: &TestServer) -> Client {
    let mut request = server.request("/");
    request.headers_mut().insert("authorization", format!("Bearer {}", server.key.secret()).parse().unwrap());
    Client::open(request)
}

fn frames(commands: &[Value]) -> Vec<u8> {
    commands.iter().flat_map(|command| frame::text(&command.to_string())).collect()
}

/// A shard gives the number of a stream that was left to the next one, and publications may wait for the old one.
#[test]
fn what_waits_for_a_stream_that_was_left_is_not_given_to_another() {
    let server = server();
    let (mut client, mut publisher) = (publishing_client(&server), server.publisher());
    for n in 1..=3 {
        publisher.publish("kept.secret", &json!(n));
    }
    client.subscribe("kept.secret");
    client.send_raw(&frames(&[
        json!({"type": "broadcast_update", "channel": "kept.secret", "data": 4}),
        json!({"type": "unsubscribe", "channel": "kept.secret"}),
        json!({"type": "subscribe", "channel": "kept.public"}),
    ]));
    assert_eq!(client.json()["channel"], "kept.public");
    publisher.publish("kept.public", &json!(5));
    let got = client.json();
    assert_eq!((&got["channel"], &got["data"]), (&json!("kept.public"), &json!(5)), "{got}");
}

#[test]
fn to_subscribe_again_to_a_channel_without_a_history_loses_nothing() {
    let server = server();
    let mut client = publishing_client(&server);
    client.subscribe("plain");
    client.send_raw(&frames(&[
        json!({"type": "broadcast_update", "id": 7, "channel": "plain", "data": 1}),
        json!({"action": "register", "channels": ["plain", "another"]}),
        json!({"type": "ping"}),
    ]));
    let got: Vec<_> = (0..5).map(|_| client.json()).collect();
    let mut types: Vec<_> = got.iter().map(|message| message["type"].as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(types, ["ack", "broadcast_update", "pong", "subscribed", "subscribed"], "{got:?}");
}

#[test]
fn histories_that_are_asked_for_all_at_once_are_refused_beyond_what_the_outbox_holds() {
    const ASKED: usize = 60;
    let server = server();
    let (mut publisher, mut client) = (server.publisher(), server.client());
    for n in 1..=10 {
        publisher.publish("kept", &json!([n, "x".repeat(40_000)]));
    }
    client.send_raw(&frames(&vec![json!({"type": "history", "id": 1, "channel": "kept"}); ASKED]));
    let replies: Vec<_> = (0..ASKED).map(|_| client.json()).collect();
    let (answered, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply["type"] == "history");
    assert!(!answered.is_empty() && !refused.is_empty(), "{} refused", refused.len());
    assert!(refused.iter().all(|reply| reply["code"] == "rate_limited"), "{refused:?}");
    assert_eq!(client.ask(&json!({"type": "history", "id": 2, "channel": "kept"}).to_string())["type"], "history");
}
