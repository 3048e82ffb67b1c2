//! The sockets that are listened on: made here, or inherited from who started the process.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use listenfd::ListenFd;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tracing::info;

use crate::StartError;
use crate::config::Config;
use crate::unix_socket::{self, Resolved, SocketFile};

/// Listens on `address`. What is set here, accepted sockets inherit, which spares each of them the system calls.
pub(crate) fn tcp(
    inherited: Option<std::net::TcpListener>,
    address: SocketAddr,
    send_buffer: usize,
) -> io::Result<TcpListener> {
    /// Connections that the kernel completes while accepting is behind.
    const BACKLOG: u32 = 4096;
    if let Some(inherited) = inherited {
        inherited.set_nonblocking(true)?;
        set_options(&SockRef::from(&inherited), send_buffer)?;
        return TcpListener::from_std(inherited);
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    set_options(&SockRef::from(&socket), send_buffer)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn set_options(options: &SockRef<'_>, send_buffer: usize) -> io::Result<()> {
    options.set_tcp_nodelay(true)?;
    // The kernel takes the value twice, for its own bookkeeping (socket(7)).
    options.set_send_buffer_size(send_buffer / 2)?;
    // Watches publishers, which are not pinged.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    options.set_tcp_keepalive(&keepalive)
}

/// The file is `None` for an inherited socket, whose file is the business of who made it.
pub(crate) fn unix(
    inherited: Option<std::os::unix::net::UnixListener>,
    config: &Config,
) -> Result<Option<(UnixListener, Option<SocketFile>)>, StartError> {
    if let Some(inherited) = inherited {
        let listener = inherited.set_nonblocking(true).and_then(|()| UnixListener::from_std(inherited));
        return listener.map(|listener| Some((listener, None))).map_err(StartError::Runtime);
    }
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR");
    let path = match unix_socket::resolve(config, runtime_dir.as_deref().map(Path::new)) {
        Resolved::At(path) => path,
        Resolved::None(reason) => {
            info!("no unix socket: {reason}");
            return Ok(None);
        }
    };
    let (listener, file) = unix_socket::bind_at(&path, config).map_err(StartError::UnixSocket)?;
    let listener = UnixListener::from_std(listener).map_err(StartError::Runtime)?;
    Ok(Some((listener, Some(file))))
}

/// Sockets that the process was started with (sd_listen_fds(3)). They are listened on before the server starts and while
/// it restarts, so that no connection is refused.
#[derive(Default)]
pub(crate) struct Inherited {
    pub(crate) tcp: Option<std::net::TcpListener>,
    pub(crate) tls: Option<std::net::TcpListener>,
    pub(crate) unix: Option<std::os::unix::net::UnixListener>,
}

impl Inherited {
    /// The socket whose port is that of `tls_listen` is for TLS, or the second one when none is.
    pub(crate) fn take(tls_listen: Option<SocketAddr>) -> Self {
        let mut sockets = ListenFd::from_env();
        let mut inherited = Self::default();
        let is_for_tls = |tcp: &std::net::TcpListener, is_second: bool| {
            tls_listen
                .is_some_and(|tls| is_second || tcp.local_addr().is_ok_and(|address| address.port() == tls.port()))
        };
        for index in 0..sockets.len() {
            if let Ok(Some(tcp)) = sockets.take_tcp_listener(index) {
                let place =
                    if is_for_tls(&tcp, inherited.tcp.is_some()) { &mut inherited.tls } else { &mut inherited.tcp };
                place.get_or_insert(tcp);
            } else if let Ok(Some(unix)) = sockets.take_unix_listener(index) {
                inherited.unix.get_or_insert(unix);
            }
        }
        inherited
    }
}
