//! permessage-deflate on the wire, as a browser would see it (RFC 7692).
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use realtime_server::config::{CompressionConfig, Config};
use serde_json::{Value, json};
use support::{TestServer, config, start};

/// A client that speaks frames by hand, since the test's WebSocket library knows no compression.
struct Browser(BufReader<TcpStream>);

impl Browser {
    /// Connects offering `extensions`; the answer's extensions.
    fn open(server: &TestServer, extensions: &str) -> (Self, Option<String>) {
        let mut socket = server.socket();
        write!(
            socket,
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: {extensions}\r\n\r\n",
            server.address
        )
        .unwrap();
        let mut reader = BufReader::new(socket);
        let mut agreed = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-extensions") => {
                    agreed = Some(value.to_owned());
                }
                _ if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut browser = Self(reader);
        assert_eq!(browser.message().1["type"], "welcome");
        (browser, agreed)
    }

    /// One frame: its first byte and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut long = [0; 2];
            self.0.read_exact(&mut long).unwrap();
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    /// A text message: whether it was compressed, and its JSON.
    fn message(&mut self) -> (bool, Value) {
        let (first, mut payload) = self.frame();
        let is_compressed = first & 0x40 != 0;
        assert_eq!(first & !0x40, 0x81);
        if is_compressed {
            payload.extend([0, 0, 0xff, 0xff]);
            let mut text = Vec::with_capacity(1 << 20);
            Decompress::new(false).decompress_vec(&payload, &mut text, FlushDecompress::Sync).unwrap();
            payload = text;
        }
        (is_compressed, serde_json::from_slice(&payload).unwrap())
    }

    /// Sends one frame, masked by zeros.
    fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend_from_slice(payload);
        self.0.get_mut().write_all(&frame).unwrap();
    }

    fn send_compressed(&mut self, text: &[u8]) {
        let mut out = Vec::with_capacity(text.len() + 64);
        Compress::new(Compression::best(), false).compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        self.send(0xc1, &out);
    }

    fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame();
        assert_eq!(first, 0x88, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

const OFFER: &str = "permessage-deflate; client_max_window_bits";

#[test]
fn long_publications_arrive_compressed_and_short_ones_as_they_are() {
    let server = TestServer::default();
    let (mut browser, agreed) = Browser::open(&server, OFFER);
    assert_eq!(agreed.as_deref(), Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"));
    let mut plain = server.client();
    plain.subscribe("c");
    browser.send_compressed(br#"{"type":"subscribe","channel":"c"}"#);
    assert_eq!(browser.message(), (false, json!({"type": "subscribed", "channel": "c"})));
    let mut publisher = server.publisher();
    for (data, is_compressed) in [
        (json!("short"), false),
        (json!({"rows": vec!["the same again"; 200]}), true),
        (json!({"rows": vec!["and another"; 500]}), true),
    ] {
        assert_eq!(publisher.publish("c", &data), 2);
        let expected = json!({"type": "broadcast_update", "channel": "c", "data": data});
        assert_eq!(browser.message(), (is_compressed, expected.clone()));
        assert_eq!(plain.json(), expected);
    }
}

#[test]
fn who_does_not_offer_it_or_asks_for_the_impossible_gets_none() {
    let server = TestServer::default();
    for offer in ["", "x-webkit-other", "permessage-deflate; server_max_window_bits=9"] {
        assert_eq!(Browser::open(&server, offer).1, None, "{offer:?}");
    }
    let compression = CompressionConfig { enabled: false, ..Config::default().compression };
    let server = start(Config { compression, ..config() });
    let (mut browser, agreed) = Browser::open(&server, OFFER);
    assert_eq!(agreed, None);
    browser.send_compressed(br#"{"type":"ping"}"#);
    assert_eq!(browser.close_code(), 1002);
}

#[test]
fn a_bomb_ends_with_1009() {
    let server = TestServer::default();
    let (mut browser, _) = Browser::open(&server, OFFER);
    browser.send_compressed(&vec![b' '; 20 << 20]);
    assert_eq!(browser.close_code(), 1009);
}

#[test]
fn what_cannot_be_inflated_ends_with_1002_and_broken_text_with_1007() {
    let server = TestServer::default();
    let (mut browser, _) = Browser::open(&server, OFFER);
    browser.send(0xc1, &[0xff; 50]);
    assert_eq!(browser.close_code(), 1002);
    let (mut browser, _) = Browser::open(&server, OFFER);
    browser.send_compressed(&[0xff, 0xfe]);
    assert_eq!(browser.close_code(), 1007);
}
