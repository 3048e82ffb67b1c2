//! The machine's certificate authorities, for connections that the program itself opens.

use std::fmt;

use rustls::pki_types::CertificateDer;

/// This machine knows no certificate authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAuthorities;

impl fmt::Display for NoAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this machine has no certificate authorities; install the package ca-certificates")
    }
}

impl std::error::Error for NoAuthorities {}

/// The certificates of all authorities that this machine trusts.
pub fn system_authorities() -> Result<Vec<CertificateDer<'static>>, NoAuthorities> {
    // Of several places some may be unreadable; what the others hold counts.
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() { Err(NoAuthorities) } else { Ok(found) }
}
