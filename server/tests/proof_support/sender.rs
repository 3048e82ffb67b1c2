//! A publisher that counts acknowledgements, and sends again with its keys what was not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex};

use serde_json::{Value, json};

use crate::support::{Client, TestServer};

/// How many acknowledgements and refusals there are, for those who wait for some.
#[derive(Default)]
pub struct Count {
    count: Mutex<(u64, u64)>,
    grown: Condvar,
}

impl Count {
    fn add(&self, acknowledged: u64, refused: u64) {
        let mut count = self.count.lock().unwrap();
        *count = (count.0 + acknowledged, count.1 + refused);
        self.grown.notify_all();
    }

    /// Acknowledgements until now.
    pub fn now(&self) -> u64 {
        self.count.lock().unwrap().0
    }

    /// Waits until there are so many acknowledgements.
    pub fn reach(&self, count: u64) {
        let guard = self.count.lock().unwrap();
        drop(self.grown.wait_while(guard, |now| now.0 < count).unwrap());
    }

    /// Waits until there are so many refusals.
    pub fn reach_refused(&self, count: u64) {
        let guard = self.count.lock().unwrap();
        drop(self.grown.wait_while(guard, |now| now.1 < count).unwrap());
    }
}

pub struct Sender {
    channels: Vec<String>,
    name: String,
    /// Publications under way at once.
    in_flight: usize,
    next: u64,
    /// Sent, or to be sent again, in their first order.
    pending: VecDeque<u64>,
    /// The offset that each acknowledged one has.
    pub acknowledged: BTreeMap<u64, u64>,
    /// With what codes some were refused, before they were sent again.
    pub refused: BTreeMap<String, u64>,
    /// So much more is in each.
    filling: String,
}

impl Sender {
    pub fn new(channel: &str, name: &str) -> Self {
        Self::over(vec![channel.to_owned()], name, 16)
    }

    /// Publishes in several channels by turns, so many publications at once.
    pub fn over(channels: Vec<String>, name: &str, in_flight: usize) -> Self {
        let (pending, acknowledged) = (VecDeque::new(), BTreeMap::new());
        let (refused, filling, name) = (BTreeMap::new(), String::new(), name.to_owned());
        Self { channels, name, in_flight, next: 1, pending, acknowledged, refused, filling }
    }

    /// With publications of so many bytes more.
    pub fn filled(mut self, bytes: usize) -> Self {
        self.filling = "x".repeat(bytes);
        self
    }

    /// What a publication says.
    pub fn data(&self, number: u64) -> Value {
        json!([self.name, number, self.filling])
    }

    fn command(&self, number: u64) -> String {
        let (data, key) = (self.data(number), format!("{}-{number}", self.name));
        let channel = &self.channels[number as usize % self.channels.len()];
        json!({"type": "broadcast_update", "id": number, "channel": channel, "data": data, "key": key}).to_string()
    }

    /// Publishes until the connection ends, or until `is_enough` and everything is acknowledged. Whether it was enough.
    pub fn publish(&mut self, server: &TestServer, count: &Count, is_enough: impl Fn() -> bool) -> bool {
        let Some(mut link) = Client::try_open(server.publisher_request()) else { return false };
        for number in self.pending.clone() {
            if !link.try_send(&self.command(number)) {
                return false;
            }
        }
        loop {
            while self.pending.len() < self.in_flight && !is_enough() {
                self.pending.push_back(self.next);
                self.next += 1;
                if !link.try_send(&self.command(self.next - 1)) {
                    return false;
                }
            }
            if self.pending.is_empty() {
                return true;
            }
            let Some(reply) = link.next() else { return false };
            if reply["type"] == "disconnect" {
                continue;
            }
            let number = reply["id"].as_u64().unwrap();
            if reply["type"] == "error" {
                *self.refused.entry(reply["code"].as_str().unwrap().to_owned()).or_default() += 1;
                count.add(0, 1);
                // In order, so all that follow wait, too.
                if !link.try_send(&self.command(number)) {
                    return false;
                }
                continue;
            }
            assert_eq!(reply["type"], "ack", "{reply}");
            self.pending.retain(|pending| *pending != number);
            self.acknowledged.insert(number, reply["offset"].as_u64().unwrap());
            count.add(1, 0);
        }
    }

    /// Nothing of what was acknowledged is missing in a history, nothing is there twice, and no offset is missing.
    pub fn check(&self, history: &[(u64, Value)]) {
        self.check_all(&[history]);
    }

    /// The same for the histories of all its channels.
    pub fn check_all(&self, histories: &[&[(u64, Value)]]) {
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for history in histories {
            for (expected, (offset, data)) in (1..).zip(*history) {
                assert_eq!(*offset, expected, "an offset is missing");
                if data[0] == *self.name {
                    let before = found.insert(data[1].as_u64().unwrap(), *offset);
                    assert_eq!(before, None, "{data} is there twice");
                }
            }
        }
        assert_eq!(found, self.acknowledged, "found is not what was acknowledged");
    }
}
