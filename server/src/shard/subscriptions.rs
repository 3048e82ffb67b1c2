//! Which streams a connection subscribes to.

use std::rc::Rc;

use realtime_protocol::{ConnectionId, Mode, Since};

use super::Shard;
use super::catch_up::CatchUp;
use super::channel::{CATCHING_UP, Channel, Subscriber};
use super::connection::Connection;
use crate::directory::Subscription;
use crate::hub::{Cut, Standing, Stream, StreamName, Who, Wish};
use crate::rules::StoreKind;

/// A subscription that is asked for and allowed.
pub(super) struct Asked {
    pub(super) stream: Stream,
    pub(super) since: Option<Since>,
    pub(super) mode: Mode,
    pub(super) previous: Vec<ConnectionId>,
    /// Whether the subscriber may see who is there.
    pub(super) sees_members: bool,
}

impl Shard {
    /// Subscribes to a stream; again begins anew. `None`: it has as many channels as it may have.
    pub(super) fn subscribe(self: &Rc<Self>, connection: &Rc<Connection>, asked: Asked) -> Option<Cut> {
        let Asked { stream, since, mode, previous, sees_members } = asked;
        let known = self.find(connection, &stream);
        let is_channel = matches!(stream.name, StreamName::Channel(_));
        if known.is_none() && is_channel && self.channels_of(connection) >= self.config.max_channels {
            return None;
        }
        let wish = Wish { since: since.as_ref(), mode, who: connection.who(), again: known.is_some() };
        let mut made = None;
        self.shared.hub.subscribe(
            self.index,
            stream,
            wish,
            |stream, rule, next| {
                let epoch = rule.history.map(|history| match history.store {
                    StoreKind::Memory => self.shared.hub.memory_epoch().clone(),
                    StoreKind::Disk => self.shared.hub.disk_epoch().clone(),
                });
                let channel = Channel::new(stream.clone(), rule.overflow, epoch, next - 1);
                self.channels.borrow_mut().insert(channel) as u32
            },
            |cut| {
                let mut channels = self.channels.borrow_mut();
                let channel = &mut channels[cut.local as usize];
                let is_behind = cut.standing.as_ref().is_some_and(Standing::is_behind);
                let next = if is_behind { CATCHING_UP } else { cut.next };
                let mut hides = false;
                match known.and_then(|known| channel.subscriber(known.slot)) {
                    Some(subscriber) => {
                        subscriber.sees_members = sees_members;
                        hides = !sees_members;
                        // Without a history again is the same as once: what is under way still arrives.
                        if cut.standing.is_some() {
                            subscriber.next = next;
                        }
                    }
                    None => {
                        let slot = channel.add(Subscriber { connection: connection.clone(), next, sees_members });
                        connection.member.subscriptions().push(Subscription { local: cut.local, slot });
                    }
                }
                channel.hides_members |= hides;
                made = Some((cut, channel.stream.clone()));
            },
        );
        let (cut, stream) = made?;
        if cut.standing.is_some() {
            // Where it was before counts no more.
            connection.seal(cut.local);
        }
        if let Some(standing) = cut.standing.as_ref().filter(|standing| standing.is_behind()) {
            let next = standing.start.offset + 1;
            self.fall_behind(connection, CatchUp { local: cut.local, stream, next, mode, previous: previous.into() });
        }
        Some(cut)
    }

    /// The connection is this user's from now on.
    pub(super) fn identify(&self, connection: &Connection, who: &Who) {
        if connection.who.set(Box::new(who.clone())).is_err() {
            return;
        }
        let streams: Vec<_> = {
            let channels = self.channels.borrow();
            connection.member.subscriptions().iter().map(|s| channels[s.local as usize].stream.clone()).collect()
        };
        for stream in streams {
            self.shared.hub.identify(&stream, who);
        }
    }

    pub(super) fn find(&self, connection: &Connection, stream: &Stream) -> Option<Subscription> {
        let channels = self.channels.borrow();
        let subscriptions = connection.member.subscriptions();
        subscriptions.iter().find(|s| *channels[s.local as usize].stream == *stream).copied()
    }

    /// Channels that a connection subscribes to; what is sent to its user is none.
    pub(super) fn channels_of(&self, connection: &Connection) -> usize {
        let channels = self.channels.borrow();
        let is_channel = |s: &&Subscription| matches!(channels[s.local as usize].stream.name, StreamName::Channel(_));
        connection.member.subscriptions().iter().filter(is_channel).count()
    }

    pub(super) fn unsubscribe(&self, connection: &Connection, stream: &Stream) {
        if let Some(subscription) = self.find(connection, stream) {
            self.remove_subscription(connection, subscription.local);
        }
    }

    fn remove_subscription(&self, connection: &Connection, local: u32) {
        let stream = self.channels.borrow()[local as usize].stream.clone();
        connection.seal(local);
        self.shared.hub.unsubscribe(self.index, &stream, connection.user(), || {
            let mut subscriptions = connection.member.subscriptions();
            let Some(at) = subscriptions.iter().position(|s| s.local == local) else { return };
            let Subscription { slot, .. } = subscriptions.swap_remove(at);
            let are_few = subscriptions.len() <= subscriptions.inline_size();
            if subscriptions.spilled() && (are_few || subscriptions.len() < subscriptions.capacity() / 4) {
                subscriptions.shrink_to_fit();
            }
            // Compacting looks at the subscriptions of others only, yet through the same kind of lock.
            drop(subscriptions);
            let mut channels = self.channels.borrow_mut();
            let channel = &mut channels[local as usize];
            channel.remove(slot);
            if channel.is_empty() {
                channels.remove(local as usize);
            } else if self.passing.get() != Some(local) {
                channel.compact(local);
            }
        });
    }

    pub(super) fn unsubscribe_all(&self, connection: &Connection) {
        loop {
            let last = connection.member.subscriptions().last().copied();
            let Some(Subscription { local, .. }) = last else { return };
            self.remove_subscription(connection, local);
        }
    }
}
