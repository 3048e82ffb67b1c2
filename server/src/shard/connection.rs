//! One connection as its shard keeps it. No buffer and no timer while it is idle.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use realtime_protocol::{ConnectionId, UserId};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::debug;

use super::catch_up::Behind;
use super::outbox::{Class, Flushed, Outbox, Written};
use super::socket::WriteHalf;
use super::wheel::{Key, Tick};
use crate::Shared;
use crate::directory::{Member, Place, Subscription};
use crate::gate::Admission;
use crate::grant::Grant;
use crate::hub::Who;
use crate::session::Session;
use crate::token::Proof;
use crate::ws::Decoder;

/// Who is at the other end.
pub enum Peer {
    /// A browser, or what speaks like one.
    Client(RefCell<Session>),
    /// A test, which is sent back what it says.
    Echo,
    /// A publisher, whose frames may hold many commands.
    Publisher {
        /// What it may publish.
        grant: RefCell<Arc<Grant>>,
        /// Told when nothing waits for it any more; until then it is not read.
        cleared: Notify,
    },
}

/// How far a connection's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// In use.
    Open,
    /// A close frame is queued; what still comes in is dropped.
    Closing {
        /// Since when.
        since: Tick,
        /// What follows once the outbox is empty.
        then: Then,
    },
}

/// What follows the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The peer's close frame is waited for.
    Wait,
    /// Only the end of what the peer sends is waited for: ending both directions while it sends would take the last word
    /// from it.
    EndOutput,
    /// The peer's close frame came, and nothing is waited for.
    End,
}

/// One connection. What the fan-out looks at comes first, to lie in one cache line.
#[repr(C)]
pub struct Connection {
    outbox: RefCell<Option<Box<Outbox>>>,
    socket: WriteHalf,
    /// Its life.
    pub life: Cell<Life>,
    /// Whether it takes compressed messages.
    pub deflate: bool,
    shard: u16,
    /// Which of the shard's connections.
    pub key: Key,
    /// What other threads may see.
    pub member: Arc<Member>,
    /// Who is there.
    pub peer: Peer,
    /// Unfinished frames.
    pub decoder: RefCell<Decoder>,
    /// Whose it is, once that is known.
    pub who: OnceCell<Box<Who>>,
    /// The tick for which its next look at the clock is planned; what the wheel has of it besides is out of date.
    pub due: Cell<Tick>,
    /// The streams that it gets from the history for the moment.
    behind: RefCell<Option<Rc<Behind>>>,
    /// Last tick at which something arrived.
    pub heard: Cell<Tick>,
    /// Whether a ping is unanswered.
    pub pinged: Cell<bool>,
    /// Whether a task writes what waits.
    flushing: Cell<bool>,
    /// Questions of a client whose answers take their time.
    pub asked: Cell<u8>,
    /// Bytes that the budget knows of.
    counted: Cell<usize>,
    shared: Arc<Shared>,
    /// Counts towards the limits as long as it lives.
    _admission: Admission,
}

/// What a connection is made of.
pub struct Parts {
    /// Which of the shard's connections.
    pub key: Key,
    /// What other threads may see.
    pub member: Arc<Member>,
    /// Who is there.
    pub peer: Peer,
    /// Whether it takes compressed messages.
    pub deflate: bool,
    /// The half that everybody writes to.
    pub(super) socket: WriteHalf,
    /// Its place in the limits.
    pub admission: Admission,
}

