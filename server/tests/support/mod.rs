//! A server on port 0 and clients that fail a test instead of waiting for ever.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part of it, and a test may fail")]

pub mod follow;
pub mod frame;
pub mod http;
pub mod token;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use realtime_server::config::{Config, PublisherKey, UnixSocket};
use realtime_server::rules::{ChannelRule, HistoryRule, Pattern, StoreKind, StreamRule};
use realtime_server::{Server, run};
use serde_json::Value;
use tokio::sync::oneshot;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// Longer than anything takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server with a key, stopped at the end of the test.
pub struct TestServer {
    pub server: Option<Server>,
    pub address: SocketAddr,
    pub key: PublisherKey,
    stop: Option<oneshot::Sender<()>>,
}

/// What most tests run with: two shards, so that what crosses them is crossed.
pub fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        unix_socket: UnixSocket::Off,
        shards: 2,
        publisher_key: Some(PublisherKey::generate().unwrap()),
        ..Config::default()
    }
}

/// A rule for the channels of a pattern.
pub fn rule(pattern: &str, stream: StreamRule) -> ChannelRule {
    ChannelRule { stream, ..ChannelRule::of(Pattern::parse(pattern).unwrap()) }
}

/// A history of so many publications.
pub fn history(size: usize, store: StoreKind) -> StreamRule {
    StreamRule::new(None, Some(HistoryRule { size, ttl: Duration::from_secs(3600), store }), None)
}

