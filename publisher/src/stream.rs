//! One byte stream for TCP and unix sockets on which every wait ends at a deadline.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use native_tls::TlsStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, set_tcp_nodelay};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Timeouts are set in steps, so that consecutive calls with the same timeout need no system call to set it again.
const STEP: Duration = Duration::from_millis(10);

/// PHP may be embedded where SIGPIPE kills. Apple has a socket option instead of the flag.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// How long reads and writes may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Until then; afterwards they fail with `TimedOut`.
    Until(Instant),
    /// Not at all; they fail with `WouldBlock`.
    Never,
}

/// A connected socket.
pub(crate) struct DeadlineStream {
    socket: OwnedFd,
    wait: Wait,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    written: u64,
    gathers: bool,
}

impl DeadlineStream {
    pub(crate) fn new(socket: OwnedFd, deadline: Instant) -> io::Result<Self> {
        #[cfg(target_vendor = "apple")]
        rustix::net::sockopt::set_socket_nosigpipe(&socket, true)?;
        let (read_timeout, write_timeout) = (None, None);
        Ok(Self { socket, wait: Wait::Until(deadline), read_timeout, write_timeout, written: 0, gathers: false })
    }

    pub(crate) fn set_wait(&mut self, wait: Wait) {
        self.wait = wait;
    }

    /// Whether the kernel gathers small writes while what was written before them is on its way (RFC 896), instead of
    /// sending each by itself. Switched off, it sends at once what it has gathered. Not on unix sockets.
    pub(crate) fn gather(&mut self, gathers: bool) {
        if self.gathers != gathers {
            self.gathers = gathers;
            // Without it all goes out one by one, or a little later. A unix socket never gathers.
            let _ = set_tcp_nodelay(&self.socket, !gathers);
        }
    }

    /// Bytes that the kernel took so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Waits until something can be read or written.
    pub(crate) fn wait_for_either(&self, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = Timespec::try_from(left).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN | PollFlags::OUT)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sets the socket's timeout to what is left of the deadline. `false`: do not wait.
    fn arm(&mut self, which: Timeout) -> io::Result<bool> {
        let deadline = match self.wait {
            Wait::Never => return Ok(false),
            Wait::Until(deadline) => deadline,
        };
        let timeout = timeout_for(deadline.saturating_duration_since(Instant::now()))
            .ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
        let armed = match which {
            Timeout::Recv => &mut self.read_timeout,
            Timeout::Send => &mut self.write_timeout,
        };
        if *armed != Some(timeout) {
            set_socket_timeout(&self.socket, which, Some(timeout))?;
            *armed = Some(timeout);
        }
        Ok(true)
    }

    /// Tries `operation` until it succeeds, fails, or the deadline passes. A signal does not end the wait.
    fn retry(
        &mut self,
        which: Timeout,
        mut operation: impl FnMut(&OwnedFd, bool) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let wait = self.arm(which)?;
            match operation(&self.socket, wait) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if wait => {}
                other => return other.map_err(io::Error::from),
            }
        }
    }
}

/// What carries the WebSocket.
pub(crate) enum Transport {
    /// Bytes as they are.
    Plain(DeadlineStream),
    /// Bytes in TLS records.
    Tls(Box<TlsStream<DeadlineStream>>),
}

impl Transport {
    /// The socket below everything.
    pub(crate) fn socket(&mut self) -> &mut DeadlineStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_mut(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The largest step that fits, or what is left when that is less than a step; `None` when nothing is left.
fn timeout_for(left: Duration) -> Option<Duration> {
    let whole = left.as_millis() / STEP.as_millis();
    match u32::try_from(whole) {
        Ok(0) => (left >= Duration::from_millis(1)).then_some(left),
        Ok(steps) => Some(STEP * steps),
        Err(_) => Some(STEP * u32::MAX),
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(Timeout::Recv, |socket, wait| {
            let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
            recv(socket, &mut *buffer, flags).map(|(_, read)| read)
        })
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.retry(Timeout::Send, |socket, wait| {
            send(socket, bytes, if wait { SEND } else { SEND | SendFlags::DONTWAIT })
        })?;
        self.written += sent as u64;
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use rustix::net::sockopt::tcp_nodelay;

    use super::*;

    #[test]
    fn only_while_it_gathers_may_the_kernel_keep_back_what_is_written_and_a_unix_socket_never_does() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream = DeadlineStream::new(socket.into(), Instant::now()).unwrap();
        for gathers in [true, true, false, true, false] {
            stream.gather(gathers);
            assert_eq!(tcp_nodelay(&stream.socket), Ok(!gathers));
        }
        let (mut other, socket) = UnixStream::pair().unwrap();
        let mut stream = DeadlineStream::new(socket.into(), Instant::now()).unwrap();
        stream.gather(true);
        stream.set_wait(Wait::Never);
        stream.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn timeouts_are_rounded_down_to_steps_and_end_with_what_is_left() {
        let of = |micros| timeout_for(Duration::from_micros(micros));
        assert_eq!(of(1_999_900), Some(Duration::from_millis(1_990)));
        assert_eq!(of(10_000), Some(Duration::from_millis(10)));
        assert_eq!(of(9_999), Some(Duration::from_micros(9_999)));
        assert_eq!(of(999), None);
        assert_eq!(of(0), None);
    }
}
