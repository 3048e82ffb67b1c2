//! TLS for `wss://`: only with a server whose certificate is trusted, and what to do about one that is not.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use realtime_server::tls::system_authorities;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};

use crate::cli::Failure;

/// How a server proves itself.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    client: Arc<ClientConfig>,
    /// What its certificate must be for.
    name: ServerName<'static>,
}

impl Tls {
    /// For `host` as it stands in a URL. Only the authorities in the file `trusted` count, or without one the machine's.
    pub(super) fn new(host: &str, trusted: Option<&Path>) -> Result<Self, Failure> {
        // An IPv6 address has brackets in a URL, and none in a certificate.
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| Failure::Usage(format!("--url: {host:?} is no name that a certificate could be for")))?;
        let roots = match trusted {
            Some(path) => authorities(path)?,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(system_authorities().map_err(|error| {
                    Failure::Run(format!("{error}, or name the file of the server's authority: --tls-ca FILE"))
                })?);
                roots
            }
        };
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Run(format!("TLS cannot be used here: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { client: Arc::new(client), name })
    }

    /// Does the handshake.
    pub(super) fn begin(&self, mut socket: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut tls = ClientConnection::new(self.client.clone(), self.name.clone()).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(|error| io::Error::new(error.kind(), self.explain(&error)))?;
        }
        Ok(StreamOwned::new(tls, socket))
    }

    /// What a handshake failed by, and what to do.
    fn explain(&self, error: &io::Error) -> String {
        use CertificateError as Wrong;
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match tls {
            // Another authority of the same name shows by its signature.
            Some(Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature)) => {
                "its certificate is signed by an unknown authority; name the file with that authority's certificate (PEM): \
                 --tls-ca FILE"
                    .to_owned()
            }
            Some(Error::InvalidCertificate(Wrong::NotValidForNameContext { presented, .. })) => format!(
                "its certificate is not for {}, only for {}; write a name that it is for into --url",
                self.name.to_str(),
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            ),
            Some(Error::InvalidCertificate(Wrong::NotValidForName)) => format!(
                "its certificate is not for {}; write a name that it is for into --url",
                self.name.to_str()
            ),
            Some(Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. })) => {
                "its certificate has expired; renew it on the server".to_owned()
            }
            Some(Error::InvalidCertificate(Wrong::NotValidYet | Wrong::NotValidYetContext { .. })) => {
                "its certificate is not valid yet; look at the clocks of both machines".to_owned()
            }
            Some(Error::InvalidCertificate(Wrong::Other(other))) if other.to_string() == "CaUsedAsEndEntity" => {
                "its certificate is one of an authority (CA:TRUE), which no server may show; make one with \
                 basicConstraints=CA:FALSE"
                    .to_owned()
            }
            Some(Error::InvalidMessage(_)) => {
                "the port does not speak TLS; without TLS the URL begins with ws://".to_owned()
            }
            Some(other) => format!("TLS: {other}"),
            None if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => "it does not answer".to_owned(),
            None => format!("the handshake of TLS broke: {error}; without TLS the URL begins with ws://"),
        }
    }
}

/// A name as it is written, of `DnsName("…")` or `IpAddress(…)`, as the verifier has it.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

/// The authorities in a file.
fn authorities(path: &Path) -> Result<RootCertStore, Failure> {
    let wrong = |why: &dyn fmt::Display| Failure::Usage(format!("--tls-ca {}: {why}", path.display()));
    let pem = fs::read(path).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| wrong(&"a certificate in it is cut off or not in PEM format"))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"no certificate in PEM format (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(roots)
}
