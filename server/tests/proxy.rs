//! Behind a proxy that speaks the PROXY protocol.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;
mod tls_support;

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use realtime_server::config::Config;
use serde_json::Value;
use support::frame::text;
use support::http::{Http, request, upgrade};
use support::{Scene, TestServer, config, start};
use tls_support::{Files, VERSIONS, raw, secured};
use tungstenite::WebSocket;

/// A server whose only proxy is this machine.
fn behind(other: Config) -> TestServer {
    start(trusting("127.0.0.1/32", other))
}

fn trusting(network: &str, other: Config) -> Config {
    Config { proxy_protocol: true, trusted_proxies: vec![network.parse().unwrap()], ..other }
}

fn v1(source: &str) -> Vec<u8> {
    let (family, here) = if source.contains(':') { ("TCP6", "::1") } else { ("TCP4", "10.0.0.5") };
    format!("PROXY {family} {source} {here} 56324 8080\r\n").into_bytes()
}

/// A header of version 2 with this command and family.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &length, rest].concat()
}

fn v2_from(source: [u8; 4]) -> Vec<u8> {
    v2(1, 0x11, &[&source[..], &[10, 0, 0, 5, 0xDC, 4, 0x1F, 0x90]].concat())
}

const LIVE: &str = "GET /health/live";

/// What is answered to a request behind this header; `None`: nothing.
fn ask(server: &TestServer, header: &[u8], request: &str) -> Option<u16> {
    let mut http = server.plain();
    http.send_in_vain([header, request.as_bytes()].concat());
    http.answer().map(|answer| answer.status)
}

