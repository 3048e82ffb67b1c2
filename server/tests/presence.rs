//! Who is in a channel.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::time::Duration;

use realtime_server::config::Config;
use realtime_server::rules::{PresenceRule, StreamRule};
use serde_json::{Value, json};

use support::{Client, TestServer, config, rule, start};

fn server(grace: Duration, events: bool) -> TestServer {
    let presence = Some(PresenceRule { grace, events });
    let channels = vec![rule("room*", StreamRule::new(None, None, presence))];
    start(Config { channels, insecure_identity: true, ..config() })
}

fn join(server: &TestServer, user: &str) -> (Client, Value) {
    let mut client = server.client();
    client.send(&json!({"action": "register", "userId": user, "channels": ["room"]}).to_string());
    assert_eq!(client.json()["type"], "connected");
    let reply = client.json();
    assert_eq!(reply["type"], "subscribed", "{reply}");
    (client, reply)
}

fn ids(members: &Value) -> Vec<&str> {
    members.as_array().unwrap().iter().map(|member| member["user"].as_str().unwrap()).collect()
}

fn event(client: &mut Client, kind: &str, user: &str) {
    let member = json!({"user": user, "info": null});
    assert_eq!(client.json(), json!({"type": kind, "channel": "room", "member": member}));
}

#[test]
fn members_see_each_other_come_and_go() {
    let server = server(Duration::ZERO, true);
    let (mut ana, reply) = join(&server, "ana");
    assert_eq!(reply["members"], json!([{"user": "ana", "info": null, "connections": 1}]));
    event(&mut ana, "join", "ana");
    let (bo, reply) = join(&server, "bo");
    assert_eq!(ids(&reply["members"]), ["ana", "bo"]);
    event(&mut ana, "join", "bo");
    drop(bo);
    event(&mut ana, "leave", "bo");
    let list = ana.ask(r#"{"type":"presence","id":3,"channel":"room"}"#);
    assert_eq!((&list["id"], ids(&list["members"])), (&json!(3), vec!["ana"]));
}

#[test]
fn several_connections_of_a_user_join_once_and_leave_with_the_last() {
    let server = server(Duration::ZERO, true);
    let (mut ana, _) = join(&server, "ana");
    event(&mut ana, "join", "ana");
    let (one, _) = join(&server, "bo");
    event(&mut ana, "join", "bo");
    let (mut two, reply) = join(&server, "bo");
    assert_eq!(reply["members"][1]["connections"], 2);
    drop(one);
    two.send(r#"{"type":"unsubscribe","channel":"room"}"#);
    event(&mut ana, "leave", "bo");
    ana.assert_silent();
}

#[test]
fn a_reload_within_the_grace_is_neither_a_leave_nor_a_join() {
    let server = server(Duration::from_secs(600), true);
    let (mut ana, _) = join(&server, "ana");
    event(&mut ana, "join", "ana");
    let (bo, _) = join(&server, "bo");
    event(&mut ana, "join", "bo");
    drop(bo);
    let (_bo, reply) = join(&server, "bo");
    assert_eq!(ids(&reply["members"]), ["ana", "bo"]);
    ana.assert_silent();
}

#[test]
fn who_says_its_name_later_joins_then_and_who_has_none_is_no_member() {
    let server = server(Duration::ZERO, true);
    let (mut ana, mut late) = (server.client(), server.client());
    let reply = ana.ask(r#"{"type":"subscribe","channel":"room"}"#);
    assert_eq!(reply["members"], json!([]));
    late.ask(r#"{"type":"subscribe","channel":"room"}"#);
    ana.assert_silent();
    late.send(r#"{"action":"register","userId":"late"}"#);
    event(&mut ana, "join", "late");
}

#[test]
fn large_rooms_page_the_list_and_keep_quiet() {
    const MEMBERS: usize = 1_200;
    let server = server(Duration::ZERO, false);
    let mut all: Vec<_> = (0..MEMBERS).map(|n| join(&server, &format!("u{n:05}")).0).collect();
    let (mut last, reply) = join(&server, "zoe");
    assert_eq!(ids(&reply["members"]).len(), 500);
    let mut seen: Vec<String> = ids(&reply["members"]).into_iter().map(str::to_owned).collect();
    let mut next = reply["next"].clone();
    while let Some(after) = next.as_str() {
        let page = last.ask(&json!({"type": "presence", "channel": "room", "after": after, "limit": 300}).to_string());
        seen.extend(ids(&page["members"]).into_iter().map(str::to_owned));
        next = page["next"].clone();
    }
    let expected: Vec<_> = (0..MEMBERS).map(|n| format!("u{n:05}")).chain(["zoe".to_owned()]).collect();
    assert_eq!(seen, expected);
    all[0].assert_silent();
}

#[test]
fn publishers_ask_who_is_where() {
    let server = server(Duration::ZERO, true);
    let (mut ana, _) = join(&server, "ana");
    event(&mut ana, "join", "ana");
    ana.subscribe("orders.1");
    let mut publisher = server.publisher();
    let members = publisher.ask(r#"{"id":1,"type":"presence","channel":"room"}"#);
    assert_eq!(ids(&members["members"]), ["ana"]);
    let channels = publisher.ask(r#"{"id":2,"type":"channels","prefix":"orders."}"#);
    assert_eq!(channels["channels"], json!([{"channel": "orders.1", "subscribers": 1}]));
    let subscribers = publisher.ask(r#"{"id":3,"type":"subscribers","channel":"room"}"#);
    assert_eq!(subscribers["subscribers"], 1);
    assert_eq!(publisher.ask(r#"{"id":4,"type":"subscribers","channel":"none"}"#)["subscribers"], 0);
}

#[test]
fn a_channel_that_may_not_be_subscribed_to_does_not_tell_its_members() {
    let server = server(Duration::ZERO, true);
    let refused = server.client().ask(r#"{"type":"presence","id":1,"channel":"presence-room"}"#);
    assert_eq!((&refused["code"], &refused["id"]), (&json!("forbidden"), &json!(1)));
}
