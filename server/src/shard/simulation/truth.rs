//! The oracle: everything that was published, and what of it is still kept, by the plainest means.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use realtime_protocol::{ConnectionId, IdempotencyKey, Mode, Since};

use super::HOUR;
use super::server::{Asked, Server, incoming, stream};
use crate::hub::{Hub, KeyRefusal, Keyed, Outcome, Publication, Refused, Standing, Stream, StreamName};
use crate::rules::{HistoryRule, Overflow, StoreKind, StreamRule};

/// The simulated channels. What happens to slow readers goes by the name.
pub const CHANNELS: [&str; 5] = ["memory.a", "memory.b", "disk", "oldest", "newest"];
const DISK: usize = 2;
pub const MEMORY_SIZE: usize = 6;
pub const MEMORY_HOURS: u32 = 3;
pub const KEY_HOURS: u32 = 2;

pub fn rule_of(name: &StreamName) -> StreamRule {
    let StreamName::Channel(channel) = name else { return StreamRule::NONE };
    let store = if channel.as_str() == "disk" { StoreKind::Disk } else { StoreKind::Memory };
    let overflow = match channel.as_str() {
        "oldest" => Overflow::DropOldest,
        "newest" => Overflow::Latest,
        _ => Overflow::CatchUp,
    };
    let history = HistoryRule { size: MEMORY_SIZE, ttl: HOUR * MEMORY_HOURS, store };
    StreamRule::new(Some(overflow), Some(history), None)
}

#[derive(Clone, Debug)]
pub struct Published {
    pub data: String,
    pub exclude: Option<ConnectionId>,
    hour: u32,
}

/// All of one channel.
#[derive(Default)]
pub struct Channel {
    pub published: BTreeMap<u64, Published>,
    /// The first offset that the store keeps, in the channel on disk.
    first_on_disk: u64,
    /// The top when nobody used the channel for the last time; it may have been freed then.
    freed_at: Option<u64>,
    hour: u32,
}

impl Channel {
    fn is_on_disk(&self) -> bool {
        self.first_on_disk > 0
    }

    pub fn top(&self) -> u64 {
        self.published.last_key_value().map_or(0, |(offset, _)| *offset)
    }

    /// What is kept now.
    pub fn is_kept(&self, offset: u64) -> bool {
        let Some(found) = self.published.get(&offset) else { return false };
        if self.is_on_disk() {
            return offset >= self.first_on_disk;
        }
        let newer = self.published.range(offset + 1..).count();
        newer < MEMORY_SIZE && found.hour + MEMORY_HOURS > self.hour
    }

    fn is_empty(&self) -> bool {
        !self.published.keys().any(|offset| self.is_kept(*offset))
    }

    /// Whether nothing that came after `offset` is gone.
    fn is_whole_after(&self, offset: u64) -> bool {
        self.published.range(offset + 1..).all(|(offset, _)| self.is_kept(*offset))
    }

    pub fn note_use(&mut self, is_used: bool) {
        if !is_used && self.is_empty() {
            self.freed_at = Some(self.top());
        }
    }
}

struct Sent {
    channel: usize,
    offset: u64,
    counter: u64,
    hour: u32,
}

pub struct Truth {
    pub channels: Vec<Channel>,
    sent: Vec<Sent>,
    count: u64,
    hour: u32,
}

impl Default for Truth {
    fn default() -> Self {
        let mut channels: Vec<_> = CHANNELS.iter().map(|_| Channel::default()).collect();
        channels[DISK].first_on_disk = 1;
        Self { channels, sent: Vec::new(), count: 0, hour: 0 }
    }
}

impl Truth {
    pub fn hour(&mut self) {
        self.hour += 1;
        for channel in &mut self.channels {
            channel.hour = self.hour;
        }
    }

    pub fn publish(&mut self, server: &Server, channel: usize, size: usize, exclude: Option<ConnectionId>, key: bool) {
        self.count += 1;
        let data = format!("[{},\"{}\"]", self.count, "x".repeat(size));
        let published = Published { data: data.clone(), exclude, hour: self.hour };
        let offset = if channel == DISK {
            self.commit(server, &published)
        } else {
            let publish = || server.hub.publish(&stream(CHANNELS[channel]), &incoming(data, exclude));
            let outcome =
                if key { self.once(&server.hub, channel, self.count, publish) } else { publish().map(|o| (o, false)) };
            let (outcome, duplicate) = outcome.unwrap();
            assert!(!duplicate, "this key was not used before");
            outcome.offset.unwrap()
        };
        let truth = &mut self.channels[channel];
        assert!(offset > truth.top(), "offset {offset} was used before");
        let is_next = offset == truth.top() + 1;
        assert!(is_next || truth.freed_at == Some(truth.top()), "from {} to {offset} without being freed", truth.top());
        truth.published.insert(offset, published);
        if key && channel != DISK {
            self.sent.push(Sent { channel, offset, counter: self.count, hour: self.hour });
        }
    }

