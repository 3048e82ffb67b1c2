//! Which connections exist and what they subscribe to, for those that are not on the connection's own shard.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use realtime_protocol::ConnectionId;
use smallvec::SmallVec;

/// The random part of a connection's id.
pub type Tag = [u8; 12];

/// Where a connection is, told by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard that owns it.
    pub shard: u16,
    /// Its slot there.
    pub slot: u32,
    /// What makes it this connection and not a later one in the slot.
    pub tag: Tag,
}

/// One subscription as its connection keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The shard's number of the stream.
    pub local: u32,
    /// The slot in the stream's list of subscribers.
    pub slot: u32,
}

/// A connection's subscriptions. Few of them lie in the connection itself: a piece of memory of their own, allocated when
/// most are left again, would keep the page to itself in which short-lived pieces lay before.
pub type Subscriptions = SmallVec<[Subscription; 2]>;

/// The part of a connection that other threads may look at. It changes only under the lock of the stripe of the stream
/// concerned, so that a publisher counts exactly those who will receive.
#[derive(Debug)]
pub struct Member {
    tag: Tag,
    subscriptions: Mutex<Subscriptions>,
}

impl Member {
    /// A connection without subscriptions.
    pub fn new(tag: Tag) -> Self {
        Self { tag, subscriptions: Mutex::default() }
    }

    /// The connection's subscriptions.
    pub fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The random part of the connection's id.
    pub fn tag(&self) -> Tag {
        self.tag
    }
}

/// One shard's connections by slot.
type Members = Vec<Option<Arc<Member>>>;

/// All connections of the node, by place.
pub struct Directory {
    shards: Box<[Mutex<Members>]>,
    /// Hides shard and slot in ids, which would tell a browser how many connections there are.
    mask: std::hash::RandomState,
}

impl Directory {
    /// A directory for so many shards.
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), mask: std::hash::RandomState::new() }
    }

    fn mask(&self, tag: &Tag) -> [u8; 8] {
        self.mask.hash_one(tag).to_be_bytes()
    }

    /// The id of the connection at `place`.
    pub fn id(&self, place: Place) -> ConnectionId {
        let mut bytes = [0; ConnectionId::LEN];
        bytes[..2].copy_from_slice(&place.shard.to_be_bytes());
        bytes[2..6].copy_from_slice(&place.slot.to_be_bytes());
        for (byte, mask) in bytes[..6].iter_mut().zip(self.mask(&place.tag)) {
            *byte ^= mask;
        }
        bytes[6..].copy_from_slice(&place.tag);
        ConnectionId::from_bytes(bytes)
    }

    /// Where the connection with this id is; `None` when it is gone or never was.
    pub fn locate(&self, id: &ConnectionId) -> Option<Place> {
        let [a, b, c, d, e, f, tag @ ..] = *id.as_bytes();
        let mask = self.mask(&tag);
        let shard = u16::from_be_bytes([a ^ mask[0], b ^ mask[1]]);
        let slot = u32::from_be_bytes([c ^ mask[2], d ^ mask[3], e ^ mask[4], f ^ mask[5]]);
        let place = Place { shard, slot, tag };
        self.member(place).map(|_| place)
    }

    fn lock(&self, shard: u16) -> Option<MutexGuard<'_, Members>> {
        self.shards.get(usize::from(shard)).map(|members| members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn member(&self, place: Place) -> Option<Arc<Member>> {
        let members = self.lock(place.shard)?;
        members.get(place.slot as usize)?.clone().filter(|member| member.tag == place.tag)
    }

    /// Whether the connection at `place` subscribes to its shard's stream `local`.
    pub fn is_subscribed(&self, place: Place, local: u32) -> bool {
        self.member(place).is_some_and(|member| member.subscriptions().iter().any(|s| s.local == local))
    }

    /// Enters a connection.
    pub fn enter(&self, shard: u16, slot: u32, member: Arc<Member>) {
        if let Some(mut members) = self.lock(shard) {
            let at = slot as usize;
            if members.len() <= at {
                members.resize(at + 1, None);
            }
            members[at] = Some(member);
        }
    }

    /// Removes the connection in a slot, and the memory of slots behind the last one in use.
    pub fn leave(&self, shard: u16, slot: u32) {
        if let Some(mut members) = self.lock(shard) {
            if let Some(member) = members.get_mut(slot as usize) {
                *member = None;
            }
            while members.last().is_some_and(Option::is_none) {
                members.pop();
            }
            if members.len() < members.capacity() / 4 {
                let keep = members.len() * 2;
                members.shrink_to(keep);
            }
        }
    }
}
