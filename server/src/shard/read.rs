//! What a connection's peer says, carried out.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use realtime_protocol::CloseCode;
use tokio::io::ReadBuf;
use tracing::debug;

use super::Shard;
use super::connection::{Connection, Life, Peer};
use super::outbox::Class;
use super::socket::ReadHalf;
use crate::publisher;
use crate::ws::{self, Event, Limits};

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
pub(super) struct Replies(Vec<u8>);

impl Replies {
    fn frame(&mut self, frame: &Bytes) {
        self.0.extend_from_slice(frame);
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn text(&mut self, text: &str) {
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
        let mut inflated = Ok(());
        let limits = Limits {
            max_message: if connection.is_client() { self.config.max_message } else { publisher::MAX_FRAME },
            deflate: connection.deflate,
        };
        let decoded = decoder.decode(bytes, limits, &mut |event| {
            // What comes after the last word is dropped; only the peer's own close frame still counts.
            if !connection.is_open() && !matches!(event, Event::Close(_)) {
                return ControlFlow::Continue(());
            }
            match event {
                Event::Text(text) => end = self.on_text(connection, text, &mut replies),
                Event::Deflated(message) => match self.compression.inflate(message, limits.max_message) {
                    Ok(text) => end = self.on_text(connection, &text, &mut replies),
                    Err(violation) => {
                        inflated = Err(violation);
                        return ControlFlow::Break(());
                    }
                },
                Event::Ping(payload) => replies.frame(&ws::pong_frame(payload)),
                Event::Pong => {}
                Event::Close(with_code) => end = Some(End::ByPeer { with_code }),
            }
            if end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let is_unfinished = decoder.unfinished_since(self.now.get()).is_some();
        drop(decoder);
        if is_unfinished || was_unfinished {
            connection.recount();
            self.check_budget();
        }
        if let Err(violation) = decoded.map(drop).and(inflated) {
            debug!(%violation, "a peer broke the protocol");
            end = Some(End::ByUs(violation.close_code()));
        }
        self.settle(connection, replies, end);
    }

    /// Says what is to be said, and ends what is to be ended.
    pub(super) fn settle(self: &Rc<Self>, connection: &Rc<Connection>, replies: Replies, end: Option<End>) {
        if !replies.0.is_empty() {
            self.send(connection, &Bytes::from(replies.0), Class::Control);
        }
        match end {
            None => {}
            Some(End::ByUs(code)) => self.close(connection, code),
            Some(End::Revoked) => self.close_with(connection, CloseCode::TokenExpired, Some(REVOKED), None),
            Some(End::ByPeer { with_code }) => self.on_peer_close(connection, with_code),
        }
    }

    fn on_text(self: &Rc<Self>, connection: &Rc<Connection>, text: &str, replies: &mut Replies) -> Option<End> {
        match &connection.peer {
            Peer::Client(session) => self.on_command(connection, session, text, replies),
            Peer::Publisher { .. } => {
                if let Some(reply) = publisher::execute_frame(&self.shared, text, connection.place()) {
                    replies.text(&reply);
                }
                None
            }
        }
    }

    fn on_peer_close(self: &Rc<Self>, connection: &Rc<Connection>, with_code: bool) {
        match connection.life.get() {
            Life::Open => {
                let answer = ws::close_frame(with_code.then_some(CloseCode::Normal));
                self.last_words(connection, &answer, true);
            }
            Life::Closing { since, .. } => {
                connection.life.set(Life::Closing { since, by_both: true });
                if connection.is_clear() {
                    connection.shutdown();
                }
            }
        }
    }
}

/// What those are told whose token was taken back.
pub(super) const REVOKED: &str = "token revoked";

/// Why a connection ends.
pub(super) enum End {
    /// The server's decision.
    ByUs(CloseCode),
    /// The token by which it has its user was revoked.
    Revoked,
    /// The peer's close frame, with a code or without.
    ByPeer { with_code: bool },
}
