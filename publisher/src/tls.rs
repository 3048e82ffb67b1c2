//! The TLS connector: one per process and authority, since building one costs 50–150 ms and 885 KB.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use native_tls::{Certificate, Protocol, TlsConnector};

use crate::error::ConnectError;

/// The last connector and the file whose authorities it trusts; `None` is the system's.
type Cached = Option<(Option<PathBuf>, TlsConnector)>;

/// No call into PHP and no I/O on a socket happens under this lock.
static CONNECTOR: Mutex<Cached> = Mutex::new(None);

/// A connector that trusts only the authorities in `authority`, or those of the system.
pub(crate) fn connector(authority: Option<&Path>) -> Result<TlsConnector, ConnectError> {
    let mut cached = CONNECTOR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, connector)) = &*cached
        && of.as_deref() == authority
    {
        return Ok(connector.clone());
    }
    let connector = build(authority)?;
    *cached = Some((authority.map(Path::to_owned), connector.clone()));
    Ok(connector)
}

fn build(authority: Option<&Path>) -> Result<TlsConnector, ConnectError> {
    let mut builder = TlsConnector::builder();
    // The server speaks nothing older either.
    builder.min_protocol_version(Some(Protocol::Tlsv12));
    if let Some(path) = authority {
        let why = |error: &dyn std::fmt::Display| ConnectError::Authority(format!("{}: {error}", path.display()));
        let certificates =
            Certificate::stack_from_pem(&fs::read(path).map_err(|error| why(&error))?).map_err(|error| why(&error))?;
        if certificates.is_empty() {
            return Err(why(&"no certificate in PEM format"));
        }
        builder.disable_built_in_roots(true);
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| ConnectError::Tls(error.to_string()))
}

/// What a failed handshake with `host` was about, and what to do. `authority` is the file that its certificate was
/// verified by. OpenSSL gives its reasons as texts only.
pub(crate) fn explain(error: &native_tls::Error, host: &str, authority: Option<&Path>) -> String {
    let reason = error.to_string();
    let is = |words: &[&str]| words.iter().any(|words| reason.contains(words));
    let cause = if is(&["certificate has expired"]) {
        "the server's certificate has expired; renew it there".to_owned()
    } else if is(&["certificate is not yet valid"]) {
        "the server's certificate is not valid yet; look at the clocks of both machines".to_owned()
    } else if is(&["mismatch"]) {
        format!("the server's certificate is not for {host}; write a name that it is for into realtime.url")
    } else if is(&[
        "issuer certificate",
        "self-signed",
        "self signed",
        "unable to verify the first",
        // An authority that was made anew under its old name.
        "certificate signature failure",
    ]) {
        match authority {
            Some(file) => format!(
                "the server's certificate is not signed by an authority in {}; realtime.tls_ca has to name the file of \
                 the one that signed it",
                file.display()
            ),
            None => "the server's certificate is signed by an unknown authority; realtime.tls_ca names the file of a \
                     private one"
                .to_owned(),
        }
    } else if is(&[
        "wrong version number",
        "packet length too long",
        "unknown protocol",
        "http request",
        "record layer",
    ]) {
        "the server does not speak TLS on this port; without TLS the URL begins with ws://".to_owned()
    } else {
        return reason;
    };
    format!("{cause} ({reason})")
}
