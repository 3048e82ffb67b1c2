//! The straight path: who subscribed gets what is published, and nobody else.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use serde_json::{Value, json};
use support::{TestServer, config, start};

#[test]
fn every_subscriber_on_every_shard_gets_a_publication() {
    let server = TestServer::default();
    let mut clients: Vec<_> = (0..6).map(|_| server.client()).collect();
    for client in &mut clients {
        client.subscribe("orders.42");
    }
    let mut other = server.client();
    other.subscribe("orders.43");
    assert_eq!(server.publisher().publish("orders.42", &json!({"status": "paid"})), 6);
    for client in &mut clients {
        assert_eq!(
            client.json(),
            json!({"type": "broadcast_update", "channel": "orders.42", "data": {"status": "paid"}})
        );
    }
    other.assert_silent();
}

#[test]
fn data_is_forwarded_byte_for_byte() {
    let server = TestServer::default();
    let mut client = server.client();
    client.subscribe("c");
    let mut publisher = server.publisher();
    for data in [r#"{"b":1.0,"a":[ 1 , 2 ]}"#, "1e999", "null", r#""\u00e9\ud83d""#, "12345678901234567890"] {
        publisher.send(&format!(r#"{{"type":"broadcast_update","channel":"c","data": {data} }}"#));
        assert_eq!(client.text(), format!(r#"{{"type":"broadcast_update","channel":"c","data":{data}}}"#));
    }
}

#[test]
fn an_event_name_travels_along() {
    let server = TestServer::default();
    let mut client = server.client();
    client.subscribe("c");
    server.publisher().ask(r#"{"id":1,"type":"broadcast_update","channel":"c","event":"paid","data":1}"#);
    assert_eq!(client.json(), json!({"type": "broadcast_update", "channel": "c", "event": "paid", "data": 1}));
}

#[test]
fn the_excluded_connection_gets_nothing_and_is_not_counted() {
    let server = TestServer::default();
    let (mut a, mut b) = (server.client(), server.client());
    a.subscribe("c");
    b.subscribe("c");
    let mut publisher = server.publisher();
    let publish = |exclude: &str| {
        json!({"id": 1, "type": "broadcast_update", "channel": "c", "data": 1, "exclude": exclude}).to_string()
    };
    assert_eq!(publisher.ask(&publish(&a.id))["receivers"], 1);
    assert_eq!(b.json()["data"], 1);
    a.assert_silent();
    for nobody in ["", "unknown", &"A".repeat(24)] {
        assert_eq!(publisher.ask(&publish(nobody))["receivers"], 2, "{nobody:?}");
    }
}

#[test]
fn several_channels_answer_one_result_each() {
    let server = TestServer::default();
    let mut client = server.client();
    client.subscribe("a");
    let reply = server.publisher().ask(r#"{"id":"x","type":"broadcast_update","channels":["a","b",""],"data":1}"#);
    assert_eq!(reply["id"], "x");
    assert_eq!(reply["receivers"], 1);
    assert_eq!(reply["results"][0], json!({"type": "ack", "channel": "a", "receivers": 1}));
    assert_eq!(reply["results"][1]["receivers"], 0);
    assert_eq!(reply["results"][2]["code"], "invalid_name");
    assert_eq!(client.json()["channel"], "a");
}

#[test]
fn a_batch_is_answered_in_order_and_one_bad_command_spoils_no_other() {
    let server = TestServer::default();
    let mut client = server.client();
    client.subscribe("a");
    let replies = server.publisher().ask(
        r#"[{"id":1,"type":"broadcast_update","channel":"a","data":1},{"id":2,"type":"nonsense"},
            {"id":3,"type":"ping"},{"id":4,"type":"broadcast_update","channel":"a","data":2}]"#,
    );
    let kinds: Vec<_> = replies.as_array().unwrap().iter().map(|r| (r["id"].clone(), r["type"].clone())).collect();
    assert_eq!(
        kinds,
        [(json!(1), json!("ack")), (json!(2), json!("error")), (json!(3), json!("pong")), (json!(4), json!("ack"))]
    );
    assert_eq!([client.json()["data"].clone(), client.json()["data"].clone()], [json!(1), json!(2)]);
}

#[test]
fn one_connection_can_be_addressed_and_a_gone_one_receives_nothing() {
    let server = TestServer::default();
    let (mut a, mut b) = (server.client(), server.client());
    let mut publisher = server.publisher();
    let send = |id: &str| json!({"id": 1, "type": "broadcast_update", "connection": id, "data": 7}).to_string();
    assert_eq!(publisher.ask(&send(&a.id))["receivers"], 1);
    assert_eq!(a.json(), json!({"type": "message", "data": 7}));
    b.assert_silent();
    assert_eq!(publisher.ask(&send("nobody"))["receivers"], 0);
}

#[test]
fn a_user_is_reached_on_all_connections() {
    let server = start(realtime_server::config::Config { insecure_identity: true, ..config() });
    let mut devices = [server.client(), server.client(), server.client()];
    for device in &mut devices[..2] {
        let reply = device.ask(r#"{"action":"register","userId":42,"channels":["general"]}"#);
        assert_eq!(reply, json!({"type": "connected", "user": "42"}));
        assert_eq!(device.json()["type"], "subscribed");
    }
    let reply = server.publisher().ask(r#"{"id":1,"type":"broadcast_update","user":"42","event":"hi","data":[]}"#);
    assert_eq!(reply["receivers"], 2);
    for device in &mut devices[..2] {
        assert_eq!(device.json(), json!({"type": "message", "event": "hi", "user": true, "data": []}));
    }
    devices[2].assert_silent();
}

#[test]
fn unsubscribing_ends_it_and_subscribing_twice_is_once() {
    let server = TestServer::default();
    let mut client = server.client();
    let mut publisher = server.publisher();
    client.subscribe("c");
    client.subscribe("c");
    assert_eq!(publisher.publish("c", &json!(1)), 1);
    assert_eq!(client.json()["data"], 1);
    let reply = client.ask(r#"{"type":"unsubscribe","id":5,"channel":"c"}"#);
    assert_eq!(reply, json!({"type": "unsubscribed", "id": 5, "channel": "c"}));
    assert_eq!(publisher.publish("c", &json!(2)), 0);
    client.assert_silent();
}

#[test]
fn a_connection_that_goes_is_out_of_its_channels() {
    let server = TestServer::default();
    let mut publisher = server.publisher();
    let mut stays = server.client();
    stays.subscribe("c");
    let mut leaves = server.client();
    leaves.subscribe("c");
    assert_eq!(publisher.publish("c", &json!(0)), 2);
    drop(leaves);
    // The kernel tells the server; each acknowledgement is one look at whether it has.
    while publisher.publish("c", &json!(1)) != 1 {}
}

#[test]
fn http_publishes_too() {
    let server = TestServer::default();
    let mut client = server.client();
    client.subscribe("c");
    let (status, reply) = server.post(r#"{"type":"broadcast_update","channel":"c","data":"over http"}"#);
    assert_eq!((status, reply), (200, json!({"type": "ack", "receivers": 1})));
    assert_eq!(client.json()["data"], "over http");
    let (status, reply) = server.post(r#"[{"type":"broadcast_update","channel":"c","data":1},{"type":"x"}]"#);
    assert_eq!((status, &reply[0]["type"], &reply[1]["code"]), (200, &json!("ack"), &json!("unknown_type")));
    let (status, reply) = server.post(r#"{"type":"broadcast_update","channel":"","data":1}"#);
    assert_eq!((status, &reply["error"]["code"]), (400, &json!("invalid_name")));
    let (status, _) = server.http("POST / HTTP/1.1", r#"{"type":"ping"}"#);
    assert_eq!(status, 401);
}

#[test]
fn the_plain_dialect_works_on_both_paths() {
    let server = TestServer::default();
    for path in ["/", "/ws"] {
        let mut page = support::Client::open(server.request(path));
        page.send(r#"{"action":"register","userId":"42","channels":["general","user_42"]}"#);
        let told: Vec<Value> = (0..3).map(|_| page.json()).collect();
        assert_eq!(told[0], json!({"type": "connected", "user": null}));
        assert_eq!(told[1], json!({"type": "subscribed", "channel": "general"}));
        assert_eq!(told[2], json!({"type": "subscribed", "channel": "user_42"}));
        server.post(r#"{"type":"broadcast_update","channel":"user_42","data":"text"}"#);
        assert_eq!(page.json(), json!({"type": "broadcast_update", "channel": "user_42", "data": "text"}));
    }
}

#[test]
fn a_plain_client_with_the_key_may_publish_where_it_is() {
    let server = TestServer::default();
    let mut page = server.client();
    page.subscribe("c");
    let refused = page.ask(r#"{"type":"broadcast_update","channel":"c","data":1}"#);
    assert_eq!(refused["code"], "unauthorized");
    let mut request = server.request("/");
    request.headers_mut().insert("authorization", format!("Bearer {}", server.key.secret()).parse().unwrap());
    let mut publisher = support::Client::open(request);
    publisher.send(r#"{"type":"broadcast_update","channel":"c","data":2}"#);
    assert_eq!(page.json()["data"], 2);
}

#[test]
fn two_publishers_are_seen_in_one_order_by_all_shards() {
    let server = start(realtime_server::config::Config { shards: 4, ..config() });
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        client.subscribe("c");
    }
    const EACH: usize = 500;
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let mut publisher = server.publisher();
            scope.spawn(move || {
                for n in 0..EACH {
                    publisher.send(&format!(r#"{{"type":"broadcast_update","channel":"c","data":"{name}{n}"}}"#));
                }
                publisher.ask(r#"{"type":"ping","id":0}"#);
            });
        }
    });
    let mut orders = clients.iter_mut().map(|client| (0..2 * EACH).map(|_| client.text()).collect::<Vec<_>>());
    let first = orders.next().unwrap();
    for (n, order) in orders.enumerate() {
        assert!(order == first, "client {} saw another order", n + 1);
    }
}
