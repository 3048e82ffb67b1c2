//! Many subscribers on one thread, who come back as they are told.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::support::frame;

/// One connection, as thin as can be.
pub struct Link {
    socket: TcpStream,
    read: Vec<u8>,
    /// So much of it is dealt with.
    done: usize,
    /// What `welcome` said.
    pub id: String,
}

/// What a subscriber looks at in a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    #[serde(rename = "type")]
    pub kind: String,
    pub channel: String,
    pub connection: String,
    pub epoch: String,
    pub offset: u64,
    pub prev: Option<u64>,
    pub recovered: Option<bool>,
    pub code: Value,
    pub after: u64,
    pub data: Value,
}

impl Link {
    /// Connects and reads the welcome. `Ok(None)`: connected, and closed again before that.
    pub async fn open(address: SocketAddr) -> io::Result<Option<Self>> {
        let Some(mut link) = Self::open_as(address, "/", "").await? else { return Ok(None) };
        let Some(welcome) = link.next().await else { return Ok(None) };
        link.id = welcome.connection;
        Ok(Some(link))
    }

    /// Connects with more headers. `Ok(None)`: connected, and not let in.
    pub async fn open_as(address: SocketAddr, path: &str, headers: &str) -> io::Result<Option<Self>> {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        if socket.write_all(request.as_bytes()).await.is_err() {
            return Ok(None);
        }
        let mut link = Self { socket, read: Vec::new(), done: 0, id: String::new() };
        let end = loop {
            if let Some(at) = link.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if !link.fill().await {
                return Ok(None);
            }
        };
        let head = String::from_utf8(link.read.drain(..end).collect()).unwrap();
        Ok(head.starts_with("HTTP/1.1 101").then_some(link))
    }

    async fn fill(&mut self) -> bool {
        self.read.drain(..std::mem::take(&mut self.done));
        matches!(self.socket.read_buf(&mut self.read).await, Ok(1..))
    }

    /// Sends a text; whether it went out.
    pub async fn send(&mut self, text: &str) -> bool {
        self.socket.write_all(&frame::text(text)).await.is_ok()
    }

    /// The next message; `None`: it has ended.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((head, length)) = self.frame() {
                let opcode = self.read[self.done] & 15;
                let payload = self.read[self.done + head..][..length].to_vec();
                self.done += head + length;
                match opcode {
                    frame::TEXT => return Some(serde_json::from_slice(&payload).unwrap()),
                    frame::PING => self.socket.write_all(&frame::frame(frame::FIN | 10, &payload)).await.ok()?,
                    frame::CLOSE => {
                        // The server waits for the answer; it may be gone already.
                        let _ = self.socket.write_all(&frame::frame(frame::FIN | frame::CLOSE, &payload)).await;
                        return None;
                    }
                    other => panic!("opcode {other}"),
                }
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Lengths of header and payload of the first frame, once all of it is there.
    fn frame(&self) -> Option<(usize, usize)> {
        let &[_, short, ref rest @ ..] = &self.read[self.done..] else { return None };
        let (head, length) = match short {
            126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).unwrap()),
            short => (2, usize::from(short)),
        };
        (self.read.len() - self.done >= head + length).then_some((head, length))
    }
}

/// Where a subscriber is in one channel.
#[derive(Default)]
struct Place {
    epoch: String,
    position: u64,
    handed: Vec<(u64, Value)>,
}

/// One subscriber of some channels, through all its connections.
#[derive(Default)]
pub struct Sheep {
    places: HashMap<String, Place>,
    previous: Vec<String>,
    /// Whether the next server has the same address.
    stays: bool,
    /// How often it was connected, and closed before it was welcomed.
    pub turned_away: u64,
    /// How often it came back.
    pub came_back: u64,
}

/// Where the channels end, once that is known.
pub type Tops = watch::Receiver<Option<HashMap<String, u64>>>;

