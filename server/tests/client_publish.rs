//! Clients publish where a rule lets them.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::Config;
use realtime_server::rules::{Access, ChannelRule, StoreKind};
use serde_json::{Value, json};

use support::token::{connect, token, with_tokens};
use support::{Client, TestServer, history, rule, start};

fn chat(store: StoreKind) -> ChannelRule {
    ChannelRule { subscribe: Some(Access::Anyone), publish: Access::User, ..rule("chat.*", history(10, store)) }
}

fn server() -> TestServer {
    let wall = ChannelRule {
        subscribe: Some(Access::Anyone),
        publish: Access::Anyone,
        ..rule("wall", history(10, StoreKind::Memory))
    };
    start(Config { channels: vec![chat(StoreKind::Memory), wall], ..with_tokens() })
}

fn signed_in(server: &TestServer, user: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.ask(&connect(&token(json!({"sub": user}))))["user"], user);
    client
}

#[test]
fn what_a_client_publishes_carries_its_user() {
    let server = server();
    let (mut ana, mut bo) = (signed_in(&server, "ana"), signed_in(&server, "bo"));
    for client in [&mut ana, &mut bo] {
        client.subscribe("chat.1");
    }
    ana.send(r#"{"type":"publish","id":2,"channel":"chat.1","event":"said","data":{"text":"hello"},"exclude":"self"}"#);
    let ack = ana.json();
    assert_eq!(
        (&ack["type"], &ack["id"], &ack["receivers"], &ack["offset"]),
        (&json!("ack"), &json!(2), &json!(1), &json!(1))
    );
    let got = bo.json();
    assert_eq!((&got["user"], &got["event"], &got["data"]), (&json!("ana"), &json!("said"), &json!({"text": "hello"})));
    assert_eq!(ana.json(), json!({"type": "position", "channel": "chat.1", "offset": 1}));
    assert_eq!(server.publisher().publish("chat.1", &json!(1)), 2);
    assert_eq!(bo.json()["user"], Value::Null, "PHP is no user");
    let kept = bo.ask(r#"{"type":"history","channel":"chat.1"}"#);
    assert_eq!((&kept["publications"][0]["user"], &kept["publications"][1]["user"]), (&json!("ana"), &Value::Null));
}

#[test]
fn on_disk_and_after_a_restart_it_is_still_the_users() {
    let directory = tempfile::tempdir().unwrap();
    for store in [StoreKind::Disk, StoreKind::Memory] {
        let config = || Config {
            channels: vec![chat(store)],
            data_dir: Some(directory.path().join(store.as_str())),
            ..with_tokens()
        };
        let mut first = start(config());
        let mut ana = signed_in(&first, "ana");
        assert_eq!(ana.ask(r#"{"type":"publish","id":2,"channel":"chat.1","data":1}"#)["offset"], 1);
        drop(ana);
        first.stop();
        let kept = start(config()).client().ask(r#"{"type":"history","channel":"chat.1"}"#);
        assert_eq!(kept["publications"], json!([{"offset": 1, "user": "ana", "data": 1}]), "{store:?}");
    }
}

#[test]
fn who_may_not_publish_is_told_why() {
    let server = server();
    let mut nobody = server.client();
    let said = nobody.ask(r#"{"type":"publish","id":2,"channel":"chat.1","data":1}"#);
    assert_eq!((&said["code"], &said["id"], &said["channel"]), (&json!("forbidden"), &json!(2), &json!("chat.1")));
    let mut ana = signed_in(&server, "ana");
    let said = ana.ask(r#"{"type":"publish","channel":"orders.1","data":1}"#);
    assert!(said["message"].as_str().unwrap().contains("publish = \"user\""), "{said}");
    for (command, words) in [
        (r#"{"type":"publish","channels":["chat.1"],"data":1}"#, "one channel"),
        (r#"{"type":"publish","user":"bo","data":1}"#, "one channel"),
        (r#"{"type":"publish","channel":"chat.1"}"#, "data is missing"),
        (r#"{"type":"publish","channel":"chat.1","data":1,"exclude":"someone"}"#, "\"self\""),
    ] {
        let said = ana.ask(command);
        assert_eq!(said["code"], "bad_request", "{command}");
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
    }
    let long = json!({"type": "publish", "id": 3, "channel": "chat.1", "data": "x".repeat(64 << 10)}).to_string();
    ana.send(&long);
    assert_eq!(ana.close_code(), 1009, "a frame over max_message");
    // Whoever is nobody in particular publishes without a name.
    assert_eq!(nobody.ask(r#"{"type":"publish","id":4,"channel":"wall","data":1}"#)["type"], "ack");
}

#[test]
fn the_same_key_again_has_its_effect_once_and_is_nobody_elses() {
    let server = server();
    let publish = r#"{"type":"publish","id":2,"channel":"chat.1","data":1,"key":"k1"}"#;
    let (mut ana, mut again, mut bo) = (signed_in(&server, "ana"), signed_in(&server, "ana"), signed_in(&server, "bo"));
    assert_eq!(ana.ask(publish)["offset"], 1);
    let repeated = again.ask(publish);
    assert_eq!((&repeated["offset"], &repeated["duplicate"]), (&json!(1), &json!(true)), "from another connection");
    assert_eq!(bo.ask(publish)["offset"], 2, "another user's key is another key");
    let php = server.post(r#"{"type":"broadcast_update","channel":"chat.1","data":1,"key":"k1"}"#).1;
    assert_eq!((&php["offset"], &php["duplicate"]), (&json!(3), &Value::Null), "and so is PHP's");
    let other = ana.ask(r#"{"type":"publish","id":2,"channel":"chat.1","data":2,"key":"k1"}"#);
    assert_eq!(other["code"], "key_conflict");
}
