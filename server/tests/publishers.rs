//! Publishers with keys of their own: what each may do, and what becomes of them when the keys change.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::{Config, Publisher, PublisherKey};
use realtime_server::rules::{Access, ChannelRule, Pattern, StoreKind};
use serde_json::{Value, json};
use support::http::{request, upgrade};
use support::{Client, Scene, TestServer, config, history, rule, start};

fn publisher(name: &str, channels: &[&str]) -> Publisher {
    Publisher {
        name: name.into(),
        key: PublisherKey::generate().unwrap(),
        key_file: None,
        channels: Some(channels.iter().map(|text| Pattern::parse(text).unwrap()).collect()),
        users: false,
        publications_per_second: None,
    }
}

fn bearer(publisher: &Publisher) -> String {
    format!("Bearer {}", publisher.key.secret())
}

/// A connection of this publisher at `path`.
fn connect(server: &TestServer, path: &str, publisher: &Publisher) -> Client {
    let mut request = server.request(path);
    request.headers_mut().insert("authorization", bearer(publisher).parse().unwrap());
    Client::open(request)
}

fn post(server: &TestServer, publisher: &Publisher, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let length = body.len().to_string();
    let headers = [("Authorization", &*bearer(publisher)), ("Content-Length", &*length)];
    let answer = server.plain().ask(request("POST /broadcast", &[&headers]) + &body);
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

fn publish(channel: &str) -> Value {
    json!({"type": "broadcast_update", "id": 1, "channel": channel, "data": 1})
}

// docs: a channel, users or a backup that the publisher key is not for
#[test]
fn a_key_reaches_its_own_channels_and_says_so_of_others() {
    let shop = publisher("shop", &["orders.*"]);
    let mut scene = Scene::new(Config { publishers: vec![shop.clone()], ..config() });
    let mut subscriber = scene.server.client();
    subscriber.subscribe("orders.1");
    let mut client = connect(&scene.server, "/publisher", &shop);
    assert_eq!(client.publish("orders.1", &json!("yes")), 1);
    assert_eq!(subscriber.json()["data"], "yes");
    let refused = client.ask(&publish("bystanders").to_string());
    assert_eq!((&refused["code"], &refused["id"]), (&json!("forbidden"), &json!(1)));
    assert_eq!(refused["channel"], "bystanders");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("\"shop\"") && message.contains("orders.*"), "{message}");
    for command in [
        json!({"type": "broadcast_update", "id": 1, "user": "u7", "data": 1}),
        json!({"type": "broadcast_update", "id": 1, "connection": subscriber.id, "data": 1}),
        json!({"type": "history", "channel": "bystanders"}),
        json!({"type": "presence", "channel": "bystanders"}),
        json!({"type": "position", "channel": "bystanders"}),
        json!({"type": "subscribers", "channel": "bystanders"}),
        json!({"type": "channels"}),
        json!({"type": "backup"}),
    ] {
        assert_eq!(client.ask(&command.to_string())["code"], "forbidden", "{command}");
    }
    assert_eq!(client.ask(r#"{"type":"subscribers","channel":"orders.1"}"#)["subscribers"], 1);
    let listed = client.ask(r#"{"type":"channels","prefix":"orders."}"#);
    assert_eq!(listed["channels"], json!([{"channel": "orders.1", "subscribers": 1}]));
    let (status, answer) = post(&scene.server, &shop, &publish("bystanders"));
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("forbidden")));
    assert_eq!(post(&scene.server, &shop, &publish("orders.1")).0, 200);
    assert_eq!(subscriber.json()["data"], 1);
    subscriber.assert_silent();
    scene.nobody_else_notices();
}

#[test]
fn what_is_refused_spoils_nothing_beside_it() {
    let shop = publisher("shop", &["orders.*"]);
    let mut scene = Scene::new(Config { publishers: vec![shop.clone()], ..config() });
    let mut client = connect(&scene.server, "/publisher", &shop);
    let several =
        json!({"type": "broadcast_update", "id": 1, "channels": ["orders.1", "bystanders", "orders.2"], "data": 1});
    let reply = client.ask(&several.to_string());
    let kinds: Vec<_> = reply["results"].as_array().unwrap().iter().map(|r| (&r["type"], &r["channel"])).collect();
    assert_eq!(json!(kinds), json!([["ack", "orders.1"], ["error", "bystanders"], ["ack", "orders.2"]]));
    assert_eq!(reply["results"][1]["code"], "forbidden");
    let batch = json!([publish("orders.1"), publish("bystanders"), publish("orders.2")]);
    let kinds = |replies: &Value| replies.as_array().unwrap().iter().map(|r| r["type"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&client.ask(&batch.to_string())), ["ack", "error", "ack"]);
    let (status, answer) = post(&scene.server, &shop, &batch);
    assert_eq!((status, kinds(&answer)), (200, vec!["ack".into(), "error".into(), "ack".into()]));
    scene.nobody_else_notices();
}

#[test]
fn users_are_a_right_of_their_own() {
    let mails = Publisher { users: true, ..publisher("mails", &["mail.*"]) };
    let server = start(Config { publishers: vec![mails.clone()], insecure_identity: true, ..config() });
    let mut user = server.client();
    assert_eq!(user.ask(r#"{"action":"register","userId":"u7"}"#)["user"], "u7");
    let mut client = connect(&server, "/publisher", &mails);
    assert_eq!(client.ask(r#"{"type":"broadcast_update","id":1,"user":"u7","data":1}"#)["receivers"], 1);
    assert_eq!(user.json()["user"], true);
    assert_eq!(client.ask(&publish("other").to_string())["code"], "forbidden");
}

#[test]
fn on_the_clients_path_a_key_looks_into_its_own_channels_and_else_is_anybody() {
    let shop = publisher("shop", &["private-orders.*"]);
    let hidden = ChannelRule { subscribe: Some(Access::Nobody), ..rule("internal.*", history(0, StoreKind::Memory)) };
    let server = start(Config { publishers: vec![shop.clone()], channels: vec![hidden], ..config() });
    let mut client = connect(&server, "/", &shop);
    client.subscribe("private-orders.1");
    client.subscribe("public");
    for other in ["private-x", "internal.x"] {
        assert_eq!(client.ask(&json!({"type": "subscribe", "channel": other}).to_string())["code"], "forbidden");
        assert_eq!(client.ask(&json!({"type": "history", "channel": other}).to_string())["code"], "forbidden");
    }
    assert_eq!(client.ask(&publish("public").to_string())["code"], "forbidden");
}

// docs: more publications than the publisher key's `publications_per_second`
#[test]
fn a_key_publishes_at_its_rate_on_whatever_connections() {
    let slow = Publisher { publications_per_second: Some(1), ..publisher("slow", &["c.*"]) };
    let mut scene = Scene::new(Config { publishers: vec![slow.clone()], ..config() });
    let names: Vec<_> = (0..50).map(|n| format!("c.{n}")).collect();
    let many = json!({"type": "broadcast_update", "id": 1, "channels": names, "data": 1});
    let reply = connect(&scene.server, "/publisher", &slow).ask(&many.to_string());
    let refused = reply["results"].as_array().unwrap().iter().filter(|r| r["code"] == "rate_limited");
    let refused: Vec<_> = refused.collect();
    assert!(refused.len() >= 40, "{reply}");
    assert!(refused.iter().all(|r| (1..=1000).contains(&r["after"].as_u64().unwrap())), "{reply}");
    let mut other = connect(&scene.server, "/publisher", &slow);
    let replies: Vec<_> = (0..20).map(|_| other.ask(&publish("c.1").to_string())["code"].clone()).collect();
    assert!(replies.contains(&json!("rate_limited")), "{replies:?}");
    assert_eq!(other.ask(r#"{"type":"ping"}"#)["type"], "pong");
    scene.nobody_else_notices();
}

#[test]
fn on_the_clients_path_a_key_has_a_rate_whatever_the_command() {
    let slow = Publisher { publications_per_second: Some(1), ..publisher("slow", &["c.*"]) };
    let chat = ChannelRule { publish: Access::Anyone, ..rule("chat.*", history(0, StoreKind::Memory)) };
    let (publications_per_second, publication_burst) = (1, 1);
    let publishers = vec![slow.clone()];
    let server =
        start(Config { publishers, channels: vec![chat], publications_per_second, publication_burst, ..config() });
    let mut client = connect(&server, "/", &slow);
    // In its own channels that of the key; in those that are open to all that of all.
    for (kind, channel) in [("broadcast_update", "c.1"), ("publish", "c.1"), ("publish", "chat.1")] {
        let command = json!({"type": kind, "id": 1, "channel": channel, "data": 1}).to_string();
        let replies: Vec<_> = (0..20).map(|_| client.ask(&command)["code"].clone()).collect();
        assert!(replies.contains(&json!("rate_limited")), "{kind} in {channel}: {replies:?}");
    }
    assert_eq!(client.ask(r#"{"type":"ping"}"#)["type"], "pong");
}

#[test]
fn the_same_idempotency_key_of_another_publisher_is_another_key() {
    for store in [StoreKind::Memory, StoreKind::Disk] {
        let directory = tempfile::tempdir().unwrap();
        let (shop, cron) = (publisher("shop", &["*"]), publisher("cron", &["*"]));
        let server = start(Config {
            publishers: vec![shop.clone(), cron.clone()],
            channels: vec![rule("kept", history(10, store))],
            data_dir: Some(directory.path().into()),
            ..config()
        });
        let say = |data: &str| json!({"type": "broadcast_update", "channel": "kept", "key": "k", "data": data});
        assert_eq!(post(&server, &shop, &say("shop")).1["duplicate"], Value::Null);
        // It occupies nobody else's key, neither with the same data nor with other.
        assert_eq!(post(&server, &cron, &say("cron")).1["type"], "ack", "{store:?}");
        assert_eq!(server.post(&say("php").to_string()).1["type"], "ack", "{store:?}");
        assert_eq!(post(&server, &shop, &say("shop")).1["duplicate"], true);
        assert_eq!(post(&server, &shop, &say("cron")).1["error"]["code"], "key_conflict");
        let kept = server.publisher().ask(r#"{"type":"history","channel":"kept"}"#);
        let data: Vec<_> = kept["publications"].as_array().unwrap().iter().map(|p| p["data"].clone()).collect();
        assert_eq!(data, ["shop", "cron", "php"]);
    }
}

#[test]
fn a_reload_closes_who_has_no_key_any_more_and_gives_the_others_their_new_rights() {
    let (shop, cron) = (publisher("shop", &["orders.*"]), publisher("cron", &["jobs.*"]));
    let first = Config { publishers: vec![shop.clone(), cron.clone()], ..config() };
    let server = start(first.clone());
    let reload = |config: &Config| server.server.as_ref().unwrap().reload(config);
    let mut gone = connect(&server, "/publisher", &cron);
    let mut looker = connect(&server, "/", &cron);
    let mut stays = connect(&server, "/publisher", &shop);
    let mut unchanged = server.publisher();
    let mut plain = server.plain();
    let headers = [("Authorization", &*bearer(&cron)), ("Content-Length", "15")];
    let ping = request("POST /broadcast", &[&headers]) + r#"{"type":"ping"}"#;
    assert_eq!(plain.ask(&ping).status, 200);

    let wider = Publisher { channels: None, ..shop.clone() };
    let former = Publisher { key: first.publisher_key.clone().unwrap(), channels: None, ..publisher("former", &["*"]) };
    let publisher_key = Some(PublisherKey::generate().unwrap());
    reload(&Config { publisher_key, publishers: vec![wider, former.clone()], ..first.clone() });
    assert_eq!(gone.close_code(), 4001);
    let (told, close) = looker.closed();
    assert_eq!((&told[0]["type"], &told[0]["reconnect"]), (&json!("disconnect"), &json!(false)));
    assert_eq!(u16::from(close.unwrap().code), 4001);
    assert_eq!(plain.ask(&ping).status, 401, "the next request on the same connection");
    assert_eq!(server.plain().ask(upgrade("/publisher", &[headers[0]])).status, 401);
    // When it has closed those, the shard of these may still have to hear of the change.
    assert!((0..100_000).any(|_| stays.ask(&publish("jobs.1").to_string())["code"] != "forbidden"));
    assert_eq!(unchanged.publish("anything", &json!(1)), 0);

    let replaced = Publisher { key: PublisherKey::generate().unwrap(), ..shop.clone() };
    reload(&Config { publishers: vec![replaced.clone(), former], publisher_key: None, ..first });
    assert_eq!(stays.close_code(), 4001, "the same name with another key is somebody else");
    assert_eq!(connect(&server, "/publisher", &replaced).publish("orders.1", &json!(1)), 0);
    assert_eq!(unchanged.publish("anything", &json!(1)), 0);
}

#[test]
fn a_key_that_is_for_less_after_a_reload_looks_into_less() {
    let shop = publisher("shop", &["private-a.*", "private-b.*"]);
    let first = Config { publishers: vec![shop.clone()], ..config() };
    let server = start(first.clone());
    let mut looker = connect(&server, "/", &shop);
    for channel in ["private-a.1", "private-b.1", "public"] {
        looker.subscribe(channel);
    }
    let narrower = Publisher { channels: Some(vec![Pattern::parse("private-b.*").unwrap()]), ..shop };
    server.server.as_ref().unwrap().reload(&Config { publishers: vec![narrower], ..first });
    let reason = "the publisher key is for other channels now";
    assert_eq!(looker.json(), json!({"type": "unsubscribed", "channel": "private-a.1", "reason": reason}));
    let mut publisher = server.publisher();
    assert_eq!(publisher.publish("private-a.1", &json!(1)), 0);
    assert_eq!(publisher.publish("private-b.1", &json!(2)), 1);
    assert_eq!(publisher.publish("public", &json!(3)), 1);
    assert_eq!((looker.json()["data"].clone(), looker.json()["data"].clone()), (json!(2), json!(3)));
}
