//! The sequencer: who is interested in a stream, in which order its publications go out, and what is kept of them.
//!
//! A publication is sequenced under its stripe's lock, and only there: it gets the next offset, enters the history and
//! the inbox of every shard that has subscribers, before the lock is released. Two publishers' orders are thus the same
//! for all subscribers, on whatever shard they are. Wake-ups and writes come after.
//!
//! Streams on disk get their offsets from the store's writer, and come here once they are committed.

mod clock;
mod entry;
mod history;
mod keys;
mod members;
mod presence;
mod publication;
mod publish;
mod read;
mod snapshot;
mod users;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::hash_table::Entry as TableEntry;
use realtime_protocol::push::{self, Listed};
use realtime_protocol::{Mode, Since, UserId};

use crate::config::Config;
use crate::directory::Directory;
use crate::fault;
use crate::inbox::Inbox;
use crate::rules::{HistoryRule, StoreKind, StreamRule};

use self::clock::Clock;
use self::entry::{Entry, Interest, Keep, Stripe};
use self::presence::Leaving;
use self::publish::Woken;

pub use self::history::{Extent, Lost, Start};
pub use self::keys::{KeyRefusal, Keyed, Keys, MAX_SCOPES, Outcome, WINDOW, fingerprint};
pub use self::members::Who;
pub use self::publication::{AppId, Exclusion, Incoming, Kept, Payload, Publication, Stream, StreamName};
pub use self::read::{Answer, Page, Portion, Pull};
pub use self::users::Measure;

/// What holds for a stream.
pub type RuleOf = Box<dyn Fn(&StreamName) -> StreamRule + Send + Sync>;

/// A subscription's place: where its shard keeps the stream, and the first offset that it wants.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The shard's own number of the stream.
    pub local: u32,
    /// The first offset after the subscription began.
    pub next: u64,
    /// Where it begins in the history, when the stream has one.
    pub standing: Option<Standing>,
    /// The first members and whether there are more, in a presence channel.
    pub members: Option<(Vec<Listed>, bool)>,
}

/// Where a subscription begins in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The life of the store.
    pub epoch: Arc<str>,
    /// From where it goes on.
    pub start: Start,
    /// The newest offset.
    pub top: u64,
}

impl Standing {
    /// As the reply tells it.
    pub fn of(&self, mode: Mode) -> push::Standing<'_> {
        let Start { offset, recovered } = self.start;
        let recovered = recovered.map(|outcome| outcome.map_err(Lost::as_str));
        push::Standing { epoch: &self.epoch, offset, top: self.top, recovered, mode }
    }

    /// Whether there is something in the history for it.
    pub fn is_behind(&self) -> bool {
        self.start.offset < self.top
    }
}

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// From where.
    pub since: Option<&'a Since>,
    /// What of what was missed.
    pub mode: Mode,
    /// Whose connection it is.
    pub who: Option<&'a Who>,
    /// It is a subscriber already, and only begins anew.
    pub again: bool,
}

/// Why a publication was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `history.memory_max` is reached.
    Full,
    /// Its idempotency key cannot be used.
    Key(KeyRefusal),
}

impl From<KeyRefusal> for Refused {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Key(refusal)
    }
}

/// Streams by (app, name), in stripes with a lock each.
pub struct Hub {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: foldhash::fast::RandomState,
    inboxes: Box<[Arc<Inbox>]>,
    directory: Arc<Directory>,
    rule_of: RuleOf,
    /// What was published under which idempotency key.
    pub keys: Keys,
    epochs: Epochs,
    /// Bytes of all histories in memory, and how many there may be.
    kept: AtomicUsize,
    kept_max: usize,
    leaving: Mutex<Leaving>,
    clock: Clock,
    /// Where streams on disk begin their next life.
    disk_floor: AtomicU64,
    turn: AtomicUsize,
}

/// The lives of the two kinds of stores.
struct Epochs {
    memory: Arc<str>,
    disk: Arc<str>,
}

