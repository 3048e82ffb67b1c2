//! A shard: one thread with its own reactor, which owns its connections and their subscriptions. Nothing here is
//! shared, so delivering takes no lock, no atomic count and no wake-up of another thread.

mod catch_up;
mod channel;
mod command;
mod connection;
mod fanout;
mod keys;
mod outbox;
mod read;
mod round;
mod secure;
mod share;
#[cfg(test)]
mod simulation;
mod slots;
mod socket;
mod subscriptions;
mod wheel;

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_protocol::{CloseCode, push};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::spawn_local;
use tracing::debug;

use self::channel::Channel;
use self::connection::{Connection, Life, Parts, Peer, Then};
use self::fanout::Compression;
use self::outbox::{Class, Written};
use self::secure::Buffers;
use self::slots::Slots;
use self::wheel::{Key, Tick, Wheel, tick_for, ticks};
use crate::Shared;
use crate::config::Config;
use crate::directory::{Member, Place, Tag};
use crate::gate::Admission;
use crate::session::{Identity, Session};
use crate::threads::STOP_TIMEOUT;
use crate::ws;

pub use self::secure::SecureSocket;
pub use self::socket::Socket;

/// How long a closed connection may take to hear of it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A socket on its way from the front to its shard.
pub struct Arrival {
    /// The upgraded socket.
    pub socket: Socket,
    /// What the front read beyond the request.
    pub read: Vec<u8>,
    /// Who it is.
    pub identity: Identity,
    /// Whether compressed messages were agreed on.
    pub deflate: bool,
    /// Its place in the limits.
    pub admission: Admission,
}

/// What the front says to a shard.
pub enum Order {
    /// A new connection.
    Adopt(Box<Arrival>),
    /// The policy is another one: see whose key is gone.
    Renew,
    /// Close all connections and end.
    Stop,
}

/// One shard, on its thread.
pub struct Shard {
    index: u16,
    shared: Arc<Shared>,
    config: Arc<Config>,
    connections: RefCell<Slots<Rc<Connection>>>,
    channels: RefCell<Slots<Channel>>,
    /// The stream that is being passed to its subscribers, who keep their slots meanwhile.
    passing: Cell<Option<u32>>,
    wheel: RefCell<Wheel>,
    /// All connections read into this one buffer.
    scratch: RefCell<Box<[u8]>>,
    /// What TLS needs besides, for all connections.
    buffers: Rc<Buffers>,
    compression: Compression,
    started: Instant,
    tick: Duration,
    now: Cell<Tick>,
    generation: Cell<u32>,
    /// Told when a connection is gone, for a stop that waits for the last.
    removed: Notify,
    /// Who may read from histories now.
    turns: Semaphore,
}

impl Shard {
    /// Runs the shard until it is stopped. `orders` ends it too when the front is gone.
    pub async fn run(index: u16, shared: Arc<Shared>, mut orders: mpsc::UnboundedReceiver<Order>) {
        const SCRATCH: usize = 64 * 1024;
        let config = shared.config.clone();
        let shard = Rc::new(Self {
            index,
            tick: tick_for(&[config.ping_interval, config.pong_timeout]),
            shared,
            compression: Compression::new(&config.compression),
            config,
            connections: RefCell::default(),
            channels: RefCell::default(),
            passing: Cell::new(None),
            wheel: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            buffers: Rc::default(),
            started: Instant::now(),
            now: Cell::new(0),
            generation: Cell::new(0),
            removed: Notify::new(),
            turns: Semaphore::new(catch_up::AT_A_TIME),
        });
        let fan_out = spawn_local(shard.clone().fan_out());
        let keep_time = spawn_local(shard.clone().keep_time());
        let obey = async {
            loop {
                match orders.recv().await {
                    Some(Order::Adopt(arrival)) => shard.adopt(*arrival),
                    Some(Order::Renew) => shard.renew().await,
                    Some(Order::Stop) | None => break shard.stop().await,
                }
            }
        };
        tokio::select! {
            () = obey => {}
            // They end only by a panic, without which nobody would notice that nothing is delivered any more.
            Err(ended) = fan_out => resume_unwind(ended.into_panic()),
            Err(ended) = keep_time => resume_unwind(ended.into_panic()),
        }
    }

