//! A connection's socket in two halves: the task that reads owns one, everybody who writes shares the other.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use nix::sys::socket::{MsgFlags, send};
use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use super::outbox::Flushed;
use super::secure::{Buffers, Secure, SecureSocket};

/// A socket that the front hands over, non-blocking and not yet known to the shard's reactor.
pub enum Socket {
    /// From a TCP listener.
    Tcp(std::net::TcpStream),
    /// From a TCP listener, with TLS.
    Secure(SecureSocket),
    /// From the unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Writes before the reactor knows the socket, which would answer WouldBlock until it has polled once. Returns how
    /// many bytes the kernel took.
    pub fn write_early(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(socket) => io::Write::write(socket, bytes),
            Self::Secure(socket) => return socket.write_early(bytes),
            Self::Unix(socket) => io::Write::write(socket, bytes),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Says that nothing more comes, where there is a way to say it.
    pub fn say_goodbye(&mut self) {
        if let Self::Secure(socket) = self {
            socket.say_goodbye();
        }
    }

    /// Registers the socket with the reactor of the calling thread.
    pub(super) fn into_halves(self, buffers: &Rc<Buffers>) -> io::Result<(ReadHalf, WriteHalf)> {
        Ok(match self {
            Self::Tcp(socket) => {
                let fd = socket.as_raw_fd();
                let (read, write) = TcpStream::from_std(socket)?.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write, fd))
            }
            Self::Secure(SecureSocket { socket, session }) => {
                let (read, write) = TcpStream::from_std(socket)?.into_split();
                let secure = Secure::new(write, session, buffers);
                (ReadHalf::Secure(read, secure.clone()), WriteHalf::Secure(secure))
            }
            Self::Unix(socket) => {
                let (read, write) = UnixStream::from_std(socket)?.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        })
    }
}

/// The reading half.
pub(super) enum ReadHalf {
    /// Of TCP.
    Tcp(tcp::OwnedReadHalf),
    /// Of TCP with TLS; what is read has yet to be decrypted.
    Secure(tcp::OwnedReadHalf, Rc<Secure>),
    /// Of a unix socket.
    Unix(unix::OwnedReadHalf),
}

impl ReadHalf {
    /// Puts what was read before and could not be used yet to the front of `scratch`. Returns its length.
    pub fn put_back(&self, scratch: &mut [u8]) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Secure(_, secure) => secure.put_back(scratch),
        }
    }

    /// Reads into `buffer`. A read that does not fill it also marks the socket as drained, which spares the system
    /// call that would only say so.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) | Self::Secure(half, _) => Pin::new(half).poll_read(cx, buffer),
            Self::Unix(half) => Pin::new(half).poll_read(cx, buffer),
        }
    }
}

/// The writing half; needs no exclusive access.
pub(super) enum WriteHalf {
    /// Of TCP, and the socket's descriptor, which is open as long as this half is there.
    Tcp(tcp::OwnedWriteHalf, RawFd),
    /// Of TCP with TLS.
    Secure(Rc<Secure>),
    /// Of a unix socket.
    Unix(unix::OwnedWriteHalf),
}

impl WriteHalf {
    /// Writes what the kernel takes now.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // Not by way of tokio, whose socket and readiness are two more cache lines for each of thousands of receivers. When
            // the kernel refuses, [`Self::try_write_vectored`] follows in a flush and tells tokio.
            Self::Tcp(_, fd) => Ok(send(*fd, bytes, MsgFlags::MSG_NOSIGNAL)?),
            Self::Secure(secure) => secure.try_write(bytes),
            Self::Unix(half) => half.try_write(bytes),
        }
    }

    /// To be called when nothing waits and a frame is about to be written from its beginning: how many of its bytes are
    /// out already. TLS may have taken its first one into the record before.
    #[inline]
    pub fn take_begun(&self) -> usize {
        match self {
            Self::Tcp(..) | Self::Unix(_) => 0,
            Self::Secure(secure) => secure.take_begun(),
        }
    }

    /// As [`Self::try_write`], from several buffers.
    pub fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(half, _) => half.try_write_vectored(buffers),
            Self::Secure(secure) => secure.try_write_vectored(buffers),
            Self::Unix(half) => half.try_write_vectored(buffers),
        }
    }

    /// Waits until the kernel takes bytes again.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half, _) => half.writable().await,
            Self::Secure(secure) => secure.socket().writable().await,
            Self::Unix(half) => half.writable().await,
        }
    }

    /// Writes what is on its way though it counts as written: what TLS itself has to say.
    pub fn flush(&self) -> io::Result<Flushed> {
        match self {
            Self::Tcp(..) | Self::Unix(_) => Ok(Flushed::Empty),
            Self::Secure(secure) => secure.flush(),
        }
    }

    /// Whether [`Self::flush`] has something to write.
    pub fn is_sending(&self) -> bool {
        matches!(self, Self::Secure(secure) if secure.is_sending())
    }

    /// Bytes that TLS keeps of what is not whole.
    pub fn held(&self) -> usize {
        match self {
            Self::Tcp(..) | Self::Unix(_) => 0,
            Self::Secure(secure) => secure.held(),
        }
    }

    /// Sends nothing any more; what the peer sends is still read.
    pub fn end_output(&self) {
        // The socket may be gone already.
        let _ = match self {
            Self::Secure(secure) => return secure.end_output(),
            Self::Tcp(half, _) => SockRef::from(half.as_ref()).shutdown(Shutdown::Write),
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Write),
        };
    }

    /// Ends the connection in both directions; its reading task sees the end and cleans up.
    pub fn shutdown(&self) {
        // The socket may be gone already, which is what was wanted.
        let _ = match self {
            Self::Secure(secure) => return secure.shutdown(),
            Self::Tcp(half, _) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
        };
    }
}
