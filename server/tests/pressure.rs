//! What happens when something is full: outboxes, the budget, the limits on connections and commands.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::time::Duration;

use realtime_server::config::{Config, SharedRates};
use realtime_server::rules::{Overflow, StreamRule};
use serde_json::{Value, json};
use support::{Client, TestServer, config, rule, start};

/// Small bounds, so that little has to be sent until they are reached.
fn tight(overflow: Overflow) -> Config {
    let channels = vec![rule("*", StreamRule::new(Some(overflow), None, None))];
    Config { outbox_max: 128 << 10, send_buffer: 16 << 10, channels, ..config() }
}

/// A client that takes only what fits into a small receive buffer.
fn slow(server: &TestServer) -> Client {
    let client = server.client();
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(4096).unwrap();
    client
}

/// Ends the slowness, so that the test does not take as long as it would.
fn hurry(client: &Client) {
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(1 << 20).unwrap();
}

const PAYLOAD: usize = 4 << 10;

/// Publishes `count` numbered publications, each acknowledged.
fn publish_numbered(server: &TestServer, channel: &str, count: u64) {
    let mut publisher = server.publisher();
    let padding = "x".repeat(PAYLOAD);
    for n in 0..count {
        publisher.publish(channel, &json!({"n": n, "padding": padding}));
    }
}

fn number(message: &Value) -> u64 {
    message["data"]["n"].as_u64().unwrap_or_else(|| panic!("not a publication: {message}"))
}

#[test]
fn a_reader_that_stops_is_closed_and_the_others_get_everything() {
    let server = start(tight(Overflow::Disconnect));
    let mut stopped = slow(&server);
    stopped.subscribe("c");
    let mut reading = server.client();
    reading.subscribe("c");
    const COUNT: u64 = 400;
    let mut publisher = server.publisher();
    let padding = "x".repeat(PAYLOAD);
    for n in 0..COUNT {
        publisher.publish("c", &json!({"n": n, "padding": padding}));
        // In step, since with so small an outbox a reader that the machine lets wait would be a slow one too.
        assert_eq!(number(&reading.json()), n);
    }
    let (texts, close) = stopped.closed();
    assert_eq!(u16::from(close.unwrap().code), 4008);
    let (last, publications) = texts.split_last().unwrap();
    assert_eq!((&last["type"], &last["code"], &last["reconnect"]), (&json!("disconnect"), &json!(4008), &json!(true)));
    // What it did get is the beginning, without a hole.
    for (expected, publication) in (0..).zip(publications) {
        assert_eq!(number(publication), expected);
    }
    assert!(publications.len() < COUNT as usize);
}

#[test]
fn drop_oldest_tells_how_many_were_dropped() {
    let server = start(tight(Overflow::DropOldest));
    let mut client = slow(&server);
    client.subscribe("c");
    const COUNT: u64 = 400;
    publish_numbered(&server, "c", COUNT);
    hurry(&client);
    let (mut next, mut missed) = (0, 0);
    while next < COUNT {
        let message = client.json();
        if message["type"] == "missed" {
            assert_eq!(message["channel"], "c");
            missed += message["count"].as_u64().unwrap();
            next += message["count"].as_u64().unwrap();
        } else {
            assert_eq!(number(&message), next, "a jump that was not announced");
            next += 1;
        }
    }
    assert!(missed > 0);
    client.assert_silent();
}

#[test]
fn latest_ends_with_the_newest_and_never_closes() {
    let server = start(tight(Overflow::Latest));
    let mut client = slow(&server);
    client.subscribe("c");
    const COUNT: u64 = 400;
    publish_numbered(&server, "c", COUNT);
    hurry(&client);
    let mut seen = Vec::new();
    while seen.last() != Some(&(COUNT - 1)) {
        seen.push(number(&client.json()));
    }
    assert!(seen.is_sorted() && seen.len() < COUNT as usize, "{seen:?}");
    client.assert_silent();
}