/// The life of a store: as random as a connection's id, so that no two are alike.
pub fn new_epoch() -> Arc<str> {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // Without random numbers no connection is taken either; the time tells two lives apart well enough.
        bytes = Clock::new().began_at.to_be_bytes();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

impl Hub {
    const STRIPES: usize = 256;

    /// A hub that delivers to these inboxes, one a shard.
    pub fn new(inboxes: Box<[Arc<Inbox>]>, directory: Arc<Directory>, config: &Config, rule_of: RuleOf) -> Self {
        Self {
            stripes: (0..Self::STRIPES).map(|_| Mutex::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            inboxes,
            directory,
            rule_of,
            keys: Keys::new(config.idempotency.clone()),
            epochs: Epochs { memory: new_epoch(), disk: Arc::from("") },
            kept: AtomicUsize::new(0),
            kept_max: config.history.memory_max,
            leaving: Mutex::default(),
            clock: Clock::new(),
            disk_floor: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        }
    }

    /// The inbox of one shard.
    pub fn inbox(&self, shard: u16) -> &Arc<Inbox> {
        &self.inboxes[usize::from(shard)]
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Lets time pass for a test, which waits for nothing.
    #[cfg(test)]
    pub fn let_pass(&mut self, time: std::time::Duration) {
        self.clock.began_at += u64::try_from(time.as_millis()).unwrap_or(0);
    }

    fn stripe(&self, hash: u64) -> MutexGuard<'_, Stripe> {
        // The table uses the hash's low bits and its top seven; the stripe is told by bits between.
        self.lock((hash >> 40) as usize % Self::STRIPES)
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, Stripe> {
        // Nothing under the lock panics half way through a change, so a poisoned stripe is still whole.
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn epoch(&self, entry: &Entry) -> Option<&Arc<str>> {
        match entry.keep {
            Keep::Nothing => None,
            Keep::InMemory(_) => Some(&self.epochs.memory),
            Keep::OnDisk { .. } => Some(&self.epochs.disk),
        }
    }

    /// Where a stream with a history stands.
    fn extent<'h>(&'h self, entry: &Entry) -> Option<Extent<'h>> {
        let first = match &entry.keep {
            Keep::Nothing => return None,
            Keep::InMemory(history) => history.first(entry.offset),
            Keep::OnDisk { first } => *first,
        };
        Some(Extent { epoch: self.epoch(entry)?, base: entry.base, first, top: entry.offset })
    }

    fn trim(&self, entry: &mut Entry) {
        if let Keep::InMemory(history) = &mut entry.keep {
            let before = history.bytes();
            history.trim(self.now());
            self.kept.fetch_sub(before - history.bytes(), Ordering::Relaxed);
        }
    }

    /// The stream's entry; a new one begins where no offset was given out before.
    fn enter<'s>(&self, stripe: &'s mut Stripe, hash: u64, stream: Stream) -> &'s mut Entry {
        let Stripe { floor, entries } = stripe;
        match entries.entry(hash, |entry| *entry.stream == stream, |entry| self.hasher.hash_one(&*entry.stream)) {
            TableEntry::Occupied(found) => found.into_mut(),
            TableEntry::Vacant(place) => {
                let rule = (self.rule_of)(&stream.name);
                let is_on_disk = rule.history.is_some_and(|history| history.store == StoreKind::Disk);
                let offset = if is_on_disk { self.disk_floor.load(Ordering::Relaxed) } else { *floor };
                place.insert(Entry::new(stream, rule, offset)).into_mut()
            }
        }
    }

    /// Frees the entry at this place when nobody uses it.
    fn free_if_unused(&self, stripe: &mut Stripe, hash: u64, stream: &Stream) {
        let Ok(found) = stripe.entries.find_entry(hash, |entry| *entry.stream == *stream) else { return };
        if !found.get().is_unused() {
            return;
        }
        stripe.floor = stripe.floor.max(found.get().offset);
        found.remove();
        self.shrink(stripe);
    }

    fn shrink(&self, stripe: &mut Stripe) {
        if stripe.entries.len() < stripe.entries.capacity() / 4 {
            let keep = stripe.entries.len() * 2;
            stripe.entries.shrink_to(keep, |entry| self.hasher.hash_one(&*entry.stream));
        }
    }

    /// Adds one subscriber on `shard`. `local` gives the shard's number of a stream that is new to it; `register` gets
    /// the cut while the lock is held, so that no publication comes between what it says and what is delivered, and
    /// whoever counts receivers sees both or neither.
    pub fn subscribe(
        &self,
        shard: u16,
        stream: Stream,
        wish: Wish<'_>,
        local: impl FnOnce(&Arc<Stream>, &StreamRule, u64) -> u32,
        register: impl FnOnce(Cut),
    ) {
        let hash = self.hasher.hash_one(&stream);
        let mut woken = Woken::default();
        {
            let mut stripe = self.stripe(hash);
            let entry = self.enter(&mut stripe, hash, stream);
            self.trim(entry);
            let standing = self.extent(entry).map(|extent| Standing {
                epoch: extent.epoch.into(),
                start: extent.start(wish.since, wish.mode),
                top: extent.top,
            });
            let next = entry.offset + 1;
            let local = match entry.interests.iter_mut().find(|interest| interest.shard == shard) {
                Some(interest) => {
                    interest.subscribers += u32::from(!wish.again);
                    interest.local
                }
                None => {
                    let local = local(&entry.stream, &entry.rule, next);
                    entry.interests.push(Interest { shard, local, subscribers: 1 });
                    local
                }
            };
            if !wish.again {
                self.come(entry, wish.who, &mut woken);
            }
            fault::reach(fault::Point::InCut);
            register(Cut { local, next, standing, members: self.first_members(entry) });
        }
        self.wake(woken);
    }

    /// Removes one subscriber on `shard`, a connection of `user`; `unregister` runs while the lock is held.
    pub fn unsubscribe(&self, shard: u16, stream: &Stream, user: Option<&UserId>, unregister: impl FnOnce()) {
        let hash = self.hasher.hash_one(stream);
        let mut stripe = self.stripe(hash);
        unregister();
        let Some(entry) = stripe.entries.find_mut(hash, |entry| *entry.stream == *stream) else { return };
        if let Some(at) = entry.interests.iter().position(|interest| interest.shard == shard) {
            entry.interests[at].subscribers -= 1;
            if entry.interests[at].subscribers == 0 {
                entry.interests.swap_remove(at);
            }
        }
        self.go(entry, user);
        self.free_if_unused(&mut stripe, hash, stream);
    }

    /// What the store keeps of a stream; `None`: it is not on disk.
    pub fn on_disk(&self, stream: &Stream) -> Option<HistoryRule> {
        let hash = self.hasher.hash_one(stream);
        let stripe = self.stripe(hash);
        let rule = match stripe.entries.find(hash, |entry| *entry.stream == *stream) {
            Some(entry) => entry.rule,
            None => {
                drop(stripe);
                (self.rule_of)(&stream.name)
            }
        };
        rule.history.filter(|history| history.store == StoreKind::Disk)
    }

    /// The life of the store that has a stream.
    pub fn disk_epoch(&self) -> &Arc<str> {
        &self.epochs.disk
    }

    /// The life of what is kept in memory.
    pub fn memory_epoch(&self) -> &Arc<str> {
        &self.epochs.memory
    }

    /// Takes over what the store has found on disk, before anything else happens.
    pub fn load_disk(&mut self, epoch: &str, floor: u64, streams: Vec<(Stream, u64, u64)>) {
        self.epochs.disk = epoch.into();
        self.disk_floor.store(floor, Ordering::Relaxed);
        for (stream, top, first) in streams {
            let hash = self.hasher.hash_one(&stream);
            let mut stripe = self.stripe(hash);
            let entry = self.enter(&mut stripe, hash, stream);
            // A rule that says memory now leaves alone what is on disk; nobody can ask for it.
            // Where its life began is not known; who asks for the earliest had better hear of too much that is gone.
            if let Keep::OnDisk { first: known } = &mut entry.keep {
                (*known, entry.offset, entry.base) = (first, top, 0);
            }
        }
    }

    /// How many streams have subscribers.
    pub fn streams(&self) -> usize {
        let used = |stripe: usize| self.lock(stripe).entries.iter().filter(|e| !e.interests.is_empty()).count();
        (0..Self::STRIPES).map(used).sum()
    }

    /// Waits until no shard is so far behind that publishing more would only pile up memory.
    pub async fn admission(&self) {
        for inbox in &self.inboxes {
            inbox.admission().await;
        }
    }

    /// Ends what time ends: members' graces, histories, keys. To be called every [`Self::TICK`]; a part of the streams
    /// is looked at each time, all of them within some seconds.
    pub fn tick(&self) {
        const STRIPES_A_TURN: usize = 4;
        let now = self.now();
        self.settle_members(now);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.keys.sweep(turn, now);
        for stripe in (0..STRIPES_A_TURN).map(|at| (turn * STRIPES_A_TURN + at) % Self::STRIPES) {
            let mut guard = self.lock(stripe);
            let Stripe { floor, entries } = &mut *guard;
            entries.retain(|entry| {
                self.trim(entry);
                let is_unused = entry.is_unused();
                if is_unused {
                    *floor = (*floor).max(entry.offset);
                }
                !is_unused
            });
            self.shrink(&mut guard);
        }
    }

    /// How often [`Self::tick`] is to be called.
    pub const TICK: std::time::Duration = std::time::Duration::from_millis(100);
}

/// The most shards that a node can have.
pub const MAX_SHARDS: usize = 256;

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod tests;
