//! Connections come and go, and the server does.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use realtime_server::config::{Config, UnixSocket};
use serde_json::json;
use support::frame::{CLOSE, FIN, PING, frame, frames, text, unmasked};
use support::http::{request, upgrade};
use support::{Client, TestServer, config, start};
use tungstenite::Message;

const MS: Duration = Duration::from_millis(1);

fn quick() -> Config {
    Config { ping_interval: 200 * MS, ..config() }
}

#[test]
fn an_idle_client_is_pinged_and_stays_as_long_as_it_answers() {
    let server = start(quick());
    let mut client = server.client();
    client.subscribe("c");
    for _ in 0..5 {
        assert!(matches!(client.message(), Message::Ping(_)));
    }
    assert_eq!(server.publisher().publish("c", &json!(1)), 1);
}

#[test]
fn whoever_stays_silent_is_dropped_and_out_of_every_channel() {
    let server = start(Config { pong_timeout: 200 * MS, ..quick() });
    // By hand, since a library would answer a ping that comes in between.
    let mut socket = server.socket();
    socket.write_all(upgrade("/", &[]).as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    for channel in ["a", "b"] {
        socket.write_all(&text(&json!({"type": "subscribe", "channel": channel}).to_string())).unwrap();
    }
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).unwrap();
    let mut frames = frames(&heard);
    assert_eq!(frames.pop(), Some((FIN | PING, Vec::new())), "after it, not even a close frame");
    frames.retain(|(first, _)| *first != FIN | PING);
    let types: Vec<_> = frames
        .iter()
        .map(|(_, text)| serde_json::from_slice::<serde_json::Value>(text).unwrap()["type"].clone())
        .collect();
    assert_eq!(types, ["welcome", "subscribed", "subscribed"]);
    let mut publisher = server.publisher();
    assert_eq!(publisher.publish("a", &json!(1)) + publisher.publish("b", &json!(1)), 0);
    assert_eq!(server.server.as_ref().unwrap().channels(), 0);
}

#[test]
fn a_peer_that_takes_nothing_any_more_is_dropped_though_frames_wait_for_it() {
    let server = start(Config { pong_timeout: 200 * MS, outbox_max: 64 << 20, ..quick() });
    let mut client = server.client();
    client.subscribe("c");
    let mut publisher = server.publisher();
    let data = json!("x".repeat(60_000));
    // More than the kernel takes and less than the outbox may hold; a pong cannot come.
    for _ in 0..200 {
        publisher.publish("c", &data);
    }
    while publisher.publish("c", &json!(1)) != 0 {}
    assert_eq!(server.server.as_ref().unwrap().channels(), 0);
}

