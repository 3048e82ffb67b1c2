//! TLS by rustls, without sockets: the certificate, and what one connection makes of bytes.
//!
//! The crypto provider is aws-lc-rs, which the JWT library uses too; it is named where the configuration is made, so that
//! nothing depends on a default of the process.

mod acceptor;
mod certificate;
mod session;

pub(crate) use self::acceptor::{Acceptor, Renewal};
pub(crate) use self::certificate::Certificate;
pub use self::certificate::CertificateError;
pub(crate) use self::session::{MAX_PLAINTEXT, Received, Session};
