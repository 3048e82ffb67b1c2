//! Everything that can go wrong with a call, by cause. No text here ever holds a key.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a call failed. `endpoint` is the URL.
#[derive(Debug)]
pub enum Error {
    /// There is no connection, and none could be made: nothing was sent.
    Connect {
        /// The server.
        endpoint: String,
        /// What kept us from it.
        cause: ConnectError,
    },
    /// A call shortly before waited in vain, so this one does not wait: nothing was sent.
    Paused {
        /// The server.
        endpoint: String,
        /// Time until it is tried again.
        left: Duration,
    },
    /// The server refused the key, or its absence.
    Refused {
        /// The server.
        endpoint: String,
        /// 401 or 403.
        status: u16,
        /// Whether there was a key to refuse.
        key_given: bool,
        /// What the server says to it.
        reason: Option<String>,
    },
    /// The command was sent and no answer came in time.
    Timeout {
        /// The server.
        endpoint: String,
        /// How long the call was allowed to take.
        timeout: Duration,
        /// The key with which it can be repeated; none where several were sent, or where the server knows no keys.
        key: Option<String>,
    },
    /// Too many broadcasts that nobody waits for were still unacknowledged when the time was over: nothing was sent.
    Full {
        /// The server.
        endpoint: String,
        /// How long the call was allowed to take.
        timeout: Duration,
    },
    /// The connection broke, or brought nonsense, after the command was sent at least in part, and it could not be sent
    /// again.
    Broken {
        /// The server.
        endpoint: String,
        /// How.
        cause: BrokenCause,
        /// The key with which it can be repeated; as with [`Error::Timeout`].
        key: Option<String>,
    },
    /// More is deferred than these bytes.
    TooMuchDeferred(usize),
    /// The server refused the command.
    Rejected(Rejection),
    /// The server refused the command for some of its channels.
    Partly {
        /// What became of it in each, in their order.
        outcomes: Vec<(String, ChannelOutcome)>,
        /// The broadcast's idempotency key.
        key: Option<String>,
    },
}

/// What kept us from a connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The operating system's answer, such as a refused connection or a missing socket.
    Io(io::Error),
    /// The host's name has no address.
    Resolve(io::Error),
    /// `connect_timeout` is over, or what was left of `timeout`.
    TimedOut(Duration),
    /// The file of `realtime.tls_ca` cannot be read or holds no certificate.
    Authority(String),
    /// The TLS handshake failed, for example because the certificate is not trusted.
    Tls(String),
    /// An HTTP server answered, but not with a WebSocket.
    Http(u16, Option<String>),
    /// The answer to the handshake was no WebSocket handshake.
    Handshake(String),
}

/// How a connection broke.
#[derive(Clone, Debug)]
pub enum BrokenCause {
    /// It was closed.
    Closed,
    /// The server closed it for a frame that it found too large (close code 1009).
    TooLarge,
    /// The operating system reported an error. Shared, since it can be the fate of many.
    Io(Arc<io::Error>),
    /// The server sent what is no reply.
    Protocol(String),
    /// The server would no longer know the key, so sending again might deliver it twice.
    Expired,
}

/// The server's refusal of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The protocol's code, such as `forbidden`.
    pub code: String,
    /// What was wrong and what to do.
    pub message: String,
    /// The idempotency key of the broadcast, if it was one to a single receiver or of one outcome.
    pub key: Option<String>,
}

/// What became of a publication in one channel.
pub type ChannelOutcome = Result<ChannelReceipt, Rejection>;

/// A publication that was taken, in one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelReceipt {
    /// Connections that it was queued for.
    pub receivers: u64,
    /// The life of the channel's history that `offset` belongs to.
    pub epoch: Option<String>,
    /// Its place in the channel's history.
    pub offset: Option<u64>,
}

