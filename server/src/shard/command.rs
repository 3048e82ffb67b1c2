//! What a client's session decides, carried out; and what is done to the connections of a user.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use realtime_protocol::{ChannelName, CloseCode, CommandError, ErrorCode, Mode, RequestId, Subscribe, push};
use tracing::warn;

use super::Shard;
use super::connection::{Connection, Peer};
use super::outbox::Class;
use super::read::{End, REVOKED, Replies};
use super::subscriptions::Asked;
use super::wheel::ticks;
use crate::directory::Subscription;
use crate::hub::{Measure, Stream, StreamName};
use crate::policy::Policy;
use crate::publisher;
use crate::session::{Action, Now, Session, too_many_channels};
use crate::token::{Claims, Proof};
use crate::ws;

/// Most questions of one client that wait for answers from the disk.
const MAX_ASKED: u8 = 8;

/// What came of a session's actions.
#[derive(Default)]
struct Outcome {
    end: Option<End>,
    /// Its subscriptions are to be looked at again.
    is_reviewed: bool,
}

impl Shard {
    /// A client's session begins, perhaps with a token.
    pub(super) fn begin(self: &Rc<Self>, connection: &Rc<Connection>, token: Option<Claims>) {
        let Peer::Client(session) = &connection.peer else { return };
        let patience = self.config.handshake_timeout;
        self.in_session(connection, session, |session, now, policy, act| {
            session.begin(now, token, policy, patience, act);
        });
    }

    /// The session's time may have come.
    pub(super) fn on_session_time(self: &Rc<Self>, connection: &Rc<Connection>) {
        let Peer::Client(session) = &connection.peer else { return };
        self.in_session(connection, session, |session, now, policy, act| session.on_time(now, policy, act));
    }