    fn adopt(self: &Rc<Self>, arrival: Arrival) {
        let Arrival { mut socket, mut read, identity, deflate, admission } = arrival;
        let mut tag: Tag = [0; 12];
        if getrandom::fill(&mut tag).is_err() {
            tracing::error!("the system gives no random numbers; a connection was refused");
            return;
        }
        let entry = self.connections.borrow().vacant_key();
        let key =
            Key { slot: entry as u32, generation: self.generation.replace(self.generation.get().wrapping_add(1)) };
        let place = Place { shard: self.index, slot: key.slot, tag };
        let first = match &identity {
            Identity::Client { .. } => {
                let id = self.shared.directory.id(place);
                Some(ws::text_frame(&push::welcome(&id, self.config.ping_interval.as_secs())))
            }
            Identity::Echo => None,
            Identity::Publisher { grant } => {
                debug!(publisher = grant.name(), "publisher connected");
                None
            }
        };
        let written = match &first {
            Some(frame) => socket.write_early(frame).unwrap_or(frame.len()),
            None => 0,
        };
        let halves = match socket.into_halves(&self.buffers) {
            Ok(halves) => halves,
            Err(error) => return debug!(%error, "a socket could not be taken over"),
        };
        let member = Arc::new(Member::new(tag));
        let (peer, token) = match identity {
            Identity::Client { publisher, token } => {
                (Peer::Client(RefCell::new(Session::new(publisher, admission.origin()))), token)
            }
            Identity::Echo => (Peer::Echo, None),
            Identity::Publisher { grant } => {
                (Peer::Publisher { grant: RefCell::new(grant), cleared: Notify::new() }, None)
            }
        };
        let parts = Parts { key, member: member.clone(), peer, deflate, socket: halves.1, admission };
        let connection = Rc::new(Connection::new(parts, self.shared.clone(), self.index, self.now.get()));
        self.connections.borrow_mut().insert(connection.clone());
        self.shared.directory.enter(self.index, key.slot, member);
        if let Some(frame) = first.filter(|frame| written < frame.len()) {
            connection.queue_early(frame, written);
        }
        self.start_flush(&connection);
        self.plan(&connection, self.now.get() + ticks(self.config.ping_interval, self.tick));
        // Its key may have been taken away since the front looked.
        self.renew_grant(&connection);
        self.begin(&connection, token.map(|token| *token));
        if !read.is_empty() {
            self.on_bytes(&connection, &mut read);
        }
        spawn_local(self.clone().read(connection, halves.0));
    }

    /// The connection in a slot, if it is still the one with this tag.
    fn connection(&self, slot: u32, tag: &Tag) -> Option<Rc<Connection>> {
        self.connections.borrow().get(slot as usize).filter(|c| c.member.tag() == *tag).cloned()
    }

    fn start_flush(&self, connection: &Rc<Connection>) {
        if connection.needs_flush() {
            spawn_local(connection.clone().flush());
        }
    }

    /// Says goodbye with this code. The connection is out of every channel at once.
    fn close(self: &Rc<Self>, connection: &Rc<Connection>, code: CloseCode) {
        self.close_with(connection, code, None, None);
    }

    /// `reason`: instead of the code's own. `after`: ms to wait before coming back.
    fn close_with(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        code: CloseCode,
        reason: Option<&str>,
        after: Option<u64>,
    ) {
        if !connection.is_open() {
            return;
        }
        debug!(code = code.number(), reason = code.reason(), waiting = connection.waiting(), "closing a connection");
        connection.drop_publications();
        let mut words = Vec::new();
        if code.number() >= 4000 && connection.is_client() {
            words.extend_from_slice(&ws::text_frame(&push::disconnect(code, reason, after)));
        }
        words.extend_from_slice(&ws::close_frame_because(code, reason.unwrap_or(code.reason())));
        self.last_words(connection, &words.into(), Then::Wait);
    }

    /// Queues what ends with a close frame; nothing is sent after it.
    fn last_words(self: &Rc<Self>, connection: &Rc<Connection>, words: &Bytes, then: Then) {
        let written = connection.send(words, 0, Class::Control, usize::MAX);
        connection.life.set(Life::Closing { since: self.now.get(), then });
        match written {
            Written::Out => connection.go_on(then),
            Written::Dead => connection.shutdown(),
            Written::Blocked | Written::Queued | Written::Full | Written::Behind(_) => self.start_flush(connection),
        }
        self.unsubscribe_all(connection);
        self.plan(connection, self.now.get() + ticks(CLOSE_TIMEOUT, self.tick));
    }

