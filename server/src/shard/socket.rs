//! A connection's socket in two halves: the task that reads owns one, everybody who writes shares the other.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// A socket that the front hands over, non-blocking and not yet known to the shard's reactor.
#[derive(Debug)]
pub enum Socket {
    /// From a TCP listener.
    Tcp(std::net::TcpStream),
    /// From the unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Writes before the reactor knows the socket, which would answer WouldBlock until it has polled once. Returns how
    /// many bytes the kernel took.
    pub fn write_early(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(socket) => io::Write::write(socket, bytes),
            Self::Unix(socket) => io::Write::write(socket, bytes),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Registers the socket with the reactor of the calling thread.
    pub fn into_halves(self) -> io::Result<(ReadHalf, WriteHalf)> {
        Ok(match self {
            Self::Tcp(socket) => {
                let (read, write) = TcpStream::from_std(socket)?.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Unix(socket) => {
                let (read, write) = UnixStream::from_std(socket)?.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        })
    }
}

/// The reading half.
pub enum ReadHalf {
    /// Of TCP.
    Tcp(tcp::OwnedReadHalf),
    /// Of a unix socket.
    Unix(unix::OwnedReadHalf),
}

impl ReadHalf {
    /// Reads into `buffer`. A read that does not fill it also marks the socket as drained, which spares the system
    /// call that would only say so.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buffer),
            Self::Unix(half) => Pin::new(half).poll_read(cx, buffer),
        }
    }
}

/// The writing half; needs no exclusive access.
pub enum WriteHalf {
    /// Of TCP.
    Tcp(tcp::OwnedWriteHalf),
    /// Of a unix socket.
    Unix(unix::OwnedWriteHalf),
}

impl WriteHalf {
    /// Writes what the kernel takes now.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            Self::Unix(half) => half.try_write(bytes),
        }
    }

    /// The same, from several buffers.
    pub fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write_vectored(buffers),
            Self::Unix(half) => half.try_write_vectored(buffers),
        }
    }

    /// Waits until the kernel takes bytes again.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.writable().await,
            Self::Unix(half) => half.writable().await,
        }
    }

    /// Sends nothing any more; what the peer sends is still read.
    pub fn end_output(&self) {
        // The socket may be gone already.
        let _ = match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Write),
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Write),
        };
    }

    /// Ends the connection in both directions; its reading task sees the end and cleans up.
    pub fn shutdown(&self) {
        // The socket may be gone already, which is what was wanted.
        let _ = match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
        };
    }
}
