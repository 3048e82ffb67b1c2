#![forbid(unsafe_code)]
//! The realtime server as a library: [`run`] is the one front door, for `main` and for tests.

mod backlog;
pub mod config;
mod directory;
mod durable;
mod fault;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod grant;
mod http;
mod hub;
mod inbox;
mod limits;
mod listen;
pub mod log;
mod memory;
mod moment;
pub mod origin;
mod policy;
mod publisher;
mod rate;
mod refusals;
pub mod rules;
mod session;
mod shard;
mod store;
mod threads;
pub mod tls;
pub mod token;
pub mod unix_socket;
mod ws;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tracing::{error, info};

use crate::config::Config;
use crate::directory::Directory;
use crate::durable::Durable;
use crate::gate::Gate;
use crate::http::Listener;
use crate::hub::{Hub, MAX_SHARDS};
use crate::inbox::Inbox;
use crate::listen::Inherited;
use crate::memory::Budget;
use crate::policy::Policy;
use crate::refusals::Refusals;
use crate::session::Now;
use crate::shard::{Arrival, Order};
use crate::store::OpenError;
use crate::tls::Acceptor;
use crate::token::Revocations;
use crate::unix_socket::{SocketError, SocketFile};

pub use crate::tls::CertificateError;

/// What benchmarks and tests reach past the front door; no promise is made about any of it.
#[doc(hidden)]
pub mod internals {
    pub use crate::directory::Directory;
    pub use crate::http::{ProxyHeader, proxy_header};
    pub use crate::hub::{AppId, Hub, Incoming, Payload, Publication, RuleOf, Stream, StreamName, Wish};
    pub use crate::inbox::{Inbox, Item};
    pub use crate::ws::{Decoder, Event, Limits, Violation, text_frame};

    /// Moments at which tests end or hold the server, and disks that fail.
    #[cfg(feature = "fault-points")]
    pub mod fault {
        pub use crate::fault::*;
    }

    /// The durable store.
    pub mod store {
        pub use crate::store::*;
    }
}

/// What front and shards share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    /// Told when another policy is in force.
    pub(crate) reloaded: Notify,
    pub(crate) hub: Arc<Hub>,
    /// Histories on disk, when there is a directory for them.
    pub(crate) store: Option<Durable>,
    /// Which tokens were taken back.
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) budget: Budget,
    pub(crate) refusals: Refusals,
    shards: Box<[mpsc::UnboundedSender<Order>]>,
    next_shard: AtomicUsize,
    stopping: AtomicBool,
    /// What makes TLS connections, when there is TLS.
    tls: Option<Arc<Acceptor>>,
    /// Told when a shard panicked: a server that delivers to some only is worse than one that is restarted.
    crashed: Notify,
}

impl Shared {
    /// Gives a new connection to the next shard.
    pub(crate) fn adopt(&self, arrival: Arrival) {
        let next = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        // A shard that has ended takes nobody any more; dropping the socket closes it.
        let _ = self.shards[next].send(Order::Adopt(Box::new(arrival)));
    }

