//! What strangers can do to the log, to the process's secrets and to its file descriptors.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

use crate::program::{Running, Setup};

const PATIENCE: Duration = Duration::from_secs(20);

/// What should look like a line of its own, and like one from another terminal.
const FORGED: &str = "x\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{9b}31m\u{2028}\u{202e}";
/// A secret that must never be in the log, as a token, a cookie or a key.
const CANARY: &str = "canary5c2b1e";

fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and waits for the end, whatever comes.
fn say(server: &Running, bytes: &[u8]) {
    let mut stream = connect(server);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => panic!("no end"),
        _ => {}
    }
}

fn try_websocket(server: &Running) -> Option<WebSocket<TcpStream>> {
    let request = format!("ws://{}/", server.address).into_client_request().unwrap();
    tungstenite::client(request, connect(server)).ok().map(|(socket, _)| socket)
}

fn websocket(server: &Running) -> WebSocket<TcpStream> {
    try_websocket(server).unwrap()
}

/// Everything that a stranger can put into a request, a message or a farewell.
fn provoke(server: &Running) {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // A header cannot hold a line's end; each of its parts may hold the rest.
    let header = FORGED.replace(['\r', '\n'], "");
    for name in
        ["Origin", "Host", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "Referer", "Sec-WebSocket-Protocol"]
    {
        // The last is the worst that HTTP lets through.
        for value in [&header, &"https://x.example".repeat(500), FORGED, "x\tERROR forged"] {
            say(server, format!("GET / HTTP/1.1\r\n{upgrade}Origin: https://a\r\n{name}: {value}\r\n\r\n").as_bytes());
            say(server, format!("GET / HTTP/1.1\r\n{upgrade}{name}: {value}\r\n\r\n").as_bytes());
        }
    }
    for path in [FORGED, "/%0d%0aERROR%20forged", "/\u{1b}[2J", "/x?\u{9b}"] {
        say(server, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        say(server, format!("{path} / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    }
    let secrets = [
        format!("GET /?token={CANARY} HTTP/1.1\r\n{upgrade}Origin: https://evil.example\r\n\r\n"),
        format!("GET /nothing?token={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{upgrade}Authorization: Bearer {CANARY}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{upgrade}Authorization: Bearer rtk_{CANARY}\r\n\r\n"),
        format!("GET /publisher HTTP/1.1\r\n{upgrade}Authorization: Bearer rtk_{CANARY}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{upgrade}Cookie: realtime_token={CANARY}\r\nOrigin: https://evil.example\r\n\r\n"),
        format!("POST /broadcast HTTP/1.1\r\nAuthorization: Bearer rtk_{CANARY}\r\nContent-Length: 0\r\n\r\n"),
    ];
    for secret in secrets {
        say(server, secret.as_bytes());
    }
    let mut socket = websocket(server);
    for field in ["type", "channel", "userId", "epoch"] {
        let command = serde_json::json!({"type": "subscribe", "channel": "c", field: FORGED});
        socket.send(Message::text(command.to_string())).unwrap();
    }
    socket.send(Message::text(format!("{{\"type\":\"connect\",\"token\":\"{CANARY}\"}}"))).unwrap();
    // 123 bytes at most fit into a close frame.
    let reason = FORGED.into();
    socket.close(Some(CloseFrame { code: 4999.into(), reason })).unwrap();
    while socket.read().is_ok() {}
    let mut binary = websocket(server);
    binary.send(Message::binary(FORGED.as_bytes().to_vec())).unwrap();
    while binary.read().is_ok() {}
}

fn is_harmless(line: &str) -> bool {
    let steers = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    !line.contains(steers) && line.len() < 4_000 && !line.contains(CANARY)
}

#[test]
fn nothing_that_strangers_say_forges_a_line_of_the_log_or_shows_a_secret_in_it() {
    for format in ["text", "json"] {
        let setup = Setup::new("");
        let (key, path) = setup.key_file("key");
        setup.write(
            "realtime.toml",
            &format!("[[publishers]]\nname = \"shop\"\nkey_file = {path:?}\nchannels = [\"a\"]"),
        );
        let mut server = setup.start(&["--log-level", "debug", "--log-format", format]);
        // As JSON, the line that names it goes on after it.
        server.address.truncate(server.address.find('"').unwrap_or(server.address.len()));
        provoke(&server);
        let outcome = setup.run(&["publish", "--url", &format!("ws://{}", server.address), "b", "1"]);
        assert!(outcome.err.contains("forbidden") && !outcome.err.contains(&key.secret()[4..]), "{outcome:?}");
        let arguments = fs::read(format!("/proc/{}/cmdline", server.id())).unwrap();
        let log = server.stop().err;
        assert!(log.lines().count() > 50 && log.contains("forged"), "{log}");
        for line in log.lines() {
            assert!(is_harmless(line), "{line:?}");
            let is_line = match format {
                "json" => serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line["level"].is_string()),
                // Every line begins with this year's time, none with the one that was sent.
                _ => line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00Z ERROR"),
            };
            assert!(is_line, "{line:?}");
        }
        for shown in [log.as_bytes(), &arguments] {
            let secret = &key.secret().as_bytes()[4..];
            assert!(!shown.windows(secret.len()).any(|window| window == secret), "the key is shown");
        }
    }
}

#[test]
fn a_malformed_proxy_header_and_a_stranger_have_a_line_in_the_log() {
    let setup = Setup::new("proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]");
    let mut server = setup.start(&[]);
    say(&server, b"GET / HTTP/1.1\r\n\r\n");
    let line = server.wait_for("refused a connection");
    assert!(line.contains("127.0.0.1") && line.contains("send-proxy-v2"), "{line}");
    server.stop();
    let setup = Setup::new("proxy_protocol = true\ntrusted_proxies = [\"10.0.0.1\"]");
    let mut server = setup.start(&[]);
    say(&server, b"PROXY TCP4 192.0.2.1 10.0.0.5 1 2\r\n");
    assert!(server.wait_for("refused a connection").contains("trusted_proxies"));
    server.stop();
}

#[test]
fn without_file_descriptors_it_waits_and_goes_on_when_there_are_some() {
    let setup = Setup::new("");
    let socket = setup.arg("rt.sock");
    let program = env!("CARGO_BIN_EXE_realtime-server");
    let mut command = Command::new("prlimit");
    command.args(["--nofile=128:128", program, "start", "--listen", "127.0.0.1:0", "--unix-socket", &socket]);
    command.args(["--shards", "1"]).env("REALTIME_CONFIG", setup.path("realtime.toml")).stdin(Stdio::null());
    let mut server = Running::spawn(command);
    let line = server.wait_for("listening on ");
    server.address = line.rsplit(' ').next().unwrap().to_owned();
    let held: Vec<_> = (0..300).map(|_| connect(&server)).collect();
    server.wait_for("cannot accept connections; raise the limit on open files");
    drop(held);
    let mut stream = connect(&server);
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Those that were held go one by one, and browsers are let in when there is room for more than publishers.
    let begun = Instant::now();
    while try_websocket(&server).is_none() {
        assert!(begun.elapsed() < PATIENCE, "browsers are still kept out");
    }
    server.stop();
}