// docs: holding more than the others when all together hold more than `memory_max`
#[test]
fn beyond_the_budget_those_who_hold_most_are_closed() {
    let mut server =
        start(Config { memory_max: 4 << 20, outbox_max: 2 << 20, shards: 1, ..tight(Overflow::Disconnect) });
    let mut modest = slow(&server);
    modest.subscribe("modest");
    let mut greedy: Vec<_> = (0..8).map(|_| slow(&server)).collect();
    for client in &mut greedy {
        client.subscribe("greedy");
    }
    // 8 readers that each hold more than 1 MiB do not fit into 4; the one that holds 50 KiB stays.
    publish_numbered(&server, "modest", 10);
    publish_numbered(&server, "greedy", 230);
    greedy.iter().for_each(hurry);
    let closed = greedy.iter_mut().filter_map(|client| client.is_closed_within(230).then_some(())).count();
    assert!(closed > 0 && closed < 8, "{closed} of 8 were closed");
    for expected in 0..10 {
        assert_eq!(number(&modest.json()), expected);
    }
    modest.assert_silent();
    server.stop();
}

// docs: more browsers than `max_connections`
#[test]
fn one_browser_too_many_is_told_and_room_is_given_back() {
    let server = start(Config { max_connections: 2, ..config() });
    let first = server.client();
    let _second = server.client();
    let (status, _) = server.http("GET /health/ready HTTP/1.1", "");
    assert_eq!(status, 200);
    let (told, code) = Client::refused(server.request("/"));
    assert_eq!(code, 4009);
    assert_eq!((&told["code"], &told["reconnect"]), (&json!(4009), &json!(true)));
    assert!(told["after"].as_u64().unwrap() > 0);
    assert_eq!(server.publisher().publish("c", &json!(1)), 0, "publishers are apart");
    drop(first);
    while Client::refused_or_not(server.request("/")) {}
}

// docs: frames that are not read at all for `write_timeout`
#[test]
fn a_reader_that_takes_nothing_is_dropped_even_where_its_outbox_never_fills() {
    let latest = rule("state", StreamRule::new(Some(Overflow::Latest), None, None));
    let server = start(Config {
        channels: vec![latest],
        write_timeout: Duration::from_secs(1),
        send_buffer: 8 << 10,
        ..config()
    });
    let mut stopped = server.client();
    stopped.subscribe("state");
    let mut publisher = server.publisher();
    let data = Value::from("x".repeat(50_000));
    let running = server.server.as_ref().unwrap();
    while running.connections() != 1 {
        publisher.publish("state", &data);
    }
}

// docs: more publishers than `max_publishers`
#[test]
fn publishers_have_a_limit_of_their_own() {
    let server = start(Config { max_publishers: 1, ..config() });
    let _one = server.publisher();
    let mut request = server.request("/publisher");
    request.headers_mut().insert("authorization", format!("Bearer {}", server.key.secret()).parse().unwrap());
    match tungstenite::client(request, server.socket()) {
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            assert_eq!(response.status(), 503);
        }
        other => panic!("{other:?}"),
    }
    server.client().subscribe("c");
}

#[test]
fn addresses_behind_a_trusted_proxy_are_counted_one_by_one() {
    let server = start(Config {
        max_connections_per_address: 1,
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..config()
    });
    let request = |address: &str| {
        let mut request = server.request("/");
        request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        request
    };
    let _one = Client::open(request("192.0.2.1"));
    assert_eq!(Client::refused(request("198.51.100.1, 192.0.2.1")).1, 4009);
    let _two = Client::open(request("192.0.2.2"));
}

