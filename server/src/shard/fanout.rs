//! From the inbox to the sockets: the hot path.
//!
//! Publications that arrived together are joined per stream, so that a burst costs one `send()` a subscriber. A lone
//! publication is never delayed for that. After [`SLICE`] sockets everybody else gets a turn; what is published to the
//! same stream meanwhile joins the pass (see [`Round`]), the rest forms the next one, so order holds.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use realtime_protocol::{CloseCode, push};
use tracing::{error, warn};

use super::Shard;
use super::catch_up::CatchUp;
use super::channel::Subscriber;
use super::connection::Connection;
use super::outbox::{Class, Written};
use super::round::Round;
use super::share::Share;
use crate::config::CompressionConfig;
use crate::hub::{Publication, Stream};
use crate::inbox::{Inbox, Item, MEASURE_SIZE};
use crate::rules::Overflow;
use crate::ws::{self, Deflate, Kind, Violation};

/// Sockets written in one turn.
const SLICE: usize = 256;
/// Sockets written in a pass's first turn; the next have twice as many each, up to [`SLICE`]. What is right behind the
/// first publication of a burst joins it after these few.
const FIRST_SLICE: usize = 16;
/// Most bytes joined for one write: what a socket's send buffer takes at once.
const JOINED_MAX: usize = 64 * 1024;

/// A shard's compressor and when it is worth using.
pub(super) struct Compression {
    min_size: usize,
    deflate: RefCell<Deflate>,
}

impl Compression {
    pub(super) fn new(config: &CompressionConfig) -> Self {
        Self { min_size: config.min_size, deflate: RefCell::new(Deflate::new(config.level as u32)) }
    }

    /// The frame for receivers of compressed messages: compressed once, by the shard that first needs it.
    fn frame<'p>(&self, publication: &'p Publication) -> &'p Bytes {
        publication.deflated(self.min_size, |text| self.deflate.borrow_mut().frame(Kind::Text, text))
    }

    /// The frame for one receiver.
    pub(super) fn choose<'p>(&self, publication: &'p Publication, deflate: bool) -> &'p Bytes {
        if deflate { self.frame(publication) } else { publication.frame() }
    }

    /// A message for one receiver.
    pub(super) fn message(&self, kind: Kind, message: &[u8], deflate: bool) -> Bytes {
        let is_worth_it = deflate && message.len() >= self.min_size;
        let deflated = is_worth_it.then(|| self.deflate.borrow_mut().frame(kind, message)).flatten();
        deflated.unwrap_or_else(|| ws::message_frame(kind, message))
    }

    /// What is in a compressed message, at most `max` bytes.
    pub(super) fn inflate(&self, message: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
        self.deflate.borrow_mut().inflate(message, max)
    }
}

fn join<'p>(publications: &'p [Arc<Publication>], frame: impl Fn(&'p Publication) -> &'p Bytes) -> Bytes {
    match publications {
        [one] => frame(one).clone(),
        many => many.iter().map(|p| &frame(p)[..]).collect::<Vec<_>>().concat().into(),
    }
}

/// Publications of one stream that go out together.
struct Batch<'a> {
    local: u32,
    publications: &'a [Arc<Publication>],
    /// All frames in one buffer; the frame itself when there is one.
    joined: Bytes,
    /// The same for receivers of compressed messages, made when the first one is met.
    deflated: OnceCell<Bytes>,
    /// Whether somebody is excluded from something.
    exclusive: bool,
    /// Its first offset.
    first: u64,
    compression: &'a Compression,
}

impl<'a> Batch<'a> {
    fn new(
        local: u32,
        publications: &'a [Arc<Publication>],
        hides_members: bool,
        compression: &'a Compression,
    ) -> Self {
        Self {
            local,
            publications,
            joined: join(publications, Publication::frame),
            deflated: OnceCell::new(),
            exclusive: publications.iter().any(|p| p.exclude.is_some() || (hides_members && p.is_presence())),
            // Everybody gets what tells who comes and goes, so it has no say in who is behind.
            first: publications.iter().find(|p| !p.is_presence()).map_or(u64::MAX, |p| p.offset),
            compression,
        }
    }