#[test]
fn publishers_are_neither_pinged_nor_dropped() {
    let server = start(Config { pong_timeout: 200 * MS, ..quick() });
    let mut publisher = server.publisher();
    for _ in 0..2 {
        // As long as it takes to drop a silent client.
        server.client().stream_mut().read_to_end(&mut Vec::new()).unwrap();
    }
    publisher.send(r#"{"type":"ping"}"#);
    assert_eq!(publisher.message(), Message::text(r#"{"type":"pong"}"#), "nothing came before");
}

/// One way for a connection to end.
fn leave(client: Client, way: usize) {
    let stream = client.stream().try_clone().unwrap();
    match way {
        0 => drop(client),
        // Not read to the end, so that the kernel sends a reset.
        1 => (&stream).write_all(&text(r#"{"type":"ping"}"#)).unwrap(),
        2 => (&stream).write_all(&frame(FIN | CLOSE, &1001u16.to_be_bytes())).unwrap(),
        3 => (&stream).write_all(&unmasked(FIN | PING, b"")).unwrap(),
        4 => stream.shutdown(Shutdown::Write).unwrap(),
        _ => (&stream).write_all(&text(r#"{"type":"pi"#)[..7]).unwrap(),
    }
}

#[test]
fn connections_that_went_leave_nothing_behind() {
    let server = start(Config { commands_per_second: 1_000_000, command_burst: 1_000_000, ..config() });
    let running = server.server.as_ref().unwrap();
    let mut stays = server.client();
    stays.subscribe("shared");
    let mut publisher = server.publisher();
    for round in 0..20 {
        let clients: Vec<_> = (0..60)
            .map(|n| {
                let mut client = server.client();
                client.send(&json!({"action": "register", "channels": ["shared", format!("own-{n}")]}).to_string());
                assert_eq!(client.json()["type"], "subscribed");
                assert_eq!(client.json()["type"], "subscribed");
                client
            })
            .collect();
        assert_eq!(publisher.publish("shared", &json!(round)), 61);
        for (n, client) in clients.into_iter().enumerate() {
            leave(client, n % 6);
        }
        while publisher.publish("shared", &json!("gone?")) != 1 {}
    }
    assert_eq!(running.channels(), 1);
    // Leaving its channels is the last but one thing that a connection does.
    while running.connections() != 2 {}
}

#[test]
fn half_a_hangup_with_frames_waiting_leaves_nothing_behind() {
    let server = start(Config { outbox_max: 64 << 20, ..config() });
    let mut client = server.client();
    client.subscribe("c");
    let mut publisher = server.publisher();
    let data = json!("x".repeat(60_000));
    for _ in 0..200 {
        publisher.publish("c", &data);
    }
    // It says that it will say no more, keeps the socket and never reads what waits for it.
    client.stream().shutdown(Shutdown::Write).unwrap();
    while server.server.as_ref().unwrap().connections() != 1 {}
    assert_eq!(publisher.publish("c", &data), 0);
}

#[test]
fn a_publisher_that_never_reads_its_replies_is_held_back_and_harms_nobody() {
    let server = TestServer::default();
    let mut held = server.publisher();
    let mut client = server.client();
    client.subscribe("c");
    let mut publisher = server.publisher();
    // What the kernel holds and one turn of reading: far less than is sent here without anybody reading.
    held.stream().set_nonblocking(true).unwrap();
    let ping = text(&format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(60)));
    let (mut sent, mut at) = (0, 0);
    let mut refusals = 0;
    while refusals < 100 {
        match held.stream_mut().write(&ping[at..]) {
            Ok(n) => {
                at = (at + n) % ping.len();
                sent += usize::from(at == 0);
                refusals = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refusals += 1;
                assert_eq!(publisher.publish("c", &json!(sent)), 1, "the others go on");
                assert_eq!(client.json()["data"], sent);
            }
        }
        assert!(sent < 1_000_000, "it is read without end");
    }
    held.stream().set_nonblocking(false).unwrap();
    let mut rest = held.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        if at > 0 {
            sent += 1;
            scope.spawn(|| rest.write_all(&ping[at..]).unwrap());
        }
        for _ in 0..sent {
            assert_eq!(held.json()["type"], "pong");
        }
    });
}

#[test]
fn a_stop_tells_everybody_and_frees_the_port_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("rt.sock");
    let config = Config { unix_socket: UnixSocket::Path(socket.clone()), ..config() };
    let mut server = start(config.clone());
    let mut clients: Vec<_> = (0..10).map(|_| server.client()).collect();
    let mut publisher = server.publisher();
    server.begin_stop();
    let mut afters = Vec::new();
    for client in &mut clients {
        let (texts, close) = client.closed();
        let [said] = &texts[..] else { panic!("{texts:?}") };
        assert_eq!((&said["type"], &said["code"]), (&json!("disconnect"), &json!(4012)));
        assert_eq!(said["reconnect"], true);
        afters.push(said["after"].as_u64().unwrap());
        assert_eq!(close.map(|close| u16::from(close.code)), Some(4012));
    }
    afters.sort_unstable();
    afters.dedup();
    assert!(afters.len() > 2 && afters.iter().all(|&after| after < 10_000), "come back spread: {afters:?}");
    let (texts, close) = publisher.closed();
    assert_eq!((texts, close.map(|close| u16::from(close.code))), (Vec::new(), Some(4012)));
    drop((clients, publisher));
    server.stop();
    assert!(!socket.exists());
    TcpListener::bind(server.address).unwrap();
    let again = start(Config { listen: server.address, ..config });
    assert_eq!(again.address, server.address);
    again.client().subscribe("c");
}

#[test]
fn a_stop_does_not_wait_for_those_who_never_answer() {
    let mut server = start(Config { outbox_max: 64 << 20, ..config() });
    let _idle: Vec<TcpStream> = (0..5).map(|_| server.socket()).collect();
    let mut half = server.plain();
    half.send("GET / HTTP/1.1\r\nHos");
    let mut deaf = server.client();
    deaf.subscribe("c");
    let mut publisher = server.publisher();
    for _ in 0..200 {
        publisher.publish("c", &json!("x".repeat(60_000)));
    }
    server.stop();
}

#[test]
fn while_it_stops_it_is_not_ready_and_takes_nobody_but_ends_what_is_begun() {
    let server = TestServer::default();
    let ready = request("GET /health/ready", &[]);
    let post = format!(
        "POST /broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 15\r\n\r\n{{\"type\":\"ping\"}}",
        server.bearer()
    );
    let upgrade = upgrade("/", &[]);
    let mut begun: Vec<_> = [(&ready, 503), (&post, 200), (&upgrade, 503)]
        .map(|(whole, status)| {
            let mut http = server.plain();
            let (first, rest) = whole.split_at(whole.len() / 2);
            http.send(first);
            (http, rest, status)
        })
        .into();
    // Sockets are accepted in their order, so those above are.
    let mut idle = server.plain();
    assert!(idle.stays());
    let mut server = server;
    server.begin_stop();
    assert!(idle.answer().is_none(), "who asks for nothing is hung up on");
    for (http, rest, status) in &mut begun {
        let answer = http.ask(*rest);
        assert_eq!(answer.status, *status, "{answer:?}");
        assert!(http.answer().is_none(), "one answer, then the end");
    }
    server.stop();
}