    /// Waits until neither a shard nor the store is so far behind that publishing more would only pile up memory.
    pub(crate) async fn admission(&self) {
        self.hub.admission().await;
        if let Some(store) = &self.store {
            store.admission().await;
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Why the server could not start.
#[derive(Debug)]
pub enum StartError {
    /// The address could not be listened on.
    Listen(SocketAddr, io::Error),
    /// The certificate cannot be used.
    Tls(CertificateError),
    /// An address for TLS without a certificate, or with half of one.
    NoCertificate,
    /// The unix socket could not be made.
    UnixSocket(SocketError),
    /// A thread or runtime could not be made.
    Runtime(io::Error),
    /// The configuration asks for more shards than there can be.
    TooManyShards(usize),
    /// The histories on disk cannot be opened.
    Store(OpenError),
    /// Which tokens were revoked cannot be read or written in the data directory.
    Revocations(PathBuf, io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: another process does; stop it, or choose another address with --listen"
            ),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Tls(error) => error.fmt(f),
            Self::NoCertificate => f.write_str("tls_listen needs tls_cert and tls_key, files in PEM"),
            Self::UnixSocket(error) => error.fmt(f),
            Self::Runtime(error) => write!(f, "cannot start a thread: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Revocations(directory, error) => {
                write!(f, "cannot keep in {} which tokens were revoked: {error}", directory.display())
            }
            Self::TooManyShards(shards) => write!(f, "shards = {shards}: there can be {MAX_SHARDS} at most"),
        }
    }
}

impl std::error::Error for StartError {}

/// A server that runs.
pub struct Server {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    unix_socket: Option<SocketFile>,
    shared: Arc<Shared>,
    front: JoinHandle<()>,
    shards: Vec<JoinHandle<()>>,
}

impl Server {
    /// Where it listens; with port 0 in the configuration this tells which.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens with TLS, if it does.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// The unix socket of publishers, if there is one.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix_socket.as_ref().map(SocketFile::path)
    }

    /// Takes over what may change while running: keys, rules, origins and the certificate.
    pub fn reload(&self, config: &Config) {
        self.reloader().reload(config);
    }

    /// Reloads from another thread, while this one waits.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.shared.clone())
    }

    /// How many browsers and publishers are connected.
    pub fn connections(&self) -> usize {
        self.shared.gate.connections()
    }

    /// How many channels have subscribers.
    pub fn channels(&self) -> usize {
        self.shared.hub.streams()
    }

    /// Waits until it has stopped, and leaves what is kept to the next start. `Err`: a thread panicked.
    pub fn wait(self) -> Result<(), Crashed> {
        let mut outcome = self.front.join().map_err(|_| Crashed);
        for shard in self.shards {
            outcome = outcome.and(shard.join().map_err(|_| Crashed));
        }
        // Nobody publishes any more. After a panic what is in memory may not be whole.
        if let Some(store) = &self.shared.store {
            store.leave(outcome.is_ok().then_some(&*self.shared.hub));
        }
        outcome
    }
}

/// Takes over another configuration while the server runs.
#[derive(Clone)]
pub struct Reloader(Arc<Shared>);

impl Reloader {
    /// As [`Server::reload`].
    pub fn reload(&self, config: &Config) {
        let policy = self.0.policy.load().followed_by(config, &self.0.revocations);
        self.0.policy.store(Arc::new(policy));
        self.0.reloaded.notify_one();
        for shard in &self.0.shards {
            // A shard that has ended has no connections.
            let _ = shard.send(Order::Renew);
        }
        if let (Some(tls), Some(cert), Some(key)) = (&self.0.tls, &config.tls_cert, &config.tls_key) {
            // Read once more, since it may have been exchanged since the configuration was read.
            match tls.replace(cert, key) {
                Ok(()) => info!("new connections get the certificate in {}", cert.display()),
                Err(error) => error!("{error}; the old certificate stays"),
            }
        }
    }
}

/// A thread of the server panicked; its message is on stderr.
#[derive(Debug)]
pub struct Crashed;

impl std::fmt::Display for Crashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a thread of the server panicked; this is a bug, please report what it printed")
    }
}

impl std::error::Error for Crashed {}

