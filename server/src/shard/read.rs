//! What a connection's peer says, carried out.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use realtime_protocol::CloseCode;
use tokio::io::ReadBuf;
use tracing::debug;

use super::Shard;
use super::connection::{Connection, Life, Peer, Then};
use super::outbox::Class;
use super::secure::Secure;
use super::socket::ReadHalf;
use crate::publisher;
use crate::tls::Received;
use crate::ws::{self, Event, Kind, Limits, Violation};
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
            let kept = half.put_back(&mut scratch);
            let mut buffer = ReadBuf::new(&mut scratch[kept..]);
            match half.poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::End),
                Poll::Ready(Ok(())) => {}
            }
            let full = buffer.remaining() == 0;
            let n = buffer.filled().len();
            if n == 0 {
                if let ReadHalf::Secure(..) = half {
                    // The messages have ends of their own, so nothing that was cut off passes for whole.
                    debug!("a connection ended without close_notify");
                }
                return Poll::Ready(Turn::End);
            }
            let is_open = match half {
                ReadHalf::Tcp(_) | ReadHalf::Unix(_) => {
                    self.on_bytes(connection, &mut scratch[..n]);
                    true
                }
                ReadHalf::Secure(_, secure) => self.on_records(connection, secure, &mut scratch[..kept + n]),
            };
            Poll::Ready(match (is_open, full) {
                (false, _) => Turn::End,
                (true, true) => Turn::More,
                (true, false) => Turn::Drained,
            })
        })
        .await
    }

    /// Decrypts what arrived and deals with it. Returns whether more may come.
    fn on_records(self: &Rc<Self>, connection: &Rc<Connection>, secure: &Secure, records: &mut [u8]) -> bool {
        let held = secure.held();
        let mut plaintext = self.buffers.plaintext.borrow_mut();
        plaintext.clear();
        let received = secure.decrypt(records, &mut plaintext);
        if held > 0 || secure.held() > 0 {
            connection.recount();
            self.check_budget();
            self.start_flush(connection);
        }
        if !plaintext.is_empty() {
            self.on_bytes(connection, &mut plaintext);
        }
        match received {
            Ok(Received::Open) => true,
            Ok(Received::Closed) => false,
            Err(error) => {
                debug!(%error, "a peer broke the rules of TLS");
                false
            }
        }
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
        if let Err(violation) = decoded.map(drop).and(refused) {
            debug!(%violation, "a peer broke the protocol");
            end = Some(End::Failed(violation.close_code()));
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
            Some(End::Failed(code)) => self.fail(connection, code),
            Some(End::ByPeer { with_code }) => self.on_peer_close(connection, with_code),
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
            Peer::Client(session) => self.on_command(connection, session, text, replies),
            Peer::Echo => self.echo(connection, Kind::Text, text.as_bytes(), replies),
            Peer::Publisher { grant, .. } => {
                let grant = grant.borrow();
                if let Some(reply) = publisher::execute_frame(&self.shared, &grant, text, connection.place()) {
                    replies.text(&reply);
                }
                None
            }
        }
    }

    /// Gives up a peer that broke the protocol. Where its next frame begins is not known any more, so no close frame of
    /// it is waited for (RFC 6455 §7.1.7).
    fn fail(self: &Rc<Self>, connection: &Rc<Connection>, code: CloseCode) {
        match connection.life.get() {
            Life::Open => {
                connection.drop_publications();
                self.last_words(connection, &ws::close_frame(Some(code)), Then::EndOutput);
            }
            Life::Closing { since, then: Then::Wait } => {
                connection.life.set(Life::Closing { since, then: Then::EndOutput });
                if connection.is_clear() {
                    connection.go_on(Then::EndOutput);
                }
            }
            Life::Closing { .. } => {}
        }
    }

    fn on_peer_close(self: &Rc<Self>, connection: &Rc<Connection>, with_code: bool) {
        match connection.life.get() {
            Life::Open => {
                let answer = ws::close_frame(with_code.then_some(CloseCode::Normal));
                self.last_words(connection, &answer, Then::End);
            }
            Life::Closing { since, .. } => {
                connection.life.set(Life::Closing { since, then: Then::End });
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
#[derive(Clone, Copy)]
pub(super) enum End {
    /// The server's decision.
    ByUs(CloseCode),
    /// The token by which it has its user was revoked.
    Revoked,
    /// The peer broke the protocol.
    Failed(CloseCode),
    /// The peer's close frame, with a code or without.
    ByPeer { with_code: bool },
}
