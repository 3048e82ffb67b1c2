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
use super::share::Share;
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

    /// Whether both are the same subscription at the same place.
    fn is(&self, other: &Self) -> bool {
        self.local == other.local && self.next == other.next && Arc::ptr_eq(&self.stream, &other.stream)
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

    /// Which is served next.
    pub fn first(&self) -> Option<CatchUp> {
        self.streams.borrow().first().cloned()
    }

    /// Whether this is still wanted: the stream may have been left, or begun anew, while the store was read.
    pub fn wants(&self, catch_up: &CatchUp) -> bool {
        self.streams.borrow().iter().any(|known| known.is(catch_up))
    }

    /// Whether the connection has everything.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.streams.borrow().is_empty()
    }

    /// Everything before `next` is sent; `None`: all of the stream.
    pub fn advance(&self, done: &CatchUp, next: Option<u64>) {
        let mut streams = self.streams.borrow_mut();
        let Some(at) = streams.iter().position(|known| known.is(done)) else { return };
        match next {
            Some(next) => streams[at].next = next,
            None => drop(streams.swap_remove(at)),
        }
    }
}

/// What a pull comes to.
pub(super) enum Served {
    /// These frames, as one write; then the receiver has everything before `next`.
    Frames { frames: Bytes, next: u64 },
    /// Nothing more.
    Done,
    /// This part must be read from the store first.
    Read(RangeInclusive<u64>),
}

impl CatchUp {
    /// What the receiver known by `own` gets of a pull; what excluded it leaves only its offset. `choose` gives the frame
    /// of a publication.
    pub(super) fn serve<'p>(
        &self,
        pull: &'p Pull,
        own: ConnectionId,
        choose: impl Fn(&'p Publication) -> &'p Bytes,
    ) -> Served {
        let of = self.stream.name.of();
        match pull {
            Pull::Live | Pull::Unkept => Served::Done,
            Pull::OnDisk(range) => Served::Read(range.clone()),
            Pull::Frames(publications) => {
                let mut frames = Vec::new();
                for publication in publications {
                    match Share::kept(publication, own, &self.previous) {
                        Share::Whole => frames.extend_from_slice(choose(publication)),
                        Share::Position => {
                            frames.extend_from_slice(&ws::text_frame(&push::position(of, publication.offset)));
                        }
                        Share::Nothing => {}
                    }
                }
                let next = publications.last().map_or(self.next, |last| last.offset + 1);
                Served::Frames { frames: frames.into(), next }
            }
            &Pull::Nothing { to } => Served::Frames { frames: ws::text_frame(&push::position(of, to)), next: to + 1 },
            &Pull::Missed { from, to, ref epoch } => {
                let gap = push::Gap { epoch, from, to, reason: "trimmed", recoverable: false };
                Served::Frames { frames: ws::text_frame(&push::missed_range(of, gap)), next: to + 1 }
            }
        }
    }
}

/// What the store's answer for `range` means; what is not there was trimmed away meanwhile.
pub(super) fn read(range: &RangeInclusive<u64>, publications: Vec<Arc<Publication>>, epoch: &Arc<str>) -> Pull {
    let (from, to) = (*range.start(), *range.end());
    match publications.first() {
        Some(first) if first.offset == from => Pull::Frames(publications),
        first => Pull::Missed { from, to: first.map_or(to, |first| first.offset - 1), epoch: epoch.clone() },
    }
}

/// What is sent at once to a connection for which `outbox_max` bytes may wait.
pub(super) fn portion(outbox_max: usize) -> Portion {
    Portion { bytes: PORTION.bytes.min(outbox_max / 2), ..PORTION }
}

impl Connection {
    /// Waits until nothing waits in its outbox; `false`: it is being closed.
    async fn is_ready(&self, behind: &Behind) -> bool {
        while self.is_open() && !self.is_clear() {
            behind.cleared.notified().await;
        }
        self.is_open()
    }
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
            if !connection.is_ready(&behind).await {
                break;
            }
            // Held until everybody else has had a turn, and while the store is read.
            let Ok(turn) = self.turns.acquire().await else { break };
            let Some(catch_up) = behind.first() else { break };
            let mut served = self.pull(&connection, &catch_up);
            let mut turn = Some(turn);
            if let Served::Read(range) = served {
                let Some(read) = self.read_from_store(&catch_up, &range).await else {
                    self.close_with(&connection, CloseCode::GoingAway, None, Some(1_000));
                    break;
                };
                // Meanwhile others may have filled the outbox, or the client may have changed its mind.
                turn = turn.filter(|_| connection.is_clear());
                if !connection.is_ready(&behind).await {
                    break;
                }
                if !behind.wants(&catch_up) {
                    continue;
                }
                served = catch_up.serve(&read, connection.id(), |p| self.compression.choose(p, connection.deflate));
            }
            match served {
                Served::Frames { frames, next } => {
                    self.send(&connection, &frames, Class::Control);
                    behind.advance(&catch_up, Some(next));
                }
                Served::Done => behind.advance(&catch_up, None),
                Served::Read(_) => {}
            }
            // Everybody else has a turn, the fan-out of what is live above all.
            yield_now().await;
            drop(turn);
        }
        connection.is_up_to_date();
    }

    fn pull(self: &Rc<Self>, connection: &Rc<Connection>, catch_up: &CatchUp) -> Served {
        let CatchUp { local, stream, next, mode, .. } = catch_up;
        let go_live = |next| {
            let slot = connection.subscription(*local).map(|subscription| subscription.slot);
            let mut channels = self.channels.borrow_mut();
            let channel = channels.get_mut(*local as usize);
            if let Some(subscriber) = channel.zip(slot).and_then(|(channel, slot)| channel.subscriber(slot)) {
                subscriber.next = next;
            }
        };
        let pull = self.shared.hub.pull(stream, *next, *mode, portion(self.config.outbox_max), go_live);
        catch_up.serve(&pull, connection.id(), |p| self.compression.choose(p, connection.deflate))
    }

    /// `None`: the store failed, and the client is to come back later.
    async fn read_from_store(self: &Rc<Self>, catch_up: &CatchUp, range: &RangeInclusive<u64>) -> Option<Pull> {
        let store = self.shared.store.as_ref()?;
        let Portion { most, bytes } = portion(self.config.outbox_max);
        match store.read(&catch_up.stream, range.clone(), most, bytes).await {
            Ok(publications) => Some(read(range, publications, self.shared.hub.disk_epoch())),
            Err(error) => {
                warn!(%error, "a history could not be read");
                None
            }
        }
    }
}
