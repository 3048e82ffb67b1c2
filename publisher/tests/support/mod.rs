//! A server on a real socket whose every connection runs a script of the test.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use realtime_publisher::{Audience, Endpoint, Error, Key, Publication, Publisher, Receipt, Settings, Target};
use serde_json::Value;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

/// A key that no message may show.
pub(crate) const KEY: &str = "rtk_secretsecretsecretsecretsecretsecretsecret0";

/// What a script reports to its test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected,
    Command(String),
}

/// A listening server; its threads end with the test's process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) events: Receiver<Event>,
}

/// One accepted connection and where it reports.
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) number: usize,
    pub(crate) report: Sender<Event>,
}

impl Server {
    /// Runs `script` for each connection, one after the other unless it hands over to a thread of its own.
    pub(crate) fn start(script: impl Fn(Guest) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (report, events) = channel();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                // A test that has seen enough no longer listens.
                let _ = report.send(Event::Connected);
                script(Guest { stream, number, report: report.clone() });
            }
        });
        Self { address, events }
    }

    pub(crate) fn target(&self) -> Target {
        target(&format!("ws://{}", self.address))
    }

    /// How often somebody connected, and the commands that came, until now.
    pub(crate) fn seen(&self) -> (usize, Vec<String>) {
        let mut connections = 0;
        let mut commands = Vec::new();
        for event in self.events.try_iter() {
            match event {
                Event::Connected => connections += 1,
                Event::Command(text) => commands.push(text),
            }
        }
        (connections, commands)
    }
}

impl Guest {
    /// The server's half of the handshake.
    pub(crate) fn upgrade(self) -> WebSocket<TcpStream> {
        accept(self.stream)
    }

    /// The handshake of a server that knows idempotency keys for so many seconds.
    pub(crate) fn upgrade_keyed(self, ttl: u64) -> WebSocket<TcpStream> {
        accept_keyed(self.stream, Some(ttl))
    }

    /// Answers every command with an acknowledgement until the client goes.
    pub(crate) fn acknowledge_all(self) {
        let report = self.report.clone();
        serve(self.upgrade(), &report, usize::MAX);
    }
}

/// The server's half of the handshake.
pub(crate) fn accept<S: Read + Write>(stream: S) -> WebSocket<S> {
    accept_keyed(stream, None)
}

/// The same of a server that knows idempotency keys for so many seconds.
pub(crate) fn accept_keyed<S: Read + Write>(stream: S, ttl: Option<u64>) -> WebSocket<S> {
    #[allow(clippy::result_large_err, reason = "tungstenite's signature")]
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), "/publisher");
        let protocol = HeaderValue::from_static("realtime.publisher.v1");
        assert_eq!(request.headers().get("sec-websocket-protocol"), Some(&protocol));
        assert_eq!(request.headers().get("origin"), None);
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        if let Some(ttl) = ttl {
            response.headers_mut().insert("realtime-key-ttl", ttl.into());
        }
        Ok(response)
    };
    match tungstenite::accept_hdr(stream, check) {
        Ok(socket) => socket,
        Err(error) => panic!("the handshake failed: {error}"),
    }
}

/// Answers `commands` commands, or all until the client goes.
pub(crate) fn serve<S: Read + Write>(
    mut socket: WebSocket<S>,
    report: &Sender<Event>,
    commands: usize,
) -> WebSocket<S> {
    for _ in 0..commands {
        let Some(text) = read_text(&mut socket) else { break };
        let _ = report.send(Event::Command(text.clone()));
        if socket.send(Message::text(acknowledgement(&text))).is_err() {
            break;
        }
    }
    socket
}

pub(crate) fn read_text<S: Read + Write>(socket: &mut WebSocket<S>) -> Option<String> {
    loop {
        match socket.read().ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// One acknowledgement, or an array of them for an array of commands.
pub(crate) fn acknowledgement(command: &str) -> String {
    let acknowledge = |command: &Value| format!(r#"{{"id":{},"type":"ack","receivers":1}}"#, command["id"]);
    match json(command) {
        Value::Array(commands) => {
            format!("[{}]", commands.iter().map(acknowledge).collect::<Vec<_>>().join(","))
        }
        command => acknowledge(&command),
    }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What commands publish, in order, however they were framed.
pub(crate) fn data(commands: &[String]) -> Vec<Value> {
    fields(commands, "data")
}

/// A field of each command, in order, however they were framed.
pub(crate) fn fields(commands: &[String], name: &str) -> Vec<Value> {
    let flat = commands.iter().flat_map(|text| match json(text) {
        Value::Array(commands) => commands,
        command => vec![command],
    });
    flat.map(|command| command[name].clone()).collect()
}

/// Reads a request's head, for servers that answer no WebSocket.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn target(url: &str) -> Target {
    Target { endpoint: Endpoint::parse(url).unwrap(), key: Key::parse(KEY).unwrap() }
}

/// Limits that no healthy call reaches.
pub(crate) fn patient() -> Settings {
    Settings {
        connect_timeout: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        retry_after: Duration::from_secs(60),
        tls_authority: None,
    }
}

/// Limits for servers that do not answer.
pub(crate) fn impatient() -> Settings {
    Settings { connect_timeout: Duration::from_millis(60), timeout: Duration::from_millis(120), ..patient() }
}

/// A publication to the channel `c`.
pub(crate) fn publication(data: &str) -> Publication<'_> {
    Publication { audience: Audience::Channel("c"), event: None, exclude: None, key: None, data }
}

/// Publishes `data` to the channel `c`.
pub(crate) fn publish(
    publisher: &Publisher,
    target: &Target,
    settings: &Settings,
    data: &str,
) -> Result<Receipt, Error> {
    publisher.call(target, settings, publisher.publication(&publication(data)))
}

/// The message of a failure, which never holds the key.
pub(crate) fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.expect_err("must fail");
    assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
    error.to_string()
}
