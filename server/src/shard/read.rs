//! What a connection's peer says, carried out.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use realtime_protocol::{CloseCode, CommandError, ErrorCode, Mode, RequestId, Subscribe, push};
use tokio::io::ReadBuf;
use tracing::debug;

use super::connection::{Connection, Life, Peer, Then};
use super::outbox::Class;
use super::socket::ReadHalf;
use super::{Asked, Shard};
use crate::hub::{Stream, StreamName};
use crate::publisher;
use crate::session::{Action, Session};
use crate::ws::{self, Event, Kind, Limits, Violation};

/// Most questions of one client that wait for answers from the disk.
const MAX_ASKED: u8 = 8;

/// How a turn of reading ended.
enum Turn {
    /// The scratch buffer was full: there may be more, after the others' turn.
    More,
    /// All there was.
    Drained,
    /// The socket has ended.
    End,
}

/// Frames to send once the input is dealt with: one write for all.
#[derive(Default)]
struct Replies(Vec<u8>);

impl Replies {
    fn frame(&mut self, frame: &Bytes) {
        self.0.extend_from_slice(frame);
    }

    fn text(&mut self, text: &str) {
        self.frame(&ws::text_frame(text));
    }
}

impl Shard {
    /// Reads until the socket ends, then forgets the connection.
    pub(super) async fn read(self: Rc<Self>, connection: Rc<Connection>, mut half: ReadHalf) {
        loop {
            match self.turn(&connection, &mut half).await {
                Turn::More => tokio::task::yield_now().await,
                Turn::Drained => {}
                Turn::End => break,
            }
            if connection.publishes() {
                // A publisher that does not take its replies, or outruns the shards, is simply not read.
                self.shared.admission().await;
                connection.cleared().await;
            }
        }
        self.remove(&connection);
    }