#[test]
fn both_versions_are_read_and_what_follows_is_as_without() {
    let server = behind(config());
    let live = request(LIVE, &[]);
    let with_extras = v2(1, 0x11, &[&[192, 0, 2, 1, 10, 0, 0, 5, 1, 2, 3, 4][..], &[4; 500]].concat());
    for header in
        [v1("192.0.2.1"), v1("2001:db8::1"), b"PROXY UNKNOWN\r\n".to_vec(), v2_from([192, 0, 2, 1]), with_extras]
    {
        assert_eq!(ask(&server, &header, &live), Some(200), "{header:?}");
        let mut client = server.plain();
        client.send([&header, upgrade("/", &[]).as_bytes(), &text(r#"{"type":"ping"}"#)].concat());
        assert_eq!(client.answer().unwrap().status, 101);
        let auth = [("Authorization", &*server.bearer())];
        assert_eq!(ask(&server, &header, &upgrade("/publisher", &auth)), Some(101));
    }
    // Byte by byte, each in a segment of its own.
    let mut http = server.plain();
    for byte in [v1("192.0.2.1"), live.clone().into_bytes()].concat() {
        http.send([byte]);
    }
    assert_eq!(http.answer().unwrap().status, 200);
    assert!(http.stays(), "the header comes once, not before each request");
}

#[test]
fn a_proxy_that_looks_whether_the_server_is_well_is_answered() {
    let server = behind(Config { max_connections_per_address: 1, ..config() });
    let local = v2(0, 0, &[]);
    assert_eq!(ask(&server, &local, &request("GET /health/ready", &[])), Some(200));
    let mut held: Vec<Http<_>> = (0..3).map(|_| server.plain()).collect();
    for http in &mut held {
        http.send([&local, upgrade("/", &[]).as_bytes()].concat());
        assert_eq!(http.answer().unwrap().status, 101);
    }
    assert_eq!(server.server.as_ref().unwrap().connections(), 3, "the proxy itself has no limit of its own");
}

// docs: under `proxy_protocol`: a connection from elsewhere than `trusted_proxies`
#[test]
fn whatever_is_no_header_is_hung_up_on() {
    let mut scene = Scene::new(config());
    let server = behind(Config { handshake_timeout: Duration::from_millis(300), ..config() });
    let live = request(LIVE, &[]);
    for header in [
        &b""[..],
        b"PROXY TCP4 192.0.2.1 10.0.0.5 56324\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.5 56324 99999\r\n",
        b"PROXY NONSENSE\r\n",
        b"proxy TCP4 192.0.2.1 10.0.0.5 56324 8080\r\n",
        &[&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
        &v2(1, 0x11, &[1, 2, 3]),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03",
        &[0xFF; 5000],
    ] {
        assert_eq!(ask(&server, header, &live), None, "{:?}", String::from_utf8_lossy(header));
    }
    // Half of one, for as long as it may take; and one that ends.
    for half in [&v1("192.0.2.1")[..20], &v2_from([192, 0, 2, 1])[..20], b"P", b""] {
        let mut http = server.plain();
        http.send(half);
        http.end();
        assert!(http.rest.is_empty());
        let mut http = server.plain();
        http.send(half);
        http.stream.shutdown(Shutdown::Write).unwrap();
        http.end();
    }
    let mut drip = server.plain();
    let header = [b"PROXY UNKNOWN ", &[b'x'; 90][..]].concat();
    for byte in header.iter().cycle() {
        if drip.stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    assert_eq!(ask(&server, &v1("192.0.2.1"), &live), Some(200));
    scene.nobody_else_notices();
}

#[test]
fn strangers_may_not_say_who_they_are() {
    let server = start(trusting("10.0.0.0/8", config()));
    for header in [v1("192.0.2.1"), v2_from([192, 0, 2, 1]), v2(0, 0, &[]), Vec::new()] {
        assert_eq!(ask(&server, &header, &request(LIVE, &[])), None);
    }
}

#[test]
fn without_the_setting_a_header_is_garbage() {
    let server = start(Config { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..config() });
    assert_ne!(ask(&server, &v1("192.0.2.1"), &request(LIVE, &[])), Some(200));
    assert_ne!(ask(&server, &v2_from([192, 0, 2, 1]), &request(LIVE, &[])), Some(200));
}

/// Opens a browser's connection; whether it is welcome.
fn open(server: &TestServer, header: &[u8], forwarded_for: Option<&str>) -> (WebSocket<TcpStream>, bool) {
    let mut stream = server.socket();
    stream.write_all(header).unwrap();
    let mut request = server.request("/");
    if let Some(address) = forwarded_for {
        request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
    }
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    let first: Value = serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
    (socket, first["type"] == "welcome")
}

#[test]
fn the_limits_of_addresses_count_whom_the_proxy_names() {
    let server = behind(Config { max_connections_per_address: 1, ..config() });
    let (_first, welcome) = open(&server, &v1("192.0.2.1"), None);
    assert!(welcome);
    assert!(!open(&server, &v2_from([192, 0, 2, 1]), None).1);
    let (_other, welcome) = open(&server, &v1("192.0.2.2"), None);
    assert!(welcome);
    // Who is named is no proxy, so its own word about others counts for nothing.
    assert!(!open(&server, &v1("192.0.2.1"), Some("198.51.100.1")).1);
    let networks = ["127.0.0.1/32", "192.0.2.1/32"].map(|network| network.parse().unwrap()).to_vec();
    let two = Config { proxy_protocol: true, trusted_proxies: networks, max_connections_per_address: 1, ..config() };
    let two = start(two);
    let (_first, welcome) = open(&two, &v1("192.0.2.1"), Some("198.51.100.1"));
    assert!(welcome);
    assert!(!open(&two, &v1("192.0.2.1"), Some("198.51.100.1")).1);
    let (_third, welcome) = open(&two, &v1("192.0.2.1"), Some("198.51.100.2"));
    assert!(welcome);
}

#[test]
fn a_stop_does_not_wait_for_a_header() {
    let mut server = behind(config());
    let mut http = server.plain();
    http.send(&v1("192.0.2.1")[..10]);
    assert_eq!(ask(&server, &v1("192.0.2.1"), &request(LIVE, &[])), Some(200));
    server.begin_stop();
    http.end();
    server.stop();
    assert!(http.rest.is_empty());
}

#[test]
fn on_the_port_of_tls_the_header_comes_before_the_handshake() {
    let files = Files::new();
    let client = Arc::new(files.client(&VERSIONS));
    let server = start(files.configure(trusting("127.0.0.1/32", config())));
    let behind = |server: &TestServer, header: &[u8]| {
        let mut socket = raw(server);
        socket.write_all(header).unwrap();
        Http::new(secured(socket, &client))
    };
    for header in [v1("192.0.2.1"), v2_from([192, 0, 2, 1]), v2(0, 0, &[])] {
        assert_eq!(behind(&server, &header).ask(request(LIVE, &[])).status, 200);
    }
    let elsewhere = start(files.configure(trusting("192.0.2.0/24", config())));
    for (server, header) in [(&server, Vec::new()), (&elsewhere, Vec::new()), (&elsewhere, v1("192.0.2.1"))] {
        let mut http = behind(server, &header);
        http.send_in_vain(request(LIVE, &[]));
        assert_eq!(http.answer().map(|answer| answer.status), None, "{header:?}");
    }
}
