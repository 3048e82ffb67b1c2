//! A stream's subscribers on one shard.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::connection::Connection;
use crate::directory::Subscription;
use crate::hub::{Publication, Stream};
use crate::rules::Overflow;

/// One subscriber and the first offset that it wants.
pub struct Subscriber {
    /// Who.
    pub connection: Rc<Connection>,
    /// Publications before this offset are from before its subscription; [`CATCHING_UP`] while it gets them from the
    /// history.
    pub next: u64,
    /// Whether it may see who comes and goes.
    pub sees_members: bool,
}

/// No offset: nothing is passed to the subscriber as it comes.
pub const CATCHING_UP: u64 = u64::MAX;

/// A stream as its shard knows it.
pub struct Channel {
    /// Which; compared by pointer, since a freed stream's next life is another stream.
    pub stream: Arc<Stream>,
    /// What happens to its slow readers.
    pub overflow: Overflow,
    /// The life of its history, when it has one.
    pub epoch: Option<Arc<str>>,
    /// Whether somebody here may not see who comes and goes.
    pub hides_members: bool,
    /// The last offset that was passed to subscribers here.
    pub delivered: u64,
    /// Subscribers in stable slots, so that a pass that pauses finds its place again; empty slots are used again.
    /// Most streams have one, which lies here: room for four, as a vector begins with, would be most of what such a
    /// stream takes.
    slots: SmallVec<[Option<Subscriber>; 1]>,
    free: Vec<u32>,
}

impl Channel {
    /// A stream without subscribers.
    pub fn new(stream: Arc<Stream>, overflow: Overflow, epoch: Option<Arc<str>>, delivered: u64) -> Self {
        let slots = SmallVec::new();
        Self { stream, overflow, epoch, hides_members: false, delivered, slots, free: Vec::new() }
    }

    /// Takes note of what is passed to subscribers now; returns the first offset that the shard was not handed, if there
    /// is a hole before.
    pub fn follow(&mut self, publications: &[Arc<Publication>]) -> Option<u64> {
        follow(&mut self.delivered, publications)
    }

    /// The subscriber in `slot`.
    pub fn subscriber(&mut self, slot: u32) -> Option<&mut Subscriber> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// All subscribers and their slots.
    pub fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.slots.iter().flatten()
    }

    /// Adds a subscriber; returns its slot.
    pub fn add(&mut self, subscriber: Subscriber) -> u32 {
        self.hides_members |= !subscriber.sees_members;
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(subscriber);
            return slot;
        }
        self.slots.push(Some(subscriber));
        (self.slots.len() - 1) as u32
    }

    /// The subscriber in `slot` may no more see who comes and goes.
    pub fn hide_members_from(&mut self, slot: u32) {
        if let Some(subscriber) = self.subscriber(slot) {
            subscriber.sees_members = false;
            self.hides_members = true;
        }
    }

    /// Removes the subscriber in `slot`.
    pub fn remove(&mut self, slot: u32) {
        if self.slots[slot as usize].take().is_some() {
            self.free.push(slot);
        }
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// Slots, used or not.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The subscribers in some slots.
    pub fn slice(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = &Subscriber> {
        self.slots[range].iter().flatten()
    }

    /// Gives back the memory of empty slots when most are, which moves subscribers; `local` is the shard's number of
    /// this stream, by which connections know where they are. Not during a pass, which would lose its place.
    pub fn compact(&mut self, local: u32) {
        const SMALL: usize = 32;
        if self.slots.len() < SMALL || self.free.len() < self.slots.len() / 4 * 3 {
            return;
        }
        let kept: SmallVec<[_; 1]> = self.slots.drain(..).filter(Option::is_some).collect();
        for (slot, subscriber) in kept.iter().flatten().enumerate() {
            let mut subscriptions = subscriber.connection.member.subscriptions();
            if let Some(subscription) = subscriptions.iter_mut().find(|s| s.local == local) {
                *subscription = Subscription { local, slot: slot as u32 };
            }
        }
        self.slots = kept;
        self.free = Vec::new();
    }
}

/// [`Channel::follow`], given the last offset that was passed on.
pub(super) fn follow(delivered: &mut u64, publications: &[Arc<Publication>]) -> Option<u64> {
    let before = *delivered;
    // What comes from before the shard's first subscription is for nobody.
    let mut new = publications.iter().filter(|p| p.kept().is_some() && p.offset > before);
    let first = new.next()?;
    *delivered = new.next_back().unwrap_or(first).offset;
    (first.prev() != before).then_some(before + 1)
}