    /// What happens outside of a message.
    pub(super) fn in_session(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        session: &RefCell<Session>,
        happens: impl FnOnce(&mut Session, Now, &Policy, &mut dyn FnMut(Action<'static>)),
    ) {
        let mut replies = Replies::default();
        let end = self.with_session(connection, session, &mut replies, happens);
        self.settle(connection, replies, end);
    }

    pub(super) fn on_command(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        session: &RefCell<Session>,
        text: &str,
        replies: &mut Replies,
    ) -> Option<End> {
        self.with_session(connection, session, replies, |session, now, policy, act| {
            session.on_text(now, text, policy, act);
        })
    }

    fn with_session<'a>(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        session: &RefCell<Session>,
        replies: &mut Replies,
        happens: impl FnOnce(&mut Session, Now, &Policy, &mut dyn FnMut(Action<'a>)),
    ) -> Option<End> {
        let policy = self.shared.policy.load();
        let (mut outcome, now) = (Outcome::default(), Now::read());
        let mut session = session.borrow_mut();
        happens(&mut session, now, &policy, &mut |action| self.carry_out(connection, action, replies, &mut outcome));
        if outcome.is_reviewed {
            for channel in self.channel_names(connection) {
                session.review(channel, "the new token does not allow it", &policy, &mut |action| {
                    self.carry_out(connection, action, replies, &mut outcome);
                });
            }
        }
        if let Some(after) = session.next_deadline(now) {
            self.plan(connection, self.now.get() + ticks(after, self.tick));
        }
        outcome.end
    }

    fn carry_out(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        action: Action<'_>,
        replies: &mut Replies,
        outcome: &mut Outcome,
    ) {
        match action {
            Action::Reply(text) => replies.text(&text),
            Action::Subscribe { id, subscribe, sees_members } => {
                replies.text(&self.on_subscribe(connection, id.as_ref(), subscribe, sees_members));
            }
            Action::Unsubscribe { id, channel } => {
                self.unsubscribe(connection, &Stream::channel(channel.clone()));
                if id.is_some() {
                    replies.text(&push::unsubscribed(id.as_ref(), &channel, None));
                }
            }
            Action::Expel { channel, reason } => self.expel(connection, &channel, reason, replies),
            Action::RefusedToken(why) => {
                self.shared.refusals.log(Instant::now(), || warn!("refused a token: {why}"));
            }
            Action::HideMembers(channel) => self.hide_members(connection, channel),
            Action::Review => outcome.is_reviewed = true,
            Action::Identify { id, who, token, since, previous } => {
                self.identify(connection, &who);
                replies.text(&push::connected(id.as_ref(), Some(&who.user), token.map(|token| token.expires)));
                let (stream, is_asked) = (Stream::new(StreamName::User(who.user.clone())), since.is_some());
                // Who is there already and names no position goes on where it is.
                if is_asked || self.find(connection, &stream).is_none() {
                    let asked = Asked { stream, since, mode: Mode::Stream, previous, sees_members: true };
                    let cut = self.subscribe(connection, asked);
                    let standing = cut.as_ref().and_then(|cut| cut.standing.as_ref());
                    // Who names a position must learn that nothing is kept.
                    if standing.is_some() || is_asked {
                        let standing = standing.map(|standing| standing.of(Mode::Stream));
                        replies.text(&push::subscribed(id.as_ref(), push::Of::User, standing, None));
                    }
                }
                // A revocation or reload between the token's check and now has not reached this connection.
                let policy = self.shared.policy.load();
                if token.is_some_and(|token| policy.is_void(&who.user, token.proof)) {
                    outcome.end = Some(End::Revoked);
                }
            }
            Action::Ask { id, query } => {
                if connection.asked.get() >= MAX_ASKED || replies.len() >= self.config.outbox_max {
                    let message = "too many questions at once; ask again when some are answered";
                    let error = CommandError::new(ErrorCode::RateLimited, message).with_id(id);
                    return replies.text(&push::error(&error.about(query.channel().as_str())));
                }
                match publisher::answer(&self.shared, id, query, connection.place()) {
                    Some(reply) => replies.text(&reply),
                    None => connection.asked.set(connection.asked.get() + 1),
                }
            }
            Action::Publish { id, publish, by } => {
                if let Some(reply) = publisher::execute_one(&self.shared, id, publish, by, connection.place()) {
                    replies.text(&reply);
                }
            }
            Action::Close(code) => outcome.end = Some(End::ByUs(code)),
        }
    }

    fn on_subscribe(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<&RequestId>,
        subscribe: Subscribe,
        sees_members: bool,
    ) -> String {
        let Subscribe { channel, since, mode, previous, token: _ } = subscribe;
        let stream = Stream::channel(channel.clone());
        let Some(cut) = self.subscribe(connection, Asked { stream, since, mode, previous, sees_members }) else {
            return push::error(&too_many_channels(&channel, self.config.max_channels).with_id(id.cloned()));
        };
        let members = cut.members.as_ref().filter(|_| sees_members);
        let members = members.map(|(members, more)| push::Members::page(members, *more));
        let standing = cut.standing.as_ref().map(|standing| standing.of(mode));
        push::subscribed(id, push::Of::Channel(&channel), standing, members)
    }

    /// Ends a subscription that the client has not ended.
    fn expel(&self, connection: &Connection, channel: &ChannelName, reason: &str, replies: &mut Replies) {
        let stream = Stream::channel(channel.clone());
        if self.find(connection, &stream).is_some() {
            self.unsubscribe(connection, &stream);
            replies.text(&push::unsubscribed(None, channel, Some(reason)));
        }
    }

    fn hide_members(&self, connection: &Connection, channel: ChannelName) {
        let Some(Subscription { local, slot }) = self.find(connection, &Stream::channel(channel)) else { return };
        if let Some(channel) = self.channels.borrow_mut().get_mut(local as usize) {
            channel.hide_members_from(slot);
        }
    }

    /// The channels that a connection subscribes to.
    pub(super) fn channel_names(&self, connection: &Connection) -> Vec<ChannelName> {
        let channels = self.channels.borrow();
        let subscriptions = connection.member.subscriptions();
        let name = |local: u32| match &channels[local as usize].stream.name {
            StreamName::Channel(name) => Some(name.clone()),
            StreamName::User(_) => None,
        };
        subscriptions.iter().filter_map(|subscription| name(subscription.local)).collect()
    }

    /// Takes a measure against all connections of a user here.
    pub(super) fn on_measure(self: &Rc<Self>, local: u32, stream: &Arc<Stream>, measure: &Measure) {
        let connections: Vec<_> = {
            let channels = self.channels.borrow();
            let Some(channel) = channels.get(local as usize).filter(|c| Arc::ptr_eq(&c.stream, stream)) else { return };
            channel.subscribers().map(|subscriber| subscriber.connection.clone()).collect()
        };
        for connection in connections {
            match measure {
                Measure::Disconnect { reason } => self.disconnect(&connection, reason.as_deref()),
                Measure::Leave { channel, reason } => {
                    let mut replies = Replies::default();
                    if let Peer::Client(session) = &connection.peer {
                        session.borrow_mut().forget_token(channel);
                    }
                    self.expel(&connection, channel, reason.as_deref().unwrap_or("unsubscribed"), &mut replies);
                    self.settle(&connection, replies, None);
                }
                Measure::Revoke { before } => {
                    self.take_back(&connection, &|proof| proof.issued <= *before, None);
                }
            }
        }
    }

    /// Tokens that are void count no more: who is there by one is closed, and told to come back `after` ms.
    pub(super) fn take_back(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        is_void: &dyn Fn(Proof) -> bool,
        after: Option<u64>,
    ) {
        let Peer::Client(session) = &connection.peer else { return };
        let is_meant = session.borrow().proof().is_some_and(is_void);
        if is_meant {
            return self.close_with(connection, CloseCode::TokenExpired, Some(REVOKED), after);
        }
        self.in_session(connection, session, |session, _, policy, act| session.on_revoked(is_void, policy, act));
    }

    /// Closes a connection because a publisher wants it so.
    pub(super) fn disconnect(self: &Rc<Self>, connection: &Rc<Connection>, reason: Option<&str>) {
        self.close_with(connection, CloseCode::Forbidden, reason, None);
    }

    /// Hands over an answer that took its time.
    pub(super) fn on_reply(self: &Rc<Self>, connection: &Rc<Connection>, text: &str) {
        connection.asked.set(connection.asked.get().saturating_sub(1));
        self.send(connection, &ws::text_frame(text), Class::Control);
    }
}
