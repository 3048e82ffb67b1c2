//! Two shards without threads and sockets: what `Shard` does with its connections, one step at a time.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use realtime_protocol::{ChannelName, ConnectionId, Mode, Position, Since, push};
use serde_json::value::RawValue;
use slab::Slab;

use super::super::catch_up::{Behind, CatchUp, Served, portion, read};
use super::super::channel::{CATCHING_UP, follow};
use super::super::outbox::{Class, Outbox, Written};
use super::super::share::Share;
use super::truth::{CHANNELS, Truth, rule_of};
use crate::config::Config;
use crate::directory::{Directory, Member, Place, Subscription};
use crate::hub::{Cut, Hub, Incoming, Payload, Publication, Pull, Standing, Stream, Wish};
use crate::inbox::Item;
use crate::rules::Overflow;
use crate::ws;

pub const SHARDS: usize = 2;
/// Bytes that may wait for one connection.
pub const OUTBOX_MAX: usize = 3000;
/// What the kernel takes of what nobody reads.
const SEND_BUFFER: usize = 1500;

/// From where a subscriber asks to go on.
#[derive(Clone, Debug)]
pub struct Asked {
    pub since: Option<Since>,
    pub mode: Mode,
}

struct Subscriber {
    connection: usize,
    next: u64,
}

struct Channel {
    stream: Arc<Stream>,
    overflow: Overflow,
    epoch: Option<Arc<str>>,
    delivered: u64,
    subscribers: Slab<Subscriber>,
}

/// A batch on its way to the subscribers of a stream, and how far it has come.
struct Pass {
    local: u32,
    stream: Arc<Stream>,
    publications: Vec<Arc<Publication>>,
    at: usize,
}

#[derive(Default)]
struct Shard {
    inbox: VecDeque<(u32, Arc<Publication>)>,
    channels: Slab<Channel>,
    pass: Option<Pass>,
}

struct Connection {
    place: Place,
    member: Arc<Member>,
    outbox: Option<Box<Outbox>>,
    /// What the kernel has, and the browser has not read.
    wire: VecDeque<u8>,
    behind: Behind,
    /// What is being read from the store.
    reading: Option<(CatchUp, RangeInclusive<u64>)>,
    is_too_slow: bool,
}

pub struct Server {
    pub hub: Hub,
    directory: Arc<Directory>,
    shards: Vec<Shard>,
    connections: Vec<Option<Connection>>,
    made: u32,
}

pub fn stream(name: &str) -> Stream {
    Stream::channel(ChannelName::parse(name).unwrap())
}

pub fn incoming(data: String, exclude: Option<ConnectionId>) -> Incoming {
    let payload = Payload { event: None, data: RawValue::from_string(data).unwrap(), user: None };
    Incoming { payload: Arc::new(payload), exclude, id: None }
}

impl Connection {
    fn send(&mut self, frame: &Bytes, class: Class<'_>) -> Written {
        let Self { outbox, wire, .. } = self;
        Outbox::send(outbox, frame, 0, class, OUTBOX_MAX, |bytes| take(wire, bytes))
    }

    fn reply(&mut self, frame: &Bytes) {
        if self.send(frame, Class::Control) == Written::Full {
            self.is_too_slow = true;
        }
    }

    fn flush(&mut self) {
        let Some(outbox) = &mut self.outbox else { return };
        let wire = &mut self.wire;
        let write = |slices: &[io::IoSlice<'_>]| {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            take(wire, &bytes)
        };
        outbox.flush(write).unwrap();
        if outbox.bytes() == 0 {
            self.outbox = None;
        }
    }

    fn seal(&mut self, local: u32) {
        self.behind.drop_stream(local);
        if let Some(outbox) = &mut self.outbox {
            outbox.seal(local);
        }
    }

    fn subscription(&self, local: u32) -> Option<Subscription> {
        self.member.subscriptions().iter().find(|s| s.local == local).copied()
    }
}

/// As the kernel takes what is written.
fn take(wire: &mut VecDeque<u8>, bytes: &[u8]) -> io::Result<usize> {
    let room = SEND_BUFFER.saturating_sub(wire.len()).min(bytes.len());
    if room == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    wire.extend(&bytes[..room]);
    Ok(room)
}

impl Server {
    pub fn new(browsers: usize) -> Self {
        let inboxes = (0..SHARDS).map(|_| Arc::default()).collect();
        let directory = Arc::new(Directory::new(SHARDS));
        let mut config = Config::default();
        config.idempotency.ttl = super::HOUR * super::truth::KEY_HOURS;
        let mut hub = Hub::new(inboxes, directory.clone(), &config, Box::new(rule_of));
        hub.load_disk("disk-epoch", 0, Vec::new());
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { hub, directory, shards, connections: (0..browsers).map(|_| None).collect(), made: 0 }
    }