    fn joined(&self, deflate: bool) -> &Bytes {
        // Nothing in the batch is long enough when all of it together is not.
        if !deflate || self.joined.len() < self.compression.min_size {
            return &self.joined;
        }
        self.deflated.get_or_init(|| join(self.publications, |p| self.compression.frame(p)))
    }
}

/// What may join a pass that is under way.
struct Joining<'a> {
    local: u32,
    /// Bytes of all that are joined.
    bytes: usize,
    /// Whether what arrives may join: nothing waits that came before it.
    is_open: bool,
    /// Where everything else waits for its turn.
    later: &'a mut Vec<Item>,
}

impl Joining<'_> {
    /// Takes what has arrived, and lets join what may. Returns what has joined.
    fn look<'r>(&mut self, inbox: &Inbox, round: &'r mut Round<Publication>) -> &'r [Arc<Publication>] {
        let seen = self.later.len();
        inbox.take_now(self.later);
        let Some(first) = round.under_way().first().cloned().filter(|_| round.is_open()) else { return &[] };
        let before = round.under_way().len();
        let joins = |item: &mut Item| match item {
            Item::Publication { local, publication } if *local == self.local && same_stream(&first, publication) => {
                self.bytes += publication.frame().len();
                // Once one has to wait, so has whatever is behind it.
                self.is_open &= self.bytes <= JOINED_MAX;
                self.is_open
            }
            _ => false,
        };
        for item in self.later.extract_if(seen.., joins) {
            if let Item::Publication { publication, .. } = item {
                round.join(publication);
            }
        }
        &round.under_way()[before..]
    }
}

impl Shard {
    /// Delivers what the inbox holds, for ever.
    pub(super) async fn fan_out(self: Rc<Self>) {
        let inbox = self.shared.hub.inbox(self.index).clone();
        let mut items = Vec::new();
        let mut budget = SLICE;
        loop {
            inbox.take(&mut items).await;
            self.deliver(&inbox, &mut items, &mut budget).await;
            // Publishers that wrote meanwhile are read before the next pass, so that it joins all of them.
            tokio::task::yield_now().await;
            if items.is_empty() && items.capacity() > 4096 {
                items = Vec::new();
            }
        }
    }

    /// Delivers `items` and leaves there what arrived meanwhile.
    async fn deliver(self: &Rc<Self>, inbox: &Inbox, items: &mut Vec<Item>, budget: &mut usize) {
        let mut streams: Vec<(u32, Arc<Publication>)> = Vec::with_capacity(items.len());
        for item in items.drain(..) {
            match item {
                Item::Publication { local, publication } => streams.push((local, publication)),
                Item::Relieve => self.relieve(),
                Item::Reply { place, text } => {
                    if let Some(connection) = self.connection(place.slot, &place.tag) {
                        self.on_reply(&connection, &text);
                    }
                    inbox.delivered(text.len());
                }
                Item::Measure { local, stream, measure } => {
                    self.on_measure(local, &stream, &measure);
                    inbox.delivered(MEASURE_SIZE);
                }
                Item::Disconnect { place, reason } => {
                    if let Some(connection) = self.connection(place.slot, &place.tag) {
                        self.disconnect(&connection, reason.as_deref());
                    }
                    inbox.delivered(MEASURE_SIZE);
                }
                Item::Direct { place, publication } => {
                    if let Some(connection) = self.connection(place.slot, &place.tag) {
                        self.send(&connection, publication.frame(), Class::Control);
                    }
                    inbox.delivered(publication.size());
                }
            }
        }
        // Stable: the order within a stream is the inbox's, and none is promised between streams.
        streams.sort_by_key(|(local, _)| *local);
        let mut streams = streams.into_iter().peekable();
        while let Some((local, first)) = streams.next() {
            // Cut off at so many bytes, so that joining a burst does not overflow an outbox by itself. Frames are made
            // here and freed with their part: a large burst does not have all of them in memory at once.
            let mut bytes = first.frame().len();
            let mut part = vec![first];
            while let Some((_, next)) = streams.next_if(|(other, next)| {
                *other == local && same_stream(&part[0], next) && bytes + next.frame().len() <= JOINED_MAX
            }) {
                bytes += next.frame().len();
                part.push(next);
            }
            let mut joining = Joining {
                local,
                bytes,
                is_open: items.is_empty() && !streams.peek().is_some_and(|(_, next)| same_stream(&part[0], next)),
                later: items,
            };
            self.pass(inbox, part, &mut joining, budget).await;
        }
    }

