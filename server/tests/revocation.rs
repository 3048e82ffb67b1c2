//! What is done to connections of a user: closed, out of a channel, their tokens taken back.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::Config;
use serde_json::{Value, json};

use support::token::{connect, now, token, with_tokens};
use support::{Client, TestServer, config, start};

fn signed_in(server: &TestServer, user: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.ask(&connect(&token(json!({"sub": user, "channels": ["*"]}))))["user"], user);
    client
}

fn order(server: &TestServer, command: &Value) -> Value {
    let (status, reply) = server.post(&command.to_string());
    assert_eq!(status, 200, "{reply}");
    reply
}

#[test]
fn all_connections_of_a_user_are_closed_and_stay_away() {
    let server = start(with_tokens());
    let mut all: Vec<_> = (0..4).map(|_| signed_in(&server, "u7")).collect();
    let mut other = signed_in(&server, "u8");
    let reply = order(&server, &json!({"type": "disconnect", "user": "u7", "reason": "signed out"}));
    assert_eq!((&reply["type"], &reply["receivers"]), (&json!("ack"), &json!(4)));
    for client in &mut all {
        let (texts, close) = client.closed();
        let last = texts.last().unwrap();
        assert_eq!((&last["reason"], &last["reconnect"]), (&json!("signed out"), &json!(false)));
        let close = close.unwrap();
        assert_eq!((u16::from(close.code), close.reason.as_str()), (4003, "signed out"));
    }
    other.assert_silent();
    assert_eq!(order(&server, &json!({"type": "disconnect", "user": "u9"}))["receivers"], 0);
}

#[test]
fn one_connection_is_closed_by_its_id() {
    let server = start(with_tokens());
    let (mut one, mut two) = (signed_in(&server, "u7"), signed_in(&server, "u7"));
    assert_eq!(order(&server, &json!({"type": "disconnect", "connection": one.id}))["receivers"], 1);
    assert_eq!(one.close_code(), 4003);
    two.assert_silent();
    for unknown in ["nobody", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(order(&server, &json!({"type": "disconnect", "connection": unknown}))["receivers"], 0);
    }
}

#[test]
fn a_user_leaves_a_channel_on_all_connections() {
    let server = start(with_tokens());
    let mut all: Vec<_> = (0..3).map(|_| signed_in(&server, "u7")).collect();
    for client in &mut all {
        client.subscribe("orders.42");
        client.subscribe("kept");
    }
    order(&server, &json!({"type": "unsubscribe", "user": "u7", "channel": "orders.42", "reason": "not yours"}));
    for client in &mut all {
        let said = json!({"type": "unsubscribed", "channel": "orders.42", "reason": "not yours"});
        assert_eq!(client.json(), said);
    }
    let mut publisher = server.publisher();
    assert_eq!(publisher.publish("orders.42", &json!(1)), 0);
    assert_eq!(publisher.publish("kept", &json!(1)), 3);
}

#[test]
fn revoked_tokens_end_their_connections_and_new_ones_are_good() {
    let server = start(with_tokens());
    let old = token(json!({}));
    let mut client = server.client();
    assert_eq!(client.ask(&connect(&old))["type"], "connected");
    // Made after the revocation: clocks may be ten seconds apart.
    let new = token(json!({"iat": now() + 5}));
    let mut later = server.client();
    assert_eq!(later.ask(&connect(&new))["type"], "connected");
    order(&server, &json!({"type": "revoke", "user": "u7"}));
    let (texts, close) = client.closed();
    assert_eq!((&texts[0]["reason"], &texts[0]["reconnect"]), (&json!("token revoked"), &json!(true)));
    assert_eq!(u16::from(close.unwrap().code), 4004);
    later.assert_silent();
    let mut again = server.client();
    assert_eq!(again.ask(&connect(&old))["code"], "token_expired");
    assert_eq!(again.close_code(), 4004);
    assert_eq!(server.client().ask(&connect(&new))["type"], "connected");
}

#[test]
fn revoked_channel_tokens_end_their_subscriptions_on_connections_that_stay() {
    let server = start(with_tokens());
    let mut client = server.client();
    // As if it had been renewed just after the revocation.
    let new = token(json!({"iat": now() + 5, "channels": ["kept"]}));
    assert_eq!(client.ask(&connect(&new))["type"], "connected");
    for channel in ["orders.42", "kept"] {
        let token = token(json!({"channel": channel}));
        let said = client.ask(&json!({"type": "subscribe", "channel": channel, "token": token}).to_string());
        assert_eq!(said["type"], "subscribed", "{said}");
    }
    order(&server, &json!({"type": "revoke", "user": "u7"}));
    let said = json!({"type": "unsubscribed", "channel": "orders.42", "reason": "token revoked"});
    assert_eq!(client.json(), said);
    let mut publisher = server.publisher();
    assert_eq!(publisher.publish("orders.42", &json!(1)), 0);
    assert_eq!(publisher.publish("kept", &json!(2)), 1, "the connection's token names it");
}

#[test]
fn a_revocation_survives_a_restart_where_there_is_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let config = || Config { data_dir: Some(directory.path().into()), ..with_tokens() };
    let old = token(json!({}));
    let mut first = start(config());
    assert_eq!(order(&first, &json!({"type": "revoke", "user": "u7"}))["receivers"], 0);
    first.stop();
    let second = start(config());
    assert_eq!(second.client().ask(&connect(&old))["code"], "token_expired");
}

#[test]
fn bad_measures_are_refused_with_what_is_wrong() {
    let server = start(with_tokens());
    for (command, words) in [
        (json!({"type": "disconnect"}), "user is missing"),
        (json!({"type": "disconnect", "user": "u7", "connection": "x"}), "not both"),
        (json!({"type": "disconnect", "user": "u7", "reason": "x".repeat(121)}), "120"),
        (json!({"type": "unsubscribe", "user": "u7"}), "channel is missing"),
        (json!({"type": "unsubscribe", "channel": "a"}), "user is missing"),
        (json!({"type": "revoke", "user": ""}), "must not be empty"),
    ] {
        let (status, reply) = server.post(&command.to_string());
        assert_eq!(status, 400, "{command}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{command}: {reply}");
    }
    let (status, reply) = start(config()).post(r#"{"type":"revoke","user":"u7"}"#);
    assert_eq!((status, &reply["error"]["code"]), (503, &json!("unavailable")));
}
