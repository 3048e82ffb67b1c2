//! `wss://` and `https://`: what works without TLS works with it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;
mod tls_support;

use std::sync::Arc;
use std::time::Duration;

use realtime_server::config::Config;
use realtime_server::rules::{Overflow, StoreKind, StreamRule};
use serde_json::{Value, json};
use support::http::{request, upgrade};
use support::{Flag, PATIENCE, config, history, rule, start};
use tls_support::{Files, Secure, VERSIONS, connect, ends_cleanly, https};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

#[test]
fn http_works_over_tls() {
    let files = Files::new();
    let server = start(files.configure(config()));
    for version in VERSIONS {
        let client = Arc::new(files.client(&[version]));
        let mut http = https(&server, &client);
        assert_eq!(http.ask(request("GET /health", &[])).status, 200);
        let script = http.ask(request("GET /realtime.js", &[]));
        assert!(script.body.contains("class Realtime"), "the client comes whole");
        let mut plain = server.client();
        plain.subscribe("c");
        let body = r#"{"type":"broadcast_update","channel":"c","data":[1,2]}"#;
        let head = request(
            "POST /broadcast",
            &[&[("Authorization", &server.bearer()), ("Content-Length", &body.len().to_string())]],
        );
        let answer = http.ask(head + body);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(plain.json()["data"], json!([1, 2]));
        assert_eq!(http.stream.conn.protocol_version(), Some(version.version));
    }
}

#[test]
fn a_body_of_many_records_is_read_whole() {
    let files = Files::new();
    let server = start(files.configure(Config { outbox_max: 8 << 20, ..config() }));
    let client = Arc::new(files.client(&VERSIONS));
    let mut browser = Secure::browser(&server, &client);
    browser.subscribe("c");
    let text = "x".repeat(60_000);
    let commands: Vec<_> =
        (0..20).map(|n| json!({"type": "broadcast_update", "channel": "c", "data": [n, text]})).collect();
    let body = json!(commands).to_string();
    let head = request(
        "POST /broadcast",
        &[&[("Authorization", &server.bearer()), ("Content-Length", &body.len().to_string())]],
    );
    assert_eq!(https(&server, &client).ask(head + &body).status, 200);
    for n in 0..20 {
        assert!(browser.json()["data"] == json!([n, text]), "{n}");
    }
}

#[test]
fn browsers_and_publishers_talk_over_tls() {
    let files = Files::new();
    let server = start(files.configure(config()));
    for version in VERSIONS {
        let client = Arc::new(files.client(&[version]));
        let mut browsers: Vec<_> = (0..4).map(|_| Secure::browser(&server, &client)).collect();
        for browser in &mut browsers {
            browser.subscribe("c");
        }
        let mut publisher = Secure::publisher(&server, &client);
        for length in [1, 100, 16_000, 16_384, 20_000, 60_000] {
            let data = "é".repeat(length / 2);
            let ack = publisher.ask(&json!({"type": "broadcast_update", "id": 1, "channel": "c", "data": data}));
            assert_eq!(ack["receivers"], 4, "{ack}");
            for browser in &mut browsers {
                assert_eq!(browser.json()["data"], data);
            }
        }
    }
}

#[test]
fn a_frame_of_megabytes_crosses_records_and_buffers() {
    let files = Files::new();
    let server = start(files.configure(Config { outbox_max: 8 << 20, ..config() }));
    let client = Arc::new(files.client(&VERSIONS));
    let mut browser = Secure::browser(&server, &client);
    browser.subscribe("c");
    let mut publisher = Secure::publisher(&server, &client);
    let text = "y".repeat(30_000);
    let commands: Vec<_> =
        (0..100).map(|n| json!({"type": "broadcast_update", "id": n, "channel": "c", "data": [n, text]})).collect();
    publisher.send(json!(commands).to_string());
    for n in 0..100 {
        assert!(browser.json()["data"] == json!([n, text]), "{n}");
    }
}