    pub fn id(&self, browser: usize) -> Option<ConnectionId> {
        let connection = self.connections[browser].as_ref()?;
        Some(self.directory.id(connection.place))
    }

    /// Publishes outside the simulation; the offset.
    pub fn publish_in(&self, name: &str, data: u64) -> u64 {
        self.hub.publish(&stream(name), &incoming(data.to_string(), None)).unwrap().offset.unwrap()
    }

    /// Whether who comes back from this offset is told that nothing is missing.
    pub fn recovers(&self, name: &str, offset: u64) -> bool {
        let since = Since::At(Position { epoch: (&**self.hub.memory_epoch()).into(), offset });
        let mut standing = None;
        let wish = Wish { since: Some(&since), ..Wish::default() };
        self.hub.subscribe(0, stream(name), wish, |_, _, _| 0, |cut| standing = cut.standing);
        self.hub.unsubscribe(0, &stream(name), None, || {});
        standing.and_then(|standing| standing.start.recovered).is_some_and(|outcome| outcome.is_ok())
    }

    /// As a new connection, on either shard, if there is none.
    pub fn connect(&mut self, browser: usize) -> bool {
        if self.connections[browser].is_some() {
            return false;
        }
        self.made += 1;
        let mut tag = [0; 12];
        tag[..4].copy_from_slice(&self.made.to_be_bytes());
        let shard = self.made as usize % SHARDS;
        let place = Place { shard: shard as u16, slot: browser as u32, tag };
        let member = Arc::new(Member::new(tag));
        self.directory.enter(place.shard, place.slot, member.clone());
        self.connections[browser] = Some(Connection {
            place,
            member,
            outbox: None,
            wire: VecDeque::new(),
            behind: Behind::default(),
            reading: None,
            is_too_slow: false,
        });
        true
    }

    pub fn disconnect(&mut self, browser: usize) -> Option<ConnectionId> {
        let id = self.id(browser)?;
        for channel in 0..CHANNELS.len() {
            self.unsubscribe(browser, channel);
        }
        let connection = self.connections[browser].take()?;
        self.directory.leave(connection.place.shard, connection.place.slot);
        Some(id)
    }

    /// Connections that were too slow.
    pub fn closed(&self) -> Vec<usize> {
        let slow = |(_, connection): &(usize, &Option<Connection>)| connection.as_ref().is_some_and(|c| c.is_too_slow);
        self.connections.iter().enumerate().filter(slow).map(|(browser, _)| browser).collect()
    }

    fn find(&self, browser: usize, channel: usize) -> Option<Subscription> {
        let connection = self.connections[browser].as_ref()?;
        let channels = &self.shards[usize::from(connection.place.shard)].channels;
        let wanted = stream(CHANNELS[channel]);
        let subscriptions = connection.member.subscriptions();
        subscriptions.iter().find(|s| *channels[s.local as usize].stream == wanted).copied()
    }

    /// What `Shard::subscribe` does, and the reply.
    pub fn subscribe(&mut self, browser: usize, channel: usize, asked: &Asked, previous: &[ConnectionId]) -> Standing {
        let known = self.find(browser, channel);
        let Self { hub, shards, connections, .. } = self;
        let connection = connections[browser].as_mut().unwrap();
        let name = stream(CHANNELS[channel]);
        let channels = std::cell::RefCell::new(&mut shards[usize::from(connection.place.shard)].channels);
        let wish = Wish { since: asked.since.as_ref(), mode: asked.mode, who: None, again: known.is_some() };
        let epoch = if CHANNELS[channel] == "disk" { hub.disk_epoch() } else { hub.memory_epoch() };
        let mut made: Option<(Cut, Arc<Stream>)> = None;
        hub.subscribe(
            connection.place.shard,
            name.clone(),
            wish,
            |stream, rule, next| {
                let (stream, epoch, delivered) = (stream.clone(), Some(epoch.clone()), next - 1);
                let subscribers = Slab::new();
                let channel = Channel { stream, overflow: rule.overflow, epoch, delivered, subscribers };
                channels.borrow_mut().insert(channel) as u32
            },
            |cut| {
                let mut channels = channels.borrow_mut();
                let channel = &mut channels[cut.local as usize];
                let is_behind = cut.standing.as_ref().is_some_and(Standing::is_behind);
                let next = if is_behind { CATCHING_UP } else { cut.next };
                match known {
                    Some(known) => channel.subscribers[known.slot as usize].next = next,
                    None => {
                        let slot = channel.subscribers.insert(Subscriber { connection: browser, next }) as u32;
                        connection.member.subscriptions().push(Subscription { local: cut.local, slot });
                    }
                }
                made = Some((cut, channel.stream.clone()));
            },
        );
        let (cut, stream) = made.unwrap();
        let standing = cut.standing.unwrap();
        connection.seal(cut.local);
        if standing.is_behind() {
            let (next, mode) = (standing.start.offset + 1, asked.mode);
            connection.behind.add(CatchUp { local: cut.local, stream, next, mode, previous: previous.into() });
        }
        let text = push::subscribed(None, name.name.of(), Some(standing.of(asked.mode)), None);
        connection.reply(&ws::text_frame(&text));
        standing
    }

