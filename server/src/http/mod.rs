//! The front: accepts sockets, speaks HTTP by hyper, and hands upgraded sockets to the shards.

mod assets;
mod head;
mod proxy;
mod routes;
mod secure;
mod token;
mod upgrade;

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tracing::{debug, error};

use self::head::Head;
use self::routes::Front;
use self::upgrade::Pending;
use crate::Shared;
use crate::gate::{Admission, Welcome};
#[cfg(feature = "fuzzing")]
use crate::grant::Grant;
use crate::shard::Socket;
use crate::tls::Acceptor;

pub use self::proxy::{ProxyHeader, proxy_header};

/// Longest request head, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers in a request.
const MAX_HEADERS: usize = 100;
/// How long accepting rests when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What `POST /broadcast` answers to who may publish: the status and the body.
#[cfg(feature = "fuzzing")]
pub(crate) async fn answer_body(shared: &Arc<Shared>, grant: &Grant, body: &[u8]) -> (u16, hyper::body::Bytes) {
    use http_body_util::BodyExt;
    let answer = routes::answer_body(shared, grant, body).await.unwrap_or_else(routes::Refusal::into_response);
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default())
}

/// A listener of either kind.
pub enum Listener {
    /// WebSocket and HTTP for everybody.
    Tcp(TcpListener),
    /// The same over TLS.
    Tls(TcpListener, Arc<Acceptor>),
    /// For publishers on this machine.
    Unix(UnixListener),
}

/// A socket that hyper drives and gives back.
trait Accepted: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {
    /// The socket, and what it has read that hyper has not.
    fn into_socket(self) -> io::Result<(Socket, Vec<u8>)>;
}

impl Accepted for TcpStream {
    fn into_socket(self) -> io::Result<(Socket, Vec<u8>)> {
        Ok((Socket::Tcp(self.into_std()?), Vec::new()))
    }
}

impl Accepted for UnixStream {
    fn into_socket(self) -> io::Result<(Socket, Vec<u8>)> {
        Ok((Socket::Unix(self.into_std()?), Vec::new()))
    }
}

impl Listener {
    /// Accepts until told to stop.
    pub async fn serve(self, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
        let handshakes = stopping.clone();
        let mut quiet_until = None;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return,
                accepted = self.accept(&shared, &handshakes) => accepted,
            };
            let Err(error) = accepted else { continue };
            if is_about_peer(&error) {
                continue;
            }
            // Out of descriptors or memory: existing connections go on, and trying at once would only spin.
            let now = Instant::now();
            if quiet_until.is_none_or(|until| now >= until) {
                error!(%error, "cannot accept connections; raise the limit on open files (LimitNOFILE, ulimit -n)");
                quiet_until = Some(now + Duration::from_secs(60));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn accept(&self, shared: &Arc<Shared>, stopping: &watch::Receiver<bool>) -> io::Result<()> {
        while !shared.gate.has_room() {
            // Each handshake ends by its deadline, so this does too.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (listener, tls) = match self {
            Self::Tcp(listener) => (listener, None),
            Self::Tls(listener, acceptor) => (listener, Some(acceptor)),
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let (admission, welcome) = shared.gate.enter(None);
                let front = Front::new(shared.clone(), None, admission, welcome);
                tokio::spawn(handshake(stream, front, stopping.clone()));
                return Ok(());
            }
        };
        let (stream, address) = listener.accept().await?;
        let (admission, welcome) = shared.gate.enter(Some(address.ip()));
        if welcome != Welcome::Nobody {
            let arrival = Arrival { peer: address.ip(), admission, welcome };
            tokio::spawn(tcp(stream, arrival, tls.cloned(), shared.clone(), stopping.clone()));
        }
        Ok(())
    }
}

/// A socket that was accepted over TCP, and its place in the limits.
struct Arrival {
    peer: IpAddr,
    admission: Admission,
    welcome: Welcome,
}