/// Starts the server, which stops when `shutdown` is done. Returns as soon as it listens.
pub fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<Server, StartError> {
    if config.shards > MAX_SHARDS {
        return Err(StartError::TooManyShards(config.shards));
    }
    let config = Arc::new(config);
    let front = threads::front_runtime().map_err(StartError::Runtime)?;
    let inherited = Inherited::take(config.tls_listen);
    let tcp = front
        .block_on(async { listen::tcp(inherited.tcp, config.listen, config.send_buffer) })
        .map_err(|error| StartError::Listen(config.listen, error))?;
    let address = tcp.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    let tls = front.block_on(async { tls_listener(inherited.tls, &config) })?;
    let tls_address = tls.as_ref().map(|tls| tls.address);
    let unix = front.block_on(async { listen::unix(inherited.unix, &config) })?;
    let shards = config.shards.max(1);
    let directory = Arc::new(Directory::new(shards));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..shards).map(|_| mpsc::unbounded_channel()).unzip();
    let (limit, used) = descriptors(shards);
    let revocations = Arc::new(Revocations::new(config.tokens.max_ttl));
    let policy = Arc::new(ArcSwap::from_pointee(Policy::new(&config, &revocations, None)));
    let (rules, has_disk) = (policy.clone(), config.data_dir.is_some());
    let hub = Hub::new(
        (0..shards).map(|_| Arc::new(Inbox::default())).collect(),
        directory.clone(),
        &config,
        Box::new(move |name| match has_disk {
            true => rules.load().stream(name),
            false => rules.load().stream(name).without_disk(),
        }),
    );
    let (hub, store) = durable::open(hub, &config)?;
    if let Some(directory) = &config.data_dir {
        let kept = revocations.keep_in(directory, Now::read().unix);
        kept.map_err(|error| StartError::Revocations(directory.clone(), error))?;
    }
    let shared = Arc::new(Shared {
        policy,
        reloaded: Notify::new(),
        hub,
        store,
        revocations,
        directory,
        gate: Arc::new(Gate::new(config.clone(), limit, used)),
        budget: Budget::new(shards, config.memory_max),
        refusals: Refusals::default(),
        config,
        shards: senders.into(),
        next_shard: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
        tls: tls.as_ref().map(|tls| tls.acceptor.clone()),
        crashed: Notify::new(),
    });
    let shards = (0..)
        .zip(receivers)
        .map(|(index, orders)| threads::start_shard(index, shared.clone(), orders))
        .collect::<io::Result<Vec<_>>>()
        .map_err(StartError::Runtime)?;
    info!("listening on {address}");
    let mut listeners = vec![Listener::Tcp(tcp)];
    if let Some(Tls { listener, acceptor, address }) = tls {
        info!("listening with TLS on {address}");
        listeners.push(Listener::Tls(listener, acceptor));
    }
    let mut unix_socket = None;
    if let Some((listener, file)) = unix {
        if let Some(file) = &file {
            info!("publishers on this machine: unix://{}", file.path().display());
        }
        listeners.push(Listener::Unix(listener));
        unix_socket = file;
    }
    let front = threads::start_front(front, shared.clone(), listeners, shutdown).map_err(StartError::Runtime)?;
    Ok(Server { address, tls_address, unix_socket, shared, front, shards })
}

/// The listener of TLS.
struct Tls {
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    address: SocketAddr,
}

fn tls_listener(inherited: Option<std::net::TcpListener>, config: &Config) -> Result<Option<Tls>, StartError> {
    let Some(address) = config.tls_listen else { return Ok(None) };
    let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Err(StartError::NoCertificate) };
    // Its warnings are the loader's business.
    let acceptor = Acceptor::new(cert, key).map_err(StartError::Tls)?;
    let listener = listen::tcp(inherited, address, config.send_buffer)
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|error| StartError::Listen(address, error));
    let (address, listener) = listener?;
    Ok(Some(Tls { listener, acceptor: Arc::new(acceptor), address }))
}

/// How many files the process may have open, and how many of them are for other things than connections.
fn descriptors(shards: usize) -> (usize, usize) {
    /// A reactor has an epoll instance, a wake-up and a copy of each; the log file and name lookups come and go.
    const PER_THREAD: usize = 4;
    const SPARE: usize = 16;
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    let open = std::fs::read_dir("/proc/self/fd").map_or(SPARE, Iterator::count);
    (usize::try_from(limit).unwrap_or(usize::MAX), open + shards * PER_THREAD + SPARE)
}
