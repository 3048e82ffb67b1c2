//! The publisher core of the PHP extension: blocking, with one deadline per call, and without PHP.
//!
//! [`Publisher`] keeps one connection per [`Target`] open between calls. A call sends one [`Command`] and waits for
//! the server's word: a [`Receipt`], or an [`Error`] that says whether the command may have arrived.
#![forbid(unsafe_code)]

mod command;
mod connect;
mod connection;
mod endpoint;
mod error;
mod publisher;
mod reply;
mod secret;
mod stream;
mod tls;

pub use command::{Audience, Command, MessageError, Publication};
pub use endpoint::{Endpoint, TcpEndpoint, UrlError};
pub use error::{BrokenCause, ChannelOutcome, ChannelReceipt, ConnectError, Error, Rejection};
pub use publisher::{Publisher, Settings, Target};
pub use reply::Receipt;
pub use secret::{Key, KeyError};
