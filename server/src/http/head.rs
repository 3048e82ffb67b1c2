//! Waiting for a request's head without a buffer for it.
//!
//! hyper takes 8 KiB for writing as soon as it has a connection, and 16 KiB for reading once a head comes in two pieces.
//! As long as the head is not whole its bytes stay in the kernel, so that a handshake that is begun and not completed,
//! of which there may be thousands after a restart or in an attack, costs its task only. Memory of 10,000 of them
//! would not come back altogether: the allocator keeps its notes about as many pieces as there ever were at once.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::secure::HANDSHAKE;

/// Heads longer than this are left to hyper before they are whole; few are.
pub(super) const LOOKED_AT: usize = 4096;

/// A socket whose unread bytes can be looked at.
pub(super) trait Head {
    /// Waits until hyper has something to do: for a whole head, for one that is long or none, or for the end.
    fn head(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Whether anything has arrived that was not read.
    fn has_begun(&self) -> bool;
}

impl Head for TcpStream {
    async fn head(&self) -> io::Result<()> {
        while !self.ready(Interest::READABLE).await?.is_read_closed() {
            if let Some(outcome) = done(self.try_io(Interest::READABLE, || look(self.as_raw_fd(), is_for_hyper))) {
                return outcome;
            }
        }
        Ok(())
    }

    fn has_begun(&self) -> bool {
        has_unread(self)
    }
}

impl Head for UnixStream {
    async fn head(&self) -> io::Result<()> {
        while !self.ready(Interest::READABLE).await?.is_read_closed() {
            if let Some(outcome) = done(self.try_io(Interest::READABLE, || look(self.as_raw_fd(), is_for_hyper))) {
                return outcome;
            }
        }
        Ok(())
    }

    fn has_begun(&self) -> bool {
        has_unread(self)
    }
}

/// A socket on the port of TLS, whose head is the first message of a handshake.
pub(super) struct Hello<'a>(pub(super) &'a TcpStream);

impl Hello<'_> {
    /// The first byte that was not read.
    pub(super) fn first_byte(&self) -> Option<u8> {
        let mut byte = [0];
        peek(self.0.as_raw_fd(), &mut byte).ok().filter(|length| *length > 0).map(|_| byte[0])
    }
}

impl Head for Hello<'_> {
    async fn head(&self) -> io::Result<()> {
        while !self.0.ready(Interest::READABLE).await?.is_read_closed() {
            if let Some(outcome) = done(self.0.try_io(Interest::READABLE, || look(self.0.as_raw_fd(), is_for_tls))) {
                return outcome;
            }
        }
        Ok(())
    }

    fn has_begun(&self) -> bool {
        has_unread(self.0)
    }
}

/// Whether anything has arrived that was not read.
pub(super) fn has_unread(socket: &impl AsRawFd) -> bool {
    peek(socket.as_raw_fd(), &mut [0]).is_ok_and(|length| length > 0)
}

fn done(looked: io::Result<()>) -> Option<io::Result<()>> {
    match looked {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        outcome => Some(outcome),
    }
}

fn peek(socket: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket, bytes, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
}

/// `WouldBlock` asks the reactor for word of the next bytes.
fn look(socket: RawFd, is_enough: fn(&[u8], usize) -> bool) -> io::Result<()> {
    let mut bytes = [0; LOOKED_AT];
    let length = peek(socket, &mut bytes)?;
    if is_enough(&bytes[..length], LOOKED_AT) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// Whether `bytes`, of which `most` can be seen, are a whole head, or more than can be seen of one, or none: all of that
/// hyper answers.
pub(super) fn is_for_hyper(bytes: &[u8], most: usize) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let is_request = bytes.first().is_some_and(u8::is_ascii_uppercase) && bytes.iter().all(is_text);
    // hyper takes bare line feeds too.
    let is_whole = || bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n");
    !is_request || bytes.len() >= most || is_whole()
}

/// Whether `bytes`, of which `most` can be seen, have a whole record of a handshake (RFC 8446 §5.1), or more than can be
/// seen of one, or none.
fn is_for_tls(bytes: &[u8], most: usize) -> bool {
    match bytes {
        [HANDSHAKE, _, _, high, low, record @ ..] => {
            record.len() >= usize::from(u16::from_be_bytes([*high, *low])) || bytes.len() >= most
        }
        [HANDSHAKE, ..] => false,
        // Whoever speaks HTTP here is answered so.
        other => is_for_hyper(other, most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_tls_handshake_is_waited_upon() {
        let hello = [22, 3, 1, 0, 3, 1, 2, 3];
        for length in 1..hello.len() {
            assert!(!is_for_tls(&hello[..length], LOOKED_AT), "{length}");
        }
        assert!(is_for_tls(&hello, LOOKED_AT) && is_for_tls(&hello[..6], 6));
        for other in [&b"\x15\x03\x01"[..], b"\0", b"hello", b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(is_for_tls(other, LOOKED_AT), "{other:?}");
        }
        assert!(!is_for_tls(b"GET / HTTP/1.1\r\n", LOOKED_AT));
    }

    #[test]
    fn only_the_beginning_of_a_request_is_waited_upon() {
        for whole in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.0\r\n\r\n{", "GET / HTTP/1.1\nHost: x\n\n"] {
            assert!(is_for_hyper(whole.as_bytes(), LOOKED_AT), "{whole:?}");
        }
        for begun in ["G", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r"] {
            assert!(!is_for_hyper(begun.as_bytes(), LOOKED_AT), "{begun:?}");
            assert!(is_for_hyper(begun.as_bytes(), begun.len()), "{begun:?} is all that can be seen");
        }
        for other in [&b""[..], b"\x16\x03\x01", b"\r\n", b"hello", b"GET / HTTP/1.1\r\nHost: \0"] {
            assert!(is_for_hyper(other, LOOKED_AT), "{other:?}");
        }
    }
}