    pub fn unsubscribe(&mut self, browser: usize, channel: usize) {
        let Some(Subscription { local, .. }) = self.find(browser, channel) else { return };
        let Self { hub, shards, connections, .. } = self;
        let connection = connections[browser].as_mut().unwrap();
        let channels = &mut shards[usize::from(connection.place.shard)].channels;
        let stream = channels[local as usize].stream.clone();
        connection.seal(local);
        hub.unsubscribe(connection.place.shard, &stream, None, || {
            let mut subscriptions = connection.member.subscriptions();
            let at = subscriptions.iter().position(|s| s.local == local).unwrap();
            let Subscription { slot, .. } = subscriptions.swap_remove(at);
            channels[local as usize].subscribers.remove(slot as usize);
            if channels[local as usize].subscribers.is_empty() {
                channels.remove(local as usize);
            }
        });
    }

    /// Goes on with what `Shard::fan_out` does: so many items at once, to so many subscribers.
    pub fn fan_out(&mut self, shard: usize, items: usize, subscribers: usize) {
        for item in self.hub.inbox(shard as u16).drain() {
            let Item::Publication { local, publication } = item else { panic!("nothing else is sent") };
            self.shards[shard].inbox.push_back((local, publication));
        }
        if self.shards[shard].pass.is_none() {
            self.begin_pass(shard, items);
        }
        self.pass(shard, subscribers);
    }

