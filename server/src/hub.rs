//! The sequencer: who is interested in a stream, and in which order its publications go out.
//!
//! A publication is sequenced under its stripe's lock, and only there: it gets the next offset and enters the inbox of
//! every shard that has subscribers, before the lock is released. Two publishers' orders are thus the same for all
//! subscribers, on whatever shard they are. Wake-ups and writes come after.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use realtime_protocol::{ChannelName, ConnectionId, EventName, UserId, push};
use serde_json::value::RawValue;

use crate::directory::{Directory, Place};
use crate::inbox::{Inbox, Item};
use crate::ws;

/// The application that a stream belongs to; there is one for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppId(pub u32);

impl AppId {
    /// The app of everything that names none.
    pub const DEFAULT: Self = Self(0);
}

/// What can be subscribed to and published in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamName {
    /// A channel.
    Channel(ChannelName),
    /// What is sent to one user, on all connections.
    User(UserId),
}

/// A stream of one app: the hub's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Whose.
    pub app: AppId,
    /// Which.
    pub name: StreamName,
}

/// What a publisher gave.
#[derive(Debug)]
pub struct Payload {
    /// The application's name on it.
    pub event: Option<EventName>,
    /// JSON, forwarded byte for byte.
    pub data: Box<RawValue>,
}

/// One immutable item of a stream, or what is sent to one connection.
#[derive(Debug)]
pub struct Publication {
    /// The stream; `None` when it goes to one connection.
    pub stream: Option<Arc<Stream>>,
    /// Its place in the stream, from 1.
    pub offset: u64,
    /// The connection that does not get it.
    pub exclude: Option<Place>,
    payload: Arc<Payload>,
    frame: OnceLock<Bytes>,
    deflated: OnceLock<Bytes>,
}

impl Publication {
    fn new(stream: Option<Arc<Stream>>, offset: u64, exclude: Option<Place>, payload: Arc<Payload>) -> Self {
        Self { stream, offset, exclude, payload, frame: OnceLock::new(), deflated: OnceLock::new() }
    }

    /// What is sent to one connection.
    pub fn direct(payload: Payload) -> Self {
        Self::new(None, 0, None, Arc::new(payload))
    }

    /// The complete frame, made when the first receiver needs it and shared by all.
    pub fn frame(&self) -> &Bytes {
        self.frame.get_or_init(|| ws::text_frame(&self.text()))
    }

    /// The frame for those who take compressed messages: `compress`ed when its text has `min_size` bytes and that makes
    /// it shorter, else [`Self::frame`].
    pub fn deflated(&self, min_size: usize, compress: impl FnOnce(&[u8]) -> Option<Bytes>) -> &Bytes {
        if self.frame().len() < min_size {
            return self.frame();
        }
        self.deflated.get_or_init(|| compress(self.text().as_bytes()).unwrap_or_else(|| self.frame().clone()))
    }

    fn text(&self) -> String {
        let Payload { event, data } = &*self.payload;
        match self.stream.as_deref().map(|stream| &stream.name) {
            Some(StreamName::Channel(channel)) => push::broadcast_update(channel, event.as_ref(), data),
            Some(StreamName::User(_)) => push::message(true, event.as_ref(), data),
            None => push::message(false, event.as_ref(), data),
        }
    }

    /// About what it occupies while it waits, bytes.
    pub fn size(&self) -> usize {
        const ROUGH_OVERHEAD: usize = 256;
        self.payload.data.get().len() + ROUGH_OVERHEAD
    }
}

/// A subscription's place: where its shard keeps the stream, and the first offset that it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The shard's own number of the stream.
    pub local: u32,
    /// The first offset after the subscription began.
    pub next: u64,
}

struct Entry {
    stream: Arc<Stream>,
    /// The last offset given out.
    offset: u64,
    interests: Vec<Interest>,
}

struct Interest {
    shard: u16,
    local: u32,
    subscribers: u32,
}

#[derive(Default)]
struct Stripe {
    /// No stream that was freed had an offset above this, so a stream's next life starts here: offsets never repeat, and
    /// what waits in an inbox for the former life cannot be taken for the new one's.
    floor: u64,
    entries: HashTable<Entry>,
}