impl Connection {
    /// A connection that has just arrived on `shard`.
    pub fn new(parts: Parts, shared: Arc<Shared>, shard: u16, now: Tick) -> Self {
        let Parts { key, member, peer, deflate, socket, admission } = parts;
        Self {
            key,
            member,
            peer,
            decoder: RefCell::default(),
            who: OnceCell::new(),
            due: Cell::new(Tick::MAX),
            behind: RefCell::new(None),
            heard: Cell::new(now),
            pinged: Cell::new(false),
            flushing: Cell::new(false),
            asked: Cell::new(0),
            life: Cell::new(Life::Open),
            _admission: admission,
            deflate,
            counted: Cell::new(0),
            shared,
            shard,
            socket,
            outbox: RefCell::new(None),
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place { shard: self.shard, slot: self.key.slot, tag: self.member.tag() }
    }

    /// Its id.
    pub fn id(&self) -> ConnectionId {
        self.shared.directory.id(self.place())
    }

    /// Whose it is, and what others see of that user.
    pub fn who(&self) -> Option<&Who> {
        self.who.get().map(|who| &**who)
    }

    /// Whose it is.
    pub fn user(&self) -> Option<&UserId> {
        self.who().map(|who| &who.user)
    }

    /// What it gets from the history; `true`: it got nothing from there until now.
    pub fn fall_behind(&self) -> (Rc<Behind>, bool) {
        let mut behind = self.behind.borrow_mut();
        let is_new = behind.is_none();
        (behind.get_or_insert_default().clone(), is_new)
    }

    /// The streams that it gets from the history, if any.
    pub fn behind(&self) -> Option<Rc<Behind>> {
        self.behind.borrow().clone()
    }

    /// It has everything.
    pub fn is_up_to_date(&self) {
        *self.behind.borrow_mut() = None;
    }

    /// Tells who waits for it that nothing waits in its outbox any more.
    fn announce_clear(&self) {
        if let Peer::Publisher { cleared, .. } = &self.peer {
            cleared.notify_one();
        }
        if let Some(behind) = &*self.behind.borrow() {
            behind.cleared.notify_one();
        }
    }

    /// Tells the budget what waits now.
    pub fn recount(&self) {
        let held = || self.decoder.borrow().held() + self.socket.held();
        let now = if self.is_client() { self.waiting() + held() } else { 0 };
        self.shared.budget.change(self.shard, self.counted.replace(now), now);
    }

    /// Bytes that the budget knows of.
    pub fn counted(&self) -> usize {
        self.counted.get()
    }

    /// Whether publications and replies go to it.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.life.get() == Life::Open
    }

    /// Whether it is pinged, limited as browsers are, and told why it is closed.
    pub fn is_client(&self) -> bool {
        matches!(self.peer, Peer::Client(_) | Peer::Echo)
    }

    /// Whether it may publish: on `/publisher`, or as a client that presented the key.
    pub fn publishes(&self) -> bool {
        match &self.peer {
            Peer::Client(session) => session.borrow().publisher().is_some(),
            Peer::Echo => false,
            Peer::Publisher { .. } => true,
        }
    }

    /// What it may publish.
    pub fn grant(&self) -> Option<Arc<Grant>> {
        match &self.peer {
            Peer::Client(session) => session.borrow().publisher().cloned(),
            Peer::Echo => None,
            Peer::Publisher { grant, .. } => Some(grant.borrow().clone()),
        }
    }

    /// Whether it has shown a token that is void.
    pub fn holds(&self, is_void: &dyn Fn(Proof) -> bool) -> bool {
        matches!(&self.peer, Peer::Client(session) if session.borrow().holds(is_void))
    }

    /// What it may publish has changed.
    pub fn set_grant(&self, new: Arc<Grant>) {
        match &self.peer {
            Peer::Client(session) => session.borrow_mut().set_publisher(new),
            Peer::Echo => {}
            Peer::Publisher { grant, .. } => *grant.borrow_mut() = new,
        }
    }

    /// Waits until nothing waits for a publisher; a client is not waited for.
    pub async fn cleared(&self) {
        if let Peer::Publisher { cleared, .. } = &self.peer {
            while !self.is_clear() {
                cleared.notified().await;
            }
        }
    }

    /// Its subscription to the shard's stream `local`.
    pub fn subscription(&self, local: u32) -> Option<Subscription> {
        self.member.subscriptions().iter().find(|subscription| subscription.local == local).copied()
    }

