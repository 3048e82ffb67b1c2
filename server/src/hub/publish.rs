//! Sequencing: a publication gets its place in the stream and goes to every shard with subscribers.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use realtime_protocol::ConnectionId;

use super::entry::{Entry, Jump, Keep};
use super::{Exclusion, Hub, Incoming, Kept, Outcome, Payload, Publication, Refused, Stream};
use crate::directory::Place;
use crate::fault;
use crate::inbox::Item;

impl Hub {
    /// Queues a publication for the subscribers of a stream that is not on disk, less the excluded one, and keeps it if
    /// that is the rule. Says for how many it was queued.
    pub fn publish(&self, stream: &Stream, incoming: &Incoming) -> Result<Outcome, Refused> {
        let hash = self.hasher.hash_one(stream);
        let mut woken = Woken::default();
        let outcome = {
            let mut stripe = self.stripe(hash);
            let entry = match stripe.entries.find_mut(hash, |entry| *entry.stream == *stream) {
                Some(entry) => entry,
                // Nobody listens; only a history makes an entry worth its while.
                None if (self.rule_of)(&stream.name).history.is_none() => return Ok(Outcome::default()),
                None => self.enter(&mut stripe, hash, stream.clone()),
            };
            self.trim(entry);
            let kept = match &entry.keep {
                Keep::InMemory(history) => {
                    // Who has as many as it may have grows no more: the oldest goes.
                    if self.kept.load(Ordering::Relaxed) >= self.kept_max && !history.is_full() {
                        return Err(Refused::Full);
                    }
                    Some(Kept { at: self.now(), prev: None })
                }
                Keep::Nothing | Keep::OnDisk { .. } => None,
            };
            entry.offset += 1;
            let is_kept = kept.is_some();
            let exclude = self.exclusion(incoming.exclude);
            let publication = Publication::new(entry.stream.clone(), entry.offset, exclude, incoming.clone(), kept);
            let publication = Arc::new(publication);
            if let Keep::InMemory(history) = &mut entry.keep {
                let before = history.bytes();
                history.push(publication.clone());
                let after = history.bytes();
                self.kept.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
                self.kept.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
            }
            let offset = is_kept.then_some(entry.offset);
            Outcome { receivers: self.hand_out(entry, &publication, &mut woken), offset }
        };
        self.wake(woken);
        Ok(outcome)
    }

    /// Takes over a publication that the store has committed: from now on it is visible. Says for how many connections
    /// it was queued.
    pub fn committed(&self, stream: &Arc<Stream>, offset: u64, at: u64, incoming: Incoming) -> u64 {
        let hash = self.hasher.hash_one(&**stream);
        let mut woken = Woken::default();
        let receivers = {
            let mut stripe = self.stripe(hash);
            let entry = self.enter(&mut stripe, hash, (**stream).clone());
            let Keep::OnDisk { first } = &mut entry.keep else { return 0 };
            let before = entry.offset;
            if *first > before {
                *first = offset;
            }
            // The first one of a new life: what other streams have freed meanwhile lies in between.
            let prev = (before + 1 != offset).then_some(before);
            if prev.is_some() {
                entry.jump = Some(Jump { after: before, to: offset - 1 });
            }
            entry.offset = offset;
            let exclude = self.exclusion(incoming.exclude);
            let kept = Some(Kept { at, prev });
            let publication = Publication::new(entry.stream.clone(), offset, exclude, incoming, kept);
            self.hand_out(entry, &Arc::new(publication), &mut woken)
        };
        self.wake(woken);
        receivers
    }

    /// The store has nothing of the stream before `first` any more.
    pub fn trimmed(&self, stream: &Stream, first: u64) {
        let hash = self.hasher.hash_one(stream);
        let mut stripe = self.stripe(hash);
        let Some(entry) = stripe.entries.find_mut(hash, |entry| *entry.stream == *stream) else { return };
        if let Keep::OnDisk { first: known } = &mut entry.keep {
            *known = first.max(*known);
        }
        if entry.keep.is_empty(entry.offset) {
            self.disk_floor.fetch_max(entry.offset, Ordering::Relaxed);
        }
        self.free_if_unused(&mut stripe, hash, stream);
    }

    pub(super) fn exclusion(&self, id: Option<ConnectionId>) -> Option<Exclusion> {
        id.map(|id| Exclusion { id, place: self.directory.locate(&id) })
    }

    /// Into the inbox of every shard with subscribers; returns how many get it.
    pub(super) fn hand_out(&self, entry: &Entry, publication: &Arc<Publication>, woken: &mut Woken) -> u64 {
        let excluded = publication.exclude.and_then(|exclusion| exclusion.place);
        let mut receivers = 0;
        for (at, interest) in entry.interests.iter().enumerate() {
            if at > 0 {
                fault::reach(fault::Point::BetweenInboxes);
            }
            receivers += u64::from(interest.subscribers);
            let is_there =
                |place: Place| place.shard == interest.shard && self.directory.is_subscribed(place, interest.local);
            receivers -= u64::from(excluded.is_some_and(is_there));
            let item = Item::Publication { local: interest.local, publication: publication.clone() };
            if self.inbox(interest.shard).push(item) {
                woken.add(interest.shard);
            }
        }
        receivers
    }

    pub(super) fn wake(&self, woken: Woken) {
        woken.each(|shard| self.inbox(shard).wake());
    }

    /// Queues what goes to one connection; returns 1 if there is such a connection, else 0.
    pub fn send_to_connection(&self, id: &ConnectionId, payload: Arc<Payload>) -> u64 {
        let Some(place) = self.directory.locate(id) else { return 0 };
        let publication = Arc::new(Publication::direct(payload));
        self.send(place.shard, Item::Direct { place, publication });
        1
    }

    /// Queues an item for one shard.
    pub fn send(&self, shard: u16, item: Item) {
        let inbox = self.inbox(shard);
        if inbox.push(item) {
            inbox.wake();
        }
    }
}

/// The shards to wake after the lock; without a heap allocation for the usual few.
#[derive(Default)]
pub(super) struct Woken {
    first: [u64; 4],
}

impl Woken {
    pub(super) fn add(&mut self, shard: u16) {
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