    /// Has [`Self::on_deadline`] called at `at`, unless it is to be called before.
    fn plan(&self, connection: &Connection, at: Tick) {
        if at < connection.due.get() {
            connection.due.set(self.wheel.borrow_mut().insert(connection.key, at));
        }
    }

    /// Forgets a connection whose socket has ended.
    fn remove(&self, connection: &Connection) {
        self.unsubscribe_all(connection);
        if let Some(behind) = connection.behind() {
            behind.drop_all();
        }
        self.shared.directory.leave(self.index, connection.key.slot);
        self.connections.borrow_mut().remove(connection.key.slot as usize);
        // The peer may have ended its half only; a flush that waits for the other half must not wait for ever.
        connection.shutdown();
        self.removed.notify_waiters();
    }

    async fn keep_time(self: Rc<Self>) {
        let mut interval = tokio::time::interval(self.tick);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            let now = ticks(self.started.elapsed(), self.tick);
            self.now.set(now);
            let due = self.wheel.borrow_mut().advance(now);
            for key in due {
                let connection = self.connections.borrow().get(key.slot as usize).cloned();
                // What was planned before something earlier came up is out of date.
                if let Some(connection) = connection.filter(|c| c.key == key && now >= c.due.get()) {
                    connection.due.set(Tick::MAX);
                    self.on_deadline(&connection, now);
                }
            }
        }
    }

    /// Pings who was silent, drops who stays so, ends what should be over.
    fn on_deadline(self: &Rc<Self>, connection: &Rc<Connection>, now: Tick) {
        let interval = ticks(self.config.ping_interval, self.tick);
        let patience = ticks(self.config.pong_timeout, self.tick);
        if let Life::Closing { since, .. } = connection.life.get() {
            let end = since + ticks(CLOSE_TIMEOUT, self.tick);
            if now >= end {
                connection.shutdown();
            } else {
                self.plan(connection, end);
            }
            return;
        }
        let unfinished_since = connection.decoder.borrow_mut().unfinished_since(now);
        if unfinished_since.is_some_and(|since| now >= since + interval) {
            debug!("a message was begun and not finished in time");
            return self.close(connection, CloseCode::BadRequest);
        }
        let heard = connection.heard.get();
        let silent_for = now.saturating_sub(heard);
        // PHP cannot answer while it is idle; TCP keepalive watches publishers.
        let next = if !connection.is_client() || silent_for < interval {
            heard.max(now.saturating_sub(interval)) + interval
        } else if !connection.pinged.get() {
            connection.pinged.set(true);
            self.send(connection, &ws::ping_frame(), Class::Control);
            now + patience.min(interval)
        } else if silent_for < interval + patience {
            heard + interval + patience
        } else {
            debug!("a silent connection was dropped");
            return connection.shutdown();
        };
        self.plan(connection, next.max(now + 1));
        self.on_session_time(connection);
    }

    /// After how many ms one of `count` clients that are sent away comes back: spread over `drain_time`, so that no server is
    /// stormed.
    fn spread(&self, at: usize, count: usize) -> u64 {
        let time = u64::try_from(self.config.drain_time.as_millis()).unwrap_or(0);
        at as u64 * time / count as u64
    }

    /// Tells everybody that the server goes away, and waits until they are gone or the time is over.
    async fn stop(self: &Rc<Self>) {
        let all: Vec<_> = self.connections.borrow().iter().map(|(_, c)| c.clone()).collect();
        for (at, connection) in all.iter().enumerate() {
            self.close_with(connection, CloseCode::GoingAway, None, Some(self.spread(at, all.len())));
            if at % 256 == 255 {
                tokio::task::yield_now().await;
            }
        }
        drop(all);
        let gone = async {
            while !self.connections.borrow().is_empty() {
                self.removed.notified().await;
            }
        };
        // Who has not answered by then would not answer later.
        let _ = tokio::time::timeout(STOP_TIMEOUT, gone).await;
    }
}