    /// Whether nothing waits, so that the next write may go straight to the kernel.
    #[inline]
    pub fn is_clear(&self) -> bool {
        self.outbox.borrow().is_none()
    }

    /// Writes past the outbox, which must be clear; the caller queues what is left.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    /// Writes `frame` now if nothing waits before it, else queues it. `written` of its bytes are out already.
    pub fn send(&self, frame: &Bytes, written: usize, class: Class<'_>, outbox_max: usize) -> Written {
        let mut slot = self.outbox.borrow_mut();
        let written = if written == 0 && slot.is_none() { self.socket.take_begun() } else { written };
        Outbox::send(&mut slot, frame, written, class, outbox_max, |bytes| self.socket.try_write(bytes))
    }

    /// Queues without trying, for a socket that the reactor has not polled yet.
    pub fn queue_early(&self, frame: Bytes, written: usize) {
        self.outbox.borrow_mut().get_or_insert_default().push(frame, written, Class::Control, usize::MAX);
    }

    /// A subscription is over or begins anew.
    pub fn seal(&self, local: u32) {
        if let Some(behind) = &*self.behind.borrow() {
            behind.drop_stream(local);
        }
        if let Some(outbox) = self.outbox.borrow_mut().as_mut() {
            outbox.seal(local);
        }
    }

    /// Makes room for the last words by dropping publications.
    pub fn drop_publications(&self) {
        if let Some(outbox) = self.outbox.borrow_mut().as_mut() {
            outbox.drop_publications();
        }
    }

    /// Drops an unfinished message of a connection that is being closed.
    pub fn forget_input(&self) {
        *self.decoder.borrow_mut() = Decoder::default();
    }

    /// Bytes that wait for the kernel.
    pub fn waiting(&self) -> usize {
        self.outbox.borrow().as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// All is said.
    pub fn go_on(&self, then: Then) {
        match then {
            Then::Wait => {}
            Then::EndOutput => self.socket.end_output(),
            Then::End => self.shutdown(),
        }
    }

    /// Ends it; the reading task cleans up.
    pub fn shutdown(&self) {
        self.socket.shutdown();
    }

    /// Whether a task that flushes is to be started.
    pub fn needs_flush(&self) -> bool {
        (!self.is_clear() || self.socket.is_sending()) && !self.flushing.replace(true)
    }

    /// Writes what waits, as the kernel takes it, and ends when nothing does. Who takes nothing for too long is given up.
    pub async fn flush(self: Rc<Self>) {
        self.flush_all().await;
        self.flushing.set(false);
    }

    async fn flush_all(&self) {
        let patience = self.shared.config.write_timeout;
        loop {
            match timeout(patience, self.socket.writable()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return self.give_up(),
                Err(_) => {
                    debug!(waiting = self.waiting(), "a connection took nothing for too long");
                    return self.give_up();
                }
            }
            let mut slot = self.outbox.borrow_mut();
            let flushed = match slot.as_mut() {
                Some(outbox) => outbox.flush(|slices| self.socket.try_write_vectored(slices)),
                None => self.socket.flush(),
            };
            match flushed {
                Ok(Flushed::Blocked) => {
                    drop(slot);
                    self.recount();
                }
                Ok(Flushed::Empty) => {
                    *slot = None;
                    drop(slot);
                    self.recount();
                    self.announce_clear();
                    if let Life::Closing { then, .. } = self.life.get() {
                        self.go_on(then);
                    }
                    return;
                }
                Err(_) => {
                    drop(slot);
                    return self.give_up();
                }
            }
        }
    }

    /// The socket takes nothing any more: what waits is lost with it.
    fn give_up(&self) {
        *self.outbox.borrow_mut() = None;
        self.recount();
        self.announce_clear();
        self.shutdown();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.budget.change(self.shard, self.counted.get(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_and_the_two_counts_of_its_rc_fit_the_allocators_class_of_320_bytes() {
        // A byte more would take 64.
        assert!(size_of::<Connection>() <= 304, "{}", size_of::<Connection>());
    }
}
