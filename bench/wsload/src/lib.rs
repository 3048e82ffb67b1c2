//! Load for pub/sub servers, taking no side: one thread, any number of subscribers and publishers, any protocol that
//! can be given as frame templates. It counts every delivery and its latency; what the server spent, /proc tells.
//!
//! A [`Crowd`] holds subscribers and is also the event loop; [`fan_out`] publishes through [`Publisher`]s and waits
//! for every delivery. [`Probe`], [`post`] and the crowd's half-sent handshakes serve the less usual rows.

pub mod account;
mod connection;
mod crowd;
mod dialect;
mod fan_out;
pub mod frame;
mod inflate;
mod post;
mod probe;
mod publisher;
mod pusher;
mod secure;
mod socket;
pub mod stamp;

use std::io;
use std::time::Duration;

pub use crowd::Crowd;
pub use dialect::{Dialect, Publish, Subscribe, Upgrade};
pub use fan_out::{FanOut, Pace, Work, fan_out};
pub use post::{Posts, post};
pub use probe::Probe;
pub use publisher::Publisher;
pub use socket::raise_file_limit;

/// Why load could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The server refused an upgrade or request.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server closed connections that the work needs.
    #[error("the server closed {0} connections")]
    Closed(usize),
    /// Nothing happened for too long.
    #[error("no progress for {patience:?} while {what}")]
    Stalled {
        /// What was waited for, and how far it got.
        what: String,
        /// How long.
        patience: Duration,
    },
}

impl LoadError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