    /// Publications of one stream to all of its subscribers. There is one pass at a time on a shard.
    async fn pass(
        self: &Rc<Self>,
        inbox: &Inbox,
        part: Vec<Arc<Publication>>,
        joining: &mut Joining<'_>,
        budget: &mut usize,
    ) {
        let local = joining.local;
        let Some(stream) = part.first().and_then(|p| p.stream.clone()) else { return };
        self.check_order(local, &stream, &part);
        let mut round = Round::new(part);
        let mut slice = FIRST_SLICE;
        self.passing.set(Some(local));
        while !round.is_over() {
            let mut failed = Vec::new();
            let used = {
                let mut channels = self.channels.borrow_mut();
                // The stream may have been left by all while this pass paused, and its number given to another; or to
                // the same one, which has other slots now, and subscribers who want nothing of this batch.
                let Some(channel) = channels.get_mut(local as usize).filter(|c| is(&c.stream, &stream)) else {
                    inbox.delivered(size(round.under_way()));
                    break;
                };
                let terms =
                    Terms { overflow: channel.overflow, epoch: channel.epoch.as_deref(), max: self.config.outbox_max };
                let batch = Batch::new(local, round.under_way(), channel.hides_members, &self.compression);
                let slots = round.slots(channel.len(), slice.min(*budget));
                for subscriber in channel.slice(slots.clone()) {
                    if let Some(written) = write(subscriber, &batch, terms) {
                        failed.push((subscriber.connection.clone(), written));
                    }
                }
                inbox.delivered(size(round.served(slots.end, channel.len())));
                if round.is_over() {
                    self.passing.set(None);
                    channel.compact(local);
                }
                slots.len()
            };
            for (connection, written) in failed {
                match written {
                    Written::Behind(next) => {
                        self.start_flush(&connection);
                        self.fall_behind(&connection, CatchUp::new(local, &stream, next));
                    }
                    other => self.after_write(&connection, other),
                }
            }
            *budget -= used;
            if *budget == 0 || (used == slice && !round.is_over()) {
                *budget = SLICE;
                slice = SLICE.min(slice * 2);
                tokio::task::yield_now().await;
                let joined = joining.look(inbox, &mut round);
                self.check_order(local, &stream, joined);
            }
        }
        self.passing.set(None);
    }

    /// What was handed to the shard has no holes. Were there one, subscribers would get the rest from the history.
    fn check_order(self: &Rc<Self>, local: u32, stream: &Arc<Stream>, publications: &[Arc<Publication>]) {
        let mut behind = Vec::new();
        let mut channels = self.channels.borrow_mut();
        let Some(channel) = channels.get_mut(local as usize).filter(|channel| is(&channel.stream, stream)) else {
            return;
        };
        let Some(next) = channel.follow(publications) else { return };
        error!(expected = next, "a shard was handed publications with a hole");
        let live = channel.subscribers().filter(|subscriber| subscriber.next <= channel.delivered);
        behind.extend(live.map(|subscriber| (subscriber.connection.clone(), subscriber.next.max(next))));
        drop(channels);
        for (connection, next) in behind {
            self.fall_behind(&connection, CatchUp::new(local, stream, next));
        }
    }

    /// Queues one frame for one connection.
    pub(super) fn send(self: &Rc<Self>, connection: &Rc<Connection>, frame: &Bytes, class: Class<'_>) {
        if connection.is_open() {
            let written = connection.send(frame, 0, class, self.config.outbox_max);
            self.after_write(connection, written);
        }
    }

    fn after_write(self: &Rc<Self>, connection: &Rc<Connection>, written: Written) {
        match written {
            Written::Out => return,
            Written::Queued | Written::Blocked => self.start_flush(connection),
            Written::Full | Written::Behind(_) => self.close(connection, CloseCode::SlowConsumer),
            Written::Dead => return connection.shutdown(),
        }
        connection.recount();
        self.check_budget();
    }

