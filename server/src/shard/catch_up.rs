//! Subscribers that are behind: they get what they missed from the history, while their outbox has room, until they
//! have all of it. The fan-out passes them by meanwhile.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use realtime_protocol::{CloseCode, ConnectionId, Mode, push};
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};
use tracing::warn;

use super::Shard;
use super::channel::CATCHING_UP;
use super::connection::Connection;
use super::outbox::Class;
use crate::hub::{Portion, Publication, Pull, Stream};
use crate::ws;

/// Connections that are served at a time: more would only delay what is live.
pub(super) const AT_A_TIME: usize = 8;
/// What is sent at once, and waited for until the next.
const PORTION: Portion = Portion { most: 256, bytes: 64 * 1024 };

/// The streams that a connection gets from their histories.
#[derive(Default)]
pub struct Behind {
    streams: RefCell<Vec<CatchUp>>,
    /// Told when nothing waits in the outbox any more.
    pub cleared: Notify,
}

/// One of them.
#[derive(Clone)]
pub struct CatchUp {
    /// The shard's number of the stream.
    pub local: u32,
    /// The stream.
    pub stream: Arc<Stream>,
    /// The first offset that is still to be sent.
    pub next: u64,
    /// What is wanted.
    pub mode: Mode,
    /// The connections that the client had before.
    pub previous: Rc<[ConnectionId]>,
}

impl CatchUp {
    /// Of a live subscriber that has everything before `next`.
    pub fn new(local: u32, stream: &Arc<Stream>, next: u64) -> Self {
        Self { local, stream: stream.clone(), next, mode: Mode::Stream, previous: Rc::default() }
    }
}

impl Behind {
    /// Adds a stream, or begins it anew.
    pub fn add(&self, catch_up: CatchUp) {
        self.drop_stream(catch_up.local);
        self.streams.borrow_mut().push(catch_up);
    }

    /// The stream is left.
    pub fn drop_stream(&self, local: u32) {
        self.streams.borrow_mut().retain(|known| known.local != local);
    }

    /// The connection is gone.
    pub fn drop_all(&self) {
        self.streams.borrow_mut().clear();
        self.cleared.notify_one();
    }

    fn first(&self) -> Option<CatchUp> {
        self.streams.borrow().first().cloned()
    }

    /// Whether the stream is still wanted from there: it may have been left, or begun anew, while the store was read.
    fn holds(&self, catch_up: &CatchUp) -> bool {
        self.streams.borrow().iter().any(|known| known.local == catch_up.local && known.next == catch_up.next)
    }

    /// Everything before `next` is sent; `None`: all of the stream.
    fn advance(&self, local: u32, from: u64, next: Option<u64>) {
        let mut streams = self.streams.borrow_mut();
        let Some(at) = streams.iter().position(|known| known.local == local && known.next == from) else { return };
        match next {
            Some(next) => streams[at].next = next,
            None => drop(streams.swap_remove(at)),
        }
    }
}

/// How a step ended.
enum Step {
    Sent {
        next: Option<u64>,
    },
    Read(RangeInclusive<u64>),
    /// What was read is not wanted any more.
    Outdated,
    /// The store failed: the client comes back later.
    Failed,
}

impl Shard {
    /// From `next` on, a subscriber gets the stream from its history. The fan-out was told so already, or is now.
    pub(super) fn fall_behind(self: &Rc<Self>, connection: &Rc<Connection>, catch_up: CatchUp) {
        let slot = connection.subscription(catch_up.local).map(|subscription| subscription.slot);
        let mut channels = self.channels.borrow_mut();
        let channel = channels.get_mut(catch_up.local as usize);
        let Some(subscriber) = channel.zip(slot).and_then(|(channel, slot)| channel.subscriber(slot)) else { return };
        subscriber.next = CATCHING_UP;
        drop(channels);
        let (behind, is_new) = connection.fall_behind();
        behind.add(catch_up);
        if is_new {
            spawn_local(self.clone().catch_up(connection.clone(), behind));
        }
    }

