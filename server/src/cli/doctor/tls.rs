//! Does the running server show the certificate that the configuration names?

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use realtime_server::config::Config;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::Finding;
use crate::cli::client::{TIMEOUT, reachable};

/// `None`: there is no TLS.
pub(super) fn check(config: &Config) -> Option<Finding> {
    let (listen, file) = (config.tls_listen?, config.tls_cert.as_deref()?);
    let address = reachable(listen);
    Some(match shown(&address.to_string()) {
        Ok(shown) if is_in(&shown, file) => {
            Finding::Good(format!("the server speaks TLS on {address} with the certificate in {}", file.display()))
        }
        Ok(_) => Finding::bad(
            format!("the server on {address} shows another certificate than that in {}", file.display()),
            "see in its log why it keeps the old one (journalctl -u realtime-server), and have it read the new one: \
             systemctl reload realtime-server",
        ),
        Err(error) => Finding::bad(
            format!("nobody speaks TLS on {address}: {error}"),
            "restart the server: tls_listen counts from the next start on; or free the port",
        ),
    })
}

fn is_in(shown: &CertificateDer<'_>, file: &Path) -> bool {
    CertificateDer::from_pem_file(file).is_ok_and(|first| first == *shown)
}

/// The certificate that is shown there, trusted or not.
fn shown(address: &str) -> io::Result<CertificateDer<'static>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Look(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?;
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    let first = tls.peer_certificates().and_then(<[_]>::first);
    first.map(|first| first.clone().into_owned()).ok_or_else(|| io::Error::other("it shows no certificate"))
}

/// Lets every certificate pass: it is looked at, and nothing is said to who shows it. Whether clients trust it depends on
/// their authorities and the name that they use.
#[derive(Debug)]
struct Look(Arc<CryptoProvider>);

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