    fn begin_pass(&mut self, shard: usize, items: usize) {
        let Self { shards, connections, .. } = self;
        let Shard { inbox, channels, pass } = &mut shards[shard];
        let Some((local, first)) = inbox.pop_front() else { return };
        let stream = first.stream.clone().unwrap();
        let mut publications = vec![first];
        // As sorting by stream does, which leaves the order within one alone.
        while publications.len() < items {
            let same = |(other, next): &(u32, Arc<Publication>)| {
                *other == local && next.stream.as_ref().is_some_and(|s| Arc::ptr_eq(s, &stream))
            };
            let Some(at) = inbox.iter().position(same) else { break };
            publications.extend(inbox.remove(at).map(|(_, publication)| publication));
        }
        let offsets: Vec<_> = publications.iter().map(|p| p.offset).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "the inbox's order is not that of offsets: {offsets:?}");
        if let Some(channel) = channels.get_mut(local as usize).filter(|c| Arc::ptr_eq(&c.stream, &stream)) {
            assert_eq!(follow(&mut channel.delivered, &publications), None, "the inbox has a hole");
        }
        let _ = connections;
        *pass = Some(Pass { local, stream, publications, at: 0 });
    }

    fn pass(&mut self, shard: usize, subscribers: usize) {
        let Self { shards, connections, .. } = self;
        let Shard { channels, pass, .. } = &mut shards[shard];
        let Some(Pass { local, stream, publications, at }) = pass else { return };
        let Some(channel) = channels.get_mut(*local as usize).filter(|c| Arc::ptr_eq(&c.stream, stream)) else {
            *pass = None;
            return;
        };
        let end = channel.subscribers.capacity().min(*at + subscribers);
        for slot in *at..end {
            let Some(subscriber) = channel.subscribers.get_mut(slot) else { continue };
            let connection = connections[subscriber.connection].as_mut().unwrap();
            let terms = (channel.overflow, channel.epoch.as_deref());
            match write_single(connection, subscriber.next, *local, publications, terms) {
                Some(Written::Behind(next)) => {
                    subscriber.next = CATCHING_UP;
                    connection.behind.add(CatchUp::new(*local, stream, next));
                }
                Some(Written::Full) => connection.is_too_slow = true,
                _ => {}
            }
        }
        *at = end;
        if *at >= channel.subscribers.capacity() {
            *pass = None;
        }
    }

    /// One turn of what `Shard::catch_up` does.
    pub fn catch_up(&mut self, browser: usize, truth: &Truth) {
        let Some(mut connection) = self.connections[browser].take() else { return };
        self.turn(&mut connection, truth);
        self.connections[browser] = Some(connection);
    }

    fn turn(&mut self, connection: &mut Connection, truth: &Truth) {
        let own = self.directory.id(connection.place);
        let channels = &mut self.shards[usize::from(connection.place.shard)].channels;
        if connection.outbox.is_some() {
            return;
        }
        let (catch_up, served) = match connection.reading.take() {
            Some((catch_up, range)) => {
                if !connection.behind.wants(&catch_up) {
                    return;
                }
                let pull = read(&range, truth.on_disk(&catch_up.stream, &range), self.hub.disk_epoch());
                let served = catch_up.serve(&pull, own, Publication::frame);
                (catch_up, served)
            }
            None => {
                let Some(catch_up) = connection.behind.first() else { return };
                let subscription = connection.subscription(catch_up.local);
                let go_live = |next| {
                    let slot = subscription.unwrap().slot as usize;
                    channels[catch_up.local as usize].subscribers[slot].next = next;
                };
                let CatchUp { stream, next, mode, .. } = &catch_up;
                let pull = self.hub.pull(stream, *next, *mode, portion(OUTBOX_MAX), go_live);
                assert!(!matches!(pull, Pull::Unkept), "every channel here keeps its history");
                let served = catch_up.serve(&pull, own, Publication::frame);
                (catch_up, served)
            }
        };
        match served {
            Served::Frames { frames, next } => {
                connection.reply(&frames);
                connection.behind.advance(&catch_up, Some(next));
            }
            Served::Done => connection.behind.advance(&catch_up, None),
            Served::Read(range) => connection.reading = Some((catch_up, range)),
        }
    }

    /// The browser reads so many bytes, and the kernel takes more.
    pub fn read(&mut self, browser: usize, bytes: usize) -> Vec<u8> {
        let Some(connection) = &mut self.connections[browser] else { return Vec::new() };
        let bytes = bytes.min(connection.wire.len());
        let read = connection.wire.drain(..bytes).collect();
        connection.flush();
        read
    }

    pub fn check_bounds(&self) {
        for connection in self.connections.iter().flatten() {
            let Some(outbox) = &connection.outbox else { continue };
            // One frame may always wait, also a joined portion of a history that occupies more than it is long.
            assert!(outbox.bytes() <= OUTBOX_MAX || outbox.len() == 1, "{} bytes wait", outbox.bytes());
        }
    }

    pub fn is_settled(&self) -> bool {
        let is_idle = |connection: &Connection| {
            let Connection { outbox, wire, behind, reading, .. } = connection;
            outbox.is_none() && wire.is_empty() && behind.is_empty() && reading.is_none()
        };
        self.connections.iter().flatten().all(is_idle)
            && self.shards.iter().all(|shard| shard.pass.is_none() && shard.inbox.is_empty())
    }

    pub fn top(&self, channel: usize) -> u64 {
        self.hub.position(&stream(CHANNELS[channel])).unwrap().offset
    }

    /// Whether the server has the subscription that the browser believes in, and passes on what comes.
    pub fn check_live(&self, browser: usize, channel: usize, expected: bool) {
        let subscription = self.find(browser, channel);
        assert_eq!(subscription.is_some(), expected, "{browser} in {}", CHANNELS[channel]);
        let Some(Subscription { local, slot }) = subscription else { return };
        let connection = self.connections[browser].as_ref().unwrap();
        let shard = &self.shards[usize::from(connection.place.shard)];
        let next = shard.channels[local as usize].subscribers[slot as usize].next;
        assert_ne!(next, CATCHING_UP, "{browser} in {} catches up for ever", CHANNELS[channel]);
    }
}

/// What `fanout::write_single` does.
fn write_single(
    connection: &mut Connection,
    next: u64,
    local: u32,
    publications: &[Arc<Publication>],
    (overflow, epoch): (Overflow, Option<&str>),
) -> Option<Written> {
    for publication in publications {
        let stream = publication.stream.as_ref().unwrap();
        let offset = publication.offset;
        let position;
        let frame = match Share::live(publication, next, connection.place.slot, connection.place.tag) {
            Share::Nothing => continue,
            Share::Whole => publication.frame(),
            Share::Position => {
                position = ws::text_frame(&push::position(stream.name.of(), offset));
                &position
            }
        };
        let class = Class::Publication { local, stream, epoch, offset, overflow };
        let written = connection.send(frame, class);
        if matches!(written, Written::Full | Written::Dead | Written::Behind(_)) {
            return Some(written);
        }
    }
    None
}