/// Streams by (app, name), in stripes with a lock each.
pub struct Hub {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: foldhash::fast::RandomState,
    inboxes: Box<[Arc<Inbox>]>,
    directory: Arc<Directory>,
}

impl Hub {
    const STRIPES: usize = 256;

    /// A hub that delivers to these inboxes, one a shard.
    pub fn new(inboxes: Box<[Arc<Inbox>]>, directory: Arc<Directory>) -> Self {
        Self {
            stripes: (0..Self::STRIPES).map(|_| Mutex::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            inboxes,
            directory,
        }
    }

    /// The inbox of one shard.
    pub fn inbox(&self, shard: u16) -> &Arc<Inbox> {
        &self.inboxes[usize::from(shard)]
    }

    fn stripe(&self, hash: u64) -> MutexGuard<'_, Stripe> {
        // The table uses the hash's low bits and its top seven; the stripe is told by bits between.
        let index = (hash >> 40) as usize % Self::STRIPES;
        // Nothing under the lock panics half way through a change, so a poisoned stripe is still whole.
        self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one subscriber on `shard`. `local` gives the shard's number of a stream that is new to it; `register` gets
    /// the cut while the lock is held, so that whoever counts receivers sees both or neither.
    pub fn subscribe(
        &self,
        shard: u16,
        stream: Stream,
        local: impl FnOnce(&Arc<Stream>) -> u32,
        register: impl FnOnce(Cut),
    ) {
        let hash = self.hasher.hash_one(&stream);
        let mut stripe = self.stripe(hash);
        let floor = stripe.floor;
        let hasher = &self.hasher;
        let found =
            stripe.entries.entry(hash, |entry| *entry.stream == stream, |entry| hasher.hash_one(&*entry.stream));
        let entry = match found {
            TableEntry::Occupied(found) => found.into_mut(),
            TableEntry::Vacant(place) => place
                .insert(Entry { stream: Arc::new(stream), offset: floor, interests: Vec::with_capacity(1) })
                .into_mut(),
        };
        let next = entry.offset + 1;
        let local = if let Some(interest) = entry.interests.iter_mut().find(|i| i.shard == shard) {
            interest.subscribers += 1;
            interest.local
        } else {
            let local = local(&entry.stream);
            entry.interests.push(Interest { shard, local, subscribers: 1 });
            local
        };
        register(Cut { local, next });
    }

    /// Removes one subscriber on `shard`; `unregister` runs while the lock is held.
    pub fn unsubscribe(&self, shard: u16, stream: &Stream, unregister: impl FnOnce()) {
        let hash = self.hasher.hash_one(stream);
        let mut guard = self.stripe(hash);
        let stripe = &mut *guard;
        unregister();
        let Ok(mut found) = stripe.entries.find_entry(hash, |entry| *entry.stream == *stream) else { return };
        let entry = found.get_mut();
        if let Some(at) = entry.interests.iter().position(|interest| interest.shard == shard) {
            entry.interests[at].subscribers -= 1;
            if entry.interests[at].subscribers == 0 {
                entry.interests.swap_remove(at);
            }
        }
        if entry.interests.is_empty() {
            stripe.floor = stripe.floor.max(entry.offset);
            found.remove();
            if stripe.entries.len() < stripe.entries.capacity() / 4 {
                let hasher = &self.hasher;
                let keep = stripe.entries.len() * 2;
                stripe.entries.shrink_to(keep, |entry| hasher.hash_one(&*entry.stream));
            }
        }
    }

    /// Queues a publication for the stream's subscribers, less the excluded one; returns for how many.
    pub fn publish(&self, stream: &Stream, payload: &Arc<Payload>, exclude: Option<ConnectionId>) -> u64 {
        let hash = self.hasher.hash_one(stream);
        let exclude = exclude.and_then(|id| self.directory.locate(&id));
        let mut receivers = 0;
        let mut woken = Woken::default();
        {
            let mut stripe = self.stripe(hash);
            let Some(entry) = stripe.entries.find_mut(hash, |entry| *entry.stream == *stream) else { return 0 };
            entry.offset += 1;
            let publication =
                Arc::new(Publication::new(Some(entry.stream.clone()), entry.offset, exclude, payload.clone()));
            for interest in &entry.interests {
                receivers += u64::from(interest.subscribers);
                if exclude.is_some_and(|place| {
                    place.shard == interest.shard && self.directory.is_subscribed(place, interest.local)
                }) {
                    receivers -= 1;
                }
                let item = Item::Publication { local: interest.local, publication: publication.clone() };
                if self.inbox(interest.shard).push(item) {
                    woken.add(interest.shard);
                }
            }
        }
        woken.each(|shard| self.inbox(shard).wake());
        receivers
    }

    /// Queues what goes to one connection; returns 1 if there is such a connection, else 0.
    pub fn send_to_connection(&self, id: &ConnectionId, payload: Payload) -> u64 {
        let Some(place) = self.directory.locate(id) else { return 0 };
        let publication = Arc::new(Publication::direct(payload));
        let inbox = self.inbox(place.shard);
        if inbox.push(Item::Direct { place, publication }) {
            inbox.wake();
        }
        1
    }

    /// How many streams have subscribers.
    pub fn streams(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner).entries.len()).sum()
    }

    /// Waits until no shard is so far behind that publishing more would only pile up memory.
    pub async fn admission(&self) {
        for inbox in &self.inboxes {
            inbox.admission().await;
        }
    }
}