    /// As the store does: first it is on the disk, then it is shown.
    fn commit(&mut self, server: &Server, published: &Published) -> u64 {
        let offset = self.channels[DISK].top() + 1;
        let incoming = incoming(published.data.clone(), published.exclude);
        server.hub.committed(&Arc::new(stream(CHANNELS[DISK])), offset, 0, incoming);
        offset
    }

    fn once(
        &self,
        hub: &Hub,
        channel: usize,
        counter: u64,
        publish: impl FnOnce() -> Result<Outcome, Refused>,
    ) -> Result<(Outcome, bool), Refused> {
        let key = if counter.is_multiple_of(2) {
            IdempotencyKey::Made { prefix: [7; 16], counter }
        } else {
            IdempotencyKey::Application(format!("key {counter}").into())
        };
        hub.keys.once(&Keyed { key: &key, scope: channel as u64, digest: counter }, hub.now(), publish)
    }

    /// A publisher that saw no acknowledgement sends one again.
    pub fn repeat(&mut self, server: &Server, which: usize) {
        if self.sent.is_empty() {
            return;
        }
        let Sent { channel, offset, counter, hour } = self.sent[which % self.sent.len()];
        if hour + KEY_HOURS <= self.hour {
            return;
        }
        let again = self.once(&server.hub, channel, counter, || Err(Refused::Full));
        let (outcome, duplicate) = again.expect("it is not published again");
        assert_eq!((outcome.offset, duplicate), (Some(offset), true), "a key has one effect");
        let other = Keyed {
            key: &IdempotencyKey::Application(format!("key {counter}").into()),
            scope: channel as u64,
            digest: counter + 1,
        };
        if !counter.is_multiple_of(2) {
            let refused = server.hub.keys.once(&other, server.hub.now(), || Err(Refused::Full));
            assert_eq!(refused.err(), Some(Refused::Key(KeyRefusal::Conflict)));
        }
    }

    /// The store removes what is oldest.
    pub fn trim(&mut self, server: &Server, channel: usize) {
        let truth = &mut self.channels[channel];
        if channel == DISK && truth.first_on_disk <= truth.top() {
            truth.first_on_disk += 1;
            server.hub.trimmed(&stream(CHANNELS[DISK]), truth.first_on_disk);
        }
    }

    /// What the store reads.
    pub fn on_disk(&self, stream: &Arc<Stream>, range: &RangeInclusive<u64>) -> Vec<Arc<Publication>> {
        let truth = &self.channels[DISK];
        let kept = truth.published.range(range.clone()).filter(|(offset, _)| truth.is_kept(**offset));
        let restore = |(offset, published): (&u64, &Published)| {
            Hub::restore(stream, *offset, 0, incoming(published.data.clone(), published.exclude))
        };
        // Fewer than it could, so that there are several turns.
        kept.take(3).map(restore).collect()
    }

    /// Whether the server has decided rightly from where a subscriber goes on.
    pub fn judge(&self, channel: usize, asked: &Asked, got: &Standing) {
        let truth = &self.channels[channel];
        let top = truth.top();
        assert!(
            got.top == top || (got.top > top && truth.freed_at == Some(top)),
            "{} {got:?} {top}",
            CHANNELS[channel]
        );
        let recovered = got.start.recovered.map(|outcome| outcome.is_ok());
        match (&asked.since, asked.mode) {
            (None, _) => assert_eq!((recovered, got.start.offset), (None, got.top)),
            (Some(Since::At(at)), Mode::Stream) => {
                let expected = *at.epoch == *got.epoch && at.offset <= got.top && truth.is_whole_after(at.offset);
                if recovered == Some(true) {
                    assert!(expected, "{}: what came after {} is gone", CHANNELS[channel], at.offset);
                    assert_eq!(got.start.offset, at.offset);
                } else {
                    assert_eq!(got.start.offset, got.top);
                    // A channel that was freed has forgotten which of its old positions are whole.
                    let may_be_forgotten = truth.freed_at.is_some_and(|freed| at.offset <= freed.max(got.top));
                    assert!(!expected || may_be_forgotten, "{}: all after {} is kept", CHANNELS[channel], at.offset);
                }
            }
            (Some(Since::Earliest), Mode::Stream) => assert_eq!(recovered, Some(true)),
            (Some(_), Mode::Latest) => {
                let has_newest = matches!(&asked.since, Some(Since::At(at)) if at.offset == got.top);
                let expected = if !has_newest && truth.is_kept(top) { got.top - 1 } else { got.top };
                assert_eq!(got.start.offset, expected);
            }
        }
    }
}