impl Error {
    /// Whether the failure cost the caller its time, so that the next calls had better not wait.
    pub(crate) fn cost_time(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. } | Self::Full { .. } | Self::Connect { cause: ConnectError::TimedOut(_), .. }
        )
    }

    /// What failures of one cause have in common, for logs that tell each cause once: no keys, no times.
    pub fn cause(&self) -> String {
        match self {
            Self::Paused { endpoint, .. } | Self::Timeout { endpoint, .. } | Self::Full { endpoint, .. } => {
                format!("{endpoint} is silent")
            }
            Self::Connect { endpoint, cause: ConnectError::TimedOut(_) } => format!("{endpoint} is silent"),
            Self::Broken { endpoint, cause, .. } => format!("{endpoint} {cause}"),
            Self::Rejected(rejection) => rejection.code.clone(),
            Self::Partly { outcomes, .. } => {
                let first = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().err());
                first.map_or_else(String::new, |rejection| rejection.code.clone())
            }
            Self::Connect { .. } | Self::Refused { .. } | Self::TooMuchDeferred(_) => self.to_string(),
        }
    }

    /// The idempotency key with which the caller can repeat the broadcast without delivering it twice.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Timeout { key, .. }
            | Self::Broken { key, .. }
            | Self::Rejected(Rejection { key, .. })
            | Self::Partly { key, .. } => key.as_deref(),
            _ => None,
        }
    }
}

/// What to do about a command whose fate is unknown.
struct Maybe<'a>(&'a Option<String>);

impl fmt::Display for Maybe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The message may have been delivered")?;
        match self.0 {
            Some(key) => write!(f, "; repeat it with idempotencyKey: {key:?}, so that it is delivered once."),
            None => f.write_str("."),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { endpoint, cause } => write!(f, "Could not connect to {endpoint}: {cause}"),
            Self::Paused { endpoint, left } => write!(
                f,
                "{endpoint} did not answer a moment ago; it is tried again in {:.1} s (realtime.retry_after)",
                left.as_secs_f64()
            ),
            Self::Refused { endpoint, status, key_given, reason } => {
                let what = if *key_given { "the publisher key" } else { "the connection, which had no publisher key" };
                write!(f, "{endpoint} refused {what} (HTTP {status}")?;
                match reason {
                    Some(reason) => write!(f, ": {reason})")?,
                    None => f.write_str(")")?,
                }
                f.write_str("; set realtime.key, or the argument key, to the server's publisher_key")
            }
            Self::Timeout { endpoint, timeout, key } => write!(
                f,
                "{endpoint} sent no acknowledgement within {} s (realtime.timeout). {}",
                timeout.as_secs_f64(),
                Maybe(key)
            ),
            Self::Full { endpoint, timeout } => write!(
                f,
                "{endpoint} has not acknowledged enough of the earlier broadcasts within {} s (realtime.timeout). \
                 This one was not sent.",
                timeout.as_secs_f64()
            ),
            Self::Broken { endpoint, cause, key } => {
                write!(f, "The connection to {endpoint} {cause}. {}", Maybe(key))
            }
            Self::TooMuchDeferred(limit) => {
                write!(f, "More than {} MiB are deferred; call flush() in between", limit >> 20)
            }
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Partly { outcomes, .. } => {
                let refused = || outcomes.iter().filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?)));
                write!(f, "The server refused {} of {} channels", refused().count(), outcomes.len())?;
                match refused().next() {
                    Some((name, rejection)) => write!(f, ", first {name:?}: {rejection}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => write!(f, "{error}. Is realtime-server running there?"),
                io::ErrorKind::NotFound => write!(f, "{error}. Is realtime-server running, with this unix_socket?"),
                io::ErrorKind::PermissionDenied => {
                    write!(f, "{error}. The user that runs PHP must be in the socket's group")
                }
                _ => error.fmt(f),
            },
            Self::Resolve(error) => write!(f, "{error}. Check the host in realtime.url"),
            Self::TimedOut(limit) => {
                write!(
                    f,
                    "no answer within {:.1} s. Is a firewall in between, or the server stopped?",
                    limit.as_secs_f64()
                )
            }
            Self::Authority(why) => write!(f, "realtime.tls_ca: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Http(status, reason) => {
                write!(f, "it answered HTTP {status}")?;
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => f.write_str(". Is this the address of realtime-server?"),
                }
            }
            Self::Handshake(why) => write!(f, "{why}. Is this the address of realtime-server?"),
        }
    }
}

impl fmt::Display for BrokenCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("was closed before the acknowledgement came"),
            Self::TooLarge => f.write_str("was closed by the server, for which a message before this one was too large"),
            Self::Io(error) => write!(f, "broke before the acknowledgement came: {error}"),
            Self::Protocol(why) => write!(f, "brought what is no reply of a realtime-server: {why}"),
            Self::Expired => f.write_str(
                "broke before the acknowledgement came, and the server's idempotency.ttl is over, so it was not sent again",
            ),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