#[test]
fn a_message_in_many_small_records_is_put_together() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&VERSIONS));
    let mut browser = Secure::browser(&server, &client);
    let frame = support::frame::text(r#"{"type":"subscribe","channel":"slowly"}"#);
    for byte in frame {
        std::io::Write::write_all(browser.socket.get_mut(), &[byte]).unwrap();
    }
    assert_eq!(browser.json()["channel"], "slowly");
}

/// A reader that stops until so much was published that nothing more fits anywhere.
fn stopped_reader(overflow: Option<Overflow>, check: impl Fn(Vec<Value>)) {
    let files = Files::new();
    let stream = StreamRule::new(overflow, None, None);
    let stream = if overflow.is_none() { history(5_000, StoreKind::Memory) } else { stream };
    let server = start(files.configure(Config {
        channels: vec![rule("c", stream)],
        outbox_max: 80 << 10,
        send_buffer: 8 << 10,
        // On a busy machine it stops for longer than who is silent, or takes nothing, may.
        ping_interval: Duration::from_secs(3600),
        write_timeout: Duration::from_secs(3600),
        ..config()
    }));
    for version in VERSIONS {
        let client = Arc::new(files.client(&[version]));
        let mut browser = Secure::browser(&server, &client);
        browser.subscribe("c");
        let mut publisher = server.publisher();
        let filling = "x".repeat(7_000);
        for n in 0..1_500 {
            publisher.publish("c", &json!([n, filling]));
        }
        let mut messages = Vec::new();
        let is_last = |message: &Value| message["data"][0] == 1_499;
        loop {
            let message = browser.json();
            let ends = is_last(&message);
            messages.push(message);
            if ends {
                break;
            }
        }
        check(messages);
        browser.subscribe("other");
    }
}

#[test]
fn a_stopped_reader_with_a_history_gets_everything_over_tls() {
    stopped_reader(None, |messages| {
        let numbers: Vec<_> = messages.iter().filter_map(|message| message["data"][0].as_u64()).collect();
        assert_eq!(numbers, (0..1_500).collect::<Vec<_>>());
    });
}

#[test]
fn a_stopped_reader_loses_whole_messages_only() {
    for overflow in [Overflow::DropOldest, Overflow::Latest] {
        stopped_reader(Some(overflow), |messages| {
            let numbers: Vec<_> = messages.iter().filter_map(|message| message["data"][0].as_u64()).collect();
            assert!(numbers.is_sorted() && numbers.len() < 1_500, "{overflow:?}: {numbers:?}");
            if overflow == Overflow::DropOldest {
                let missed: u64 = messages.iter().filter_map(|message| message["count"].as_u64()).sum();
                assert_eq!(missed + numbers.len() as u64, 1_500);
            }
        });
    }
}

#[test]
fn a_message_that_begins_with_the_last_byte_of_a_record_stays_whole() {
    /// Most that a record holds.
    const RECORD: usize = 1 << 14;
    let files = Files::new();
    let server = start(files.configure(Config { shards: 1, send_buffer: 4 << 10, ..config() }));
    let client = Arc::new(files.client(&VERSIONS));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.server.as_ref().unwrap().tls_address().unwrap().into()).unwrap();
    let mut browser = Secure::browser_over(socket.into(), &server, &client);
    browser.subscribe("c");
    let mut witness = server.client();
    witness.subscribe("c");
    let mut publisher = server.publisher();
    publisher.publish("c", &json!(""));
    let empty = witness.text().len();
    assert_eq!(browser.json()["data"], "");
    // All but one byte of a record is the first frame, with its four bytes of length.
    let filling = "x".repeat(RECORD - 1 - 4 - empty);
    let publish = |data: &str| json!({"type": "broadcast_update", "channel": "c", "data": data});
    publisher.send(&json!([publish(&filling), publish("next")]).to_string());
    assert_eq!((witness.json()["data"].clone(), witness.json()["data"].clone()), (json!(filling), json!("next")));
    // What is not on its way yet is dropped before the last word.
    browser.socket.send(Message::binary(vec![1])).unwrap();
    let mut seen = Vec::new();
    let code = loop {
        match browser.socket.read().unwrap() {
            Message::Text(text) => seen.push(serde_json::from_str::<Value>(&text).unwrap()["data"].clone()),
            Message::Close(close) => break close.map(|close| u16::from(close.code)),
            other => panic!("expected text or the end, got {other:?}"),
        }
    };
    assert_eq!((seen, code), (vec![json!(filling), json!("next")], Some(1003)));
}