    async fn catch_up(self: Rc<Self>, connection: Rc<Connection>, behind: Rc<Behind>) {
        loop {
            while connection.is_open() && !connection.is_clear() {
                behind.cleared.notified().await;
            }
            if !connection.is_open() {
                break;
            }
            let Ok(turn) = self.turns.acquire().await else { break };
            let Some(catch_up) = behind.first() else { break };
            let mut step = self.step(&connection, &catch_up);
            drop(turn);
            if let Step::Read(range) = step {
                step = self.read_from_store(&connection, &behind, &catch_up, range).await;
            }
            match step {
                Step::Sent { next } => behind.advance(catch_up.local, catch_up.next, next),
                Step::Failed => {
                    self.close_after(&connection, CloseCode::GoingAway, Some(1_000));
                    break;
                }
                Step::Read(_) | Step::Outdated => {}
            }
            // Everybody else has a turn, the fan-out of what is live above all.
            yield_now().await;
        }
        connection.is_up_to_date();
    }

    fn step(self: &Rc<Self>, connection: &Rc<Connection>, catch_up: &CatchUp) -> Step {
        let CatchUp { local, stream, next, mode, .. } = catch_up;
        let portion = Portion { bytes: PORTION.bytes.min(self.config.outbox_max / 2), ..PORTION };
        let go_live = |next| {
            let slot = connection.subscription(*local).map(|subscription| subscription.slot);
            let mut channels = self.channels.borrow_mut();
            let channel = channels.get_mut(*local as usize);
            if let Some(subscriber) = channel.zip(slot).and_then(|(channel, slot)| channel.subscriber(slot)) {
                subscriber.next = next;
            }
        };
        match self.shared.hub.pull(stream, *next, *mode, portion, go_live) {
            Pull::Live | Pull::Unkept => Step::Sent { next: None },
            Pull::OnDisk(range) => Step::Read(range),
            Pull::Frames(publications) => self.send_kept(connection, catch_up, &publications),
            Pull::Nothing { to } => {
                self.send_text(connection, &push::position(stream.name.of(), to));
                Step::Sent { next: Some(to + 1) }
            }
            Pull::Missed { from, to, epoch } => {
                let gap = push::Gap { epoch: &epoch, from, to, reason: "trimmed", recoverable: false };
                self.send_text(connection, &push::missed_range(stream.name.of(), gap));
                Step::Sent { next: Some(to + 1) }
            }
        }
    }

    fn send_text(self: &Rc<Self>, connection: &Rc<Connection>, text: &str) {
        self.send(connection, &ws::text_frame(text), Class::Control);
    }

    /// As one write; what excluded this client leaves only its offset.
    fn send_kept(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        catch_up: &CatchUp,
        publications: &[Arc<Publication>],
    ) -> Step {
        let CatchUp { stream, next, previous, .. } = catch_up;
        let own = connection.id();
        let mut frames = Vec::new();
        for publication in publications {
            let is_excluded =
                publication.exclude.is_some_and(|exclusion| exclusion.id == own || previous.contains(&exclusion.id));
            if is_excluded {
                frames.extend_from_slice(&ws::text_frame(&push::position(stream.name.of(), publication.offset)));
            } else {
                frames.extend_from_slice(self.compression.choose(publication, connection.deflate));
            }
        }
        self.send(connection, &Bytes::from(frames), Class::Control);
        Step::Sent { next: publications.last().map(|last| last.offset + 1).or(Some(*next)) }
    }

    async fn read_from_store(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        behind: &Behind,
        catch_up: &CatchUp,
        range: RangeInclusive<u64>,
    ) -> Step {
        let Some(store) = &self.shared.store else { return Step::Failed };
        let (from, to) = (*range.start(), *range.end());
        let publications = match store.read(&catch_up.stream, range, PORTION.most, PORTION.bytes).await {
            Ok(publications) => publications,
            Err(error) => {
                warn!(%error, "a history could not be read");
                return Step::Failed;
            }
        };
        if !connection.is_open() || !behind.holds(catch_up) {
            return Step::Outdated;
        }
        match publications.first() {
            Some(first) if first.offset == from => self.send_kept(connection, catch_up, &publications),
            // It was trimmed away meanwhile.
            first => {
                let to = first.map_or(to, |first| first.offset - 1);
                let epoch = self.shared.hub.disk_epoch();
                let gap = push::Gap { epoch, from, to, reason: "trimmed", recoverable: false };
                self.send_text(connection, &push::missed_range(catch_up.stream.name.of(), gap));
                Step::Sent { next: Some(to + 1) }
            }
        }
    }
}
