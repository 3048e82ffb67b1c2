//! The effective configuration: every key typed, every value valid. How it is read from file, environment and flags
//! is the loader's business.

mod check;
mod field;
mod file;
mod key;
mod keys;
mod load;
mod manual;
mod mistake;
mod publisher;
mod show;
mod units;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use key::{KeyError, PublisherKey};
pub use keys::{KEYS, Key};
#[cfg(feature = "fuzzing")]
pub(crate) use load::load_text;
pub use load::{DEFAULT_FILE, Loaded, Sources, load};
pub use manual::manual;
pub use mistake::{Mistake, Mistakes, Source};
pub use publisher::Publisher;
pub use units::{parse_duration, show_duration};

use ipnet::IpNet;

use crate::origin::AllowedOrigin;
use crate::rules::{ChannelRule, StreamRule};
use crate::token::TokenConfig;

/// Everything that can be configured. [`Config::default`] is what runs without any configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of WebSocket and HTTP.
    pub listen: SocketAddr,
    /// Address of the same over TLS; `None`: there is no TLS.
    pub tls_listen: Option<SocketAddr>,
    /// The certificate that is shown there, and those that signed it, in PEM.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM.
    pub tls_key: Option<PathBuf>,
    /// The socket of publishers on the same machine.
    pub unix_socket: UnixSocket,
    /// Permission bits of the unix socket.
    pub socket_mode: u32,
    /// Group that owns the unix socket; `None`: `realtime` for `/run/realtime/realtime.sock` where that group exists,
    /// else the process's.
    pub socket_group: Option<String>,
    /// The key that publishers over TCP present; `None` refuses them.
    pub publisher_key: Option<PublisherKey>,
    /// Where that key was read from, when it has a file of its own.
    pub publisher_key_file: Option<PathBuf>,
    /// Further publishers, each with a key of its own.
    pub publishers: Vec<Publisher>,
    /// For development: publishers from loopback need no key, and `insecure_identity` is on.
    pub dev: bool,
    /// For conformance tests: `/__echo` sends back what it gets.
    pub echo: bool,
    /// Believe the `userId` that a browser claims in `register`.
    pub insecure_identity: bool,
    /// Pages that may connect besides those on localhost and IP addresses of the same host.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// How connections show whose they are.
    pub tokens: TokenConfig,
    /// Whether what sends no `Origin` may not connect as a client.
    pub require_origin: bool,
    /// Rules for channels; the first whose pattern matches counts.
    pub channels: Vec<ChannelRule>,
    /// What holds for what is sent to users.
    pub users: StreamRule,
    /// Where histories on disk are, and what a clean stop leaves of those in memory; `None`: nowhere.
    pub data_dir: Option<PathBuf>,
    /// How histories are kept.
    pub history: HistoryConfig,
    /// For how long a command with an idempotency key has its effect once.
    pub idempotency: IdempotencyConfig,
    /// Threads that own connections.
    pub shards: usize,
    /// Silence after which a client is pinged.
    pub ping_interval: Duration,
    /// Silence after that ping which ends the connection.
    pub pong_timeout: Duration,
    /// Time without taking a byte of what waits for it which ends a connection.
    pub write_timeout: Duration,
    /// Time over which clients come back after a stop.
    pub drain_time: Duration,
    /// Time for a request's head, body and upgrade.
    pub handshake_timeout: Duration,
    /// Longest message of a client, bytes.
    pub max_message: usize,
    /// Longest single publication of a publisher, bytes of its command.
    pub max_publication: usize,
    /// Bytes that may wait for one connection.
    pub outbox_max: usize,
    /// Channels that one connection may subscribe to.
    pub max_channels: usize,
    /// Handshakes in flight.
    pub max_handshakes: usize,
    /// Browsers connected at a time.
    pub max_connections: usize,
    /// Browsers connected at a time from one address.
    pub max_connections_per_address: usize,
    /// Publishers connected at a time.
    pub max_publishers: usize,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every connection over TCP begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Commands a second of one browser, over time.
    pub commands_per_second: usize,
    /// Commands of one browser at once.
    pub command_burst: usize,
    /// Subscriptions a second of one browser, over time; 0: no limit.
    pub subscriptions_per_second: usize,
    /// Subscriptions of one browser at once.
    pub subscription_burst: usize,
    /// Publications a second of one browser, over time; 0: no limit.
    pub publications_per_second: usize,
    /// Publications of one browser at once.
    pub publication_burst: usize,
    /// Limits of each user, on all connections together.
    pub per_user: SharedRates,
    /// Limits of each address.
    pub per_address: SharedRates,
    /// Whether what is over a limit is only counted.
    pub limits_dry_run: bool,
    /// Bytes that may wait for all browsers together.
    pub memory_max: usize,
    /// Bytes that the kernel may hold for one browser.
    pub send_buffer: usize,
    /// Whether and how publications are compressed.
    pub compression: CompressionConfig,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Least important level that is logged.
    pub log_level: LogLevel,
    /// Where log lines go; `None` is stderr. Reopened on SIGHUP.
    pub log_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls_listen: None,
            tls_cert: None,
            tls_key: None,
            unix_socket: UnixSocket::Default,
            socket_mode: 0o660,
            socket_group: None,
            publisher_key: None,
            publisher_key_file: None,
            publishers: Vec::new(),
            dev: false,
            echo: false,
            insecure_identity: false,
            allowed_origins: Vec::new(),
            tokens: TokenConfig::default(),
            require_origin: false,
            channels: Vec::new(),
            users: StreamRule::NONE,
            data_dir: None,
            history: HistoryConfig {
                sync: SyncMode::Always,
                sync_interval: Duration::from_secs(1),
                memory_max: 256 << 20,
            },
            idempotency: IdempotencyConfig { ttl: Duration::from_secs(300), max_keys: 1_000_000 },
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            max_message: 64 << 10,
            max_publication: 64 << 10,
            outbox_max: 1 << 20,
            max_channels: 128,
            max_handshakes: 1000,
            max_connections: 100_000,
            max_connections_per_address: 1000,
            max_publishers: 10_000,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            commands_per_second: 100,
            command_burst: 200,
            subscriptions_per_second: 100,
            subscription_burst: 500,
            publications_per_second: 50,
            publication_burst: 100,
            per_user: SharedRates {
                commands_per_second: 200,
                subscriptions_per_second: 500,
                publications_per_second: 100,
            },
            per_address: SharedRates {
                commands_per_second: 1_000,
                subscriptions_per_second: 5_000,
                publications_per_second: 500,
            },
            limits_dry_run: false,
            memory_max: 512 << 20,
            send_buffer: 128 << 10,
            compression: CompressionConfig { enabled: true, min_size: 1 << 10, level: 1 },
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            log_file: None,
        }
    }
}