#[test]
fn new_keys_in_mid_stream_are_taken_over() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&[&rustls::version::TLS13]));
    let mut browser = Secure::browser(&server, &client);
    browser.subscribe("c");
    let mut publisher = server.publisher();
    for n in 0..20 {
        browser.tls().refresh_traffic_keys().unwrap();
        browser.flush_tls();
        assert_eq!(publisher.publish("c", &json!(n)), 1);
        assert_eq!(browser.json()["data"], n);
        assert_eq!(browser.ask(&json!({"type": "ping", "id": n}))["type"], "pong");
    }
}

#[test]
fn who_asks_for_new_keys_all_the_time_is_dropped() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&[&rustls::version::TLS13]));
    let mut browser = Secure::browser(&server, &client);
    // A write fails when the other end has hung up.
    let hung_up = (0..10_000).any(|_| {
        browser.tls().refresh_traffic_keys().unwrap();
        let stream = browser.socket.get_mut();
        stream.conn.write_tls(&mut stream.sock).is_err()
    });
    assert!(hung_up || browser.socket.read().is_err());
}

#[test]
fn a_connection_ends_with_close_notify() {
    let files = Files::new();
    let server = start(files.configure(config()));
    for version in VERSIONS {
        let client = Arc::new(files.client(&[version]));
        let mut browser = Secure::browser(&server, &client);
        browser.socket.close(None).unwrap();
        assert!(matches!(browser.socket.read(), Ok(Message::Close(_))));
        assert!(ends_cleanly(browser.socket.get_mut()), "after a WebSocket");

        let mut http = https(&server, &client);
        assert_eq!(http.ask(request("GET /health", &[&[("Connection", "close")]])).status, 200);
        assert!(ends_cleanly(&mut http.stream), "after a request");
    }
}

#[test]
fn who_leaves_with_or_without_a_word_is_forgotten() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&VERSIONS));
    let mut publisher = server.publisher();
    for says_goodbye in [true, false] {
        let mut browser = Secure::browser(&server, &client);
        browser.subscribe("c");
        assert_eq!(publisher.publish("c", &json!(1)), 1);
        if says_goodbye {
            browser.tls().send_close_notify();
            browser.flush_tls();
            // The server hangs up too, so this ends.
            while browser.socket.read().is_ok() {}
        }
        drop(browser);
        let until = std::time::Instant::now() + PATIENCE;
        while publisher.publish("c", &json!(1)) > 0 {
            assert!(std::time::Instant::now() < until, "it still counts as a receiver");
        }
    }
}

#[test]
fn who_comes_back_is_known_by_a_ticket() {
    let files = Files::new();
    let server = start(files.configure(config()));
    for version in VERSIONS {
        let client = Arc::new(files.client(&[version]));
        let mut kinds = (0..2).map(|_| {
            let mut http = https(&server, &client);
            assert_eq!(http.ask(request("GET /health", &[])).status, 200);
            http.stream.conn.handshake_kind().unwrap()
        });
        assert_eq!(kinds.next(), Some(rustls::HandshakeKind::Full));
        assert_eq!(kinds.next(), Some(rustls::HandshakeKind::Resumed));
    }
}