    /// Asks the shard where most waits to make room, when the node's budget is spent.
    pub(super) fn check_budget(&self) {
        if let Some(shard) = self.shared.budget.ask() {
            let inbox = self.shared.hub.inbox(shard);
            if inbox.push(Item::Relieve) {
                inbox.wake();
            }
        }
    }

    /// Closes those who hold most until the budget holds again.
    fn relieve(self: &Rc<Self>) {
        self.shared.budget.answer(self.index);
        let mut holders: Vec<_> =
            self.connections.borrow().iter().filter(|(_, c)| c.counted() > 0).map(|(_, c)| c.clone()).collect();
        holders.sort_unstable_by_key(|connection| std::cmp::Reverse(connection.counted()));
        let mut closed = 0;
        for connection in holders {
            if self.shared.budget.excess() == 0 {
                break;
            }
            self.close(&connection, CloseCode::SlowConsumer);
            connection.forget_input();
            connection.recount();
            closed += 1;
        }
        warn!(closed, "memory_max is reached; the connections that held most were closed");
    }
}

fn size(publications: &[Arc<Publication>]) -> usize {
    publications.iter().map(|publication| publication.size()).sum()
}

fn is(a: &Arc<Stream>, b: &Arc<Stream>) -> bool {
    Arc::ptr_eq(a, b)
}

fn same_stream(a: &Publication, b: &Publication) -> bool {
    match (&a.stream, &b.stream) {
        (Some(a), Some(b)) => is(a, b),
        _ => false,
    }
}

/// What holds for everybody in a channel.
#[derive(Clone, Copy)]
struct Terms<'a> {
    overflow: Overflow,
    epoch: Option<&'a str>,
    /// Bytes that may wait for one connection.
    max: usize,
}

/// One batch to one subscriber; `None` when all is well and nothing remains to be done.
#[inline]
fn write(subscriber: &Subscriber, batch: &Batch<'_>, terms: Terms<'_>) -> Option<Written> {
    let connection = &*subscriber.connection;
    if batch.exclusive || subscriber.next > batch.first || !connection.is_clear() || !connection.is_open() {
        return write_single(subscriber, batch, 0, terms);
    }
    let joined = batch.joined(connection.deflate);
    match connection.try_write(joined) {
        Ok(n) if n == joined.len() => None,
        Ok(n) => write_single(subscriber, batch, n, terms),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => write_single(subscriber, batch, 0, terms),
        Err(_) => Some(Written::Dead),
    }
}

/// Frame by frame: for receivers that are excluded, subscribed in mid-batch or have something waiting. The first
/// `written` bytes of the joined frames are out.
#[cold]
fn write_single(subscriber: &Subscriber, batch: &Batch<'_>, mut written: usize, terms: Terms<'_>) -> Option<Written> {
    let connection = &*subscriber.connection;
    if !connection.is_open() {
        return None;
    }
    let mut outcome = None;
    for publication in batch.publications {
        let frame = batch.compression.choose(publication, connection.deflate);
        if written >= frame.len() {
            written -= frame.len();
            continue;
        }
        let Some(stream) = &publication.stream else { continue };
        if publication.is_presence() && !subscriber.sees_members {
            continue;
        }
        let offset = publication.offset;
        let position;
        let frame = match Share::live(publication, subscriber.next, connection.key.slot, connection.member.tag()) {
            Share::Nothing => continue,
            Share::Whole => frame,
            Share::Position => {
                position = ws::text_frame(&push::position(stream.name.of(), offset));
                &position
            }
        };
        let class = if publication.is_presence() {
            Class::Control
        } else {
            let Terms { overflow, epoch, .. } = terms;
            Class::Publication { local: batch.local, stream, epoch, offset, overflow }
        };
        match connection.send(frame, std::mem::take(&mut written), class, terms.max) {
            Written::Out => {}
            Written::Queued => outcome = outcome.or(Some(Written::Queued)),
            // A flush is already wanted when a later frame of the batch only joins the queue.
            Written::Blocked => outcome = Some(Written::Blocked),
            end @ (Written::Full | Written::Dead | Written::Behind(_)) => return Some(end),
        }
    }
    outcome
}