    async fn turn(self: &Rc<Self>, connection: &Rc<Connection>, half: &mut ReadHalf) -> Turn {
        std::future::poll_fn(|cx| {
            // Borrowed only while there is something in it: the buffer is the shard's, not the connection's.
            let mut scratch = self.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            match half.poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::End),
                Poll::Ready(Ok(())) => {}
            }
            let full = buffer.remaining() == 0;
            let n = buffer.filled().len();
            if n == 0 {
                return Poll::Ready(Turn::End);
            }
            self.on_bytes(connection, &mut scratch[..n]);
            Poll::Ready(if full { Turn::More } else { Turn::Drained })
        })
        .await
    }

    /// Deals with what arrived.
    pub(super) fn on_bytes(self: &Rc<Self>, connection: &Rc<Connection>, bytes: &mut [u8]) {
        connection.heard.set(self.now.get());
        connection.pinged.set(false);
        let mut decoder = connection.decoder.borrow_mut();
        let was_unfinished = decoder.unfinished_since(self.now.get()).is_some();
        let mut replies = Replies::default();
        let mut end = None;
        let mut refused = Ok(());
        let limits = Limits {
            max_message: if connection.is_client() { self.config.max_message } else { publisher::MAX_FRAME },
            deflate: connection.deflate,
            binary: matches!(connection.peer, Peer::Echo),
        };
        let decoded = decoder.decode(bytes, limits, &mut |event| {
            // What comes after the last word is dropped; only the peer's own close frame still counts.
            if !connection.is_open() && !matches!(event, Event::Close(_)) {
                return ControlFlow::Continue(());
            }
            match event {
                Event::Text(text) => end = self.on_text(connection, text, &mut replies),
                Event::Binary(bytes) => end = self.echo(connection, Kind::Binary, bytes, &mut replies),
                Event::Deflated(kind, message) => {
                    let inflated = self.compression.inflate(message, limits.max_message);
                    match inflated.and_then(|bytes| self.on_inflated(connection, kind, &bytes, &mut replies)) {
                        Ok(told) => end = told,
                        Err(violation) => {
                            refused = Err(violation);
                            return ControlFlow::Break(());
                        }
                    }
                }
                Event::Ping(payload) => replies.frame(&ws::pong_frame(payload)),
                Event::Pong => {}
                Event::Close(with_code) => end = Some(End::ByPeer(with_code.then_some(CloseCode::Normal), Then::End)),
            }
            if end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let is_unfinished = decoder.unfinished_since(self.now.get()).is_some();
        drop(decoder);
        if is_unfinished || was_unfinished {
            connection.recount();
            self.check_budget();
        }
        if let Err(violation) = decoded.map(drop).and(refused) {
            debug!(%violation, "a peer broke the protocol");
            end = Some(match violation {
                Violation::Close(_) | Violation::CloseReason => {
                    End::ByPeer(violation.close_code().into(), Then::EndOutput)
                }
                _ => End::ByUs(violation.close_code()),
            });
        }
        if !replies.0.is_empty() {
            self.send(connection, &Bytes::from(replies.0), Class::Control);
        }
        match end {
            None => {}
            Some(End::ByUs(code)) => self.close(connection, code),
            Some(End::ByPeer(answer, then)) => self.on_peer_close(connection, answer, then),
        }
    }

    fn on_inflated(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        kind: Kind,
        bytes: &[u8],
        replies: &mut Replies,
    ) -> Result<Option<End>, Violation> {
        Ok(match kind {
            Kind::Text => self.on_text(connection, std::str::from_utf8(bytes).map_err(|_| Violation::Utf8)?, replies),
            Kind::Binary => self.echo(connection, kind, bytes, replies),
        })
    }

    /// Sends a test's message back.
    fn echo(&self, connection: &Connection, kind: Kind, message: &[u8], replies: &mut Replies) -> Option<End> {
        if replies.0.len() > self.config.outbox_max {
            return Some(End::ByUs(CloseCode::SlowConsumer));
        }
        replies.frame(&self.compression.message(kind, message, connection.deflate));
        None
    }

    fn on_text(self: &Rc<Self>, connection: &Rc<Connection>, text: &str, replies: &mut Replies) -> Option<End> {
        match &connection.peer {
            Peer::Client(session) => self.on_command(connection, &mut session.borrow_mut(), text, replies),
            Peer::Echo => self.echo(connection, Kind::Text, text.as_bytes(), replies),
            Peer::Publisher { .. } => {
                if let Some(reply) = publisher::execute_frame(&self.shared, text, connection.place()) {
                    replies.text(&reply);
                }
                None
            }
        }
    }

    fn on_peer_close(self: &Rc<Self>, connection: &Rc<Connection>, answer: Option<CloseCode>, then: Then) {
        match connection.life.get() {
            Life::Open => {
                self.last_words(connection, &ws::close_frame(answer), then);
            }
            Life::Closing { since, .. } => {
                connection.life.set(Life::Closing { since, then: Then::End });
                if connection.is_clear() {
                    connection.shutdown();
                }
            }
        }
    }

    fn on_command(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        session: &mut Session,
        text: &str,
        replies: &mut Replies,
    ) -> Option<End> {
        let policy = self.shared.policy.load();
        let mut end = None;
        session.on_text(Instant::now(), text, &policy, &mut |action| match action {
            Action::Reply(text) => replies.text(&text),
            Action::Subscribe { id, subscribe } => replies.text(&self.on_subscribe(connection, id.as_ref(), subscribe)),
            Action::Unsubscribe { id, channel } => {
                self.unsubscribe(connection, &Stream::channel(channel.clone()));
                if id.is_some() {
                    replies.text(&push::unsubscribed(id.as_ref(), &channel));
                }
            }
            Action::Identify { id, user, since, previous } => {
                self.identify(connection, &user);
                replies.text(&push::connected(id.as_ref(), Some(&user)));
                let (stream, is_asked) = (Stream::new(StreamName::User(user)), since.is_some());
                let cut = self.subscribe(connection, Asked { stream, since, mode: Mode::Stream, previous });
                let standing = cut.as_ref().and_then(|cut| cut.standing.as_ref());
                // Who names a position must learn that nothing is kept.
                if standing.is_some() || is_asked {
                    let standing = standing.map(|standing| standing.of(Mode::Stream));
                    replies.text(&push::subscribed(id.as_ref(), push::Of::User, standing, None));
                }
            }
            Action::Ask { id, query } => {
                if connection.asked.get() >= MAX_ASKED || replies.0.len() >= self.config.outbox_max {
                    let message = "too many questions at once; ask again when some are answered";
                    let error = CommandError::new(ErrorCode::RateLimited, message).with_id(id);
                    return replies.text(&push::error(&error.about(query.channel().as_str())));
                }
                match publisher::answer(&self.shared, id, query, connection.place()) {
                    Some(reply) => replies.text(&reply),
                    None => connection.asked.set(connection.asked.get() + 1),
                }
            }
            Action::Publish { id, publish } => {
                if let Some(reply) = publisher::execute_one(&self.shared, id, publish, connection.place()) {
                    replies.text(&reply);
                }
            }
            Action::Close(code) => end = Some(End::ByUs(code)),
        });
        end
    }

    fn on_subscribe(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<&RequestId>,
        subscribe: Subscribe,
    ) -> String {
        let Subscribe { channel, since, mode, previous } = subscribe;
        let stream = Stream::channel(channel.clone());
        let Some(cut) = self.subscribe(connection, Asked { stream, since, mode, previous }) else {
            let most = self.config.max_channels;
            let message = format!("a connection may have {most} channels; unsubscribe from one first");
            let error = CommandError::new(ErrorCode::LimitExceeded, message).with_id(id.cloned());
            return push::error(&error.about(channel.as_str()));
        };
        let members = cut.members.as_ref().map(|(members, more)| push::Members::page(members, *more));
        let standing = cut.standing.as_ref().map(|standing| standing.of(mode));
        push::subscribed(id, push::Of::Channel(&channel), standing, members)
    }
}

/// Why a connection ends.
enum End {
    /// The server's decision.
    ByUs(CloseCode),
    /// The peer's close frame, and what it is answered with.
    ByPeer(Option<CloseCode>, Then),
}
