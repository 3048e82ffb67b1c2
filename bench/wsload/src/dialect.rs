//! How a server is spoken to: what subscribers and publishers send, and what comes back.

use std::net::SocketAddr;

use crate::connection::Wire;
use crate::{frame, pusher};

/// One kind of server. In every text `{c}` stands for the channel and `{i}` for the subscriber's number.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// How subscribers speak.
    pub subscribe: Subscribe,
    /// How publishers speak.
    pub publish: Publish,
    /// What a publication looks like; `{p}` stands for the payload, `{n}` for its number.
    pub template: String,
    /// The channel's name, or what the names of several begin with.
    pub channel: String,
    /// Subscribers are dealt out over this many channels, and publications rotate over them.
    pub channels: usize,
}

/// How subscribers speak.
#[derive(Clone, Debug)]
pub enum Subscribe {
    /// WebSocket: an upgrade, then frames.
    WebSocket(Upgrade),
    /// Server-Sent Events; `frames` are not sent.
    EventStream(Upgrade),
    /// Redis: `SUBSCRIBE`.
    Redis,
    /// NATS: `SUB`.
    Nats,
}

/// An HTTP request that becomes a stream.
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    /// Path of the request.
    pub path: String,
    /// Header lines besides the usual ones.
    pub headers: Vec<String>,
    /// Text frames to send first.
    pub frames: Vec<String>,
    /// What the frame contains that says that the subscription stands; empty: the answered upgrade is enough.
    pub ready: String,
}

/// How publishers speak.
#[derive(Clone, Debug)]
pub enum Publish {
    /// WebSocket: an upgrade, then a text frame per publication.
    WebSocket(Upgrade),
    /// `POST` over one kept connection; `frames` and `ready` are not used.
    Http(Upgrade),
    /// Pusher's signed REST API, with `id:key:secret`.
    Pusher(String),
    /// Redis: `PUBLISH`.
    Redis,
    /// NATS: `PUB`.
    Nats,
}

impl Dialect {
    /// The channel of subscriber or publication number `index`.
    pub fn channel(&self, index: usize) -> String {
        match self.channels {
            1 => self.channel.clone(),
            channels => format!("{}{}", self.channel, index % channels),
        }
    }

    fn fill(&self, text: &str, index: usize) -> String {
        text.replace("{c}", &self.channel(index)).replace("{i}", &index.to_string())
    }

    pub(crate) fn wire(&self) -> Wire {
        match self.subscribe {
            Subscribe::WebSocket(_) => Wire::WebSocket,
            Subscribe::EventStream(_) => Wire::EventStream,
            Subscribe::Redis | Subscribe::Nats => Wire::Lines,
        }
    }

    /// What says that a subscription stands.
    pub(crate) fn ready(&self) -> &[u8] {
        match &self.subscribe {
            Subscribe::WebSocket(upgrade) | Subscribe::EventStream(upgrade) => upgrade.ready.as_bytes(),
            Subscribe::Redis => b":1\r\n",
            Subscribe::Nats => b"PONG",
        }
    }

    /// A subscriber's first bytes.
    pub(crate) fn hello(&self, index: usize, host: SocketAddr) -> Vec<u8> {
        match &self.subscribe {
            Subscribe::WebSocket(upgrade) => upgrade_request(&self.fill(&upgrade.path, index), &upgrade.headers, host),
            Subscribe::EventStream(upgrade) => {
                let path = self.fill(&upgrade.path, index);
                let headers = lines(&upgrade.headers);
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n{headers}\r\n")
                    .into_bytes()
            }
            Subscribe::Redis => format!("SUBSCRIBE {}\r\n", self.channel(index)).into_bytes(),
            Subscribe::Nats => {
                format!("CONNECT {{\"verbose\":false}}\r\nSUB {} 1\r\nPING\r\n", self.channel(index)).into_bytes()
            }
        }
    }

    /// What a subscriber sends once its upgrade is answered.
    pub(crate) fn after_upgrade(&self, index: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if let Subscribe::WebSocket(upgrade) = &self.subscribe {
            for text in &upgrade.frames {
                frame::text(self.fill(text, index).as_bytes(), &mut out);
            }
        }
        out
    }

    /// A publisher's upgrade request or greeting.
    pub(crate) fn publisher_hello(&self, host: SocketAddr) -> Vec<u8> {
        match &self.publish {
            Publish::WebSocket(upgrade) => upgrade_request(&self.fill(&upgrade.path, 0), &upgrade.headers, host),
            Publish::Nats => b"CONNECT {\"verbose\":false}\r\n".to_vec(),
            Publish::Http(_) | Publish::Pusher(_) | Publish::Redis => Vec::new(),
        }
    }

    /// Appends publication `number` with this payload.
    pub(crate) fn publication(&self, number: usize, payload: &str, host: SocketAddr, out: &mut Vec<u8>) {
        let channel = self.channel(number);
        let body = self.template.replace("{c}", &channel).replace("{p}", payload).replace("{n}", &number.to_string());
        match &self.publish {
            Publish::WebSocket(_) => frame::text(body.as_bytes(), out),
            Publish::Http(upgrade) => {
                out.extend_from_slice(&post_request(&self.fill(&upgrade.path, number), &upgrade.headers, host, &body));
            }
            Publish::Pusher(app) => out.extend_from_slice(&pusher::request(app, &channel, &body, host)),
            Publish::Redis => {
                let sizes = (channel.len(), body.len());
                let command = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n{body}\r\n", sizes.0, sizes.1);
                out.extend_from_slice(command.as_bytes());
            }
            Publish::Nats => {
                out.extend_from_slice(format!("PUB {channel} {}\r\n{body}\r\n", body.len()).as_bytes());
            }
        }
    }
}

/// An upgrade request. The key is RFC 6455's example: servers hash whatever it is.
pub(crate) fn upgrade_request(path: &str, headers: &[String], host: SocketAddr) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
        lines(headers)
    )
    .into_bytes()
}

/// A `POST` on a kept connection.
pub(crate) fn post_request(path: &str, headers: &[String], host: SocketAddr, body: &str) -> Vec<u8> {
    let (headers, length) = (lines(headers), body.len());
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn lines(headers: &[String]) -> String {
    headers.iter().map(|header| format!("{header}\r\n")).collect()
}
