//! A socket that speaks TLS, on its shard. Outboxes hold plaintext; what is encrypted here is on its way already.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::rc::Rc;

use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use super::outbox::Flushed;
use crate::tls::{MAX_PLAINTEXT, Received, Session};

/// A socket with its TLS, on its way from the front to its shard.
pub struct SecureSocket {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) session: Box<Session>,
}

/// What all TLS connections of a shard use in turn.
#[derive(Default)]
pub(super) struct Buffers {
    /// Decrypted input.
    pub(super) plaintext: RefCell<Vec<u8>>,
    /// A record that is being written.
    record: RefCell<Vec<u8>>,
    /// Frames that go into one record.
    joined: RefCell<Vec<u8>>,
}

/// The part of a TLS connection that both of its halves use.
pub(super) struct Secure {
    socket: OwnedWriteHalf,
    state: RefCell<State>,
    buffers: Rc<Buffers>,
}

struct State {
    session: Box<Session>,
    /// One byte of what is encrypted, its last, was not reported as written.
    is_owed: bool,
}

impl SecureSocket {
    /// As [`super::Socket::write_early`].
    pub(super) fn write_early(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut record = Vec::new();
        for part in bytes.chunks(MAX_PLAINTEXT) {
            let length = self.session.encrypt(part, &mut record).map_err(io::Error::other)?;
            self.session.keep_unsent(&record[..length]);
        }
        self.send()?;
        // What the kernel did not take is sent before anything else is.
        Ok(bytes.len())
    }

    /// Says that nothing more comes, if the kernel has room for it.
    pub(super) fn say_goodbye(&mut self) {
        self.session.say_goodbye();
        // The connection ends in any case.
        let _ = self.send();
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.session.unsent().is_empty() {
            match io::Write::write(&mut self.socket, self.session.unsent()) {
                Ok(sent) => self.session.sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Secure {
    pub(super) fn new(socket: OwnedWriteHalf, session: Box<Session>, buffers: &Rc<Buffers>) -> Rc<Self> {
        let state = RefCell::new(State { session, is_owed: false });
        Rc::new(Self { socket, state, buffers: buffers.clone() })
    }

    pub(super) fn socket(&self) -> &OwnedWriteHalf {
        &self.socket
    }

    /// Encrypts and writes what the kernel takes now. A record that it takes in part counts as written but for its last
    /// byte: its frame is then half written, so it cannot be dropped, and waits in the outbox until the record is out.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let State { session, is_owed } = &mut *state;
        if self.send(session)? == Flushed::Blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut done = usize::from(std::mem::take(is_owed));
        let mut record = self.buffers.record.borrow_mut();
        for part in bytes[done..].chunks(MAX_PLAINTEXT) {
            let length = session.encrypt(part, &mut record).map_err(io::Error::other)?;
            let sent = match self.socket.try_write(&record[..length]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            done += part.len();
            if sent < length {
                session.keep_unsent(&record[sent..length]);
                *is_owed = true;
                return Ok(done - 1);
            }
        }
        Ok(done)
    }

    /// Bytes of the next frame that are on their way already: the byte that is owed, when it is a frame's first. The frame is
    /// then half written as any other, and is to go on behind them.
    pub(super) fn take_begun(&self) -> usize {
        usize::from(std::mem::take(&mut self.state.borrow_mut().is_owed))
    }

    /// As [`Self::try_write`], from several buffers: what fits into one record goes into one.
    pub(super) fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let fits = |buffer: &&IoSlice<'_>| buffer.len() < MAX_PLAINTEXT;
        let (first, rest) = match buffers {
            [] => return Ok(0),
            [first, rest @ ..] if fits(&first) && !rest.is_empty() => (first, rest),
            [first, ..] => return self.try_write(first),
        };
        let mut joined = self.buffers.joined.borrow_mut();
        joined.clear();
        joined.extend_from_slice(first);
        for buffer in rest {
            if joined.len() + buffer.len() > MAX_PLAINTEXT {
                break;
            }
            joined.extend_from_slice(buffer);
        }
        self.try_write(&joined)
    }

    /// Writes the records that are on their way.
    pub(super) fn flush(&self) -> io::Result<Flushed> {
        self.send(&mut self.state.borrow_mut().session)
    }

    /// Bytes that are kept of input and output because they are not whole.
    pub(super) fn held(&self) -> usize {
        let session = &self.state.borrow().session;
        session.kept().len() + session.unsent().len()
    }

    /// Whether records are on their way.
    pub(super) fn is_sending(&self) -> bool {
        !self.state.borrow().session.unsent().is_empty()
    }

    /// Puts what was kept of the input before what is read next. Returns its length.
    pub(super) fn put_back(&self, scratch: &mut [u8]) -> usize {
        let session = &self.state.borrow().session;
        let kept = session.kept();
        scratch[..kept.len()].copy_from_slice(kept);
        kept.len()
    }

    /// Decrypts what was put back and read, and tells the peer what TLS has to tell.
    pub(super) fn decrypt(&self, bytes: &mut [u8], plaintext: &mut Vec<u8>) -> io::Result<Received> {
        let session = &mut self.state.borrow_mut().session;
        let received = session.receive(bytes, plaintext);
        // What the kernel does not take goes out before the next frame; who reads nothing is noticed by then.
        let _ = self.send(session);
        received.map_err(io::Error::other)
    }

    fn send(&self, session: &mut Session) -> io::Result<Flushed> {
        while !session.unsent().is_empty() {
            match self.socket.try_write(session.unsent()) {
                Ok(sent) => session.sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::Empty)
    }

    /// Says goodbye, unless that would come in the middle of something, and ends the connection in both directions.
    pub(super) fn shutdown(&self) {
        self.end(Shutdown::Both);
    }

    /// The same, but that what the peer sends is still read.
    pub(super) fn end_output(&self) {
        self.end(Shutdown::Write);
    }

    fn end(&self, direction: Shutdown) {
        let session = &mut self.state.borrow_mut().session;
        if session.unsent().is_empty() {
            session.say_goodbye();
            // The connection ends in any case.
            let _ = self.send(session);
        }
        // The socket may be gone already, which is what was wanted.
        let _ = SockRef::from(self.socket.as_ref()).shutdown(direction);
    }
}
