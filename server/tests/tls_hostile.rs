//! What comes to the port of TLS and is no TLS, or half of it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;
mod tls_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use realtime_server::config::Config;
use serde_json::json;
use support::http::{Http, request};
use support::{TestServer, config, start};
use tls_support::{Files, Secure, VERSIONS, https, raw};
use tungstenite::Message;

/// A server whose handshakes may not take long, and of which there may be few.
fn hurried(files: &Files) -> TestServer {
    let handshake_timeout = Duration::from_millis(300);
    start(files.configure(Config { handshake_timeout, max_handshakes: 4, ..config() }))
}

/// The first message of a client's handshake.
fn hello(files: &Files) -> Vec<u8> {
    let client = Arc::new(files.client(&VERSIONS));
    let mut connection = rustls::ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// What the server says until it hangs up.
fn rest(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well; a timeout is none.
    if let Err(error) = socket.read_to_end(&mut bytes) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server does not hang up");
    }
    bytes
}

#[test]
fn silence_and_halves_end_by_the_deadline_and_give_their_places_back() {
    let files = Files::new();
    let server = hurried(&files);
    let hello = hello(&files);
    let (half, whole) = (&hello[..hello.len() / 2], &hello[..]);
    // Far more than may be in flight at a time.
    let held: Vec<_> = (0..100)
        .map(|n| {
            let mut socket = raw(&server);
            socket.write_all([&b""[..], &hello[..1], &hello[..5], half, whole][n % 5]).unwrap();
            socket
        })
        .collect();
    for (n, socket) in held.into_iter().enumerate() {
        let said = rest(socket);
        assert_eq!(said.is_empty(), n % 5 != 4, "only a whole first message is answered");
    }
    let client = Arc::new(files.client(&VERSIONS));
    Secure::browser(&server, &client).subscribe("c");
}

#[test]
fn a_handshake_without_a_request_ends_by_the_same_deadline() {
    let files = Files::new();
    let server = hurried(&files);
    let client = Arc::new(files.client(&VERSIONS));
    for begun in ["", "GET /health HTTP/1.1\r\nHost: x\r\n"] {
        let mut http = https(&server, &client);
        http.stream.conn.complete_io(&mut http.stream.sock).unwrap();
        http.send_in_vain(begun);
        http.end();
    }
}

#[test]
fn garbage_is_hung_up_on_at_once() {
    let files = Files::new();
    // The default deadline is longer than patience, so it does not help here.
    let server = start(files.configure(Config { handshake_timeout: Duration::from_secs(3600), ..config() }));
    let mut damaged = hello(&files);
    damaged[20..60].fill(0xFF);
    damaged[6] = 0xEE;
    for garbage in
        [&b"\x00\x01\x02\x03"[..], b"hello there\r\n", &[0x16, 3, 1, 0, 0], &[0x15, 3, 1, 0, 2, 1, 0], &damaged]
    {
        let mut socket = raw(&server);
        socket.write_all(garbage).unwrap();
        rest(socket);
    }
    let client = Arc::new(files.client(&VERSIONS));
    Secure::browser(&server, &client).subscribe("c");
}

#[test]
fn plain_http_is_told_what_is_spoken() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let mut http = Http::new(raw(&server));
    let answer = http.ask(request("GET /health", &[]));
    assert_eq!(answer.status, 400);
    assert!(answer.error().1.contains("https://"), "{answer:?}");
    http.end();
}

#[test]
fn a_handshake_byte_by_byte_succeeds() {
    let files = Files::new();
    let server = start(files.configure(config()));
    for version in VERSIONS {
        let client = Arc::new(files.client(&[version]));
        let mut connection = rustls::ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
        let mut socket = raw(&server);
        while connection.is_handshaking() {
            let mut bytes = Vec::new();
            while connection.wants_write() {
                connection.write_tls(&mut bytes).unwrap();
            }
            for byte in bytes {
                socket.write_all(&[byte]).unwrap();
            }
            if connection.is_handshaking() {
                connection.read_tls(&mut socket).unwrap();
                connection.process_new_packets().unwrap();
            }
        }
        let mut http = Http::new(rustls::StreamOwned::new(connection, socket));
        assert_eq!(http.ask(request("GET /health", &[])).status, 200);
    }
}

#[test]
fn a_damaged_record_ends_its_connection_only() {
    let files = Files::new();
    let server = start(files.configure(config()));
    let client = Arc::new(files.client(&VERSIONS));
    let mut bystander = Secure::browser(&server, &client);
    bystander.subscribe("c");
    for damage in [&[0x17, 3, 3, 0, 20][..], &[0x17, 3, 3, 0xFF, 0xFF], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut browser = Secure::browser(&server, &client);
        let stream = browser.socket.get_mut();
        stream.sock.write_all(&[damage, &[0; 64]].concat()).unwrap();
        assert!(browser.socket.read().is_err());
    }
    assert_eq!(server.publisher().publish("c", &json!(1)), 1);
    assert_eq!(bystander.json()["data"], 1);
}

#[test]
fn half_records_count_towards_the_memory_of_all() {
    let files = Files::new();
    let server = start(files.configure(Config { memory_max: 1 << 20, shards: 1, ..config() }));
    let client = Arc::new(files.client(&VERSIONS));
    // They never become whole records.
    let mut most = Secure::browser(&server, &client);
    let hold = |browser: &mut Secure, bytes: usize| {
        let record = [&[0x17, 3, 3, 0x40, 0x00][..], &vec![0; bytes]].concat();
        browser.socket.get_mut().sock.write_all(&record).unwrap();
    };
    hold(&mut most, 16_000);
    let mut others: Vec<_> = (0..120).map(|_| Secure::browser(&server, &client)).collect();
    for other in &mut others {
        hold(other, 10_000);
    }
    assert!(most.socket.read().unwrap().into_text().unwrap().contains("4008"));
    assert!(matches!(most.socket.read(), Ok(Message::Close(Some(frame))) if frame.code == 4008.into()));
}