/// The tables `per_user` and `per_address`: a second, over time; 0: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRates {
    /// Commands of all kinds.
    pub commands_per_second: usize,
    /// Subscriptions.
    pub subscriptions_per_second: usize,
    /// Publications.
    pub publications_per_second: usize,
}

impl SharedRates {
    /// So many seconds' worth may come at once: after a restart everybody behind one address comes back together.
    pub const BURST_SECONDS: usize = 10;
}

/// The table `history`: what holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// When what is on disk is synced.
    pub sync: SyncMode,
    /// How often under [`SyncMode::Interval`].
    pub sync_interval: Duration,
    /// Bytes that all histories in memory may occupy together.
    pub memory_max: usize,
}

/// When a history on disk is safe from power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before the publication is acknowledged and shown.
    Always,
    /// Every so often.
    Interval,
}

/// The table `idempotency`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyConfig {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// Most keys of applications that are remembered at a time.
    pub max_keys: usize,
}

/// The table `compression`: permessage-deflate (RFC 7692) with browsers that offer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// Whether it is agreed to.
    pub enabled: bool,
    /// Shortest publication that is compressed, bytes of its frame's text.
    pub min_size: usize,
    /// How hard the compressor tries, 1 to 3.
    pub level: usize,
}

/// Where the unix socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixSocket {
    /// `/run/realtime/realtime.sock` if that directory exists, else `$XDG_RUNTIME_DIR/realtime.sock`, else none.
    Default,
    /// This path, or the start fails.
    Path(PathBuf),
    /// None.
    Off,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Least important level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// And what looks wrong.
    Warn,
    /// And starts, stops and refusals.
    Info,
    /// And a line per connection.
    Debug,
}

#[cfg(test)]
mod tests;
