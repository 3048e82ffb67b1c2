//! TLS by rustls, without sockets: the certificate, what one connection makes of bytes, and the machine's authorities.
//!
//! The crypto provider is aws-lc-rs, which the JWT library uses too; it is named where the configuration is made, so that
//! nothing depends on a default of the process.

mod acceptor;
mod authorities;
mod certificate;
mod session;

pub(crate) use self::acceptor::{Acceptor, Renewal};
pub use self::authorities::{NoAuthorities, system_authorities};
pub(crate) use self::certificate::Certificate;
pub use self::certificate::CertificateError;
pub(crate) use self::session::{MAX_PLAINTEXT, Received, Session};