impl Sheep {
    /// A subscriber of these. `stays`: the next server has the same address.
    pub fn of(channels: impl IntoIterator<Item = String>, stays: bool) -> Self {
        let places = channels.into_iter().map(|channel| (channel, Place::default())).collect();
        Self { places, stays, ..Self::default() }
    }

    /// Follows until it has everything. `present` is where the server listens; a connection that is refused there
    /// fails.
    pub async fn follow(
        mut self,
        mut present: watch::Receiver<SocketAddr>,
        mut tops: Tops,
        subscribed: tokio::sync::mpsc::UnboundedSender<()>,
    ) -> Self {
        loop {
            let address = *present.borrow_and_update();
            let opened = Link::open(address).await;
            let opened = opened.unwrap_or_else(|error| panic!("a connection was refused: {error}"));
            let Some(mut link) = opened else {
                self.turned_away += 1;
                continue;
            };
            let after = self.follow_link(&mut link, &mut tops, &subscribed).await;
            self.previous.push(std::mem::take(&mut link.id));
            let Some(after) = after else { return self };
            self.came_back += 1;
            drop(link);
            // As the server has asked; then to the next one.
            tokio::time::sleep(Duration::from_millis(after)).await;
            if !self.stays && *present.borrow() == address {
                present.changed().await.unwrap();
            }
        }
    }

    /// `Some`: the connection has ended, and it is to come back after so many ms. `None`: it has everything.
    async fn follow_link(
        &mut self,
        link: &mut Link,
        tops: &mut Tops,
        subscribed: &tokio::sync::mpsc::UnboundedSender<()>,
    ) -> Option<u64> {
        for (channel, place) in &self.places {
            let mut command = json!({"type": "subscribe", "channel": channel, "previous": self.previous});
            if !place.epoch.is_empty() {
                command["since"] = json!({"epoch": place.epoch, "offset": place.position});
            }
            if !link.send(&command.to_string()).await {
                return Some(0);
            }
        }
        let mut after = 0;
        loop {
            if tops.borrow().as_ref().is_some_and(|tops| self.has_all(tops)) {
                return None;
            }
            let message = tokio::select! {
                message = link.next() => message,
                _ = tops.changed() => continue,
            };
            match message {
                None => return Some(after),
                Some(message) if message.kind == "disconnect" => {
                    assert_eq!(message.code, 4012, "{message:?}");
                    after = message.after;
                }
                Some(message) => self.take(message, subscribed),
            }
        }
    }

    fn take(&mut self, message: Message, subscribed: &tokio::sync::mpsc::UnboundedSender<()>) {
        let place = self.places.get_mut(&message.channel).unwrap_or_else(|| panic!("unexpected: {message:?}"));
        match &*message.kind {
            "subscribed" => {
                let is_first = place.epoch.is_empty();
                assert_eq!(message.recovered, (!is_first).then_some(true), "{message:?}");
                assert!(is_first || (&message.epoch, message.offset) == (&place.epoch, place.position), "{message:?}");
                (place.epoch, place.position) = (message.epoch, message.offset);
                // The test may have seen enough.
                let _ = subscribed.send(());
            }
            "broadcast_update" => {
                let prev = message.prev.unwrap_or(message.offset - 1);
                assert_eq!(prev, place.position, "an unannounced jump: {message:?}");
                place.position = message.offset;
                place.handed.push((message.offset, message.data));
            }
            _ => panic!("nobody is told of a gap: {message:?}"),
        }
    }

    fn has_all(&self, tops: &HashMap<String, u64>) -> bool {
        self.places.iter().all(|(channel, place)| place.position >= tops[channel])
    }

    /// It has all of each history from where it began.
    pub fn check(&self, histories: &HashMap<String, Vec<(u64, Value)>>) {
        for (channel, place) in &self.places {
            let history = &histories[channel];
            let began = history.len() - place.handed.len();
            assert!(history[began..] == place.handed, "{channel}: {} of {}", place.handed.len(), history.len());
        }
    }
}
