//! HTTP by hand: what no client library would send, and whether the connection stays.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

/// The headers of a WebSocket handshake (RFC 6455 §1.2) but `Host`.
pub const UPGRADE: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A request without a body. A later header replaces an earlier one of the same name; an empty value removes it.
pub fn request(line: &str, headers: &[&[(&str, &str)]]) -> String {
    let mut kept: Vec<(&str, &str)> = vec![("Host", "localhost")];
    for &(name, value) in headers.iter().copied().flatten() {
        kept.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            kept.push((name, value));
        }
    }
    let lines: String = kept.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line} HTTP/1.1\r\n{lines}\r\n")
}

/// A handshake on `path` with these headers besides, or instead of, the usual ones.
pub fn upgrade(path: &str, headers: &[(&str, &str)]) -> String {
    request(&format!("GET {path}"), &[UPGRADE, headers])
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The code and the message of an error.
    pub fn error(&self) -> (String, String) {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON error: {self:?}"));
        let text = |field: &str| body["error"][field].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        (text("code"), text("message"))
    }
}

/// One connection that speaks HTTP.
pub struct Http<S> {
    pub stream: S,
    /// What came after the last answer.
    pub rest: Vec<u8>,
}

impl<S: Read + Write> Http<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, rest: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as much as the other end takes before it hangs up.
    pub fn send_in_vain(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Reads one answer; `None` when the connection ends instead.
    pub fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more() {
                assert!(self.rest.is_empty(), "half an answer: {}", String::from_utf8_lossy(&self.rest));
                return None;
            }
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.rest.len() < length {
            assert!(self.read_more(), "the body of {answer:?} is cut off");
        }
        answer.body = String::from_utf8(self.rest.drain(..length).collect()).unwrap();
        Some(answer)
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes);
        self.answer().unwrap()
    }

    /// Whether another request is answered on this connection; `false`: it has ended.
    pub fn stays(&mut self) -> bool {
        self.send_in_vain(request("GET /health/live", &[]));
        self.answer().is_some_and(|answer| answer.status == 200)
    }

    /// Reads to the end of the connection.
    pub fn end(&mut self) {
        while self.read_more() {}
    }

    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(n) => {
                self.rest.extend_from_slice(&buffer[..n]);
                n > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server neither answers nor hangs up")
            }
            Err(_) => false,
        }
    }
}

impl super::TestServer {
    /// A connection that speaks HTTP.
    pub fn plain(&self) -> Http<TcpStream> {
        Http::new(self.socket())
    }

    /// The same, on the unix socket.
    pub fn unix(&self) -> Http<UnixStream> {
        let path = self.server.as_ref().unwrap().unix_socket().unwrap();
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        Http::new(stream)
    }

    /// The value of `Authorization` that publishers present.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.key.secret())
    }
}
