//! Publishing by `POST` over kept connections, one request in flight on each.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::dialect::post_request;
use crate::{LoadError, Upgrade, socket};

const PATIENCE: Duration = Duration::from_secs(5);

/// Requests to make.
pub struct Posts<'a> {
    /// Path and headers; `frames[0]` is the body.
    pub request: &'a Upgrade,
    /// Kept connections.
    pub connections: usize,
    /// Requests altogether.
    pub requests: usize,
}

struct Client {
    socket: TcpStream,
    received: Vec<u8>,
}

/// Makes the requests, every one of which must be answered with 2xx; the time that they took.
pub fn post(address: SocketAddr, posts: &Posts<'_>) -> Result<Duration, LoadError> {
    let body = posts.request.frames.first().map_or("", String::as_str);
    let request = post_request(&posts.request.path, &posts.request.headers, address, body);
    let mut poll = Poll::new().map_err(LoadError::io("make an epoll"))?;
    let mut clients = Vec::with_capacity(posts.connections);
    for index in 0..posts.connections {
        let mut socket = socket::connect(address)?;
        poll.registry()
            .register(&mut socket, Token(index), Interest::READABLE)
            .map_err(LoadError::io("watch a connection"))?;
        clients.push(Client { socket, received: Vec::new() });
    }
    let start = Instant::now();
    let mut sent = 0;
    for client in clients.iter_mut().take(posts.requests) {
        client.socket.write_all(&request).map_err(LoadError::io("post"))?;
        sent += 1;
    }
    let mut events = Events::with_capacity(1024);
    let (mut answered, mut progress) = (0, Instant::now());
    while answered < posts.requests {
        poll.poll(&mut events, Some(Duration::from_millis(50))).or_else(interrupted).map_err(LoadError::io("poll"))?;
        for event in &events {
            let client = &mut clients[event.token().0];
            if !client.answered()? {
                continue;
            }
            (answered, progress) = (answered + 1, Instant::now());
            if sent < posts.requests {
                client.socket.write_all(&request).map_err(LoadError::io("post"))?;
                sent += 1;
            }
        }
        if progress.elapsed() > PATIENCE {
            let what = format!("posting: {answered} of {} answered", posts.requests);
            return Err(LoadError::Stalled { what, patience: PATIENCE });
        }
    }
    Ok(start.elapsed())
}

fn interrupted(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

impl Client {
    /// Whether the one answer that is due is whole.
    fn answered(&mut self) -> Result<bool, LoadError> {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(LoadError::Closed(1)),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::io("read an answer")(error)),
            }
        }
        let Some(head) = memmem::find(&self.received, b"\r\n\r\n") else { return Ok(false) };
        if !self.received.starts_with(b"HTTP/1.1 2") {
            return Err(LoadError::Refused(String::from_utf8_lossy(&self.received).into_owned()));
        }
        let whole = self.received.len() >= head + 4 + content_length(&self.received[..head]);
        if whole {
            self.received.clear();
        }
        Ok(whole)
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}