#[test]
fn commands_beyond_the_rate_are_refused_and_a_flood_is_closed() {
    let server = start(Config { commands_per_second: 1, command_burst: 5, ..config() });
    let mut client = server.client();
    let replies: Vec<_> = (0..6).map(|n| client.ask(&format!(r#"{{"type":"ping","id":{n}}}"#))).collect();
    assert!(replies[..5].iter().all(|reply| reply["type"] == "pong"), "{replies:?}");
    assert_eq!((&replies[5]["code"], &replies[5]["id"]), (&json!("rate_limited"), &json!(5)));
    for _ in 0..5 {
        client.send(r#"{"type":"ping"}"#);
    }
    let (texts, close) = client.closed();
    assert_eq!(u16::from(close.unwrap().code), 4010);
    assert_eq!(texts.last().unwrap()["code"], 4010);
}

/// Rates of a user or an address that no test reaches, but for the commands.
fn commands(commands_per_second: usize) -> SharedRates {
    SharedRates { commands_per_second, subscriptions_per_second: 0, publications_per_second: 0 }
}

/// Pings on these clients in turn until one is refused; how many were answered before, and the refusal.
fn pings_until_refused(clients: &mut [Client]) -> (usize, Value) {
    let most = clients.len();
    let asked = (0..1000).map(|n| clients[n % most].ask(r#"{"type":"ping","id":1}"#)).enumerate();
    asked.into_iter().find(|(_, reply)| reply["type"] != "pong").unwrap()
}

// docs: more commands, subscriptions or publications than `per_user` or `per_address` allows
#[test]
fn a_user_and_an_address_have_limits_on_all_their_connections_together() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = start(Config {
        trusted_proxies,
        insecure_identity: true,
        per_user: commands(1),
        per_address: commands(2),
        ..config()
    });
    let from = |address: &str, user: Option<&str>| {
        let mut request = server.request("/");
        request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        let mut client = Client::open(request);
        if let Some(user) = user {
            client.ask(&json!({"action": "register", "userId": user}).to_string());
        }
        client
    };
    let mut tabs: Vec<_> = (1..=4).map(|n| from(&format!("192.0.2.{n}"), Some("u7"))).collect();
    let (answered, refusal) = pings_until_refused(&mut tabs);
    assert!(answered >= SharedRates::BURST_SECONDS, "{answered}");
    assert_eq!((&refusal["code"], &refusal["id"]), (&json!("rate_limited"), &json!(1)));
    assert!(refusal["message"].as_str().unwrap().contains("on all connections of this user"), "{refusal}");
    assert!((1..=1000).contains(&refusal["after"].as_u64().unwrap()), "{refusal}");

    // Anonymous ones, in one network.
    let mut crowd: Vec<_> = (1..=4).map(|n| from(&format!("2001:db8::{n}"), None)).collect();
    let (answered, refusal) = pings_until_refused(&mut crowd);
    assert!(answered >= 2 * SharedRates::BURST_SECONDS, "{answered}");
    assert!(refusal["message"].as_str().unwrap().contains("2 commands a second from this address"), "{refusal}");
    from("2001:db8:0:1::1", Some("u8")).assert_silent();
    // What connects from the proxy itself, and from loopback, has no address that counts.
    let mut local: Vec<_> = (0..4).map(|_| server.client()).collect();
    let ping = |n: usize, clients: &mut [Client]| clients[n % 4].ask(r#"{"type":"ping"}"#)["type"] == "pong";
    assert!((0..200).all(|n| ping(n, &mut local)));
}

// docs: more subscriptions than `subscription_burst` at once
#[test]
fn subscriptions_have_a_rate_of_their_own() {
    let server = start(Config { subscriptions_per_second: 1, subscription_burst: 3, ..config() });
    let mut client = server.client();
    client.send(r#"{"action":"register","channels":["a","b","c"]}"#);
    assert!((0..3).all(|_| client.json()["type"] == "subscribed"));
    let refusal = client.ask(r#"{"type":"subscribe","id":9,"channel":"d"}"#);
    assert_eq!((&refusal["code"], &refusal["id"]), (&json!("rate_limited"), &json!(9)));
    assert!(refusal["message"].as_str().unwrap().contains("1 subscriptions a second"), "{refusal}");
    client.assert_silent();
    let mut publisher = server.publisher();
    assert_eq!((publisher.publish("a", &json!(1)), publisher.publish("d", &json!(1))), (1, 0));
}

#[test]
fn a_dry_run_refuses_nothing() {
    let server = start(Config {
        commands_per_second: 1,
        command_burst: 1,
        subscriptions_per_second: 1,
        subscription_burst: 1,
        per_user: commands(1),
        limits_dry_run: true,
        insecure_identity: true,
        ..config()
    });
    let mut client = server.client();
    client.ask(r#"{"action":"register","userId":"u7"}"#);
    for n in 0..100 {
        client.subscribe(&format!("c{n}"));
    }
    client.assert_silent();
}

#[test]
fn channels_that_everybody_left_are_gone() {
    let server = start(Config {
        commands_per_second: 1_000_000,
        command_burst: 1_000_000,
        subscriptions_per_second: 0,
        ..config()
    });
    let mut client = server.client();
    for batch in 0..50 {
        let names: Vec<_> = (0..100).map(|n| format!("c{batch}-{n}")).collect();
        client.send(&json!({"action": "register", "channels": names}).to_string());
        for name in &names {
            assert_eq!(client.json()["channel"], **name);
        }
        for name in &names {
            client.send(&json!({"type": "unsubscribe", "channel": name}).to_string());
        }
    }
    client.assert_silent();
    assert_eq!(server.server.as_ref().unwrap().channels(), 0);
}
