//! The publisher core of the PHP extension: blocking, with one deadline per call, and without PHP.
//!
//! [`Publisher`] keeps one connection per [`Target`] open between calls. A call sends one [`Command`] and waits for
//! the server's word: a [`Receipt`], or an [`Error`] that says whether the command may have arrived. A broadcast can
//! also be sent without waiting, or deferred; [`Publisher::flush`] and [`Publisher::finish`] settle those. What a broken
//! connection leaves unanswered is sent again with the same idempotency key.
#![forbid(unsafe_code)]

mod batch;
mod command;
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod conformance;
mod connect;
mod connection;
mod control;
mod endpoint;
mod entry;
mod error;
mod exchange;
mod idempotency;
mod message;
mod pending;
mod publisher;
mod query;
mod queue;
mod reply;
mod secret;
mod stats;
mod stream;
mod tls;

pub use batch::Batch;
pub use command::{Audience, Command, Publication};
pub use endpoint::{Endpoint, TcpEndpoint, UrlError};
pub use entry::Owner;
pub use error::{BrokenCause, ChannelOutcome, ChannelReceipt, ConnectError, Error, Rejection};
pub use idempotency::KeyRefusal;
pub use message::MessageError;
pub use publisher::{Publisher, Sent, Settings, Target};
pub use query::{Position, Since};
pub use reply::{Outcome, Receipt};
pub use secret::{Key, KeyError};
pub use stats::Stats;
