//! A subscriber that follows offsets as a client must, and fails the test at a jump that nobody announced.

use serde_json::{Value, json};

use super::{Client, TestServer};

/// One subscriber of one channel with a history, through all its connections.
pub struct Follower {
    channel: String,
    pub client: Client,
    pub epoch: String,
    pub position: u64,
    /// The data of what it was handed, in order.
    pub handed: Vec<Value>,
    /// Offsets that it was told are gone.
    pub missed: Vec<(u64, u64)>,
    previous: Vec<String>,
}

impl Follower {
    /// Subscribes from now on.
    pub fn new(server: &TestServer, channel: &str) -> Self {
        let mut follower = Self {
            channel: channel.to_owned(),
            client: server.client(),
            epoch: String::new(),
            position: 0,
            handed: Vec::new(),
            missed: Vec::new(),
            previous: Vec::new(),
        };
        follower.subscribe(&json!({"type": "subscribe", "channel": channel}));
        follower
    }

    /// Comes back as another connection, which may be on another shard, from where it was. The reply.
    pub fn come_back(&mut self, server: &TestServer) -> Value {
        self.try_come_back(server).expect("the server runs")
    }

    /// The same, to a server that may end at any moment; `None`: it has.
    pub fn try_come_back(&mut self, server: &TestServer) -> Option<Value> {
        self.previous.push(std::mem::take(&mut self.client.id));
        // As many as a client names.
        self.previous.retain(|id| !id.is_empty());
        self.previous.drain(..self.previous.len().saturating_sub(8));
        self.client = Client::try_open(server.request("/"))?;
        let command = json!({
            "type": "subscribe", "channel": self.channel, "previous": self.previous,
            "since": {"epoch": self.epoch, "offset": self.position},
        });
        if !self.client.try_send(&command.to_string()) {
            return None;
        }
        let reply = self.client.next()?;
        self.subscribed(&reply);
        Some(reply)
    }

    /// Follows until the connection ends.
    pub fn follow_to_the_end(&mut self) {
        while let Some(message) = self.client.next() {
            self.take(&message);
        }
    }

    fn subscribe(&mut self, command: &Value) -> Value {
        let reply = self.client.ask(&command.to_string());
        self.subscribed(&reply);
        reply
    }

    fn subscribed(&mut self, reply: &Value) {
        assert_eq!(reply["type"], "subscribed", "{reply}");
        let offset = reply["offset"].as_u64().unwrap();
        if reply["recovered"] == true {
            assert_eq!((reply["epoch"].as_str().unwrap(), offset), (&*self.epoch, self.position), "{reply}");
        }
        self.epoch = reply["epoch"].as_str().unwrap().to_owned();
        self.position = offset;
    }

    /// Deals with one message.
    pub fn step(&mut self) {
        let message = self.client.json();
        self.take(&message);
    }

    pub fn take(&mut self, message: &Value) {
        let number = |field: &str| message[field].as_u64().unwrap_or_else(|| panic!("no {field}: {message}"));
        match message["type"].as_str().unwrap() {
            "broadcast_update" => {
                let offset = number("offset");
                let prev = message["prev"].as_u64().unwrap_or(offset - 1);
                assert_eq!(prev, self.position, "an unannounced jump: {message}");
                self.position = offset;
                self.handed.push(message["data"].clone());
            }
            "position" => {
                assert!(number("offset") > self.position, "{message} at {}", self.position);
                self.position = number("offset");
            }
            "missed" => {
                assert_eq!(number("from"), self.position + 1, "{message}");
                self.missed.push((number("from"), number("to")));
                self.position = number("offset");
            }
            _ => panic!("unexpected: {message}"),
        }
    }

    /// Follows up to an offset.
    pub fn reach(&mut self, offset: u64) {
        while self.position < offset {
            self.step();
        }
        assert_eq!(self.position, offset);
    }
}