/// The shards to wake after the lock; without a heap allocation for the usual few.
#[derive(Default)]
struct Woken {
    first: [u64; 4],
}

impl Woken {
    fn add(&mut self, shard: u16) {
        self.first[usize::from(shard) / 64] |= 1 << (shard % 64);
    }

    fn each(self, mut wake: impl FnMut(u16)) {
        for (word, mut bits) in (0u16..).zip(self.first) {
            while bits != 0 {
                wake(word * 64 + bits.trailing_zeros() as u16);
                bits &= bits - 1;
            }
        }
    }
}

/// The most shards that a node can have.
pub const MAX_SHARDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Hub {
        Hub::new(Box::new([Arc::default(), Arc::default()]), Arc::new(Directory::new(2)))
    }

    fn stream(name: &str) -> Stream {
        Stream { app: AppId::DEFAULT, name: StreamName::Channel(ChannelName::parse(name).unwrap()) }
    }

    fn payload() -> Arc<Payload> {
        Arc::new(Payload { event: None, data: RawValue::from_string("1".to_owned()).unwrap() })
    }

    fn subscribe(hub: &Hub, shard: u16, name: &str) -> Cut {
        let mut cut = None;
        hub.subscribe(shard, stream(name), |_| 7, |got| cut = Some(got));
        cut.unwrap()
    }

    #[test]
    fn a_subscription_wants_what_comes_after_it() {
        let hub = hub();
        assert_eq!(subscribe(&hub, 0, "c"), Cut { local: 7, next: 1 });
        assert_eq!(hub.publish(&stream("c"), &payload(), None), 1);
        assert_eq!(subscribe(&hub, 1, "c").next, 2);
        assert_eq!(hub.publish(&stream("c"), &payload(), None), 2);
        assert_eq!(hub.publish(&stream("other"), &payload(), None), 0);
    }

    #[test]
    fn offsets_go_on_after_a_stream_was_freed() {
        let hub = hub();
        subscribe(&hub, 0, "c");
        for _ in 0..5 {
            hub.publish(&stream("c"), &payload(), None);
        }
        hub.unsubscribe(0, &stream("c"), || {});
        assert_eq!(hub.streams(), 0);
        assert!(subscribe(&hub, 0, "c").next > 5, "what still waits in the inbox would be taken for the new life's");
    }

    #[test]
    fn streams_that_nobody_uses_leave_no_memory_behind() {
        let hub = hub();
        let names = (0..200_000).map(|n| stream(&format!("c{n}")));
        let mut open = std::collections::VecDeque::new();
        for stream in names {
            hub.subscribe(0, stream.clone(), |_| 0, |_| {});
            open.push_back(stream);
            if open.len() > 10_000 {
                hub.unsubscribe(0, &open.pop_front().unwrap(), || {});
            }
        }
        for stream in open {
            hub.unsubscribe(0, &stream, || {});
        }
        let capacity: usize = hub.stripes.iter().map(|s| s.lock().unwrap().entries.capacity()).sum();
        assert_eq!(hub.streams(), 0);
        assert!(capacity < 100, "tables for {capacity} streams are kept");
    }
}
