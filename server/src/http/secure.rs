//! TLS on the front: the handshake, and HTTP over it until a shard takes the socket.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use realtime_protocol::push;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;
use tracing::debug;

use super::head::{Hello, LOOKED_AT, has_unread, is_for_hyper};
use super::routes::Front;
use super::{Accepted, head_is_there, serve};
use crate::shard::{SecureSocket, Socket};
use crate::tls::{Acceptor, MAX_PLAINTEXT, Received, Session};

/// Bytes read at once, as long as they do not turn out to be the beginning of a long record.
const READ: usize = 4096;

/// A socket that speaks TLS, as hyper sees it.
pub(super) struct Secure {
    socket: TcpStream,
    session: Box<Session>,
    /// What was decrypted and hyper has not read; the first `read` bytes are.
    plaintext: Vec<u8>,
    read: usize,
    is_closed: bool,
}

impl Accepted for Secure {
    fn into_socket(self) -> io::Result<(Socket, Vec<u8>)> {
        let Self { socket, session, mut plaintext, read, is_closed } = self;
        if is_closed {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer has closed its TLS"));
        }
        plaintext.drain(..read);
        Ok((Socket::Secure(SecureSocket { socket: socket.into_std()?, session }), plaintext))
    }
}

impl Secure {
    fn new(socket: TcpStream, session: Session) -> Self {
        Self { socket, session: Box::new(session), plaintext: Vec::new(), read: 0, is_closed: false }
    }

    /// Does the handshake and waits for a request's head, or for what hyper answers as well. Goes on where it was when it
    /// is called again.
    async fn head(&mut self) -> io::Result<()> {
        loop {
            std::future::poll_fn(|cx| self.poll_send(cx)).await?;
            let is_there = !self.plaintext.is_empty() && is_for_hyper(&self.plaintext, LOOKED_AT);
            if !self.session.is_handshaking() && (is_there || self.is_closed) {
                return Ok(());
            }
            if self.is_closed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let received = std::future::poll_fn(|cx| self.poll_receive(cx)).await;
            if received.is_err() {
                // The alert that says why.
                let _ = std::future::poll_fn(|cx| self.poll_send(cx)).await;
            }
            received?;
        }
    }

    /// Whether a request has begun.
    fn has_begun(&self) -> bool {
        !self.plaintext.is_empty() || has_unread(&self.socket)
    }

    /// Reads and decrypts once.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kept = self.session.kept().len();
        let mut bytes = vec![0; kept + if kept == 0 { READ } else { MAX_PLAINTEXT }];
        bytes[..kept].copy_from_slice(self.session.kept());
        let mut buffer = ReadBuf::new(&mut bytes[kept..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            // Without a goodbye the end may have been cut off by somebody else (RFC 8446 §6.1).
            let end = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without close_notify");
            return Poll::Ready(Err(end));
        }
        match self.session.receive(&mut bytes[..kept + read], &mut self.plaintext) {
            Ok(received) => self.is_closed = received == Received::Closed,
            Err(error) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is unsent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.unsent().is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, self.session.unsent()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.session.sent(sent),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Secure {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read == this.plaintext.len() {
            if this.is_closed {
                return Poll::Ready(Ok(()));
            }
            let received = ready!(this.poll_receive(cx));
            // What the peer is to be told goes out with the next answer, or now if the kernel has room.
            let _ = this.poll_send(cx)?;
            received?;
        }
        let rest = &this.plaintext[this.read..];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        this.read += taken;
        if this.read == this.plaintext.len() {
            (this.plaintext, this.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let part = &bytes[..bytes.len().min(MAX_PLAINTEXT)];
        let mut record = Vec::new();
        let length = this.session.encrypt(part, &mut record).map_err(io::Error::other)?;
        this.session.keep_unsent(&record[..length]);
        // It is accepted whether or not the kernel takes it now; flushing waits.
        let _ = this.poll_send(cx)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.say_goodbye();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Everything that one socket says on the port of TLS, until it is upgraded or ends.
pub(super) async fn handshake(
    socket: TcpStream,
    acceptor: Arc<Acceptor>,
    front: Front,
    mut stopping: watch::Receiver<bool>,
) {
    let mut deadline = pin!(tokio::time::sleep(front.shared.config.handshake_timeout));
    // Until the first message of the handshake is whole it stays in the kernel, as a request's head does.
    if !head_is_there(&Hello(&socket), &mut stopping, deadline.as_mut()).await {
        return;
    }
    // Boxed, so that a task that still waits has no room for what comes then.
    Box::pin(async {
        match Hello(&socket).first_byte() {
            Some(HANDSHAKE) => {}
            Some(byte) if byte.is_ascii_uppercase() => return refuse_plain_http(socket, deadline).await,
            _ => return debug!("what came on the port of TLS is no TLS"),
        }
        let session = match acceptor.session() {
            Ok(session) => session,
            Err(error) => return tracing::error!(%error, "a TLS session could not be made"),
        };
        let mut secure = Secure::new(socket, session);
        if let Err(error) = begin(&mut secure, &mut stopping, deadline.as_mut()).await {
            return debug!(%error, "a TLS connection ended before its first request");
        }
        serve(secure, front, stopping, deadline).await;
    })
    .await;
}

/// The type of a record that belongs to a handshake (RFC 8446 §5.1).
pub(super) const HANDSHAKE: u8 = 22;

/// From the first message of the handshake to a request's head.
async fn begin(
    secure: &mut Secure,
    stopping: &mut watch::Receiver<bool>,
    mut deadline: Pin<&mut Sleep>,
) -> io::Result<()> {
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            head = secure.head() => return head,
            _ = stopping.wait_for(|stop| *stop), if !is_stopping => is_stopping = true,
            () = deadline.as_mut() => return Err(io::ErrorKind::TimedOut.into()),
        }
        // A request that is begun is answered even then.
        if !secure.has_begun() {
            return Err(io::Error::other("the server is stopping"));
        }
    }
}

/// Tells who spoke plain HTTP what is spoken here, in plain HTTP.
async fn refuse_plain_http(mut socket: TcpStream, deadline: Pin<&mut Sleep>) {
    // What is left unread would have the kernel reset the connection, and the answer with it.
    let mut unread = [0; READ];
    while socket.try_read(&mut unread).is_ok_and(|read| read > 0) {}
    let body = push::http_error("bad_request", "this port speaks TLS; use https:// and wss://");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    tokio::select! {
        _ = async { socket.write_all(answer.as_bytes()).await?; socket.shutdown().await } => {}
        () = deadline => {}
    }
}