/// Serves a socket, with TLS or without, for whoever is behind it.
async fn tcp(
    stream: TcpStream,
    mut arrival: Arrival,
    tls: Option<Arc<Acceptor>>,
    shared: Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
) {
    if shared.config.proxy_protocol {
        let read = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return,
            read = proxy::read(&stream, arrival.peer, &shared.gate, shared.config.handshake_timeout) => read,
        };
        match read {
            Ok(source) => {
                (arrival.peer, arrival.welcome) = (source, arrival.welcome.max(arrival.admission.count_for(source)));
            }
            Err(refused) => return refused.log(arrival.peer, &shared.refusals),
        }
        if arrival.welcome == Welcome::Nobody {
            return;
        }
    }
    let front = Front::new(shared, Some(arrival.peer), arrival.admission, arrival.welcome);
    match tls {
        Some(acceptor) => secure::handshake(stream, acceptor, front, stopping).await,
        None => handshake(stream, front, stopping).await,
    }
}

/// A connection that ended before it was accepted says nothing about the server.
fn is_about_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | InvalidInput)
}

/// Everything that one socket says in HTTP, until it is upgraded or ends.
async fn handshake<S: Accepted + Head>(stream: S, front: Front, mut stopping: watch::Receiver<bool>) {
    let timeout = front.shared.config.handshake_timeout;
    let mut deadline = pin!(tokio::time::sleep(timeout));
    if !head_is_there(&stream, &mut stopping, deadline.as_mut()).await {
        return;
    }
    // Boxed, so that a task that still waits for the head has no room for what hyper keeps.
    Box::pin(serve(stream, front, stopping, deadline)).await;
}

/// Waits until hyper has something to do with a new connection; `false` when that never comes.
async fn head_is_there(stream: &impl Head, stopping: &mut watch::Receiver<bool>, deadline: Pin<&mut Sleep>) -> bool {
    let mut head = pin!(stream.head());
    let arrives = async {
        tokio::select! {
            biased;
            // What failed here fails again when hyper reads, which tells it.
            _ = head.as_mut() => return true,
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        // A request that is begun is answered even then. hyper, which has read nothing of it, would hang up.
        if !stream.has_begun() {
            return false;
        }
        let _ = head.await;
        true
    };
    tokio::select! {
        biased;
        arrived = arrives => arrived,
        () = deadline => {
            debug!("a request's head was not complete in time");
            false
        }
    }
}

/// Serves requests, the first of which has begun.
async fn serve<S: Accepted>(
    stream: S,
    front: Front,
    mut stopping: watch::Receiver<bool>,
    mut deadline: Pin<&mut Sleep>,
) {
    let timeout = front.shared.config.handshake_timeout;
    let service = {
        let front = front.clone();
        service_fn(move |request| {
            let front = front.clone();
            async move { front.answer(request).await }
        })
    };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let mut is_ending = false;
    let served = loop {
        tokio::select! {
            biased;
            served = connection.as_mut() => break served,
            _ = stopping.wait_for(|stop| *stop), if !is_ending => {}
            () = deadline.as_mut() => {
                if front.has_published() {
                    // A publisher may stay; each of its requests has a deadline of its own.
                    deadline.as_mut().reset(Instant::now() + timeout);
                    continue;
                }
                if is_ending {
                    // It asks on and on, or takes its answers too slowly: a place among the handshakes is not for that.
                    return debug!("a connection was neither upgraded nor ended in time");
                }
            }
        }
        // The request that is begun is answered; another one is not read.
        connection.as_mut().graceful_shutdown();
        is_ending = true;
        deadline.as_mut().reset(Instant::now() + timeout);
    };
    if let Err(error) = served {
        // Garbage, a head that is too long or too late, a peer that left: its own business, answered by hyper.
        debug!(%error, "a request ended in the handshake");
    }
    if let Some(pending) = Pending::take(&front.pending) {
        pending.hand_over::<S>(&front.shared).await;
    }
}