#[test]
fn only_http_1_1_is_agreed_on() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let mut client = files.client(&VERSIONS);
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut http = https(&server, &Arc::new(client));
    assert_eq!(http.ask(request("GET /health", &[])).status, 200);
    assert_eq!(http.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));

    let mut client = files.client(&VERSIONS);
    client.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = connect(&server, &Arc::new(client));
    let refused = stream.conn.complete_io(&mut stream.sock).unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn a_browser_that_is_one_too_many_is_told_so_over_tls() {
    let files = Files::new();
    let server = start(files.configure(Config { max_connections: 1, ..config() }));
    let client = Arc::new(files.client(&VERSIONS));
    let _first = Secure::browser(&server, &client);
    let (mut second, _) = tungstenite::client(server.request("/"), connect(&server, &client)).unwrap();
    assert!(matches!(second.read(), Ok(Message::Text(text)) if text.contains("disconnect")));
    assert!(matches!(second.read(), Ok(Message::Close(Some(frame))) if frame.code == CloseCode::from(4009)));
    assert!(ends_cleanly(second.get_mut()));
}

#[test]
fn a_stop_says_goodbye_to_browsers_and_answers_who_has_begun() {
    let files = Files::new();
    let mut server = start(files.configure(config()));
    let client = Arc::new(files.client(&VERSIONS));
    let mut browser = Secure::browser(&server, &client);
    let mut idle = https(&server, &client);
    assert!(idle.stays());
    let mut begun = https(&server, &client);
    begun.send("GET /health/live HTTP/1.1\r\nHost: localhost\r\n");
    server.begin_stop();
    let closed = loop {
        match browser.socket.read().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            other => assert!(other.into_text().unwrap().contains("disconnect")),
        }
    };
    assert_eq!(u16::from(closed.code), 4012);
    assert!(ends_cleanly(&mut idle.stream), "an idle connection does not hold up the stop");
    assert_eq!(begun.ask("\r\n").status, 200);
    // The close is answered by the next read.
    let _ = browser.socket.read();
    server.stop();
}

#[test]
fn an_upgrade_over_tls_may_carry_the_first_frames_along() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&VERSIONS));
    let mut http = https(&server, &client);
    let frames = [
        support::frame::text(r#"{"type":"subscribe","channel":"a"}"#),
        support::frame::text(r#"{"type":"subscribe","channel":"b"}"#),
    ]
    .concat();
    http.send([upgrade("/", &[]).into_bytes(), frames].concat());
    assert_eq!(http.answer().unwrap().status, 101);
    let mut socket =
        tungstenite::WebSocket::from_partially_read(http.stream, http.rest, tungstenite::protocol::Role::Client, None);
    for expected in ["welcome", "\"channel\":\"a\"", "\"channel\":\"b\""] {
        let text = socket.read().unwrap().into_text().unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn many_browsers_and_publishers_at_once() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&VERSIONS));
    let done = Flag::default();
    std::thread::scope(|scope| {
        for at in 0..2 {
            let (server, client, done) = (&server, &client, &done);
            // Connections come and go meanwhile.
            scope.spawn(move || {
                while !done.is_up() {
                    Secure::browser(server, client).subscribe(&format!("other.{at}"));
                }
            });
        }
        let mut browsers: Vec<_> = (0..20).map(|_| Secure::browser(&server, &client)).collect();
        for browser in &mut browsers {
            browser.subscribe("c");
        }
        let mut publishers: Vec<_> = (0..2).map(|_| Secure::publisher(&server, &client)).collect();
        for n in 0..200 {
            for publisher in &mut publishers {
                publisher.send(json!({"type": "broadcast_update", "channel": "c", "data": n}).to_string());
            }
        }
        for browser in &mut browsers {
            let got: Vec<_> = (0..400).map(|_| browser.json()["data"].as_u64().unwrap()).collect();
            assert_eq!(got.iter().sum::<u64>(), 2 * (0..200).sum::<u64>());
        }
        done.raise();
    });
}
