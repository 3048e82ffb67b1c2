//! Attempts to wear the server out: by heads without end, by slowness, by depth, by number. `SECURITY.md` names these tests.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use realtime_server::config::Config;
use serde_json::{Value, json};
use support::frame::text;
use support::http::{request, upgrade};
use support::{Client, PATIENCE, Scene, config, start};

const MIB: usize = 1 << 20;

/// Sends `head`, then `more` again and again, at most so many bytes, until the server hangs up; how many went out.
fn pour(stream: &mut TcpStream, head: &str, more: &str, most: usize) -> usize {
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(head.as_bytes());
    let (block, mut sent) = (more.repeat(65_536 / more.len()), 0);
    while sent < most {
        match stream.write(block.as_bytes()) {
            Ok(n) => sent += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("after {sent} bytes the server neither reads nor hangs up")
            }
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn heads_without_end_are_cut_off_long_before_they_cost_anything() {
    let mut scene = Scene::default();
    for (what, head, more) in [
        ("headers", "GET / HTTP/1.1\r\nHost: x\r\n", "X-Header: abcdefghijklmnopqrstuvwxyz\r\n"),
        ("a header", "GET / HTTP/1.1\r\nX: ", "x"),
        ("a header's name", "GET / HTTP/1.1\r\n", "x"),
        ("a path", "GET /", "x"),
        ("a method", "", "X"),
        ("line ends", "", "\r\n"),
        ("a header of an upgrade", &upgrade("/", &[]).replace("\r\n\r\n", "\r\nCookie: "), "x"),
    ] {
        let mut stream = scene.server.socket();
        let sent = pour(&mut stream, head, more, 50 * MIB);
        // What the kernel's buffers hold on both sides is not the server's.
        assert!(sent < 16 * MIB, "{what}: {sent} bytes were taken");
        scene.nobody_else_notices();
    }
    // One line of a megabyte, all at once.
    let mut http = scene.server.plain();
    http.send_in_vain(format!("GET /health/live HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MIB)));
    assert!(http.answer().is_none_or(|answer| answer.status == 431));
    let mut body = scene.server.plain();
    let auth = [("Authorization", &*scene.server.bearer()), ("Transfer-Encoding", "chunked")];
    let sent = pour(&mut body.stream, &request("POST /broadcast", &[&auth]), "10\r\n0123456789abcdef\r\n", 50 * MIB);
    assert!(sent < 32 * MIB, "a body: {sent} bytes were taken");
    scene.nobody_else_notices();
}

#[test]
fn who_sends_a_byte_now_and_then_is_hung_up_on_and_the_others_connect_meanwhile() {
    let mut scene = Scene::new(Config { handshake_timeout: Duration::from_secs(1), ..config() });
    let auth = [("Authorization", &*scene.server.bearer()), ("Content-Length", "100000")];
    let post = request("POST /broadcast", &[&auth]);
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = Vec::new();
    for start in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\nX: ", &upgrade("/", &[]).replace("\r\n\r\n", "\r\nX: "), &post]
    {
        for _ in 0..20 {
            let mut stream = scene.server.socket();
            stream.write_all(start.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            slow.push(stream);
        }
    }
    while !slow.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{} are still there", slow.len());
        slow.retain_mut(|stream| {
            let mut answer = [0; 1000];
            let is_open = match stream.read(&mut answer) {
                Ok(n) => n > 0,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            is_open && stream.write_all(b"x").is_ok()
        });
        // The pace is that of somebody who comes and asks.
        scene.server.client().assert_silent();
        scene.nobody_else_notices();
    }
}

#[test]
fn depth_costs_nothing_wherever_it_is() {
    const LEVELS: usize = 100_000;
    let mut scene = Scene::new(Config { max_message: MIB, max_publication: MIB, outbox_max: 4 * MIB, ..config() });
    let mut client = scene.server.client();
    let mut publisher = scene.server.publisher();
    for bracket in ["[", "{\"a\":", "[[],", "[{\"a\":"] {
        let deep = bracket.repeat(LEVELS);
        let inside = |field: &str| format!("{{\"type\":\"broadcast_update\",\"id\":1,\"channel\":\"c\",{field}{deep}");
        let whole = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
        let closed = format!("{{\"type\":\"broadcast_update\",\"id\":1,\"channel\":\"c\",\"data\":{whole}}}");
        for text in [deep.clone(), inside("\"data\":"), inside("\"x\":"), closed.clone(), whole.clone()] {
            assert_eq!(client.ask(&text)["type"], "error");
            assert_ne!(scene.server.post(&text).0, 0, "it is answered");
        }
        for text in [deep.clone(), inside("\"data\":"), closed] {
            let reply = publisher.ask(&text);
            assert_eq!(reply["type"], "error", "{reply}");
            assert_eq!(scene.server.post(&text).0, 400);
        }
        publisher.send(&whole);
        publisher.json();
        scene.nobody_else_notices();
    }
}

#[test]
fn commands_with_odd_json_are_understood_as_they_stand_or_refused() {
    let mut scene = Scene::default();
    let mut client = scene.server.client();
    for (command, code) in [
        (r#"{"type":"subscribe","channel":"\ud800"}"#, "bad_request"),
        (r#"{"type":"subscribe","channel":"\udc00\ud800"}"#, "bad_request"),
        (r#"{"type":"\ud800"}"#, "bad_request"),
        (r#"{"type":"subscribe","channel":"a\u0000b"}"#, "invalid_name"),
        (r#"{"type":"subscribe","channel":"\u001b[2J"}"#, "invalid_name"),
        (r#"{"type":"subscribe","channel":"a\r\nINFO forged"}"#, "invalid_name"),
        (r#"{"type":"ping","type":"subscribe","channel":"a"}"#, "bad_request"),
        (r#"{"type":"subscribe","channel":"a","channel":"private-b"}"#, "bad_request"),
        (r#"{"type":"history","channel":"a","limit":1e999}"#, "bad_request"),
        (r#"{"type":"history","channel":"a","limit":-1}"#, "bad_request"),
        (r#"{"type":"history","channel":"a","limit":99999999999999999999}"#, "bad_request"),
        (r#"{"type":"subscribe","channel":"a","since":{"epoch":"e","offset":1e999}}"#, "bad_request"),
        (r#"{"type":"subscribe","channel":"a","since":{"epoch":"e","offset":-1}}"#, "bad_request"),
        (r#"{"type":"subscribe","channel":"a","since":{"epoch":"e","offset":1,"offset":2}}"#, "bad_request"),
    ] {
        let reply = client.ask(command);
        assert_eq!((&reply["type"], &reply["code"]), (&json!("error"), &json!(code)), "{command}: {reply}");
    }
    // A number that no machine holds is an id like any other: it comes back as it was.
    client.send(r#"{"type":"ping","id":1e999}"#);
    assert_eq!(client.text(), r#"{"type":"pong","id":1e999}"#);
    client.assert_silent();
    scene.nobody_else_notices();
}

#[test]
fn a_hundred_thousand_subscriptions_at_once_are_refused_cheaply() {
    let mut scene = Scene::default();
    let mut flooder = scene.server.client();
    let many: Vec<u8> = (0..100_000)
        .flat_map(|n| text(&json!({"type": "subscribe", "channel": format!("flood-{n}")}).to_string()))
        .collect();
    flooder.stream_mut().set_nonblocking(true).unwrap();
    let (mut at, mut heard) = (0, vec![0; 65_536]);
    let begun = Instant::now();
    while at < many.len() {
        assert!(begun.elapsed() < PATIENCE, "it is still read after {at} bytes");
        match flooder.stream_mut().write(&many[at..]) {
            Ok(n) => at += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        match flooder.stream_mut().read(&mut heard) {
            Ok(0) => break,
            Err(error) if error.kind() != ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
    // It was closed after its burst and as many errors, and nothing of it is left.
    scene.nobody_else_notices();
    let mut publisher = scene.server.publisher();
    let listed = |publisher: &mut Client| publisher.ask(r#"{"type":"channels","prefix":"flood-"}"#)["channels"].clone();
    while listed(&mut publisher) != json!([]) {
        assert!(begun.elapsed() < PATIENCE, "its subscriptions stay");
    }
}

#[test]
fn names_that_are_never_the_same_leave_nothing_behind() {
    let server = start(Config {
        commands_per_second: 1_000_000,
        command_burst: 1_000_000,
        subscriptions_per_second: 0,
        ..config()
    });
    let mut client = server.client();
    for n in 0..20_000 {
        let name = format!("{n}-{}", "x".repeat(n % 190));
        client.send(&json!({"type": "subscribe", "channel": name}).to_string());
        client.send(&json!({"type": "unsubscribe", "channel": name}).to_string());
        assert_eq!(client.json()["type"], "subscribed");
    }
    client.assert_silent();
    assert_eq!(server.server.as_ref().unwrap().channels(), 0);
    // Those whose names are none are not even there for a moment.
    for bad in ["", "\n", &"x".repeat(201)] {
        assert_eq!(client.ask(&json!({"type": "subscribe", "channel": bad}).to_string())["code"], "invalid_name");
    }
    assert_eq!(server.server.as_ref().unwrap().channels(), 0);
}

#[test]
fn what_a_peer_says_comes_back_bounded() {
    let mut scene = Scene::new(Config { max_message: MIB, ..config() });
    let mut client = scene.server.client();
    let long = "é\u{1b}".repeat(100_000);
    for command in [
        json!({"type": long}),
        json!({"type": "subscribe", "channel": long}),
        json!({"type": "subscribe", "channel": "c", "mode": long}),
        json!({"type": "subscribe", "channel": "c", "since": {"epoch": long, "offset": 1}}),
        json!({"action": "register", "userId": long}),
    ] {
        let reply: Value = client.ask(&command.to_string());
        assert!(reply.to_string().len() < 2_000, "{} bytes", reply.to_string().len());
    }
    let answer = scene.server.plain().ask(upgrade("/", &[("Origin", &format!("https://{}", "x".repeat(10_000)))]));
    assert!(answer.status == 403 && answer.body.len() < 2_000, "{}", answer.body.len());
    scene.nobody_else_notices();
}