pub fn start(config: Config) -> TestServer {
    let key = config.publisher_key.clone().unwrap_or_else(|| PublisherKey::generate().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = run(config, async {
        let _ = stopped.await;
    })
    .unwrap();
    TestServer { address: server.address(), server: Some(server), key, stop: Some(stop) }
}

impl TestServer {
    /// A server that runs as another process.
    pub fn elsewhere(address: SocketAddr, key: PublisherKey) -> Self {
        Self { server: None, address, key, stop: None }
    }

    pub fn default() -> Self {
        start(config())
    }

    /// Asks it to stop.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops it and waits; panics of its threads fail the test.
    pub fn stop(&mut self) {
        self.begin_stop();
        if let Some(server) = self.server.take() {
            server.wait().unwrap();
        }
    }

    pub fn client(&self) -> Client {
        Client::open(self.request("/"))
    }

    pub fn publisher(&self) -> Client {
        Client::open(self.publisher_request())
    }

    pub fn publisher_request(&self) -> Request {
        let mut request = self.request("/publisher");
        let bearer = format!("Bearer {}", self.key.secret());
        request.headers_mut().insert("authorization", bearer.parse().unwrap());
        request
    }

    pub fn request(&self, path: &str) -> Request {
        format!("ws://{}{path}", self.address).into_client_request().unwrap()
    }

    pub fn socket(&self) -> TcpStream {
        connect(self.address)
    }

    /// One request over HTTP; status and body.
    pub fn http(&self, head: &str, body: &str) -> (u16, String) {
        let mut socket = self.socket();
        let host = self.address;
        let length = body.len();
        write!(socket, "{head}\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        response(&mut socket)
    }

    /// Publishes over HTTP with the key.
    pub fn post(&self, body: &str) -> (u16, Value) {
        let (status, body) =
            self.http(&format!("POST /broadcast HTTP/1.1\r\nAuthorization: Bearer {}", self.key.secret()), body);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads an HTTP response to the end of the stream.
pub fn response(socket: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as its end.
    let _ = socket.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

/// A WebSocket client that waits for what it expects.
pub struct Client {
    socket: WebSocket<TcpStream>,
    /// What `welcome` said.
    pub id: String,
}

impl Client {
    /// Connects; a client on `/` has read its welcome.
    pub fn open(request: Request) -> Self {
        let is_client = !request.uri().path().starts_with("/publisher");
        let address = request.uri().authority().unwrap().as_str().parse().unwrap();
        let (socket, _) = tungstenite::client(request, connect(address)).unwrap();
        let mut client = Self { socket, id: String::new() };
        if is_client {
            let welcome = client.json();
            assert_eq!(welcome["type"], "welcome", "{welcome}");
            client.id = welcome["connection"].as_str().unwrap().to_owned();
        }
        client
    }

    /// Connects and reads nothing yet.
    pub fn raw(request: Request) -> Self {
        let address = request.uri().authority().unwrap().as_str().parse().unwrap();
        let (socket, _) = tungstenite::client(request, connect(address)).unwrap();
        Self { socket, id: String::new() }
    }

    /// Connects to a server that may end at any moment.
    pub fn try_open(request: Request) -> Option<Self> {
        let is_client = !request.uri().path().starts_with("/publisher");
        let address: SocketAddr = request.uri().authority().unwrap().as_str().parse().unwrap();
        let socket = TcpStream::connect(address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client(request, socket).ok()?;
        let mut client = Self { socket, id: String::new() };
        if is_client {
            client.id = client.next()?["connection"].as_str().unwrap().to_owned();
        }
        Some(client)
    }

    /// The next message; `None`: the connection has ended.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return None,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    /// Sends to a server that may have ended; whether it went out.
    pub fn try_send(&mut self, text: &str) -> bool {
        self.socket.send(Message::text(text)).is_ok()
    }

    /// Connects as a browser that is not let in; what it is told, and the close code.
    pub fn refused(request: Request) -> (Value, u16) {
        let address = request.uri().authority().unwrap().as_str().parse().unwrap();
        let (socket, _) = tungstenite::client(request, connect(address)).unwrap();
        let (mut texts, close) = Self { socket, id: String::new() }.closed();
        (texts.remove(0), close.unwrap().code.into())
    }

    /// Whether a browser is not let in.
    pub fn refused_or_not(request: Request) -> bool {
        let address = request.uri().authority().unwrap().as_str().parse().unwrap();
        let (socket, _) = tungstenite::client(request, connect(address)).unwrap();
        Self { socket, id: String::new() }.json()["type"] != "welcome"
    }

    /// Reads so many messages; whether it was closed before.
    pub fn is_closed_within(&mut self, messages: usize) -> bool {
        (0..messages).any(|_| !matches!(self.socket.read(), Ok(Message::Text(_))))
    }

    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    pub fn stream_mut(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// Sends bytes that no WebSocket library would.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).unwrap();
    }

    pub fn message(&mut self) -> Message {
        self.socket.read().unwrap()
    }

    pub fn text(&mut self) -> String {
        loop {
            match self.message() {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected text, got {other:?}"),
            }
        }
    }

    pub fn json(&mut self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// Sends a command and reads the next message.
    pub fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        self.json()
    }

    pub fn subscribe(&mut self, channel: &str) {
        let reply = self.ask(&serde_json::json!({"type": "subscribe", "channel": channel}).to_string());
        assert_eq!(reply["type"], "subscribed", "{reply}");
        assert_eq!(reply["channel"], channel);
    }

    /// Publishes and waits for the acknowledgement's number of receivers.
    pub fn publish(&mut self, channel: &str, data: &Value) -> u64 {
        let reply = self.ask(
            &serde_json::json!({"type": "broadcast_update", "id": 1, "channel": channel, "data": data}).to_string(),
        );
        assert_eq!(reply["type"], "ack", "{reply}");
        reply["receivers"].as_u64().unwrap()
    }

    /// What closes the connection, and the texts before.
    pub fn closed(&mut self) -> (Vec<Value>, Option<CloseFrame>) {
        let mut texts = Vec::new();
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => texts.push(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(frame)) => return (texts, frame),
                Ok(_) => {}
                Err(_) => return (texts, None),
            }
        }
    }

    /// The number in the close frame that ends the connection.
    pub fn close_code(&mut self) -> u16 {
        self.closed().1.map_or(0, |frame| frame.code.into())
    }

    /// Proves that nothing is on its way: a pong comes next.
    pub fn assert_silent(&mut self) {
        assert_eq!(self.ask(r#"{"type":"ping"}"#)["type"], "pong");
    }
}

/// A server with a subscriber and a publisher who must not notice what others do.
pub struct Scene {
    bystander: Client,
    publisher: Client,
    told: u64,
    /// Dropped last: it would wait for the others to leave.
    pub server: TestServer,
}

impl Scene {
    pub fn new(config: Config) -> Self {
        let server = start(config);
        let mut bystander = server.client();
        bystander.subscribe("bystanders");
        let publisher = server.publisher();
        Self { server, bystander, publisher, told: 0 }
    }

    pub fn default() -> Self {
        Self::new(config())
    }

    /// The bystander still gets everything, in order and once.
    pub fn nobody_else_notices(&mut self) {
        self.told += 1;
        assert_eq!(self.publisher.publish("bystanders", &Value::from(self.told)), 1);
        assert_eq!(self.bystander.json()["data"], self.told);
    }
}

/// A flag for another thread.
#[derive(Default)]
pub struct Flag(AtomicBool);

impl Flag {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
